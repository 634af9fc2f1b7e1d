//! Questions about stored objects that have one answer for every room.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Resource as _;

use super::condition::{ConditionType, Reason, find, is_true, reason_of};
use super::{AppliedTemplate, Orchestra, OrchestraClass, OrchestraDatabase, SeedPolicy};

/// Whether the reason is that the budget of a class has no room.
fn is_about_room(reason: Reason) -> bool {
    matches!(reason, Reason::BudgetExceeded | Reason::ProjectLimitReached)
}

impl Orchestra {
    /// The conditions of the status; none when there is no status.
    pub fn conditions(&self) -> &[Condition] {
        let status = self.status.as_ref();
        status.map(|status| status.conditions.as_slice()).unwrap_or_default()
    }

    /// Why a person must act; none when nobody must, or when another version of the operator gave a reason that
    /// this one does not know.
    pub fn stalled_reason(&self) -> Option<Reason> {
        reason_of(self.conditions(), ConditionType::Stalled)
    }

    /// Whether it is Stalled because the budget of its class has no room.
    pub fn waits_for_room(&self) -> bool {
        self.stalled_reason().is_some_and(is_about_room)
    }
}

impl OrchestraClass {
    /// The conditions of the status; none when there is no status.
    pub fn conditions(&self) -> &[Condition] {
        let status = self.status.as_ref();
        status.map(|status| status.conditions.as_slice()).unwrap_or_default()
    }

    /// Whether the provider can create databases.
    pub fn is_available(&self) -> bool {
        is_true(self.conditions(), ConditionType::Available)
    }

    /// Why the provider cannot create databases now, with the message of the condition. `Pending` when the class
    /// has not been checked yet, or when the trouble is one that passes.
    pub fn provider_trouble(&self) -> Option<(Reason, &str)> {
        if self.is_available() {
            return None;
        }
        let reason = reason_of(self.conditions(), ConditionType::Available).filter(|reason| {
            matches!(
                reason,
                Reason::TokenMissing | Reason::TokenRejected | Reason::PermissionDenied | Reason::OrganizationNotFound
            )
        });
        let condition = find(self.conditions(), ConditionType::Available);
        let message = condition.map(|condition| condition.message.as_str());
        Some((reason.unwrap_or(Reason::Pending), message.unwrap_or_default()))
    }
}

impl OrchestraDatabase {
    /// The conditions of the status; none when there is no status.
    pub fn conditions(&self) -> &[Condition] {
        let status = self.status.as_ref();
        status.map(|status| status.conditions.as_slice()).unwrap_or_default()
    }

    /// Whether it is proven usable.
    pub fn is_ready(&self) -> bool {
        is_true(self.conditions(), ConditionType::Ready)
    }

    /// Why a person must act; none when nobody must, or when another version of the operator gave a reason that
    /// this one does not know.
    pub fn stalled_reason(&self) -> Option<Reason> {
        reason_of(self.conditions(), ConditionType::Stalled)
    }

    /// Whether its project was deleted at the provider.
    pub fn is_lost(&self) -> bool {
        self.stalled_reason() == Some(Reason::DatabaseLost)
    }

    /// Whether its creation waits for room in the budget of its class.
    pub fn waits_for_room(&self) -> bool {
        self.stalled_reason().is_some_and(is_about_room)
    }

    /// Whether its creation waits for its turn with the provider.
    pub fn is_queued(&self) -> bool {
        reason_of(self.conditions(), ConditionType::Reconciling) == Some(Reason::Queued)
    }

    /// Whether it has, or may have, a project: a request to create one was issued.
    pub fn is_issued(&self) -> bool {
        let status = self.status.as_ref();
        status.is_some_and(|status| status.create_issued_at.is_some() || status.project.is_some())
    }

    /// Whether it was made through this class.
    pub fn is_of(&self, class: &OrchestraClass) -> bool {
        self.spec.class_name.is_some() && self.spec.class_name == class.meta().name
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
