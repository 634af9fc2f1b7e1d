//! What is known of an OrchestraDatabase: the facts that its next step depends on.

use super::entry::EntryFacts;

/// What the database is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backing {
    /// A hosted project, with the facts that were looked up.
    Hosted(Hosted),
    /// An entry of a static pool.
    Static(EntryFacts),
}

/// Where a hosted project comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProjectOrigin {
    /// The operator creates it.
    Made,
    /// Somebody else created it, and an Orchestra adopted it.
    Adopted {
        /// The operator may set the owner's password.
        resets: bool,
        /// A login of the operator has succeeded at some time.
        proven: bool,
    },
}

/// What is known of a hosted project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hosted {
    /// Where it comes from.
    pub origin: ProjectOrigin,
    /// Whether the owner's password is stored.
    pub password: bool,
    /// The project with our marker in a listing that is newer than our last request.
    pub project: ProjectLook,
    /// Whether a request to create it was issued.
    pub issued: Issued,
    /// Whether the connection is proven.
    pub connection: ConnectionState,
}

/// The project with our marker in a fresh listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProjectLook {
    /// No project.
    Absent,
    /// No project, although one was recorded, and the provider confirms that it is gone.
    Lost,
    /// More than one project.
    Many,
    /// No project, but one without a reference or a name is listed that may be it.
    Unclear,
    /// The project exists and is not recorded yet.
    Unrecorded,
    /// Not usable yet.
    Waiting,
    /// Usable, by its status at the provider.
    Active,
    /// Never usable, past its deadline, and its class says `replaceStuck`.
    Stuck,
    /// To be replaced, and still existing.
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
    Stopped(DatabaseStop),
    /// Being deleted.
    Leaving,
}

/// Why a person must act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DatabaseStop {
    /// Several projects carry the marker.
    Conflict,
    /// The project is gone, or being deleted.
    Lost,
    /// A listed project may be this one.
    Unclear,
    /// The provider has paused the project.
    Paused,
    /// The provider says that the project failed.
    Failed,
    /// The provider does not finish a pause.
    PauseHangs,
    /// The project has left the organization of the class.
    Elsewhere,
    /// The project refuses the password, and the operator may not set another one.
    WrongPassword,
    /// Its final backup failed, and it is not destroyed without one.
    FinalBackup,
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

/// Whether the connection is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionState {
    /// Services, pooler and keys have not been read yet.
    Unread,
    /// The address is known; no login has succeeded yet.
    Unproven,
    /// The last login was refused for a wrong password.
    WrongPassword,
    /// A login succeeded.
    Proven,
    /// A login succeeded, and logins of the Orchestra that has released the database may still work.
    LoginsLeft,
    /// A login succeeded, and it is time to check whether the keys have changed at the provider.
    KeysDue,
    /// A login succeeded, and the owner is to get a new password.
    PasswordDue,
    /// A new password of the owner is stored, and the project may not have it yet.
    PasswordPending,
    /// A login succeeded, and the rotation of the API keys has something to do.
    KeysRotate(KeyWork),
}

/// What is to be done for the rotation of the API keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyWork {
    /// New ones are wanted.
    Due,
    /// The names of new ones are stored, and the keys may not exist yet.
    Pending,
    /// Former ones are to be deleted, or the time of their deletion is to be recorded.
    Overdue,
}

/// Who holds the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimState {
    /// No Orchestra, ever.
    None,
    /// An Orchestra.
    Held,
    /// An Orchestra that no longer exists, and never released it; or nobody, where nothing was requested yet and the pool
    /// for which it was made is gone.
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
    /// Until a time that has not come, or that is still to be confirmed by a second look.
    Running,
    /// The time has come.
    Over,
}

/// The backup that is made before the database is destroyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinalBackupState {
    /// The class wants none, or there is nothing to back up.
    NotWanted,
    /// It is to be made.
    Unmade,
    /// It is being made.
    UnderWay,
    /// It is complete, or it failed and the class does not require it.
    Settled,
    /// It failed, and nothing is destroyed without it.
    Failed,
}

/// All facts that the next step depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "independent facts")]
pub struct Facts {
    /// Whether the resource is being deleted.
    pub deleting: bool,
    /// Whether a person wants the operator to stop managing it as it is.
    pub abandon: bool,
    /// Whether it has our finalizer.
    pub finalizer: bool,
    /// Which Orchestra holds it.
    pub claim: ClaimState,
    /// Whether the reclaim policy is Delete.
    pub destroy: bool,
    /// How long it is kept after its release and before its destruction.
    pub grace: Grace,
    /// A proxy refused the last request to create the project, and its outcome is unknown.
    pub refused: bool,
    /// The backup that is made before it is destroyed.
    pub final_backup: FinalBackupState,
    /// What it is.
    pub backing: Backing,
}

impl Facts {
    /// Whether nothing is known to remain at the provider when it is forgotten.
    pub fn leaves_nothing(&self) -> bool {
        match self.backing {
            Backing::Static(_) => true,
            Backing::Hosted(hosted) => matches!(
                hosted.project,
                ProjectLook::Absent | ProjectLook::Lost | ProjectLook::Replaced
            ),
        }
    }
}
