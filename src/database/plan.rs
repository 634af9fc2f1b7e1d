//! The whole life of an OrchestraDatabase on one page: from the facts to the one next step.
//!
//! ```text
//! hosted:  StorePassword → Announce → Create → AwaitHealthy → Connect → Probe → Rest ⇄ ReadKeys, RotateKeys, BeginPassword → ChangePassword
//!                            ▲   unknown outcome: AwaitOutcome │ wrong password: ResetPassword
//! stuck:   Replace → Destroy → AwaitGone → Renew → Announce …   paused: Restore → AwaitRestore
//! pause:   Pause → AwaitRequest → AwaitPause → Sleep … Restore → AwaitRestore → Probe → Rest
//! released: RevokeLogins, where they could not be revoked at the release → RotateKeys → Rest
//! released, to be destroyed: Schedule → Rest until the grace period is over → DeleteSelf
//! adopted: StorePassword → Record → AwaitHealthy → Connect → Probe …; never Announce, Create, Replace
//! before everything in it is destroyed, where the class says so: MakeFinalBackup → AwaitFinalBackup
//! gone:    Destroy → AwaitGone → Forget
//! static entry: Rest, or AwaitEntry while it cannot be claimed; Forget when deleted
//! released, to be reset: Schedule → Rest until the grace period is over → DecideReset → DeleteSelf → Reset → Forget
//! ```

mod entry;
mod facts;

pub use entry::{EntryFacts, Reset};
pub use facts::{
    Backing, ClaimState, ConnectionState, DatabaseStop, Facts, FinalBackupState, Grace, Hosted, Issued, KeyWork,
    ProjectLook, ProjectOrigin,
};

use strum::IntoStaticStr;

use crate::api::condition::Reason;

/// The one next step. Each is idempotent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, IntoStaticStr)]
pub enum Step {
    /// Add our finalizer.
    AddFinalizer,
    /// Generate the owner's password and store it.
    StorePassword,
    /// Record that a request to create the project is about to be sent.
    Announce,
    /// Send it.
    Create,
    /// Wait until the outcome of a request is known.
    AwaitOutcome,
    /// Report that a proxy refused the request; its outcome is looked up again later.
    TellRefusal,
    /// Record which project it is.
    Record,
    /// Record that the project never became usable and is to be replaced.
    Replace,
    /// Record that the replaced project is gone: the creation starts again.
    Renew,
    /// Ask the provider to pause the project.
    Pause,
    /// Wait until the outcome of the request to pause it shows: it runs meanwhile.
    AwaitRequest,
    /// Nothing to do while it keeps running although it was to be paused: a person must act.
    RunOn,
    /// Wait until the provider has paused it.
    AwaitPause,
    /// Nothing to do while it is paused.
    Sleep,
    /// Ask the provider to restore the paused project.
    Restore,
    /// Wait until the provider has restored it.
    AwaitRestore,
    /// Wait until the provider says that the project is healthy.
    AwaitHealthy,
    /// Read services, pooler and keys, and store them.
    Connect,
    /// Log in.
    Probe,
    /// Set the stored password.
    ResetPassword,
    /// Read the keys again.
    ReadKeys,
    /// Store a new password of the owner.
    BeginPassword,
    /// Set it on the project, and prove it by a login.
    ChangePassword,
    /// Continue the rotation of the API keys.
    RotateKeys(KeyWork),
    /// Revoke the logins of the Orchestra that has released the database.
    RevokeLogins,
    /// Nothing to do.
    Rest,
    /// Wait, out of the pool, until the entry leads to the database again.
    AwaitEntry {
        /// Why it does not lead to the database.
        reason: Reason,
        /// Whether that is transient.
        passing: bool,
    },
    /// Have a backup made before everything in it is destroyed.
    MakeFinalBackup,
    /// Wait until that backup is complete.
    AwaitFinalBackup,
    /// Record that everything in the released database is about to be dropped.
    DecideReset,
    /// Drop it.
    Reset,
    /// Set the time at which the released project is destroyed.
    Schedule,
    /// Delete this resource, and with it the project.
    DeleteSelf,
    /// Wait with the deletion while an Orchestra holds the claim.
    Hold,
    /// Destroy the project: its deletion was requested, or it is being replaced.
    Destroy,
    /// Wait until the provider no longer lists it.
    AwaitGone,
    /// Remove our finalizer.
    Forget,
    /// Remove our finalizer, whatever is left behind.
    Abandon,
    /// A person must act.
    Stop(DatabaseStop),
}

impl Step {
    /// The name of a step that does something.
    pub fn carries_out(self) -> Option<&'static str> {
        let waits = matches!(
            self,
            Self::AwaitOutcome
                | Self::TellRefusal
                | Self::AwaitRequest
                | Self::RunOn
                | Self::AwaitPause
                | Self::Sleep
                | Self::AwaitRestore
                | Self::AwaitHealthy
                | Self::Rest
                | Self::AwaitEntry { .. }
                | Self::Hold
                | Self::AwaitGone
                | Self::Stop(_)
        );
        (!waits).then(|| self.into())
    }
}

