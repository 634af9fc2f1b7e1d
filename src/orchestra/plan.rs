//! The whole life of an Orchestra on one page: facts → the one next step.
//!
//! ```text
//! AddFinalizer → Reserve → Intend → Create | Take → Wait(Database) → [inside] → Rest
//! inside:        PrepareLogin → TakeTurn → Migrate → Seed → Publish
//! from a backup: AnnounceRestore → StartRestore → Wait(Restore) → ConcludeRestore → ClearRestore → [inside]
//! rotation:      BeginRotation → PrepareLogin → Publish → EndRotation … RevokeFormer … DropFormer
//! approval:      TellPlan → Wait(Approval) → Migrate → ClearPlan
//! paused:        Pause → Wait(Pausing) | Shut → Sleep → Resume;  idle: LookForUse → NoteUse → WarnIdle → FallAsleep → Pause
//! deleted:       Revoke → Release → Forget
//! with a ttl:    BeginTtl → WarnOfExpiry → WarnOfExpiry → Expire → deleted
//! ```

#![allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "the facts grow with each link, whose signature stays as it is"
)]

mod facts;

pub use facts::{
    DatabaseState, Facts, IdleState, Inside, Intent, Notice, Power, RestoreState, RotationState, Supply, TtlState,
    WorkState,
};

use strum::IntoStaticStr;

use super::wait::{Stop, Wait};

impl Inside {
    /// Whether nothing is to be done.
    pub fn rests(&self) -> bool {
        INSIDE.iter().all(|link| link(self).is_none())
    }
}

/// The one next step. Each is idempotent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, IntoStaticStr)]
pub enum Step {
    /// Put our finalizer on.
    AddFinalizer,
    /// Reserve room in the budget, or a member of a pool, for this Orchestra.
    Reserve,
    /// Record which database is about to be claimed, by compare-and-swap: of two operators only one continues.
    Intend,
    /// Ask for a new database from the provider.
    Create,
    /// Take a database of a pool, by compare-and-swap.
    Take,
    /// Record the claim in the database, and record that a Job is about to restore the backup into it.
    AnnounceRestore,
    /// Make that Job.
    StartRestore,
    /// Record how it ended.
    ConcludeRestore,
    /// Delete it.
    ClearRestore,
    /// End the Job of a restore before the operator stops managing the database.
    EndRestore,
    /// Create the tenant's login role.
    PrepareLogin,
    /// Ask for a turn to migrate.
    TakeTurn,
    /// Apply the pending migrations.
    Migrate,
    /// Record the plan of migrations that wait for approval.
    TellPlan,
    /// Delete the plan.
    ClearPlan,
    /// Apply the seed.
    Seed,
    /// Write the connection Secret.
    Publish,
    /// Record that a new login is to be made.
    BeginRotation,
    /// Record that the new login is published.
    EndRotation,
    /// Revoke the former logins whose overlap is over.
    RevokeFormer,
    /// Drop the roles of former logins.
    DropFormer,
    /// Delete a connection Secret of a former name.
    RemoveSecret,
    /// Write into the OrchestraDatabase that it is to be paused.
    Pause,
    /// Disable the logins of a pool's database.
    Shut,
    /// Nothing to do while it is paused.
    Sleep,
    /// Write the connection Secret of a paused database, whose login cannot be proven.
    GiveBack,
    /// Make the database run again.
    Resume,
    /// Check in the database whether anybody uses it.
    LookForUse,
    /// Record since when nobody uses the database.
    NoteUse,
    /// Announce that the database will be paused.
    WarnIdle,
    /// Record that the database is to be paused because nobody uses it.
    FallAsleep,
    /// Nothing to do.
    Rest,
    /// Record since when the ttl counts.
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
    /// Continue when something else has changed.
    Wait(Wait),
    /// A person must act.
    Stop(Stop),
}

impl Step {
    /// The name of a step that does something.
    pub fn carries_out(self) -> Option<&'static str> {
        let waits = matches!(self, Self::Wait(_) | Self::Stop(_) | Self::Rest | Self::Sleep);
        (!waits).then(|| self.into())
    }
}

