//! The CustomResourceDefinitions: whether they exist, and whether this operator's objects fit into them.
//!
//! An API server drops fields that a definition does not have. With an older definition the operator would lose fields that
//! it writes, so it does not start. A newer one has everything that this operator writes.

mod age;

use std::time::Duration;

use anyhow::{Context as _, bail};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::Api;
use kube::runtime::wait::Condition;
use kube::runtime::wait::conditions::is_crd_established;
use kube::{Client, Resource as _, ResourceExt as _};

use crate::api::{Orchestra, crds};
use crate::text;
use age::Age;

/// How often missing definitions are looked up again.
const AGAIN: Duration = Duration::from_secs(2);

/// The most missing parts of an older definition that a message names.
const NAMED: usize = 4;

/// Annotations with which Helm marks the objects of a release.
const HELM_RELEASE: &str = "meta.helm.sh/release-name";
const HELM_NAMESPACE: &str = "meta.helm.sh/release-namespace";

/// What was found of the definitions.
#[derive(Default)]
pub struct FoundDefinitions {
    /// Names of those that do not exist, or are not established yet.
    pub missing: Vec<String>,
    /// Names of those that the operator may not read, and that the API server serves.
    pub unreadable: Vec<String>,
    /// Each older one and what it lacks, as a sentence.
    pub older: Vec<String>,
    /// Names of the newer ones.
    pub newer: Vec<String>,
    /// The command that upgrades the older ones.
    pub upgrade: String,
}

impl FoundDefinitions {
    /// What is wrong with the definitions, and what to do about it.
    pub fn problem(&self) -> Option<String> {
        if !self.missing.is_empty() {
            let names = self.missing.join(", ");
            return Some(format!(
                "CustomResourceDefinitions are missing: {names}; apply them: {APPLY}"
            ));
        }
        let older = !self.older.is_empty();
        older.then(|| {
            format!(
                "CustomResourceDefinitions are older than this operator ({}): {}; upgrade them first: {}",
                env!("CARGO_PKG_VERSION"),
                self.older.join("; "),
                self.upgrade
            )
        })
    }
}

/// Applies the definitions of this operator.
const APPLY: &str = "orchestra-operator crd | kubectl apply --server-side -f -";

/// Reads the definitions.
///
/// # Errors
/// When the API server does not answer.
pub async fn look(client: &Client) -> anyhow::Result<FoundDefinitions> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let mut found = FoundDefinitions::default();
    for own in crds() {
        let name = own.name_any();
        match api.get_opt(&name).await {
            Ok(Some(there)) if is_crd_established().matches_object(Some(&there)) => compare(&own, &there, &mut found),
            Ok(_) => found.missing.push(name),
            Err(kube::Error::Api(status)) if status.is_forbidden() => {
                let list = if is_served(client, &own).await? {
                    &mut found.unreadable
                } else {
                    &mut found.missing
                };
                list.push(name);
            }
            Err(error) => return Err(error).with_context(|| format!("cannot read CustomResourceDefinition {name}")),
        }
    }
    Ok(found)
}

fn compare(own: &CustomResourceDefinition, there: &CustomResourceDefinition, found: &mut FoundDefinitions) {
    let name = own.name_any();
    match age::of(own, there) {
        Age::Same => {}
        Age::Newer => found.newer.push(name),
        Age::Older(lacks) => {
            found
                .older
                .push(format!("{name} lacks {}", text::clauses(&lacks, NAMED)));
            found.upgrade = upgrade(there);
        }
    }
}

/// The command that upgrades a definition, by the tool that installed it.
fn upgrade(there: &CustomResourceDefinition) -> String {
    let annotations = there.annotations();
    match (annotations.get(HELM_RELEASE), annotations.get(HELM_NAMESPACE)) {
        (Some(release), Some(namespace)) => format!(
            "helm upgrade {} CHART --version {} --namespace {} --reset-then-reuse-values --set crds.enabled=true, or where \
             that release is gone: {APPLY} --force-conflicts",
            text::line(release, 53),
            env!("CARGO_PKG_VERSION"),
            text::line(namespace, 63),
        ),
        _ => APPLY.to_owned(),
    }
}

/// Whether the API server serves a kind, which everybody may ask.
async fn is_served(client: &Client, own: &CustomResourceDefinition) -> anyhow::Result<bool> {
    match client.list_api_group_resources(&Orchestra::api_version(&())).await {
        Ok(list) => Ok(list.resources.iter().any(|one| one.name == own.spec.names.plural)),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(false),
        Err(error) => Err(error).context("the kinds that the API server serves cannot be listed"),
    }
}

/// Waits for the definitions, which may be applied after the operator has started. Reads them periodically, because the
/// operator has no right to watch them.
///
/// # Errors
/// When a definition is older than this operator, or the API server does not answer.
pub async fn wait(client: &Client) -> anyhow::Result<()> {
    let mut told = false;
    loop {
        let found = look(client).await?;
        if found.missing.is_empty() {
            return accept(&found);
        }
        if !told {
            tracing::warn!(
                missing = found.missing.join(", "),
                "waiting for CustomResourceDefinitions: apply crds/, or {APPLY}"
            );
            told = true;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

fn accept(found: &FoundDefinitions) -> anyhow::Result<()> {
    if let Some(problem) = found.problem() {
        bail!(problem);
    }
    if !found.newer.is_empty() {
        tracing::info!(
            newer = found.newer.join(", "),
            "CustomResourceDefinitions are newer than this operator, which uses what it knows of them"
        );
    }
    if !found.unreadable.is_empty() {
        tracing::warn!(
            unreadable = found.unreadable.join(", "),
            "the operator may not read CustomResourceDefinitions: whether they are older than it is not known; \
             apply what `orchestra-operator rbac` prints for its flags"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_of_who_holds_the_definition() {
        let mut there = CustomResourceDefinition::default();
        assert_eq!(upgrade(&there), APPLY);
        let annotations = [(HELM_RELEASE, "orchestra"), (HELM_NAMESPACE, "system")];
        let annotations = annotations.map(|(key, value)| (key.to_owned(), value.to_owned()));
        there.metadata.annotations = Some(annotations.into());
        let command = upgrade(&there);
        assert!(command.starts_with("helm upgrade orchestra CHART"), "{command}");
        assert!(
            command.contains("--namespace system") && command.contains(APPLY),
            "{command}"
        );
    }
}
