//! Describes each step: phase, conditions, reason and message.

use super::plan::{ClaimState, DatabaseStop, Step};
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

/// Whether a step replaces the project. `replacement`: the project is deleted because another one takes its place.
pub const fn is_replacing(step: Step, replacement: bool) -> bool {
    match step {
        Step::Replace | Step::Renew => true,
        Step::Destroy | Step::AwaitGone => replacement,
        _ => false,
    }
}

/// Whether a step leaves the status of a usable database unchanged.
pub const fn is_at_rest(step: Step) -> bool {
    matches!(
        step,
        Step::Rest | Step::ReadKeys | Step::BeginPassword | Step::ChangePassword | Step::Schedule
    )
}

/// The description of a step. `replaces`: the result of [`is_replacing`].
pub fn describe(step: Step, claim: ClaimState, replaces: bool) -> Description {
    match step {
        _ if replaces => REPLACING,
        Step::Replace | Step::Renew => REPLACING,
        Step::AddFinalizer | Step::StorePassword | Step::Announce => PREPARING,
        Step::Restore | Step::AwaitRestore => RESTORING,
        Step::Pause | Step::AwaitPause => PAUSING,
        Step::AwaitRequest => Description {
            standing: Standing::Reconciling,
            reason: Reason::Pausing,
            text: ASKED_TO_PAUSE,
            ..rest(claim)
        },
        Step::RunOn => Description {
            standing: Standing::Stalled,
            reason: Reason::DeadlineExceeded,
            text: RUNS_ON,
            ..rest(claim)
        },
        Step::Sleep if claim == ClaimState::Released => Description {
            phase: "Released",
            text: SLEEPS_ON,
            ..PAUSED
        },
        Step::Sleep => PAUSED,
        Step::Create | Step::Record => provisioning(Reason::Provisioning, "creating the project"),
        Step::AwaitOutcome | Step::TellRefusal => UNKNOWN,
        Step::AwaitHealthy => provisioning(Reason::Provisioning, SET_UP),
        Step::Connect => provisioning(Reason::Provisioning, SERVICES),
        Step::Probe => provisioning(Reason::Provisioning, "waiting for the first login to succeed"),
        Step::ResetPassword => provisioning(Reason::LoginFailed, OTHER_PASSWORD),
        Step::Rest
        | Step::ReadKeys
        | Step::RotateKeys(_)
        | Step::RevokeLogins
        | Step::BeginPassword
        | Step::ChangePassword
        | Step::MakeFinalBackup
        | Step::Schedule => rest(claim),
        Step::AwaitFinalBackup => working("Reclaiming", Reason::FinalBackup, BACKED_UP),
        Step::DecideReset | Step::Reset => working("Resetting", Reason::Resetting, DROPS_ALL),
        Step::AwaitEntry { reason, passing } => Description {
            standing: if passing {
                Standing::Reconciling
            } else {
                Standing::Stalled
            },
            ..working("Unavailable", reason, "the entry does not lead to the database now")
        },
        Step::Hold => usable("Bound", Standing::Stalled, Reason::InUse, IN_USE),
        Step::DeleteSelf | Step::Destroy | Step::AwaitGone | Step::Forget | Step::Abandon => {
            working("Deleting", Reason::Deleting, "the project is being destroyed")
        }
        Step::Stop(cause) => {
            let (reason, text) = words(cause, claim);
            Description {
                standing: Standing::Stalled,
                ..working("Failed", reason, text)
            }
        }
    }
}

const REPLACING: Description = provisioning(
    Reason::Replacing,
    "the project never became usable: it is deleted, and another one is created",
);

const PREPARING: Description = working("Pending", Reason::Pending, "preparing the creation of the project");

const RESTORING: Description = provisioning(
    Reason::Restoring,
    "the project is paused, and the provider was asked to restore it",
);

const PAUSING: Description = working("Bound", Reason::Pausing, "the provider was asked to pause the project");

const ASKED_TO_PAUSE: &str = "a pause was requested; the project runs until the provider starts the pause";

const RUNS_ON: &str = "the provider was asked to pause the project for more than an hour, and the project still runs: no \
                       further request is sent. Ask the provider's support, or let the project run (powerState: Running)";

const PAUSED: Description = Description {
    phase: "Paused",
    ready: false,
    standing: Standing::Settled,
    reason: Reason::Paused,
    text: "the project is paused, as spec.powerState says; its data is kept",
};

const SLEEPS_ON: &str = "the project is paused, and no Orchestra claims it: the provider restores a paused project only for \
                         a limited time (Supabase: a year, formerly 90 days); after that its data is lost. To keep the \
                         data, take the database back, or set powerState: Running on the OrchestraDatabase";

