//! How a class's new migrations reach its Orchestras, as a Deployment updates its pods.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// How a changed source reaches the Orchestras of a class that are in use. A new Orchestra begins with
/// the current source and does not wait for the rollout.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// Orchestras that are migrated first: no other Orchestra is migrated until all of them are
    /// updated. A canary that fails halts the rollout. Omitted: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<Canary>,
    /// Limit on the Orchestras of the class that are migrated at once, from 1 to 1000. Default 20. The
    /// operator's `--migrations-per-server` limits all classes together.
    #[serde(default = "default_max_concurrent")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_concurrent: i32,
    /// Number of failed Orchestras that do not halt the rollout. Default 0: the first failure halts it.
    /// A halted rollout continues when the source changes, when the failed Orchestras are corrected, or when this number is
    /// raised.
    #[serde(default)]
    #[schemars(range(min = 0, max = 100_000))]
    pub max_failures: i32,
    /// Pauses the rollout: no further Orchestra will be migrated; migrations in progress are finished.
    #[serde(default)]
    pub paused: bool,
}

fn default_max_concurrent() -> i32 {
    20
}

impl Default for Rollout {
    fn default() -> Self {
        Self {
            canary: None,
            max_concurrent: default_max_concurrent(),
            max_failures: 0,
            paused: false,
        }
    }
}

/// Orchestras that are migrated first.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Canary {
    /// Labels of the Orchestras.
    pub selector: LabelSelector,
}

/// State of a rollout. It counts Orchestras in use whose source is the class's or a template's.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RolloutStatus {
    /// `Canary`, `Rolling`, `Paused`, `Halted` or `Complete`.
    pub phase: RolloutPhase,
    /// Digest of the class's source; with templates, a digest of all their sources together.
    pub revision: String,
    /// Orchestras that have their current source.
    pub updated: i32,
    /// Orchestras that are being migrated, or wait for their database server.
    pub running: i32,
    /// Orchestras that the rollout has not reached.
    pub pending: i32,
    /// Orchestras whose migrations wait for approval.
    #[serde(default)]
    pub held: i32,
    /// Orchestras whose migrations failed.
    pub failed: i32,
    /// Orchestras that keep their migrations (`pinMigrations`).
    pub pinned: i32,
    /// Number of Orchestras by source, the largest first; at most ten.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skew: Vec<RevisionSkew>,
    /// Failed Orchestras, as `<namespace>/<name>`; at most ten.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failing: Vec<String>,
}

/// Orchestras that have the same source.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RevisionSkew {
    /// Digest of the source. Omitted: no source was ever applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Name of the last applied migration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migration: Option<String>,
    /// Number of Orchestras.
    pub tenants: i32,
    /// Whether this is the current source of the class or of one of its templates.
    pub current: bool,
}

/// Phase of a rollout.
#[derive(
    schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr,
)]
pub enum RolloutPhase {
    /// The canaries are migrated.
    Canary,
    /// The other Orchestras are migrated.
    Rolling,
    /// The class's spec pauses the rollout.
    Paused,
    /// Too many Orchestras failed, or a canary failed.
    Halted,
    /// Every Orchestra has its current source.
    #[default]
    Complete,
}

impl RolloutPhase {
    /// The phase as statuses spell it.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}
