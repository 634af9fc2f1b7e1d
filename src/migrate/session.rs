//! The session that migrations and seeds run in.

use std::time::Duration;

use sqlx::{AssertSqlSafe, PgConnection};

use super::error::Result;
use super::options::TimeLimits;
use crate::postgres::watch_client;

/// Puts the session into the state in which every script starts, whatever the script before it has set.
pub(super) async fn set_up(conn: &mut PgConnection, limits: TimeLimits) -> Result<()> {
    reset(conn, limits).await?;
    watch_client(conn).await?;
    Ok(())
}

/// The part of [`set_up`] that can run inside a transaction.
pub(super) async fn reset(conn: &mut PgConnection, limits: TimeLimits) -> Result<()> {
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

/// The server's settings are integers of 31 bits.
fn milliseconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}
