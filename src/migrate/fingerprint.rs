//! A digest of the objects that a database's owner created. Two databases that were migrated alike have the same digest.

use sqlx::{AssertSqlSafe, PgConnection};

use super::error::Result;
use crate::postgres::OPERATOR_SCHEMA;

/// One line for each object, as PostgreSQL itself writes its definition. Objects of an extension, of another
/// role or of a tool's history are left out, and so are comments, privileges and the order of columns.
const LINES: &str = "
WITH mine AS (
    SELECT c.oid, c.relkind, c.relrowsecurity, n.nspname, c.relname
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE pg_catalog.pg_get_userbyid(c.relowner) = current_user
        AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname NOT IN ('information_schema', 'supabase_migrations', '{OPERATOR}')
        AND c.relname NOT IN ('_prisma_migrations', '_sqlx_migrations')
        AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
), lines AS (
    SELECT pg_catalog.format('relation %I.%I %s %s', nspname, relname, relkind, relrowsecurity)
        FROM mine WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
    UNION ALL
    SELECT pg_catalog.format('column %I.%I.%I %s %s %s %s', nspname, relname, attname,
            pg_catalog.format_type(atttypid, atttypmod), attnotnull, attidentity::text || attgenerated::text,
            pg_catalog.pg_get_expr(adbin, adrelid))
        FROM mine JOIN pg_attribute ON attrelid = mine.oid LEFT JOIN pg_attrdef ON adrelid = mine.oid AND adnum = attnum
        WHERE attnum > 0 AND NOT attisdropped AND relkind IN ('r', 'p', 'f')
    UNION ALL
    SELECT pg_catalog.format('index %s %s', pg_catalog.pg_get_indexdef(indexrelid), indisvalid)
        FROM mine JOIN pg_index ON indrelid = mine.oid
    UNION ALL
    SELECT pg_catalog.format('constraint %I.%I %I %s', nspname, relname, conname, pg_catalog.pg_get_constraintdef(pg_constraint.oid))
        FROM mine JOIN pg_constraint ON conrelid = mine.oid
    UNION ALL
    SELECT pg_catalog.format('trigger %s %s', pg_catalog.pg_get_triggerdef(pg_trigger.oid), tgenabled)
        FROM mine JOIN pg_trigger ON tgrelid = mine.oid WHERE NOT tgisinternal
    UNION ALL
    SELECT pg_catalog.format('policy %I.%I %I %s %s %s %s', nspname, relname, polname, polcmd, polpermissive,
            pg_catalog.pg_get_expr(polqual, polrelid), pg_catalog.pg_get_expr(polwithcheck, polrelid))
        FROM mine JOIN pg_policy ON polrelid = mine.oid
    UNION ALL
    SELECT pg_catalog.format('view %I.%I %s', nspname, relname, pg_catalog.pg_get_viewdef(mine.oid))
        FROM mine WHERE relkind IN ('v', 'm')
    UNION ALL
    SELECT pg_catalog.format('function %s', pg_catalog.pg_get_functiondef(p.oid))
        FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace
        WHERE pg_catalog.pg_get_userbyid(proowner) = current_user AND prokind IN ('f', 'p')
            AND nspname NOT LIKE 'pg\\_%' AND nspname <> '{OPERATOR}'
            AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
    UNION ALL
    SELECT pg_catalog.format('enum %I.%I %s', nspname, typname,
            (SELECT pg_catalog.string_agg(pg_catalog.quote_literal(enumlabel), ',' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = t.oid))
        FROM pg_type t JOIN pg_namespace n ON n.oid = typnamespace
        WHERE pg_catalog.pg_get_userbyid(typowner) = current_user AND typtype = 'e' AND nspname NOT LIKE 'pg\\_%'
)
SELECT pg_catalog.encode(pg_catalog.sha256(coalesce(pg_catalog.string_agg(
    pg_catalog.convert_to(line, 'UTF8') || '\\x0a'::bytea, '' ORDER BY line COLLATE \"C\"), '')), 'hex')
FROM lines AS lines(line)";

/// The digest: `sha256:` and 64 hexadecimal digits.
///
/// # Errors
/// [`super::error::Error::Database`].
pub async fn fingerprint(conn: &mut PgConnection) -> Result<String> {
    // PostgreSQL writes definitions relative to the search path, which is empty in this transaction.
    crate::postgres::begin(conn).await?;
    // Dates in them are written as the session's settings say, which are the database's.
    let written = "SET LOCAL datestyle = 'ISO, MDY'; SET LOCAL timezone = 'UTC'; SET LOCAL extra_float_digits = 2";
    sqlx::raw_sql(written).execute(&mut *conn).await?;
    let sql = LINES.replace("{OPERATOR}", OPERATOR_SCHEMA);
    // The server computes it, because the author of functions decides how long the definitions are.
    let digest: String = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut *conn).await?;
    sqlx::raw_sql("ROLLBACK").execute(conn).await?;
    Ok(format!("sha256:{digest}"))
}
