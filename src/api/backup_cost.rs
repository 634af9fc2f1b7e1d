//! What backups by schedule cost, how many of them a class allows, and the backups that the provider makes itself.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::GoDuration;

/// The form of a price of a gigabyte.
const PRICE: &str = r"^[0-9]{1,6}(\.[0-9]{1,6})?$";

/// Bounds of the retention of a class's Orchestras. They apply whatever an Orchestra says, also where it has no retention. The
/// last complete backup and the last verified one are kept in any case.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.minAge) || has(self.maxAge) || has(self.minCount) || has(self.maxCount)").message("set minAge, maxAge, minCount or maxCount, or remove retentionLimits"),
    validation = Rule::new("!has(self.minAge) || !has(self.maxAge) || duration(self.minAge) <= duration(self.maxAge)").message("minAge must not be longer than maxAge"),
    validation = Rule::new("!has(self.minCount) || !has(self.maxCount) || self.minCount <= self.maxCount").message("minCount must not be more than maxCount"),
)]
pub struct RetentionLimits {
    /// Younger backups are kept, from 1h to 87600h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1h') && duration(self) <= duration('87600h')").message("minAge must be from 1h to 87600h"))]
    pub min_age: Option<GoDuration>,
    /// Older backups are removed, from 1h to 87600h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1h') && duration(self) <= duration('87600h')").message("maxAge must be from 1h to 87600h"))]
    pub max_age: Option<GoDuration>,
    /// This number of the last backups is kept, from 1 to 1000, also those that are older than `maxAge`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub min_count: Option<i32>,
    /// At most this number of backups is kept, from 1 to 10000, and those that are younger than `minAge`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub max_count: Option<i32>,
}

impl RetentionLimits {
    /// Whether an Orchestra cannot keep as many backups as it likes.
    pub fn has_most(&self) -> bool {
        self.max_age.is_some() || self.max_count.is_some()
    }
}

/// Prices from which the cost of backups is estimated, in the currency of the class's budget. A gigabyte has 1,000,000,000
/// bytes.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupPrices {
    /// Price of a gigabyte that is stored for a month, for example `"0.023"`. Omitted: what is stored costs nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 13), regex(pattern = PRICE))]
    pub stored_gigabyte: Option<String>,
    /// Price of a gigabyte that leaves a database, for example `"0.09"`. Omitted: of hosted projects the provider's public price,
    /// without the share that each organization has free, and of pools nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 13), regex(pattern = PRICE))]
    pub sent_gigabyte: Option<String>,
}

/// An estimate of what the schedule of an Orchestra's backups stores and transfers, from the sizes of its last backup, or of
/// its database before the first one. Sizes are rounded up to two digits, so that it does not change with each backup.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupEstimate {
    /// Backups that are made in a month of 730 hours.
    pub made_a_month: i32,
    /// Backups that are stored at the same time, at most. Without a retention: those of the first month.
    pub kept: i32,
    /// Bytes that the database sends for one backup.
    pub sent_bytes: i64,
    /// Bytes of one stored backup.
    pub stored_bytes: i64,
    /// Bytes that the database sends in a month.
    pub sent_bytes_a_month: i64,
    /// Bytes of all stored backups.
    pub stored_bytes_in_all: i64,
    /// Currency of `monthly`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    /// What both cost a month; absent where no price is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monthly: Option<String>,
}

/// Backups that the provider makes of a hosted project by itself. They are deleted with the project, and cannot be downloaded.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProviderBackups {
    /// Number of complete ones that the provider lists.
    pub count: i32,
    /// When the first and the last of them were made, or the span of recovery to a point in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earliest_time: Option<Time>,
    /// See `earliestTime`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest_time: Option<Time>,
    /// Whether the project has recovery to a point in time, which replaces daily backups.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub point_in_time: bool,
    /// Days for which the organization's plan keeps them; absent where it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_days: Option<i64>,
}
