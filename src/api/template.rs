//! Templates of a class, references to them, and their versions in statuses.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{LABEL, Migrations, Seed, VERSION};

/// Migrations, seed and settings as one versioned unit, to which Orchestras and pools refer.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.migrations.source)").message("a template's migrations need a source"),
    validation = Rule::new("!has(self.migrations.resolve) && !has(self.migrations.baseline)").message("resolve and baseline describe one database: set them in its Orchestra"),
)]
pub struct Template {
    /// Name of the template.
    #[schemars(length(min = 1, max = 63), regex(pattern = LABEL))]
    pub name: String,
    /// Version, for people. The status of each tenant says which version it has.
    #[schemars(length(min = 1, max = 63), regex(pattern = VERSION))]
    pub version: String,
    /// Migrations, read from the operator's namespace.
    pub migrations: Migrations,
    /// Initial rows for Orchestras without a seed of their own; read from the operator's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<Seed>,
    /// Values that seeds have as variables: `currency` is `setting_currency`. A name consists of
    /// lower-case letters, digits and underscores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 32, "additionalProperties" = serde_json::json!({"type": "string", "maxLength": 1024})))]
    #[x_kube(validation = Rule::new("self.all(name, name.matches('^[a-z][a-z0-9_]{0,62}$'))").message("the name of a setting must be at most 63 lower-case letters, digits and underscores, and begin with a letter"))]
    pub settings: Option<BTreeMap<String, String>>,
}

/// Reference to a template of the class.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TemplateReference {
    /// Name of the template.
    #[schemars(length(min = 1, max = 63), regex(pattern = LABEL))]
    pub name: String,
}

/// A template whose migrations are all applied to a database.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AppliedTemplate {
    /// OrchestraClass of the template.
    #[serde(default)]
    pub class_name: String,
    /// Name of the template.
    pub name: String,
    /// Version of the template; empty while a pool prepares the database.
    pub version: String,
}
