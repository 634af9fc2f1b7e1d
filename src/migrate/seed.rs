//! The seed: scripts and tables with a database's first data. They run as the database's owner, in one transaction
//! with the record that they ran. The record is in the operator's own schema, which Prisma does not look at and the
//! tenant has no rights on.

mod csv;
mod csv_records;
mod review;
mod seed_files;
mod sequences;
mod source;
mod variables;

use std::time::Duration;

use sqlx::{AssertSqlSafe, PgConnection, Row};
use tokio::time::timeout;

use self::seed_files::SeedFiles;
use self::source::SeedPart;
use super::error::{Error, Result};
use super::failure::{RecordSpoiled, ScriptFailure};
use super::options::TimeLimits;
use super::redact::{self, Origin};
use super::run::{ScriptError, run};
use super::session::{escapes_by_default, ours, ours_inside, theirs};
use super::source_error::line_and_column;
use crate::api::{MigrationFormat, SeedPolicy};
use crate::postgres::{self, OPERATOR_SCHEMA, SoundRecords, begin, check_record, column, quote};

pub use review::review_seed;
pub use sequences::{SequenceBehind, sequences_behind};
pub use source::{Script, SeedSource};
pub use variables::{Rendered, SeedVariables};

/// The advisory lock that keeps two operators from seeding a database at the same time. "seed" in ASCII.
const LOCK: i64 = 0x7365_6564;

/// The outcome of [`seed`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SeedOutcome {
    /// The seed ran and is recorded.
    Applied,
    /// The policy asks for no further run; this is the newest record.
    AlreadySeeded(Seeded),
}

/// The record of a seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seeded {
    /// Digest of what ran, see [`SeedSource::digest`].
    pub digest: String,
    /// When it ran, in UTC, as RFC 3339.
    pub applied_at: String,
}

/// Reads which seed ran last in this database. Writes nothing.
///
/// # Errors
/// [`Error::Database`].
pub async fn seeded(conn: &mut PgConnection) -> Result<Option<Seeded>> {
    begin(conn).await?;
    let newest = newest(conn).await;
    sqlx::raw_sql("ROLLBACK").execute(conn).await?;
    newest
}

