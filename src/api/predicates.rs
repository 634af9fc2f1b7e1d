//! Questions about stored objects that have one answer for every room.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use kube::Resource as _;

use super::condition::{ConditionType, Reason, find, is_true, reason_of};
use super::names::request;
use super::unreadable::unreadable;
use super::{
    ABANDON_ANNOTATION, AdoptedProject, AppliedTemplate, CHECK_ANNOTATION, DeletionPolicy, HealthStatus, MigrationPlan,
    Orchestra, OrchestraClass, OrchestraDatabase, OrchestraStatus, RETRY_ANNOTATION, SeedPolicy,
};

/// Whether an object is being deleted, and a person wants the operator to stop managing it.
pub fn is_abandoned(object: &impl kube::ResourceExt) -> bool {
    let asked = object.annotations().get(ABANDON_ANNOTATION);
    object.meta().deletion_timestamp.is_some() && asked.is_some_and(|value| value == "true")
}

/// A person's last request for another attempt: the values of the annotations that request an attempt and a check. Empty
/// when there is no request.
pub fn retry_wish(object: &impl kube::ResourceExt) -> String {
    let asked = [RETRY_ANNOTATION, CHECK_ANNOTATION].map(|name| request(object.meta(), name));
    match asked {
        [None, None] => String::new(),
        [retry, check] => format!("{} {}", retry.unwrap_or_default(), check.unwrap_or_default()),
    }
}

/// The reason of a condition; none when another version of the operator gave one that this one does not know.
pub fn known_reason(condition: &Condition) -> Option<Reason> {
    condition.reason.parse().ok()
}

fn is_quiet(conditions: &[Condition]) -> bool {
    !is_true(conditions, ConditionType::Reconciling) && !is_true(conditions, ConditionType::Stalled)
}

/// Whether the provider is waited for, which failed.
fn is_about_provider(conditions: &[Condition]) -> bool {
    reason_of(conditions, ConditionType::Reconciling) == Some(Reason::ProviderUnavailable)
}

/// Whether the reason is that the budget of a class has no room.
fn is_about_room(reason: Reason) -> bool {
    matches!(reason, Reason::BudgetExceeded | Reason::ProjectLimitReached)
}

impl Orchestra {
    /// The conditions of the status; none when there is no status.
    pub fn conditions(&self) -> &[Condition] {
        self.status.as_ref().map_or(&[][..], |status| &status.conditions[..])
    }

    /// Why a person must act; none when nobody must, or when another version of the operator wrote a reason that this one
    /// does not know.
    pub fn stalled_reason(&self) -> Option<Reason> {
        reason_of(self.conditions(), ConditionType::Stalled)
    }

    /// Whether a person must act, for whatever reason.
    pub fn is_stalled(&self) -> bool {
        is_true(self.conditions(), ConditionType::Stalled)
    }

    /// Whether nothing is waited for, and nobody has to act.
    pub fn is_quiet(&self) -> bool {
        is_quiet(self.conditions())
    }

    /// Whether any condition except Reconciling and Stalled is False.
    pub fn is_warned(&self) -> bool {
        let standing = [ConditionType::Reconciling, ConditionType::Stalled].map(ConditionType::as_str);
        let mut told = self
            .conditions()
            .iter()
            .filter(|it| !standing.contains(&it.type_.as_str()));
        told.any(|condition| condition.status == "False")
    }

    /// Whether it waits for the provider, which failed.
    pub fn waits_for_provider(&self) -> bool {
        is_about_provider(self.conditions())
    }

    /// Whether its template does not exist.
    pub fn is_without_template(&self) -> bool {
        reason_of(self.conditions(), ConditionType::SourceAvailable) == Some(Reason::TemplateNotFound)
    }

    /// Whether it is Stalled because the budget of its class has no room.
    pub fn waits_for_room(&self) -> bool {
        self.stalled_reason().is_some_and(is_about_room)
    }

    /// Whether everything that the current generation asks for was in effect when the status was written, and the
    /// database was not paused.
    pub fn is_settled(&self) -> bool {
        let observed = self.status.as_ref().map(|status| status.observed_generation);
        let ready = is_true(self.conditions(), ConditionType::Ready);
        let paused = reason_of(self.conditions(), ConditionType::Ready) == Some(Reason::Paused);
        observed == self.metadata.generation && ready && !paused
    }

