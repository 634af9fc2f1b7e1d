//! When the project of a database ran, which is when the provider charges for it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{OrchestraDatabase, OrchestraDatabaseStatus};

/// When a project ran: what the provider charges for. A paused project costs nothing.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Charges {
    /// Periods in which the project ran, in their order. The last one lasts while it has no end. There are at most 24: an
    /// older one is added to the sums of its months.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 24))]
    pub periods: Vec<ChargedPeriod>,
    /// Sums of periods that are not in `periods` any more, by month, in their order. The last thirteen months are kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 13))]
    pub months: Vec<ChargedMonth>,
}

/// A period in which a project ran with one compute size.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChargedPeriod {
    /// When it began: the project was created, restored or resized.
    pub begin: Time,
    /// When it ended: the project was paused, resized or deleted. Absent while it lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<Time>,
    /// Compute size that was charged; `micro` also stands for `nano`.
    #[schemars(length(min = 1, max = 64))]
    pub instance_size: String,
    /// Price of a started hour at the end of the period, as a decimal string. Absent while it lasts, when `status.cost` has the
    /// price, and where no price was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub hourly: Option<String>,
}

/// The sum of periods in a calendar month in UTC.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChargedMonth {
    /// The month, such as `2026-11`.
    #[schemars(length(max = 16))]
    pub month: String,
    /// Started hours.
    pub hours: i32,
    /// What they cost, as a decimal string.
    #[schemars(length(max = 64))]
    pub amount: String,
}

impl OrchestraDatabaseStatus {
    /// The compute size that is charged, where it was recorded: the project was paused or resized.
    pub fn charged_size(&self) -> Option<&str> {
        let last = self.charges.as_ref()?.periods.last()?;
        Some(&last.instance_size)
    }
}

impl OrchestraDatabase {
    /// The compute size of its project: the one that is charged, else the one that was requested.
    pub fn instance_size(&self) -> Option<&str> {
        let requested = self.spec.supabase.as_ref()?.instance_size.as_deref();
        let charged = self.status.as_ref().and_then(OrchestraDatabaseStatus::charged_size);
        charged.or(requested)
    }

    /// Since when its project is charged, pauses apart: the request that created it, else the creation of this object.
    pub fn charged_since(&self) -> Option<&Time> {
        let requested = self.status.as_ref().and_then(|status| status.create_issued_at.as_ref());
        requested.or(self.metadata.creation_timestamp.as_ref())
    }
}
