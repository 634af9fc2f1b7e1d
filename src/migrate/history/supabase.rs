//! The table `supabase_migrations.schema_migrations` of the Supabase CLI's versions 2 and 3: one row for each version,
//! written in its script's transaction, and none for a failed one.

use ::sqlx::{AssertSqlSafe, PgConnection, Row};

use super::divergence::fingerprint;
use super::record::History;
use crate::migrate::error::{Error, Result};
use crate::migrate::mode::statements;
use crate::migrate::source::{Migration, MigrationId};
use crate::postgres;

/// The CLI's own statements (`pkg/migration/history.go`).
const TABLES: &str = "CREATE SCHEMA IF NOT EXISTS supabase_migrations; \
     CREATE TABLE IF NOT EXISTS supabase_migrations.schema_migrations (version text NOT NULL PRIMARY KEY); \
     ALTER TABLE supabase_migrations.schema_migrations ADD COLUMN IF NOT EXISTS statements text[]; \
     ALTER TABLE supabase_migrations.schema_migrations ADD COLUMN IF NOT EXISTS name text";

async fn has_columns(conn: &mut PgConnection) -> Result<bool> {
    Ok(::sqlx::query_scalar(
        "SELECT pg_catalog.count(*) = 2 FROM pg_catalog.pg_attribute a \
         JOIN pg_catalog.pg_class c ON c.oid = attrelid JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace \
         WHERE nspname = 'supabase_migrations' AND relname = 'schema_migrations' \
             AND attname IN ('statements', 'name') AND NOT attisdropped",
    )
    .fetch_one(conn)
    .await?)
}

pub(super) async fn read(history: &mut History, conn: &mut PgConnection) -> Result<()> {
    let statements = if has_columns(conn).await? {
        "statements"
    } else {
        "NULL::text[]"
    };
    let sql = format!("SELECT version, {statements} FROM {}", history.table());
    for row in ::sqlx::query(AssertSqlSafe(sql)).fetch_all(conn).await? {
        let recorded: Option<Vec<String>> = row.try_get(1)?;
        let version = MigrationId::Text(row.try_get(0)?);
        history
            .applied
            .insert(version, recorded.map(|recorded| fingerprint(&recorded)));
    }
    Ok(())
}

pub(super) async fn prepare(conn: &mut PgConnection) -> Result<()> {
    if !has_columns(conn).await? {
        ::sqlx::raw_sql(TABLES).execute(conn).await?;
    }
    Ok(())
}

pub(super) async fn insert(history: &History, conn: &mut PgConnection, migration: &Migration) -> Result<String> {
    let sql = format!(
        "INSERT INTO {} (version, name, statements) VALUES ($1, $2, $3)",
        history.table()
    );
    let inserted = ::sqlx::query(AssertSqlSafe(sql))
        .persistent(false)
        .bind(migration.identity.to_string())
        .bind(&migration.title)
        .bind(statements(&migration.script))
        .execute(conn)
        .await;
    match inserted {
        Ok(_) => Ok(String::new()),
        // The CLI takes no lock.
        Err(::sqlx::Error::Database(error)) if error.is_unique_violation() => Err(Error::Overtaken {
            name: migration.name.clone(),
        }),
        Err(error) => Err(Error::Database(postgres::Error::from(error))),
    }
}

/// As `supabase migration repair --status reverted`.
pub(super) async fn remove(history: &History, conn: &mut PgConnection, version: &MigrationId) -> Result<()> {
    let sql = format!(
        "DELETE FROM {} WHERE version OPERATOR(pg_catalog.=) $1",
        history.table()
    );
    ::sqlx::query(AssertSqlSafe(sql))
        .bind(version.to_string())
        .execute(conn)
        .await?;
    Ok(())
}