    /// Whether its database is paused, or is to be.
    pub fn is_paused(&self) -> bool {
        let power = self.status.as_ref().and_then(|status| status.power.as_ref());
        power.is_some_and(|power| power.paused_by.is_some())
    }

    /// Whether its database is paused, or is being paused: a rollout skips it. One whose pause is refused keeps running.
    pub fn is_asleep(&self) -> bool {
        let Some(status) = &self.status else { return false };
        let since = status.power.as_ref().and_then(|power| power.paused_since.as_ref());
        let pausing = reason_of(&status.conditions, ConditionType::Reconciling) == Some(Reason::Pausing);
        since.is_some() || pausing && is_true(&status.conditions, ConditionType::Reconciling)
    }

    /// Whether its connection Secret is published, so that applications may use the database.
    pub fn is_published(&self) -> bool {
        let status = self.status.as_ref();
        status.is_some_and(|status| status.secret_ref.is_some())
    }

    /// The OrchestraDatabase that it has, or that it is claiming: the status shows a claim some time after it was made. The
    /// claim of the database says whether it is its own ([`OrchestraDatabase::is_held_by`]).
    pub fn database_or_claiming(&self) -> Option<&str> {
        let status = self.status.as_ref()?;
        status.database_name.as_deref().or(status.claiming.as_deref())
    }

    /// Whether the status says which database it has.
    pub fn has_told_of_database(&self) -> bool {
        let status = self.status.as_ref();
        status.is_some_and(|status| status.database_name.is_some())
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
}

impl HealthStatus {
    /// The reason of the outage.
    pub fn known_reason(&self) -> Reason {
        self.reason.parse().unwrap_or(Reason::DatabaseUnreachable)
    }
}

impl OrchestraStatus {
    /// Whether the seed failed when it ran last.
    pub fn has_failed_seed(&self) -> bool {
        reason_of(&self.conditions, ConditionType::Seeded) == Some(Reason::SeedFailed)
    }

    /// The plan that waits for approval: of migrations, or else of a seed.
    pub fn waiting_plan(&self) -> Option<&MigrationPlan> {
        let migrations = self.migrations.as_ref().and_then(|migrations| migrations.plan.as_ref());
        migrations.or(self.seed_plan.as_ref())
    }
}

impl OrchestraClass {
    /// The conditions of the status; none when there is no status.
    pub fn conditions(&self) -> &[Condition] {
        self.status.as_ref().map_or(&[][..], |status| &status.conditions[..])
    }

    /// Whether something of it is waited for.
    pub fn is_reconciling(&self) -> bool {
        is_true(self.conditions(), ConditionType::Reconciling)
    }

    /// Whether the provider can create databases.
    pub fn is_available(&self) -> bool {
        is_true(self.conditions(), ConditionType::Available)
    }

    /// Why the provider cannot create databases now, with the message of the condition. `Pending` when the class
    /// has not been checked yet, or when the problem is transient.
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
        self.status.as_ref().map_or(&[][..], |status| &status.conditions[..])
    }

    /// Whether it is proven usable.
    pub fn is_ready(&self) -> bool {
        is_true(self.conditions(), ConditionType::Ready)
    }

    /// Whether it was found not to be usable. Of a new one nothing is known.
    pub fn is_not_ready(&self) -> bool {
        find(self.conditions(), ConditionType::Ready).is_some_and(|ready| ready.status == "False")
    }

    /// Whether it waits for the provider, which failed.
    pub fn waits_for_provider(&self) -> bool {
        is_about_provider(self.conditions())
    }

    /// Whether nothing is waited for, and nobody has to act.
    pub fn is_quiet(&self) -> bool {
        is_quiet(self.conditions())
    }

    /// Why a person must act, with the message in the status.
    pub fn stalled(&self) -> Option<(Reason, &str)> {
        let stalled = find(self.conditions(), ConditionType::Stalled)?;
        Some((self.stalled_reason()?, &stalled.message))
    }

    /// What its status says to people: why a person must act, or how far it is.
    pub fn message(&self) -> Option<&str> {
        let stalled = find(self.conditions(), ConditionType::Stalled);
        let said = stalled.or_else(|| find(self.conditions(), ConditionType::Ready))?;
        Some(&said.message)
    }

    /// Whether it is paused on purpose.
    pub fn is_paused(&self) -> bool {
        reason_of(self.conditions(), ConditionType::Ready) == Some(Reason::Paused)
    }

