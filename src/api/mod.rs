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

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray,
};
use kube::{CustomResourceExt, KubeSchema};
use serde::{Deserialize, Serialize};

/// What the API server accepts as the name of an object that is named here (RFC 1123 subdomain).
const NAME: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";

/// What a region of the provider looks like.
const REGION: &str = "^[a-z0-9-]+$";

/// An amount of money: at most nine digits, and two after the point.
const AMOUNT: &str = r"^[0-9]{1,9}(\.[0-9]{1,2})?$";

/// What something costs. Money is in decimal strings.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cost {
    /// Currency of the amount.
    pub currency: String,
    /// What it costs a month, of 730 hours.
    pub monthly: String,
    /// What each started hour of it costs, as the provider bills.
    pub hourly: String,
}

/// Where a database should be.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Placement {
    /// Region of the provider, for example `eu-central-1`.
    #[schemars(length(min = 1, max = 32), regex(pattern = REGION))]
    pub region: String,
}

/// Migrations and the format they are in.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Migrations {
    /// Where the scripts are: ConfigMaps with a key `<migration name>.sql` for each migration, in the
    /// Orchestra's namespace; those of a class in the operator's.
    pub source: MigrationSource,
    /// Format of the scripts and of the history that is kept in the database: `Prisma`, `Supabase` or
    /// `Sqlx`. Omitted: known by what only one of the tools writes, such as Prisma's
    /// `migration_lock.toml`; files that several would take need it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<MigrationFormat>,
    /// When pending migrations wait for a person: `Automatic` never, `OnDestructive` (default) when they
    /// would destroy or break something, or cannot be judged, `Always` also when they are harmless. The
    /// first migrations of an empty database need no approval under `OnDestructive`. A plan is approved
    /// by the Orchestra's annotation `stagesub.io/approve-migrations` with the plan's digest.
    #[serde(default)]
    pub approval: Approval,
}

/// When pending migrations wait for a person's approval.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Approval {
    /// Never: they are applied at once, and not looked at.
    Automatic,
    /// When they would destroy or break something, or cannot be judged (default).
    #[default]
    OnDestructive,
    /// Always, the first ones too.
    Always,
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
#[derive(schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MigrationFormat {
    /// Prisma Migrate up to version 7, with its history in `_prisma_migrations`.
    #[default]
    Prisma,
    /// The Supabase CLI, with its history in `supabase_migrations.schema_migrations`.
    Supabase,
    /// sqlx, with its history in `_sqlx_migrations`.
    Sqlx,
}

impl MigrationFormat {
    /// The word that manifests use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prisma => "Prisma",
            Self::Supabase => "Supabase",
            Self::Sqlx => "Sqlx",
        }
    }
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
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME))]
    pub name: String,
}

/// What happens to a database whose claim is deleted.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[schemars(transform = leave_description_to_field)]
pub enum DeletionPolicy {
    /// Keep the database and its data (default).
    #[default]
    Retain,
    /// Destroy the database and its data.
    Delete,
}

/// kube puts the description of an optional enum in the place of its field's.
fn leave_description_to_field(schema: &mut schemars::Schema) {
    schema.remove("description");
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
    let schemas = crds.iter_mut().flat_map(|crd| &mut crd.spec.versions);
    for schema in schemas.filter_map(|version| version.schema.as_mut()?.open_api_v3_schema.as_mut()) {
        polish(schema);
        if let Some(status) = schema.properties.as_mut().and_then(|all| all.get_mut("status")) {
            status.default = Some(JSON(serde_json::json!({"observedGeneration": NOT_OBSERVED})));
        }
    }
    crds
}

/// Generation of a status that the operator has not written.
const NOT_OBSERVED: i64 = -1;

fn not_observed() -> i64 {
    NOT_OBSERVED
}

/// Makes a schema, and all in it, fit for people and rules.
///
/// Where null is no value, the API server takes it for an omitted field: `has()` in a rule is then
/// as true as it reads, and a default applies. Lines of a description are joined, because kubectl
/// breaks them itself.
fn polish(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    if let Some(description) = &mut schema.description {
        let paragraphs = description.split("\n\n").map(|paragraph| paragraph.replace('\n', " "));
        *description = paragraphs.collect::<Vec<_>>().join("\n\n");
    }
    let properties = schema.properties.iter_mut().flat_map(BTreeMap::values_mut);
    properties.for_each(polish);
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        polish(items);
    }
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
