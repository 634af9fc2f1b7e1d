//! What can stop migrations and seeds.

use std::time::Duration;

use super::failure::{RowFailure, ScriptFailure};
use super::source_error::SourceError;
use crate::api::condition::Reason;
use crate::error::ErrorClass;
use crate::postgres;

/// An error of migrations or the seed. `Display` is one line for a person.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A migration failed.
    #[error("migration {0}")]
    Failed(Box<ScriptFailure>),
    /// A script of the seed failed; nothing of the seed is kept.
    #[error("seed {0}")]
    SeedFailed(Box<ScriptFailure>),
    /// Rows of a table of the seed were refused; nothing of the seed is kept.
    #[error("seed {0}")]
    RowFailed(Box<RowFailure>),
    /// A source that cannot be used.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The history holds a migration that began and neither ended nor was rolled back.
    #[error(
        "migration {name}, started at {started_at}, did not finish, and what of it was kept is not known: look at the \
         database, then say in migrations.resolve {{name: {name}, as: Applied}}, or as: RolledBack to have it run \
         again{}",
        if *again { format!(", with startedAt: \"{started_at}\" since one of that name was resolved before") } else { String::new() }
    )]
    Unfinished {
        /// The migration.
        name: String,
        /// When it began, by the history.
        started_at: String,
        /// One of this name was resolved by a person's word before.
        again: bool,
    },
    /// Tables but no history (Prisma's P3005).
    #[error(
        "the schema {schema} already holds tables ({table}) but no migration history; to take it over, name the last \
         migration whose changes it holds in migrations.baseline: it and those before it are recorded as applied \
         without being run (Prisma's P3005)"
    )]
    NotEmpty {
        /// The schema.
        schema: String,
        /// One of its tables.
        table: String,
    },
    /// The baseline is not a migration of the source.
    #[error("migrations.baseline names {0}, which is not in the source")]
    NoBaseline(String),
    /// The operator ends; the script that ran was finished, the next one is not begun.
    #[error("the operator is stopping; what is pending is applied when it runs again")]
    Stopping,
    /// The database belongs to another migration tool.
    #[error("the database is managed by {0}; its history is not touched")]
    OtherTool(String),
    /// The history and the source do not agree, and the tool itself would not go on.
    #[error("the migration history and the source do not agree: {what}")]
    Diverged {
        /// Which migrations, and what to do.
        what: String,
    },
    /// Another tool, which takes no lock, applied the migration at the same time.
    #[error("migration {name} was applied by another tool at the same time; the history is read again")]
    Overtaken {
        /// The migration.
        name: String,
    },
    /// The guard did not come to an end with the scripts.
    #[error("the pending scripts could not be looked at; it is tried again")]
    Unreadable,
    /// Another session holds the lock.
    #[error("another session holds the migration lock: {holder}")]
    Locked {
        /// Application, process and time, as far as the server tells.
        holder: String,
    },
    /// The migrations took too long.
    #[error("the migrations were not done within {} s; what was begun was given up", .0.as_secs())]
    Timeout(Duration),
    /// The seed took too long; nothing of it is kept.
    #[error("the seed was not done within {} s and was given up", .0.as_secs())]
    SeedTimeout(Duration),
    /// Between scripts.
    #[error(transparent)]
    Database(#[from] postgres::Error),
}

impl Error {
    /// Who can move this error.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Failed(failure) | Self::SeedFailed(failure) if postgres::is_transient(&failure.sqlstate) => {
                ErrorClass::Transient
            }
            Self::RowFailed(failure) if postgres::is_transient(&failure.sqlstate) => ErrorClass::Transient,
            Self::Failed(_) | Self::SeedFailed(_) | Self::RowFailed(_) | Self::NoBaseline(_) => ErrorClass::Invalid,
            Self::Source(error) => error.class(),
            Self::Unfinished { .. } | Self::NotEmpty { .. } | Self::OtherTool(_) | Self::Diverged { .. } => {
                ErrorClass::Blocked
            }
            Self::Locked { .. } => ErrorClass::After(Duration::from_secs(5)),
            Self::Overtaken { .. } | Self::Unreadable | Self::Stopping | Self::Timeout(_) | Self::SeedTimeout(_) => {
                ErrorClass::Transient
            }
            Self::Database(error) => error.class(),
        }
    }

    /// The word for conditions, events and metrics.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Failed(_)
            | Self::NotEmpty { .. }
            | Self::NoBaseline(_)
            | Self::OtherTool(_)
            | Self::Unreadable
            | Self::Timeout(_) => Reason::MigrationFailed,
            Self::Stopping => Reason::Migrating,
            Self::Diverged { .. } => Reason::HistoryDiverged,
            Self::SeedFailed(_) | Self::RowFailed(_) | Self::SeedTimeout(_) => Reason::SeedFailed,
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

/// A short result of this module.
pub type Result<T> = std::result::Result<T, Error>;