    /// Whether the operator paused its project, which has not run since.
    pub fn was_paused(&self) -> bool {
        let status = self.status.as_ref().filter(|_| self.spec.supabase.is_some());
        status.is_some_and(|status| status.pause_issued_at.is_some())
    }

    /// Why a person must act; none when nobody must, or when another version of the operator wrote a reason that this one
    /// does not know.
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

    /// The OrchestraPool whose member the database is. Members that an earlier version created name it only in their
    /// inventory entry.
    pub fn pool(&self) -> Option<&str> {
        let entry = || Some(self.spec.inventory.as_ref()?.pool.as_str());
        self.spec.pool.as_deref().or_else(entry)
    }

    /// The project that was adopted; none of one that the operator made.
    pub fn adopted(&self) -> Option<&AdoptedProject> {
        self.spec.supabase.as_ref()?.adopted.as_ref()
    }

    /// The provider's reference of its project, once that is known.
    pub fn project_ref(&self) -> Option<&str> {
        let recorded = self.status.as_ref().and_then(|status| status.project.as_ref());
        let recorded = recorded.map(|project| project.reference.as_str());
        self.adopted().map(|adopted| adopted.reference.as_str()).or(recorded)
    }

    /// Whether its project may ever be destroyed: that of an adopted one only when its Orchestra has allowed it.
    pub fn may_be_destroyed(&self) -> bool {
        self.adopted().is_none_or(|adopted| adopted.adopt.deletion)
    }

    /// Whether a login has ever proven it usable.
    pub fn was_usable(&self) -> bool {
        let status = self.status.as_ref();
        status.is_some_and(|status| status.usable_since.is_some())
    }

    /// Whether its project is destroyed when the policy says so. For an adopted one, a login of the operator must have
    /// succeeded as well: until then it may belong to anybody.
    pub fn is_destroyable(&self) -> bool {
        self.may_be_destroyed() && (self.adopted().is_none() || self.was_usable())
    }

    /// Whether its project is destroyed with it.
    pub fn is_to_be_destroyed(&self) -> bool {
        self.spec.reclaim_policy == DeletionPolicy::Delete && self.is_destroyable()
    }

    /// Whether an Orchestra holds the claim and has not released it.
    pub fn is_held(&self) -> bool {
        self.spec.claim_ref.is_some() && self.spec.released_at.is_none()
    }

    /// Whether `here`, the namespace that has the name of the claim's now, is another one than that of the claim. A claim without
    /// the namespace's UID is of an earlier one if it was released before this one was created.
    pub fn is_of_former_namespace(&self, here: &ObjectMeta) -> bool {
        let then = self
            .spec
            .claim_ref
            .as_ref()
            .and_then(|claim| claim.namespace_uid.as_ref());
        if let Some((then, now)) = then.zip(here.uid.as_ref()) {
            return then != now;
        }
        let times = self.spec.released_at.as_ref().zip(here.creation_timestamp.as_ref());
        times.is_some_and(|(released, born)| born.0 > released.0)
    }

    /// Whether this Orchestra holds the claim.
    pub fn is_held_by(&self, orchestra: &Orchestra) -> bool {
        let claim = self.spec.claim_ref.as_ref().filter(|_| self.is_held());
        claim.is_some_and(|claim| orchestra.metadata.uid.as_ref() == Some(&claim.uid))
    }

    /// Whether it was decided to drop everything in it, which the Orchestra of its claim has released.
    pub fn is_being_reset(&self) -> bool {
        let decided = self.status.as_ref().and_then(|status| status.reset.as_ref());
        let claim = self.spec.claim_ref.as_ref().filter(|_| self.spec.released_at.is_some());
        decided
            .zip(claim)
            .is_some_and(|(decided, claim)| decided.claim_uid == claim.uid)
    }

    /// Whether a pool has made it, and no Orchestra holds, or ever held, a claim.
    pub fn is_spare(&self) -> bool {
        self.spec.supabase.is_some() && self.spec.pool.is_some() && self.spec.claim_ref.is_none()
    }

    /// Whether no Orchestra holds, or ever held, a claim. A database that another version of the operator wrote, with values
    /// that this one does not know, must not be claimed.
    pub fn is_unclaimed(&self) -> bool {
        self.spec.claim_ref.is_none() && self.metadata.deletion_timestamp.is_none() && unreadable(self).is_none()
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
