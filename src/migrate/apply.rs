//! Applying what is pending: one session, one lock, one migration after the other.

use std::time::Duration;

use sqlx::{AssertSqlSafe, PgConnection};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::blockers::Blockers;
use super::guard::{self, Consent, Verdict};
use super::history::History;
use super::policy::Mode;
use super::source::{Migration, Source};
use super::{Error, Result, lock, run};
use crate::api::{MigrationFormat, Resolution};
use crate::postgres::{Login, watch_client};

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Waiting for the migration lock.
    pub lock: Duration,
    /// A statement's wait for a lock on a table: while it waits, everybody behind it waits too.
    pub table_lock: Duration,
    /// One statement; zero for no limit of its own.
    pub statement: Duration,
    /// All of it.
    pub total: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            lock: Duration::from_secs(10),
            table_lock: Duration::from_secs(10),
            statement: Duration::ZERO,
            total: Duration::from_hours(1),
        }
    }
}

/// How migrations are applied.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// How long things may take.
    pub limits: Limits,
    /// Every script is run statement by statement, not only those that cannot be run otherwise.
    pub per_statement: bool,
    /// What a person says of migrations that did not finish, or that the operator cannot know.
    pub resolve: Vec<Resolution>,
    /// The last migration whose changes a database without a history holds already.
    pub baseline: Option<String>,
    /// The login that tells, over a second session, who holds up a script; the script's own.
    pub login: Option<Login>,
    /// What of it needs a person's word; without it nothing does.
    pub consent: Option<Consent>,
    /// Becomes true when the operator is told to stop: no further script is begun.
    pub stop: Option<watch::Receiver<bool>>,
}

/// Where a database stands against a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Migrations of the source that are applied.
    pub applied: usize,
    /// Migrations of the source that are not.
    pub pending: usize,
    /// What must be written into the history before more is applied: of unfinished ones, and as a person
    /// has said.
    pub unsettled: usize,
    /// The last migration of the source that is applied.
    pub current: Option<String>,
    /// Where the history and the source do not agree, and the tool goes on all the same; empty when
    /// they agree.
    pub divergence: String,
}

impl Status {
    /// Nothing is to be done.
    pub fn is_done(&self) -> bool {
        self.pending == 0 && self.unsettled == 0
    }
}

/// Told while migrations are applied.
#[derive(Clone, Debug)]
pub enum Progress<'a> {
    /// A migration begins.
    Started {
        /// Its name.
        name: &'a str,
        /// Its place among all of the source, from 1.
        number: usize,
        /// Migrations of the source.
        of: usize,
        /// It is run statement by statement: a failure leaves what stands before it.
        per_statement: bool,
    },
    /// It waits for somebody else's lock, or no longer does.
    Blocked {
        /// By whom, for people.
        by: Option<&'a str>,
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
pub async fn pending(conn: &mut PgConnection, source: &Source, options: &Options) -> Result<Status> {
    if source.is_empty() {
        return Ok(Status::default());
    }
    let mut history = History::read(conn, source.format()).await?;
    let unsettled = history.foresee(source, options)?;
    history.check(source)?;
    Ok(Status {
        unsettled,
        ..status(&history, source)
    })
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
        unsettled: 0,
        current: applied.last().map(|migration| migration.name.clone()),
        divergence: history.divergence(source).describe(),
    }
}

