//! Describes each step (phase, standing, reason and message), and says when it is written to the status.

use super::plan::Step;
use super::wait::{Description, Wait};
use crate::api::condition::Reason;
use crate::controller::conditions::Standing;

/// When a step is written to the status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Telling {
    /// Before the step is executed.
    AtOnce,
    /// With the next status, because the step is quick: each write is a request, and triggers other controllers. A new
    /// generation is still observed at once.
    Later,
    /// Never: the step writes its own status, or the status of the next step is sufficient.
    Never,
}

const fn settled(phase: &'static str, reason: Reason, message: &'static str) -> Description {
    Description {
        phase,
        standing: Standing::Settled,
        reason,
        message,
    }
}

const fn working(phase: &'static str, reason: Reason, message: &'static str) -> Description {
    Description {
        phase,
        standing: Standing::Reconciling,
        reason,
        message,
    }
}

const fn claiming(message: &'static str) -> Description {
    working("Provisioning", Reason::Claiming, message)
}

/// The description of a step.
pub const fn describe(step: Step) -> Description {
    use Reason as R;
    match step {
        Step::AddFinalizer => working("Pending", R::Pending, "the operator begins"),
        Step::Reserve | Step::Intend => claiming("claiming a database"),
        Step::Create => claiming("requesting a database from the provider"),
        Step::Take => claiming("claiming a database of a pool"),
        Step::AnnounceRestore | Step::StartRestore | Step::ConcludeRestore | Step::ClearRestore => {
            Wait::Restore.describe()
        }
        Step::PrepareLogin => working("Migrating", R::PreparingLogin, "preparing the tenant's login"),
        Step::TakeTurn => Wait::Turn.describe(),
        Step::Migrate => Wait::Migrations.describe(),
        Step::TellPlan => Wait::Approval.describe(),
        Step::ClearPlan => working("Migrating", R::Migrating, "deleting the plan that waited for approval"),
        Step::Seed => Wait::Seed.describe(),
        Step::Publish => working("Seeding", R::Publishing, "writing the connection Secret"),
        Step::BeginRotation => working("Ready", R::PreparingLogin, "replacing the tenant's login"),
        Step::EndRotation | Step::RevokeFormer | Step::DropFormer => {
            working("Ready", R::PreparingLogin, "revoking former logins")
        }
        Step::RemoveSecret => working("Ready", R::Publishing, "deleting connection Secrets of former names"),
        Step::Pause | Step::Shut => Wait::Pausing.describe(),
        Step::FallAsleep => working(
            "Paused",
            R::Pausing,
            "nobody has used the database for long; it is being paused",
        ),
        Step::Sleep | Step::GiveBack => settled("Paused", R::Paused, "the database is paused"),
        Step::Resume => Wait::Database.describe(),
        Step::Rest | Step::LookForUse | Step::NoteUse | Step::WarnIdle => settled(
            "Ready",
            R::Ready,
            "the database is migrated and seeded, and the connection Secret is published",
        ),
        Step::BeginTtl | Step::WarnOfExpiry => settled("Ready", R::Expiring, "the ttl ends soon"),
        Step::Expire | Step::EndRestore | Step::Revoke | Step::Release | Step::Forget => {
            working("Deleting", R::Deleting, "releasing the database")
        }
        Step::Wait(wait) => wait.describe(),
        Step::Stop(cause) => cause.describe(),
    }
}

/// When a step is written to the status.
pub const fn telling(step: Step) -> Telling {
    match step {
        // No status goes with the finalizer, which is the first and last write. The step that follows `LookForUse` reports
        // what the look has found.
        Step::AddFinalizer | Step::LookForUse | Step::BeginTtl | Step::WarnOfExpiry | Step::Expire | Step::Forget => {
            Telling::Never
        }
        Step::Reserve
        | Step::Create
        | Step::Take
        | Step::AnnounceRestore
        | Step::StartRestore
        | Step::ConcludeRestore
        | Step::ClearRestore
        | Step::PrepareLogin
        | Step::TakeTurn
        | Step::ClearPlan
        | Step::Publish
        | Step::BeginRotation
        | Step::EndRotation
        | Step::RevokeFormer
        | Step::DropFormer
        | Step::RemoveSecret
        | Step::Pause
        | Step::GiveBack
        | Step::Resume => Telling::Later,
        Step::Intend
        | Step::Migrate
        | Step::TellPlan
        | Step::Seed
        | Step::Shut
        | Step::Sleep
        | Step::NoteUse
        | Step::WarnIdle
        | Step::FallAsleep
        | Step::Rest
        | Step::EndRestore
        | Step::Revoke
        | Step::Release
        | Step::Wait(_)
        | Step::Stop(_) => Telling::AtOnce,
    }
}

/// Whether nothing is to be done for a database that runs.
pub const fn rests(step: Step) -> bool {
    matches!(step, Step::Rest | Step::LookForUse | Step::NoteUse | Step::WarnIdle)
}

/// Whether a step is only progress, without an event of its own: a claim, a turn, and migrations that begin.
pub const fn is_progress(step: Step) -> bool {
    matches!(
        step,
        Step::Reserve
            | Step::Intend
            | Step::Create
            | Step::Take
            | Step::Migrate
            | Step::Wait(Wait::Turn | Wait::Migrations)
    )
}

/// Whether a step changes nothing in the database, because it waits for a person, a rollout or the provider. The Ready
/// condition must not say that a change is in progress.
pub const fn begins_nothing(step: Step) -> bool {
    matches!(
        step,
        Step::TellPlan
            | Step::Pause
            | Step::Shut
            | Step::FallAsleep
            | Step::Wait(Wait::Approval | Wait::Rollout | Wait::Pausing)
    )
}
