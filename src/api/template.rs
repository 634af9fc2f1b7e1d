//! Templates of a class, how they are named, and what is told of them.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{LABEL, Migrations, Seed, VERSION};

/// Migrations, seed and settings as one versioned unit, which Orchestras and pools name.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.migrations.source)").message("a template's migrations need a source"),
    validation = Rule::new("!has(self.migrations.resolve) && !has(self.migrations.baseline)").message("resolve and baseline speak of one database: set them in its Orchestra"),
)]
pub struct Template {
    /// Name, by which it is referred to.
    #[schemars(length(min = 1, max = 63), regex(pattern = LABEL))]
    pub name: String,
    /// Version, for people; the status of each tenant says which one it has.
    #[schemars(length(min = 1, max = 63), regex(pattern = VERSION))]
    pub version: String,
    /// Migrations, read from the operator's namespace.
    pub migrations: Migrations,
    /// Rows to begin with, for Orchestras that bring none of their own; read from the operator's
    /// namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<Seed>,
    /// Values that seeds know as variables: `currency` is `setting_currency`. A name is of lower-case
    /// letters, digits and underscores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 32, "additionalProperties" = serde_json::json!({"type": "string", "maxLength": 1024})))]
    #[x_kube(validation = Rule::new("self.all(name, name.matches('^[a-z][a-z0-9_]{0,62}$'))").message("the name of a setting must be of lower-case letters, digits and underscores, at most 63, with a letter first"))]
    pub settings: Option<BTreeMap<String, String>>,
}

/// A template of the class.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TemplateReference {
    /// Name of the template.
    #[schemars(length(min = 1, max = 63), regex(pattern = LABEL))]
    pub name: String,
}

/// A template of which a database has all migrations.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AppliedTemplate {
    /// OrchestraClass whose template it is.
    #[serde(default)]
    pub class_name: String,
    /// Name of the template.
    pub name: String,
    /// Version that it had; empty while a database of a pool is being prepared.
    pub version: String,
}
