//! The whole life of an OrchestraDatabase on one page: from the facts to the one next step.
//!
//! ```text
//! hosted:  StorePassword → Announce → Create → AwaitHealthy → Connect → Probe → Rest ⇄ ReadKeys, BeginPassword → ChangePassword
//!                            ▲   unknown outcome: AwaitOutcome │ wrong password: ResetPassword
//! stuck:   Replace → Destroy → AwaitGone → Renew → Announce …   paused: Restore → AwaitRestore
//! pause:   Pause → AwaitRequest → AwaitPause → Sleep … Restore → AwaitRestore → Probe → Rest
//! released, to be destroyed: Schedule → Rest until the grace period is over → DeleteSelf
//! adopted: StorePassword → Record → AwaitHealthy → Connect → Probe …; never Announce, Create, Replace
//! gone:    Destroy → AwaitGone → Forget
//! static entry: Rest, or AwaitEntry while it cannot be claimed; Forget when deleted
//! released, to be reset: Schedule → Rest until the grace period is over → DecideReset → DeleteSelf → Reset → Forget
//! ```

mod entry;

use crate::api::condition::Reason;
pub use entry::{Entry, Reset};

/// What the database is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backing {
    /// A hosted project, as far as it was looked up.
    Hosted(Hosted),
    /// An entry of a static pool.
    Static(Entry),
}

/// Where a hosted project comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The operator makes it.
    Made,
    /// Somebody else made it, and an Orchestra adopted it.
    Adopted {
        /// The operator may set the owner's password.
        resets: bool,
        /// A login has ever proven it usable.
        proven: bool,
    },
}

/// What is known of a hosted project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hosted {
    /// Where it comes from.
    pub origin: Origin,
    /// Whether the owner's password is stored.
    pub password: bool,
    /// What a listing that is newer than our last request shows with our marker.
    pub project: Project,
    /// Whether a request to create it was issued.
    pub issued: Issued,
    /// How far the connection is proven.
    pub connection: Connection,
}

/// What a fresh listing shows with our marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Project {
    /// No project.
    Absent,
    /// No project, although one was recorded, and the provider confirms that it is gone.
    Lost,
    /// More than one project.
    Many,
    /// No project, but one that may be it is listed without a reference or a name.
    Unclear,
    /// The project exists and is not recorded yet.
    Unrecorded,
    /// Not usable yet.
    Waiting,
    /// Usable, by its status at the provider.
    Active,
    /// Never usable, past its deadline, and its class says `replaceStuck`.
    Stuck,
    /// To be replaced, and still there.
    Discarded,
    /// To be replaced, and being deleted.
    Discarding,
    /// To be replaced, and the provider confirms that it is gone.
    Replaced,
    /// To be paused, and usable by its status at the provider.
    ToPause {
        /// A pause was requested, and its outcome may not show yet.
        asked: bool,
    },
    /// To be paused, and still usable an hour after the first request, which was repeated.
    NotPaused,
    /// To be paused, and being paused.
    Pausing,
    /// To be paused, and paused.
    Asleep,
    /// Paused and to run: the operator paused it, or its class says `autoRestore`.
    Paused {
        /// A restore was requested recently.
        asked: bool,
    },
    /// Stopped by the provider or a person.
    Stopped(Reason),
    /// Being deleted.
    Leaving,
}

/// Whether a request to create the project was issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Issued {
    /// Never, or the last request was clearly refused.
    Never,
    /// The intent was written in this pass, and the request has not been sent.
    Now,
    /// Its outcome is unknown, and a project may still show.
    Settling,
    /// Its outcome is unknown, and no project showed in the settling time.
    Settled,
}

/// How far the connection is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// Services, pooler and keys have not been read yet.
    Unread,
    /// The address is known; no login has succeeded yet.
    Unproven,
    /// The last login was refused for a wrong password.
    WrongPassword,
    /// A login succeeded.
    Proven,
    /// The same, and it is time to look whether the provider has changed the keys.
    KeysDue,
    /// The same, and the owner is to have a new password.
    PasswordDue,
    /// A new password of the owner is stored, and the project may not have it yet.
    PasswordPending,
}

/// Who holds the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// No Orchestra, ever.
    None,
    /// An Orchestra.
    Held,
    /// An Orchestra that no longer exists, and never released it.
    Abandoned,
    /// An Orchestra held it and released it.
    Released,
}