/// The next step for these facts.
pub fn plan(facts: &Facts) -> Step {
    match (facts.deleting, facts.finalizer) {
        (true, false) => Step::Rest,
        (true, true) => leave(facts),
        (false, false) => Step::AddFinalizer,
        // The ttl comes before everything that an Orchestra may wait for.
        (false, true) => match facts.expiry {
            TtlState::Begin => Step::BeginTtl,
            TtlState::Warn => Step::WarnOfExpiry,
            TtlState::Over => Step::Expire,
            TtlState::Later => live(facts),
        },
    }
}

/// A deletion waits only for the end of a Job that fills the database: the reclaim policy decides about the database
/// after the claim is released.
fn leave(facts: &Facts) -> Step {
    match facts.database {
        _ if facts.restoring => Step::EndRestore,
        DatabaseState::None(_) | DatabaseState::Lost | DatabaseState::Leaving => Step::Forget,
        DatabaseState::Usable(_) if !facts.revoked => Step::Revoke,
        _ => Step::Release,
    }
}

/// There is no look into a paused database. One that cannot be paused keeps running, and the status says so when everything
/// else is done.
fn live(facts: &Facts) -> Step {
    let step = match facts.power {
        Power::ToPause => Step::Pause,
        Power::Pausing => Step::Wait(Wait::Pausing),
        Power::ToShut => Step::Shut,
        Power::Paused => Step::Sleep,
        Power::ToGiveBack => Step::GiveBack,
        Power::ToResume => Step::Resume,
        Power::Running | Power::Refused(_) => claimed(&facts.database),
    };
    match (step, facts.power, facts.idle) {
        (Step::Rest, Power::Refused(cause), _) => Step::Stop(cause),
        (Step::Rest, _, IdleState::Look) => Step::LookForUse,
        (Step::Rest, _, IdleState::Note) => Step::NoteUse,
        (Step::Rest, _, IdleState::Warn) => Step::WarnIdle,
        (Step::Rest, _, IdleState::Sleep) => Step::FallAsleep,
        (step, ..) => step,
    }
}

fn claimed(database: &DatabaseState) -> Step {
    match database {
        DatabaseState::None(supply) => claim(*supply),
        // A lost database is never replaced by an empty one.
        DatabaseState::Lost | DatabaseState::Leaving => Step::Stop(Stop::Lost),
        DatabaseState::Stopped(reason) => Step::Stop(Stop::Database(*reason)),
        DatabaseState::Queued => Step::Wait(Wait::Creation),
        DatabaseState::Provisioning => Step::Wait(Wait::Database),
        DatabaseState::Usable(inside) => INSIDE.iter().find_map(|link| link(inside)).unwrap_or(Step::Rest),
    }
}

/// A claim is reserved, then recorded, and only then made.
fn claim(supply: Supply) -> Step {
    match supply {
        Supply::Provider(Intent::Open) | Supply::Member(Intent::Open) => Step::Reserve,
        Supply::Provider(Intent::Reserved) | Supply::Member(Intent::Reserved) => Step::Intend,
        Supply::Provider(Intent::Written) => Step::Create,
        Supply::Member(Intent::Written) => Step::Take,
        Supply::Awaited(wait) => Step::Wait(wait),
        Supply::Blocked(stop) => Step::Stop(stop),
    }
}

/// The work inside a usable database: the first link that has something to do decides.
const INSIDE: [fn(&Inside) -> Option<Step>; 14] = [
    await_work,
    restore,
    end_former,
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
    await_correction,
];

/// First, because nothing else is done in a database while a script runs in it.
fn await_work(inside: &Inside) -> Option<Step> {
    match (inside.migrations, inside.seed) {
        (WorkState::Running, _) => Some(Step::Wait(Wait::Migrations)),
        (WorkState::Done, WorkState::Running) => Some(Step::Wait(Wait::Seed)),
        _ => None,
    }
}

/// Before everything else that looks or writes into the database, which must be empty for it. Never for a tenant that uses
/// its database.
fn restore(inside: &Inside) -> Option<Step> {
    match inside.restore {
        _ if inside.serving => None,
        RestoreState::Settled => None,
        RestoreState::Due => Some(Step::AnnounceRestore),
        RestoreState::Announced => Some(Step::StartRestore),
        RestoreState::Queued => Some(Step::Wait(Wait::RestoreRoom)),
        RestoreState::Runs => Some(Step::Wait(Wait::Restore)),
        RestoreState::Ended => Some(Step::ConcludeRestore),
        RestoreState::Leftover => Some(Step::ClearRestore),
        RestoreState::Again => Some(Step::Wait(Wait::RestoreAgain)),
        RestoreState::Failed(reason) => Some(Step::Stop(Stop::Restore(reason))),
    }
}

