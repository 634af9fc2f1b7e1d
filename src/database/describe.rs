//! The words of each step: phase, conditions, reason and message.

use super::plan::{Claim, Step};
use crate::api::condition::Reason;
use crate::controller::conditions::Standing;

/// What a step means in the status.
#[derive(Clone, Copy)]
pub struct Description {
    pub phase: &'static str,
    pub ready: bool,
    pub standing: Standing,
    pub reason: Reason,
    /// The message, for people.
    pub text: &'static str,
}

/// The words of a step. `replacement`: the project is deleted because another one takes its place.
pub fn describe(step: Step, claim: Claim, replacement: bool) -> Description {
    match step {
        Step::Replace | Step::Renew => REPLACING,
        Step::Destroy | Step::AwaitGone if replacement => REPLACING,
        Step::AddFinalizer | Step::StorePassword | Step::Announce => {
            working("Pending", Reason::Pending, "preparing the creation of the project")
        }
        Step::Restore | Step::AwaitRestore => provisioning(
            Reason::Restoring,
            "the project is paused, and the provider was asked to restore it",
        ),
        Step::Pause | Step::AwaitPause => {
            working("Bound", Reason::Pausing, "the provider was asked to pause the project")
        }
        Step::AwaitRequest => Description {
            standing: Standing::Reconciling,
            reason: Reason::Pausing,
            text: "the provider was asked to pause the project, which runs until it begins",
            ..rest(claim)
        },
        Step::RunOn => Description {
            standing: Standing::Stalled,
            reason: Reason::DeadlineExceeded,
            text: "the provider was asked to pause the project for more than an hour, and the project runs on: it is not asked \
                   again. Ask the provider's support, or let the project run (powerState: Running)",
            ..rest(claim)
        },
        Step::Sleep => Description {
            phase: if claim == Claim::Released { "Released" } else { "Paused" },
            ready: false,
            standing: Standing::Settled,
            reason: Reason::Paused,
            text: "the project is paused, as spec.powerState says; its data are kept",
        },
        Step::Create | Step::Record => provisioning(Reason::Provisioning, "creating the project"),
        Step::AwaitOutcome => provisioning(
            Reason::OutcomeUnknown,
            "the outcome of the create request is unknown; the operator looks it up before it sends another one",
        ),
        Step::AwaitHealthy => provisioning(
            Reason::Provisioning,
            "waiting for the provider: the project is being set up",
        ),
        Step::Connect => provisioning(
            Reason::Provisioning,
            "waiting for the project's services, pooler and keys",
        ),
        Step::Probe => provisioning(Reason::Provisioning, "waiting for the first login to succeed"),
        Step::ResetPassword => provisioning(
            Reason::LoginFailed,
            "the project has another password; setting the stored one",
        ),
        Step::Rest
        | Step::ReadKeys
        | Step::RotateKeys(_)
        | Step::BeginPassword
        | Step::ChangePassword
        | Step::Schedule => rest(claim),
        Step::DecideReset | Step::Reset => working(
            "Resetting",
            Reason::Resetting,
            "everything that the former tenant left in the database is being dropped",
        ),
        Step::AwaitEntry { reason, passing } => Description {
            phase: "Unavailable",
            ready: false,
            standing: if passing {
                Standing::Reconciling
            } else {
                Standing::Stalled
            },
            reason,
            text: "the entry does not lead to the database now",
        },
        Step::Hold => Description {
            phase: "Bound",
            ready: true,
            standing: Standing::Stalled,
            reason: Reason::InUse,
            text: "deletion was requested, but an Orchestra uses the database: nothing is deleted while it does, and it \
                   goes on. The deletion is carried out when that Orchestra is deleted and releases the database",
        },
        Step::DeleteSelf | Step::Destroy | Step::AwaitGone | Step::Forget | Step::Abandon => {
            working("Deleting", Reason::Deleting, "the project is being destroyed")
        }
        Step::Stop(reason) => Description {
            phase: "Failed",
            ready: false,
            standing: Standing::Stalled,
            reason,
            text: match reason {
                Reason::LoginFailed if claim != Claim::Held => NOT_RESET,
                _ => advice(reason),
            },
        },
    }
}

/// The project was adopted, and is nobody's now.
const NOT_RESET: &str = "the project, which was adopted, refuses the stored password of its role postgres, and no Orchestra \
                         has it that would allow another one to be set: an Orchestra that takes the database back goes on \
                         as its adopt says. Or delete the OrchestraDatabase, which lets go of the project";

const REPLACING: Description = provisioning(
    Reason::Replacing,
    "the project never became usable: it is deleted, and another one is created",
);

const fn working(phase: &'static str, reason: Reason, text: &'static str) -> Description {
    Description {
        phase,
        ready: false,
        standing: Standing::Reconciling,
        reason,
        text,
    }
}

const fn provisioning(reason: Reason, text: &'static str) -> Description {
    working("Provisioning", reason, text)
}

const fn usable(phase: &'static str, standing: Standing, reason: Reason, text: &'static str) -> Description {
    Description {
        phase,
        ready: true,
        standing,
        reason,
        text,
    }
}

fn rest(claim: Claim) -> Description {
    match claim {
        Claim::None => usable("Available", Standing::Settled, Reason::Available, "waits for a claim"),
        Claim::Held => usable(
            "Bound",
            Standing::Settled,
            Reason::Bound,
            "claimed, and proven usable by a login",
        ),
        Claim::Abandoned => usable(
            "Released",
            Standing::Stalled,
            Reason::Orphaned,
            "the Orchestra that claimed it no longer exists and never released it; the database, its data and its cost \
             remain. Set spec.releasedAt to release it: the reclaim policy then decides whether it is kept or destroyed",
        ),
        Claim::Released => usable(
            "Released",
            Standing::Settled,
            Reason::Released,
            "the claim is gone; the database and its data are kept",
        ),
    }
}

/// What a person should do about a stop.
fn advice(reason: Reason) -> &'static str {
    match reason {
        Reason::ProjectConflict => {
            "several projects carry this database's marker; nothing is created or deleted. Find the one that holds the \
             data (status.project.ref names the one that was used last, if any was), and rename the others in the \
             provider's dashboard: they cost money until somebody who has looked into them deletes them"
        }
        Reason::DatabaseLost => {
            "the project was deleted at the provider; it is never silently replaced. Restore it with the provider's \
             support. Only when its data are given up, delete the Orchestra and create it again"
        }
        Reason::ProjectPaused => {
            "the provider has paused the project. Restore it in the provider's dashboard, or set autoRestore on the class; \
             the operator then continues"
        }
        Reason::ProviderFailed => {
            "the provider reports that the project failed. Ask its support. A project that never became usable, and so \
             holds no data, is replaced when the class says replaceStuck"
        }
        Reason::DeadlineExceeded => {
            "the provider was asked to pause the project more than an hour ago and has not finished: it can be used by nobody \
             meanwhile. Ask the provider's support; the operator continues when the project is paused or usable"
        }
        Reason::LoginFailed => {
            "the project refuses the password of its role postgres that spec.source.existing.adopt.passwordSecretRef of the \
             Orchestra names, and adopt does not let the operator set another one. Correct the Secret, or set that password in \
             the provider's dashboard; the operator continues in minutes"
        }
        Reason::ExistingNotFound => {
            "the project that spec.source.existing.projectRef of the Orchestra names is not in the organization of the class any \
             more, or is a branch of another project: it is neither used nor billed. Move it back in the provider's dashboard, \
             and the operator continues; or delete the Orchestra"
        }
        _ => "a person must act",
    }
}
