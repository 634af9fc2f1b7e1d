//! Questions about stored objects that have one answer for every room.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::condition::{ConditionType, Reason, find, is_true};
use super::{AppliedTemplate, MigrationStatus, Orchestra, OrchestraDatabase, OrchestraStatus, SeedPolicy};

impl Orchestra {
    /// Whether its connection Secret is published, so that applications may use the database.
    pub fn is_published(&self) -> bool {
        let status = self.status.as_ref();
        status.is_some_and(|status| status.secret_ref.is_some())
    }

    /// Whether its spec names a source of migrations, so that those of its class do not apply.
    pub fn has_own_migrations(&self) -> bool {
        let own = self.spec.migrations.as_ref();
        own.is_some_and(|own| own.source.is_some())
    }

    /// The class that meets its claim, once that is decided.
    pub fn decided_class(&self) -> Option<&str> {
        self.status.as_ref()?.class_name.as_deref()
    }

    /// The status of its migrations, once they were looked at.
    pub fn migrations(&self) -> Option<&MigrationStatus> {
        self.status.as_ref()?.migrations.as_ref()
    }

    /// Whether a migration was started before the status was written, and may still be running.
    pub fn may_be_migrating(&self) -> bool {
        let reason = self.condition(ConditionType::Reconciling).and_then(reason);
        self.migrations().is_some_and(|migrations| migrations.pending > 0)
            && matches!(reason, Some(Reason::Migrating | Reason::Updating))
    }

    /// Whether nothing but its migrations keeps it from being settled. An Orchestra with another problem asks
    /// for its migrations itself when that is solved.
    pub fn is_settled_but_for_migrations(&self) -> bool {
        let stalled = self.condition(ConditionType::Stalled);
        let problem = stalled.or_else(|| self.condition(ConditionType::Reconciling));
        problem.is_none_or(|problem| {
            matches!(
                reason(problem),
                Some(
                    Reason::RolloutPending
                        | Reason::ApprovalPending
                        | Reason::Queued
                        | Reason::Updating
                        | Reason::Migrating
                        | Reason::MigrationFailed
                        | Reason::MigrationUnfinished
                        | Reason::HistoryDiverged
                )
            )
        })
    }

    fn condition(&self, type_: ConditionType) -> Option<&Condition> {
        find(&self.status.as_ref()?.conditions, type_)
    }
}

impl OrchestraStatus {
    /// Whether the seed failed when it ran last.
    pub fn has_failed_seed(&self) -> bool {
        find(&self.conditions, ConditionType::Seeded).and_then(reason) == Some(Reason::SeedFailed)
    }
}

/// The reason of a condition; `None` for one that only another version of the operator knows.
fn reason(condition: &Condition) -> Option<Reason> {
    condition.reason.parse().ok()
}

impl OrchestraDatabase {
    /// Whether its Ready condition is True.
    pub fn is_ready(&self) -> bool {
        let status = self.status.as_ref();
        status.is_some_and(|status| is_true(&status.conditions, ConditionType::Ready))
    }

    /// Whether an Orchestra holds the claim and has not released it.
    pub fn is_held(&self) -> bool {
        self.spec.claim_ref.is_some() && self.spec.released_at.is_none()
    }

    /// Whether no Orchestra holds, or ever held, a claim.
    pub fn is_unclaimed(&self) -> bool {
        self.spec.claim_ref.is_none() && self.metadata.deletion_timestamp.is_none()
    }
}

impl AppliedTemplate {
    /// Whether this is the named template of the named class, in any version.
    pub fn is(&self, class: &str, template: &str) -> bool {
        self.class_name == class && self.name == template
    }
}

impl SeedPolicy {
    /// Whether the seed with digest `wanted` need not run on a database where the last seed that ran had
    /// the digest `ran`.
    pub fn is_met_by(self, ran: &str, wanted: &str) -> bool {
        match self {
            Self::Once => true,
            Self::OnChange => ran == wanted,
        }
    }
}
