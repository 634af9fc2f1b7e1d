//! When the databases of Orchestras are backed up, and which of those backups are kept.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::connection::{CRON, TIME_ZONE};
use super::{BackupEstimate, BackupVerify, DeletionPolicy, GoDuration, ProviderBackups};
use crate::cron::Schedule;

/// The shortest period that a schedule may have.
const SHORTEST: Duration = Duration::from_mins(15);

/// When an Orchestra is backed up, and which of the backups made so are kept.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.timeZone) || has(self.schedule)").message("timeZone belongs to a schedule: set schedule as well, or remove timeZone"))]
pub struct BackupSchedule {
    /// Cron expression of five fields (minute, hour, day of the month, month, day of the week), such as `0 2 * * *`. It
    /// may fire every 15 minutes at most. Each Orchestra is backed up a while later, which follows from its UID: up to an
    /// hour, and up to half of the schedule's shortest period. Omitted in an Orchestra: the class's schedule, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 5, max = 128), regex(pattern = CRON))]
    pub schedule: Option<String>,
    /// IANA name of the schedule's time zone, such as `Europe/Stockholm`. Omitted: UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = TIME_ZONE))]
    pub time_zone: Option<String>,
    /// Makes no backup and no drill by the schedules. Backups and drills that become due meanwhile are not made up for. In a
    /// class: for all of its Orchestras.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub suspend: bool,
    /// Which backups that the schedule has made are kept; the operator deletes the others. Omitted in an Orchestra: as the
    /// class says. Omitted in both: all are kept. The class's `backup.retentionLimits` apply in each case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<BackupRetention>,
    /// `spec.deletionPolicy` of the backups that the schedule makes from now on. Omitted in an Orchestra: as the class
    /// says. Omitted in both: `Delete` with a retention, so that backups that are not kept are also removed from the store,
    /// and otherwise `Retain`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
    /// When drills restore backups, and how. Omitted in an Orchestra: the whole of what the class says. Omitted in
    /// both: on demand only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<BackupVerify>,
}

impl BackupSchedule {
    /// The settings that apply to an Orchestra with these settings, of a class with those.
    #[must_use]
    pub fn or(&self, class: &Self) -> Self {
        let timed = if self.schedule.is_some() { self } else { class };
        Self {
            schedule: timed.schedule.clone(),
            time_zone: timed.time_zone.clone(),
            suspend: self.suspend || class.suspend,
            retention: self.retention.clone().or_else(|| class.retention.clone()),
            deletion_policy: self.deletion_policy.or(class.deletion_policy),
            verify: self.verify.clone().or_else(|| class.verify.clone()),
        }
    }

    /// The schedule, checked to fire; none where no schedule is set. `at` is the path of this object, for messages.
    ///
    /// # Errors
    /// What is wrong with it, and what to do.
    pub fn read(&self, at: &str, now: Timestamp) -> Result<Option<Schedule>, String> {
        fires(at, self.schedule.as_deref(), self.time_zone.as_deref(), now)
    }

    /// The deletion policy of a backup that the schedule makes.
    pub fn deletion_policy(&self) -> DeletionPolicy {
        let default = if self.retention.is_some() {
            DeletionPolicy::Delete
        } else {
            DeletionPolicy::Retain
        };
        self.deletion_policy.unwrap_or(default)
    }
}

/// A schedule that fires, and not too often; none where there is no cron expression. `at` is the path of the object that has
/// it, for messages.
///
/// # Errors
/// What is wrong with it, and what to do.
pub(super) fn fires(
    at: &str,
    cron: Option<&str>,
    zone: Option<&str>,
    now: Timestamp,
) -> Result<Option<Schedule>, String> {
    let Some(cron) = cron else {
        return Ok(None);
    };
    let read = Schedule::that_fires(at, cron, zone, now)?;
    match read.period().filter(|period| *period < SHORTEST) {
        Some(short) => Err(format!(
            "{at}.schedule fires every {} s, and may fire every {} s at most: set one that fires less often, such as \
             0 2 * * *",
            short.as_secs(),
            SHORTEST.as_secs()
        )),
        None => Ok(Some(read)),
    }
}

