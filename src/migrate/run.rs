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
use super::history::{Entry, History};
use super::index::Leftovers;
use super::lexer::{Piece, StatementKind};
use super::options::TimeLimits;
use super::script_text::MAX_SCRIPT_BYTES;
use super::session::{ours, to_theirs};
use super::source::Migration;
use super::unfinished::{Progress, pieces};
use crate::api::MigrationFormat as Format;
use crate::postgres::is_too_long;

/// Runs the script in one transaction together with its row: both are committed, or neither.
pub(super) async fn atomic(conn: &mut PgConnection, history: &History, migration: &Migration) -> Result<()> {
    let started = Instant::now();
    sqlx::raw_sql("BEGIN").execute(&mut *conn).await?;
    history.insert(conn, migration).await?;
    let before = transaction(conn, to_theirs(history.format())).await?;
    run(conn, &migration.name, &migration.script)
        .await
        .map_err(ScriptError::into_migration)?;
    if before.is_none() || transaction(conn, "").await? != before {
        return Err(Error::Database(crate::postgres::Error::refused(
            "25000",
            "the script left its transaction; no further migration is applied",
        )));
    }
    match sqlx::raw_sql("COMMIT").execute(&mut *conn).await {
        Ok(_) => history.took(conn, migration, started.elapsed()).await,
        // Deferred constraints are checked only here.
        Err(error) => Err(ScriptError::new(&migration.name, &migration.script, 0, usize::MAX, error).into_migration()),
    }
}

/// Runs the script as one message outside of a transaction.
pub(super) async fn whole(conn: &mut PgConnection, history: &History, migration: &Migration) -> Result<()> {
    let leftovers = Leftovers::before(conn, &migration.script).await?;
    let entry = history.begin(conn, migration, None).await?;
    sqlx::raw_sql(to_theirs(history.format())).execute(&mut *conn).await?;
    let started = Instant::now();
    match run(conn, &migration.name, &migration.script).await {
        Ok(()) => {
            let took = started.elapsed();
            ours(conn, TimeLimits::default()).await?;
            history.finish(conn, entry, migration).await?;
            history.took(conn, migration, took).await
        }
        Err(error) => {
            if let ScriptError::Failed(failure) = &error {
                // The script can have left a failed transaction of its own open.
                if migration.own_transactions {
                    sqlx::raw_sql("ROLLBACK").execute(&mut *conn).await?;
                }
                ours(conn, TimeLimits::default()).await?;
                if let Some(leftovers) = leftovers {
                    leftovers.drop(conn).await?;
                }
                history.fail(conn, entry, migration, failure, None).await?;
            }
            Err(error.into_migration())
        }
    }
}

/// Runs one statement after the other. With Prisma, each statement has a transaction of its own, which also records
/// the number of committed statements; its engine runs them so since 7.4. With the other formats, statements share a
/// transaction up to the next statement that PostgreSQL refuses inside one, as in the Supabase CLI, and the last
/// transaction holds the history's row.
pub(super) async fn per_statement(conn: &mut PgConnection, history: &History, migration: &Migration) -> Result<()> {
    let committed = history.statements_committed(migration);
    let entry = history.begin(conn, migration, Some(committed)).await?;
    let pieces = pieces(&migration.script);
    sqlx::raw_sql(to_theirs(history.format())).execute(&mut *conn).await?;
    let mut steps = Steps {
        history,
        migration,
        entry: entry.as_ref(),
        progress: Progress::new(&migration.script, &pieces),
        committed,
        open: OpenTransaction::No,
    };
    let started = Instant::now();
    for (index, piece) in pieces.iter().enumerate().skip(committed) {
        let leftovers = Leftovers::before(conn, &migration.script[piece.span.clone()]).await?;
        let Err(error) = steps.step(conn, index, piece).await else {
            continue;
        };
        let StepError::Script(ScriptError::Failed(failure)) = error else {
            return Err(error.into());
        };
        sqlx::raw_sql("ROLLBACK").execute(&mut *conn).await?;
        ours(conn, TimeLimits::default()).await?;
        if let Some(leftovers) = leftovers {
            leftovers.drop(conn).await?;
        }
        let committed = steps.committed;
        history.fail(conn, entry, migration, &failure, Some(committed)).await?;
        return Err(Error::Failed(failure));
    }
    let open = steps.open;
    history.finish(conn, entry, migration).await?;
    if open == OpenTransaction::Ours {
        sqlx::raw_sql("COMMIT").execute(&mut *conn).await?;
    }
    history.took(conn, migration, started.elapsed()).await
}

