//! Drills: backups that are restored into a scratch database and compared with their snapshot.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::backup_schedule::fires;
use super::connection::{CRON, TIME_ZONE};
use super::{BackupFailure, NAME};
use crate::cron::Schedule;

/// The form of a key of a ConfigMap.
const KEY: &str = "^[-._a-zA-Z0-9]+$";

/// When a drill restores the last complete backup of an Orchestra, where, and which queries check the restored copy.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.timeZone) || has(self.schedule)").message("timeZone belongs to a schedule: set schedule as well, or remove timeZone"))]
pub struct BackupVerify {
    /// Cron expression of five fields, such as `0 4 * * 0`. It may fire every 15 minutes at most. Each Orchestra's drill
    /// begins a while later, which follows from its UID: up to an hour, and up to half of the schedule's shortest period.
    /// Omitted: drills on demand only, by the annotation `stagesub.io/verify-requested-at` of an OrchestraBackup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 5, max = 128), regex(pattern = CRON))]
    pub schedule: Option<String>,
    /// IANA name of the schedule's time zone, such as `Europe/Stockholm`. Omitted: UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = TIME_ZONE))]
    pub time_zone: Option<String>,
    /// What a backup is restored into. `ScratchDatabase`: a database with an owner of its own, on the server that the class
    /// names (`backup.scratchPoolName`), or else on the Orchestra's own. It is dropped after the drill, however that ends.
    pub target: DrillTarget,
    /// Queries to the restored copy, each of which must return true. Omitted: the copy is compared with the manifest only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assertions: Option<DrillAssertions>,
}

impl BackupVerify {
    /// The schedule, checked to fire; none where no schedule is set. `at` is the path of this object, for messages.
    ///
    /// # Errors
    /// What is wrong with it, and what to do.
    pub fn read(&self, at: &str, now: Timestamp) -> Result<Option<Schedule>, String> {
        fires(at, self.schedule.as_deref(), self.time_zone.as_deref(), now)
    }
}

/// What a drill restores a backup into.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DrillTarget {
    /// A separate database on a PostgreSQL server.
    #[default]
    ScratchDatabase,
}

/// Queries to a restored copy.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DrillAssertions {
    /// ConfigMap in the namespace of the Orchestra, or of a class in the operator's.
    pub config_map_ref: AssertionsReference,
}

/// A ConfigMap with queries: each key is one, at most 100 keys of 64 KiB, and 256 KiB in all. A query is one statement that returns one
/// boolean. It is asked in a transaction that can change nothing, and has a minute.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AssertionsReference {
    /// Name of the ConfigMap.
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME))]
    pub name: String,
    /// The one key that is used. Omitted: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = KEY))]
    pub key: Option<String>,
}

/// Drills of a backup: it was restored into a scratch database and compared with its manifest. The result is that of the
/// last drill that has ended.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupDrill {
    /// When a drill last found everything that the manifest says; absent when none did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_verified_time: Option<Time>,
    /// How the last drill ended, for people: `Passed`; `Failed`, where the backup is damaged or differs from its snapshot;
    /// or `NotDone`, where the drill could not be executed, which says nothing about the backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// When the last drill was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When it ended; absent while it is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
    /// How long it took, with its waits and failed attempts, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_seconds: Option<i64>,
    /// How long the last drill's restore took, in seconds. A restore into an Orchestra's database takes about as long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_seconds: Option<i64>,
    /// Age of the backup's data when the last drill began, in seconds: a recovery from it at that time would have lost what
    /// was written in them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_age_seconds: Option<i64>,
    /// Number of differences that the last drill found, assertions that do not hold included.
    #[serde(default)]
    pub discrepancy_count: i64,
    /// The first of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub discrepancies: Vec<String>,
    /// Value of the annotation `stagesub.io/verify-requested-at` for which the last drill was started: another value asks
    /// for another drill.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested: Option<String>,
    /// Number of Jobs that were made for drills of this backup. Written before each.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub attempts: i32,
    /// Number of them whose end is known: the last one is under way while it is less than `attempts`.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub concluded: i32,
    /// Number of attempts of the last drill that failed without a result.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub failures: i32,
    /// Why the last drill has not passed; absent once one has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<BackupFailure>,
    /// The scratch database. Written before it is made, and absent once it is dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scratch: Option<ScratchDatabase>,
}

/// Where the scratch database of a drill is.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScratchDatabase {
    /// Name of the database, and of the role that owns it.
    pub name: String,
    /// OrchestraPool on whose server it is.
    pub pool: String,
    /// Entry of that pool whose login makes and drops it. Absent: the login of the pool's `server`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}
