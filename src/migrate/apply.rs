//! Applying what is pending: one session, one lock, one migration after the other.

use std::time::Duration;

use futures::TryStreamExt;
use sqlx::postgres::PgDatabaseError;
use sqlx::{AssertSqlSafe, PgConnection};
use tokio::time::{Instant, timeout};

use super::guard::{self, Consent, Verdict};
use super::history::History;
use super::index::Leftovers;
use super::policy::Mode;
use super::source::{Migration, Source};
use super::{Error, Result, ScriptFailure, lock};
use crate::postgres::watch_client;

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Waiting for the migration lock.
    pub lock: Duration,
    /// All of it.
    pub total: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            lock: Duration::from_secs(10),
            total: Duration::from_hours(1),
        }
    }
}

/// Where a database stands against a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Migrations of the source that are applied.
    pub applied: usize,
    /// Migrations of the source that are not.
    pub pending: usize,
    /// The last migration of the source that is applied.
    pub current: Option<String>,
    /// Where the history and the source do not agree, and the tool goes on all the same; empty when
    /// they agree.
    pub divergence: String,
}

/// Told while migrations are applied.
#[derive(Clone, Debug)]
pub enum Progress<'a> {
    /// A migration begins.
    Started {
        /// Its name.
        name: &'a str,
        /// Migrations still to come, with this one.
        pending: usize,
    },
    /// A migration is applied and recorded.
    Applied {
        /// Its name.
        name: &'a str,
        /// How long it took.
        took: Duration,
    },
}

/// Reads how far the database is. Writes nothing and takes no lock.
///
/// # Errors
/// [`Error::Unfinished`], [`Error::NotEmpty`], [`Error::OtherTool`]: what would stop [`apply`] too.
pub async fn pending(conn: &mut PgConnection, source: &Source) -> Result<Status> {
    if source.is_empty() {
        return Ok(Status::default());
    }
    let history = History::read(conn, source.format()).await?;
    history.check(source)?;
    Ok(status(&history, source))
}

fn status(history: &History, source: &Source) -> Status {
    let applied: Vec<_> = source
        .migrations()
        .iter()
        .filter(|migration| history.has(migration))
        .collect();
    Status {
        applied: applied.len(),
        pending: source.len() - applied.len(),
        current: applied.last().map(|migration| migration.name.clone()),
        divergence: history.divergence(source).describe(),
    }
}