/// How long a released database that is to be destroyed is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grace {
    /// Its class has no grace period.
    None,
    /// Its class has one, and no time is set yet.
    Unset,
    /// A time is set, and the database is to be kept.
    Void,
    /// Until a time that has not come, or that awaits its second look.
    Running,
    /// The time has come.
    Over,
}

/// All facts that the next step depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "independent facts")]
pub struct Facts {
    /// Whether the resource is being deleted.
    pub deleting: bool,
    /// Whether a person wants the operator to let go of it as it is.
    pub abandon: bool,
    /// Whether it has our finalizer.
    pub finalizer: bool,
    /// Which Orchestra holds it.
    pub claim: Claim,
    /// Whether the reclaim policy is Delete.
    pub destroy: bool,
    /// How long it is kept before that, once it is released.
    pub grace: Grace,
    /// What it is.
    pub backing: Backing,
}

impl Facts {
    /// Whether nothing remains at the provider when it is forgotten, as far as anybody can know.
    pub fn leaves_nothing(&self) -> bool {
        match self.backing {
            Backing::Static(_) => true,
            Backing::Hosted(hosted) => matches!(hosted.project, Project::Absent | Project::Lost | Project::Replaced),
        }
    }
}

/// The one next step. Each is idempotent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
    /// Nothing to do while it runs on, although it was to be paused: a person must act.
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
    /// Have the project take it, and prove it by a login.
    ChangePassword,
    /// Nothing to do.
    Rest,
    /// Wait, out of the pool, until the entry leads to the database again.
    AwaitEntry {
        /// Why it does not.
        reason: Reason,
        /// That passes by itself.
        passing: bool,
    },
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
    /// The same, whatever is left behind.
    Abandon,
    /// A person must act.
    Stop(Reason),
}

/// The next step.
pub fn plan(facts: &Facts) -> Step {
    if facts.deleting {
        return plan_deletion(*facts);
    }
    match (facts.finalizer, facts.backing) {
        (false, _) => Step::AddFinalizer,
        (true, Backing::Static(entry)) => entry::plan(facts, entry),
        // A claim that was released before anything was bought: there is nothing to keep.
        (true, Backing::Hosted(hosted)) if facts.claim == Claim::Released => match (hosted.project, hosted.issued) {
            // Nothing is known to be in it that is the tenant's: it is let go of, and stays at the provider.
            _ if matches!(hosted.origin, Origin::Adopted { proven: false, .. }) => Step::DeleteSelf,
            (Project::Absent | Project::Unclear, Issued::Settling) => Step::AwaitOutcome,
            (Project::Absent, _) => Step::DeleteSelf,
            (Project::Unrecorded, _) => Step::Record,
            // There is nothing to take back.
            (Project::Lost, _) if facts.destroy => Step::DeleteSelf,
            _ if facts.destroy => match facts.grace {
                Grace::None | Grace::Over => Step::DeleteSelf,
                Grace::Unset => Step::Schedule,
                Grace::Running | Grace::Void => plan_hosted(hosted),
            },
            // A later Delete has its whole period.
            _ if facts.grace == Grace::Void => Step::Schedule,
            // A kept database stays usable, with a stored password.
            _ => plan_hosted(hosted),
        },
        // No Orchestra is left that a project would be bought for.
        (true, Backing::Hosted(hosted)) if facts.claim == Claim::Abandoned && hosted.is_surely_absent() => {
            Step::DeleteSelf
        }
        (true, Backing::Hosted(hosted)) => plan_hosted(hosted),
    }
}

impl Hosted {
    /// Whether there is no project, and no pending request that could create one.
    fn is_surely_absent(self) -> bool {
        self.project == Project::Absent && self.issued != Issued::Settling
    }

    /// Whether the operator did not make it.
    fn is_adopted(self) -> bool {
        self.origin != Origin::Made
    }

    /// Whether its owner's password is somebody else's to set.
    fn is_reset_forbidden(self) -> bool {
        matches!(self.origin, Origin::Adopted { resets: false, .. })
    }

    /// Whether it never became usable and is being replaced.
    fn is_discarded(self) -> bool {
        matches!(self.project, Project::Discarded | Project::Discarding)
    }
}

