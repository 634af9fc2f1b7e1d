//! Questions about the migrations of an Orchestra that have one answer for every room.

use super::condition::{ConditionType, Reason, find, is_true, reason_of};
use super::{MigrationFailure, MigrationStatus, Orchestra, PowerState};

impl Orchestra {
    /// The status of its migrations, once they were read.
    pub fn migrations(&self) -> Option<&MigrationStatus> {
        self.status.as_ref()?.migrations.as_ref()
    }

    /// Whether a migration was started before the status was written, and may still be running.
    pub fn may_be_migrating(&self) -> bool {
        let reason = reason_of(self.conditions(), ConditionType::Reconciling);
        self.migrations().is_some_and(|migrations| migrations.pending > 0)
            && matches!(reason, Some(Reason::Migrating | Reason::Updating))
    }

    /// Whether the status says that it is about to claim a database whose server has no turn for its migrations.
    pub fn is_queued_ahead(&self) -> bool {
        let claims = self.status.as_ref().is_some_and(|status| status.claiming.is_some());
        claims && reason_of(self.conditions(), ConditionType::Reconciling) == Some(Reason::Queued)
    }

    /// Whether the status says that its database is being changed.
    pub fn is_worked_on(&self) -> bool {
        let reason = reason_of(self.conditions(), ConditionType::Reconciling);
        matches!(reason, Some(Reason::Migrating | Reason::Seeding | Reason::Updating))
    }

    /// Whether only its migrations prevent it from being settled. An Orchestra with another problem asks
    /// for its migrations itself when that is solved.
    pub fn is_settled_but_for_migrations(&self) -> bool {
        let stalled = find(self.conditions(), ConditionType::Stalled);
        let problem = stalled.or_else(|| find(self.conditions(), ConditionType::Reconciling));
        if stalled.is_some() && self.runs_unpaused() {
            return true;
        }
        problem.is_none_or(|problem| {
            let is_waiting = |reason| {
                matches!(
                    reason,
                    Reason::RolloutPending
                        | Reason::ApprovalPending
                        | Reason::Queued
                        | Reason::Updating
                        | Reason::Migrating
                )
            };
            let reason = problem.reason.parse().ok();
            reason.is_some_and(|reason: Reason| reason.is_of_migration() || is_waiting(reason))
        })
    }

    /// Whether it is to be paused and still serves.
    fn runs_unpaused(&self) -> bool {
        let paused = self.spec.power_state == Some(PowerState::Paused) || self.is_paused();
        paused && is_true(self.conditions(), ConditionType::Available)
    }

    /// Why its last migration failed: reason and message. A status that the operator wrote before it had a
    /// field for that has it in its condition `Stalled`, which may be about something else.
    pub fn migration_failure(&self) -> Option<(Reason, String)> {
        let status = self.status.as_ref()?;
        if let Some(failure) = &status.migrations.as_ref()?.failure {
            return Some((failure.known_reason()?, failure.message.clone()));
        }
        let stalled = find(&status.conditions, ConditionType::Stalled)?;
        let reason = stalled.reason.parse().ok();
        let of_migration = reason.filter(|reason: &Reason| reason.is_of_migration())?;
        Some((of_migration, stalled.message.clone()))
    }
}

impl MigrationFailure {
    /// The reason; none when another version of the operator gave one that this one does not know.
    pub fn known_reason(&self) -> Option<Reason> {
        self.reason.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::*;

    fn orchestra(reason: &str, claiming: Option<&str>) -> Orchestra {
        let condition = json!({
            "type": "Reconciling", "status": "True", "reason": reason, "message": "",
            "lastTransitionTime": "2026-01-05T09:00:00Z",
        });
        let status = json!({"conditions": [condition], "claiming": claiming});
        serde_json::from_value(json!({"metadata": {"name": "a"}, "spec": {}, "status": status})).unwrap()
    }

    #[test]
    fn the_status_says_ahead_that_migrations_will_wait_until_the_claim_is_made() {
        assert!(orchestra("Queued", Some("orchdb-a")).is_queued_ahead());
        assert!(!orchestra("Queued", None).is_queued_ahead(), "it has its database");
        assert!(!orchestra("Claiming", Some("orchdb-a")).is_queued_ahead());
        assert!(!orchestra("PoolExhausted", Some("orchdb-a")).is_queued_ahead());
    }

    #[test]
    fn only_a_migration_s_reason_is_the_failure_of_one() {
        let failure = |reason: &str, migrations: Value| {
            let stalled = json!({
                "type": "Stalled", "status": "True", "reason": reason, "message": "told",
                "lastTransitionTime": "2026-01-05T09:00:00Z",
            });
            let status = json!({"conditions": [stalled], "migrations": migrations});
            let object = json!({"metadata": {"name": "a"}, "spec": {}, "status": status});
            serde_json::from_value::<Orchestra>(object).unwrap().migration_failure()
        };
        let migrations = json!({"source": "sha256:0", "applied": 0, "pending": 1, "failed": true});
        for (reason, is) in [
            ("MigrationFailed", Some(Reason::MigrationFailed)),
            ("MigrationUnfinished", Some(Reason::MigrationUnfinished)),
            ("HistoryDiverged", Some(Reason::HistoryDiverged)),
            ("ConnectionInvalid", None),
            ("DatabaseRefused", None),
            ("OfALaterVersion", None),
        ] {
            let found = failure(reason, migrations.clone());
            assert_eq!(found, is.map(|reason| (reason, "told".to_owned())), "{reason}");
        }
        assert_eq!(failure("MigrationFailed", Value::Null), None, "no migrations");
        let mut noted = migrations;
        noted["failure"] = json!({"reason": "DatabaseRefused", "message": "noted"});
        let noted = failure("ConnectionInvalid", noted);
        assert_eq!(noted, Some((Reason::DatabaseRefused, "noted".to_owned())));
    }

    #[test]
    fn work_inside_the_database_is_told_by_its_reasons() {
        for (reason, is) in [
            ("Migrating", true),
            ("Seeding", true),
            ("Updating", true),
            ("DatabaseUnreachable", false),
            ("Queued", false),
        ] {
            assert_eq!(orchestra(reason, None).is_worked_on(), is, "{reason}");
        }
    }
}
