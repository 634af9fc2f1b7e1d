//! What is known of an OrchestraDatabase: the facts that its next step depends on.

use super::entry::EntryFacts;

/// What the database is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backing {
    /// A hosted project, as far as it was looked up.
    Hosted(Hosted),
    /// An entry of a static pool.
    Static(EntryFacts),
}

/// Where a hosted project comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProjectOrigin {
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
    pub origin: ProjectOrigin,
    /// Whether the owner's password is stored.
    pub password: bool,
    /// What a listing that is newer than our last request shows with our marker.
    pub project: ProjectLook,
    /// Whether a request to create it was issued.
    pub issued: Issued,
    /// How far the connection is proven.
    pub connection: ConnectionState,
}

/// What a fresh listing shows with our marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProjectLook {
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

/// How far the connection is proven.
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
    /// The same, and it is time to look whether the provider has changed the keys.
    KeysDue,
    /// The same, and the owner is to have a new password.
    PasswordDue,
    /// A new password of the owner is stored, and the project may not have it yet.
    PasswordPending,
    /// The same as proven, and something is to be done for the rotation of the API keys.
    KeysRotate(KeyWork),
}

/// What is to be done for the rotation of the API keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyWork {
    /// New ones are wanted.
    Due,
    /// The names of new ones are stored, and they may not be there yet.
    Pending,
    /// Former ones are to be deleted, or it is to be written down when.
    Overdue,
}

/// Who holds the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimState {
    /// No Orchestra, ever.
    None,
    /// An Orchestra.
    Held,
    /// An Orchestra that no longer exists, and never released it; or nobody, where nothing was requested yet and the pool is
    /// gone that it was made for.
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

/// The backup that is made before the database is destroyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinalBackupState {
    /// The class wants none, or there is nothing to back up.
    NotWanted,
    /// It is to be made.
    Unmade,
    /// It is being made.
    UnderWay,
    /// It is complete, or it failed and the class does not insist.
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
    /// Whether a person wants the operator to let go of it as it is.
    pub abandon: bool,
    /// Whether it has our finalizer.
    pub finalizer: bool,
    /// Which Orchestra holds it.
    pub claim: ClaimState,
    /// Whether the reclaim policy is Delete.
    pub destroy: bool,
    /// How long it is kept before that, once it is released.
    pub grace: Grace,
    /// A proxy refused the last request to create the project, and its outcome is unknown.
    pub refused: bool,
    /// The backup that is made before it is destroyed.
    pub final_backup: FinalBackupState,
    /// What it is.
    pub backing: Backing,
}

impl Facts {
    /// Whether nothing remains at the provider when it is forgotten, as far as anybody can know.
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
