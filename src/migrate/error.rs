//! The errors of migrations and seeds.

use std::time::Duration;

use super::failure::{RecordSpoiled, RowFailure, ScriptFailure, UNRECORDED};
use super::source_error::SourceError;
use crate::api::condition::Reason;
use crate::error::ErrorClass;
use crate::postgres;

/// An error of migrations or the seed. `Display` writes one line for the user.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A migration failed.
    #[error("migration {0}")]
    Failed(Box<ScriptFailure>),
    /// A script of the seed failed; the whole seed is rolled back.
    #[error("seed {0}")]
    SeedFailed(Box<ScriptFailure>),
    /// The server refused rows of a seed table; the whole seed is rolled back.
    #[error("seed {0}")]
    RowFailed(Box<RowFailure>),
    /// The source cannot be used.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The history holds a migration that was started, and neither finished nor rolled back.
    #[error(
        "migration {name}, started at {started_at}, did not finish, and the history does not show which of its changes are \
         in the database: check the database, then add {{name: {name}, as: Applied}} to migrations.resolve, or as: \
         RolledBack to run the migration again{}",
        if *again { format!(", with startedAt: \"{started_at}\", because an earlier run of it was resolved before") } else { String::new() }
    )]
    Unfinished {
        /// The migration.
        name: String,
        /// When it was started, according to the history.
        started_at: String,
        /// An earlier run of this migration was resolved by `migrations.resolve`.
        again: bool,
    },
    /// The schema holds tables but no history (Prisma's P3005).
    #[error(
        "the schema {schema} already holds tables ({table}) but no migration history; set migrations.baseline to the \
         last migration whose changes the schema holds: that migration and all before it are then recorded as applied \
         without being run (Prisma's P3005)"
    )]
    NotEmpty {
        /// The schema.
        schema: String,
        /// One of its tables.
        table: String,
    },
    /// The script took away the table that its success is recorded in.
    #[error(
        "migration {name} drops, empties, renames or moves the history {table}, or takes an applied migration out of it, so that its success cannot be recorded: {}",
        if *kept { "its changes are in the database. Remove that statement from the script, restore the history, and add \
            the migration to migrations.resolve as Applied, or set migrations.baseline to it" }
        else { "the migration was rolled back. Remove that statement from the script: drop other objects by their names, and leave the history" }
    )]
    HistoryGone {
        /// The migration.
        name: String,
        /// The history's table.
        table: String,
        /// The script's changes are committed, at least in part.
        kept: bool,
    },
    /// After a script, the operator can no longer use a table that records what was applied.
    #[error("{0}")]
    RecordSpoiled(Box<RecordSpoiled>),
    /// The baseline is not a migration of the source.
    #[error("migrations.baseline names {0}, which is not in the source; name a migration of the source")]
    NoBaseline(String),
    /// The migration that is declared applied is neither in the source nor in the history.
    #[error(
        "migrations.resolve names {0} as Applied, which is neither in the source nor in the history; name a migration of the \
         source, or remove the entry"
    )]
    NoResolution(String),
    /// The operator is stopping: it finished the running script and starts no other.
    #[error("the operator is stopping; it applies the pending migrations after its restart")]
    Stopping,
    /// The database belongs to another migration tool.
    #[error("the operator does not migrate this database, because {0}")]
    OtherTool(String),
    /// A plain string of a script means something else by the settings of the database or the login.
    #[error(
        "{script} holds a backslash, which is an escape in plain strings here, because standard_conforming_strings is off for \
         the database or its owner's login, and the operator reads scripts with it on: switch it on (ALTER DATABASE … SET \
         standard_conforming_strings = on, ALTER ROLE … RESET standard_conforming_strings), and write E'…' where escapes are meant"
    )]
    StringsDiffer {
        /// The migration, or the file of the seed.
        script: String,
        /// It is a seed's.
        of_seed: bool,
    },
    /// The history and the source do not agree, and the tool itself would stop.
    #[error("the migration history and the source do not agree: {what}")]
    Diverged {
        /// Which migrations differ, and what to do.
        what: String,
    },
    /// Another tool, which takes no lock, applied the migration at the same time.
    #[error("another tool applied migration {name} at the same time; the operator reads the history again")]
    Overtaken {
        /// The migration.
        name: String,
    },
    /// The guard crashed while it parsed the scripts.
    #[error("the pending scripts could not be parsed; the operator tries again")]
    Unreadable,
    /// Another session holds the lock.
    #[error("another session holds the migration lock: {holder}")]
    Locked {
        /// Application, process and start time, if the server reports them.
        holder: String,
    },
    /// The migrations took too long.
    #[error("the migrations took longer than {} s, and the running script was cancelled; raise migrations.timeouts.total if they need more time, and the operator's --migration-limit, which bounds it", .0.as_secs())]
    Timeout(Duration),
    /// A migration was cut off after it could commit a part of its script that no row of the history records.
    #[error("migration {name} was cut off: {error}; {}", UNRECORDED)]
    PartsKept {
        /// The migration.
        name: String,
        /// What cut it off.
        error: Box<Error>,
    },
    /// The seed took too long and was rolled back.
    #[error("the seed took longer than {} s and was rolled back; divide it, or make its scripts faster", .0.as_secs())]
    SeedTimeout(Duration),
    /// A statement of the operator itself failed.
    #[error(transparent)]
    Database(#[from] postgres::Error),
}

