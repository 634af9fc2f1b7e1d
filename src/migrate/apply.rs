//! Applies the pending migrations: one session, one lock, one migration after the other.

use sqlx::PgConnection;
use tokio::time::{Instant, timeout};

use super::blockers::Blockers;
use super::error::{Error, Result};
use super::guard::{self, Clearance};
use super::history::History;
use super::lock::Lock;
use super::mode::Mode;
use super::options::Options;
use super::run_event::RunEvent;
use super::session::ours;
use super::source::{Migration, Source};
use super::status::MigrationsStatus;
use super::unrecorded::UnrecordedParts;
use super::{run, run_mode, steps};
use crate::postgres::protect_records;

/// Applies the pending migrations in order, and stops at the first failure. A migration in atomic mode
/// that fails, or during which the operator is killed, leaves no trace. The function owns the connection,
/// which holds the lock and the session state of a failed script, and returns it only after success.
///
/// The guard reviews the pending migrations again while the lock is held. If they need approval then,
/// nothing is written, and the status lists them as pending.
///
/// # Errors
/// See [`Error`].
pub async fn apply(
    mut conn: PgConnection,
    source: &Source,
    options: &Options,
    observer: &mut (impl FnMut(RunEvent<'_>) + Send),
) -> Result<(PgConnection, MigrationsStatus)> {
    if source.is_empty() {
        return Ok((conn, MigrationsStatus::default()));
    }
    let (limits, kept) = (options.limits, UnrecordedParts::default());
    let work = async {
        ours(&mut conn, limits).await?;
        let lock = Lock::take(&mut conn, source.format(), limits.lock).await?;
        // From here on, only the owner may write the tables that the operator trusts.
        protect_records(&mut conn).await?;
        let mut history = History::read(&mut conn, source).await?;
        let mut foreseen = history.clone();
        let unsettled = foreseen.foresee(source, options)?;
        if waits(&mut conn, &foreseen, source, options).await? {
            lock.release(&mut conn).await?;
            return Ok(MigrationsStatus {
                unsettled,
                ..MigrationsStatus::of(&foreseen, source)
            });
        }
        if unsettled > 0 || MigrationsStatus::of(&history, source).pending > 0 {
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
            observer(RunEvent::Started {
                name: &migration.name,
                number: index + 1,
                of: source.len(),
                per_statement: mode(&history, migration, options) == Mode::PerStatement,
            });
            let started = Instant::now();
            let outcome = one(&mut conn, &history, lock, (source, migration), options, &kept, observer).await;
            kept.outcome(outcome)?;
            history.note_applied(migration);
            observer(RunEvent::Applied {
                name: &migration.name,
                took: started.elapsed(),
            });
            ours(&mut conn, limits).await?;
        }
        lock.release(&mut conn).await?;
        Ok::<_, Error>(MigrationsStatus::of(&history, source))
    };
    let status = timeout(limits.total, work)
        .await
        .map_err(|_| kept.blamed(Error::Timeout(limits.total)))??;
    Ok((conn, status))
}

/// Whether the pending migrations need an approval that is missing. The lock must be held.
async fn waits(conn: &mut PgConnection, history: &History, source: &Source, options: &Options) -> Result<bool> {
    let Some(consent) = &options.consent else {
        return Ok(false);
    };
    let review = guard::look(conn, history, source, (consent, options.per_statement)).await?;
    Ok(review.is_some_and(|review| review.clearance == Clearance::Waits))
}

/// The mode in which a migration runs.
fn mode(history: &History, migration: &Migration, options: &Options) -> Mode {
    run_mode::of(
        migration,
        history.statements_committed(migration),
        options.per_statement,
    )
}

/// Runs one migration, and reports which session blocks it.
async fn one(
    conn: &mut PgConnection,
    history: &History,
    lock: Lock,
    (source, migration): (&Source, &Migration),
    options: &Options,
    parts: &UnrecordedParts,
    observer: &mut (impl FnMut(RunEvent<'_>) + Send),
) -> Result<()> {
    let mut blockers = Blockers::new(conn, options.login.as_ref()).await?;
    let mode = mode(history, migration, options);
    let outcome = {
        let script = async {
            match mode {
                Mode::Atomic => run::atomic(conn, history, lock, source, migration).await,
                Mode::Whole => {
                    let keeps_parts = migration.own_transactions;
                    run::whole(conn, history, lock, source, migration, keeps_parts, parts).await
                }
                Mode::PerStatement => steps::per_statement(conn, history, lock, source, migration, parts).await,
            }
        };
        tokio::pin!(script);
        loop {
            tokio::select! {
                outcome = &mut script => break outcome,
                by = blockers.changed() => observer(RunEvent::Blocked { by: by.as_deref() }),
            }
        }
    };
    match outcome {
        Err(Error::Failed(mut failure)) => {
            let again = run_mode::again(&failure, migration, history.format()).filter(|_| mode == Mode::Atomic);
            if let Some(again) = again {
                sqlx::raw_sql("ROLLBACK").execute(&mut *conn).await?;
                ours(conn, options.limits).await?;
                lock.keep(conn).await?;
                if again == Mode::Whole {
                    return run::whole(conn, history, lock, source, migration, true, parts).await;
                }
                observer(RunEvent::Started {
                    name: &migration.name,
                    number: 0,
                    of: 0,
                    per_statement: true,
                });
                return steps::per_statement(conn, history, lock, source, migration, parts).await;
            }
            failure.blocked_by = blockers.last().filter(|_| failure.sqlstate == LOCK_NOT_AVAILABLE);
            Err(Error::Failed(failure))
        }
        other => other,
    }
}

/// `lock_not_available`: the lock timeout expired.
const LOCK_NOT_AVAILABLE: &str = "55P03";
