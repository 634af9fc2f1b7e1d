//! The rights that the operator needs, and which of them it lacks.

use std::fmt;
use std::time::Duration;

use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::Client;
use kube::api::Api;

use super::WatchScope;
use crate::api::names::FIELD_MANAGER;
use crate::controller::write::post_parameters;
use crate::text;

/// How often missing rights are checked again.
const AGAIN: Duration = Duration::from_secs(5);

/// The most reviews that are sent at once.
const AT_ONCE: usize = 16;

/// The most missing rights that a message names.
const NAMED: usize = 8;

/// A right: a verb on a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Right {
    verb: &'static str,
    group: &'static str,
    resource: &'static str,
    subresource: &'static str,
    /// None for the whole cluster.
    namespace: Option<String>,
    /// None for all objects.
    name: Option<String>,
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        if !self.subresource.is_empty() {
            write!(f, "/{}", self.subresource)?;
        }
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        if let Some(name) = &self.name {
            write!(f, " {name}")?;
        }
        match &self.namespace {
            Some(namespace) => write!(f, " in namespace {namespace}"),
            None => write!(f, " in the whole cluster"),
        }
    }
}

/// A group, its resources and the verbs.
type Rule = (&'static str, &'static [&'static str], &'static [&'static str]);

const OURS: &str = "stagesub.io";

/// In each namespace of Orchestras.
const TENANTS: &[Rule] = &[
    (OURS, &["orchestras"], &["get", "list", "watch", "patch", "delete"]),
    (OURS, &["orchestras/status"], &["patch"]),
    (
        OURS,
        &["orchestrabackups"],
        &["get", "list", "watch", "create", "patch", "delete"],
    ),
    (OURS, &["orchestrabackups/status"], &["patch"]),
    ("", &["secrets"], &["get", "list", "watch", "create", "patch"]),
    (
        "",
        &["configmaps"],
        &["get", "list", "watch", "create", "patch", "delete"],
    ),
];

/// In the operator's own namespace.
const OWN: &[Rule] = &[
    (
        OURS,
        &["orchestrabackups"],
        &["get", "list", "watch", "create", "patch"],
    ),
    (OURS, &["orchestrabackups/status"], &["patch"]),
    ("", &["secrets"], &["get", "list", "watch", "create", "patch", "delete"]),
    ("", &["configmaps"], &["get", "list", "watch", "create", "patch"]),
    ("batch", &["jobs"], &["get", "list", "watch", "create", "delete"]),
    ("", &["pods"], &["list"]),
    ("coordination.k8s.io", &["leases"], &["create"]),
];

/// In the whole cluster.
const CLUSTER: &[Rule] = &[
    (
        OURS,
        &["orchestraclasses", "orchestrapools", "orchestradatabases"],
        &["get", "list", "watch"],
    ),
    (OURS, &["orchestraclasses", "orchestrapools"], &["patch"]),
    (OURS, &["orchestradatabases"], &["create", "patch", "delete"]),
    (
        OURS,
        &[
            "orchestraclasses/status",
            "orchestrapools/status",
            "orchestradatabases/status",
        ],
        &["patch"],
    ),
];

/// The rights without which the operator cannot work.
pub fn needed(scope: &WatchScope<'_>, lease: &str) -> Vec<Right> {
    let mut needed = rights(CLUSTER, None);
    let tenants: Vec<_> = if scope.tenants.is_empty() {
        vec![None]
    } else {
        scope.tenants.iter().cloned().map(Some).collect()
    };
    let own = Some(scope.namespace.to_owned());
    needed.extend(tenants.iter().flat_map(|namespace| rights(TENANTS, namespace.as_ref())));
    needed.extend(rights(OWN, own.as_ref()));
    let one = |verb, group, resource, namespace, name: Option<&str>| Right {
        verb,
        group,
        resource,
        subresource: "",
        namespace,
        name: name.map(ToOwned::to_owned),
    };
    for verb in ["get", "update"] {
        needed.push(one(verb, "coordination.k8s.io", "leases", own.clone(), Some(lease)));
    }
    for verb in ["list", "watch"] {
        if scope.tenants.is_empty() {
            needed.push(one(verb, "", "namespaces", None, None));
        }
        for name in scope.tenants {
            needed.push(one(verb, "", "namespaces", None, Some(name)));
        }
    }
    needed
}

fn rights(rules: &[Rule], namespace: Option<&String>) -> Vec<Right> {
    let mut all = Vec::new();
    for (group, resources, verbs) in rules {
        for resource in *resources {
            let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
            all.extend(verbs.iter().map(|verb| Right {
                verb,
                group,
                resource,
                subresource,
                namespace: namespace.cloned(),
                name: None,
            }));
        }
    }
    all
}

/// Waits until the operator has these rights. They may be granted after it has started.
///
/// # Errors
/// When the API server does not answer.
pub async fn wait(client: &Client, needed: &[Right]) -> anyhow::Result<()> {
    let mut told = Vec::new();
    loop {
        let missing = missing(client, needed).await?;
        if missing.is_empty() {
            return Ok(());
        }
        if told != missing {
            tracing::error!(
                missing = shown(&missing),
                "the operator lacks rights and waits for them: apply what `orchestra-operator rbac` prints for its flags"
            );
            told = missing;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// The first of these rights, as a message names them.
pub fn shown(missing: &[Right]) -> String {
    let missing: Vec<_> = missing.iter().map(ToString::to_string).collect();
    text::clauses(&missing, NAMED)
}

/// Those of the rights that the caller lacks.
///
/// # Errors
/// When the API server does not answer.
pub async fn missing(client: &Client, needed: &[Right]) -> anyhow::Result<Vec<Right>> {
    let api: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let allowed: Vec<bool> = futures::stream::iter(needed)
        .map(|right| is_allowed(&api, right))
        .buffered(AT_ONCE)
        .try_collect()
        .await
        .context("the operator's rights cannot be asked for")?;
    let lacked = needed.iter().zip(allowed).filter(|(_, allowed)| !allowed);
    Ok(lacked.map(|(right, _)| right.clone()).collect())
}

async fn is_allowed(api: &Api<SelfSubjectAccessReview>, right: &Right) -> Result<bool, kube::Error> {
    let attributes = ResourceAttributes {
        verb: Some(right.verb.into()),
        group: Some(right.group.into()),
        resource: Some(right.resource.into()),
        subresource: Some(right.subresource.into()).filter(|subresource: &String| !subresource.is_empty()),
        namespace: right.namespace.clone(),
        name: right.name.clone(),
        ..ResourceAttributes::default()
    };
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(attributes),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let answer = api.create(&post_parameters(FIELD_MANAGER), &review).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_right_is_asked_for_where_it_is_needed() {
        let tenants = ["a".to_owned(), "b".to_owned()];
        let shown = |tenants: &[String]| -> Vec<String> {
            let scope = WatchScope {
                namespace: "system",
                tenants,
            };
            needed(&scope, "lease").iter().map(ToString::to_string).collect()
        };
        let all = shown(&[]);
        for right in [
            "list secrets in the whole cluster",
            "patch orchestras/status.stagesub.io in the whole cluster",
            "update leases.coordination.k8s.io lease in namespace system",
            "watch namespaces in the whole cluster",
        ] {
            assert!(all.iter().any(|is| is == right), "{right}: {all:#?}");
        }
        let few = shown(&tenants);
        for right in [
            "list secrets in namespace a",
            "list secrets in namespace b",
            "delete secrets in namespace system",
            "watch namespaces b in the whole cluster",
        ] {
            assert!(few.iter().any(|is| is == right), "{right}: {few:#?}");
        }
        for kind in ["secrets", "configmaps", "orchestras.", "orchestras/"] {
            let wide = few.iter().find(|is| is.contains(kind) && is.contains("whole cluster"));
            assert_eq!(wide, None);
        }
    }
}
