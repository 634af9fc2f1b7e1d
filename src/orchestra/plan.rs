//! The whole life of an Orchestra on one page: what was seen → the one next step.
//!
//! ```text
//! AddFinalizer → Reserve → Intend → Create | Take → Wait(Database) → [inside] → Rest
//! inside:        PrepareLogin → TakeTurn → Migrate → Seed → Publish
//! approval:      TellPlan → Wait(Approval) → Migrate → ClearPlan
//! paused:        Pause → Wait(Pausing) | Shut → Sleep → Resume;  idle: NoteUse → WarnIdle → FallAsleep → Pause
//! deleted:       Revoke → Release → Forget
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
    /// Its database.
    pub database: Database,
    /// Whether it is to run, and how far it is.
    pub power: Power,
    /// Whether anybody uses it, of one that has nothing else to do.
    pub idle: Idle,
}

/// Whether a database is to run, and how far it is on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// It runs and is to run, or there is something else to be done first.
    Running,
    /// It is to be paused, which is not written down yet.
    ToPause,
    /// The provider is pausing it.
    Pausing,
    /// The logins of a pool's database are to be shut.
    ToShut,
    /// It is paused.
    Paused,
    /// It is to be paused, and cannot be: it runs on.
    Refused(Reason),
    /// It is paused, or being paused, and is to run.
    ToResume,
}

/// Whether anybody uses a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    /// Nothing is to be done.
    No,
    /// What was seen is to be written down.
    Note,
    /// The pause is to be announced.
    Warn,
    /// Nobody has used it for long enough.
    Sleep,
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
}

impl Inside {
    /// Whether nothing is to be done.
    pub fn rests(&self) -> bool {
        INSIDE.iter().all(|link| link(self).is_none())
    }

    /// Stands for what is inside of a database that is not looked into.
    pub const UNSEEN: Self = Self {
        login: false,
        migrations: Work::Pending,
        notice: Notice::Told,
        seed: Work::Pending,
        published: false,
        serving: false,
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
    /// Write into the database's resource that it is to be paused.
    Pause,
    /// Shut the logins of a pool's database.
    Shut,
    /// Nothing to do while it is paused.
    Sleep,
    /// Let the database run again.
    Resume,
    /// Write down since when nobody uses the database.
    NoteUse,
    /// Announce that the database will be paused.
    WarnIdle,
    /// Write down that the database is to be paused because nobody uses it.
    FallAsleep,
    /// Nothing to do.
    Rest,
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
        (false, true) => live(seen),
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

/// A paused database is not looked into. One that cannot be paused lives on, and says so when all else is done.
fn live(seen: &Seen) -> Step {
    let step = match seen.power {
        Power::ToPause => Step::Pause,
        Power::Pausing => Step::Wait(Wait::Pausing),
        Power::ToShut => Step::Shut,
        Power::Paused => Step::Sleep,
        Power::ToResume => Step::Resume,
        Power::Running | Power::Refused(_) => claimed(&seen.database),
    };
    match (step, seen.power, seen.idle) {
        (Step::Rest, Power::Refused(reason), _) => Step::Stop(reason),
        (Step::Rest, _, Idle::Note) => Step::NoteUse,
        (Step::Rest, _, Idle::Warn) => Step::WarnIdle,
        (Step::Rest, _, Idle::Sleep) => Step::FallAsleep,
        (step, ..) => step,
    }
}

fn claimed(database: &Database) -> Step {
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
const INSIDE: [fn(&Inside) -> Option<Step>; 8] = [
    await_work,
    restore_secret,
    take_turn,
    prepare_login,
    migrate,
    clear_plan,
    seed,
    publish,
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

/// Last: applications get a login only to a database that is migrated and seeded.
fn publish(seen: &Inside) -> Option<Step> {
    (!seen.published).then_some(Step::Publish)
}

#[cfg(test)]
mod tests;
