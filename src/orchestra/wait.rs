//! The things that an Orchestra waits for and that stop it: in one table each, the pace at which a pass comes back by
//! itself, and the words for people.

use std::time::Duration;

use crate::api::condition::Reason;
use crate::controller::backoff::SLOWEST;
use crate::controller::conditions::Standing;

/// The pace of passes that wait. A watch wakes them before, in most cases.
pub const UNWATCHED: Duration = Duration::from_secs(30);

/// As good as at once.
pub const SOON: Duration = Duration::from_millis(50);

/// A wait for a turn that is shorter than this is not written into the status: each write is a request, and an event.
pub const SHORT_QUEUE: Duration = Duration::from_secs(5);

/// The pace at which the status tells of the progress of work that takes long.
const TELLING: Duration = Duration::from_secs(10);

/// A row of the tables below: the pace at which a pass comes back that no watch wakes before, phase, reason and message.
struct Row(Duration, &'static str, Reason, &'static str);

impl Row {
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

/// The words for a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Description {
    /// The phase in the status, a word for people.
    pub phase: &'static str,
    /// Whether the operator or a person acts next.
    pub standing: Standing,
    /// The reason of the conditions and the event.
    pub reason: Reason,
    /// The message for people, where nothing more exact was observed.
    pub message: &'static str,
}

/// The things that an Orchestra waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wait {
    /// The class's first look at its provider.
    ClassCheck,
    /// A free member of a pool.
    Member,
    /// The turn of its creation in the queue of requests.
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
    /// No database can be claimed. A watch tells when what keeps it from being claimed has changed.
    Claim(Reason),
    /// No database can be claimed, and no watch tells when that changes: the budget has no room, or a Secret of the
    /// tenant is missing.
    Unwatched(Reason),
    /// The claimed OrchestraDatabase is Stalled.
    Database(Reason),
    /// The claimed OrchestraDatabase is gone, or its claim is released.
    Lost,
    /// The backup cannot be restored.
    Restore(Reason),
    /// The connection of the spec cannot be carried out. What was published before goes on.
    Connection,
    /// The plan of the provider's organization does not allow pauses. The database runs on.
    PauseForbidden,
    /// The provider does not pause the project. The database runs on.
    PauseRefused(Reason),
}

impl Wait {
    const fn table(self) -> Row {
        use Reason as R;
        match self {
            Self::ClassCheck => Row(
                UNWATCHED,
                "Pending",
                R::Pending,
                "waiting for the operator's first check of the class",
            ),
            Self::Member => Row(
                UNWATCHED,
                "Pending",
                R::PoolExhausted,
                "waiting for a free database of a pool",
            ),
            Self::Creation => Row(
                UNWATCHED,
                "Queued",
                R::Queued,
                "the request for a project waits for its turn in the provider's request limit",
            ),
            Self::Turn => Row(
                UNWATCHED,
                "Queued",
                R::Queued,
                "the migrations wait for their turn on the server",
            ),
            Self::Backup => Row(
                UNWATCHED,
                "Pending",
                R::BackupIncomplete,
                "waiting until the backup is complete",
            ),
            Self::Database => Row(
                UNWATCHED,
                "Provisioning",
                R::Provisioning,
                "waiting until the database is usable",
            ),
            Self::RestoreRoom => Row(
                TELLING,
                "Queued",
                R::Queued,
                "the backup's class, or the database server, has as many Jobs as it may (backup.maxConcurrent, \
                 backup.maxConcurrentPerServer): the restore begins when one of them has ended",
            ),
            Self::Restore => Row(
                UNWATCHED,
                "Restoring",
                R::RestoringBackup,
                "a Job restores the backup into the database",
            ),
            Self::RestoreAgain => Row(
                UNWATCHED,
                "Restoring",
                R::RestoreFailed,
                "the restore failed, and another attempt follows",
            ),
            Self::Pausing => Row(UNWATCHED, "Paused", R::Pausing, "the database is being paused"),
            Self::Rollout => Row(
                UNWATCHED,
                "Migrating",
                R::RolloutPending,
                "migrations are incomplete; waiting for the class's rollout",
            ),
            // The annotation and the source are watched; only another tool's work is not.
            Self::Approval => Row(
                SLOWEST,
                "Pending",
                R::ApprovalPending,
                "the pending migrations wait for approval",
            ),
            Self::Migrations => Row(TELLING, "Migrating", R::Migrating, "applying migrations"),
            Self::Seed => Row(TELLING, "Seeding", R::Seeding, "applying the seed"),
        }
    }

    /// The pace at which a pass comes back that no watch wakes before.
    pub const fn pace(self) -> Duration {
        self.table().0
    }

    /// The words for people.
    pub const fn describe(self) -> Description {
        self.table().describe(Standing::Reconciling)
    }
}

impl Stop {
    /// The message is used where nothing more exact was observed.
    const fn table(self) -> Row {
        match self {
            Self::Claim(reason) => Row(SLOWEST, "Failed", reason, "no database can be claimed"),
            // To ask again costs no request.
            Self::Unwatched(reason) => Row(UNWATCHED, "Failed", reason, "no database can be claimed"),
            Self::Database(reason) => Row(
                SLOWEST,
                "Failed",
                reason,
                "the OrchestraDatabase is Stalled; its conditions say why (kubectl describe orchdb)",
            ),
            Self::Lost => Row(
                SLOWEST,
                "Failed",
                Reason::DatabaseLost,
                "the OrchestraDatabase that this Orchestra claimed is gone",
            ),
            Self::Restore(reason) => Row(SLOWEST, "Failed", reason, "the backup cannot be restored"),
            Self::Connection => Row(
                SLOWEST,
                "Failed",
                Reason::ConnectionInvalid,
                "spec.connection cannot be carried out",
            ),
            Self::PauseForbidden => Row(
                SLOWEST,
                "Ready",
                Reason::PausingNotAllowed,
                "the plan of the provider's organization does not allow its projects to be paused, so the database runs on: \
                 remove spec.powerState, or use a class of an organization that allows it",
            ),
            Self::PauseRefused(reason) => Row(
                SLOWEST,
                "Failed",
                reason,
                "the provider does not pause the project, which runs on",
            ),
        }
    }

    /// The pace at which a pass comes back that no watch wakes before.
    pub const fn pace(self) -> Duration {
        self.table().0
    }

    /// The words for people.
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
        // What cannot be paused because of the plan runs on as it was.
        assert_eq!(Stop::PauseForbidden.describe().phase, "Ready");
    }
}
