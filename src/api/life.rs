//! Where an Orchestra's database comes from, and how an Orchestra ends.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{NAME, OrchestraSpec, TemplateReference};

/// What a database is created from, or which one is used.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.templateRef) || has(self.existing)").message("set templateRef, existing, or both"))]
pub struct DatabaseSource {
    /// A template of the class: its migrations and its seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template_ref: Option<TemplateReference>,
    /// A database that exists, with its data, in place of a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub existing: Option<ExistingDatabase>,
}

/// A database that exists.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExistingDatabase {
    /// OrchestraDatabase that a deleted Orchestra of this namespace and this class has left (phase Released or
    /// Reclaiming). It is taken back with its data; the new Orchestra gets a login of its own.
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME))]
    pub database_name: String,
}

/// A warning of the end of a ttl.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExpiryNotice {
    /// The end that it warned of. A warning of another end is void.
    pub expires_at: Time,
    /// When it was given.
    pub given_at: Time,
    /// Whether it is the last one before the end.
    pub last: bool,
}

impl OrchestraSpec {
    /// The template that it names.
    pub fn template(&self) -> Option<&TemplateReference> {
        self.source.as_ref()?.template_ref.as_ref()
    }

    /// The existing database that it names.
    pub fn existing(&self) -> Option<&ExistingDatabase> {
        self.source.as_ref()?.existing.as_ref()
    }
}
