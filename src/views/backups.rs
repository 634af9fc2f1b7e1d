//! The list of backups, for people.

use jiff::Timestamp;
use kube::ResourceExt as _;
use serde::Serialize;

use crate::api::condition::{ConditionType, find};
use crate::api::names::SCHEDULED_LABEL;
use crate::api::{DeletionPolicy, OrchestraBackup};

/// One backup.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Backup {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its phase.
    pub phase: String,
    /// Name of its Orchestra.
    pub orchestra: String,
    /// Stored bytes.
    pub bytes: Option<i64>,
    /// When the OrchestraBackup was created.
    pub created: Option<Timestamp>,
    /// Time of its snapshot.
    pub snapshot_time: Option<Timestamp>,
    /// When a drill last verified it.
    pub verified: Option<Timestamp>,
    /// Whether a schedule has made it, so that a retention may delete it.
    pub scheduled: bool,
    /// Whether its data is deleted with it.
    pub deletion_policy: DeletionPolicy,
    /// Name of its OrchestraDatabase.
    pub database: Option<String>,
    /// Name of the last migration in it.
    pub migration: Option<String>,
    /// Where it is stored.
    pub location: Option<String>,
    /// Why it is not complete, and what to do.
    pub message: Option<String>,
}

/// A backup for people.
pub fn backup(object: &OrchestraBackup) -> Backup {
    let status = object.status.clone().unwrap_or_default();
    let ready = find(&status.conditions, ConditionType::Ready);
    let drill = status.verification.filter(|_| object.is_verified());
    Backup {
        namespace: object.namespace().unwrap_or_default(),
        name: object.name_any(),
        phase: status.phase.clone().unwrap_or_else(|| "Pending".into()),
        orchestra: object.spec.orchestra_ref.name.clone(),
        bytes: status.bytes,
        created: object.creation_timestamp().map(|at| at.0),
        snapshot_time: status.snapshot_time.map(|at| at.0),
        verified: drill.and_then(|drill| drill.last_verified_time).map(|at| at.0),
        scheduled: object.labels().contains_key(SCHEDULED_LABEL),
        deletion_policy: object.spec.deletion_policy,
        database: status.database_name,
        migration: status.migration,
        location: status.location,
        message: ready
            .filter(|ready| ready.status == "False")
            .map(|ready| ready.message.clone()),
    }
}

/// These backups in the order in which they are listed: by namespace and Orchestra, the newest first.
pub fn listed(all: impl IntoIterator<Item = Backup>) -> Vec<Backup> {
    let mut all: Vec<_> = all.into_iter().collect();
    all.sort_by(|one, other| {
        let key = |backup: &Backup| (backup.namespace.clone(), backup.orchestra.clone());
        let newest = other.created.cmp(&one.created);
        key(one)
            .cmp(&key(other))
            .then(newest)
            .then_with(|| one.name.cmp(&other.name))
    });
    all
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_listed_says_how_it_stands() {
        let of = |name: &str, orchestra: &str, created: &str, status: serde_json::Value| {
            let object: OrchestraBackup = serde_json::from_value(json!({
                "apiVersion": "stagesub.io/v1alpha1", "kind": "OrchestraBackup",
                "metadata": {"namespace": "tenants", "name": name, "creationTimestamp": created,
                    "labels": {SCHEDULED_LABEL: "1"}},
                "spec": {"orchestraRef": {"name": orchestra}}, "status": status,
            }))
            .unwrap();
            backup(&object)
        };
        let ready = |is: &str| {
            json!([{"type": "Ready", "status": is, "reason": "R", "message": "m",
                "lastTransitionTime": "2026-11-29T02:00:00Z"}])
        };
        let verified = json!({"lastVerifiedTime": "2026-11-29T04:00:00Z", "discrepancyCount": 0});
        let all = listed([
            of("b", "two", "2026-11-29T02:00:00Z", json!({})),
            of(
                "c",
                "one",
                "2026-11-28T02:00:00Z",
                json!({"conditions": ready("False"), "phase": "Failed"}),
            ),
            of(
                "d",
                "one",
                "2026-11-29T02:00:00Z",
                json!({"conditions": ready("True"), "phase": "Completed", "bytes": 7, "verification": verified}),
            ),
        ]);
        let told: Vec<_> = all
            .iter()
            .map(|backup| {
                (
                    backup.name.as_str(),
                    backup.phase.as_str(),
                    backup.message.as_deref(),
                    backup.verified.is_some(),
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                ("d", "Completed", None, true),
                ("c", "Failed", Some("m"), false),
                ("b", "Pending", None, false)
            ]
        );
        assert!(all[0].scheduled && all[0].bytes == Some(7));
    }
}