/// This comes before the preparation of the login, which may fail for reasons of its own: a former login must end in time.
/// Only its number is needed, and where it cannot be ended, the pass continues.
fn end_former(inside: &Inside) -> Option<Step> {
    (inside.serving && inside.overdue).then_some(Step::RevokeFormer)
}

/// Before all other work: a tenant that uses its database needs its Secret back, whatever else fails or
/// waits.
fn restore_secret(inside: &Inside) -> Option<Step> {
    let lost = inside.serving && !inside.published;
    let step = if inside.login {
        Step::Publish
    } else {
        Step::PrepareLogin
    };
    lost.then_some(step)
}

/// Before the migrations, which may wait for days: a login that is to be replaced does not wait for an approval. A tenant
/// that does not use its database has nothing to replace.
fn rotate(inside: &Inside) -> Option<Step> {
    let with_login = |step| if inside.login { step } else { Step::PrepareLogin };
    match inside.rotation {
        _ if !inside.serving => None,
        RotationState::Settled | RotationState::Ended => None,
        RotationState::Due => Some(Step::BeginRotation),
        // The Secret already has the new login, or the link before has written it.
        RotationState::Pending => Some(with_login(Step::EndRotation)),
    }
}

/// After the Secret of the new name exists, and before the migrations, which may wait.
fn remove_secret(inside: &Inside) -> Option<Step> {
    (inside.leftover && inside.published).then_some(Step::RemoveSecret)
}

/// Before the login, because a tenant that waits for its turn holds no session.
fn take_turn(inside: &Inside) -> Option<Step> {
    (inside.migrations == WorkState::Due).then_some(Step::TakeTurn)
}

/// Before everything that looks or writes into the database.
fn prepare_login(inside: &Inside) -> Option<Step> {
    (!inside.login).then_some(Step::PrepareLogin)
}

/// Before the seed, whose tables the migrations make. A plan that waits for approval is recorded first.
fn migrate(inside: &Inside) -> Option<Step> {
    match (inside.migrations, inside.notice) {
        (WorkState::Pending, _) => Some(Step::Migrate),
        (WorkState::AwaitsApproval, Notice::Told) => Some(Step::Wait(Wait::Approval)),
        (WorkState::AwaitsApproval, _) => Some(Step::TellPlan),
        _ => None,
    }
}

/// After the approval is given or no longer needed: the recorded plan is out of date.
fn clear_plan(inside: &Inside) -> Option<Step> {
    (inside.notice == Notice::Leftover).then_some(Step::ClearPlan)
}

/// After the migrations. In a database in use, a seed that destroys something waits for approval as they do.
fn seed(inside: &Inside) -> Option<Step> {
    match (inside.migrations, inside.seed, inside.notice) {
        (WorkState::Waiting(wait), ..) | (_, WorkState::Waiting(wait), _) => Some(Step::Wait(wait)),
        (_, WorkState::Done, _) => None,
        (_, WorkState::AwaitsApproval, Notice::Told) => Some(Step::Wait(Wait::Approval)),
        (_, WorkState::AwaitsApproval, _) => Some(Step::TellPlan),
        _ => Some(Step::Seed),
    }
}

/// After migrations and seed: applications get a login only to a database that is migrated and seeded. Nothing wrong is
/// published.
fn publish(inside: &Inside) -> Option<Step> {
    if inside.published {
        None
    } else if inside.invalid && !inside.serving {
        await_correction(inside)
    } else {
        Some(Step::Publish)
    }
}

/// After all work that somebody waits for, because it may take long.
fn drop_former(inside: &Inside) -> Option<Step> {
    (inside.serving && inside.rotation == RotationState::Ended).then_some(Step::DropFormer)
}

/// This comes after all work that is possible with the connection published last.
fn await_correction(inside: &Inside) -> Option<Step> {
    inside.invalid.then_some(Step::Stop(Stop::Connection))
}

#[cfg(test)]
mod inside_tests;
#[cfg(test)]
mod restore_tests;
#[cfg(test)]
mod tests;
