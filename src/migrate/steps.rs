//! Runs a migration statement by statement, and records how many statements are committed.

use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use tokio::time::Instant;

use super::error::{Error, Result};
use super::failure::ScriptFailure;
use super::history::{History, HistoryRow};
use super::index::Leftovers;
use super::kinds;
use super::lexer::{Piece, StatementKind as Kind};
use super::lock::Lock;
use super::mode::rolls_back;
use super::options::TimeLimits;
use super::run::{RunError, ScriptError, part};
use super::script_words::{is_setting, speaks_of};
use super::session::{ACCESS, MOMENT, PATIENT, READING, lock_timeout, ours, set_lock_timeout, to_theirs};
use super::source::{Migration, Source};
use super::unfinished::{self, NextStatement, ScriptRecord, pieces};
use super::unrecorded::UnrecordedParts;
use crate::api::MigrationFormat as Format;

/// Runs one statement after the other. With Prisma, each statement has a transaction of its own, which also records
/// the number of committed statements; its engine does the same since 7.4. With the other formats, statements share a
/// transaction up to the next statement that PostgreSQL refuses inside one, as in the Supabase CLI, and the last
/// transaction holds the history's row.
pub(super) async fn per_statement(
    conn: &mut PgConnection,
    history: &History,
    lock: Lock,
    source: &Source,
    migration: &Migration,
    parts: &UnrecordedParts,
) -> Result<()> {
    let committed = history.statements_committed(migration);
    let begun = history.begin(conn, migration, Some(committed)).await?;
    let pieces = pieces(&migration.script);
    sqlx::raw_sql(to_theirs(history.format())).execute(&mut *conn).await?;
    let mut steps = Steps {
        history,
        migration,
        begun: begun.as_ref(),
        progress: ScriptRecord::new(&migration.script, &pieces),
        committed,
        open: OpenTransaction::No,
        next: NextStatement::Failed,
        speaks_of_read_only: speaks_of(&migration.script, "only"),
        sets_lock_timeout: speaks_of(&migration.script, "lock_timeout"),
        source,
        pieces: &pieces,
        is_recorded: false,
        leftovers: None,
        parts,
    };
    let started = Instant::now();
    for (index, piece) in pieces.iter().enumerate().skip(committed) {
        steps.leftovers = Leftovers::before(conn, &migration.script[piece.span.clone()]).await?;
        let Err(error) = steps.step(conn, lock, index, piece).await else {
            continue;
        };
        let RunError::Script(ScriptError::Failed(mut failure)) = error else {
            return Err(error.into());
        };
        sqlx::raw_sql("ROLLBACK").execute(&mut *conn).await?;
        ours(conn, TimeLimits::default()).await?;
        if let Some(leftovers) = steps.leftovers.take() {
            leftovers.drop_after(conn, &mut failure).await;
        }
        failure.keeps_parts = steps.keeps_parts(steps.committed);
        let kept = unfinished::committed(&migration.script, steps.committed, steps.next);
        history.fail(conn, begun.as_ref(), migration, &failure, &kept).await?;
        return Err(Error::Failed(failure));
    }
    let finished = finish(conn, &mut steps).await;
    finished.map_err(|error| steps.told(error))?;
    parts.clear();
    history.took(conn, migration, started.elapsed()).await?;
    ours(conn, TimeLimits::default()).await?;
    lock.keep(conn).await
}

/// Ends the transaction of the last statements, with the history's row where that is possible.
async fn finish(conn: &mut PgConnection, steps: &mut Steps<'_>) -> Result<()> {
    let (history, migration, source) = (steps.history, steps.migration, steps.source);
    let (begun, end) = (steps.begun, migration.script.len());
    if steps.open == OpenTransaction::Ours && !steps.is_read_only(conn, end).await? {
        steps.end_of_transaction(conn, end).await.map_err(Error::from)?;
        let finished = history.finish(conn, begun, source, migration).await;
        finished.map_err(|error| steps.blamed(error))?;
        sqlx::raw_sql("COMMIT").execute(&mut *conn).await?;
        return Ok(());
    }
    if steps.open == OpenTransaction::Ours {
        sqlx::raw_sql("COMMIT").execute(&mut *conn).await?;
    }
    ours(conn, TimeLimits::default()).await?;
    if !steps.is_recorded {
        history.finish_alone(conn, begun, source, migration).await?;
    }
    Ok(())
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
    begun: Option<&'a HistoryRow>,
    progress: ScriptRecord<'a>,
    /// Number of statements that are certainly committed.
    committed: usize,
    open: OpenTransaction,
    /// The state of the statement after them when it fails.
    next: NextStatement,
    /// The script may use read-only transactions, which cannot contain a record.
    speaks_of_read_only: bool,
    /// The script may set how long its statements wait for locks.
    sets_lock_timeout: bool,
    source: &'a Source,
    /// The statements of the script.
    pieces: &'a [Piece],
    /// The migration is in the history already: with the last transaction that the script has started.
    is_recorded: bool,
    /// Of the statement that runs.
    leftovers: Option<Leftovers>,
    parts: &'a UnrecordedParts,
}

