//! Changes of an object that matter to a controller, by a hash of the fields that the controller reads.

use std::hash::{DefaultHasher, Hash, Hasher};

use kube::Resource;

use crate::api::condition::ConditionType;
use crate::api::{Orchestra, OrchestraBackup, OrchestraClass, OrchestraDatabase};
use crate::class;

/// A hash of what users write: the spec, labels, annotations and the deletion, but not the status and our
/// finalizer.
pub fn user_changes<K: Resource>(object: &K) -> u64 {
    let mut hash = DefaultHasher::new();
    let meta = object.meta();
    (meta.generation, meta.deletion_timestamp.is_some()).hash(&mut hash);
    (&meta.labels, &meta.annotations).hash(&mut hash);
    hash.finish()
}

/// A hash of the parts of an Orchestra that its database depends on: what users write, and which API keys are published.
pub fn spec_and_keys(orchestra: &Orchestra) -> u64 {
    let mut hash = DefaultHasher::new();
    let written = orchestra.status.as_ref().and_then(|status| status.secret_ref.as_ref());
    (
        user_changes(orchestra),
        written.and_then(|written| written.keys.as_ref()),
    )
        .hash(&mut hash);
    hash.finish()
}

/// A hash of what other default classes report about a class: that it is a default class, and is not being
/// deleted.
pub fn is_default(class: &OrchestraClass) -> u64 {
    let mut hash = DefaultHasher::new();
    (class::is_default(class), class.metadata.deletion_timestamp.is_some()).hash(&mut hash);
    hash.finish()
}

/// A hash of what Orchestras and databases wait for in a class: spec and conditions, not the count of tenants. Only objects
/// that wait for the provider react to its waiting.
pub fn spec_and_conditions(class: &OrchestraClass) -> u64 {
    let mut hash = DefaultHasher::new();
    user_changes(class).hash(&mut hash);
    let conditions = class.status.iter().flat_map(|status| &status.conditions);
    for condition in conditions.filter(|condition| condition.type_ != ConditionType::Reconciling.as_str()) {
        (&condition.type_, &condition.status, &condition.reason).hash(&mut hash);
    }
    hash.finish()
}

/// A hash of whether a database is paused.
pub fn is_paused(database: &OrchestraDatabase) -> u64 {
    database.is_paused().into()
}

/// A hash of what the schedule of backups reads of a database: the provider's own backups.
pub fn provider_backups(database: &OrchestraDatabase) -> u64 {
    let mut hash = DefaultHasher::new();
    let found = database
        .status
        .as_ref()
        .and_then(|status| status.provider_backups.as_ref());
    let found = found.map(|found| {
        let ends = [&found.earliest_time, &found.latest_time].map(|end| end.as_ref().map(|at| at.0));
        (found.count, ends, found.point_in_time, found.retention_days)
    });
    found.hash(&mut hash);
    hash.finish()
}

/// A hash of whether a class waits.
pub fn is_waiting(class: &OrchestraClass) -> u64 {
    class.is_reconciling().into()
}

/// A hash of what the schedule of backups reads of an Orchestra.
pub fn schedule_facts(orchestra: &Orchestra) -> u64 {
    let mut hash = DefaultHasher::new();
    let usable = orchestra.is_published() && !orchestra.is_asleep();
    (user_changes(orchestra), orchestra.decided_class(), usable).hash(&mut hash);
    hash.finish()
}

/// A hash of what a schedule reads of a backup.
pub fn backup_facts(backup: &OrchestraBackup) -> u64 {
    let mut hash = DefaultHasher::new();
    let drill = backup.status.as_ref().and_then(|status| status.verification.as_ref());
    let verified = drill.and_then(|drill| drill.last_verified_time.as_ref()).map(|at| at.0);
    let conditions = backup.status.iter().flat_map(|status| &status.conditions);
    let stalled = conditions.filter(|condition| condition.type_ == ConditionType::Stalled.as_str());
    let stalled: Vec<_> = stalled
        .map(|condition| (&condition.reason, &condition.message))
        .collect();
    (
        user_changes(backup),
        backup.is_complete(),
        backup.has_failed(),
        (backup.is_verified(), backup.is_refuted()),
        (backup.is_being_verified(), verified),
        stalled,
    )
        .hash(&mut hash);
    hash.finish()
}

/// A hash of what a rollout reads of an Orchestra.
pub fn rollout_facts(orchestra: &Orchestra) -> u64 {
    let mut hash = DefaultHasher::new();
    (user_changes(orchestra), orchestra.status.is_some()).hash(&mut hash);
    if let Some(status) = &orchestra.status {
        (&status.class_name, status.secret_ref.is_some()).hash(&mut hash);
        if let Some(is) = &status.migrations {
            (&is.source, is.pending, is.failed).hash(&mut hash);
        }
        for condition in &status.conditions {
            (&condition.type_, &condition.status, &condition.reason).hash(&mut hash);
        }
    }
    hash.finish()
}
