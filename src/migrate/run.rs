//! Running one migration, and recording it truly whenever it is cut off.

use std::ops::Range;

use futures::TryStreamExt;
use sqlx::postgres::PgDatabaseError;
use sqlx::{AssertSqlSafe, PgConnection};
use tokio::time::Instant;

use super::error::{Error, Result};
use super::failure::ScriptFailure;
use super::history::{Entry, History};
use super::index::Leftovers;
use super::lexer::{Piece, StatementKind};
use super::source::Migration;
use super::unfinished::pieces;
use crate::api::MigrationFormat as Format;

/// In one transaction together with its row: it has happened as a whole, or not at all.
pub(super) async fn atomic(conn: &mut PgConnection, history: &History, migration: &Migration) -> Result<()> {
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
        Err(error) => Err(ScriptError::new(&migration.name, &migration.script, 0, usize::MAX, error).into_migration()),
    }
}

/// As one message outside of a transaction.
pub(super) async fn whole(conn: &mut PgConnection, history: &History, migration: &Migration) -> Result<()> {
    let leftovers = Leftovers::before(conn, &migration.script).await?;
    let entry = history.begin(conn, migration, None).await?;
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
                history.fail(conn, entry, migration, failure, None).await?;
            }
            Err(error.into_migration())
        }
    }
}

/// One statement after the other. With Prisma each has a transaction of its own, in which the history
/// records how many there are, as its engine does from 7.4 on; the others, as the Supabase CLI does, share
/// one up to the next statement that PostgreSQL keeps out of transactions, and the last one holds the row.
pub(super) async fn per_statement(conn: &mut PgConnection, history: &History, migration: &Migration) -> Result<()> {
    let committed = history.statements_committed(migration);
    let entry = history.begin(conn, migration, Some(committed)).await?;
    let mut steps = Steps {
        history,
        migration,
        entry: entry.as_ref(),
        committed,
        open: OpenTransaction::No,
    };
    let begun = Instant::now();
    let pieces = pieces(&migration.script);
    for (index, piece) in pieces.iter().enumerate().skip(committed) {
        let leftovers = Leftovers::before(conn, &migration.script[piece.span.clone()]).await?;
        let Err(error) = steps.step(conn, index, piece).await else {
            continue;
        };
        let StepError::Script(ScriptError::Failed(failure)) = error else {
            return Err(error.into());
        };
        sqlx::raw_sql("ROLLBACK").execute(&mut *conn).await?;
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
    history.took(conn, migration, begun.elapsed()).await
}

/// A transaction that is open between two statements.
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
    /// Statements that are committed for certain.
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
                self.note(conn, done).await?;
            }
            (StatementKind::End, OpenTransaction::Theirs) => {
                // Rolled back with the rest, or committed with it.
                self.note(conn, done).await?;
                self.send(conn, piece).await?;
                self.open = OpenTransaction::No;
                self.note(conn, done).await?;
                self.committed = done;
            }
            (StatementKind::Other, _) => {
                if self.open == OpenTransaction::No {
                    sqlx::raw_sql("BEGIN").execute(&mut *conn).await?;
                    self.open = OpenTransaction::Ours;
                }
                self.send(conn, piece).await?;
                if self.history.format() == Format::Prisma {
                    self.note(conn, done).await?;
                    self.commit(conn, done, piece).await?;
                }
            }
            (kind, _) => {
                self.commit(conn, index, piece).await?;
                self.send(conn, piece).await?;
                if kind == StatementKind::Begin {
                    self.open = OpenTransaction::Theirs;
                } else {
                    self.note(conn, done).await?;
                    self.committed = done;
                }
            }
        }
        Ok(())
    }

    /// Commits our transaction, if one is open. A deferred constraint speaks up only here.
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

    async fn note(&self, conn: &mut PgConnection, done: usize) -> Result<()> {
        self.history.committed(conn, self.entry, self.migration, done).await
    }

    async fn send(&self, conn: &mut PgConnection, piece: &Piece) -> std::result::Result<(), StepError> {
        let Migration { name, script, .. } = self.migration;
        part(conn, name, script, piece.span.clone())
            .await
            .map_err(StepError::Script)
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
    pub(super) fn new(name: &str, script: &str, from: usize, completed: usize, error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(answer) => match answer.try_downcast_ref::<PgDatabaseError>() {
                Some(answer) => Self::Failed(Box::new(ScriptFailure::new(name, script, from, completed, answer))),
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
    part(conn, name, script, 0..script.len()).await
}

async fn part(
    conn: &mut PgConnection,
    name: &str,
    script: &str,
    span: Range<usize>,
) -> std::result::Result<(), ScriptError> {
    let from = span.start;
    let mut completed = 0;
    let mut results = sqlx::raw_sql(AssertSqlSafe(script[span].to_owned())).execute_many(conn);
    loop {
        match results.try_next().await {
            Ok(Some(_)) => completed += 1,
            Ok(None) => return Ok(()),
            Err(error) => return Err(ScriptError::new(name, script, from, completed, error)),
        }
    }
}
