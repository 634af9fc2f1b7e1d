//! The session that holds the snapshot of a backup: while it is open, every archive shows the database at the same moment.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::PgConnection;

use super::error::{Error, Result};
use super::facts;
use super::outcome::OutcomeReason;
use super::scope::SchemaScope;
use super::sql::run;
use crate::postgres::{self, APPLICATION, Login};
use crate::text;

/// The settings of the session: nothing ends it while it waits, and rows that a policy hides are an error.
const SETTINGS: &str = "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; SET row_security = off; \
    SET DateStyle = ISO; SET TimeZone = UTC";
/// Reads nothing but tables: what was a table when the session looked may be a view when it reads, whose functions would run
/// as the owner (CVE-2024-7348, against which `pg_dump` does the same). Servers before the minor releases of August 2024 do
/// not have the setting.
const TABLES_ONLY: &str = "SELECT set_config(name, 'view, foreign-table', false) FROM pg_settings \
    WHERE name = 'restrict_nonsystem_relation_kind'";
/// Resets [`TABLES_ONLY`], for queries of a user.
pub(super) const ANY_RELATION: &str = "SELECT set_config(name, '', false) FROM pg_settings \
    WHERE name = 'restrict_nonsystem_relation_kind'";
/// Interval of the statements that keep the session alive.
const ALIVE: Duration = Duration::from_secs(15);

/// A snapshot, and the session that holds it.
#[derive(Debug)]
pub struct Snapshot {
    /// The session, in the transaction of the snapshot.
    pub conn: PgConnection,
    /// Facts about the database, without its rows.
    pub facts: super::manifest::SnapshotFacts,
    /// Its schemas.
    pub scope: SchemaScope,
    /// The name by which other sessions see it.
    pub name: String,
    /// When it was taken.
    pub time: Timestamp,
    /// `server_version`.
    pub server_version: String,
}

/// The major version of a server.
///
/// # Errors
/// When the version cannot be read.
pub async fn major(conn: &mut PgConnection) -> Result<u32> {
    let number: i32 = sqlx::query_scalar("SELECT current_setting('server_version_num')::int")
        .fetch_one(conn)
        .await?;
    Ok(u32::try_from(number).unwrap_or_default() / 10_000)
}

/// A session without a statement timeout.
///
/// # Errors
/// See [`postgres::connect`].
pub async fn session(login: &Login) -> Result<PgConnection> {
    let mut conn = postgres::connect(login, APPLICATION).await?;
    run(&mut conn, SETTINGS).await?;
    run(&mut conn, TABLES_ONLY).await?;
    Ok(conn)
}

impl Snapshot {
    /// Takes a snapshot. Before that, the tables are locked against changes of their definition, as a dump does it, so that
    /// none happens between the snapshot and the dump.
    ///
    /// # Errors
    /// [`OutcomeReason::LockTimeout`], which names the table; the error of the database.
    pub async fn take(mut conn: PgConnection, scope: SchemaScope, lock_wait: u32) -> Result<Self> {
        let tables = facts::tables(&mut conn, &scope).await?;
        let begin = format!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL lock_timeout = '{lock_wait}s'");
        run(&mut conn, &begin).await?;
        for table in &tables {
            // LOCK TABLE takes no snapshot. The name is quoted by the server's own format().
            let locked = run(&mut conn, &format!("LOCK TABLE ONLY {table} IN ACCESS SHARE MODE")).await;
            locked.map_err(|error| of_table(&error, table, lock_wait))?;
        }
        let (name, time, server_version): (String, String, String) = sqlx::query_as(
            "SELECT pg_export_snapshot(), to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), \
                current_setting('server_version')",
        )
        .fetch_one(&mut conn)
        .await?;
        let time = time
            .parse()
            .map_err(|_| Error::new(OutcomeReason::Incompatible, "the server's clock has no time"))?;
        let facts = facts::read(&mut conn, &scope).await?;
        Ok(Self {
            conn,
            facts,
            scope,
            name,
            time,
            server_version: text::line(&server_version, 100),
        })
    }

    /// Counts rows, and holds the snapshot until the work is done. Returns the counts in the snapshot.
    ///
    /// # Errors
    /// [`OutcomeReason::Unreachable`], when the session breaks off; the error of the work.
    pub async fn hold(
        &mut self,
        work: impl Future<Output = Result<()>>,
    ) -> Result<std::collections::BTreeMap<String, u64>> {
        let mut work = std::pin::pin!(work);
        let mut done = false;
        let conn = &mut self.conn;
        let scope = &self.scope;
        let rows = {
            let mut counting = std::pin::pin!(facts::rows(conn, scope));
            loop {
                tokio::select! {
                    rows = &mut counting => break rows?,
                    ended = &mut work, if !done => { ended?; done = true; }
                }
            }
        };
        while !done {
            tokio::select! {
                ended = &mut work => { ended?; done = true; }
                () = tokio::time::sleep(ALIVE) => run(&mut self.conn, "SELECT 1").await?,
            }
        }
        // The snapshot existed until the end of the work.
        run(&mut self.conn, "COMMIT").await?;
        Ok(rows)
    }
}

fn of_table(error: &Error, table: &str, lock_wait: u32) -> Error {
    if error.reason == OutcomeReason::LockTimeout {
        return Error::new(
            OutcomeReason::LockTimeout,
            format!(
                "the table {table} stayed locked for {lock_wait} s: end the session that holds the lock, or back up at another \
                 time"
            ),
        );
    }
    Error::new(error.reason, format!("table {table}: {}", error.message))
}
