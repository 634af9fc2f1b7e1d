//! Code on a table that the operator trusts: an INSERT of the operator's runs defaults, generated columns, constraints and
//! indexes as the database's owner, whoever has written them.

/// Functions of PostgreSQL's own that are not immutable and run nothing of others. Some that it has do: `query_to_xml` runs
/// the query that it is given.
const HARMLESS: &str = "p.pronamespace = 'pg_catalog'::regnamespace AND (p.provolatile = 'i' \
    OR EXISTS (SELECT FROM pg_cast WHERE castfunc = p.oid) OR p.proname IN ('now', 'transaction_timestamp', \
        'statement_timestamp', 'clock_timestamp', 'gen_random_uuid', 'nextval'))";

/// A query over `pg_class c`: what runs code there that is not PostgreSQL's own, and the statement that removes it, as one
/// array. An object that is not PostgreSQL's own is one on which a dependency is recorded (`pinned` in `catalog/dependency.c`).
pub(super) fn code() -> String {
    format!(
        "SELECT ARRAY[what, cure] FROM ( \
            SELECT 'pg_attrdef'::regclass AS class, d.oid AS object, 0 AS part, adbin::text AS tree, \
                format(CASE attgenerated WHEN '' THEN 'default of column %I' ELSE 'generated column %I' END, attname) AS what, \
                format('ALTER TABLE %s ALTER COLUMN %I DROP ' || CASE attgenerated WHEN '' THEN 'DEFAULT' ELSE 'EXPRESSION' END, \
                    c.oid::regclass, attname) AS cure \
                FROM pg_attrdef d JOIN pg_attribute ON attrelid = adrelid AND attnum = adnum WHERE adrelid = c.oid \
            UNION ALL SELECT 'pg_constraint'::regclass, oid, 0, conbin::text, format('constraint %I', conname), \
                format('ALTER TABLE %s DROP CONSTRAINT %I', c.oid::regclass, conname) \
                FROM pg_constraint WHERE conrelid = c.oid \
            UNION ALL SELECT 'pg_class'::regclass, indexrelid, 0, concat(indexprs::text, indpred::text), \
                format('functional index %s', indexrelid::regclass), format('DROP INDEX %s', indexrelid::regclass) \
                FROM pg_index WHERE indrelid = c.oid \
            UNION ALL SELECT 'pg_class'::regclass, attrelid, attnum, NULL, \
                format('column %I of the type %s', attname, format_type(atttypid, NULL)), \
                format('ALTER TABLE %s ALTER COLUMN %I TYPE text', c.oid::regclass, attname) \
                FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped) AS found \
         WHERE EXISTS (SELECT FROM pg_depend WHERE classid = class AND objid = object AND objsubid = part \
                 AND refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass, 'pg_opclass'::regclass, 'pg_type'::regclass)) \
             OR EXISTS (SELECT FROM regexp_matches(tree, ':(?:op)?funcid ([0-9]+)', 'g') AS called \
                 JOIN pg_proc p ON p.oid = called[1]::oid WHERE NOT ({HARMLESS})) \
         LIMIT 1"
    )
}
