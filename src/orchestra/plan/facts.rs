//! The facts about an Orchestra that [`super::plan`] decides by.

use crate::api::condition::Reason;
use crate::orchestra::wait::{Stop, Wait};

/// Everything that the next step depends on. Later facts are read only when they matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "independent facts")]
pub struct Facts {
    /// The resource is being deleted.
    pub deleting: bool,
    /// Our finalizer is on it.
    pub finalizer: bool,
    /// While the resource is being deleted: the tenant's login is revoked, or cannot be revoked now.
    pub revoked: bool,
    /// While the resource is being deleted: the Job of a restore may work in the database.
    pub restoring: bool,
    /// Whether something of its ttl is due.
    pub expiry: TtlState,
    /// Its database.
    pub database: DatabaseState,
    /// Whether it is to run, and its state on the way.
    pub power: Power,
    /// Whether anybody uses it, when nothing else is to be done.
    pub idle: IdleState,
}

/// Whether a database is to run, and its state on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// The database runs and is to run, or something else is done first.
    Running,
    /// The database is to be paused, which is not recorded yet.
    ToPause,
    /// The provider is pausing it.
    Pausing,
    /// The logins of a pool's database are to be disabled.
    ToShut,
    /// The database is paused.
    Paused,
    /// The database is paused, and its connection Secret is not as it was written.
    ToGiveBack,
    /// The database is to be paused and cannot be: it keeps running.
    Refused(Stop),
    /// The database is paused, or being paused, and is to run.
    ToResume,
}

/// Whether anybody uses a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdleState {
    /// Nothing is to be done.
    No,
    /// A look for use is due.
    Look,
    /// The result of a look is to be recorded.
    Note,
    /// The pause is to be announced.
    Warn,
    /// Nobody has used it for long enough.
    Sleep,
}

/// The part of a ttl that is due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TtlState {
    /// Nothing is due, or there is no ttl.
    #[default]
    Later,
    /// The ttl begins to count, because the Orchestra is in use.
    Begin,
    /// A warning is due.
    Warn,
    /// The ttl is over.
    Over,
}

/// The database of this Orchestra.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseState {
    /// The Orchestra has no claim: looked up by its UID, not read from a status.
    None(Supply),
    /// A database was claimed, and its OrchestraDatabase is gone.
    Lost,
    /// Claimed, and its creation waits in the queue of requests.
    Queued,
    /// Claimed, and not usable yet.
    Provisioning,
    /// Claimed, and a person must act before it is usable.
    Stopped(Reason),
    /// Claimed and usable.
    Usable(Inside),
    /// The claim is released.
    Leaving,
}

/// How a claim could be met now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Supply {
    /// The provider can create a database.
    Provider(Intent),
    /// A database of a pool is free.
    Member(Intent),
    /// Nothing meets the claim now; the operator tries again by itself.
    Awaited(Wait),
    /// Nothing meets the claim until a person acts.
    Blocked(Stop),
}

/// The progress of the claim that could be made now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// Nothing is reserved or written.
    Open,
    /// The room in the budget, or the pool's member, is reserved in this process.
    Reserved,
    /// The claim is written in the status.
    Written,
}

/// A part of the work inside the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkState {
    /// Not done, and it needs a turn first.
    Due,
    /// Not done.
    Pending,
    /// Not done, and waiting for a person's approval.
    AwaitsApproval,
    /// Not done, and waiting for something else.
    Waiting(Wait),
    /// Being done in the background.
    Running,
    /// Done, or not asked for.
    Done,
}

/// The state of the restore of a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestoreState {
    /// No restore is asked for, or it is done.
    Settled,
    /// Another Job is to be made.
    Due,
    /// Another Job is to be made, and that is recorded.
    Announced,
    /// Another Job is to be made, and there is no room for it yet.
    Queued,
    /// The Job is running or pending.
    Runs,
    /// It has ended, and that is not recorded.
    Ended,
    /// Its end is recorded, and it still exists.
    Leftover,
    /// It failed, and another one follows later.
    Again,
    /// It failed, and a person must act.
    Failed(Reason),
}

/// Whether the plan of migrations that wait for approval is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The waiting plan is recorded, or none waits.
    Told,
    /// The waiting plan is not recorded, or another one is.
    Untold,
    /// A plan is recorded, and none waits.
    Leftover,
}

/// The facts about the inside of a usable database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "independent facts")]
pub struct Inside {
    /// The restore of a backup.
    pub restore: RestoreState,
    /// The owner's session is open and the tenant's login works, or nothing needs them.
    pub login: bool,
    /// The migrations.
    pub migrations: WorkState,
    /// Whether the plan is recorded.
    pub notice: Notice,
    /// The seed.
    pub seed: WorkState,
    /// The connection Secret has the right values; for a tenant in use, while other work waits: nobody else has changed it.
    pub published: bool,
    /// The tenant uses its database: it has its Secret, whatever waits.
    pub serving: bool,
    /// The overlap of a Secret of a former name is over.
    pub leftover: bool,
    /// The state of the rotation of its login.
    pub rotation: RotationState,
    /// The overlap of a former login is over.
    pub overdue: bool,
    /// The connection of the spec is invalid.
    pub invalid: bool,
}

/// The state of the rotation of a tenant's login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RotationState {
    /// Nothing is to be done.
    Settled,
    /// A new login is asked for.
    Due,
    /// A new login is being made, and the connection Secret is to have it.
    Pending,
    /// A former login can no longer log in, and its role is to be dropped.
    Ended,
}

impl Inside {
    /// The placeholder for the inside of a database without a look into it.
    pub const UNSEEN: Self = Self {
        restore: RestoreState::Settled,
        login: false,
        migrations: WorkState::Pending,
        notice: Notice::Told,
        seed: WorkState::Pending,
        published: false,
        serving: false,
        leftover: false,
        rotation: RotationState::Settled,
        overdue: false,
        invalid: false,
    };
}
