//! The things that an Orchestra waits for and that stop it: one table each, with the interval at which a pass is repeated
//! without a trigger, and the description for people.

use std::time::Duration;

use crate::api::condition::Reason;
use crate::controller::backoff::SLOWEST;
use crate::controller::conditions::Standing;

/// The interval of waiting passes. In most cases a watch triggers them earlier.
pub const UNWATCHED: Duration = Duration::from_secs(30);

/// Practically at once.
pub const SOON: Duration = Duration::from_millis(50);

/// A wait for a turn that is shorter than this is not written into the status: each write is a request, and an event.
pub const SHORT_QUEUE: Duration = Duration::from_secs(5);

/// A wait for a turn that the status of the intent to claim has announced is not written again before it has taken this
/// long.
pub const LONG_QUEUE: Duration = Duration::from_mins(5);

/// The message of an intent to claim a database whose server is busy. It holds before and after the claim.
pub const WILL_QUEUE: &str = "the server of the database is busy: the migrations wait for their turn";

/// The interval at which the status reports the progress of long work.
pub const TELLING: Duration = Duration::from_secs(10);

/// A row of the tables below: the interval at which a pass is repeated that no watch triggers earlier, phase, reason and
/// message.
struct WaitRow(Duration, &'static str, Reason, &'static str);

impl WaitRow {
    const fn describe(self, standing: Standing) -> Description {
        let Self(_, phase, reason, message) = self;
        Description {
            phase,
            standing,
            reason,
            message,
        }
    }
}

/// The description of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Description {
    /// The phase in the status, a word for people.
    pub phase: &'static str,
    /// Whether the operator or a person acts next.
    pub standing: Standing,
    /// The reason of the conditions and the event.
    pub reason: Reason,
    /// The message for people, where no more specific one was observed.
    pub message: &'static str,
}

/// The things that an Orchestra waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wait {
    /// The class's first look at its provider.
    ClassCheck,
    /// A free member of a pool.
    Member,
    /// The queue of creations in the request limit.
    Creation,
    /// The backup that it is restored from.
    Backup,
    /// A usable database.
    Database,
    /// Room for the Job of a restore.
    RestoreRoom,
    /// The Job of a restore.
    Restore,
    /// The next attempt to restore.
    RestoreAgain,
    /// A project that the provider is pausing.
    Pausing,
    /// A turn to migrate on its server.
    Turn,
    /// The class's rollout.
    Rollout,
    /// A person's approval of its pending migrations.
    Approval,
    /// Migrations that are being applied.
    Migrations,
    /// A seed that is being applied.
    Seed,
}

/// The things that stop an Orchestra until a person acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stop {
    /// No database can be claimed. A watch reports when the cause has changed.
    Claim(Reason),
    /// No database can be claimed, and no watch reports when that changes: the budget has no room, or a Secret of the
    /// tenant is missing.
    Unwatched(Reason),
    /// The claimed OrchestraDatabase is Stalled.
    Database(Reason),
    /// The claimed OrchestraDatabase is gone, or its claim is released.
    Lost,
    /// The backup cannot be restored.
    Restore(Reason),
    /// The connection of the spec is invalid. The one published last stays in effect.
    Connection,
    /// The plan of the provider's organization does not allow pauses. The database keeps running.
    PauseForbidden,
    /// The provider does not pause the project. The database keeps running.
    PauseRefused(Reason),
}

