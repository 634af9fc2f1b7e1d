//! Statements of the program's own.

use sqlx::{AssertSqlSafe, PgConnection};

use super::error::Result;

/// Runs statements without values in them.
///
/// # Errors
/// When the database returns an error.
pub(super) async fn run(conn: &mut PgConnection, sql: &str) -> Result<()> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(conn).await?;
    Ok(())
}
