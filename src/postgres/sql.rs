//! Statements and transactions of the operator's own, safe from what a tenant has put into the database.

use futures::TryStreamExt as _;
use postgres_protocol::escape::escape_literal;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Either, PgConnection};

use super::bounded::{Count, ROWS};
use super::error::{Error, Result};

/// The operator's own schema in a tenant's database. The tenant's roles have no right on it.
pub const OPERATOR_SCHEMA: &str = "stagesub";

/// The first OID of what PostgreSQL has not made itself (`FirstNormalObjectId` in its `access/transam.h`).
pub(super) const FIRST_OWN: u32 = 16_384;

/// A quoted identifier.
pub(crate) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Makes unqualified names mean PostgreSQL's own objects, whatever `ALTER ROLE … SET` or a script has left: with
/// the tenant's schemas in the `search_path`, a function or operator of the tenant could run as the owner.
/// `pg_temp` stands last by name, because PostgreSQL otherwise searches it first.
pub(super) const OWN_PATH: &str = "search_path = pg_catalog, pg_temp";

/// A setting for statements of the operator's own. Over the catalog of a server with a thousand roles their estimated cost
/// exceeds `jit_above_cost`, and compiling them takes seconds where running them takes a millisecond.
const NO_JIT: &str = "jit = off";

/// The settings of a session for statements of the operator's own: [`OWN_PATH`] and [`NO_JIT`].
pub(crate) fn own() -> String {
    format!("SET {OWN_PATH}; SET {NO_JIT}")
}

/// Limits of time that end a statement, a transaction or a session, and the first version of PostgreSQL that has each.
const LIMITS: [(u32, &str); 4] = [
    (0, "statement_timeout"),
    (0, "idle_in_transaction_session_timeout"),
    (140_000, "idle_session_timeout"),
    (170_000, "transaction_timeout"),
];

/// Statements that undo what a script may have set for its role or its database, and what would keep the operator from its
/// work in a session that begins with it: limits of time, transactions that only read, and another role. `RESET` would bring
/// each of them back. The limit of a statement comes first, because it holds for those that follow. `version`: the server's
/// `server_version_num`.
pub(super) fn unhindered(version: Option<u32>) -> String {
    let limits = LIMITS.iter().filter(|(since, _)| *since <= version.unwrap_or_default());
    let limits: Vec<_> = limits.map(|(_, limit)| format!("SET {limit} = 0; ")).collect();
    format!(
        "{}SET default_transaction_read_only = off; SET default_transaction_deferrable = off; \
         SET default_transaction_isolation = 'read committed'; SET ROLE NONE",
        limits.concat()
    )
}

/// SQL: whether the server takes no writes in a session that begins as the login's do: it is a standby, or transactions only
/// read by default. The operator's own sessions have another value of that setting ([`unhindered`]).
pub(super) const IS_READ_ONLY: &str = "(pg_catalog.pg_is_in_recovery() OR EXISTS (SELECT FROM pg_catalog.pg_settings \
    WHERE name OPERATOR(pg_catalog.=) 'default_transaction_read_only' AND reset_val OPERATOR(pg_catalog.=) 'on'))";

/// How long a statement of the operator's own waits for a lock.
pub(super) const LOCK_TIMEOUT: &str = "10s";

/// The statements at the start of a transaction.
fn beginning() -> [String; 4] {
    let local = |setting: &str| format!("SET LOCAL {setting}");
    [
        "BEGIN".into(),
        local(OWN_PATH),
        local(NO_JIT),
        local(&format!("lock_timeout = '{LOCK_TIMEOUT}'")),
    ]
}

/// SQL: a text as a literal, which means the same whatever `standard_conforming_strings` says.
pub(super) fn literal(text: &str) -> String {
    escape_literal(text)
}

/// SQL: an array of texts.
pub(super) fn literals<T: AsRef<str>>(texts: &[T]) -> String {
    let texts: Vec<_> = texts.iter().map(|text| literal(text.as_ref())).collect();
    format!("ARRAY[{}]::text[]", texts.join(", "))
}

/// Sends several queries in one message, because a round trip to a distant server takes tens of milliseconds. Each
/// query is one statement whose identifiers and literals are quoted. The rows of each, in their order.
pub(super) async fn ask<const N: usize>(conn: &mut PgConnection, queries: [String; N]) -> Result<[Vec<PgRow>; N]> {
    answers(conn, &[], queries, &[]).await
}

/// As [`ask`], in a transaction of its own, as of [`begin`], all of which is one message.
pub(super) async fn look<const N: usize>(conn: &mut PgConnection, queries: [String; N]) -> Result<[Vec<PgRow>; N]> {
    match answers(conn, &beginning(), queries, &["COMMIT".to_owned()]).await {
        Ok(answers) => Ok(answers),
        Err(error) => roll_back(conn, error).await,
    }
}

async fn answers<const N: usize>(
    conn: &mut PgConnection,
    before: &[String],
    queries: [String; N],
    after: &[String],
) -> Result<[Vec<PgRow>; N]> {
    let statements: Vec<_> = before.iter().chain(&queries).chain(after).map(String::as_str).collect();
    let mut answers = [const { Vec::new() }; N];
    let (mut ended, mut count) = (0_usize, Count::default());
    let mut stream = sqlx::raw_sql(AssertSqlSafe(statements.join("; "))).fetch_many(conn);
    while let Some(item) = stream.try_next().await? {
        match item {
            Either::Left(_) => ended += 1,
            Either::Right(row) => {
                count.add(&row, "roles, rights or objects of one kind", ROWS)?;
                if let Some(rows) = ended.checked_sub(before.len()).and_then(|query| answers.get_mut(query)) {
                    rows.push(row);
                }
            }
        }
    }
    Ok(answers)
}

/// Begins a transaction in which names mean what [`OWN_PATH`] says.
pub(crate) async fn begin(conn: &mut PgConnection) -> Result<()> {
    match run(conn, beginning().join("; ")).await {
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

/// The first row of an answer that has one.
pub(super) fn first(rows: &[PgRow]) -> Result<&PgRow> {
    rows.first().ok_or_else(|| sqlx::Error::RowNotFound.into())
}

/// As [`run`], in a transaction that continues when the server refuses with one of these SQLSTATEs. Returns whether it was
/// done.
pub(super) async fn permitted(conn: &mut PgConnection, sql: String, refusals: &[&str]) -> Result<bool> {
    match run(conn, format!("SAVEPOINT tried; {sql}; RELEASE tried")).await {
        Ok(()) => Ok(true),
        Err(Error::Refused { sqlstate, .. }) if refusals.contains(&sqlstate.as_str()) => {
            run(conn, "ROLLBACK TO tried; RELEASE tried".to_owned())
                .await
                .map(|()| false)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_gets_the_settings_that_it_has() {
        for (version, idle, transaction) in [
            (None, false, false),
            (Some(130_022), false, false),
            (Some(140_000), true, false),
            (Some(170_002), true, true),
        ] {
            let sql = unhindered(version);
            assert!(sql.starts_with("SET statement_timeout = 0; "), "{sql}");
            assert_eq!(sql.contains("; SET idle_session_timeout = 0;"), idle, "{sql}");
            assert_eq!(sql.contains("; SET transaction_timeout = 0;"), transaction, "{sql}");
        }
    }
}