/// Applies what is pending, in order, and stops at the first failure. A migration in atomic mode
/// that fails, or whose operator dies, has not happened. Takes the connection, which holds the lock
/// and whatever a failed script left behind, and gives it back only after success.
///
/// The guard is asked again while the lock is held. When what is pending then waits for approval,
/// nothing is written, and the status says what is pending.
///
/// # Errors
/// See [`Error`].
pub async fn apply(
    mut conn: PgConnection,
    source: &Source,
    options: &Options,
    observer: &mut (impl FnMut(Progress<'_>) + Send),
) -> Result<(PgConnection, Status)> {
    if source.is_empty() {
        return Ok((conn, Status::default()));
    }
    let limits = options.limits;
    let work = async {
        set_up(&mut conn, limits).await?;
        let key = lock::key(&mut conn, source.format()).await?;
        lock::take(&mut conn, key, limits.lock).await?;
        let mut history = History::read(&mut conn, source.format()).await?;
        let mut foreseen = history.clone();
        let unsettled = foreseen.foresee(source, options)?;
        if waits(&mut conn, &foreseen, source, options).await? {
            lock::release(&mut conn, key).await?;
            return Ok(Status {
                unsettled,
                ..status(&foreseen, source)
            });
        }
        if unsettled > 0 || status(&history, source).pending > 0 {
            history.prepare(&mut conn).await?;
        }
        history.settle(&mut conn, source, options).await?;
        history.check(source)?;
        for (index, migration) in source.migrations().iter().enumerate() {
            if history.has(migration) {
                continue;
            }
            if options.stop.as_ref().is_some_and(|stop| *stop.borrow()) {
                return Err(Error::Stopping);
            }
            observer(Progress::Started {
                name: &migration.name,
                number: index + 1,
                of: source.len(),
                per_statement: mode(&history, migration, options) == Mode::PerStatement,
            });
            let begun = Instant::now();
            one(&mut conn, &mut history, migration, options, observer).await?;
            history.applied(migration);
            observer(Progress::Applied {
                name: &migration.name,
                took: begun.elapsed(),
            });
            set_up(&mut conn, limits).await?;
        }
        lock::release(&mut conn, key).await?;
        Ok::<_, Error>(status(&history, source))
    };
    let status = timeout(limits.total, work)
        .await
        .map_err(|_| Error::Timeout(limits.total))??;
    Ok((conn, status))
}

/// Whether the guard lets it wait, now that nobody else migrates.
async fn waits(conn: &mut PgConnection, history: &History, source: &Source, options: &Options) -> Result<bool> {
    let Some(consent) = &options.consent else {
        return Ok(false);
    };
    let review = guard::look(conn, history, source, consent).await?;
    Ok(review.is_some_and(|review| review.verdict == Verdict::Waits))
}

/// How a migration is run. What was begun statement by statement is gone on with in that way.
fn mode(history: &History, migration: &Migration, options: &Options) -> Mode {
    if options.per_statement || history.statements_committed(migration) > 0 {
        Mode::PerStatement
    } else {
        migration.mode
    }
}

/// Runs one migration, and tells who holds it up.
async fn one(
    conn: &mut PgConnection,
    history: &mut History,
    migration: &Migration,
    options: &Options,
    observer: &mut (impl FnMut(Progress<'_>) + Send),
) -> Result<()> {
    let mut blockers = Blockers::of(conn, options.login.as_ref()).await?;
    let mode = mode(history, migration, options);
    let outcome = {
        let script = async {
            match mode {
                Mode::Atomic => run::atomic(conn, history, migration).await,
                Mode::Whole => run::whole(conn, history, migration).await,
                Mode::PerStatement => run::per_statement(conn, history, migration).await,
            }
        };
        tokio::pin!(script);
        loop {
            tokio::select! {
                outcome = &mut script => break outcome,
                by = blockers.changed() => observer(Progress::Blocked { by: by.as_deref() }),
            }
        }
    };
    match outcome {
        Err(Error::Failed(mut failure)) => {
            if failure.sqlstate == NEW_ENUM_VALUE && mode == Mode::Atomic && history.format() == MigrationFormat::Prisma
            {
                // What only a commit in between makes possible, as Prisma's engine does from 7.4 on.
                sqlx::raw_sql("ROLLBACK").execute(&mut *conn).await?;
                set_up(conn, options.limits).await?;
                observer(Progress::Started {
                    name: &migration.name,
                    number: 0,
                    of: 0,
                    per_statement: true,
                });
                return run::per_statement(conn, history, migration).await;
            }
            failure.blocked_by = blockers.last().filter(|_| failure.sqlstate == LOCK_NOT_AVAILABLE);
            Err(Error::Failed(failure))
        }
        other => other,
    }
}

/// `unsafe_new_enum_value_usage`: a value of an enum is used in the transaction that adds it.
const NEW_ENUM_VALUE: &str = "55P04";
/// `lock_not_available`: the lock timeout.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// The session as every script finds it, whatever the one before has set.
pub(super) async fn set_up(conn: &mut PgConnection, limits: Limits) -> Result<()> {
    reset(conn, limits).await?;
    watch_client(conn).await?;
    Ok(())
}

/// The part of [`set_up`] that fits into a transaction.
pub(super) async fn reset(conn: &mut PgConnection, limits: Limits) -> Result<()> {
    sqlx::raw_sql(AssertSqlSafe(format!(
        "RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL; SET standard_conforming_strings = on; \
         SET idle_in_transaction_session_timeout = 0; SET statement_timeout = {}; SET lock_timeout = {}",
        milliseconds(limits.statement),
        milliseconds(limits.table_lock),
    )))
    .execute(conn)
    .await?;
    Ok(())
}

/// As the server takes it: an integer of 31 bits.
fn milliseconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}
