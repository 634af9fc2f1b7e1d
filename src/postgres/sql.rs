//! Statements and transactions of the operator's own, safe from what a tenant has put into the database.

use sqlx::{AssertSqlSafe, PgConnection};

use super::error::{Error, Result};

/// The operator's own schema in a tenant's database. The tenant's roles have no right on it.
pub const OPERATOR_SCHEMA: &str = "stagesub";

/// A quoted identifier.
pub(crate) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Makes unqualified names mean PostgreSQL's own objects, whatever `ALTER ROLE … SET` or a script has left: with
/// the tenant's schemas in the `search_path`, a function or operator of the tenant could run as the owner.
/// `pg_temp` stands last by name, because PostgreSQL otherwise searches it first.
pub(crate) const OWN_PATH: &str = "search_path = pg_catalog, pg_temp";

/// Begins a transaction in which names mean what [`OWN_PATH`] says.
pub(crate) async fn begin(conn: &mut PgConnection) -> Result<()> {
    let begin = format!("BEGIN; SET LOCAL {OWN_PATH}; SET LOCAL lock_timeout = '10s'");
    match run(conn, begin).await {
        Ok(()) => Ok(()),
        Err(error) => roll_back(conn, error).await,
    }
}

/// Ends a transaction: commits work that succeeded, and rolls back work that failed.
pub(super) async fn end<T>(conn: &mut PgConnection, work: Result<T>) -> Result<T> {
    match work {
        Ok(value) => match run(conn, "COMMIT".to_owned()).await {
            Ok(()) => Ok(value),
            Err(error) => roll_back(conn, error).await,
        },
        Err(error) => roll_back(conn, error).await,
    }
}

/// Leaves the session usable. The error that is returned is the first one, which is the cause.
async fn roll_back<T>(conn: &mut PgConnection, error: super::error::Error) -> Result<T> {
    let _ = sqlx::raw_sql("ROLLBACK").execute(conn).await;
    Err(error)
}

/// Runs statements whose identifiers and literals are quoted.
pub(super) async fn run(conn: &mut PgConnection, sql: String) -> Result<()> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(conn).await?;
    Ok(())
}

/// As [`run`], in a transaction that goes on when the server refuses with one of these SQLSTATEs. Whether it was done.
pub(super) async fn permitted(conn: &mut PgConnection, sql: String, refusals: &[&str]) -> Result<bool> {
    run(conn, "SAVEPOINT tried".to_owned()).await?;
    match run(conn, sql).await {
        Ok(()) => run(conn, "RELEASE tried".to_owned()).await.map(|()| true),
        Err(Error::Refused { sqlstate, .. }) if refusals.contains(&sqlstate.as_str()) => {
            run(conn, "ROLLBACK TO tried; RELEASE tried".to_owned())
                .await
                .map(|()| false)
        }
        Err(error) => Err(error),
    }
}
