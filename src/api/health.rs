//! How the databases of tenants are probed, and the result.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::GoDuration;

/// How the databases of a class's tenants are probed.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// How often each database is probed with the published login, from 10s to 1h. Omitted: as the operator's flag
    /// `--probe-interval` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('10s') && duration(self) <= duration('1h')").message("interval must be from 10s to 1h"))]
    pub interval: Option<GoDuration>,
    /// Whether probes also measure each database, for the operator's `/metrics`: its size, its connections and their
    /// limits, its oldest transaction, and the age of its credentials. These metrics have the names of tenants
    /// as labels. Omitted: false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub metrics: bool,
}

/// What prevents applications from using a database, according to probes with the published login.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthStatus {
    /// The reason of the condition Available.
    pub reason: String,
    /// The message of the condition, at most 1000 characters.
    pub message: String,
    /// Since when.
    pub since: Time,
}
