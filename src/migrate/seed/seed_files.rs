//! The Supabase CLI's `supabase_migrations.seed_files`: one row for each script of a seed, with its path in
//! the project and the SHA-256 of its bytes. The CLI does not run a script again that has a row, even if it changed.

use std::collections::BTreeMap;

use futures::TryStreamExt as _;
use sqlx::{AssertSqlSafe, PgConnection, Row};

use super::source::Script;
use crate::api::SeedPolicy;
use crate::migrate::error::Result;
use crate::postgres::{check_record, protect_records_inside};

/// The CLI's own statements (`pkg/migration/history.go`).
const TABLE: &str = "CREATE SCHEMA IF NOT EXISTS supabase_migrations; \
     CREATE TABLE IF NOT EXISTS supabase_migrations.seed_files (path text NOT NULL PRIMARY KEY, hash text NOT NULL)";

/// The most rows that are read, and the most characters of each of their texts: more than a source has files, and
/// more than a path or a digest has characters.
const MAX_ROWS: usize = 20_000;
const MAX_TEXT: usize = 1_024;

/// The rows of the table: hashes by path.
#[derive(Default)]
pub(super) struct SeedFiles(BTreeMap<String, String>);

impl SeedFiles {
    pub(super) async fn read(conn: &mut PgConnection) -> Result<Self> {
        if !check_record(conn, "supabase_migrations", "seed_files").await? {
            return Ok(Self::default());
        }
        let sql = format!(
            "SELECT pg_catalog.left(path, {MAX_TEXT}), pg_catalog.left(hash, {MAX_TEXT}) \
             FROM supabase_migrations.seed_files ORDER BY 1 LIMIT {MAX_ROWS}"
        );
        let mut rows = sqlx::query(AssertSqlSafe(sql)).fetch(conn);
        let mut found = BTreeMap::new();
        while let Some(row) = rows.try_next().await? {
            found.insert(row.try_get(0)?, row.try_get(1)?);
        }
        Ok(Self(found))
    }

    /// Whether the CLI has applied a script, by the table of a database that the operator has not seeded yet.
    pub(super) fn hold(&self, script: &Script, policy: SeedPolicy) -> bool {
        self.find(script)
            .is_some_and(|(_, hash)| policy == SeedPolicy::Once || *hash == script.hash())
    }

    /// Records scripts as applied.
    pub(super) async fn record(&self, conn: &mut PgConnection, scripts: impl Iterator<Item = &Script>) -> Result<()> {
        sqlx::raw_sql(TABLE).execute(&mut *conn).await?;
        protect_records_inside(conn).await?;
        for script in scripts {
            let path = self
                .find(script)
                .map_or_else(|| path(&script.file), |(path, _)| path.clone());
            sqlx::query(
                "INSERT INTO supabase_migrations.seed_files (path, hash) VALUES ($1, $2) \
                 ON CONFLICT (path) DO UPDATE SET hash = excluded.hash",
            )
            .bind(path)
            .bind(script.hash())
            .execute(&mut *conn)
            .await?;
        }
        Ok(())
    }

    /// The row of a script: by its usual path in a project, else by its name if only one path ends with it.
    fn find(&self, script: &Script) -> Option<(&String, &String)> {
        let named = || {
            let end = format!("/{}", script.file);
            let mut rows = self.0.iter().filter(move |(path, _)| path.ends_with(&end));
            rows.next().filter(|_| rows.next().is_none())
        };
        self.0.get_key_value(&path(&script.file)).or_else(named)
    }
}

/// The usual path of a script in a project of the CLI.
fn path(file: &str) -> String {
    match file {
        "seed.sql" => "supabase/seed.sql".to_owned(),
        _ => format!("supabase/seeds/{file}"),
    }
}
