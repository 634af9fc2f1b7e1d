//! Prisma's table `_prisma_migrations`. The columns and the meaning of the rows are those of Prisma Migrate up to
//! version 7.

use ::sqlx::{AssertSqlSafe, PgConnection, Row};
use futures::TryStreamExt as _;
use sha2::{Digest, Sha256};

use super::record::{History, MAX_TEXT, ReadRecord};
use crate::migrate::error::Result;
use crate::migrate::failure::ScriptFailure;
use crate::migrate::source::{Migration, MigrationId};
use crate::migrate::unfinished::{RESOLVED, Unfinished};

pub(super) async fn read(history: &mut History, conn: &mut PgConnection) -> Result<()> {
    // Only the last line of the logs matters.
    let sql = AssertSqlSafe(format!(
        "SELECT pg_catalog.left(id, {MAX_TEXT}), pg_catalog.left(migration_name, {MAX_TEXT}), \
             pg_catalog.left(checksum, {MAX_TEXT}), finished_at IS NOT NULL, \
             coalesce(pg_catalog.right(logs, {MAX_TEXT}), ''), \
             to_char(started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS UTC'), rolled_back_at IS NOT NULL \
         FROM {} ORDER BY started_at",
        history.table()
    ));
    let mut rows = ::sqlx::query(sql).fetch(conn);
    let mut read = ReadRecord::default();
    while let Some(row) = rows.try_next().await? {
        history.check_size(&mut read, &row)?;
        let (id, name): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        let logs: String = row.try_get(4)?;
        if row.try_get(6)? {
            if logs.ends_with(RESOLVED) {
                history.resolved.insert(name);
            }
        } else if row.try_get(3)? {
            history.applied.insert(MigrationId::Text(name), Some(row.try_get(2)?));
        } else {
            history.unfinished.push(Unfinished {
                id,
                name,
                started_at: row.try_get(5)?,
                checksum: row.try_get(2)?,
                logs,
            });
        }
    }
    Ok(())
}

pub(super) async fn prepare(history: &History, conn: &mut PgConnection) -> Result<()> {
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
    Ok(())
}

/// Writes the row of an applied migration, in its transaction. Returns its id.
pub(super) async fn insert(history: &History, conn: &mut PgConnection, migration: &Migration) -> Result<String> {
    let columns = "started_at, finished_at, applied_steps_count";
    write(history, conn, migration, columns, "pg_catalog.now(), at, 1", None).await
}

/// Writes the row of a migration that is started. Returns its id.
pub(super) async fn begin(
    history: &History,
    conn: &mut PgConnection,
    migration: &Migration,
    logs: Option<String>,
) -> Result<String> {
    write(history, conn, migration, "started_at", "at", logs).await
}

/// As `prisma migrate resolve --applied`: without steps, and with empty logs.
pub(super) async fn record(history: &History, conn: &mut PgConnection, migration: &Migration) -> Result<()> {
    let columns = "started_at, finished_at, applied_steps_count";
    write(history, conn, migration, columns, "at, at, 0", Some(String::new())).await?;
    Ok(())
}

async fn write(
    history: &History,
    conn: &mut PgConnection,
    migration: &Migration,
    columns: &str,
    values: &str,
    logs: Option<String>,
) -> Result<String> {
    let id = uuid::Uuid::new_v4().to_string();
    let sql = format!(
        "INSERT INTO {} (id, checksum, migration_name, logs, {columns}) \
         SELECT $1, $2, $3, $4, {values} FROM pg_catalog.clock_timestamp() AS at",
        history.table()
    );
    let written = ::sqlx::query(AssertSqlSafe(sql))
        .persistent(false)
        .bind(&id)
        .bind(&migration.checksum)
        .bind(&migration.name)
        .bind(logs)
        .execute(conn)
        .await;
    let written = written.map(|done| done.rows_affected() == 1).map_err(Into::into);
    history.written(migration, written)?;
    Ok(id)
}

/// Marks the row finished, as Prisma leaves it. Returns whether it is there.
pub(super) async fn finish(history: &History, conn: &mut PgConnection, id: &str) -> Result<bool> {
    let set = "finished_at = pg_catalog.clock_timestamp(), applied_steps_count = 1, logs = NULL";
    update(history, conn, id, set, None).await
}