/// Applies what is pending, in order, and stops at the first failure. A migration in atomic mode
/// that fails, or whose operator dies, has not happened. Takes the connection, which holds the lock
/// and whatever a failed script left behind, and gives it back only after success.
///
/// # Errors
/// See [`Error`].
pub async fn apply(
    conn: PgConnection,
    source: &Source,
    limits: Limits,
    observer: &mut (impl FnMut(Progress<'_>) + Send),
) -> Result<(PgConnection, Status)> {
    apply_with(conn, source, limits, None, observer).await
}

/// [`apply`], if the guard lets it: it is asked again while the lock is held. When what is pending
/// then waits for approval, nothing is applied, and the status says what is pending.
///
/// # Errors
/// See [`Error`].
pub async fn apply_with(
    mut conn: PgConnection,
    source: &Source,
    limits: Limits,
    consent: Option<&Consent>,
    observer: &mut (impl FnMut(Progress<'_>) + Send),
) -> Result<(PgConnection, Status)> {
    if source.is_empty() {
        return Ok((conn, Status::default()));
    }
    let work = async {
        set_up(&mut conn).await?;
        let key = lock::key(&mut conn, source.format()).await?;
        lock::take(&mut conn, key, limits.lock).await?;
        let mut history = History::read(&mut conn, source.format()).await?;
        history.check(source)?;
        if let Some(consent) = consent
            && let Some(review) = guard::look(&mut conn, &history, source, consent).await?
            && review.verdict == Verdict::Waits
        {
            lock::release(&mut conn, key).await?;
            return Ok(status(&history, source));
        }
        let mut left = status(&history, source).pending;
        if left > 0 {
            history.prepare(&mut conn).await?;
        }
        for migration in source.migrations() {
            if history.has(migration) {
                continue;
            }
            observer(Progress::Started {
                name: &migration.name,
                pending: left,
            });
            let begun = Instant::now();
            match migration.mode {
                Mode::Atomic => atomic(&mut conn, &history, migration).await?,
                Mode::Whole => whole(&mut conn, &history, migration).await?,
            }
            history.applied(migration);
            left -= 1;
            observer(Progress::Applied {
                name: &migration.name,
                took: begun.elapsed(),
            });
            set_up(&mut conn).await?;
        }
        lock::release(&mut conn, key).await?;
        Ok::<_, Error>(status(&history, source))
    };
    let status = timeout(limits.total, work)
        .await
        .map_err(|_| Error::Timeout(limits.total))??;
    Ok((conn, status))
}

/// The session as every script finds it, whatever the one before has set.
pub(super) async fn set_up(conn: &mut PgConnection) -> Result<()> {
    reset(conn).await?;
    watch_client(conn).await?;
    Ok(())
}

/// The part of [`set_up`] that fits into a transaction.
pub(super) async fn reset(conn: &mut PgConnection) -> Result<()> {
    sqlx::raw_sql(
        "RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL; SET standard_conforming_strings = on; \
         SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; SET lock_timeout = '60s'",
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn atomic(conn: &mut PgConnection, history: &History, migration: &Migration) -> Result<()> {
    let begun = Instant::now();
    sqlx::raw_sql("BEGIN").execute(&mut *conn).await?;
    history.insert(conn, migration).await?;
    let before = transaction(conn).await?;
    run(conn, &migration.name, &migration.script)
        .await
        .map_err(ScriptError::into_migration)?;
    if before.is_none() || transaction(conn).await? != before {
        return Err(Error::Database(crate::postgres::Error::refused(
            "25000",
            "the script left its transaction; nothing more is applied",
        )));
    }
    match sqlx::raw_sql("COMMIT").execute(&mut *conn).await {
        Ok(_) => history.took(conn, migration, begun.elapsed()).await,
        // A deferred constraint speaks up only here.
        Err(error) => Err(ScriptError::new(&migration.name, &migration.script, usize::MAX, error).into_migration()),
    }
}

async fn whole(conn: &mut PgConnection, history: &History, migration: &Migration) -> Result<()> {
    let leftovers = Leftovers::before(conn, &migration.script).await?;
    let entry = history.begin(conn, migration).await?;
    let begun = Instant::now();
    match run(conn, &migration.name, &migration.script).await {
        Ok(()) => {
            history.finish(conn, entry, migration).await?;
            history.took(conn, migration, begun.elapsed()).await
        }
        Err(error) => {
            if let ScriptError::Failed(failure) = &error {
                // The script may have left a failed transaction of its own.
                if migration.own_transactions {
                    sqlx::raw_sql("ROLLBACK").execute(&mut *conn).await?;
                }
                if let Some(leftovers) = leftovers {
                    leftovers.drop(conn).await?;
                }
                history.fail(conn, entry, migration, failure).await?;
            }
            Err(error.into_migration())
        }
    }
}

/// The id of the transaction, if it has one.
async fn transaction(conn: &mut PgConnection) -> Result<Option<String>> {
    Ok(
        sqlx::query_scalar("SELECT pg_catalog.pg_current_xact_id_if_assigned()::pg_catalog.text")
            .fetch_one(conn)
            .await?,
    )
}

/// The script failed, or the connection did.
pub(super) enum ScriptError {
    Failed(Box<ScriptFailure>),
    Database(crate::postgres::Error),
}

impl ScriptError {
    pub(super) fn new(name: &str, script: &str, completed: usize, error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(answer) => match answer.try_downcast_ref::<PgDatabaseError>() {
                Some(answer) => Self::Failed(Box::new(ScriptFailure::new(name, script, completed, answer))),
                None => Self::Database(error.into()),
            },
            _ => Self::Database(error.into()),
        }
    }

    fn into_migration(self) -> Error {
        match self {
            Self::Failed(failure) => Error::Failed(failure),
            Self::Database(error) => Error::Database(error),
        }
    }
}

/// Sends the script as one simple-query message.
pub(super) async fn run(conn: &mut PgConnection, name: &str, script: &str) -> std::result::Result<(), ScriptError> {
    let mut completed = 0;
    let mut results = sqlx::raw_sql(AssertSqlSafe(script.to_owned())).execute_many(conn);
    loop {
        match results.try_next().await {
            Ok(Some(_)) => completed += 1,
            Ok(None) => return Ok(()),
            Err(error) => return Err(ScriptError::new(name, script, completed, error)),
        }
    }
}
