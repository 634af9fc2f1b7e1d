//! Which tables the scripts of a source create, and which of them a database lacks although its history records
//! the scripts as applied: a person dropped them, or a restore left them out.

use std::collections::BTreeSet;

use sqlx::PgConnection;

use super::aside;
use super::claimed::{ClaimedTables, are_one};
use super::error::{Error, Result};
use super::guard::names::Name;
use super::history::History;
use super::session::default_path;
use super::source::{MigrationId, Source};

/// The tables that the scripts of a source create and the database lacks, as `schema.name` or `name`. What the scripts,
/// their code or an earlier text of a changed script can have dropped, renamed or moved is left out.
///
/// # Errors
/// [`super::error::Error::Database`].
pub async fn missing_tables(conn: &mut PgConnection, source: &Source) -> Result<Vec<String>> {
    let edited = History::read(conn, source.format()).await?.edited(source);
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
    let mut missing = Vec::new();
    let known: Vec<(String, String)> = sqlx::query_as(
        "SELECT nspname::text, relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace \
         WHERE relkind IN ('r', 'p', 'f') AND relname = ANY ($1)",
    )
    .bind(claimed.iter().map(|table| table.name.clone()).collect::<Vec<_>>())
    .fetch_all(conn)
    .await?;
    let known = known.into_iter().map(|(schema, name)| Name {
        schema: Some(schema),
        name,
    });
    let known: Vec<_> = known.collect();
    for table in &claimed {
        if !known.iter().any(|known| are_one(known, table)) {
            let schema = table.schema.iter().map(|schema| format!("{schema}."));
            missing.push(format!("{}{}", schema.collect::<String>(), table.name));
        }
    }
    Ok(missing)
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