/// The next step.
pub fn plan(facts: &Facts) -> Step {
    match next(facts) {
        Step::AwaitOutcome if facts.refused => Step::TellRefusal,
        step if destroys(facts, step) => backed_up(facts.final_backup, step),
        // Its data no longer changes, so the grace period is used for the backup.
        Step::Rest
            if facts.grace == Grace::Running && facts.destroy && facts.final_backup == FinalBackupState::Unmade =>
        {
            Step::MakeFinalBackup
        }
        step => step,
    }
}

/// Whether a step ends what may hold an Orchestra's data.
fn destroys(facts: &Facts, step: Step) -> bool {
    match (step, facts.backing) {
        // The decision is in a status, which others may have written.
        (Step::DecideReset | Step::Reset, _) => true,
        (Step::Destroy, Backing::Hosted(hosted)) => !hosted.is_discarded(),
        (Step::DeleteSelf, Backing::Hosted(hosted)) => {
            let is_there = !matches!(
                hosted.project,
                ProjectLook::Absent | ProjectLook::Lost | ProjectLook::Unclear
            );
            facts.destroy && is_there && !hosted.is_discarded() && !hosted.never_let_in()
        }
        _ => false,
    }
}

/// A step that destroys, once the final backup is settled.
fn backed_up(backup: FinalBackupState, step: Step) -> Step {
    match backup {
        FinalBackupState::NotWanted | FinalBackupState::Settled => step,
        FinalBackupState::Unmade => Step::MakeFinalBackup,
        FinalBackupState::UnderWay => Step::AwaitFinalBackup,
        FinalBackupState::Failed => Step::Stop(DatabaseStop::FinalBackup),
    }
}

fn next(facts: &Facts) -> Step {
    if facts.deleting {
        return plan_deletion(*facts);
    }
    match (facts.finalizer, facts.backing) {
        (false, _) => Step::AddFinalizer,
        (true, Backing::Static(entry)) => entry::plan(facts, entry),
        // A claim that was released before anything was bought: there is nothing to keep.
        (true, Backing::Hosted(hosted)) if facts.claim == ClaimState::Released => match (hosted.project, hosted.issued)
        {
            // Nothing in it is known to be the tenant's: the operator stops managing it, and it stays at the provider.
            _ if hosted.never_let_in() => Step::DeleteSelf,
            (ProjectLook::Absent | ProjectLook::Unclear, Issued::Settling) => Step::AwaitOutcome,
            (ProjectLook::Absent, _) => Step::DeleteSelf,
            (ProjectLook::Unrecorded, _) => Step::Record,
            // There is nothing to take back.
            (ProjectLook::Lost, _) if facts.destroy => Step::DeleteSelf,
            _ if facts.destroy => match facts.grace {
                Grace::None | Grace::Over => Step::DeleteSelf,
                Grace::Unset => Step::Schedule,
                Grace::Running | Grace::Void => plan_hosted(hosted, facts.claim),
            },
            // A later Delete starts a whole grace period.
            _ if facts.grace == Grace::Void => Step::Schedule,
            // A kept database stays usable, with a stored password.
            _ => plan_hosted(hosted, facts.claim),
        },
        // No Orchestra and no pool needs a project any more.
        (true, Backing::Hosted(hosted)) if facts.claim == ClaimState::Abandoned && hosted.is_surely_absent() => {
            Step::DeleteSelf
        }
        (true, Backing::Hosted(hosted)) => plan_hosted(hosted, facts.claim),
    }
}

impl Hosted {
    /// Whether there is no project, and no pending request that could create one.
    fn is_surely_absent(self) -> bool {
        self.project == ProjectLook::Absent && self.issued != Issued::Settling
    }

    /// Whether somebody else created it.
    fn is_adopted(self) -> bool {
        self.origin != ProjectOrigin::Made
    }

    /// Whether only somebody else may set its owner's password. An Orchestra's permission ends with the Orchestra.
    fn is_reset_forbidden(self, claim: ClaimState) -> bool {
        matches!(self.origin, ProjectOrigin::Adopted { resets, .. } if !resets || claim != ClaimState::Held)
    }

    /// Whether it was adopted and no login of the operator is known to have succeeded. A lost status does not show it: while
    /// the address is stored, a login is tried.
    fn never_let_in(self) -> bool {
        let refused = matches!(
            self.connection,
            ConnectionState::Unread | ConnectionState::WrongPassword
        );
        matches!(self.origin, ProjectOrigin::Adopted { proven: false, .. })
            && (refused || self.project == ProjectLook::Lost)
    }

    /// Whether it never became usable and is being replaced.
    fn is_discarded(self) -> bool {
        matches!(self.project, ProjectLook::Discarded | ProjectLook::Discarding)
    }
}

