//! How a class's new migrations go over its Orchestras: as a Deployment goes over pods.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// How a new source goes over the Orchestras of a class that are in use. A new Orchestra has the new
/// source from its beginning, and waits for no other.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// Orchestras that come first: no other is begun with until all of them are updated. One that
    /// fails halts the rollout. Omitted: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<Canary>,
    /// How many Orchestras of the class may be migrated at once, from 1 to 1000. Default 20. All
    /// classes together are bound by the operator's `--migrations-per-server`, too.
    #[serde(default = "default_max_concurrent")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_concurrent: i32,
    /// How many Orchestras may fail before the rollout halts. Default 0: the first failure halts it.
    /// It goes on when the source changes, when those that failed are cured, or when this is raised.
    #[serde(default)]
    #[schemars(range(min = 0, max = 100_000))]
    pub max_failures: i32,
    /// Begins with no further Orchestra; those under way are finished.
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

/// Orchestras that come first.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Canary {
    /// Their labels.
    pub selector: LabelSelector,
}

/// How far a rollout is. Only Orchestras in use with the class's migrations are counted.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RolloutStatus {
    /// Where it stands: `Canary`, `Rolling`, `Paused`, `Halted` or `Complete`.
    pub phase: RolloutPhase,
    /// Digest of the class's source; of several, with those of its templates, the digest of all of them.
    pub revision: String,
    /// Orchestras that have the source that is theirs.
    pub updated: i32,
    /// Orchestras that are being migrated to it, or wait for their server.
    pub running: i32,
    /// Orchestras that it has not come to.
    pub pending: i32,
    /// Orchestras whose migration to it waits for approval.
    #[serde(default)]
    pub held: i32,
    /// Orchestras whose migration to it failed.
    pub failed: i32,
    /// Orchestras that keep what they have (`pinMigrations`).
    pub pinned: i32,
    /// How many Orchestras are on which source, the most first; ten at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skew: Vec<RevisionSkew>,
    /// Those that failed, as `<namespace>/<name>`; ten at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failing: Vec<String>,
}

/// Orchestras on one source.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RevisionSkew {
    /// Digest of the source; omitted: none was ever applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Name of the last migration that is applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migration: Option<String>,
    /// How many Orchestras.
    pub tenants: i32,
    /// The class or one of its templates has this source now.
    pub current: bool,
}

/// Where a rollout stands.
#[derive(
    schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr,
)]
pub enum RolloutPhase {
    /// The canaries come first.
    Canary,
    /// All others follow.
    Rolling,
    /// The class's spec says so.
    Paused,
    /// Too many failed, or a canary did.
    Halted,
    /// Nothing is left to do.
    #[default]
    Complete,
}

impl RolloutPhase {
    /// The word that statuses use.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}
