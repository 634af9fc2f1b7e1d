//! The count of backups for the metrics.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt as _;

use super::ages;
use crate::api::condition::{ConditionType, Reason, find};
use crate::api::{Orchestra, OrchestraBackup, known_reason};
use crate::controller::Stores;
use crate::telemetry::backups::TenantBackup;
use crate::telemetry::metrics::Metrics;

/// The phase of a backup without status.
const NO_PHASE: &str = "Pending";

/// Counts the backups, and the tenants by what their schedules have made.
pub fn count(stores: &Stores, tenants: &[Arc<Orchestra>], metrics: &Metrics) {
    let (all, metrics) = (stores.backups.state(), metrics.backups());
    metrics.set_phases(phases(&all));
    metrics.set_stored(all.iter().filter_map(|backup| stored(backup)));
    metrics.set_progress(all.iter().filter_map(|backup| progress(backup)));
    metrics.set_troubles(tenants.iter().filter_map(|object| trouble(object)));
    let asking = stores.classes.state_filter(ages::asks);
    let asking: BTreeSet<_> = asking.iter().map(|class| class.name_any()).collect();
    let now = Timestamp::now();
    metrics.set_unverified(tenants.iter().filter_map(|object| unverified(object, now)));
    metrics.set_overdue(tenants.iter().filter_map(|object| overdue(object, now)));
    metrics.set_ages(
        tenants
            .iter()
            .filter_map(|object| newest(object, &asking, now))
            .collect(),
    );
}

fn phases(all: &[Arc<OrchestraBackup>]) -> BTreeMap<String, i64> {
    let mut counts = BTreeMap::new();
    for backup in all {
        let phase = backup.status.as_ref().and_then(|status| status.phase.as_deref());
        *counts.entry(phase.unwrap_or(NO_PHASE).to_owned()).or_default() += 1;
    }
    counts
}

fn stored(backup: &OrchestraBackup) -> Option<(String, i64)> {
    let status = backup.status.as_ref()?;
    Some((status.class_name.clone()?, status.bytes?))
}

fn progress(backup: &OrchestraBackup) -> Option<(String, i64)> {
    let status = backup.status.as_ref()?;
    Some((status.class_name.clone()?, status.progress.as_ref()?.bytes))
}

/// The class of a tenant that is not backed up, and why. A schedule that has just started is not a problem.
fn trouble(object: &Orchestra) -> Option<(String, Reason)> {
    let condition = find(object.conditions(), ConditionType::BackedUp)?;
    let reason = known_reason(condition).unwrap_or(Reason::BackupFailed);
    let is_trouble = condition.status == "False" && reason != Reason::Pending;
    is_trouble.then_some((object.decided_class()?.to_owned(), reason))
}

/// The class of a tenant without a backup that was verified in time by its schedule of drills.
fn unverified(object: &Orchestra, now: Timestamp) -> Option<String> {
    let deadline = object.status.as_ref()?.backup.as_ref()?.verify_deadline.as_ref()?;
    (deadline.0 <= now).then_some(object.decided_class()?.to_owned())
}

/// The class of a tenant without newer data in a good backup when its schedule should have made one.
fn overdue(object: &Orchestra, now: Timestamp) -> Option<String> {
    let deadline = object
        .status
        .as_ref()?
        .backup
        .as_ref()?
        .recovery_point_deadline
        .as_ref()?;
    (deadline.0 <= now).then_some(object.decided_class()?.to_owned())
}

/// The newest data of a tenant that is in a good backup.
fn newest(object: &Orchestra, asking: &BTreeSet<String>, now: Timestamp) -> Option<TenantBackup> {
    let class = object.decided_class()?.to_owned();
    let backup = object.status.as_ref()?.backup.as_ref()?;
    let at = backup.recovery_point_time.as_ref()?.0;
    Some(TenantBackup {
        scheduled: find(object.conditions(), ConditionType::BackedUp).is_some(),
        namespace: object.namespace().unwrap_or_default(),
        name: object.name_any(),
        age: now.duration_since(at).as_secs().max(0),
        named: asking.contains(&class),
        class,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::*;

    fn tenant(status: &str, reason: &str, backup: &Value) -> Orchestra {
        let condition = json!({"type": "BackedUp", "status": status, "reason": reason, "message": "m",
            "lastTransitionTime": "2026-11-29T02:00:00Z"});
        let conditions = if status.is_empty() {
            json!([])
        } else {
            json!([condition])
        };
        serde_json::from_value(json!({
            "apiVersion": "stagesub.io/v1alpha1", "kind": "Orchestra",
            "metadata": {"namespace": "tenants", "name": "one"}, "spec": {},
            "status": {"className": "standard", "conditions": conditions, "backup": backup},
        }))
        .unwrap()
    }

    #[test]
    fn a_tenant_counts_whose_last_verified_backup_or_newest_data_is_too_old() {
        let now = "2026-11-29T02:00:00Z".parse().unwrap();
        for (backup, (is_unverified, is_overdue)) in [
            (json!({}), (false, false)),
            (json!({"verifyDeadline": "2026-11-29T02:00:01Z"}), (false, false)),
            (json!({"verifyDeadline": "2026-11-29T02:00:00Z"}), (true, false)),
            (json!({"recoveryPointDeadline": "2026-11-29T02:00:01Z"}), (false, false)),
            (json!({"recoveryPointDeadline": "2026-11-29T02:00:00Z"}), (false, true)),
        ] {
            let object = tenant("", "", &backup);
            let counts = (unverified(&object, now).is_some(), overdue(&object, now).is_some());
            assert_eq!(counts, (is_unverified, is_overdue), "{backup}");
        }
    }

    #[test]
    fn the_age_is_that_of_the_newest_data_and_a_schedule_that_fails_is_trouble() {
        let complete = json!({"recoveryPointTime": "2026-11-29T02:00:00Z"});
        let now = "2026-11-29T02:01:40Z".parse().unwrap();
        let asking = BTreeSet::from(["standard".to_owned()]);
        for (status, reason, backup, is_trouble, age) in [
            ("", "", &complete, None, Some((100, false))),
            ("True", "BackedUp", &complete, None, Some((100, true))),
            ("False", "Pending", &json!(null), None, None),
            (
                "False",
                "StoreFull",
                &complete,
                Some(Reason::StoreFull),
                Some((100, true)),
            ),
            ("False", "OfALaterVersion", &json!({}), Some(Reason::BackupFailed), None),
        ] {
            let object = tenant(status, reason, backup);
            assert_eq!(
                trouble(&object),
                is_trouble.map(|reason| ("standard".to_owned(), reason)),
                "{reason}"
            );
            let newest = newest(&object, &asking, now);
            let is = newest.map(|newest| (newest.age, newest.scheduled, newest.named));
            assert_eq!(is, age.map(|(age, scheduled)| (age, scheduled, true)), "{reason}");
        }
    }
}
