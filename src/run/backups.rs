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
    metrics.set_troubles(tenants.iter().filter_map(|object| trouble(object)));
    let asking = stores.classes.state_filter(ages::asks);
    let asking: BTreeSet<_> = asking.iter().map(|class| class.name_any()).collect();
    let now = Timestamp::now();
    metrics.set_unverified(tenants.iter().filter_map(|object| unverified(object, now)));
    metrics.set_ages(tenants.iter().filter_map(|object| last(object, &asking, now)).collect());
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

/// The last complete backup of a tenant whose schedule runs.
fn last(object: &Orchestra, asking: &BTreeSet<String>, now: Timestamp) -> Option<TenantBackup> {
    find(object.conditions(), ConditionType::BackedUp)?;
    let class = object.decided_class()?.to_owned();
    let backup = object.status.as_ref()?.backup.as_ref()?;
    let at = backup.last_complete_time.as_ref()?.0;
    Some(TenantBackup {
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
    fn a_tenant_counts_whose_last_verified_backup_is_too_old() {
        let now = "2026-11-29T02:00:00Z".parse().unwrap();
        for (backup, is) in [
            (json!({}), false),
            (json!({"verifyDeadline": "2026-11-29T02:00:01Z"}), false),
            (json!({"verifyDeadline": "2026-11-29T02:00:00Z"}), true),
        ] {
            assert_eq!(unverified(&tenant("", "", &backup), now).is_some(), is, "{backup}");
        }
    }

    #[test]
    fn a_tenant_counts_whose_schedule_runs() {
        let complete = json!({"lastCompleteTime": "2026-11-29T02:00:00Z"});
        let now = "2026-11-29T02:01:40Z".parse().unwrap();
        let asking = BTreeSet::from(["standard".to_owned()]);
        for (status, reason, backup, is_trouble, age) in [
            ("", "", &complete, None, None),
            ("True", "BackedUp", &complete, None, Some(100)),
            ("False", "Pending", &json!(null), None, None),
            ("False", "StoreFull", &complete, Some(Reason::StoreFull), Some(100)),
            ("False", "OfALaterVersion", &json!({}), Some(Reason::BackupFailed), None),
        ] {
            let object = tenant(status, reason, backup);
            assert_eq!(
                trouble(&object),
                is_trouble.map(|reason| ("standard".to_owned(), reason)),
                "{reason}"
            );
            let last = last(&object, &asking, now);
            assert_eq!(
                last.map(|last| (last.age, last.named)),
                age.map(|age| (age, true)),
                "{reason}"
            );
        }
    }
}