impl Wait {
    #[allow(clippy::too_many_lines, reason = "one table")]
    const fn table(self) -> WaitRow {
        use Reason as R;
        match self {
            Self::ClassCheck => WaitRow(
                UNWATCHED,
                "Pending",
                R::Pending,
                "waiting for the operator's first check of the class",
            ),
            Self::Member => WaitRow(
                UNWATCHED,
                "Pending",
                R::PoolExhausted,
                "waiting for a free database of a pool",
            ),
            Self::Creation => WaitRow(
                UNWATCHED,
                "Queued",
                R::Queued,
                "the request for a project waits in the queue of the provider's request limit",
            ),
            Self::Turn => WaitRow(
                UNWATCHED,
                "Queued",
                R::Queued,
                "the migrations wait for their turn on the server",
            ),
            Self::Backup => WaitRow(
                UNWATCHED,
                "Pending",
                R::BackupIncomplete,
                "waiting until the backup is complete",
            ),
            Self::Database => WaitRow(
                UNWATCHED,
                "Provisioning",
                R::Provisioning,
                "waiting until the database is usable",
            ),
            Self::RestoreRoom => WaitRow(
                TELLING,
                "Queued",
                R::Queued,
                "the backup's class or the database server runs as many Jobs as are allowed (backup.maxConcurrent, \
                 backup.maxConcurrentPerServer): the restore starts when a Job ends",
            ),
            Self::Restore => WaitRow(
                UNWATCHED,
                "Restoring",
                R::RestoringBackup,
                "a Job is restoring the backup into the database",
            ),
            Self::RestoreAgain => WaitRow(
                UNWATCHED,
                "Restoring",
                R::RestoreFailed,
                "the restore failed, and another attempt follows",
            ),
            Self::Pausing => WaitRow(UNWATCHED, "Paused", R::Pausing, "the database is being paused"),
            Self::Rollout => WaitRow(
                UNWATCHED,
                "Migrating",
                R::RolloutPending,
                "migrations are incomplete; waiting for the class's rollout",
            ),
            // The annotation and the source are watched; only another tool's work is not.
            Self::Approval => WaitRow(
                SLOWEST,
                "Pending",
                R::ApprovalPending,
                "the pending migrations wait for approval",
            ),
            Self::Migrations => WaitRow(TELLING, "Migrating", R::Migrating, "applying migrations"),
            Self::Seed => WaitRow(TELLING, "Seeding", R::Seeding, "applying the seed"),
        }
    }

    /// The interval at which a pass is repeated that no watch triggers earlier.
    pub const fn pace(self) -> Duration {
        self.table().0
    }

    /// The description for people.
    pub const fn describe(self) -> Description {
        self.table().describe(Standing::Reconciling)
    }
}

impl Stop {
    /// The message is used where no more specific one was observed.
    const fn table(self) -> WaitRow {
        match self {
            Self::Claim(reason) => WaitRow(SLOWEST, "Failed", reason, "no database can be claimed"),
            // Asking again costs no request.
            Self::Unwatched(reason) => WaitRow(UNWATCHED, "Failed", reason, "no database can be claimed"),
            Self::Database(reason) => WaitRow(
                SLOWEST,
                "Failed",
                reason,
                "the OrchestraDatabase is Stalled; its conditions say why (kubectl describe orchdb)",
            ),
            Self::Lost => WaitRow(
                SLOWEST,
                "Failed",
                Reason::DatabaseLost,
                "the OrchestraDatabase that this Orchestra claimed is gone",
            ),
            Self::Restore(reason) => WaitRow(SLOWEST, "Failed", reason, "the backup cannot be restored"),
            Self::Connection => WaitRow(
                SLOWEST,
                "Failed",
                Reason::ConnectionInvalid,
                "spec.connection is invalid",
            ),
            Self::PauseForbidden => WaitRow(
                SLOWEST,
                "Ready",
                Reason::PausingNotAllowed,
                "the plan of the provider's organization does not allow its projects to be paused, so the database keeps \
                 running: remove spec.powerState, or use a class of an organization that allows it",
            ),
            Self::PauseRefused(reason) => WaitRow(
                SLOWEST,
                "Failed",
                reason,
                "the provider does not pause the project, which still runs",
            ),
        }
    }

    /// The interval at which a pass is repeated that no watch triggers earlier.
    pub const fn pace(self) -> Duration {
        self.table().0
    }

    /// The description for people.
    pub const fn describe(self) -> Description {
        self.table().describe(Standing::Stalled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_watch_tells_of_is_looked_at_sooner() {
        let reason = Reason::BudgetExceeded;
        assert_eq!(Stop::Unwatched(reason).pace(), UNWATCHED);
        for stop in [
            Stop::Claim(reason),
            Stop::Database(reason),
            Stop::Lost,
            Stop::PauseForbidden,
            Stop::PauseRefused(reason),
        ] {
            assert_eq!(stop.pace(), SLOWEST, "{stop:?}");
            assert_eq!(stop.describe().standing, Standing::Stalled, "{stop:?}");
        }
        // A database that cannot be paused because of the plan keeps running.
        assert_eq!(Stop::PauseForbidden.describe().phase, "Ready");
    }
}