/// Which transaction is open between two statements.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OpenTransaction {
    No,
    Ours,
    Theirs,
}

struct Steps<'a> {
    history: &'a History,
    migration: &'a Migration,
    entry: Option<&'a Entry>,
    progress: Progress<'a>,
    /// Number of statements that are certainly committed.
    committed: usize,
    open: OpenTransaction,
}

enum StepError {
    Script(ScriptError),
    Other(Error),
}

impl From<Error> for StepError {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl From<sqlx::Error> for StepError {
    fn from(error: sqlx::Error) -> Self {
        Self::Other(error.into())
    }
}

impl From<StepError> for Error {
    fn from(error: StepError) -> Self {
        match error {
            StepError::Script(error) => error.into_migration(),
            StepError::Other(error) => error,
        }
    }
}

impl Steps<'_> {
    async fn step(
        &mut self,
        conn: &mut PgConnection,
        index: usize,
        piece: &Piece,
    ) -> std::result::Result<(), StepError> {
        let done = index + 1;
        match (piece.kind, self.open) {
            (StatementKind::Begin | StatementKind::Chain | StatementKind::Other, OpenTransaction::Theirs) => {
                self.send(conn, piece).await?;
                self.record_committed(conn, done).await?;
            }
            (StatementKind::End, OpenTransaction::Theirs) => {
                // This record is committed or rolled back together with the script's transaction.
                self.record_committed(conn, done).await?;
                self.send(conn, piece).await?;
                self.open = OpenTransaction::No;
                self.record_committed(conn, done).await?;
                self.committed = done;
            }
            (StatementKind::Other, _) => {
                if self.open == OpenTransaction::No {
                    sqlx::raw_sql("BEGIN").execute(&mut *conn).await?;
                    self.open = OpenTransaction::Ours;
                }
                self.send(conn, piece).await?;
                if self.history.format() == Format::Prisma {
                    self.record_committed(conn, done).await?;
                    self.commit(conn, done, piece).await?;
                }
            }
            (kind, _) => {
                self.commit(conn, index, piece).await?;
                self.send(conn, piece).await?;
                if kind == StatementKind::Begin {
                    self.open = OpenTransaction::Theirs;
                } else {
                    self.record_committed(conn, done).await?;
                    self.committed = done;
                }
            }
        }
        Ok(())
    }

    /// Commits the operator's transaction, if one is open. Deferred constraints are checked only here.
    async fn commit(
        &mut self,
        conn: &mut PgConnection,
        done: usize,
        piece: &Piece,
    ) -> std::result::Result<(), StepError> {
        if self.open == OpenTransaction::Ours {
            let Migration { name, script, .. } = self.migration;
            let committed = sqlx::raw_sql("COMMIT").execute(conn).await;
            committed.map_err(|error| StepError::Script(ScriptError::new(name, script, piece.start, 0, error)))?;
            self.open = OpenTransaction::No;
            self.committed = done;
        }
        Ok(())
    }

    async fn record_committed(&mut self, conn: &mut PgConnection, done: usize) -> Result<()> {
        if self.entry.is_none() {
            return Ok(());
        }
        let record = self.progress.line(done, false);
        self.history.committed(conn, self.entry, &record).await
    }

    async fn send(&self, conn: &mut PgConnection, piece: &Piece) -> std::result::Result<(), StepError> {
        let Migration { name, script, .. } = self.migration;
        part(conn, name, script, piece.span.clone())
            .await
            .map_err(StepError::Script)
    }
}

/// The id of the current transaction, if one is assigned, after the statement `first`.
async fn transaction(conn: &mut PgConnection, first: &'static str) -> Result<Option<String>> {
    // Not prepared: the script could have put another statement in its place.
    let sql = format!("{first}; SELECT pg_catalog.pg_current_xact_id_if_assigned()::pg_catalog.text");
    let row = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_one(conn).await?;
    Ok(row.try_get(0)?)
}

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

    fn into_migration(self) -> Error {
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

async fn part(
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
