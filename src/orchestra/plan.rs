//! The whole life of an Orchestra on one page: what was seen → the one next step.
//!
//! ```text
//! AddFinalizer → Reserve → Intend → Create | Take → Wait(Database) → [inside] → Rest
//! inside:        PrepareLogin → TakeTurn → Migrate → Seed → Publish
//! rotation:      BeginRotation → PrepareLogin → Publish → EndRotation … RevokeFormer … DropFormer
//! approval:      TellPlan → Wait(Approval) → Migrate → ClearPlan
//! deleted:       Revoke → Release → Forget
//! with a ttl:    BeginTtl → WarnOfExpiry → WarnOfExpiry → Expire → deleted
//! ```

#![allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "the facts grow with each link, whose signature stays as it is"
)]

use super::wait::Wait;
use crate::api::condition::Reason;

/// Everything that the next step depends on. What comes later is looked at only when it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The resource is being deleted.
    pub deleting: bool,
    /// Our finalizer is on it.
    pub finalizer: bool,
    /// While it is being deleted: the tenant's login opens its database no more, or cannot be revoked
    /// now.
    pub revoked: bool,
    /// What its ttl has come to.
    pub expiry: Expiry,
    /// Its database.
    pub database: Database,
}

/// What a ttl has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expiry {
    /// Nothing is due, or there is no ttl.
    #[default]
    Later,
    /// It begins to count, of an Orchestra that is in use.
    Begin,
    /// A warning is due.
    Warn,
    /// The ttl is over.
    Over,
}

/// The database of this Orchestra.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Database {
    /// None is claimed: looked up by our UID, not read from a status.
    None(Supply),
    /// One was claimed, and its OrchestraDatabase is gone.
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
    /// By nothing now; the operator tries again by itself.
    Awaited(Wait),
    /// By nothing until a person acts.
    Blocked(Reason),
}

/// How far the very claim that could be made now has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// Nothing was done for it.
    Open,
    /// The room in the budget, or the pool's member, is reserved in this process.
    Reserved,
    /// It is written in the status.
    Written,
}

/// A part of the work inside the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
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

/// Where the plan of migrations that wait for approval is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// As it should be.
    Told,
    /// Not written down, or another plan is.
    Untold,
    /// A plan is written down, and none waits.
    Leftover,
}

/// What was seen inside of a usable database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "independent facts")]
pub struct Inside {
    /// The owner's session is open and the tenant's login works, or nothing needs them.
    pub login: bool,
    /// The migrations.
    pub migrations: Work,
    /// Where the plan is written down.
    pub notice: Notice,
    /// The seed.
    pub seed: Work,
    /// The connection Secret holds what it should; of one in use, while other work waits, that nobody
    /// else has touched it.
    pub published: bool,
    /// The tenant uses its database: it has its Secret, whatever waits.
    pub serving: bool,
    /// The overlap of a Secret of a former name is over.
    pub leftover: bool,
    /// Where the rotation of its login stands.
    pub rotation: Rotation,
}

/// Where the rotation of a tenant's login stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// Nothing is to be done.
    Settled,
    /// A new login is asked for.
    Due,
    /// A new login is being made, and the connection Secret is to have it.
    Pending,
    /// The overlap of a former login is over.
    Overdue,
    /// A former login logs in no more, and its role is to be dropped.
    Ended,
}

impl Inside {
    /// Stands for what is inside of a database that is not looked into.
    pub const UNSEEN: Self = Self {
        login: false,
        migrations: Work::Pending,
        notice: Notice::Told,
        seed: Work::Pending,
        published: false,
        serving: false,
        leftover: false,
        rotation: Rotation::Settled,
    };
}

/// The one next step. Each is idempotent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Put our finalizer on.
    AddFinalizer,
    /// Reserve room in the budget, or a member of a pool, for this Orchestra.
    Reserve,
    /// Write down which database is about to be claimed, by compare-and-swap: of two operators only
    /// one goes on.
    Intend,
    /// Ask for a new database from the provider.
    Create,
    /// Take a database of a pool, by compare-and-swap.
    Take,
    /// Make the tenant's login role.
    PrepareLogin,
    /// Ask for a turn to migrate.
    TakeTurn,
    /// Apply the pending migrations.
    Migrate,
    /// Write down the plan of migrations that wait for approval.
    TellPlan,
    /// Delete the plan.
    ClearPlan,
    /// Apply the seed.
    Seed,
    /// Write the connection Secret.
    Publish,
    /// Write down that a new login is to be made.
    BeginRotation,
    /// Write down that the new login is published.
    EndRotation,
    /// Revoke the former logins whose overlap is over.
    RevokeFormer,
    /// Drop the roles of former logins.
    DropFormer,
    /// Delete a connection Secret of a former name.
    RemoveSecret,
    /// Nothing to do.
    Rest,
    /// Write down since when the ttl counts.
    BeginTtl,
    /// Warn that the ttl ends soon.
    WarnOfExpiry,
    /// Delete this resource, whose ttl is over.
    Expire,
    /// Revoke the tenant's login.
    Revoke,
    /// Release the claim.
    Release,
    /// Take our finalizer off.
    Forget,
    /// Go on when something else has changed.
    Wait(Wait),
    /// A person must act.
    Stop(Reason),
}

