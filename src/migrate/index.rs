//! A failed `CREATE INDEX CONCURRENTLY` leaves an invalid index, whose name blocks the next attempt. The
//! operator drops the index that its own attempt left.

use sqlx::{AssertSqlSafe, PgConnection};

use super::error::Result;
use super::lexer::concurrent_index;
use crate::postgres::all;

/// The invalid indexes that have the name of the script's index before the script runs.
pub(super) struct Leftovers {
    name: String,
    before: Vec<i64>,
}

impl Leftovers {
    /// None if the script builds no index concurrently, or lets PostgreSQL choose the name: an index with a
    /// generated name blocks no later attempt.
    pub async fn before(conn: &mut PgConnection, script: &str) -> Result<Option<Self>> {
        let Some(name) = concurrent_index(script) else {
            return Ok(None);
        };
        let before = invalid(conn, &name).await?.into_iter().map(|(oid, _)| oid).collect();
        Ok(Some(Self { name, before }))
    }

    /// Drops the invalid indexes that did not exist before the script.
    pub async fn drop(self, conn: &mut PgConnection) -> Result<()> {
        for (oid, name) in invalid(conn, &self.name).await? {
            if !self.before.contains(&oid) {
                let sql = format!("DROP INDEX CONCURRENTLY {name}");
                sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *conn).await?;
            }
        }
        Ok(())
    }
}

/// For each index of this name, whether it is valid.
pub(super) async fn validity(conn: &mut PgConnection, name: &str) -> Result<Vec<bool>> {
    let found: Vec<(bool,)> = all(
        conn,
        "indexes of one name",
        sqlx::query(
            "SELECT indisvalid FROM pg_index JOIN pg_class c ON c.oid = indexrelid \
         JOIN pg_namespace n ON n.oid = relnamespace WHERE relname = $1 AND nspname NOT LIKE 'pg\\_%'",
        )
        .bind(name),
    )
    .await?;
    Ok(found.into_iter().map(|(valid,)| valid).collect())
}

/// Drops the invalid index that an interrupted build left.
pub(super) async fn drop_invalid(conn: &mut PgConnection, name: &str) -> Result<()> {
    let nothing = Leftovers {
        name: name.to_owned(),
        before: Vec::new(),
    };
    nothing.drop(conn).await
}

/// The oids and quoted names of the invalid indexes of this name. The query runs between the statements of a script,
/// with the names of the script's `search_path` and the script's own prepared statements.
async fn invalid(conn: &mut PgConnection, name: &str) -> Result<Vec<(i64, String)>> {
    let indexes = sqlx::query(
        "SELECT indexrelid::pg_catalog.int8, pg_catalog.format('%I.%I', nspname, relname) \
         FROM pg_catalog.pg_index JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) indexrelid \
         JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) relnamespace \
         WHERE relname OPERATOR(pg_catalog.=) $1 AND NOT indisvalid",
    )
    .persistent(false)
    .bind(name);
    Ok(all(conn, "invalid indexes of one name", indexes).await?)
}
