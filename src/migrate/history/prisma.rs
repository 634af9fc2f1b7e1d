//! Prisma's `_prisma_migrations`. The layout and the meaning of its rows are those of Prisma Migrate
//! up to version 7.

use ::sqlx::{AssertSqlSafe, PgConnection, Row};
use sha2::{Digest, Sha256};

use super::History;
use crate::migrate::policy::Mode;
use crate::migrate::source::{Identity, Migration, hex};
use crate::migrate::{Error, Result, ScriptFailure};

/// Ends the `logs` of a row whose script left nothing behind: the operator may mark it rolled back
/// without asking.
const NOTHING_KEPT: &str = "orchestra-operator: nothing of this script was kept.";

pub(super) async fn read(history: &mut History, conn: &mut PgConnection) -> Result<()> {
    let rows = ::sqlx::query(AssertSqlSafe(format!(
        "SELECT id, migration_name, checksum, finished_at IS NOT NULL, coalesce(logs, ''), \
             to_char(started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS UTC') \
         FROM {} WHERE rolled_back_at IS NULL ORDER BY started_at",
        history.table()
    )))
    .fetch_all(conn)
    .await?;
    for row in rows {
        let (id, name): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        let logs: String = row.try_get(4)?;
        if row.try_get(3)? {
            history.applied.insert(Identity::Text(name), Some(row.try_get(2)?));
        } else if logs.ends_with(NOTHING_KEPT) {
            history.retry.push(id);
        } else {
            return Err(Error::Unfinished {
                name,
                started_at: row.try_get(5)?,
            });
        }
    }
    Ok(())
}

/// Prisma's P3005: tables without a history are somebody's work.
pub(super) async fn is_empty(conn: &mut PgConnection, schema: &str) -> Result<()> {
    let table: Option<String> = ::sqlx::query_scalar(
        "SELECT relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace \
         WHERE nspname = $1 AND relkind = 'r' AND relname <> 'spatial_ref_sys' ORDER BY 1 LIMIT 1",
    )
    .bind(schema)
    .fetch_optional(conn)
    .await?;
    match table {
        Some(table) => Err(Error::NotEmpty {
            schema: schema.to_owned(),
            table,
        }),
        None => Ok(()),
    }
}

pub(super) async fn prepare(history: &mut History, conn: &mut PgConnection) -> Result<()> {
    if !history.present {
        let sql = format!(
            "CREATE TABLE {} (
    id                      VARCHAR(36) PRIMARY KEY NOT NULL,
    checksum                VARCHAR(64) NOT NULL,
    finished_at             TIMESTAMPTZ,
    migration_name          VARCHAR(255) NOT NULL,
    logs                    TEXT,
    rolled_back_at          TIMESTAMPTZ,
    started_at              TIMESTAMPTZ NOT NULL DEFAULT now(),
    applied_steps_count     INTEGER NOT NULL DEFAULT 0
)",
            history.table()
        );
        ::sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *conn).await?;
    }
    for id in history.retry.drain(..).collect::<Vec<_>>() {
        let sql = format!(
            "UPDATE {} SET rolled_back_at = pg_catalog.clock_timestamp() WHERE id = $1",
            history.table()
        );
        ::sqlx::query(AssertSqlSafe(sql)).bind(id).execute(&mut *conn).await?;
    }
    Ok(())
}

/// Writes a migration's row, finished or begun. Returns its id.
pub(super) async fn insert(
    history: &History,
    conn: &mut PgConnection,
    migration: &Migration,
    finished: bool,
) -> Result<String> {
    let id = uuid::Uuid::new_v4().to_string();
    let sql = format!(
        "INSERT INTO {} (id, checksum, migration_name, started_at, finished_at, applied_steps_count) \
         SELECT $1, $2, $3, at, CASE WHEN $4 THEN at END, CASE WHEN $4 THEN 1 ELSE 0 END \
         FROM pg_catalog.clock_timestamp() AS at",
        history.table()
    );
    ::sqlx::query(AssertSqlSafe(sql))
        .bind(&id)
        .bind(&migration.checksum)
        .bind(&migration.name)
        .bind(finished)
        .execute(conn)
        .await?;
    Ok(id)
}

/// Marks the row finished.
pub(super) async fn finish(history: &History, conn: &mut PgConnection, id: &str) -> Result<()> {
    let sql = format!(
        "UPDATE {} SET finished_at = pg_catalog.clock_timestamp(), applied_steps_count = 1 WHERE id = $1",
        history.table()
    );
    ::sqlx::query(AssertSqlSafe(sql)).bind(id).execute(conn).await?;
    Ok(())
}

/// Records why the script failed, in Prisma's words (P3018), so that Prisma too stops here.
pub(super) async fn fail(
    history: &History,
    conn: &mut PgConnection,
    id: &str,
    migration: &Migration,
    failure: &ScriptFailure,
) -> Result<()> {
    let mut logs = format!(
        "A migration failed to apply. New migrations cannot be applied before the error is recovered from. \
         Read more about how to resolve migration issues in a production database: https://pris.ly/d/migrate-resolve\n\n\
         Migration name: {}\n\nDatabase error code: {}\n\nDatabase error:\nERROR: {}\n",
        failure.name, failure.sqlstate, failure.message
    );
    if migration.mode == Mode::Whole && !migration.own_transactions {
        logs.push('\n');
        logs.push_str(NOTHING_KEPT);
    }
    let sql = format!("UPDATE {} SET logs = $2 WHERE id = $1", history.table());
    ::sqlx::query(AssertSqlSafe(sql))
        .bind(id)
        .bind(logs)
        .execute(conn)
        .await?;
    Ok(())
}

/// As Prisma compares: the file as it is, or with the other line ends.
pub(super) fn matches(recorded: &str, migration: &Migration) -> bool {
    let sum = |text: &str| hex(&Sha256::digest(text));
    recorded == migration.checksum || {
        let unix = migration.script.replace("\r\n", "\n");
        recorded == sum(&unix) || recorded == sum(&unix.replace('\n', "\r\n"))
    }
}
