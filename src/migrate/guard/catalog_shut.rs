//! The part of the catalog that shows what is closed to everybody so far, so that a grant can open it.

use sqlx::{AssertSqlSafe, PgConnection, Row as _};

use super::catalog_code::{CatalogCode, MOST, OPEN, some};
use crate::migrate::error::Result;

/// Schemas that everybody may not use and that have something for everybody in them (true), and those with `SECURITY DEFINER`
/// functions that not everybody may execute (false). A trigger's function cannot be called.
const SHUT: &str = "\
WITH anon AS (SELECT oid FROM pg_roles WHERE rolname = 'anon'), schemas AS (
    SELECT n.oid, nspname FROM pg_namespace n WHERE nspname <> 'information_schema' AND nspname !~ '^pg_'
), called AS (
    SELECT pronamespace, has_function_privilege('public'::name, p.oid, 'EXECUTE')
        OR EXISTS (SELECT FROM anon WHERE has_function_privilege(anon.oid, p.oid, 'EXECUTE')) AS open
    FROM pg_proc p WHERE prosecdef AND prokind IN ('f', 'p')
        AND prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
)
SELECT nspname::text, true FROM schemas n
WHERE NOT (has_schema_privilege('public'::name, n.oid, 'USAGE')
        OR EXISTS (SELECT FROM anon WHERE has_schema_privilege(anon.oid, n.oid, 'USAGE')))
    AND (EXISTS (SELECT FROM called WHERE pronamespace = n.oid AND open)
        OR EXISTS (SELECT FROM pg_class c WHERE relnamespace = n.oid AND relkind IN ('r', 'p', 'v', 'm', 'f') AND OPEN))
UNION ALL
SELECT nspname::text, false FROM schemas n WHERE EXISTS (SELECT FROM called WHERE pronamespace = n.oid AND NOT open)
ORDER BY 1, 2 LIMIT 2001";

impl CatalogCode {
    /// Reads which schemas and functions are closed to everybody.
    pub(super) async fn look_at_shut(&mut self, conn: &mut PgConnection) -> Result<()> {
        let shut = SHUT.replace("OPEN", OPEN);
        let query = sqlx::query(AssertSqlSafe(shut));
        let cut = some(conn, ("schemas", MOST), query, |row| {
            let schemas = if row.try_get::<bool, _>(1)? {
                &mut self.shut_schemas
            } else {
                &mut self.shut_functions
            };
            schemas.insert(row.try_get(0)?);
            Ok(())
        });
        if cut.await? {
            self.cut("so many schemas are closed that not all were looked at");
        }
        Ok(())
    }
}
