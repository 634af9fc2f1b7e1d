//! One timeline of a tenant: what its conditions and events tell, its backups and their drills, and its logins.

use jiff::Timestamp;
use kube::ResourceExt as _;

use super::tenant::{Tenant, TimelineItem};
use crate::api::condition::{ConditionType, find};
use crate::api::{Orchestra, OrchestraBackup};

/// What has happened to a tenant, the newest first.
pub fn history(orchestra: &Orchestra, tenant: &Tenant, backups: &[OrchestraBackup]) -> Vec<TimelineItem> {
    let mut all = tenant.timeline.clone();
    all.extend(backups.iter().flat_map(of_backup));
    let credentials = orchestra.status.as_ref().and_then(|status| status.credentials.as_ref());
    if let Some(at) = credentials.and_then(|credentials| credentials.rotated_at.as_ref()) {
        all.push(item(at.0, "Rotated", String::new(), false));
    }
    all.sort_by_key(|item| std::cmp::Reverse(item.at));
    all
}

fn of_backup(backup: &OrchestraBackup) -> Vec<TimelineItem> {
    let Some(status) = &backup.status else {
        return Vec::new();
    };
    let name = backup.name_any();
    let mut all = Vec::new();
    let ended = status.completion_time.as_ref().or(status.start_time.as_ref());
    if let (Some(at), Some(phase)) = (ended, &status.phase) {
        all.push(item(at.0, &format!("Backup={phase}"), name.clone(), phase == "Failed"));
    }
    let drill = status.verification.as_ref();
    if let Some(at) = drill.and_then(|drill| drill.last_verified_time.as_ref()) {
        all.push(item(at.0, "Drill=Verified", name.clone(), false));
    }
    let failed = find(&status.conditions, ConditionType::Verified).filter(|is| is.status == "False");
    if let Some(failed) = failed {
        let message = format!("{name}: {}", failed.message);
        all.push(item(failed.last_transition_time.0, "Drill=Failed", message, true));
    }
    all
}

fn item(at: Timestamp, what: &str, message: String, warning: bool) -> TimelineItem {
    TimelineItem {
        at,
        what: what.to_owned(),
        message,
        count: 1,
        warning,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;
    use crate::views::tenant::tenant;

    #[test]
    fn backups_drills_and_rotations_are_in_one_timeline() {
        let orchestra: Orchestra = serde_json::from_value(json!({
            "apiVersion": "stagesub.io/v1alpha1", "kind": "Orchestra",
            "metadata": {"name": "one", "namespace": "tenants", "creationTimestamp": "2026-11-29T00:00:00Z"},
            "spec": {}, "status": {"credentials": {"generation": 2, "rotatedAt": "2026-11-29T03:00:00Z"}},
        }))
        .unwrap();
        let backup: OrchestraBackup = serde_json::from_value(json!({
            "apiVersion": "stagesub.io/v1alpha1", "kind": "OrchestraBackup",
            "metadata": {"name": "nightly", "namespace": "tenants"}, "spec": {"orchestraRef": {"name": "one"}},
            "status": {"phase": "Completed", "completionTime": "2026-11-29T02:00:00Z",
                "verification": {"lastVerifiedTime": "2026-11-29T04:00:00Z"}},
        }))
        .unwrap();
        let told = history(&orchestra, &tenant(&orchestra, &[]), &[backup]);
        let what: Vec<_> = told.iter().map(|item| item.what.as_str()).collect();
        assert_eq!(what, ["Drill=Verified", "Rotated", "Backup=Completed", "Created"]);
    }
}
