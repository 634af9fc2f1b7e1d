//! `kubectl orchestra restore`: an Orchestra that takes back the database of a deleted one.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap_complete::engine::ArgValueCandidates;
use kube::ResourceExt as _;
use kube::api::{Api, ListParams};

use super::complete;
use super::preview::orchestras_in;
use super::scope::Scope;
use crate::api::names::COMMAND_MANAGER;
use crate::api::{DatabaseSource, ExistingDatabase, Orchestra, OrchestraDatabase, OrchestraSpec};
use crate::cli::changed::{ChangedFormat, ChangedOutput};
use crate::controller::write::post_parameters;

/// Arguments of `restore`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Name of the new Orchestra. Its database is the one that the last Orchestra of this name and namespace has left.
    pub name: String,
    /// The OrchestraDatabase, where it is another one, or one of several.
    #[arg(long, add = ArgValueCandidates::new(complete::released))]
    pub database: Option<String>,
    /// Manifest with the rest of the spec, such as the migrations. `-`: standard input.
    #[arg(short, long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub filename: Option<PathBuf>,
    /// Print the manifest, and create nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// What is printed.
    #[command(flatten)]
    pub output: ChangedOutput,
}

/// Creates the Orchestra, or returns its manifest.
///
/// # Errors
/// When there is no such database, or several, or the Orchestra cannot be created.
pub async fn run(scope: &Scope, arguments: &Arguments) -> anyhow::Result<String> {
    let databases: Api<OrchestraDatabase> = Api::all(scope.client.clone());
    let database = if let Some(name) = &arguments.database {
        databases.get(name).await?
    } else {
        let all = databases.list(&ListParams::default()).await;
        let all = all.context("cannot list OrchestraDatabases: name the database with --database")?;
        only(all.items, &scope.namespace, &arguments.name)?
    };
    let spec = match &arguments.filename {
        Some(file) => spec_of(file, &arguments.name)?,
        None => OrchestraSpec::default(),
    };
    let orchestra = taking_back(scope, &arguments.name, spec, &database);
    if arguments.dry_run {
        let output = arguments.output.output.or(Some(ChangedFormat::Yaml));
        return ChangedOutput { output }.of(&orchestra, "");
    }
    let parameters = post_parameters(COMMAND_MANAGER);
    let created = scope.orchestras().create(&parameters, &orchestra).await?;
    let done = format!("created: it takes back {}", database.name_any());
    arguments.output.of(&created, &done)
}

/// The database that a deleted Orchestra of this name left.
fn only(all: Vec<OrchestraDatabase>, namespace: &str, name: &str) -> anyhow::Result<OrchestraDatabase> {
    let is_left = |database: &OrchestraDatabase| {
        let claim = database.spec.claim_ref.as_ref();
        let theirs = claim.is_some_and(|claim| claim.namespace == namespace && claim.name == name);
        theirs && database.spec.released_at.is_some() && !database.is_being_reset()
    };
    let mut left: Vec<_> = all.into_iter().filter(is_left).collect();
    left.sort_by_key(|database| database.spec.released_at.as_ref().map(|at| at.0));
    if left.len() > 1 {
        let named = left.iter().rev().map(|database| {
            let at = database.spec.released_at.as_ref().map(|at| at.0.to_string());
            format!("{} (released {})", database.name_any(), at.unwrap_or_default())
        });
        bail!(
            "several deleted Orchestras named {name} left a database: name one with --database: {}",
            named.collect::<Vec<_>>().join(", ")
        );
    }
    left.pop().with_context(|| {
        format!("no deleted Orchestra {name} in namespace {namespace} left a database: kubectl get orchdb lists all")
    })
}

fn spec_of(file: &PathBuf, name: &str) -> anyhow::Result<OrchestraSpec> {
    let mut found = orchestras_in(std::slice::from_ref(file))?;
    if found.len() == 1 {
        return Ok(found.remove(0).spec);
    }
    let named = found.into_iter().find(|orchestra| orchestra.name_any() == name);
    Ok(named
        .with_context(|| format!("{} has no Orchestra {name}", file.display()))?
        .spec)
}

fn taking_back(scope: &Scope, name: &str, spec: OrchestraSpec, database: &OrchestraDatabase) -> Orchestra {
    let existing = ExistingDatabase {
        database_name: Some(database.name_any()),
        ..ExistingDatabase::default()
    };
    let template_ref = spec.source.as_ref().and_then(|source| source.template_ref.clone());
    let mut orchestra = Orchestra::new(
        name,
        OrchestraSpec {
            class_name: spec.class_name.clone().or_else(|| database.spec.class_name.clone()),
            source: Some(DatabaseSource {
                template_ref,
                existing: Some(existing),
                backup_ref: None,
            }),
            ..spec
        },
    );
    orchestra.metadata.namespace = Some(scope.namespace.clone());
    orchestra
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn database(name: &str, claim: &str, released: Option<&str>) -> OrchestraDatabase {
        serde_json::from_value(json!({
            "apiVersion": "stagesub.io/v1alpha1", "kind": "OrchestraDatabase", "metadata": {"name": name},
            "spec": {"claimRef": {"namespace": "tenants", "name": claim, "uid": "u"}, "releasedAt": released},
        }))
        .unwrap()
    }

    #[test]
    fn only_the_database_that_was_left_is_taken_back() {
        let left = Some("2026-11-28T00:00:00Z");
        let all = || {
            vec![
                database("a", "acme", None),
                database("b", "acme", left),
                database("c", "other", left),
            ]
        };
        assert_eq!(only(all(), "tenants", "acme").unwrap().name_any(), "b");
        assert!(only(all(), "others", "acme").is_err());
        let mut several = all();
        several.push(database("d", "acme", Some("2026-11-29T00:00:00Z")));
        let error = only(several, "tenants", "acme").unwrap_err().to_string();
        assert!(
            error.contains("d (released 2026-11-29T00:00:00Z), b (released"),
            "{error}"
        );
    }
}
