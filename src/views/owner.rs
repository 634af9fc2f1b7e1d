//! Who keeps an object as it is: a repository whose tool would undo what a person changes here.

use kube::core::ObjectMeta;

/// A tool that applies manifests from a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitOwner {
    /// The tool.
    pub tool: &'static str,
    /// What the tool calls the source, where the object says it.
    pub source: Option<String>,
}

/// Labels and annotations that the tools put on what they apply: <https://argo-cd.readthedocs.io/en/stable/user-guide/resource_tracking/>,
/// <https://fluxcd.io/flux/components/kustomize/kustomizations/>, <https://fluxcd.io/flux/components/helm/helmreleases/>.
const MARKS: [(&str, &str); 3] = [
    ("argocd.argoproj.io/tracking-id", "Argo CD"),
    ("kustomize.toolkit.fluxcd.io/name", "Flux"),
    ("helm.toolkit.fluxcd.io/name", "Flux"),
];

/// Field managers of the tools.
const MANAGERS: [(&str, &str); 4] = [
    ("argocd-controller", "Argo CD"),
    ("argocd-application-controller", "Argo CD"),
    ("kustomize-controller", "Flux"),
    ("helm-controller", "Flux"),
];

/// The tool that keeps an object as its repository has it; none where people change it.
pub fn git_owner(metadata: &ObjectMeta) -> Option<GitOwner> {
    let mark = |name: &str| {
        let labels = metadata.labels.as_ref().and_then(|labels| labels.get(name));
        labels.or_else(|| metadata.annotations.as_ref()?.get(name))
    };
    let marked = MARKS.into_iter().find_map(|(name, tool)| Some((tool, mark(name)?)));
    if let Some((tool, source)) = marked {
        let source = source.split(':').next().unwrap_or(source);
        return Some(GitOwner {
            tool,
            source: Some(source.chars().take(200).collect()),
        });
    }
    let managers = metadata.managed_fields.iter().flatten();
    let mut managers = managers.filter(|entry| entry.subresource.as_deref().unwrap_or_default().is_empty());
    managers.find_map(|entry| {
        let (_, tool) = MANAGERS
            .into_iter()
            .find(|(name, _)| entry.manager.as_deref() == Some(name))?;
        Some(GitOwner { tool, source: None })
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn tools_are_known_by_their_marks_and_their_field_managers() {
        for (metadata, tool, source) in [
            (
                json!({"labels": {"a": "b"}, "managedFields": [{"manager": "kubectl"}]}),
                None,
                None,
            ),
            (
                json!({"annotations": {"argocd.argoproj.io/tracking-id": "shop:stagesub.io/Orchestra:a/b"}}),
                Some("Argo CD"),
                Some("shop"),
            ),
            (
                json!({"labels": {"kustomize.toolkit.fluxcd.io/name": "tenants"}}),
                Some("Flux"),
                Some("tenants"),
            ),
            (
                json!({"managedFields": [{"manager": "helm-controller"}]}),
                Some("Flux"),
                None,
            ),
            (
                json!({"managedFields": [{"manager": "argocd-controller", "subresource": "status"}]}),
                None,
                None,
            ),
        ] {
            let owner = git_owner(&serde_json::from_value(metadata).unwrap());
            assert_eq!(owner.as_ref().map(|owner| owner.tool), tool);
            assert_eq!(owner.and_then(|owner| owner.source).as_deref(), source);
        }
    }
}