type StepResult = std::result::Result<(), RunError>;

impl Steps<'_> {
    async fn step(&mut self, conn: &mut PgConnection, lock: Lock, index: usize, piece: &Piece) -> StepResult {
        let done = index + 1;
        match (kinds::kind(&self.migration.script, piece), self.open) {
            (kind @ (Kind::End | Kind::Chain), OpenTransaction::Theirs) => {
                self.end_of_theirs(conn, done, piece, kind == Kind::Chain).await?;
            }
            (_, OpenTransaction::Theirs) => self.send(conn, piece).await?,
            (Kind::Other, _) if self.pieces.len() > 1 => self.inside(conn, done, piece).await?,
            // This includes a single statement of an extension, which the grammar does not identify.
            (Kind::Unsure | Kind::Other, _) => {
                // The effects of earlier statements are kept if the statement has to be sent again.
                self.commit(conn, index, piece).await?;
                match self.inside(conn, done, piece).await {
                    Err(RunError::Script(ScriptError::Failed(failure))) if failure.needs_no_transaction() => {
                        sqlx::raw_sql("ROLLBACK").execute(&mut *conn).await?;
                        self.open = OpenTransaction::No;
                        self.outside(conn, done, piece, NextStatement::CommitsItself).await?;
                    }
                    other => other?,
                }
            }
            (kind, _) => {
                self.commit(conn, index, piece).await?;
                if kind == Kind::Begin {
                    self.send(conn, piece).await?;
                    self.open = OpenTransaction::Theirs;
                } else {
                    let next = if kinds::keeps_parts(kind) {
                        NextStatement::CommitsItself
                    } else {
                        NextStatement::Failed
                    };
                    if kinds::holds_nobody_back(kind) && !self.sets_lock_timeout {
                        self.patiently(conn, done, piece, next).await?;
                    } else {
                        self.outside(conn, done, piece, next).await?;
                    }
                }
            }
        }
        // Any function may release the lock. Inside a transaction a query would forbid the script's SET TRANSACTION.
        if self.open == OpenTransaction::No {
            lock.keep(conn).await?;
        }
        Ok(())
    }

    /// The end of a transaction that the script has started. The record is committed together with it. A transaction that is
    /// rolled back does not check its deferred constraints, and its record would be rolled back too.
    async fn end_of_theirs(&mut self, conn: &mut PgConnection, done: usize, piece: &Piece, chains: bool) -> StepResult {
        let holds =
            !rolls_back(&self.migration.script[piece.start..]) && (self.begun.is_some() || done == self.pieces.len());
        if holds && !self.is_read_only(conn, piece.start).await? {
            self.end_of_transaction(conn, piece.start).await?;
            if self.begun.is_some() {
                self.record(conn, done).await?;
            } else {
                self.finish(conn).await?;
            }
        }
        if !self.is_recorded {
            self.leave_parts(done);
        }
        self.send(conn, piece).await?;
        self.committed = done;
        if !chains {
            self.open = OpenTransaction::No;
            self.record_alone(conn, done).await?;
        }
        Ok(())
    }

    /// Records the migration in the last transaction of its script.
    async fn finish(&mut self, conn: &mut PgConnection) -> Result<()> {
        let Self {
            history,
            source,
            migration,
            ..
        } = *self;
        let finished = history.finish(conn, None, source, migration).await;
        let of_all = migration.last_commit.is_some_and(|commit| commit.of_all);
        finished.map_err(|error| if of_all { error.with_nothing_kept() } else { error })?;
        self.is_recorded = true;
        Ok(())
    }

    /// Runs a statement in a transaction of the operator's.
    async fn inside(&mut self, conn: &mut PgConnection, done: usize, piece: &Piece) -> StepResult {
        if self.open == OpenTransaction::No {
            sqlx::raw_sql("BEGIN").execute(&mut *conn).await?;
            self.open = OpenTransaction::Ours;
        }
        self.send(conn, piece).await?;
        if self.history.format() != Format::Prisma {
            return Ok(());
        }
        let apart = self.is_read_only(conn, piece.start).await?;
        if !apart {
            self.end_of_transaction(conn, piece.start).await?;
            self.record(conn, done).await?;
        }
        self.commit(conn, done, piece).await?;
        if apart {
            self.record_alone(conn, done).await?;
        }
        Ok(())
    }

    /// Runs a statement outside of a transaction, without the operator's limit for the wait for locks.
    async fn patiently(
        &mut self,
        conn: &mut PgConnection,
        done: usize,
        piece: &Piece,
        next: NextStatement,
    ) -> StepResult {
        let before = lock_timeout(conn).await?;
        set_lock_timeout(conn, PATIENT).await?;
        self.outside(conn, done, piece, next).await?;
        set_lock_timeout(conn, &before).await?;
        Ok(())
    }

    /// Runs a statement outside of a transaction.
    async fn outside(
        &mut self,
        conn: &mut PgConnection,
        done: usize,
        piece: &Piece,
        next: NextStatement,
    ) -> StepResult {
        self.next = next;
        if next == NextStatement::CommitsItself && self.begun.is_some() {
            let record = self.progress.line(done - 1, next);
            self.write_alone(conn, &record).await?;
        }
        // A statement that commits by itself may be cut off.
        self.leave_parts(done - 1);
        self.send(conn, piece).await?;
        if let Some(leftovers) = &self.leftovers {
            let Migration { name, script, .. } = self.migration;
            if let Some(failure) = leftovers.flaw(conn, (name, script, piece.start)).await? {
                return Err(RunError::Script(ScriptError::Failed(Box::new(failure))));
            }
        }
        self.leave_parts(done);
        self.record_alone(conn, done).await?;
        self.committed = done;
        self.next = NextStatement::Failed;
        Ok(())
    }

    /// Whether the first `done` statements have committed something that no row records, or the next one can have.
    fn keeps_parts(&self, done: usize) -> bool {
        let script = &self.migration.script;
        let mut statements = self.pieces.iter().take(done).map(|piece| &script[piece.start..]);
        self.begun.is_none()
            && (self.next == NextStatement::CommitsItself || statements.any(|statement| !is_setting(statement)))
    }

    /// An error at the end of the script, whose statements before the last transaction are committed.
    fn told(&self, mut error: Error) -> Error {
        if let Error::Failed(failure) = &mut error {
            failure.keeps_parts = self.keeps_parts(self.committed);
        }
        error
    }

    /// Before the first `done` statements are committed.
    fn leave_parts(&self, done: usize) {
        if self.keeps_parts(done) {
            self.parts.add(&self.migration.name);
        }
    }

    /// Commits the operator's transaction, if one is open.
    async fn commit(&mut self, conn: &mut PgConnection, done: usize, piece: &Piece) -> StepResult {
        if self.open == OpenTransaction::Ours {
            self.leave_parts(done);
            let committed = sqlx::raw_sql("COMMIT").execute(conn).await;
            committed.map_err(|error| self.failed_at(piece.start, error))?;
            self.open = OpenTransaction::No;
            self.committed = done;
        }
        Ok(())
    }

    /// Checks deferred constraints with the settings of the script, and switches to those of the operator until the end of
    /// the transaction.
    async fn end_of_transaction(&self, conn: &mut PgConnection, at: usize) -> StepResult {
        let done = sqlx::raw_sql(MOMENT).execute(conn).await;
        done.map(drop).map_err(|error| self.failed_at(at, error))
    }

    fn failed_at(&self, at: usize, error: sqlx::Error) -> RunError {
        let Migration { name, script, .. } = self.migration;
        RunError::Script(ScriptError::new(name, script, at, 0, error))
    }

    /// Whether the transaction cannot contain a record. One that already contains changes is refused.
    async fn is_read_only(&self, conn: &mut PgConnection, at: usize) -> std::result::Result<bool, RunError> {
        if !self.speaks_of_read_only {
            return Ok(false);
        }
        let sql = format!("SELECT {ACCESS}");
        let row = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_one(conn).await?;
        let (is_read_only, has_written) = (row.try_get(0)?, row.try_get(1)?);
        if is_read_only && has_written {
            let failure = ScriptFailure::read_only(&self.migration.name, &self.migration.script, at);
            return Err(RunError::Script(ScriptError::Failed(Box::new(failure))));
        }
        Ok(is_read_only)
    }

    /// An error of a record, whose transaction is rolled back.
    fn blamed(&self, error: Error) -> Error {
        match self.committed {
            0 => error.with_nothing_kept(),
            _ => error,
        }
    }

    async fn record(&mut self, conn: &mut PgConnection, done: usize) -> Result<()> {
        if self.begun.is_none() {
            return Ok(());
        }
        let record = self.progress.line(done, NextStatement::Unknown);
        let recorded = self.history.committed(conn, self.begun, self.migration, &record).await;
        recorded.map_err(|error| self.blamed(error))
    }

    /// Records in a transaction of its own.
    async fn record_alone(&mut self, conn: &mut PgConnection, done: usize) -> Result<()> {
        if self.begun.is_none() {
            return Ok(());
        }
        let record = self.progress.line(done, NextStatement::Unknown);
        self.write_alone(conn, &record).await
    }

    async fn write_alone(&self, conn: &mut PgConnection, record: &str) -> Result<()> {
        let begin = format!("BEGIN READ WRITE; {MOMENT}");
        sqlx::raw_sql(AssertSqlSafe(begin)).execute(&mut *conn).await?;
        self.history.committed(conn, self.begun, self.migration, record).await?;
        sqlx::raw_sql("COMMIT").execute(conn).await?;
        Ok(())
    }

    /// Sends a statement. It is read as the script was divided, whatever a statement before it has set.
    async fn send(&self, conn: &mut PgConnection, piece: &Piece) -> StepResult {
        let Migration { name, script, .. } = self.migration;
        sqlx::raw_sql(READING).execute(&mut *conn).await?;
        part(conn, name, script, piece.span.clone())
            .await
            .map_err(RunError::Script)
    }
}