impl Error {
    /// Whether a script may still run in the session: nobody has waited for its end.
    pub fn gives_up_session(&self) -> bool {
        match self {
            Self::Timeout(_) | Self::SeedTimeout(_) => true,
            Self::Database(error) => error.class() == ErrorClass::Transient,
            Self::PartsKept { error, .. } => error.gives_up_session(),
            _ => false,
        }
    }

    /// Whether a part of a script is committed that no history records.
    pub fn keeps_parts(&self) -> bool {
        match self {
            Self::Failed(failure) => failure.keeps_parts,
            Self::PartsKept { .. } => true,
            _ => false,
        }
    }

    /// This error, for a script that was rolled back.
    pub(super) fn with_nothing_kept(self) -> Self {
        match self {
            Self::HistoryGone { name, table, .. } => Self::HistoryGone {
                name,
                table,
                kept: false,
            },
            Self::RecordSpoiled(spoiled) => Self::RecordSpoiled(Box::new(RecordSpoiled {
                kept: false,
                ..*spoiled
            })),
            other => other,
        }
    }

    /// Whether a script that could not be recorded was rolled back completely.
    pub(super) fn keeps_nothing(&self) -> bool {
        match self {
            Self::HistoryGone { kept, .. } => !kept,
            Self::RecordSpoiled(spoiled) => !spoiled.kept,
            _ => false,
        }
    }

    /// Whether a retry, a changed source or a person resolves this error.
    pub fn class(&self) -> ErrorClass {
        match self {
            // Another run would begin with the statements that are committed.
            Self::Failed(failure) if failure.keeps_parts && postgres::is_transient(&failure.sqlstate) => {
                ErrorClass::Blocked
            }
            Self::Failed(failure) | Self::SeedFailed(failure) if postgres::is_transient(&failure.sqlstate) => {
                ErrorClass::Transient
            }
            Self::RowFailed(failure) if postgres::is_transient(&failure.sqlstate) => ErrorClass::Transient,
            Self::Failed(_)
            | Self::SeedFailed(_)
            | Self::RowFailed(_)
            | Self::NoBaseline(_)
            | Self::NoResolution(_)
            | Self::RecordSpoiled(_)
            | Self::HistoryGone { .. } => ErrorClass::Invalid,
            Self::Source(error) => error.class(),
            Self::Unfinished { .. }
            | Self::NotEmpty { .. }
            | Self::OtherTool(_)
            | Self::PartsKept { .. }
            | Self::StringsDiffer { .. }
            | Self::Diverged { .. } => ErrorClass::Blocked,
            Self::Locked { .. } => ErrorClass::After(Duration::from_secs(5)),
            Self::Overtaken { .. } | Self::Unreadable | Self::Stopping | Self::Timeout(_) | Self::SeedTimeout(_) => {
                ErrorClass::Transient
            }
            Self::Database(error) => error.class(),
        }
    }

    /// The reason for conditions, events and metrics.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Failed(_)
            | Self::NotEmpty { .. }
            | Self::NoBaseline(_)
            | Self::NoResolution(_)
            | Self::HistoryGone { .. }
            | Self::OtherTool(_)
            | Self::PartsKept { .. }
            | Self::Unreadable
            | Self::StringsDiffer { of_seed: false, .. }
            | Self::Timeout(_) => Reason::MigrationFailed,
            Self::RecordSpoiled(spoiled) => match spoiled.migration {
                Some(_) => Reason::MigrationFailed,
                None => Reason::SeedFailed,
            },
            Self::Stopping => Reason::Migrating,
            Self::Diverged { .. } => Reason::HistoryDiverged,
            Self::SeedFailed(_)
            | Self::RowFailed(_)
            | Self::SeedTimeout(_)
            | Self::StringsDiffer { of_seed: true, .. } => Reason::SeedFailed,
            Self::Source(error) => error.reason(),
            Self::Unfinished { .. } => Reason::MigrationUnfinished,
            Self::Locked { .. } | Self::Overtaken { .. } => Reason::MigrationLocked,
            Self::Database(error) => error.reason(),
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

/// The result of migrations and seeds.
pub type Result<T> = std::result::Result<T, Error>;