/// Which backups are kept: those that one of the counts names, or all where no count is given, unless they are older than
/// `maxAge`. The last complete backup and the last verified one are kept in any case.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.maxAge) || has(self.last) || has(self.daily) || has(self.weekly) || has(self.monthly)").message("set maxAge, last, daily, weekly or monthly, or remove retention"))]
pub struct BackupRetention {
    /// Removes older backups, whatever the counts say, from 1h to 87600h (ten years).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1h') && duration(self) <= duration('87600h')").message("maxAge must be from 1h to 87600h"))]
    pub max_age: Option<GoDuration>,
    /// Keeps this number of the last backups, from 1 to 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub last: Option<i32>,
    /// Keeps the last backup of each of this number of days, from 1 to 1000. Days without a backup do not count. Days begin
    /// in the schedule's time zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub daily: Option<i32>,
    /// Keeps the last backup of each of this number of weeks (ISO 8601: they begin on Monday), from 1 to 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub weekly: Option<i32>,
    /// Keeps the last backup of each of this number of months, from 1 to 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub monthly: Option<i32>,
}

/// Backups of an Orchestra by its schedule.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScheduledBackups {
    /// When the next one is made. A time in the past is made up for, once, as soon as that can be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_time: Option<Time>,
    /// Name of the last OrchestraBackup that the schedule has made, and that is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
    /// Time of the snapshot of the last complete one that is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_complete_time: Option<Time>,
    /// When the next drill begins. A time in the past is made up for, once, as soon as there is a complete backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_verify_time: Option<Time>,
    /// When a drill last verified an existing backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_verified_time: Option<Time>,
    /// Until when the next one should have: the second time of the schedule after the last, or after its beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify_deadline: Option<Time>,
    /// Time of the newest data in a backup of this Orchestra, whoever has made it, that is there, complete, and not found
    /// damaged by a drill. Newer data would be lost with the database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery_point_time: Option<Time>,
    /// Until when newer data should be in a backup: the second time of the schedule after that, or after its beginning. Absent
    /// while no schedule runs, and while the database is paused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery_point_deadline: Option<Time>,
    /// What the accepted schedule stores and transfers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate: Option<BackupEstimate>,
    /// Backups that the provider makes of the project by itself, as of its last answer; absent of a pool's database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<ProviderBackups>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_wrong_with_a_schedule_is_told() {
        let read = |schedule: Option<&str>, zone: Option<&str>| {
            let of = BackupSchedule {
                schedule: schedule.map(Into::into),
                time_zone: zone.map(Into::into),
                ..BackupSchedule::default()
            };
            of.read("spec.backup", "2026-11-29T00:00:00Z".parse().unwrap())
        };
        for (schedule, zone, says) in [
            (
                "*/5 * * * *",
                None,
                "fires every 300 s, and may fire every 900 s at most",
            ),
            ("0 0 30 2 *", None, "spec.backup.schedule \"0 0 30 2 *\" never fires"),
            (
                "0 25 * * *",
                None,
                "spec.backup.schedule \"0 25 * * *\" is not a cron expression",
            ),
            (
                "0 2 * * *",
                Some("Europe/Atlantis"),
                "spec.backup.timeZone \"Europe/Atlantis\" does not exist",
            ),
        ] {
            let told = read(Some(schedule), zone).unwrap_err();
            assert!(told.contains(says), "{told}");
        }
        assert!(read(None, None).unwrap().is_none());
        assert!(read(Some("*/15 * * * *"), Some("Europe/Stockholm")).unwrap().is_some());
    }

    #[test]
    fn an_orchestra_says_it_or_its_class_does() {
        let class = BackupSchedule {
            schedule: Some("0 2 * * *".into()),
            time_zone: Some("Europe/Stockholm".into()),
            retention: Some(BackupRetention {
                last: Some(7),
                ..BackupRetention::default()
            }),
            ..BackupSchedule::default()
        };
        let own = BackupSchedule::default();
        assert_eq!(own.or(&class), class);
        assert_eq!(own.or(&class).deletion_policy(), DeletionPolicy::Delete);
        assert_eq!(own.or(&own).deletion_policy(), DeletionPolicy::Retain);
        let own = BackupSchedule {
            schedule: Some("0 4 * * *".into()),
            deletion_policy: Some(DeletionPolicy::Retain),
            ..own
        };
        let both = own.or(&class);
        // The zone belongs to the schedule.
        assert_eq!((both.schedule, both.time_zone.clone()), (own.schedule.clone(), None));
        assert_eq!(both.retention, class.retention);
        assert_eq!(own.or(&class).deletion_policy(), DeletionPolicy::Retain);
        for (own, of_class) in [(true, false), (false, true)] {
            let one = BackupSchedule {
                suspend: own,
                ..class.clone()
            };
            let other = BackupSchedule {
                suspend: of_class,
                ..class.clone()
            };
            assert!(one.or(&other).suspend, "either suspends");
        }
    }
}
