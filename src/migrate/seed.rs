//! The seed: scripts that run once in a database's life, as its owner, all in one transaction with
//! the record that they ran. The record is in the operator's own schema, where Prisma does not look
//! and the tenant has no right.

use std::time::Duration;

use sqlx::{AssertSqlSafe, PgConnection, Row};
use tokio::time::timeout;

use super::apply::{Limits, reset, set_up};
use super::policy::check_seed;
use super::run::{ScriptError, run};
use super::{Error, Result};
use crate::postgres::{OPERATOR_SCHEMA, begin, quote};

/// Two operators never seed at once. The number is "seed" in ASCII.
const LOCK: i64 = 0x7365_6564;

/// What [`seed`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SeedOutcome {
    /// The scripts ran and are recorded.
    Applied,
    /// A seed ran before, this one or another: nothing was done.
    AlreadySeeded(Seeded),
}

/// The record of a seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seeded {
    /// Digest of the scripts that ran.
    pub digest: String,
    /// When, in UTC, as RFC 3339.
    pub applied_at: String,
}

/// Reads which seed ran in this database. Writes nothing.
///
/// # Errors
/// [`Error::Database`].
pub async fn seeded(conn: &mut PgConnection) -> Result<Option<Seeded>> {
    let present: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_tables WHERE schemaname = $1 AND tablename = 'seed')")
            .bind(OPERATOR_SCHEMA)
            .fetch_one(&mut *conn)
            .await?;
    if !present {
        return Ok(None);
    }
    let row = sqlx::query(AssertSqlSafe(format!(
        "SELECT digest, pg_catalog.to_char(applied_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') \
         FROM {OPERATOR_SCHEMA}.seed ORDER BY applied_at LIMIT 1"
    )))
    .fetch_optional(conn)
    .await?;
    row.map(|row| {
        Ok(Seeded {
            digest: row.try_get(0)?,
            applied_at: row.try_get(1)?,
        })
    })
    .transpose()
}

/// Runs the scripts, pairs of name and text, unless a seed ran before (policy Once). Takes the
/// connection and gives it back only after success.
///
/// # Errors
/// [`Error::Source`] before the database is touched; [`Error::SeedFailed`], after which nothing of
/// the seed is kept; [`Error::Locked`] while another session seeds.
pub async fn seed(
    mut conn: PgConnection,
    files: &[(String, String)],
    digest: &str,
    limit: Duration,
) -> Result<(PgConnection, SeedOutcome)> {
    for (name, script) in files {
        check_seed(name, script)?;
    }
    let work = async {
        set_up(&mut conn, Limits::default()).await?;
        begin(&mut conn).await?;
        let outcome = inside(&mut conn, files, digest).await?;
        match sqlx::raw_sql("COMMIT").execute(&mut conn).await {
            Ok(_) => {}
            // A deferred constraint speaks up only here.
            Err(error) => {
                let name = files.last().map_or("", |(name, _)| name);
                return Err(failed(ScriptError::new(name, "", 0, 0, error)));
            }
        }
        set_up(&mut conn, Limits::default()).await?;
        Ok::<_, Error>(outcome)
    };
    let outcome = timeout(limit, work).await.map_err(|_| Error::SeedTimeout(limit))??;
    Ok((conn, outcome))
}

async fn inside(conn: &mut PgConnection, files: &[(String, String)], digest: &str) -> Result<SeedOutcome> {
    let got: bool = sqlx::query_scalar("SELECT pg_try_advisory_xact_lock($1)")
        .bind(LOCK)
        .fetch_one(&mut *conn)
        .await?;
    if !got {
        return Err(Error::Locked {
            holder: "it applies a seed".to_owned(),
        });
    }
    if let Some(before) = seeded(conn).await? {
        return Ok(SeedOutcome::AlreadySeeded(before));
    }
    make_table(conn).await?;
    sqlx::query(AssertSqlSafe(format!(
        "INSERT INTO {OPERATOR_SCHEMA}.seed (digest) VALUES ($1)"
    )))
    .bind(digest)
    .execute(&mut *conn)
    .await?;
    for (name, script) in files {
        reset(conn, Limits::default()).await?;
        run(conn, name, script).await.map_err(failed)?;
    }
    Ok(SeedOutcome::Applied)
}

fn failed(error: ScriptError) -> Error {
    match error {
        ScriptError::Failed(failure) => Error::SeedFailed(failure),
        ScriptError::Database(error) => Error::Database(error),
    }
}

/// Makes the record's table, and takes back what default privileges gave to others on it.
async fn make_table(conn: &mut PgConnection) -> Result<()> {
    sqlx::raw_sql(AssertSqlSafe(format!(
        "CREATE SCHEMA IF NOT EXISTS {OPERATOR_SCHEMA}; \
         CREATE TABLE IF NOT EXISTS {OPERATOR_SCHEMA}.seed \
             (digest text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
    )))
    .execute(&mut *conn)
    .await?;
    let others: Vec<String> = sqlx::query_scalar(
        "SELECT DISTINCT CASE grantee WHEN 0 THEN 'public' ELSE pg_get_userbyid(grantee)::text END \
         FROM (SELECT nspowner AS owner, (aclexplode(nspacl)).grantee FROM pg_namespace WHERE nspname = $1 \
             UNION SELECT relowner, (aclexplode(relacl)).grantee FROM pg_class c \
                 JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = $1) a \
         WHERE grantee <> owner",
    )
    .bind(OPERATOR_SCHEMA)
    .fetch_all(&mut *conn)
    .await?;
    for other in others {
        let other = if other == "public" { other } else { quote(&other) };
        sqlx::raw_sql(AssertSqlSafe(format!(
            "REVOKE ALL ON SCHEMA {OPERATOR_SCHEMA} FROM {other}; \
             REVOKE ALL ON ALL TABLES IN SCHEMA {OPERATOR_SCHEMA} FROM {other}"
        )))
        .execute(&mut *conn)
        .await?;
    }
    Ok(())
}