fn plan_hosted(hosted: Hosted, claim: ClaimState) -> Step {
    match (hosted.project, hosted.issued) {
        // An adopted project is never replaced, and no project is bought instead of it.
        (
            ProjectLook::Absent
            | ProjectLook::Unclear
            | ProjectLook::Stuck
            | ProjectLook::Discarded
            | ProjectLook::Discarding
            | ProjectLook::Replaced,
            _,
        ) if hosted.is_adopted() => Step::Stop(DatabaseStop::Lost),
        (ProjectLook::Many, _) => Step::Stop(DatabaseStop::Conflict),
        // No project is bought while it may exist already.
        (ProjectLook::Unclear, Issued::Settling) => Step::AwaitOutcome,
        (ProjectLook::Unclear, _) => Step::Stop(DatabaseStop::Unclear),
        (ProjectLook::Stopped(stop), _) => Step::Stop(stop),
        (ProjectLook::Lost | ProjectLook::Leaving, _) => Step::Stop(DatabaseStop::Lost),
        (ProjectLook::Unrecorded, _) => Step::Record,
        (ProjectLook::Stuck, _) => Step::Replace,
        (ProjectLook::Discarded, _) => Step::Destroy,
        (ProjectLook::Discarding, _) => Step::AwaitGone,
        (ProjectLook::Replaced, _) => Step::Renew,
        (ProjectLook::ToPause { asked: false }, _) => Step::Pause,
        (ProjectLook::ToPause { asked: true }, _) => Step::AwaitRequest,
        (ProjectLook::NotPaused, _) => Step::RunOn,
        (ProjectLook::Pausing, _) => Step::AwaitPause,
        (ProjectLook::Asleep, _) => Step::Sleep,
        (ProjectLook::Paused { asked: false }, _) => Step::Restore,
        (ProjectLook::Paused { asked: true }, _) => Step::AwaitRestore,
        // The password is stored before anything else: no project exists, or is bought, without a stored password.
        (_, _) if !hosted.password => Step::StorePassword,
        (ProjectLook::Absent, Issued::Never | Issued::Settled) => Step::Announce,
        (ProjectLook::Absent, Issued::Now) => Step::Create,
        (ProjectLook::Absent, Issued::Settling) => Step::AwaitOutcome,
        (ProjectLook::Waiting, _) => Step::AwaitHealthy,
        (ProjectLook::Active, _) => match hosted.connection {
            ConnectionState::Unread => Step::Connect,
            ConnectionState::Unproven => Step::Probe,
            ConnectionState::WrongPassword if hosted.is_reset_forbidden(claim) => {
                Step::Stop(DatabaseStop::WrongPassword)
            }
            ConnectionState::WrongPassword => Step::ResetPassword,
            ConnectionState::LoginsLeft => Step::RevokeLogins,
            ConnectionState::KeysDue => Step::ReadKeys,
            ConnectionState::PasswordDue => Step::BeginPassword,
            // The owner has one of two passwords, and both are kept.
            ConnectionState::PasswordPending if hosted.is_reset_forbidden(claim) => Step::Rest,
            ConnectionState::PasswordPending => Step::ChangePassword,
            ConnectionState::KeysRotate(work) => Step::RotateKeys(work),
            ConnectionState::Proven => Step::Rest,
        },
    }
}

fn plan_deletion(facts: Facts) -> Step {
    match (facts.finalizer, facts.claim, facts.backing) {
        (false, _, _) => Step::Rest,
        (true, ClaimState::Held, Backing::Hosted(hosted)) => keep_in_use(hosted),
        (true, ClaimState::Held, Backing::Static(_)) => Step::Hold,
        (true, _, Backing::Static(entry)) => entry::plan_deletion(facts, entry),
        (true, _, _) if facts.abandon => Step::Abandon,
        (true, _, Backing::Hosted(hosted))
            if !facts.destroy && facts.claim == ClaimState::None && !hosted.is_discarded() =>
        {
            Step::Forget
        }
        (true, _, Backing::Hosted(hosted)) => match (hosted.project, hosted.issued) {
            (ProjectLook::Many, _) => Step::Stop(DatabaseStop::Conflict),
            (ProjectLook::Absent | ProjectLook::Unclear, Issued::Settling) => Step::AwaitOutcome,
            (ProjectLook::Unclear, _) if facts.destroy => Step::Stop(DatabaseStop::Unclear),
            (ProjectLook::Absent | ProjectLook::Lost | ProjectLook::Replaced, _) => Step::Forget,
            // It was to be destroyed before; the reclaim policy is only about databases that hold data.
            (ProjectLook::Discarded, _) if !hosted.is_adopted() => Step::Destroy,
            (ProjectLook::Discarding, _) => Step::AwaitGone,
            _ if !facts.destroy => Step::Forget,
            (ProjectLook::Leaving, _) => Step::AwaitGone,
            _ => Step::Destroy,
        },
    }
}

/// A database in use is kept although its deletion was requested: one that is paused, or was, follows its Orchestra as
/// before until it runs.
fn keep_in_use(hosted: Hosted) -> Step {
    let step = plan_hosted(hosted, ClaimState::Held);
    match step {
        Step::Pause
        | Step::AwaitRequest
        | Step::RunOn
        | Step::AwaitPause
        | Step::Sleep
        | Step::Restore
        | Step::AwaitRestore
        | Step::AwaitHealthy
        | Step::Connect
        | Step::Probe
        | Step::ResetPassword
        | Step::Stop(_) => step,
        _ => Step::Hold,
    }
}

#[cfg(test)]
mod tests;
