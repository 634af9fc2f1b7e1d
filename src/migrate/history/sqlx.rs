//! The table `_sqlx_migrations` of sqlx 0.5 to 0.9: one row for each version, written in its script's transaction.

use std::time::Duration;

use ::sqlx::{AssertSqlSafe, PgConnection, Row};
use futures::TryStreamExt as _;

use super::record::{History, MAX_TEXT, ReadRecord};
use crate::migrate::error::Result;
use crate::migrate::source::{Migration, MigrationId};
use crate::migrate::unfinished::Unfinished;

pub(super) async fn read(history: &mut History, conn: &mut PgConnection) -> Result<()> {
    let sql = format!(
        "SELECT version, success, pg_catalog.substring(checksum, 1, {MAX_TEXT}), to_char(installed_on AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS UTC') FROM {}",
        history.table()
    );
    let mut rows = ::sqlx::query(AssertSqlSafe(sql)).fetch(conn);
    let mut read = ReadRecord::default();
    while let Some(row) = rows.try_next().await? {
        history.check_size(&mut read, &row)?;
        let version: i64 = row.try_get(0)?;
        if !row.try_get::<bool, _>(1)? {
            history.unfinished.push(Unfinished {
                id: version.to_string(),
                name: version.to_string(),
                started_at: row.try_get(3)?,
                checksum: hex::encode(row.try_get::<Vec<u8>, _>(2)?),
                logs: String::new(),
            });
            continue;
        }
        let checksum: Vec<u8> = row.try_get(2)?;
        history
            .applied
            .insert(MigrationId::Number(version), Some(hex::encode(checksum)));
    }
    Ok(())
}

pub(super) async fn prepare(history: &History, conn: &mut PgConnection) -> Result<()> {
    if !history.present {
        let sql = format!(
            "CREATE TABLE {} (
    version BIGINT PRIMARY KEY,
    description TEXT NOT NULL,
    installed_on TIMESTAMPTZ NOT NULL DEFAULT now(),
    success BOOLEAN NOT NULL,
    checksum BYTEA NOT NULL,
    execution_time BIGINT NOT NULL
)",
            history.table()
        );
        ::sqlx::raw_sql(AssertSqlSafe(sql)).execute(conn).await?;
    }
    Ok(())
}

/// Writes the row of a version. The duration is not known yet: -1, as sqlx writes it.
pub(super) async fn insert(history: &History, conn: &mut PgConnection, migration: &Migration) -> Result<()> {
    let sql = format!(
        "INSERT INTO {} (version, description, success, checksum, execution_time) \
         VALUES ($1, $2, TRUE, pg_catalog.decode($3, 'hex'), -1)",
        history.table()
    );
    let inserted = ::sqlx::query(AssertSqlSafe(sql))
        .persistent(false)
        .bind(version(migration))
        .bind(&migration.title)
        .bind(&migration.checksum)
        .execute(conn)
        .await;
    history.inserted(migration, inserted)
}

/// Records the duration in nanoseconds, in a statement of its own, as sqlx does.
pub(super) async fn took(
    history: &History,
    conn: &mut PgConnection,
    migration: &Migration,
    took: Duration,
) -> Result<()> {
    let sql = format!(
        "UPDATE {} SET execution_time = $1 WHERE version OPERATOR(pg_catalog.=) $2",
        history.table()
    );
    ::sqlx::query(AssertSqlSafe(sql))
        .bind(i64::try_from(took.as_nanos()).unwrap_or(i64::MAX))
        .bind(version(migration))
        .execute(conn)
        .await?;
    Ok(())
}

fn version(migration: &Migration) -> i64 {
    match migration.identity {
        MigrationId::Number(version) => version,
        // All migrations of an sqlx source have numbers.
        MigrationId::Text(_) => 0,
    }
}
