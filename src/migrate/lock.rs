//! The advisory lock of each tool, so that the operator and a developer's tool never migrate a database at the
//! same time.

use std::time::Duration;

use crc::{CRC_32_ISO_HDLC, Crc};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row};
use tokio::time::{Instant, sleep};

use super::error::{Error, Result};
use crate::api::MigrationFormat as Format;
use crate::postgres::APPLICATION;

/// The lock of Prisma Migrate (schema-engine, `sql-schema-connector`).
const PRISMA: i64 = 72_707_369;
/// The factor of sqlx's lock: sqlx multiplies it with a checksum of the database's name (sqlx-postgres,
/// `migrate.rs`).
const SQLX: i64 = 0x3d32_ad9e;
/// The Supabase CLI takes no lock, so this one excludes only other operators. "supabase" in ASCII.
const SUPABASE: i64 = 0x7375_7061_6261_7365;

/// A lock that this session has taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lock {
    key: i64,
    limit: Duration,
}

impl Lock {
    /// Takes the lock of a format, see [`take`].
    pub async fn take(conn: &mut PgConnection, format: Format, limit: Duration) -> Result<Self> {
        let key = key(conn, format).await?;
        take(conn, key, limit).await?;
        Ok(Self { key, limit })
    }

    /// Takes the lock again if a script has released it (`DISCARD ALL`, `pg_advisory_unlock_all`).
    pub async fn keep(self, conn: &mut PgConnection) -> Result<()> {
        let sql = format!(
            "SELECT EXISTS (SELECT FROM pg_catalog.pg_locks WHERE locktype OPERATOR(pg_catalog.=) 'advisory' AND granted \
                 AND pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid() AND objsubid OPERATOR(pg_catalog.=) 1 \
                 AND classid::pg_catalog.int8 OPERATOR(pg_catalog.=) {} AND objid::pg_catalog.int8 OPERATOR(pg_catalog.=) {})",
            (self.key >> 32) & 0xffff_ffff,
            self.key & 0xffff_ffff
        );
        let row = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_one(&mut *conn).await?;
        if row.try_get(0)? {
            return Ok(());
        }
        tracing::info!("a script has released the migration lock; it is taken again");
        // The script may have removed the driver's prepared statements as well.
        conn.clear_cached_statements().await?;
        take(conn, self.key, self.limit).await
    }

    /// Releases the lock.
    pub async fn release(self, conn: &mut PgConnection) -> Result<()> {
        sqlx::query("SELECT pg_catalog.pg_advisory_unlock($1)")
            .bind(self.key)
            .execute(conn)
            .await?;
        Ok(())
    }
}

/// The session that holds a lock.
struct LockHolder {
    process: i32,
    /// Application, address, process and start time, for messages.
    description: String,
    /// It is a session of an operator with the same login.
    ours: bool,
}

/// The key of a format's lock in the current database.
async fn key(conn: &mut PgConnection, format: Format) -> Result<i64> {
    Ok(match format {
        Format::Prisma => PRISMA,
        Format::Supabase => SUPABASE,
        Format::Sqlx => {
            let database: String = sqlx::query_scalar("SELECT pg_catalog.current_database()::pg_catalog.text")
                .fetch_one(conn)
                .await?;
            SQLX.wrapping_mul(i64::from(
                Crc::<u32>::new(&CRC_32_ISO_HDLC).checksum(database.as_bytes()),
            ))
        }
    })
}

/// Takes the lock, and tries again until `limit` is over. A session that waits inside `pg_advisory_lock` would
/// hold a snapshot, for which a concurrent index build of the lock's holder waits. After half of the time, a
/// session that another operator left is terminated: only one operator leads, and it does one piece of work at a
/// time for a database.
async fn take(conn: &mut PgConnection, key: i64, limit: Duration) -> Result<()> {
    let started = Instant::now();
    let mut ended = false;
    loop {
        let got: bool = sqlx::query_scalar("SELECT pg_catalog.pg_try_advisory_lock($1)")
            .bind(key)
            .fetch_one(&mut *conn)
            .await?;
        if got {
            return Ok(());
        }
        if started.elapsed() >= limit {
            break;
        }
        if !ended && started.elapsed() >= limit / 2 {
            ended = true;
            end_orphan(conn, key).await?;
        }
        sleep(Duration::from_millis(250).min(limit)).await;
    }
    let holder = holder(conn, key).await?;
    Err(Error::Locked {
        holder: holder.map_or_else(
            || "a session that has just released it".to_owned(),
            |holder| holder.description,
        ),
    })
}

async fn end_orphan(conn: &mut PgConnection, key: i64) -> Result<()> {
    let Some(orphan) = holder(conn, key).await?.filter(|holder| holder.ours) else {
        return Ok(());
    };
    tracing::warn!(
        holder = orphan.description,
        "terminating a session of an earlier operator that still holds the migration lock"
    );
    sqlx::query("SELECT pg_catalog.pg_terminate_backend($1)")
        .bind(orphan.process)
        .execute(conn)
        .await?;
    Ok(())
}

async fn holder(conn: &mut PgConnection, key: i64) -> Result<Option<LockHolder>> {
    let row = sqlx::query(
        "SELECT l.pid, pg_catalog.format('%s from %s, process %s, session since %s UTC', \
             coalesce(nullif(application_name, ''), 'an application without name'), \
             coalesce(pg_catalog.host(client_addr), 'a local socket'), l.pid, \
             coalesce(pg_catalog.to_char(backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'), '?')), \
             coalesce(application_name = $3 AND usename = session_user, false) \
         FROM pg_locks l LEFT JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory' AND granted \
             AND database = (SELECT oid FROM pg_database WHERE datname = pg_catalog.current_database()) \
             AND classid::bigint = $1 AND objid::bigint = $2 AND objsubid = 1 LIMIT 1",
    )
    .bind((key >> 32) & 0xffff_ffff)
    .bind(key & 0xffff_ffff)
    .bind(APPLICATION)
    .fetch_optional(conn)
    .await?;
    row.map(|row| {
        Ok(LockHolder {
            process: row.try_get(0)?,
            description: row.try_get(1)?,
            ours: row.try_get(2)?,
        })
    })
    .transpose()
}
