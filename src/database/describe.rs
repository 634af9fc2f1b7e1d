//! What each step is called: phase, conditions, reason, and words for people.

use super::plan::{Claim, Step};
use crate::api::condition::Reason;
use crate::controller::conditions::Progress;

/// Phase, Ready, progress, reason and message.
pub type Words = (&'static str, bool, Progress, Reason, &'static str);

/// What a step is called. `replacement`: a project is deleted to make room for the next one.
pub fn describe(step: Step, claim: Claim, replacement: bool) -> Words {
    use Progress::{Reconciling, Stalled};
    match step {
        Step::Replace | Step::Renew => REPLACING,
        Step::Destroy | Step::AwaitGone if replacement => REPLACING,
        Step::AddFinalizer | Step::StorePassword | Step::Announce => (
            "Pending",
            false,
            Reconciling,
            Reason::Pending,
            "preparing the creation of the project",
        ),
        Step::Restore | Step::AwaitRestore => (
            "Provisioning",
            false,
            Reconciling,
            Reason::Restoring,
            "the provider had paused the project, and was asked to restore it",
        ),
        Step::Create | Step::Record => (
            "Provisioning",
            false,
            Reconciling,
            Reason::Provisioning,
            "creating the project",
        ),
        Step::AwaitOutcome => (
            "Provisioning",
            false,
            Reconciling,
            Reason::OutcomeUnknown,
            "the outcome of the create request is unknown; it is looked up before another one is sent",
        ),
        Step::AwaitHealthy => (
            "Provisioning",
            false,
            Reconciling,
            Reason::Provisioning,
            "waiting for the provider: the project is being set up",
        ),
        Step::Connect => (
            "Provisioning",
            false,
            Reconciling,
            Reason::Provisioning,
            "waiting for the project's services, pooler and keys",
        ),
        Step::Probe => (
            "Provisioning",
            false,
            Reconciling,
            Reason::Provisioning,
            "waiting for the first login to succeed",
        ),
        Step::ResetPassword => (
            "Provisioning",
            false,
            Reconciling,
            Reason::LoginFailed,
            "the project has another password; setting the one that is stored",
        ),
        Step::Rest => rest(claim),
        Step::Hold => (
            "Bound",
            true,
            Stalled,
            Reason::InUse,
            "deletion was asked for, but an Orchestra holds the claim: delete the Orchestra first",
        ),
        Step::DeleteSelf | Step::Destroy | Step::AwaitGone | Step::Forget => (
            "Deleting",
            false,
            Reconciling,
            Reason::Deleting,
            "the project is being destroyed",
        ),
        Step::Stop(reason) => ("Failed", false, Stalled, reason, advice(reason)),
    }
}

const REPLACING: Words = (
    "Provisioning",
    false,
    Progress::Reconciling,
    Reason::Replacing,
    "the project never became usable: it is deleted, and another one is created",
);

fn rest(claim: Claim) -> Words {
    use Progress::{Settled, Stalled};
    match claim {
        Claim::None => ("Available", true, Settled, Reason::Available, "waits for a claim"),
        Claim::Held => (
            "Bound",
            true,
            Settled,
            Reason::Bound,
            "claimed, and proven usable by a login",
        ),
        Claim::Abandoned => (
            "Released",
            true,
            Stalled,
            Reason::Orphaned,
            "the Orchestra that claimed it is gone without letting it go; the database, its data and its cost stay. Set \
             spec.releasedAt to let it go: the reclaim policy says what becomes of it then",
        ),
        Claim::Released => (
            "Released",
            true,
            Settled,
            Reason::Released,
            "the claim is gone; the database and its data are kept",
        ),
    }
}

/// What a person should do about a stop.
fn advice(reason: Reason) -> &'static str {
    match reason {
        Reason::ProjectConflict => {
            "several projects carry this database's marker; nothing is created or deleted. Keep the one that holds the \
             data, and delete the others in the provider's dashboard"
        }
        Reason::DatabaseLost => {
            "the project was deleted at the provider; it is never silently replaced. Restore it with the provider's \
             support, or delete the Orchestra and create it anew"
        }
        Reason::ProjectPaused => {
            "the provider has paused the project. Restore it in the provider's dashboard, or set autoRestore on the class; \
             the operator goes on by itself"
        }
        Reason::ProviderFailed => {
            "the provider says that the project failed. Ask its support; a project that never became usable is replaced \
             when the class says replaceStuck, or when the Orchestra is deleted and created anew"
        }
        _ => "a person must act",
    }
}
