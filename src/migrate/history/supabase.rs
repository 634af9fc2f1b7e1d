//! The table `supabase_migrations.schema_migrations` of the Supabase CLI's versions 2 and 3: one row for each version,
//! written in its script's transaction, and none for a failed one.

use ::sqlx::{AssertSqlSafe, PgConnection, Row};
use futures::TryStreamExt as _;

use super::record::{History, MAX_TEXT, ReadRecord};
use crate::migrate::error::Result;
use crate::migrate::mode::statements;
use crate::migrate::source::{Migration, MigrationId};

/// The CLI's own statements (`pkg/migration/history.go`).
const TABLES: &str = "CREATE SCHEMA IF NOT EXISTS supabase_migrations; \
     CREATE TABLE IF NOT EXISTS supabase_migrations.schema_migrations (version text NOT NULL PRIMARY KEY); \
     ALTER TABLE supabase_migrations.schema_migrations ADD COLUMN IF NOT EXISTS statements text[]; \
     ALTER TABLE supabase_migrations.schema_migrations ADD COLUMN IF NOT EXISTS name text";

/// As `fingerprint` of the [`divergence`](super::divergence), computed by the server: a row holds whole scripts. `translate`
/// takes up to four times the memory of its text, and PostgreSQL gives 1 GiB: a row with more than twice the longest script is
/// that of no script.
const DIGEST: &str = "CASE WHEN statements IS NOT NULL THEN ( \
         SELECT CASE WHEN pg_catalog.octet_length(script) OPERATOR(pg_catalog.<=) 134217728 \
             THEN pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to( \
                 pg_catalog.translate(script, E'\\t\\n\\x0b\\f\\r ;', ''), 'UTF8')), 'hex') \
             ELSE '' END \
         FROM pg_catalog.array_to_string(statements, '') AS one(script)) END";

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
    let digest = if has_columns(conn).await? {
        DIGEST
    } else {
        "NULL::pg_catalog.text"
    };
    let sql = format!(
        "SELECT pg_catalog.left(version, {MAX_TEXT}), {digest} FROM {}",
        history.table()
    );
    let mut rows = ::sqlx::query(AssertSqlSafe(sql)).fetch(conn);
    let mut read = ReadRecord::default();
    while let Some(row) = rows.try_next().await? {
        history.check_size(&mut read, &row)?;
        let version = MigrationId::Text(row.try_get(0)?);
        history.applied.insert(version, row.try_get(1)?);
    }
    Ok(())
}

pub(super) async fn prepare(conn: &mut PgConnection) -> Result<()> {
    if !has_columns(conn).await? {
        ::sqlx::raw_sql(TABLES).execute(conn).await?;
    }
    Ok(())
}

pub(super) async fn insert(history: &History, conn: &mut PgConnection, migration: &Migration) -> Result<()> {
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
    history.inserted(migration, inserted)
}
