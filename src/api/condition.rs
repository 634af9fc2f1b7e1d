//! Condition types and the one bounded set of reasons.

/// What a condition speaks of. All are positive but the last two, which kstatus defines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// The seed is applied.
    Seeded,
    /// It goes on by itself.
    Reconciling,
    /// A person must act.
    Stalled,
}

impl ConditionType {
    /// The type as conditions spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Available => "Available",
            Self::DatabaseReady => "DatabaseReady",
            Self::CredentialsReady => "CredentialsReady",
            Self::Migrated => "Migrated",
            Self::Seeded => "Seeded",
            Self::Reconciling => "Reconciling",
            Self::Stalled => "Stalled",
        }
    }
}

/// Why a condition, an event or an error metric says what it says. One word for one cause
/// everywhere, and never more words than these: reasons are metric labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// All is well.
    Ready,
    /// Work has not begun yet.
    Pending,
    /// The spec changed and the change is being carried out.
    Updating,
    /// The database is being created, or is not usable yet.
    Provisioning,
    /// Waiting for a claim on a database.
    Claiming,
    /// The tenant's login role is being prepared.
    PreparingLogin,
    /// Migrations are being applied.
    Migrating,
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
    /// The token lacks a permission (403).
    PermissionDenied,
    /// The organization does not exist, or the token cannot see it.
    OrganizationNotFound,
    /// The organization's limit of projects is reached.
    QuotaExceeded,
    /// The organization has overdue invoices or is restricted.
    BillingRestricted,
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
    /// A ConfigMap that the spec names is missing.
    SourceNotFound,
    /// Migrations or a seed cannot be used as they are.
    SourceInvalid,
    /// A migration failed.
    MigrationFailed,
    /// The history of the database holds an unfinished migration.
    MigrationUnfinished,
    /// Another session holds the migration lock.
    MigrationLocked,
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
    /// The Kubernetes API failed or refused the request.
    KubernetesUnavailable,
    /// Nothing asks for this part.
    NotRequested,
}

const ALL: [Reason; 51] = [
    Reason::Ready,
    Reason::Pending,
    Reason::Updating,
    Reason::Provisioning,
    Reason::Claiming,
    Reason::PreparingLogin,
    Reason::Migrating,
    Reason::Seeding,
    Reason::Publishing,
    Reason::Deleting,
    Reason::Available,
    Reason::Bound,
    Reason::Released,
    Reason::NoDefaultClass,
    Reason::ClassNotFound,
    Reason::NoProvider,
    Reason::PoolExhausted,
    Reason::DuplicateEntry,
    Reason::InvalidEntry,
    Reason::InventoryNotFound,
    Reason::TokenMissing,
    Reason::TokenRejected,
    Reason::PermissionDenied,
    Reason::OrganizationNotFound,
    Reason::QuotaExceeded,
    Reason::BillingRestricted,
    Reason::RequestRefused,
    Reason::RateLimited,
    Reason::ProviderUnavailable,
    Reason::OutcomeUnknown,
    Reason::ProjectConflict,
    Reason::DatabaseLost,
    Reason::ProviderFailed,
    Reason::ProjectPaused,
    Reason::DeadlineExceeded,
    Reason::UntrustedHost,
    Reason::DatabaseUnreachable,
    Reason::LoginFailed,
    Reason::DatabaseRefused,
    Reason::SourceNotFound,
    Reason::SourceInvalid,
    Reason::MigrationFailed,
    Reason::MigrationUnfinished,
    Reason::MigrationLocked,
    Reason::SeedFailed,
    Reason::ClaimConflict,
    Reason::RegionNotAllowed,
    Reason::InUse,
    Reason::SecretConflict,
    Reason::KubernetesUnavailable,
    Reason::NotRequested,
];

impl Reason {
    /// Every reason.
    pub fn all() -> impl Iterator<Item = Self> {
        ALL.into_iter()
    }

    /// The reason as conditions, events and metric labels spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Pending => "Pending",
            Self::Updating => "Updating",
            Self::Provisioning => "Provisioning",
            Self::Claiming => "Claiming",
            Self::PreparingLogin => "PreparingLogin",
            Self::Migrating => "Migrating",
            Self::Seeding => "Seeding",
            Self::Publishing => "Publishing",
            Self::Deleting => "Deleting",
            Self::Available => "Available",
            Self::Bound => "Bound",
            Self::Released => "Released",
            Self::NoDefaultClass => "NoDefaultClass",
            Self::ClassNotFound => "ClassNotFound",
            Self::NoProvider => "NoProvider",
            Self::PoolExhausted => "PoolExhausted",
            Self::DuplicateEntry => "DuplicateEntry",
            Self::InvalidEntry => "InvalidEntry",
            Self::InventoryNotFound => "InventoryNotFound",
            Self::TokenMissing => "TokenMissing",
            Self::TokenRejected => "TokenRejected",
            Self::PermissionDenied => "PermissionDenied",
            Self::OrganizationNotFound => "OrganizationNotFound",
            Self::QuotaExceeded => "QuotaExceeded",
            Self::BillingRestricted => "BillingRestricted",
            Self::RequestRefused => "RequestRefused",
            Self::RateLimited => "RateLimited",
            Self::ProviderUnavailable => "ProviderUnavailable",
            Self::OutcomeUnknown => "OutcomeUnknown",
            Self::ProjectConflict => "ProjectConflict",
            Self::DatabaseLost => "DatabaseLost",
            Self::ProviderFailed => "ProviderFailed",
            Self::ProjectPaused => "ProjectPaused",
            Self::DeadlineExceeded => "DeadlineExceeded",
            Self::UntrustedHost => "UntrustedHost",
            Self::DatabaseUnreachable => "DatabaseUnreachable",
            Self::LoginFailed => "LoginFailed",
            Self::DatabaseRefused => "DatabaseRefused",
            Self::SourceNotFound => "SourceNotFound",
            Self::SourceInvalid => "SourceInvalid",
            Self::MigrationFailed => "MigrationFailed",
            Self::MigrationUnfinished => "MigrationUnfinished",
            Self::MigrationLocked => "MigrationLocked",
            Self::SeedFailed => "SeedFailed",
            Self::ClaimConflict => "ClaimConflict",
            Self::RegionNotAllowed => "RegionNotAllowed",
            Self::InUse => "InUse",
            Self::SecretConflict => "SecretConflict",
            Self::KubernetesUnavailable => "KubernetesUnavailable",
            Self::NotRequested => "NotRequested",
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
