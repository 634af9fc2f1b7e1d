//! Condition types and the one bounded set of reasons.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use strum::{Display, EnumIter, EnumString, IntoEnumIterator as _, IntoStaticStr};

/// The type of a condition. True is the good state of every type except Reconciling and Stalled, which
/// kstatus defines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Display, EnumString, IntoStaticStr)]
pub enum ConditionType {
    /// Everything that the spec asks for is in effect.
    Ready,
    /// Applications can use it now, whatever else is going on.
    Available,
    /// The database is usable: proven by a real login.
    DatabaseReady,
    /// The login is published in the connection Secret.
    CredentialsReady,
    /// No migration is pending.
    Migrated,
    /// The migration history of the database and the source agree: nothing that is applied was changed
    /// since, is missing, or stands behind something that is pending.
    HistoryAgrees,
    /// The seed is applied.
    Seeded,
    /// It goes on by itself.
    Reconciling,
    /// A person must act.
    Stalled,
    /// The provider accepts the token of a class.
    TokenAccepted,
    /// The budget of a class has room.
    WithinBudget,
    /// Every Orchestra of a class has the class's migrations, but those that pin others.
    RolledOut,
}

impl ConditionType {
    /// The type as conditions spell it.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Why a condition, an event or an error metric says what it says. One word for one cause
/// everywhere, and never more words than these: reasons are metric labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Display, EnumIter, EnumString, IntoStaticStr)]
pub enum Reason {
    /// All is well.
    Ready,
    /// Work has not begun yet.
    Pending,
    /// The spec changed and the change is being carried out.
    Updating,
    /// The database is being created, or is not usable yet.
    Provisioning,
    /// A request waits for its turn in the budget of the token, or migrations on their server.
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
    /// A database waits for a claim.
    Available,
    /// A database is claimed.
    Bound,
    /// A claim is gone and the database was kept.
    Released,
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
    /// Every pool of the class is exhausted.
    PoolExhausted,
    /// Two inventory entries lead to the same server and database.
    DuplicateEntry,
    /// An inventory entry is not a usable database URL.
    InvalidEntry,
    /// The inventory of a static pool cannot be read.
    InventoryNotFound,
    /// The Management API token is missing.
    TokenMissing,
    /// The Management API token was rejected (401).
    TokenRejected,
    /// The provider accepts the token.
    TokenAccepted,
    /// The token expires soon, or has expired by the date that is known of it.
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
    /// The share of the class's monthly budget that warns is in use.
    BudgetNearLimit,
    /// The class has as many projects as it may have.
    ProjectLimitReached,
    /// The class does not admit Orchestras of this namespace.
    NamespaceNotAllowed,
    /// Projects with the marker of this cluster that no OrchestraDatabase holds.
    Orphaned,
    /// The Management API refused the request as wrong.
    RequestRefused,
    /// The Management API asked for fewer requests (429).
    RateLimited,
    /// The Management API failed or could not be reached.
    ProviderUnavailable,
    /// The outcome of a request is unknown; it is being looked up.
    OutcomeUnknown,
    /// More than one project carries this database's marker.
    ProjectConflict,
    /// A project that existed is gone.
    DatabaseLost,
    /// The provider says that the project failed.
    ProviderFailed,
    /// The provider has paused the project.
    ProjectPaused,
    /// The provider was asked to restore a paused project.
    Restoring,
    /// A project that never became usable is being replaced.
    Replacing,
    /// The progress deadline passed.
    DeadlineExceeded,
    /// A host that the API names is not one that a password may be sent to.
    UntrustedHost,
    /// The database cannot be reached.
    DatabaseUnreachable,
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
    /// A migration is being applied that takes longer than a moment.
    MigrationStarted,
    /// Migrations were applied.
    MigrationApplied,
    /// A migration waits for a lock that another session holds on a table.
    MigrationBlocked,
    /// A migration runs statement by statement: a failure leaves what stands before it.
    MigrationNotAtomic,
    /// A migration failed.
    MigrationFailed,
    /// The history of the database holds an unfinished migration.
    MigrationUnfinished,
    /// Another session holds the migration lock.
    MigrationLocked,
    /// The history holds less than before: the database was restored to an older state.
    HistoryLost,
    /// The migration history of the database and the source do not agree.
    HistoryDiverged,
    /// The class has newer migrations, and the rollout has not come to this Orchestra.
    RolloutPending,
    /// The spec keeps the migrations that are applied.
    Pinned,
    /// Every Orchestra of the class has its migrations.
    RolloutComplete,
    /// The class's migrations are on their way over its Orchestras.
    RolloutProgressing,
    /// The rollout was paused in the class's spec.
    RolloutPaused,
    /// Too many Orchestras failed: no further Orchestra is migrated.
    RolloutHalted,
    /// The seed failed.
    SeedFailed,
    /// The database carries the mark of another Orchestra.
    ClaimConflict,
    /// The region is not one that the class allows.
    RegionNotAllowed,
    /// An Orchestra still holds the claim.
    InUse,
    /// A Secret of that name exists and is not this Orchestra's.
    SecretConflict,
    /// A ConfigMap of the plan's name exists and is not this Orchestra's.
    ConfigMapConflict,
    /// The Kubernetes API failed or refused the request.
    KubernetesUnavailable,
    /// Nothing asks for this part.
    NotRequested,
}

impl Reason {
    /// Every reason.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::iter()
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
    use super::*;

    #[test]
    fn every_reason_is_read_back_from_its_own_name() {
        for reason in Reason::all() {
            assert_eq!(reason.as_str().parse(), Ok(reason));
            assert_eq!(reason.to_string(), reason.as_str());
        }
        assert!("ready".parse::<Reason>().is_err());
    }
}