/// The newest record. The transaction must be one of [`begin`].
async fn newest(conn: &mut PgConnection) -> Result<Option<Seeded>> {
    if !check_record(conn, OPERATOR_SCHEMA, "seed").await? {
        return Ok(None);
    }
    let row = sqlx::query(AssertSqlSafe(format!(
        "SELECT pg_catalog.left(digest, 128), pg_catalog.to_char(applied_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') \
         FROM {OPERATOR_SCHEMA}.seed ORDER BY applied_at DESC LIMIT 1"
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

/// Runs the seed, unless the policy is met by the seed that ran last. The function owns the connection and returns
/// it only after success. If the migrations have the Supabase CLI's format, the CLI's table of seeds is written too,
/// and scripts that it records as applied are not run by the first seed.
///
/// # Errors
/// [`Error::Source`] before anything is written; [`Error::SeedFailed`] and [`Error::RowFailed`] after the whole
/// seed is rolled back; [`Error::Locked`] while another session applies a seed.
pub async fn seed(
    mut conn: PgConnection,
    source: &SeedSource,
    variables: &SeedVariables,
    policy: SeedPolicy,
    format: Option<MigrationFormat>,
    limit: Duration,
) -> Result<(PgConnection, SeedOutcome)> {
    let digest = source.digest(variables)?;
    let work = async {
        ours(&mut conn, TimeLimits::default()).await?;
        lock(&mut conn, "pg_try_advisory_lock").await?;
        begin(&mut conn).await?;
        let newest = newest(&mut conn).await?;
        let is_met = |seeded: &Seeded| policy.is_met_by(&seeded.digest, &digest);
        let before = match newest {
            Some(newest) if is_met(&newest) => Err(newest),
            newest => {
                check_strings(&mut conn, source).await?;
                Ok(before(&mut conn, newest, format).await?)
            }
        };
        sqlx::raw_sql("COMMIT").execute(&mut conn).await?;
        let outcome = match before {
            Err(newest) => SeedOutcome::AlreadySeeded(newest),
            Ok(before) => {
                sqlx::raw_sql("BEGIN").execute(&mut conn).await?;
                inside(&mut conn, source, variables, policy, before, &digest).await?;
                match sqlx::raw_sql("COMMIT").execute(&mut conn).await {
                    Ok(_) => {}
                    // Deferred constraints are checked only here.
                    Err(error) => {
                        let name = source.parts().last().map_or("", SeedPart::file);
                        return Err(failed(ScriptError::new(name, "", 0, 0, error)));
                    }
                }
                SeedOutcome::Applied
            }
        };
        ours(&mut conn, TimeLimits::default()).await?;
        sqlx::query("SELECT pg_advisory_unlock($1)")
            .bind(LOCK)
            .execute(&mut conn)
            .await?;
        Ok::<_, Error>(outcome)
    };
    match timeout(limit, work).await.map_err(|_| Error::SeedTimeout(limit))? {
        Ok(outcome) => Ok((conn, outcome)),
        Err(error) => {
            // The next attempt may come before the server has noticed the end of this session.
            let freed = sqlx::raw_sql("ROLLBACK; SELECT pg_catalog.pg_advisory_unlock_all()").execute(&mut conn);
            if !matches!(timeout(FREED, freed).await, Ok(Ok(_))) {
                tracing::debug!("the lock of seeds is free when the session has ended");
            }
            Err(error)
        }
    }
}

/// How long the lock of a seed that failed may take to be given back.
const FREED: std::time::Duration = std::time::Duration::from_secs(5);

/// Fails if a script means something else by the settings of the database.
async fn check_strings(conn: &mut PgConnection, source: &SeedSource) -> Result<()> {
    let Some(script) = source.scripts().find(|script| script.text().contains('\\')) else {
        return Ok(());
    };
    if !escapes_by_default(conn).await? {
        return Ok(());
    }
    Err(Error::StringsDiffer {
        script: format!("seed {}", script.file),
        of_seed: true,
    })
}

/// Takes the lock of seeds, which this session may hold already.
async fn lock(conn: &mut PgConnection, function: &str) -> Result<()> {
    let got: bool = sqlx::query_scalar(AssertSqlSafe(format!("SELECT {function}($1)")))
        .bind(LOCK)
        .fetch_one(conn)
        .await?;
    if got {
        return Ok(());
    }
    Err(Error::Locked {
        holder: "a session that applies a seed".to_owned(),
    })
}

/// The record in a database before its seed runs.
struct SeedHistory {
    newest: Option<Seeded>,
    files: Option<SeedFiles>,
    sound: SoundRecords,
}

/// Reads what is recorded. The transaction must be one of [`begin`].
async fn before(
    conn: &mut PgConnection,
    newest: Option<Seeded>,
    format: Option<MigrationFormat>,
) -> Result<SeedHistory> {
    let files = match format {
        Some(MigrationFormat::Supabase) => Some(SeedFiles::read(conn).await?),
        _ => None,
    };
    Ok(SeedHistory {
        newest,
        files,
        sound: SoundRecords::look(conn, None).await?,
    })
}

/// Runs the seed in a transaction that has just started: its first script may start with a statement that must be the first
/// one in a transaction (`SET TRANSACTION`). The record comes after the scripts.
async fn inside(
    conn: &mut PgConnection,
    source: &SeedSource,
    variables: &SeedVariables,
    policy: SeedPolicy,
    before: SeedHistory,
    digest: &str,
) -> Result<()> {
    let SeedHistory {
        newest: last,
        files,
        sound,
    } = before;
    for part in source.parts() {
        theirs(conn, TimeLimits::default()).await?;
        match part {
            SeedPart::Table(table) => table.copy(conn).await?,
            SeedPart::Script(script)
                if last.is_none() && files.as_ref().is_some_and(|files| files.hold(script, policy)) => {}
            SeedPart::Script(script) => send(conn, script, variables).await?,
        }
    }
    ours_inside(conn).await?;
    // A script may have released the lock.
    lock(conn, "pg_try_advisory_xact_lock").await?;
    if let Some(flaw) = sound.flaw(conn).await? {
        return Err(spoiled(flaw.what));
    }
    record(conn, last.as_ref(), digest).await.map_err(blamed)?;
    match files {
        Some(files) => files.record(conn, source.scripts()).await.map_err(blamed),
        None => Ok(()),
    }
}

/// Writes the record, unless another session has written one since.
async fn record(conn: &mut PgConnection, last: Option<&Seeded>, digest: &str) -> Result<()> {
    if newest(conn).await?.as_ref() != last {
        return Err(Error::Locked {
            holder: "a session that has applied a seed".to_owned(),
        });
    }
    make_table(conn).await?;
    // A seed that runs again becomes the newest record, even if the server's clock was set back.
    sqlx::query(AssertSqlSafe(format!(
        "INSERT INTO {OPERATOR_SCHEMA}.seed (digest, applied_at) SELECT $1, \
             greatest(now(), (SELECT max(applied_at) + interval '1 microsecond' FROM {OPERATOR_SCHEMA}.seed)) \
         ON CONFLICT (digest) DO UPDATE SET applied_at = excluded.applied_at"
    )))
    .bind(digest)
    .execute(conn)
    .await?;
    Ok(())
}

/// The seed is rolled back, because a script has changed a table that records what was applied.
fn spoiled(what: String) -> Error {
    Error::RecordSpoiled(Box::new(RecordSpoiled {
        migration: None,
        what,
        cure: None,
        kept: false,
    }))
}

/// An error of the record after the scripts: what the server refuses then is caused by their changes to its table.
fn blamed(error: Error) -> Error {
    match &error {
        Error::Database(postgres::Error::Untrusted(what)) => spoiled(what.clone()),
        Error::Database(refused) => match RecordSpoiled::by(None, &format!("{OPERATOR_SCHEMA}.seed"), refused) {
            Some(failure) => spoiled(failure.what),
            None => error,
        },
        _ => error,
    }
}

async fn send(conn: &mut PgConnection, script: &Script, variables: &SeedVariables) -> Result<()> {
    if script.is_constant() {
        return run(conn, &script.file, script.text()).await.map_err(failed);
    }
    let rendered = script.render(variables)?;
    let outcome = run(conn, &script.file, &rendered.text).await;
    outcome.map_err(|error| match failed(error) {
        Error::SeedFailed(failure) => Error::SeedFailed(Box::new(as_written(*failure, script, &rendered))),
        other => other,
    })
}

/// Translates the position of a failure from the text that was sent to the script as the user wrote it. What the server
/// quotes of a variable's value is not shown.
fn as_written(failure: ScriptFailure, script: &Script, rendered: &Rendered) -> ScriptFailure {
    let line = rendered.text.split_inclusive('\n').take(failure.line.saturating_sub(1));
    let start: usize = line.map(str::len).sum();
    let before = rendered.text[start..].chars().take(failure.column.saturating_sub(1));
    let at = start + before.map(char::len_utf8).sum::<usize>();
    let (line, column) = line_and_column(script.text(), rendered.origin(at));
    let written = redact::quotes_only(&failure.message, script.text());
    ScriptFailure {
        line,
        column,
        origin: if written { failure.origin } else { Origin::Code },
        ..failure
    }
}

fn failed(error: ScriptError) -> Error {
    match error {
        ScriptError::Failed(failure) => Error::SeedFailed(failure),
        ScriptError::Database(error) => Error::Database(error),
    }
}

/// Creates the record's table, and revokes the rights on it that default privileges grant to other roles.
async fn make_table(conn: &mut PgConnection) -> Result<()> {
    sqlx::raw_sql(AssertSqlSafe(format!(
        "CREATE SCHEMA IF NOT EXISTS {OPERATOR_SCHEMA}; \
         CREATE TABLE IF NOT EXISTS {OPERATOR_SCHEMA}.seed \
             (digest text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
    )))
    .execute(&mut *conn)
    .await?;
    let granted = sqlx::query(
        "SELECT DISTINCT CASE grantee WHEN 0 THEN 'public' ELSE pg_get_userbyid(grantee)::text END \
         FROM (SELECT nspowner AS owner, (aclexplode(nspacl)).grantee FROM pg_namespace WHERE nspname = $1 \
             UNION SELECT relowner, (aclexplode(relacl)).grantee FROM pg_class c \
                 JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = $1) a \
         WHERE grantee <> owner",
    )
    .bind(OPERATOR_SCHEMA);
    for other in column(conn, "rights of others on the operator's records", granted).await? {
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