/// The next step for what was seen.
pub fn plan(seen: &Seen) -> Step {
    match (seen.deleting, seen.finalizer) {
        (true, false) => Step::Rest,
        (true, true) => leave(seen),
        (false, false) => Step::AddFinalizer,
        // Whatever else it waits for.
        (false, true) => match seen.expiry {
            Expiry::Begin => Step::BeginTtl,
            Expiry::Warn => Step::WarnOfExpiry,
            Expiry::Over => Step::Expire,
            Expiry::Later => live(&seen.database),
        },
    }
}

/// A deletion waits for nothing: what becomes of the database is decided after the claim is released.
fn leave(seen: &Seen) -> Step {
    match seen.database {
        Database::None(_) | Database::Lost | Database::Leaving => Step::Forget,
        Database::Usable(_) if !seen.revoked => Step::Revoke,
        _ => Step::Release,
    }
}

fn live(database: &Database) -> Step {
    match database {
        Database::None(supply) => claim(*supply),
        // A lost database is never replaced by an empty one.
        Database::Lost | Database::Leaving => Step::Stop(Reason::DatabaseLost),
        Database::Stopped(reason) => Step::Stop(*reason),
        Database::Queued => Step::Wait(Wait::Creation),
        Database::Provisioning => Step::Wait(Wait::Database),
        Database::Usable(inside) => INSIDE.iter().find_map(|link| link(inside)).unwrap_or(Step::Rest),
    }
}

/// Nothing is claimed before it is written down, and nothing is written down that is not reserved.
fn claim(supply: Supply) -> Step {
    match supply {
        Supply::Provider(Intent::Open) | Supply::Member(Intent::Open) => Step::Reserve,
        Supply::Provider(Intent::Reserved) | Supply::Member(Intent::Reserved) => Step::Intend,
        Supply::Provider(Intent::Written) => Step::Create,
        Supply::Member(Intent::Written) => Step::Take,
        Supply::Awaited(wait) => Step::Wait(wait),
        Supply::Blocked(reason) => Step::Stop(reason),
    }
}

/// The work inside a usable database: the first link that has something to do decides.
const INSIDE: [fn(&Inside) -> Option<Step>; 11] = [
    await_work,
    restore_secret,
    rotate,
    remove_secret,
    take_turn,
    prepare_login,
    migrate,
    clear_plan,
    seed,
    publish,
    drop_former,
];

/// First, because nothing else is done in a database while a script runs in it.
fn await_work(seen: &Inside) -> Option<Step> {
    match (seen.migrations, seen.seed) {
        (Work::Running, _) => Some(Step::Wait(Wait::Migrations)),
        (Work::Done, Work::Running) => Some(Step::Wait(Wait::Seed)),
        _ => None,
    }
}

/// Before all other work: a tenant that uses its database needs its Secret back, whatever else fails or
/// waits.
fn restore_secret(seen: &Inside) -> Option<Step> {
    let lost = seen.serving && !seen.published;
    let step = if seen.login { Step::Publish } else { Step::PrepareLogin };
    lost.then_some(step)
}

/// Before what may wait for days: a login that is to be replaced does not wait for an approval. A tenant that does not
/// use its database has nothing to replace.
fn rotate(seen: &Inside) -> Option<Step> {
    let with_login = |step| if seen.login { step } else { Step::PrepareLogin };
    match seen.rotation {
        _ if !seen.serving => None,
        Rotation::Settled | Rotation::Ended => None,
        Rotation::Due => Some(Step::BeginRotation),
        // The Secret has the new login by now, or the link before had it written.
        Rotation::Pending => Some(with_login(Step::EndRotation)),
        Rotation::Overdue => Some(with_login(Step::RevokeFormer)),
    }
}

/// After the Secret of the new name is there, and before all that may wait.
fn remove_secret(seen: &Inside) -> Option<Step> {
    (seen.leftover && seen.published).then_some(Step::RemoveSecret)
}

/// Before the login, because a tenant that waits for its turn holds no session.
fn take_turn(seen: &Inside) -> Option<Step> {
    (seen.migrations == Work::Due).then_some(Step::TakeTurn)
}

/// Before everything that looks or writes into the database.
fn prepare_login(seen: &Inside) -> Option<Step> {
    (!seen.login).then_some(Step::PrepareLogin)
}

/// Before the seed, whose tables the migrations make. What waits for approval is told first.
fn migrate(seen: &Inside) -> Option<Step> {
    match (seen.migrations, seen.notice) {
        (Work::Pending, _) => Some(Step::Migrate),
        (Work::AwaitsApproval, Notice::Told) => Some(Step::Wait(Wait::Approval)),
        (Work::AwaitsApproval, _) => Some(Step::TellPlan),
        _ => None,
    }
}

/// After what waits for approval is decided: the plan of anything else is out of date.
fn clear_plan(seen: &Inside) -> Option<Step> {
    (seen.notice == Notice::Leftover).then_some(Step::ClearPlan)
}

/// After the migrations.
fn seed(seen: &Inside) -> Option<Step> {
    match (seen.migrations, seen.seed) {
        (Work::Waiting(wait), _) | (_, Work::Waiting(wait)) => Some(Step::Wait(wait)),
        (_, Work::Done) => None,
        _ => Some(Step::Seed),
    }
}

/// After all that a tenant waits for: applications get a login only to a database that is migrated and seeded.
fn publish(seen: &Inside) -> Option<Step> {
    (!seen.published).then_some(Step::Publish)
}

/// Last, because it may take long, and nobody waits for it.
fn drop_former(seen: &Inside) -> Option<Step> {
    (seen.serving && seen.rotation == Rotation::Ended).then_some(Step::DropFormer)
}

#[cfg(test)]
mod tests;
