//! Runs one migration, and keeps its record in the history true even if the run is interrupted at any point.

use std::ops::Range;
use std::sync::Arc;

use futures::TryStreamExt;
use sqlx::postgres::PgDatabaseError;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _, SqlSafeStr, SqlStr};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::error::{Error, Result};
use super::failure::ScriptFailure;
use super::history::{History, HistoryRow};
use super::index::Leftovers;
use super::kinds::is_one_that_holds_nobody_back;
use super::lock::Lock;
use super::mode::LastCommit;
use super::options::TimeLimits;
use super::script_text::MAX_SCRIPT_BYTES;
use super::session::{ACCESS, MOMENT, PATIENT, ours, set_lock_timeout, to_theirs};
use super::source::{Migration, Source};
use super::unfinished::{NOTHING_KEPT, PARTS_KEPT, pieces};
use super::unrecorded::UnrecordedParts;
use crate::postgres::is_too_long;

/// Runs the script in one transaction together with its row: both are committed, or neither. The row comes after the
/// script, which may start with a statement that must be first in a transaction (`SET TRANSACTION`).
pub(super) async fn atomic(
    conn: &mut PgConnection,
    history: &History,
    lock: Lock,
    source: &Source,
    migration: &Migration,
) -> Result<()> {
    let started = Instant::now();
    // The lock on the table shows whether the transaction is still the same one. It takes no snapshot.
    let begin = format!(
        "{}; BEGIN; LOCK TABLE ONLY {} IN ROW SHARE MODE",
        to_theirs(history.format()),
        history.table()
    );
    sqlx::raw_sql(AssertSqlSafe(begin)).execute(&mut *conn).await?;
    run(conn, &migration.name, &migration.script)
        .await
        .map_err(ScriptError::into_migration)?;
    let state = after_script(conn, history, migration).await?;
    if !state.is_ours {
        return Err(left(
            "the script ended the operator's transaction; no further migration is applied",
        ));
    }
    if !state.is_there {
        return Err(history.lost(migration).with_nothing_kept());
    }
    match state.access {
        ScriptAccess::Writes => {}
        ScriptAccess::ReadOnlyAfterWrites => {
            sqlx::raw_sql("ROLLBACK").execute(&mut *conn).await?;
            let (name, script) = (&migration.name, &migration.script);
            let failure = ScriptFailure::read_only(name, script, script.trim_end().len());
            return Err(Error::Failed(Box::new(failure)));
        }
        ScriptAccess::OnlyReads => {
            // The script has changed nothing that has to be committed together with the row.
            commit(conn, migration).await?;
            ours(conn, TimeLimits::default()).await?;
            sqlx::raw_sql("BEGIN READ WRITE").execute(&mut *conn).await?;
        }
    }
    lock.keep(conn).await?;
    let added = history.add(conn, source, migration).await;
    added.map_err(|error| {
        if state.access == ScriptAccess::OnlyReads {
            error
        } else {
            error.with_nothing_kept()
        }
    })?;
    commit(conn, migration).await?;
    history.took(conn, migration, started.elapsed()).await
}

/// Commits a script's transaction. Deferred constraints that came after [`after_script`] are checked only here.
async fn commit(conn: &mut PgConnection, migration: &Migration) -> Result<()> {
    let committed = sqlx::raw_sql("COMMIT").execute(conn).await;
    committed.map(drop).map_err(|error| at_end(migration, error))
}

fn at_end(migration: &Migration, error: sqlx::Error) -> Error {
    ScriptError::new(&migration.name, &migration.script, 0, usize::MAX, error).into_migration()
}

fn left(what: &str) -> Error {
    Error::Database(crate::postgres::Error::refused("25000", what))
}

/// The state of the session after a script.
struct AfterScript {
    /// The transaction is the one that was started for the script.
    is_ours: bool,
    /// The history's table is where it was.
    is_there: bool,
    access: ScriptAccess,
}

/// The end of the transaction of a script.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ScriptAccess {
    Writes,
    OnlyReads,
    /// It is read-only, and has written before.
    ReadOnlyAfterWrites,
}

/// Ends a script inside its transaction: its deferred constraints are checked with its own settings, and then the
/// operator's statements have theirs until the end of the transaction.
async fn after_script(conn: &mut PgConnection, history: &History, migration: &Migration) -> Result<AfterScript> {
    conn.clear_cached_statements().await?;
    let sql = format!("{MOMENT}; {}", history.look_after_script());
    let row = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_one(conn).await;
    let row = row.map_err(|error| at_end(migration, error))?;
    Ok(AfterScript {
        is_ours: row.try_get(0)?,
        is_there: row.try_get(1)?,
        access: match (row.try_get(2)?, row.try_get(3)?) {
            (false, _) => ScriptAccess::Writes,
            (true, false) => ScriptAccess::OnlyReads,
            (true, true) => ScriptAccess::ReadOnlyAfterWrites,
        },
    })
}

