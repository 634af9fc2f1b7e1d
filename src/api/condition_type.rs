//! Condition types.

use strum::{Display, EnumString, IntoStaticStr};

/// The type of a condition. True is the good state of every type except Reconciling and Stalled, which
/// kstatus defines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Display, EnumString, IntoStaticStr)]
pub enum ConditionType {
    /// Everything that the spec asks for is in effect.
    Ready,
    /// Applications can use the database now, whatever else is in progress.
    Available,
    /// The database is usable, proven by a login.
    DatabaseReady,
    /// The login is published in the connection Secret.
    CredentialsReady,
    /// No migration is pending.
    Migrated,
    /// The migration history of the database and the source agree: no applied migration was changed
    /// later, is missing, or comes after a pending one.
    HistoryAgrees,
    /// The tenant's login reads every table with row level security. Shown as False only.
    TablesReadable,
    /// The keys in the connection Secret work. Shown as False only.
    KeysUsable,
    /// The entry of a static pool leads to the claimed database. Shown as False only.
    EntryUsable,
    /// Nothing of the access that a deleted Orchestra had to its database works any more. Shown as False only.
    AccessRevoked,
    /// The seed is applied.
    Seeded,
    /// The operator is working on the object, or will continue without help.
    Reconciling,
    /// A person must act.
    Stalled,
    /// The provider accepts the token of a class.
    TokenAccepted,
    /// The budget of a class has room.
    WithinBudget,
    /// Every Orchestra of a class, except pinned ones, has the class's migrations.
    RolledOut,
    /// The sources can be read. It is set, as False, only while a source whose content is applied cannot be read.
    SourceAvailable,
    /// Tenants' logins cannot connect to the administration databases of a pool's servers.
    ServersClosed,
    /// The last drill of a backup restored it, and the restored database equals its snapshot.
    Verified,
    /// The last backup of an Orchestra by its schedule is complete.
    BackedUp,
}

impl ConditionType {
    /// The type as conditions spell it.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}
