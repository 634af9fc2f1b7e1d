//! `CREATE INDEX CONCURRENTLY` leaves an invalid index behind when it fails. It would stand in the
//! way of the next attempt, so what this attempt left is dropped.

use sqlx::{AssertSqlSafe, PgConnection, Row};

use super::error::Result;
use super::lexer::concurrent_index;

/// Invalid indexes that bear the name which the script gives to its index, before it runs.
pub(super) struct Leftovers {
    name: String,
    before: Vec<i64>,
}

impl Leftovers {
    /// None when the script builds no index concurrently, or lets PostgreSQL choose the name: then
    /// a leftover is in nobody's way.
    pub async fn before(conn: &mut PgConnection, script: &str) -> Result<Option<Self>> {
        let Some(name) = concurrent_index(script) else {
            return Ok(None);
        };
        let before = invalid(conn, &name).await?.into_iter().map(|(oid, _)| oid).collect();
        Ok(Some(Self { name, before }))
    }

    /// Drops what is there now and was not before.
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

/// Of each index of this name, whether it is valid.
pub(super) async fn validity(conn: &mut PgConnection, name: &str) -> Result<Vec<bool>> {
    Ok(sqlx::query_scalar(
        "SELECT indisvalid FROM pg_index JOIN pg_class c ON c.oid = indexrelid \
         JOIN pg_namespace n ON n.oid = relnamespace WHERE relname = $1 AND nspname NOT LIKE 'pg\\_%'",
    )
    .bind(name)
    .fetch_all(conn)
    .await?)
}

/// Drops what a build that was cut off left of the index.
pub(super) async fn drop_invalid(conn: &mut PgConnection, name: &str) -> Result<()> {
    let nothing = Leftovers {
        name: name.to_owned(),
        before: Vec::new(),
    };
    nothing.drop(conn).await
}

/// Oids and quoted names.
async fn invalid(conn: &mut PgConnection, name: &str) -> Result<Vec<(i64, String)>> {
    let rows = sqlx::query(
        "SELECT indexrelid::bigint, pg_catalog.format('%I.%I', nspname, relname) FROM pg_index \
         JOIN pg_class c ON c.oid = indexrelid JOIN pg_namespace n ON n.oid = relnamespace \
         WHERE relname = $1 AND NOT indisvalid",
    )
    .bind(name)
    .fetch_all(conn)
    .await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}