/// Runs the script as one message outside of a transaction. `keeps_parts`: after a failure a part of it can be committed;
/// `parts` is told of one that no row records.
pub(super) async fn whole(
    conn: &mut PgConnection,
    history: &History,
    lock: Lock,
    source: &Source,
    migration: &Migration,
    keeps_parts: bool,
    parts: &UnrecordedParts,
) -> Result<()> {
    let begun = history.begin(conn, migration, None).await?;
    sqlx::raw_sql(to_theirs(history.format())).execute(&mut *conn).await?;
    let leftovers = Leftovers::before(conn, &migration.script).await?;
    let is_one_transaction = migration.last_commit.is_some_and(|commit| commit.of_all);
    let unrecorded = keeps_parts && begun.is_none() && !is_one_transaction;
    if unrecorded {
        parts.add(&migration.name);
    }
    let started = Instant::now();
    let ran = match last_commit(migration) {
        Some(commit) => tied(conn, history, lock, (source, migration), begun.as_ref(), commit).await,
        None => untied(conn, migration, leftovers.as_ref()).await,
    };
    match ran {
        Ok(is_recorded) => {
            let took = started.elapsed();
            if is_in_transaction(conn).await? {
                return Err(left(
                    "the script left a transaction open, which is rolled back; end it in the script",
                ));
            }
            if !is_recorded && begun.is_none() {
                parts.add(&migration.name);
            }
            ours(conn, TimeLimits::default()).await?;
            if !is_recorded {
                history.finish_alone(conn, begun.as_ref(), source, migration).await?;
            }
            parts.clear();
            lock.keep(conn).await?;
            history.took(conn, migration, took).await
        }
        Err(RunError::Other(error)) => {
            if let Some(row) = begun.filter(|_| error.keeps_nothing()) {
                sqlx::raw_sql("ROLLBACK").execute(&mut *conn).await?;
                ours(conn, TimeLimits::default()).await?;
                history.withdraw(conn, &row).await?;
            }
            Err(error)
        }
        Err(RunError::Script(mut error)) => {
            if let ScriptError::Failed(failure) = &mut error {
                failure.keeps_parts = unrecorded;
                // The script can have left a failed transaction of its own open.
                if keeps_parts {
                    sqlx::raw_sql("ROLLBACK").execute(&mut *conn).await?;
                }
                ours(conn, TimeLimits::default()).await?;
                if let Some(leftovers) = leftovers {
                    leftovers.drop_after(conn, failure).await;
                }
                let kept = if keeps_parts { PARTS_KEPT } else { NOTHING_KEPT };
                history.fail(conn, begun.as_ref(), migration, failure, kept).await?;
            }
            Err(error.into_migration())
        }
    }
}

/// Longer scripts are sent as they are: a part of one is a copy in memory.
const LONGEST_TIED: usize = 8 << 20;

fn last_commit(migration: &Migration) -> Option<LastCommit> {
    migration.last_commit.filter(|_| migration.script.len() <= LONGEST_TIED)
}

/// Why a run of a script failed: because of the script, or because of something else, such as its record.
pub(super) enum RunError {
    Script(ScriptError),
    Other(Error),
}

impl From<Error> for RunError {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl From<sqlx::Error> for RunError {
    fn from(error: sqlx::Error) -> Self {
        Self::Other(error.into())
    }
}

impl From<RunError> for Error {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Script(error) => error.into_migration(),
            RunError::Other(error) => error,
        }
    }
}

/// Runs a script as one message. Returns that its row was not written. A single statement that no other session waits for
/// meanwhile waits for locks without the operator's limit.
async fn untied(
    conn: &mut PgConnection,
    migration: &Migration,
    leftovers: Option<&Leftovers>,
) -> std::result::Result<bool, RunError> {
    let Migration { name, script, .. } = migration;
    if is_one_that_holds_nobody_back(script) {
        set_lock_timeout(conn, PATIENT).await?;
    }
    run(conn, name, script).await.map_err(RunError::Script)?;
    let Some(leftovers) = leftovers else { return Ok(false) };
    let at = pieces(script).first().map_or(0, |piece| piece.start);
    match leftovers.flaw(conn, (name, script, at)).await? {
        None => Ok(false),
        Some(failure) => Err(RunError::Script(ScriptError::Failed(Box::new(failure)))),
    }
}

/// Runs a script that ends with the COMMIT of a transaction of its own: its row is written in that transaction, so that a
/// crash leaves both or neither. Returns whether the row was written: a read-only transaction cannot write one.
async fn tied(
    conn: &mut PgConnection,
    history: &History,
    lock: Lock,
    (source, migration): (&Source, &Migration),
    begun: Option<&HistoryRow>,
    LastCommit { at, of_all }: LastCommit,
) -> std::result::Result<bool, RunError> {
    let Migration { name, script, .. } = migration;
    part(conn, name, script, 0..at).await.map_err(RunError::Script)?;
    let holds = is_in_transaction(conn).await? && !is_read_only(conn, (name, script, at)).await?;
    if holds {
        conn.clear_cached_statements().await?;
        let moment = sqlx::raw_sql(MOMENT).execute(&mut *conn).await;
        moment.map_err(|error| RunError::Script(ScriptError::new(name, script, at, 0, error)))?;
        lock.keep(conn).await?;
        let finished = history.finish(conn, begun, source, migration).await;
        finished.map_err(|error| if of_all { error.with_nothing_kept() } else { error })?;
    }
    let ended = part(conn, name, script, at..script.len()).await;
    ended.map_err(RunError::Script)?;
    Ok(holds)
}

