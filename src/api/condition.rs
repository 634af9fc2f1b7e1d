//! Condition types and the one bounded set of reasons.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use strum::{Display, EnumIter, EnumString, IntoStaticStr};

pub use super::condition_type::ConditionType;

/// The reason of a condition, an event or an error metric. One reason has one meaning everywhere.
/// Reasons are metric labels, so this set is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Display, EnumIter, EnumString, IntoStaticStr)]
pub enum Reason {
    /// The object is settled.
    Ready,
    /// Work has not started.
    Pending,
    /// The ttl ends soon.
    Expiring,
    /// The ttl is over, and the Orchestra is deleted.
    Expired,
    /// The spec changed, and the change is in progress.
    Updating,
    /// The database is being created, or is not usable yet.
    Provisioning,
    /// A request waits for its turn in the token's request limit, or migrations wait for their server.
    Queued,
    /// Waiting for a claim on a database.
    Claiming,
    /// The tenant's login role is being prepared.
    PreparingLogin,
    /// Migrations are being applied.
    Migrating,
    /// Pending migrations wait for a person's approval.
    ApprovalPending,
    /// A person approved the pending migrations.
    Approved,
    /// The seed is being applied.
    Seeding,
    /// The connection Secret is being written.
    Publishing,
    /// The object is being deleted.
    Deleting,
    /// The database waits for a claim.
    Available,
    /// The database is claimed.
    Bound,
    /// The claim was released, and the database was kept.
    Released,
    /// The claim was released, and the database is destroyed when its grace period is over.
    Reclaiming,
    /// Everything in a released database is being dropped, so that it waits for a claim again.
    Resetting,
    /// A released database still differs from an empty one, and stays out of its pool.
    NotReset,
    /// A released database does not carry the claim record of the Orchestra that had it: it may be somebody else's.
    ClaimRecordMissing,
    /// The operator stopped managing the object, and something of it is left behind.
    Abandoned,
    /// No class is named and there is no default one.
    NoDefaultClass,
    /// The named class does not exist.
    ClassNotFound,
    /// The class is being deleted.
    ClassDeleting,
    /// A label selector is not valid.
    SelectorInvalid,
    /// The class can neither create a database nor claim one.
    NoProvider,
    /// Every pool of the class is exhausted, or a pool has the most databases that it may have on its server.
    PoolExhausted,
    /// Two inventory entries lead to the same server and database.
    DuplicateEntry,
    /// An inventory entry is not a usable database URL, its login or its server is not fit for tenants, or it leads
    /// to another database than before.
    InvalidEntry,
    /// An entry left the inventory while an Orchestra uses its database.
    EntryRemoved,
    /// A server of the pool lets every tenant's login connect to databases for administration.
    ServerOpen,
    /// The inventory of a static pool cannot be read.
    InventoryNotFound,
    /// The Management API token is missing.
    TokenMissing,
    /// The Management API token was rejected (401).
    TokenRejected,
    /// The provider accepts the token.
    TokenAccepted,
    /// The token expires soon, or has expired according to its Secret's annotation.
    TokenExpiring,
    /// The token lacks a permission (403).
    PermissionDenied,
    /// The organization does not exist, or the token cannot see it.
    OrganizationNotFound,
    /// The organization's limit of projects is reached.
    QuotaExceeded,
    /// The organization has overdue invoices or is restricted.
    BillingRestricted,
    /// The region has no room for another project.
    RegionAtCapacity,
    /// The Management API refused the password as too short or too long.
    PasswordRefused,
    /// The class's monthly budget has no room for another project.
    BudgetExceeded,
    /// The class's cost has reached the share of its monthly limit at which it warns.
    BudgetNearLimit,
    /// The class has its maximum number of projects.
    ProjectLimitReached,
    /// The existing database that the spec names is not there, or is being destroyed.
    ExistingNotFound,
    /// The Orchestra may not take the existing database that the spec names.
    ExistingNotAllowed,
    /// The Secret with the password of a project that is to be adopted, or the key in it, does not exist.
    PasswordNotFound,
    /// The database of an earlier Orchestra of the same name is still there.
    EarlierDatabase,
    /// The class does not admit Orchestras of this namespace.
    NamespaceNotAllowed,
    /// Projects with this cluster's marker exist that no OrchestraDatabase holds.
    Orphaned,
    /// The Management API refused the request as invalid.
    RequestRefused,
    /// The Management API asked for fewer requests (429).
    RateLimited,
    /// The Management API failed or could not be reached.
    ProviderUnavailable,
    /// The outcome of a request is unknown; the operator looks for its project.
    OutcomeUnknown,
    /// More than one project carries this database's marker.
    ProjectConflict,
    /// The provider lists a project that may be this database's, and that is not understood.
    ProjectUnclear,
    /// The project's legacy API keys are disabled, and it has no other keys.
    KeysDisabled,
    /// A project that existed is gone.
    DatabaseLost,
    /// The provider reports the project as failed.
    ProviderFailed,
    /// The provider has paused the project.
    ProjectPaused,
    /// The provider was asked to restore a paused project.
    Restoring,
    /// The database is paused on purpose.
    Paused,
    /// The database is being paused.
    Pausing,
    /// The organization's plan does not allow its projects to be paused.
    PausingNotAllowed,
    /// Nobody has used the database for long, and it will be paused.
    PauseAnnounced,
    /// The database runs again after a pause.
    Resumed,
    /// A project that never became usable is being replaced.
    Replacing,
    /// The progress deadline passed.
    DeadlineExceeded,
    /// The API names a host to which no password may be sent.
    UntrustedHost,
    /// The database cannot be reached.
    DatabaseUnreachable,
    /// The name of the database's host does not resolve.
    HostNotFound,
    /// The database's host has only IPv6 addresses, and there is no route to them.
    Ipv6Only,
    /// Nothing accepts connections at the database's address.
    ConnectionRefused,
    /// The database's address does not answer.
    ConnectionTimedOut,
    /// The database and its published URL do not agree on TLS, or the certificate is not trusted.
    TlsFailed,
    /// The pooler in front of the database refuses sessions.
    PoolerRefused,
    /// The database, or its pooler, accepts no more connections.
    TooManyConnections,
    /// The server no longer has a database of that name.
    DatabaseGone,
    /// The database server starts, stops or recovers.
    DatabaseStarting,
    /// The database takes no writes.
    DatabaseReadOnly,
    /// Applications can use the database again.
    Recovered,
    /// The database refused the login.
    LoginFailed,
    /// The database refused a statement of the operator.
    DatabaseRefused,
    /// The class has no template of that name.
    TemplateNotFound,
    /// A ConfigMap, an artifact or a folder that the spec names is missing.
    SourceNotFound,
    /// A source cannot be read now.
    SourceUnavailable,
    /// Access to a source is refused.
    SourceDenied,
    /// The operator's flags do not allow the source.
    SourceNotAllowed,
    /// Migrations or a seed cannot be used as they are.
    SourceInvalid,
    /// A migration that takes more than a second is being applied.
    MigrationStarted,
    /// Migrations were applied.
    MigrationApplied,
    /// A migration waits for a lock that another session holds on a table.
    MigrationBlocked,
    /// A migration runs statement by statement: after a failure the statements before it stay applied.
    MigrationNotAtomic,
    /// A migration failed.
    MigrationFailed,
    /// The history of the database holds an unfinished migration.
    MigrationUnfinished,
    /// Another session holds the migration lock.
    MigrationLocked,
    /// The history contains less than before: the database was restored to an older state.
    HistoryLost,
    /// The migration history of the database and the source do not agree.
    HistoryDiverged,
    /// Row level security is on for tables without a policy that applies to the tenant's login.
    NoPolicy,
    /// The tenant's login has no right to read tables of its schemas.
    NoGrant,
    /// The keys in the connection Secret reach none of the migrated tables.
    NothingExposed,
    /// The class has newer migrations, and the rollout has not reached this Orchestra.
    RolloutPending,
    /// The spec pins the applied migrations.
    Pinned,
    /// Every Orchestra of the class has its migrations.
    RolloutComplete,
    /// The rollout of the class's migrations is in progress.
    RolloutProgressing,
    /// The class's spec pauses the rollout.
    RolloutPaused,
    /// Too many Orchestras failed: no further Orchestra is migrated.
    RolloutHalted,
    /// The seed failed.
    SeedFailed,
    /// After a seed, a sequence gives numbers that rows of its table have already.
    SequenceBehind,
    /// The database has the claim record of another Orchestra.
    ClaimConflict,
    /// The region is not one that the class allows.
    RegionNotAllowed,
    /// The country is not one of ISO 3166-1.
    CountryUnknown,
    /// A region was chosen for a new project.
    RegionChosen,
    /// Something is still in use: an OrchestraDatabase whose deletion was requested, by its Orchestra; the database of a pool's
    /// entry, by somebody else; a class whose deletion was requested, by its databases; the database that a claim names.
    InUse,
    /// The connection of the spec is invalid: a template, or the schedule of the rotation.
    ConnectionInvalid,
    /// The tenant's login was replaced by a new one.
    LoginRotated,
    /// A former login of the tenant was revoked.
    LoginRevoked,
    /// The owner of a hosted project, or of a database that a pool has made on a server, has a new password.
    PasswordRotated,
    /// A hosted project has new API keys.
    KeysRotated,
    /// Former API keys of a hosted project are deleted.
    KeysRevoked,
    /// API keys of a hosted project that are not the operator's are left as they are.
    KeysKept,
    /// API keys that the operator has made were deleted by somebody else.
    KeysLost,
    /// The connection Secret's name is taken by a Secret that is not this Orchestra's.
    SecretConflict,
    /// The plan's name is taken by a ConfigMap that is not this Orchestra's.
    ConfigMapConflict,
    /// A Job backs a database up, or will.
    BackingUp,
    /// The backup is complete: its manifest is stored.
    BackedUp,
    /// The Job of a backup failed.
    BackupFailed,
    /// A Job restores a backup into a new database, or will.
    RestoringBackup,
    /// The backup is restored.
    BackupRestored,
    /// The Job of a restore failed.
    RestoreFailed,
    /// A database that is to be destroyed is backed up before.
    FinalBackup,
    /// The backup of a database that is to be destroyed failed.
    FinalBackupFailed,
    /// The class does not let this namespace have the stored backup that a spec names.
    BackupNotAllowed,
    /// The backup that a spec names does not exist.
    BackupNotFound,
    /// The backup that a spec names is not complete.
    BackupIncomplete,
    /// The stored backup differs from what was written.
    BackupDamaged,
    /// The backup is encrypted to a key that the operator does not have.
    BackupKeyMissing,
    /// The backup is incompatible with the server into which it is to be restored.
    BackupIncompatible,
    /// The database that a backup is to be restored into is not empty.
    DatabaseNotEmpty,
    /// A drill restores a backup into a scratch database, or will.
    Verifying,
    /// A drill has restored the backup, and the restored database equals its snapshot.
    Verified,
    /// The database that a drill has restored differs from the one that was backed up, or an assertion does not hold.
    BackupDiffers,
    /// There is no server on which a drill can make its scratch database.
    NoScratchServer,
    /// The assertions of a drill cannot be used as they are.
    AssertionsInvalid,
    /// A drill ended without a result.
    DrillFailed,
    /// The Orchestra that a backup names does not exist.
    OrchestraNotFound,
    /// A schedule of backups is invalid.
    ScheduleInvalid,
    /// The class names no store for backups.
    NoBackupDestination,
    /// The backup is in a store that its class no longer names.
    BackupDestinationChanged,
    /// The store of backups has no room.
    StoreFull,
    /// The store of backups refuses the credentials or the request.
    StoreRefused,
    /// The bucket or the folder of the store does not exist.
    StoreMissing,
    /// The store of backups cannot be reached, or fails.
    StoreUnreachable,
    /// The store of backups overwrites existing objects although the request only allows creation.
    StoreUnsafe,
    /// The Kubernetes API failed or refused the request.
    KubernetesUnavailable,
    /// An object has a value that this version of the operator does not know.
    UnknownValue,
    /// A defect of the operator, or of a library, ended a pass or a piece of work.
    InternalError,
    /// The spec does not ask for this part.
    NotRequested,
}

