//! What an Orchestra waits for, and what each step is called before people: phase, reason and words, and
//! the pace at which a pass comes back by itself.

use std::time::Duration;

use super::plan::Step;
use crate::api::condition::Reason;
use crate::controller::backoff::SLOWEST;
use crate::controller::conditions::Standing::{self, Reconciling, Settled, Stalled};

/// A watch tells of what is waited for; this pace is for what no watch tells.
pub const UNWATCHED: Duration = Duration::from_secs(30);

/// As good as at once.
pub const SOON: Duration = Duration::from_millis(50);

/// An Orchestra whose turn comes sooner is not told that it waits: each status is a request, and an event.
pub const SHORT_QUEUE: Duration = Duration::from_secs(5);

/// Pace at which the status tells how work goes that takes long.
const TELLING: Duration = Duration::from_secs(10);

/// What an Orchestra waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wait {
    /// The class's first look at its provider.
    ClassCheck,
    /// A free member of a pool.
    Member,
    /// The turn of its creation in the queue of requests.
    Creation,
    /// A usable database.
    Database,
    /// A project that the provider is pausing.
    Pausing,
    /// A turn to migrate on its server.
    Turn,
    /// The class's rollout.
    Rollout,
    /// A person's approval of its pending migrations.
    Approval,
    /// Migrations that are being applied.
    Migrations,
    /// A seed that is being applied.
    Seed,
}

/// What a step is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Description {
    /// A word for people.
    pub phase: &'static str,
    /// Who acts next.
    pub standing: Standing,
    /// Of the conditions and the event.
    pub reason: Reason,
    /// For people; what was observed says more where it can.
    pub message: &'static str,
}

impl Wait {
    /// When a pass comes back that nothing wakes before, and what people are told.
    const fn table(self) -> (Duration, &'static str, Reason, &'static str) {
        use Reason as R;
        match self {
            Self::ClassCheck => (UNWATCHED, "Pending", R::Pending, "waiting"),
            Self::Member => (UNWATCHED, "Pending", R::PoolExhausted, "waiting"),
            Self::Creation | Self::Turn => (UNWATCHED, "Queued", R::Queued, "waiting for its turn"),
            Self::Database => (
                UNWATCHED,
                "Provisioning",
                R::Provisioning,
                "waiting until the database is usable",
            ),
            Self::Pausing => (UNWATCHED, "Paused", R::Pausing, "the database is being paused"),
            Self::Rollout => (
                UNWATCHED,
                "Migrating",
                R::RolloutPending,
                "migrations are incomplete; waiting for the class's rollout",
            ),
            // The annotation and the source are watched; only another tool's work is not.
            Self::Approval => (
                SLOWEST,
                "Pending",
                R::ApprovalPending,
                "the pending migrations wait for approval",
            ),
            Self::Migrations => (TELLING, "Migrating", R::Migrating, "applying migrations"),
            Self::Seed => (TELLING, "Seeding", R::Seeding, "applying the seed"),
        }
    }

    /// When a pass comes back that nothing wakes before.
    pub const fn pace(self) -> Duration {
        self.table().0
    }
}

/// When a pass that was stopped for this reason comes back by itself.
pub fn pace_of_stop(reason: Reason) -> Duration {
    match reason {
        // Asking a budget again costs no request, and the Secrets of tenants are not watched.
        Reason::BudgetExceeded | Reason::ProjectLimitReached | Reason::PasswordNotFound => UNWATCHED,
        _ => SLOWEST,
    }
}

/// What a step is called before people.
pub fn describe(step: Step) -> Description {
    let (phase, standing, reason, message) = match step {
        Step::AddFinalizer => ("Pending", Reconciling, Reason::Pending, "the operator begins"),
        Step::Reserve | Step::Intend => ("Provisioning", Reconciling, Reason::Claiming, "claiming a database"),
        Step::Create => (
            "Provisioning",
            Reconciling,
            Reason::Claiming,
            "requesting a database from the provider",
        ),
        Step::Take => (
            "Provisioning",
            Reconciling,
            Reason::Claiming,
            "claiming a database of a pool",
        ),
        Step::PrepareLogin => (
            "Migrating",
            Reconciling,
            Reason::PreparingLogin,
            "preparing the tenant's login",
        ),
        Step::TakeTurn => describe_wait(Wait::Turn),
        Step::Migrate => describe_wait(Wait::Migrations),
        Step::TellPlan => describe_wait(Wait::Approval),
        Step::Seed => describe_wait(Wait::Seed),
        Step::ClearPlan
        | Step::Publish
        | Step::BeginRotation
        | Step::EndRotation
        | Step::RevokeFormer
        | Step::DropFormer
        | Step::RemoveSecret => (
            "Seeding",
            Reconciling,
            Reason::Publishing,
            "writing the connection Secret",
        ),
        Step::Pause | Step::Shut => describe_wait(Wait::Pausing),
        Step::FallAsleep => (
            "Paused",
            Reconciling,
            Reason::Pausing,
            "nobody has used the database for long; it is being paused",
        ),
        Step::Sleep | Step::GiveBack => ("Paused", Settled, Reason::Paused, "the database is paused"),
        Step::Resume => describe_wait(Wait::Database),
        Step::Stop(Reason::PausingNotAllowed) => (
            "Ready",
            Stalled,
            Reason::PausingNotAllowed,
            "the plan of the provider's organization does not allow its projects to be paused, so the database runs on: remove \
             spec.powerState, or use a class of an organization that allows it",
        ),
        Step::Rest | Step::NoteUse | Step::WarnIdle => (
            "Ready",
            Settled,
            Reason::Ready,
            "the database is migrated, seeded and handed over",
        ),
        Step::BeginTtl | Step::WarnOfExpiry => ("Ready", Settled, Reason::Expiring, "the ttl ends soon"),
        Step::Expire | Step::Revoke | Step::Release | Step::Forget => {
            ("Deleting", Reconciling, Reason::Deleting, "releasing the database")
        }
        Step::Wait(wait) => describe_wait(wait),
        Step::Stop(reason) => ("Failed", Stalled, reason, "a person must act"),
    };
    Description {
        phase,
        standing,
        reason,
        message,
    }
}

fn describe_wait(wait: Wait) -> (&'static str, Standing, Reason, &'static str) {
    let (_, phase, reason, message) = wait.table();
    (phase, Reconciling, reason, message)
}
