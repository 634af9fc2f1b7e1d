//! Prisma's history table, `_prisma_migrations`. The layout and the meaning of its rows are those
//! of Prisma Migrate up to version 7, so that Prisma itself can go on from here.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, PgConnection, Row};

use super::source::{Migration, Mode, Source, hex};
use super::{Error, Result, ScriptFailure};
use crate::postgres::{begin, quote};

/// Ends the `logs` of a row whose script left nothing behind: the operator may mark it rolled back
/// without asking.
const NOTHING_KEPT: &str = "orchestra-operator: nothing of this script was kept.";

/// What the database records.
pub(super) struct History {
    schema: String,
    /// The table exists.
    present: bool,
    /// Checksums of the applied migrations by name.
    applied: BTreeMap<String, String>,
    /// Unfinished rows that may be marked rolled back.
    retry: Vec<String>,
}

impl History {
    /// Reads; writes nothing.
    pub async fn read(conn: &mut PgConnection) -> Result<Self> {
        let schema: Option<String> = sqlx::query_scalar("SELECT pg_catalog.current_schema()::pg_catalog.text")
            .fetch_one(&mut *conn)
            .await?;
        begin(conn).await?;
        let history = Self::look(conn, schema.unwrap_or_else(|| "public".to_owned())).await;
        sqlx::raw_sql("ROLLBACK").execute(conn).await?;
        history
    }

    async fn look(conn: &mut PgConnection, schema: String) -> Result<Self> {
        let contract: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'prisma_contract')")
                .fetch_one(&mut *conn)
                .await?;
        if contract {
            return Err(Error::OtherTool("Prisma 8 (schema prisma_contract)"));
        }
        let mut history = Self {
            schema,
            present: false,
            applied: BTreeMap::new(),
            retry: Vec::new(),
        };
        history.present = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pg_tables WHERE schemaname = $1 AND tablename = '_prisma_migrations')",
        )
        .bind(&history.schema)
        .fetch_one(&mut *conn)
        .await?;
        if history.present {
            history.rows(conn).await?;
        } else {
            history.check_empty(conn).await?;
        }
        Ok(history)
    }

    async fn rows(&mut self, conn: &mut PgConnection) -> Result<()> {
        let rows = sqlx::query(AssertSqlSafe(format!(
            "SELECT id, migration_name, checksum, finished_at IS NOT NULL, coalesce(logs, ''), \
                 to_char(started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS UTC') \
             FROM {} WHERE rolled_back_at IS NULL ORDER BY started_at",
            self.table()
        )))
        .fetch_all(conn)
        .await?;
        for row in rows {
            let (id, name): (String, String) = (row.try_get(0)?, row.try_get(1)?);
            let logs: String = row.try_get(4)?;
            if row.try_get(3)? {
                self.applied.insert(name, row.try_get(2)?);
            } else if logs.ends_with(NOTHING_KEPT) {
                self.retry.push(id);
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
    async fn check_empty(&self, conn: &mut PgConnection) -> Result<()> {
        let table: Option<String> = sqlx::query_scalar(
            "SELECT relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace \
             WHERE nspname = $1 AND relkind = 'r' AND relname <> 'spatial_ref_sys' ORDER BY 1 LIMIT 1",
        )
        .bind(&self.schema)
        .fetch_optional(conn)
        .await?;
        match table {
            Some(table) => Err(Error::NotEmpty {
                schema: self.schema.clone(),
                table,
            }),
            None => Ok(()),
        }
    }

    fn table(&self) -> String {
        format!("{}._prisma_migrations", quote(&self.schema))
    }

    /// Whether the history records the migration as applied.
    pub fn has(&self, name: &str) -> bool {
        self.applied.contains_key(name)
    }

    /// Names of applied migrations whose script has changed since.
    pub fn edited(&self, source: &Source) -> Vec<String> {
        source
            .migrations()
            .iter()
            .filter(|migration| {
                self.applied
                    .get(&migration.name)
                    .is_some_and(|sum| !matches(sum, migration))
            })
            .map(|migration| migration.name.clone())
            .collect()
    }

    /// Makes the table, and marks rolled back what left nothing behind. The lock must be held.
    pub async fn prepare(&mut self, conn: &mut PgConnection) -> Result<()> {
        if !self.present {
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
                self.table()
            );
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *conn).await?;
            self.present = true;
        }
        for id in self.retry.drain(..).collect::<Vec<_>>() {
            let sql = format!(
                "UPDATE {} SET rolled_back_at = pg_catalog.clock_timestamp() WHERE id = $1",
                self.table()
            );
            sqlx::query(AssertSqlSafe(sql)).bind(id).execute(&mut *conn).await?;
        }
        Ok(())
    }

    /// Writes a migration's row, finished or begun. Returns its id.
    pub async fn insert(&self, conn: &mut PgConnection, migration: &Migration, finished: bool) -> Result<String> {
        let id = uuid::Uuid::new_v4().to_string();
        let sql = format!(
            "INSERT INTO {} (id, checksum, migration_name, started_at, finished_at, applied_steps_count) \
             SELECT $1, $2, $3, at, CASE WHEN $4 THEN at END, CASE WHEN $4 THEN 1 ELSE 0 END \
             FROM pg_catalog.clock_timestamp() AS at",
            self.table()
        );
        sqlx::query(AssertSqlSafe(sql))
            .bind(&id)
            .bind(&migration.checksum)
            .bind(&migration.name)
            .bind(finished)
            .execute(conn)
            .await?;
        Ok(id)
    }

    /// Marks the row finished.
    pub async fn finish(&self, conn: &mut PgConnection, id: &str) -> Result<()> {
        let sql = format!(
            "UPDATE {} SET finished_at = pg_catalog.clock_timestamp(), applied_steps_count = 1 WHERE id = $1",
            self.table()
        );
        sqlx::query(AssertSqlSafe(sql)).bind(id).execute(conn).await?;
        Ok(())
    }

    /// Records why the script failed, in Prisma's words (P3018), so that Prisma too stops here.
    pub async fn fail(
        &self,
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
        let sql = format!("UPDATE {} SET logs = $2 WHERE id = $1", self.table());
        sqlx::query(AssertSqlSafe(sql))
            .bind(id)
            .bind(logs)
            .execute(conn)
            .await?;
        Ok(())
    }

    /// Takes note of a migration that has just been applied.
    pub fn applied(&mut self, migration: &Migration) {
        self.applied.insert(migration.name.clone(), migration.checksum.clone());
    }
}

/// As Prisma compares: the file as it is, or with the other line ends.
fn matches(recorded: &str, migration: &Migration) -> bool {
    let sum = |text: &str| hex(&Sha256::digest(text));
    recorded == migration.checksum || {
        let unix = migration.script.replace("\r\n", "\n");
        recorded == sum(&unix) || recorded == sum(&unix.replace('\n', "\r\n"))
    }
}