/// Whether the transaction can write nothing. A read-only transaction that has written before cannot contain its row.
async fn is_read_only(
    conn: &mut PgConnection,
    (name, script, at): (&str, &str, usize),
) -> std::result::Result<bool, RunError> {
    let sql = AssertSqlSafe(format!("SELECT {ACCESS}"));
    let row = sqlx::raw_sql(sql).fetch_one(conn).await?;
    let (is_read_only, has_written): (bool, bool) = (row.try_get(0)?, row.try_get(1)?);
    if is_read_only && has_written {
        let failure = ScriptFailure::read_only(name, script, at);
        return Err(RunError::Script(ScriptError::Failed(Box::new(failure))));
    }
    Ok(is_read_only)
}

/// Whether a script has left a transaction open: then the statement began later than its transaction.
async fn is_in_transaction(conn: &mut PgConnection) -> Result<bool> {
    let sql = "SELECT pg_catalog.now() OPERATOR(pg_catalog.<>) pg_catalog.statement_timestamp()";
    match sqlx::raw_sql(sql).fetch_one(conn).await {
        Ok(row) => Ok(row.try_get(0)?),
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(FAILED_TRANSACTION) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// `in_failed_sql_transaction`.
const FAILED_TRANSACTION: &str = "25P02";

/// Why a script did not succeed: its own failure, or that of the connection.
pub(super) enum ScriptError {
    Failed(Box<ScriptFailure>),
    Database(crate::postgres::Error),
}

impl ScriptError {
    pub(super) fn new(name: &str, script: &str, from: usize, completed: usize, error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(answer) => match answer.try_downcast_ref::<PgDatabaseError>() {
                Some(answer) if !is_too_long(answer) => {
                    Self::Failed(Box::new(ScriptFailure::new(name, script, from, completed, answer)))
                }
                _ => Self::Database(error.into()),
            },
            _ => Self::Database(error.into()),
        }
    }

    pub(super) fn into_migration(self) -> Error {
        match self {
            Self::Failed(failure) => Error::Failed(failure),
            Self::Database(error) => Error::Database(error),
        }
    }
}

/// Sends the script as one simple-query message.
pub(super) async fn run(
    conn: &mut PgConnection,
    name: &str,
    script: &Arc<String>,
) -> std::result::Result<(), ScriptError> {
    send(conn, name, (script, 0), AssertSqlSafe(script.clone())).await
}

/// Sends a part of the script.
pub(super) async fn part(
    conn: &mut PgConnection,
    name: &str,
    script: &str,
    span: Range<usize>,
) -> std::result::Result<(), ScriptError> {
    let text = script[span.clone()].to_owned();
    send(conn, name, (script, span.start), AssertSqlSafe(text)).await
}

/// Sends the part of a script that begins at the byte `from`. The driver holds a copy of it until the server has
/// answered.
async fn send(
    conn: &mut PgConnection,
    name: &str,
    (script, from): (&str, usize),
    text: impl SqlSafeStr + Send,
) -> std::result::Result<(), ScriptError> {
    let text = text.into_sql_str();
    let turn = sending(text.as_str().len()).await;
    let outcome = answers(conn, text).await;
    if turn.is_some() {
        // The driver keeps the memory of the longest message that it has sent.
        conn.shrink_buffers();
    }
    outcome.map_err(|(completed, error)| ScriptError::new(name, script, from, completed, error))
}

/// The bytes of long scripts that are being sent in all sessions together: one of 64 MiB, or several shorter ones.
static SENDING: Semaphore = Semaphore::const_new(MAX_SCRIPT_BYTES >> 10);

/// Scripts that are not longer are sent at once, whatever else is being sent.
const SHORT: usize = 1 << 20;

/// Waits until a script of this length may be sent.
async fn sending(bytes: usize) -> Option<SemaphorePermit<'static>> {
    let kibibytes = u32::try_from(bytes >> 10).ok().filter(|_| bytes > SHORT)?;
    SENDING.acquire_many(kibibytes).await.ok()
}

/// Reads the answers to a script. After an error, the number of statements before it that succeeded.
async fn answers(conn: &mut PgConnection, text: SqlStr) -> std::result::Result<(), (usize, sqlx::Error)> {
    let mut completed = 0;
    let mut results = sqlx::raw_sql(text).execute_many(conn);
    loop {
        match results.try_next().await {
            Ok(Some(_)) => completed += 1,
            Ok(None) => return Ok(()),
            Err(error) => return Err((completed, error)),
        }
    }
}