fn plan_hosted(hosted: Hosted) -> Step {
    match (hosted.project, hosted.issued) {
        // Nothing is ever bought, or replaced, in the place of an adopted project.
        (
            Project::Absent
            | Project::Unclear
            | Project::Stuck
            | Project::Discarded
            | Project::Discarding
            | Project::Replaced,
            _,
        ) if hosted.is_adopted() => Step::Stop(Reason::DatabaseLost),
        (Project::Many, _) => Step::Stop(Reason::ProjectConflict),
        // Nothing is bought while it may be there already.
        (Project::Unclear, Issued::Settling) => Step::AwaitOutcome,
        (Project::Unclear, _) => Step::Stop(Reason::ProjectUnclear),
        (Project::Stopped(reason), _) => Step::Stop(reason),
        (Project::Lost | Project::Leaving, _) => Step::Stop(Reason::DatabaseLost),
        (Project::Unrecorded, _) => Step::Record,
        (Project::Stuck, _) => Step::Replace,
        (Project::Discarded, _) => Step::Destroy,
        (Project::Discarding, _) => Step::AwaitGone,
        (Project::Replaced, _) => Step::Renew,
        (Project::ToPause { asked: false }, _) => Step::Pause,
        (Project::ToPause { asked: true }, _) => Step::AwaitRequest,
        (Project::NotPaused, _) => Step::RunOn,
        (Project::Pausing, _) => Step::AwaitPause,
        (Project::Asleep, _) => Step::Sleep,
        (Project::Paused { asked: false }, _) => Step::Restore,
        (Project::Paused { asked: true }, _) => Step::AwaitRestore,
        // The password is stored before anything else: no project exists, or is bought, without a stored password.
        (_, _) if !hosted.password => Step::StorePassword,
        (Project::Absent, Issued::Never | Issued::Settled) => Step::Announce,
        (Project::Absent, Issued::Now) => Step::Create,
        (Project::Absent, Issued::Settling) => Step::AwaitOutcome,
        (Project::Waiting, _) => Step::AwaitHealthy,
        (Project::Active, _) => match hosted.connection {
            Connection::Unread => Step::Connect,
            Connection::Unproven => Step::Probe,
            Connection::WrongPassword if hosted.is_reset_forbidden() => Step::Stop(Reason::LoginFailed),
            Connection::WrongPassword => Step::ResetPassword,
            Connection::KeysDue => Step::ReadKeys,
            Connection::PasswordDue => Step::BeginPassword,
            Connection::PasswordPending => Step::ChangePassword,
            Connection::Proven => Step::Rest,
        },
    }
}

fn plan_deletion(facts: Facts) -> Step {
    match (facts.finalizer, facts.claim, facts.backing) {
        (false, _, _) => Step::Rest,
        (true, Claim::Held, Backing::Hosted(hosted)) => hold(hosted),
        (true, Claim::Held, Backing::Static(_)) => Step::Hold,
        (true, _, Backing::Static(entry)) => entry::plan_deletion(facts, entry),
        (true, _, _) if facts.abandon => Step::Abandon,
        (true, _, Backing::Hosted(hosted))
            if !facts.destroy && facts.claim == Claim::None && !hosted.is_discarded() =>
        {
            Step::Forget
        }
        (true, _, Backing::Hosted(hosted)) => match (hosted.project, hosted.issued) {
            (Project::Many, _) => Step::Stop(Reason::ProjectConflict),
            (Project::Absent | Project::Unclear, Issued::Settling) => Step::AwaitOutcome,
            (Project::Unclear, _) if facts.destroy => Step::Stop(Reason::ProjectUnclear),
            (Project::Absent | Project::Lost | Project::Replaced, _) => Step::Forget,
            // It was to be destroyed before; the reclaim policy is about databases that hold data.
            (Project::Discarded, _) if !hosted.is_adopted() => Step::Destroy,
            (Project::Discarding, _) => Step::AwaitGone,
            _ if !facts.destroy => Step::Forget,
            (Project::Leaving, _) => Step::AwaitGone,
            _ => Step::Destroy,
        },
    }
}

/// A database in use is kept although its deletion was requested: one that is paused, or was, follows its Orchestra as
/// before until it runs.
fn hold(hosted: Hosted) -> Step {
    let step = plan_hosted(hosted);
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
