//! The whole life of an OrchestraDatabase on one page: what was seen → the one next step.
//!
//! ```text
//! hosted:  StorePassword → Announce → Create → AwaitHealthy → Connect → Probe → Rest
//!                            ▲   unknown outcome: AwaitOutcome │ wrong password: ResetPassword
//! stuck:   Replace → Destroy → AwaitGone → Renew → Announce …   paused: Restore → AwaitRestore
//! gone:    Destroy → AwaitGone → Forget          static entry: Rest, and Forget when deleted
//! ```

use crate::api::condition::Reason;

/// What the database is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A hosted project, as far as it was looked up.
    Hosted(Hosted),
    /// An entry of a static pool.
    Static,
}

/// What is known of a hosted project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hosted {
    /// Whether the owner's password is stored.
    pub password: bool,
    /// What a listing that is newer than our last request shows under our marker.
    pub project: Project,
    /// Whether a request to create it was issued.
    pub issued: Issued,
    /// How far the connection is proven.
    pub connection: Connection,
}

/// What a fresh listing shows under our marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Project {
    /// No project.
    Absent,
    /// No project, although one was recorded, and the provider confirms that it is gone.
    Lost,
    /// More than one project.
    Many,
    /// The project is there and not recorded yet.
    Unrecorded,
    /// On its way to usable.
    Waiting,
    /// Usable by its status.
    Active,
    /// Never usable, too late, and its class wants such a one replaced.
    Stuck,
    /// Replaced by decision, and still there.
    Discarded,
    /// Replaced by decision, and being deleted.
    Discarding,
    /// Replaced by decision, and the provider confirms that it is gone.
    Replaced,
    /// Paused by the provider, and its class wants such a one restored.
    Paused {
        /// The provider was asked a short while ago.
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
    /// Never, or the last one was refused for certain.
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
}

/// Who holds the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Nobody, ever.
    None,
    /// An Orchestra.
    Held,
    /// An Orchestra that no longer exists, and that did not let it go.
    Abandoned,
    /// An Orchestra held it and let it go.
    Released,
}

/// Everything that the next step depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The resource is being deleted.
    pub deleting: bool,
    /// Our finalizer is on it.
    pub finalizer: bool,
    /// Who holds it.
    pub claim: Claim,
    /// The reclaim policy is Delete.
    pub destroy: bool,
    /// What it is.
    pub kind: Kind,
}

/// The one next step. Each is idempotent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Put our finalizer on.
    AddFinalizer,
    /// Generate the owner's password and store it.
    StorePassword,
    /// Write down that a request to create the project is about to be sent.
    Announce,
    /// Send it.
    Create,
    /// Wait until the outcome of a request is known.
    AwaitOutcome,
    /// Write down which project it is.
    Record,
    /// Write down that the project never became usable and is to be replaced.
    Replace,
    /// Write down that the replaced project is gone: the creation begins anew.
    Renew,
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
    /// Set the password that we know.
    ResetPassword,
    /// Nothing to do.
    Rest,
    /// Delete this resource, and with it the project.
    DeleteSelf,
    /// Refuse to go while an Orchestra holds the claim.
    Hold,
    /// Destroy the project: its deletion was asked for, or it is being replaced.
    Destroy,
    /// Wait until the provider no longer lists it.
    AwaitGone,
    /// Take our finalizer off.
    Forget,
    /// A person must act.
    Stop(Reason),
}

/// The next step for what was seen.
pub fn plan(seen: &Seen) -> Step {
    if seen.deleting {
        return plan_deletion(*seen);
    }
    match (seen.finalizer, seen.kind) {
        (false, _) => Step::AddFinalizer,
        (true, Kind::Static) => Step::Rest,
        // A claim that was let go before anything was bought: there is nothing to keep.
        (true, Kind::Hosted(hosted)) if seen.claim == Claim::Released => match (hosted.project, hosted.issued) {
            (Project::Absent, Issued::Settling) => Step::AwaitOutcome,
            (Project::Absent, _) => Step::DeleteSelf,
            (Project::Unrecorded, _) => Step::Record,
            _ if seen.destroy => Step::DeleteSelf,
            // What is kept stays usable, with a password that we know.
            _ => plan_hosted(hosted),
        },
        // Nobody is left to buy for.
        (true, Kind::Hosted(hosted)) if seen.claim == Claim::Abandoned && hosted.is_surely_absent() => Step::DeleteSelf,
        (true, Kind::Hosted(hosted)) => plan_hosted(hosted),
    }
}

impl Hosted {
    /// There is no project, and no request is under way that could make one.
    fn is_surely_absent(self) -> bool {
        self.project == Project::Absent && self.issued != Issued::Settling
    }

    /// It never became usable, and is on its way to be replaced.
    fn is_discarded(self) -> bool {
        matches!(self.project, Project::Discarded | Project::Discarding)
    }
}

fn plan_hosted(seen: Hosted) -> Step {
    match (seen.project, seen.issued) {
        (Project::Many, _) => Step::Stop(Reason::ProjectConflict),
        (Project::Stopped(reason), _) => Step::Stop(reason),
        (Project::Lost | Project::Leaving, _) => Step::Stop(Reason::DatabaseLost),
        (Project::Unrecorded, _) => Step::Record,
        (Project::Stuck, _) => Step::Replace,
        (Project::Discarded, _) => Step::Destroy,
        (Project::Discarding, _) => Step::AwaitGone,
        (Project::Replaced, _) => Step::Renew,
        (Project::Paused { asked: false }, _) => Step::Restore,
        (Project::Paused { asked: true }, _) => Step::AwaitRestore,
        // A project without a password that we know is never left so, and none is bought so.
        (_, _) if !seen.password => Step::StorePassword,
        (Project::Absent, Issued::Never | Issued::Settled) => Step::Announce,
        (Project::Absent, Issued::Now) => Step::Create,
        (Project::Absent, Issued::Settling) => Step::AwaitOutcome,
        (Project::Waiting, _) => Step::AwaitHealthy,
        (Project::Active, _) => match seen.connection {
            Connection::Unread => Step::Connect,
            Connection::Unproven => Step::Probe,
            Connection::WrongPassword => Step::ResetPassword,
            Connection::Proven => Step::Rest,
        },
    }
}

fn plan_deletion(seen: Seen) -> Step {
    match (seen.finalizer, seen.claim, seen.kind) {
        (false, _, _) => Step::Rest,
        (true, Claim::Held, _) => Step::Hold,
        (true, _, Kind::Static) => Step::Forget,
        (true, _, Kind::Hosted(hosted)) if !seen.destroy && seen.claim == Claim::None && !hosted.is_discarded() => {
            Step::Forget
        }
        (true, _, Kind::Hosted(hosted)) => match (hosted.project, hosted.issued) {
            (Project::Many, _) => Step::Stop(Reason::ProjectConflict),
            (Project::Absent, Issued::Settling) => Step::AwaitOutcome,
            (Project::Absent | Project::Lost | Project::Replaced, _) => Step::Forget,
            // It was to be destroyed before, whatever the policy says of what holds data.
            (Project::Discarded, _) => Step::Destroy,
            (Project::Discarding, _) => Step::AwaitGone,
            _ if !seen.destroy => Step::Forget,
            (Project::Leaving, _) => Step::AwaitGone,
            _ => Step::Destroy,
        },
    }
}

#[cfg(test)]
mod tests;
