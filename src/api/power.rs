//! Whether a database runs, and when it is paused because nobody uses it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::GoDuration;

/// Whether a database is to run.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[schemars(transform = super::leave_description_to_field)]
pub enum PowerState {
    /// It runs (default).
    #[default]
    Running,
    /// It is paused: nobody can use it, and its data are kept.
    Paused,
}

/// When a database is paused because nobody uses it.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Idle {
    /// How long nobody may have used the database, from 10s to 8760h, for example `72h`. Omitted: it is never paused for
    /// that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('10s') && duration(self) <= duration('8760h')").message("pauseAfter must be from 10s to 8760h"))]
    pub pause_after: Option<GoDuration>,
}

/// Why a database is paused.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[schemars(transform = super::leave_description_to_field)]
pub enum PausedBy {
    /// `spec.powerState` says so.
    #[default]
    Spec,
    /// Nobody has used it.
    Idle,
}

/// Pauses of a tenant's database.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PowerStatus {
    /// Why the database is paused, or is being paused; absent while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_by: Option<PausedBy>,
    /// Since when the database is paused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_since: Option<Time>,
    /// `spec.powerState` when the database was paused for idleness. Another value `Running` wakes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declared: Option<PowerState>,
    /// Value of the annotation `stagesub.io/wake-requested-at` when the database was paused for idleness. Another
    /// value wakes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub wake: Option<String>,
    /// Since when nobody has used the database, as far as was looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unused_since: Option<Time>,
    /// Count of the changes of the database's tables and of the scans of their indexes at that time. It stays the same while
    /// nobody uses them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub uses: Option<String>,
    /// Count of the scans of whole tables at that time, or after the last backup, which makes some as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub scans: Option<String>,
    /// When the event was published that warns of the pause, or later of one that lasts for more than 60 days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warned_at: Option<Time>,
    /// What all pauses have saved so far, as a decimal; absent for an entry of a static pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub saved: Option<String>,
    /// Currency of `saved`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub currency: Option<String>,
}
