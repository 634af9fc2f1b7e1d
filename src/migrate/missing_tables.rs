//! Which tables the scripts of a source create, and which of them a database lacks although its history records
//! the scripts as applied: a person dropped them, or a restore left them out.

use std::collections::BTreeSet;

use sqlx::PgConnection;

use super::aside;
use super::claimed::ClaimedTables;
use super::error::{Error, Result};
use super::guard::names::Name;
use super::history::History;
use super::session::default_path;
use super::source::{MigrationId, Source};
use crate::postgres::column;

/// See [`super::HistoryLook::missing_tables`].
pub(super) async fn missing(conn: &mut PgConnection, history: &History, source: &Source) -> Result<Vec<String>> {
    if history.holds_others(source) {
        return Ok(Vec::new());
    }
    let edited = history.edited(source);
    let mut home = default_path(conn).await?;
    home.push("public".to_owned());
    home.push(
        sqlx::query_scalar("SELECT session_user::pg_catalog.text")
            .fetch_one(&mut *conn)
            .await?,
    );
    let read = source.clone();
    let claimed = aside(move || claimed(&read, &edited, home))
        .await
        .ok_or(Error::Unreadable)?;
    let (schemas, names): (Vec<_>, Vec<_>) = claimed.into_iter().map(|table| (table.schema, table.name)).unzip();
    // Only what is missing is sent back: the database may hold any number of tables of a name.
    let missing = "SELECT coalesce(claimed.schema || '.', '') || claimed.name \
         FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.text[]), pg_catalog.unnest($2::pg_catalog.text[])) \
             WITH ORDINALITY AS claimed (schema, name, place) \
         WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace \
             WHERE relkind IN ('r', 'p', 'f') AND relname = claimed.name \
                 AND (claimed.schema IS NULL OR nspname = claimed.schema)) \
         ORDER BY place";
    let missing = sqlx::query(missing).bind(schemas).bind(names);
    Ok(column(conn, "missing tables", missing).await?)
}

fn claimed(source: &Source, edited: &BTreeSet<MigrationId>, home: Vec<String>) -> Vec<Name> {
    let mut tables = ClaimedTables::new(home);
    for migration in source.migrations() {
        if edited.contains(&migration.identity) {
            tables.forget();
        } else {
            tables.run(&migration.script);
        }
    }
    tables.names()
}