/// Replaces the row's logs. Returns whether it is there.
pub(super) async fn log(history: &History, conn: &mut PgConnection, id: &str, logs: &str) -> Result<bool> {
    update(history, conn, id, "logs = $2", Some(logs)).await
}

/// As `prisma migrate resolve --rolled-back`; `by_user` adds to the logs that the user decided it.
pub(super) async fn roll_back(history: &History, conn: &mut PgConnection, id: &str, by_user: bool) -> Result<()> {
    let set = "rolled_back_at = pg_catalog.clock_timestamp(), logs = pg_catalog.concat(logs, $2)";
    let note = format!("\n\n{RESOLVED}");
    update(history, conn, id, set, Some(if by_user { &note } else { "" })).await?;
    Ok(())
}

/// Changes a row. It runs between the statements of a script as well: no name in it depends on the `search_path`, and
/// it is not prepared by a name that the script could take. Returns whether the row is there and not rolled back.
async fn update(history: &History, conn: &mut PgConnection, id: &str, set: &str, value: Option<&str>) -> Result<bool> {
    let sql = format!(
        "UPDATE {} SET {set} WHERE id OPERATOR(pg_catalog.=) $1 AND rolled_back_at IS NULL",
        history.table()
    );
    let query = ::sqlx::query(AssertSqlSafe(sql)).persistent(false).bind(id.to_owned());
    let done = match value {
        Some(value) => query.bind(value.to_owned()).execute(conn).await?,
        None => query.execute(conn).await?,
    };
    Ok(done.rows_affected() == 1)
}

/// Records why the script failed in Prisma's own text (P3018), so that Prisma stops at this migration too, and then
/// what is known of the script's changes, in one line: it is always there, so that nothing of the error is read as it.
pub(super) async fn fail(
    history: &History,
    conn: &mut PgConnection,
    id: &str,
    failure: &ScriptFailure,
    kept: &str,
) -> Result<bool> {
    let logs = format!(
        "A migration failed to apply. New migrations cannot be applied before the error is recovered from. \
         Read more about how to resolve migration issues in a production database: https://pris.ly/d/migrate-resolve\n\n\
         Migration name: {}\n\nDatabase error code: {}\n\nDatabase error:\nERROR: {}\n\n{kept}",
        failure.name, failure.sqlstate, failure.message
    );
    log(history, conn, id, &logs).await
}

/// As Prisma compares: the checksum of the file as it is, or with the other line ends, also as versions before 2021 wrote it.
pub(super) fn matches(recorded: &str, migration: &Migration) -> bool {
    let sum = |end: &str| {
        let (mut hash, mut lines) = (Sha256::new(), migration.script.split('\n'));
        let mut line = lines.next();
        while let Some(text) = line {
            line = lines.next();
            // A carriage return at the end of the script is no part of a line end.
            let is_last = line.is_none();
            hash.update(if is_last {
                text
            } else {
                text.strip_suffix('\r').unwrap_or(text)
            });
            hash.update(if is_last { "" } else { end });
        }
        hex::encode(hash.finalize())
    };
    let is = |sum: &str| recorded == sum || recorded.len() < sum.len() && recorded == unpadded(sum);
    is(&migration.checksum) || is(&sum("\n")) || is(&sum("\r\n"))
}

/// A checksum whose bytes are written without a leading zero (`{:x}`).
fn unpadded(sum: &str) -> String {
    let bytes = sum.as_bytes().chunks(2);
    let digits = bytes.flat_map(|byte| byte.strip_prefix(b"0").unwrap_or(byte));
    digits.map(|digit| char::from(*digit)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_of_an_old_checksum_loses_its_leading_zero() {
        let digest: [u8; 6] = [0x00, 0x0a, 0xa0, 0x10, 0xff, 0x01];
        let old: Vec<_> = digest.iter().map(|byte| format!("{byte:x}")).collect();
        assert_eq!(unpadded(&hex::encode(digest)), old.concat());
    }
}
