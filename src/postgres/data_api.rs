//! What the roles of a hosted project's Data API may do with tables that migrations create.

use sqlx::{AssertSqlSafe, PgConnection, Row as _};

use super::error::Result;
use super::grants::schemas;
use super::groups::DATA_API_ROLES;
use super::records::IS_RECORD;
use super::sql::{ask, begin, end, first, literals, run};
use crate::api::ExposeNewTables;
use crate::text;

/// Bytes of the names of schemas in a message.
const SCHEMAS_SHOWN: usize = 200;

/// What the platform granted by itself up to 2026, and what `All` grants.
const RIGHTS: [&str; 3] = [
    "SELECT, INSERT, UPDATE, DELETE ON TABLES",
    "USAGE, SELECT ON SEQUENCES",
    "EXECUTE ON FUNCTIONS",
];

fn roles() -> Vec<String> {
    DATA_API_ROLES.iter().map(ToString::to_string).collect()
}

/// As a tenant's login is prepared, for migrations that are applied before there is a tenant: sets what the Data API may do
/// with the tables that they create.
///
/// # Errors
/// [`super::Error::Refused`] when the owner lacks a right.
pub async fn expose_new_tables(conn: &mut PgConnection, wanted: ExposeNewTables) -> Result<()> {
    begin(conn).await?;
    let exposed = expose(conn, wanted).await;
    end(conn, exposed).await
}

/// Sets the owner's default privileges in the schema `public` for the roles of the Data API that exist.
pub(super) async fn expose(conn: &mut PgConnection, wanted: ExposeNewTables) -> Result<()> {
    let found = format!(
        "SELECT string_agg(quote_ident(rolname), ', ') FROM pg_roles WHERE rolname::text = ANY ({})",
        literals(&DATA_API_ROLES)
    );
    let [rows] = ask(conn, [found]).await?;
    let Some(grantees) = first(&rows)?.try_get::<Option<String>, _>(0)? else {
        return Ok(());
    };
    let change = |rights: &str| match wanted {
        ExposeNewTables::All => format!("ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT {rights} TO {grantees}"),
        ExposeNewTables::None => format!("ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE {rights} FROM {grantees}"),
    };
    run(conn, RIGHTS.map(change).join("; ")).await
}

/// What to tell people when the keys of a hosted project reach none of the owner's tables; none when they reach one or a
/// column of one, or there is no table. Only catalogs are read.
///
/// # Errors
/// See [`super::Error`].
pub async fn unexposed(conn: &mut PgConnection, wanted: Option<ExposeNewTables>) -> Result<Option<String>> {
    begin(conn).await?;
    let query = format!(
        "SELECT count(*), count(*) FILTER (WHERE EXISTS (SELECT FROM pg_roles r WHERE rolname::text = ANY ($1) \
                 AND has_schema_privilege(r.oid, n.oid, 'USAGE') AND (has_table_privilege(r.oid, c.oid, 'DELETE') \
                     OR has_any_column_privilege(r.oid, c.oid, 'SELECT, INSERT, UPDATE')))), \
             (SELECT count(*) FROM pg_roles WHERE rolname::text = ANY ($1)), \
             string_agg(DISTINCT quote_ident(nspname), ', ') FILTER (WHERE nspname <> 'public') \
         FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace \
         WHERE {schemas} AND relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT {IS_RECORD} \
             AND pg_has_role(current_user, relowner, 'USAGE') AND NOT EXISTS (SELECT FROM pg_depend \
                 WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype = 'e')",
        schemas = schemas()
    );
    let seen = async {
        let row = sqlx::query(AssertSqlSafe(query))
            .bind(roles())
            .fetch_one(&mut *conn)
            .await?;
        let counts: (i64, i64, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        Ok::<_, super::error::Error>((counts, row.try_get::<Option<String>, _>(3)?))
    };
    let seen = seen.await;
    let ((tables, reached, roles), others) = end(conn, seen).await?;
    if tables == 0 || reached > 0 || roles == 0 {
        return Ok(None);
    }
    let later = match wanted {
        Some(ExposeNewTables::All) => ". dataAPI.exposeNewTables: All is for tables of public that come later",
        Some(ExposeNewTables::None) => "",
        None => ", or set dataAPI.exposeNewTables: All for tables of public that come later",
    };
    let others = others.map_or_else(String::new, |schemas| {
        let schemas = text::shown(&schemas, SCHEMAS_SHOWN);
        format!(". Another schema than public ({schemas}) must be exposed in the project's API settings, too")
    });
    Ok(Some(format!(
        "the Data API (SUPABASE_URL with the keys of the connection Secret) reaches none of the {tables} tables: grant its \
         roles what they need in a migration (GRANT USAGE ON SCHEMA …, GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE … TO \
         authenticated, service_role){later}{others}"
    )))
}