const UNKNOWN: Description = provisioning(
    Reason::OutcomeUnknown,
    "the outcome of the create request is unknown; the operator looks it up before it sends another one",
);

const SET_UP: &str = "waiting for the provider: the project is being set up";

const SERVICES: &str = "waiting for the project's services, pooler and keys";

const OTHER_PASSWORD: &str = "the project has another password; setting the stored one";

const DROPS_ALL: &str = "the former tenant's objects are being dropped, after any backup Job that still reads them";

const BACKED_UP: &str =
    "the database will be destroyed after its final backup (deletion.finalBackup of its class), which is being made";

const IN_USE: &str = "deletion was requested, but an Orchestra uses the database: it stays usable, and is deleted when that Orchestra is \
    deleted and releases it";

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

fn rest(claim: ClaimState) -> Description {
    match claim {
        ClaimState::None => usable("Available", Standing::Settled, Reason::Available, "waits for a claim"),
        ClaimState::Held => usable(
            "Bound",
            Standing::Settled,
            Reason::Bound,
            "claimed, and proven usable by a login",
        ),
        ClaimState::Abandoned => usable(
            "Released",
            Standing::Stalled,
            Reason::Orphaned,
            "the Orchestra that claimed it no longer exists and never released it; the database, its data and its cost \
             remain. Set spec.releasedAt, and spec.formerLogins: Left, to release it: its logins and API keys then end, and the \
             reclaim policy decides whether it is kept or destroyed",
        ),
        ClaimState::Released => usable(
            "Released",
            Standing::Settled,
            Reason::Released,
            "the claim is gone; the database and its data are kept",
        ),
    }
}

/// The reason of a stop, and what a person should do about it.
fn words(stop: DatabaseStop, claim: ClaimState) -> (Reason, &'static str) {
    match stop {
        DatabaseStop::Conflict => (Reason::ProjectConflict, CONFLICT),
        DatabaseStop::Lost => (Reason::DatabaseLost, LOST),
        // The message names the entries of the listing instead of this text.
        DatabaseStop::Unclear => (Reason::ProjectUnclear, ""),
        DatabaseStop::Paused => (Reason::ProjectPaused, STOPPED),
        DatabaseStop::Failed => (Reason::ProviderFailed, FAILED),
        DatabaseStop::PauseHangs => (Reason::DeadlineExceeded, PAUSE_HANGS),
        DatabaseStop::Elsewhere => (Reason::ExistingNotFound, ELSEWHERE),
        DatabaseStop::WrongPassword if claim == ClaimState::Held => (Reason::LoginFailed, WRONG_PASSWORD),
        DatabaseStop::WrongPassword => (Reason::LoginFailed, NOT_RESET),
        // The backup's own message replaces this text.
        DatabaseStop::FinalBackup => (Reason::FinalBackupFailed, ""),
    }
}

const CONFLICT: &str = "several projects carry this database's marker; nothing is created or deleted. Find the one that holds the \
    data (status.project.ref names the one that was used last, if any was), and rename the others in the \
    provider's dashboard: they cost money until somebody who has looked into them deletes them";

const LOST: &str = "the project was deleted at the provider; it is never silently replaced. Restore it with the provider's \
    support. Only when nobody needs its data any more, delete the Orchestra and create it again";

const STOPPED: &str = "the provider has paused the project. Restore it in the provider's dashboard, or set autoRestore on the class; \
    the operator then continues";

const FAILED: &str = "the provider reports that the project failed. Ask its support. A project that never became usable, and so \
    holds no data, is replaced when the class says replaceStuck";

const PAUSE_HANGS: &str = "the provider was asked to pause the project more than an hour ago and has not finished: nobody can use it \
    meanwhile. Ask the provider's support; the operator continues when the project is paused or usable";

const WRONG_PASSWORD: &str = "the project refuses the password of its role postgres that spec.source.existing.adopt.passwordSecretRef of the \
    Orchestra names, and adopt does not let the operator set another one. Correct the Secret, or set that password in \
    the provider's dashboard; the operator continues in minutes";

const ELSEWHERE: &str = "the project that spec.source.existing.projectRef of the Orchestra names is not in the organization of the class any \
    more, or is a branch of another project: it is neither used nor billed. Move it back in the provider's dashboard, \
    and the operator continues; or, if nobody needs this tenant any more, delete the Orchestra";

/// The project was adopted, and is unclaimed now.
const NOT_RESET: &str = "the adopted project refuses the stored password of role postgres, and no current Orchestra allows a reset. Take the \
    database back with an Orchestra whose adopt sets resetPassword or the right password, or delete this \
    OrchestraDatabase (the project stays)";
