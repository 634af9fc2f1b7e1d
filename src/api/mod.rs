//! The contract with users: the kinds of `stagesub.io/v1alpha1`, their conditions and reasons.
//!
//! The names of five kinds are taken: `Orchestra`, `OrchestraClass`, `OrchestraDatabase`,
//! `OrchestraPool`, and `OrchestraBackup` (`orchbackup`, namespaced), which is not served yet.

mod class;
pub mod condition;
mod database;
mod orchestra;
mod pool;

pub use class::*;
pub use database::*;
pub use orchestra::*;
pub use pool::*;

use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{CustomResourceDefinition, JSON};
use kube::{CustomResourceExt, KubeSchema};
use serde::{Deserialize, Serialize};

/// Where a database should be.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Placement {
    /// Region of the provider, for example `eu-central-1`.
    #[schemars(length(min = 1, max = 32), regex(pattern = "^[a-z0-9-]+$"))]
    pub region: String,
}

/// Migrations and the format they are in.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Migrations {
    /// Where the scripts are: ConfigMaps with a key `<migration name>.sql` for each migration, in the
    /// Orchestra's namespace; those of a class in the operator's.
    pub source: MigrationSource,
    /// Format of the scripts and of the history that is kept in the database. `Prisma` (default):
    /// Prisma Migrate, with its history in `_prisma_migrations`.
    #[serde(default)]
    pub format: MigrationFormat,
}

/// Where migration scripts are: one ConfigMap or several, with a key `<migration name>.sql` for
/// each migration of a Prisma project's `migrations` folder.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.configMapRef) != has(self.configMapRefs)").message("exactly one of configMapRef and configMapRefs must be set"))]
pub struct MigrationSource {
    /// One ConfigMap that holds all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_ref: Option<ConfigMapReference>,
    /// Several ConfigMaps, read as one set: a ConfigMap holds 1 MiB at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub config_map_refs: Option<Vec<ConfigMapReference>>,
}

impl MigrationSource {
    /// Names of the ConfigMaps, in order.
    pub fn config_maps(&self) -> impl Iterator<Item = &str> {
        self.config_map_ref
            .iter()
            .chain(self.config_map_refs.iter().flatten())
            .map(|reference| reference.name.as_str())
    }
}

/// Format of migration scripts.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum MigrationFormat {
    /// Prisma Migrate, with its history in `_prisma_migrations`.
    #[default]
    Prisma,
}

/// Rows to begin with.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Seed {
    /// ConfigMap in the Orchestra's namespace; its keys `*.sql` run in the order of their names, in
    /// one transaction.
    pub config_map_ref: ConfigMapReference,
    /// When the seed is applied. `Once` (default): once in the life of the database; a changed seed
    /// changes nothing.
    #[serde(default)]
    pub policy: SeedPolicy,
}

/// When a seed is applied.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SeedPolicy {
    /// Once in the life of the database. A changed seed changes nothing (default).
    #[default]
    Once,
}

/// A ConfigMap.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapReference {
    /// Name of the ConfigMap.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// What happens to a database whose claim is deleted.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DeletionPolicy {
    /// Keep the database and its data (default).
    #[default]
    Retain,
    /// Destroy the database and its data.
    Delete,
}

/// The CustomResourceDefinitions, as `crds/` holds them.
///
/// Each status defaults to `observedGeneration: -1`, so that kstatus reads a new object as in
/// progress and never as current.
pub fn crds() -> Vec<CustomResourceDefinition> {
    let mut crds = vec![
        Orchestra::crd(),
        OrchestraClass::crd(),
        OrchestraDatabase::crd(),
        OrchestraPool::crd(),
    ];
    for crd in &mut crds {
        for version in &mut crd.spec.versions {
            let schema = version
                .schema
                .as_mut()
                .and_then(|schema| schema.open_api_v3_schema.as_mut());
            let properties = schema.and_then(|schema| schema.properties.as_mut());
            if let Some(status) = properties.and_then(|properties| properties.get_mut("status")) {
                status.default = Some(JSON(serde_json::json!({"observedGeneration": -1})));
            }
        }
    }
    crds
}

/// The CustomResourceDefinitions as files: name and YAML.
///
/// # Errors
/// When one cannot be written as YAML.
pub fn crd_documents() -> Result<BTreeMap<String, String>, serde_saphyr::ser::Error> {
    let document = |crd: CustomResourceDefinition| {
        let name = format!("{}.yaml", crd.metadata.name.as_deref().unwrap_or_default());
        let yaml = serde_saphyr::to_string(&crd)?;
        Ok((name, format!("# Generated by `make crds`; do not edit.\n{yaml}")))
    };
    crds().into_iter().map(document).collect()
}
