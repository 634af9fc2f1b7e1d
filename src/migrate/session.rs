//! The session that migrations and seeds run in.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

use super::error::{Error, Result};
use super::options::TimeLimits;
use crate::api::MigrationFormat;
use crate::postgres::{Login, SessionEnd, column, own, watch_client};

/// Runs scripts in a session, and ends the session on the server where nobody waits for the end of a script: after a time
/// limit, when the connection is lost, and when this future is dropped. `login` is that of the session; without it, the server
/// ends the session when it notices that the connection is closed, which a script can switch off.
///
/// # Errors
/// Those of `scripts`, and of a session that does not answer.
pub async fn supervised<T>(
    mut conn: PgConnection,
    login: Option<&Login>,
    scripts: impl AsyncFnOnce(PgConnection) -> Result<T>,
) -> Result<T> {
    let Some(login) = login else { return scripts(conn).await };
    let end = SessionEnd::of(&mut conn, login).await?;
    let outcome = scripts(conn).await;
    if !outcome.as_ref().is_err_and(Error::gives_up_session) {
        end.in_order();
    }
    outcome
}

/// Puts the session into the state of the operator's own statements, whatever a script has left in it: settings,
/// roles, temporary tables and prepared statements. Outside of a failed transaction.
pub(super) async fn ours(conn: &mut PgConnection, limits: TimeLimits) -> Result<()> {
    // sqlx would use a prepared statement with which the script has replaced one of its own.
    conn.clear_cached_statements().await?;
    reset(conn, limits, "DEALLOCATE ALL; ", &format!("; {}; {WRITES}", own())).await?;
    watch_client(conn).await?;
    Ok(())
}

/// Puts the session into the state in which every script starts, whatever the script before it has set. It can run
/// inside a transaction.
pub(super) async fn theirs(conn: &mut PgConnection, limits: TimeLimits) -> Result<()> {
    reset(conn, limits, "", "").await
}

/// As [`ours`], inside a transaction.
pub(super) async fn ours_inside(conn: &mut PgConnection) -> Result<()> {
    conn.clear_cached_statements().await?;
    let after = format!("; {}", own());
    reset(conn, TimeLimits::default(), "DEALLOCATE ALL; ", &after).await
}

/// The operator's own transactions write, also where those of the login are read-only by default.
const WRITES: &str = "SET default_transaction_read_only = off";

/// From the state of [`ours`] to that of a script of this format: other settings for the resolution of names, and those of
/// the format's tool for dates and times. Prisma and the Supabase CLI leave them to the settings of the database and the
/// login.
pub(super) fn to_theirs(format: MigrationFormat) -> &'static str {
    match format {
        MigrationFormat::Prisma | MigrationFormat::Supabase => {
            "SET search_path TO DEFAULT; SET jit TO DEFAULT; SET default_transaction_read_only TO DEFAULT"
        }
        MigrationFormat::Sqlx => {
            "SET search_path TO DEFAULT; SET jit TO DEFAULT; SET default_transaction_read_only TO DEFAULT; SET datestyle = 'ISO, MDY'; SET timezone = 'UTC'; SET extra_float_digits = 2"
        }
    }
}

/// Between the statements of a script, inside its transaction: deferred constraints are checked with the settings of the
/// script, and then the statements of the operator have their own login and settings until the end of the transaction.
pub(super) const MOMENT: &str = "SET LOCAL statement_timeout = 0; SET CONSTRAINTS ALL IMMEDIATE; \
     SET LOCAL session_authorization TO DEFAULT; SET LOCAL role TO DEFAULT; \
     SET LOCAL search_path = pg_catalog, pg_temp; SET LOCAL client_encoding = 'UTF8'; \
     SET LOCAL standard_conforming_strings = on; SET LOCAL lock_timeout = '10s'";

/// SQL: whether the transaction can write nothing, and whether it has written. It has a number from its first change on, also
/// one of a subtransaction.
pub(super) const ACCESS: &str = "pg_catalog.current_setting('transaction_read_only') OPERATOR(pg_catalog.=) 'on', \
     pg_catalog.txid_current_if_assigned() IS NOT NULL";

/// A statement after it is read as the operator and the guard read it.
pub(super) const READING: &str = "SET standard_conforming_strings = on; SET client_encoding = 'UTF8'";

/// How long the session waits for a lock, as the server writes it: `10s`, and `0` for no limit.
pub(super) async fn lock_timeout(conn: &mut PgConnection) -> Result<String> {
    let sql = "SELECT pg_catalog.current_setting('lock_timeout')";
    Ok(sqlx::raw_sql(sql).fetch_one(conn).await?.try_get(0)?)
}

/// Sets how long the session waits for a lock: a value of [`lock_timeout`], or one of the operator's own.
pub(super) async fn set_lock_timeout(conn: &mut PgConnection, value: &str) -> Result<()> {
    let sql = AssertSqlSafe(format!("SET lock_timeout = '{value}'"));
    sqlx::raw_sql(sql).execute(conn).await?;
    Ok(())
}

/// For a statement that no other session waits for while it waits for others: no limit but that of all migrations.
pub(super) const PATIENT: &str = "0";

/// The schemas in which a script finds names without a schema, by the settings of the database and the login.
pub(super) async fn default_path(conn: &mut PgConnection) -> Result<Vec<String>> {
    let sql = "BEGIN; SET LOCAL search_path TO DEFAULT; \
         SELECT pg_catalog.unnest(pg_catalog.current_schemas(false))::pg_catalog.text; ROLLBACK";
    Ok(column(conn, "schemas in the search path", sqlx::raw_sql(sql)).await?)
}

/// Whether a backslash in a plain string is an escape in the sessions of the login, by the settings of the database, the
/// login and its options. Scripts are read and run with `standard_conforming_strings` on, the server's own default.
pub(super) async fn escapes_by_default(conn: &mut PgConnection) -> Result<bool> {
    let sql = "SELECT reset_val OPERATOR(pg_catalog.=) 'off' FROM pg_catalog.pg_settings \
         WHERE name OPERATOR(pg_catalog.=) 'standard_conforming_strings'";
    let escapes: Option<bool> = sqlx::query_scalar(sql).persistent(false).fetch_optional(conn).await?;
    Ok(escapes.unwrap_or_default())
}

async fn reset(conn: &mut PgConnection, limits: TimeLimits, before: &str, after: &str) -> Result<()> {
    sqlx::raw_sql(AssertSqlSafe(format!(
        "{before}RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL; SET standard_conforming_strings = on; \
         SET idle_in_transaction_session_timeout = 0; SET statement_timeout = {}; SET lock_timeout = {}{after}",
        milliseconds(limits.statement),
        milliseconds(limits.table_lock),
    )))
    .execute(conn)
    .await?;
    Ok(())
}

/// The server's settings are integers of 31 bits.
fn milliseconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}