impl Reason {
    /// Whether it is a reason of success: no condition is False for such a reason.
    pub const fn is_fulfilled(self) -> bool {
        matches!(
            self,
            Self::Ready
                | Self::Available
                | Self::Bound
                | Self::TokenAccepted
                | Self::RolloutComplete
                | Self::Recovered
                | Self::BackedUp
                | Self::BackupRestored
                | Self::Verified
        )
    }

    /// Whether a migration ended with it.
    pub const fn is_of_migration(self) -> bool {
        matches!(
            self,
            Self::MigrationFailed | Self::MigrationUnfinished | Self::HistoryDiverged
        )
    }

    /// The reason as conditions, events and metric labels spell it.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A condition by its type.
pub fn find(conditions: &[Condition], type_: ConditionType) -> Option<&Condition> {
    conditions.iter().find(|condition| condition.type_ == type_.as_str())
}

/// Whether a condition exists and is True.
pub fn is_true(conditions: &[Condition], type_: ConditionType) -> bool {
    find(conditions, type_).is_some_and(|condition| condition.status == "True")
}

/// The reason of a condition; none when there is no such condition, or when another version of the operator
/// gave a reason that this one does not know.
pub fn reason_of(conditions: &[Condition], type_: ConditionType) -> Option<Reason> {
    find(conditions, type_)?.reason.parse().ok()
}

#[cfg(test)]
mod tests {
    use strum::IntoEnumIterator as _;

    use super::*;

    #[test]
    fn every_reason_is_read_back_from_its_own_name() {
        for reason in Reason::iter() {
            assert_eq!(reason.as_str().parse(), Ok(reason));
            assert_eq!(reason.to_string(), reason.as_str());
        }
        assert!("ready".parse::<Reason>().is_err());
    }
}
