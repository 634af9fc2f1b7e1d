//! Questions about stored objects that have one answer for every room.

use super::condition::{ConditionType, Reason, find};
use super::{AppliedTemplate, Orchestra, OrchestraDatabase, SeedPolicy};

impl OrchestraDatabase {
    /// The OrchestraPool whose member the database is. Members that an earlier version enlisted name it
    /// only in their inventory entry.
    pub fn pool(&self) -> Option<&str> {
        let entry = || Some(self.spec.inventory.as_ref()?.pool.as_str());
        self.spec.pool.as_deref().or_else(entry)
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

impl Orchestra {
    /// Why its last migration failed: reason and message. A status that the operator wrote before it had a
    /// field for that has it in its condition `Stalled`.
    pub fn migration_failure(&self) -> Option<(Reason, String)> {
        let status = self.status.as_ref()?;
        let failure = status.migrations.as_ref()?.failure.as_ref();
        let stalled = find(&status.conditions, ConditionType::Stalled);
        let (reason, message) = failure
            .map(|failure| (&failure.reason, &failure.message))
            .or(stalled.map(|stalled| (&stalled.reason, &stalled.message)))?;
        Some((reason.parse().ok()?, message.clone()))
    }
}
