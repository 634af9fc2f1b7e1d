//! Reads the facts about a database: in the snapshot of a backup, and again after a restore.

use std::collections::BTreeMap;

use sqlx::PgConnection;

use super::error::Result;
use super::left_out::{self, LeftOutSet, catalog};
use super::manifest::{Extension, Hook, SnapshotFacts};
use super::scope::{HISTORY, NOT_MANAGED, SchemaScope, Without};
use super::sql::run;
use crate::postgres;

/// SQL condition: the object that `$1`'s class and identity name does not belong to an extension.
macro_rules! own {
    ($class:literal, $oid:literal) => {
        concat!(
            "NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = '",
            $class,
            "'::regclass AND e.objid = ",
            $oid,
            " AND e.deptype = 'e')"
        )
    };
}

/// The relations of the tenant's schemas, `$1`, whose rows are in a dump: tables and partitions, with their names.
const TABLES: &str = concat!(
    "SELECT format('%I.%I', nspname, relname) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace \
     WHERE relkind IN ('r', 'p') AND relpersistence <> 't' AND nspname = ANY ($1) AND ",
    own!("pg_class", "c.oid"),
    " ORDER BY 1"
);

/// As [`TABLES`], without partitioned ones, which hold no rows of their own; `$2`: names that are left out.
const ROWS: &str = concat!(
    "SELECT format('%I.%I', nspname, relname) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace \
     WHERE relkind = 'r' AND relpersistence <> 't' AND nspname = ANY ($1) AND nspname || '.' || relname <> ALL ($2) AND ",
    own!("pg_class", "c.oid"),
    " ORDER BY 1"
);

const SEQUENCES: &str = concat!(
    "SELECT format('%I.%I', schemaname, sequencename), last_value FROM pg_sequences \
     JOIN pg_class c ON c.oid = format('%I.%I', schemaname, sequencename)::regclass \
     WHERE schemaname = ANY ($1) AND last_value IS NOT NULL AND ",
    own!("pg_class", "c.oid")
);

/// Rights on relations, columns, routines, schemas and types of `$1`, one row for each object, without routines of event
/// triggers, which a project has from the provider. The session's role, `$2`,
/// has no name in them, and MAINTAIN, which is new in 17, does not count.
const RIGHTS: &str = concat!(
    "WITH o AS ( \
        SELECT format('%s %I.%I', CASE relkind WHEN 'S' THEN 'sequence' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' \
                WHEN 'f' THEN 'foreign table' ELSE 'table' END, nspname, relname) AS name, \
            coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::\"char\", relowner)) AS acl \
            FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace \
            WHERE relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND relpersistence <> 't' AND nspname = ANY ($1) AND ",
    own!("pg_class", "c.oid"),
    "   UNION ALL SELECT format('column %I.%I.%I', nspname, relname, attname), attacl FROM pg_attribute \
            JOIN pg_class c ON c.oid = attrelid JOIN pg_namespace n ON n.oid = relnamespace \
            WHERE attacl IS NOT NULL AND NOT attisdropped AND nspname = ANY ($1) AND ",
    own!("pg_class", "c.oid"),
    "   UNION ALL SELECT format('routine %I.%I(%s)', nspname, proname, pg_get_function_identity_arguments(p.oid)), \
            coalesce(proacl, acldefault('f', proowner)) FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace \
            WHERE nspname = ANY ($1) AND p.oid NOT IN (SELECT evtfoid FROM pg_event_trigger) AND ",
    own!("pg_proc", "p.oid"),
    "   UNION ALL SELECT format('schema %I', nspname), coalesce(nspacl, acldefault('n', nspowner)) FROM pg_namespace n \
            WHERE nspname = ANY ($1) AND nspname <> 'public' AND ",
    own!("pg_namespace", "n.oid"),
    "   UNION ALL SELECT format('type %I.%I', nspname, typname), coalesce(typacl, acldefault('T', typowner)) FROM pg_type t \
            JOIN pg_namespace n ON n.oid = typnamespace WHERE typtype IN ('d', 'e', 'r') AND nspname = ANY ($1) AND ",
    own!("pg_type", "t.oid"),
    ") SELECT name, left(encode(sha256(convert_to(coalesce((SELECT string_agg(line, ',' ORDER BY line COLLATE \"C\") FROM ( \
        SELECT format('%s=%s%s/%s', CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE nullif(pg_get_userbyid(a.grantee)::text, $2) END, \
            privilege_type, CASE WHEN is_grantable THEN '*' END, nullif(pg_get_userbyid(a.grantor)::text, $2)) AS line \
        FROM aclexplode(acl) a WHERE privilege_type <> 'MAINTAIN') lines), ''), 'UTF8')), 'hex'), 16) FROM o"
);

/// Policies of `$1`. The owners `$2` have no name in them, and the order of the roles is that of the names that are left: a
/// restored database has another owner.
const POLICIES: &str = "SELECT format('%I on %I.%I', polname, nspname, relname), left(encode(sha256(convert_to( \
        concat_ws('|', polcmd, polpermissive, (SELECT string_agg(role, ',' ORDER BY role COLLATE \"C\") FROM ( \
            SELECT CASE WHEN r = 0 THEN 'PUBLIC' WHEN pg_get_userbyid(r)::text = ANY ($2) THEN '' ELSE pg_get_userbyid(r)::text END AS role \
            FROM unnest(polroles) r) named), \
        pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)), 'UTF8')), 'hex'), 16) \
    FROM pg_policy JOIN pg_class c ON c.oid = polrelid JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = ANY ($1)";

const ROW_SECURITY: &str = "SELECT format('%I.%I', nspname, relname), CASE WHEN relforcerowsecurity THEN 'forced' ELSE 'enabled' END \
    FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE (relrowsecurity OR relforcerowsecurity) AND nspname = ANY ($1)";

/// NOT NULL is a constraint from PostgreSQL 18 on; it is not compared.
const CONSTRAINTS: &str = concat!(
    "SELECT format('%I on %I.%I', conname, nspname, relname), CASE WHEN convalidated THEN '' ELSE 'not validated ' END \
        || left(encode(sha256(convert_to(pg_get_constraintdef(o.oid), 'UTF8')), 'hex'), 16) \
     FROM pg_constraint o JOIN pg_class c ON c.oid = conrelid JOIN pg_namespace n ON n.oid = relnamespace \
     WHERE contype <> 'n' AND nspname = ANY ($1) AND ",
    own!("pg_class", "c.oid")
);

const EXTENSIONS: &str =
    "SELECT extname::text, nspname::text, extversion FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace";

/// Triggers on the tenant's tables, `$1`, that call a function of the provider's which sends something out.
const OUTGOING: &str = "SELECT n.nspname::text, relname::text, tgname::text FROM pg_trigger t \
        JOIN pg_class c ON c.oid = tgrelid JOIN pg_namespace n ON n.oid = relnamespace \
        JOIN pg_proc p ON p.oid = tgfoid JOIN pg_namespace f ON f.oid = pronamespace \
        WHERE NOT tgisinternal AND n.nspname = ANY ($1) AND f.nspname IN ('supabase_functions', 'net', 'cron', 'pgmq') \
            AND f.nspname <> ALL ($1) ORDER BY 1, 2, 3";

/// Triggers and policies of the tenant's on tables of the provider's: `$1` the provider's schemas with rows in a backup,
/// `$2` all schemas that are not the tenant's. Those of the services call functions of their own.
const HOOKS: &str = "SELECT 'TRIGGER', n.nspname::text, relname::text, tgname::text, t.oid::int8 FROM pg_trigger t \
        JOIN pg_class c ON c.oid = tgrelid JOIN pg_namespace n ON n.oid = relnamespace \
        JOIN pg_proc p ON p.oid = tgfoid JOIN pg_namespace f ON f.oid = pronamespace \
        WHERE NOT tgisinternal AND n.nspname = ANY ($1) AND f.nspname <> ALL ($2) AND f.nspname !~ '^pg_' \
    UNION ALL SELECT 'POLICY', nspname::text, relname::text, polname::text, p.oid::int8 FROM pg_policy p \
        JOIN pg_class c ON c.oid = polrelid JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = ANY ($1) ORDER BY 1, 2, 3, 4";

/// Roles that own something in this database, have a grant in it or are named by a policy, without those of PostgreSQL. The
/// owner, `$1`, is listed only where other roles have granted it something, or a policy names it.
const ROLES: &str = "SELECT DISTINCT rolname::text FROM pg_shdepend JOIN pg_roles r ON r.oid = refobjid \
    WHERE refclassid = 'pg_authid'::regclass AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) \
        AND rolname !~ '^pg_' AND (rolname::text <> $1 OR deptype IN ('a', 'r')) ORDER BY 1";

/// Objects in the schemas `$1`, and those of these schemas, that belong to roles other than this session's, `$2`, and
/// superusers, with the names as in [`RIGHTS`].
const OF_OTHERS: &str = concat!(
    "SELECT name FROM ( \
        SELECT relowner AS owner, format('%I.%I', nspname, relname) AS name \
            FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace \
            WHERE relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND relpersistence <> 't' AND nspname = ANY ($1) AND ",
    own!("pg_class", "c.oid"),
    "   UNION ALL SELECT typowner, format('%I.%I', nspname, typname) \
            FROM pg_type t JOIN pg_namespace n ON n.oid = typnamespace WHERE typtype IN ('d', 'e', 'r') AND nspname = ANY ($1) AND ",
    own!("pg_type", "t.oid"),
    "   UNION ALL SELECT nspowner, format('%I', nspname) FROM pg_namespace n WHERE nspname = ANY ($1) AND ",
    own!("pg_namespace", "n.oid"),
    ") o JOIN pg_roles r ON r.oid = owner WHERE NOT rolsuper AND rolname::text <> $2 AND rolname <> 'pg_database_owner' ORDER BY 1"
);

/// The tables of migration tools, by schema and name, and the columns that show their newest migration.
const HISTORIES: [(&str, &str, &str); 3] = [
    (
        "public",
        "_prisma_migrations",
        "SELECT left(max(migration_name COLLATE \"C\"), 1024) FROM public._prisma_migrations \
            WHERE finished_at IS NOT NULL AND rolled_back_at IS NULL",
    ),
    (
        HISTORY,
        "schema_migrations",
        "SELECT left(max(version COLLATE \"C\"), 1024) FROM supabase_migrations.schema_migrations",
    ),
    (
        "public",
        "_sqlx_migrations",
        "SELECT left(max(version)::text, 1024) FROM public._sqlx_migrations",
    ),
];

/// How long the newest migration of a history is looked for. A history has some thousand rows.
const HISTORY_TIMEOUT: &str = "60s";

/// The tables that a dump locks.
pub(super) async fn tables(conn: &mut PgConnection, scope: &SchemaScope) -> Result<Vec<String>> {
    Ok(postgres::column(conn, "tables", sqlx::query(TABLES).bind(&scope.included)).await?)
}

/// The facts about a database, without its rows.
///
/// # Errors
/// When the database returns an error; when it has more objects of a kind than are read.
pub(super) async fn read(conn: &mut PgConnection, scope: &SchemaScope) -> Result<SnapshotFacts> {
    read_with(conn, scope, &scope.owner).await
}

/// As [`read`]. `before`: the owner of the database that this one is restored from; a policy may name it.
async fn read_with(conn: &mut PgConnection, scope: &SchemaScope, before: &str) -> Result<SnapshotFacts> {
    let (of, me) = (&scope.included, &scope.owner);
    let rights = sqlx::query(RIGHTS).bind(of).bind(me);
    let policies = sqlx::query(POLICIES).bind(of).bind([me.as_str(), before]);
    let extensions: Vec<(String, String, String)> = postgres::all(conn, "extensions", sqlx::query(EXTENSIONS)).await?;
    let hooks: Vec<FoundHook> = postgres::all(
        conn,
        "triggers and policies",
        sqlx::query(HOOKS).bind(&scope.managed).bind(&scope.excluded),
    )
    .await?;
    let size: i64 = sqlx::query_scalar("SELECT pg_database_size(current_database())")
        .fetch_one(&mut *conn)
        .await?;
    let mut facts = SnapshotFacts {
        sequences: map(conn, "sequences", sqlx::query(SEQUENCES).bind(of)).await?,
        rights: map(conn, "tables, columns and functions", rights).await?,
        policies: map(conn, "policies", policies).await?,
        row_security: map(conn, "tables", sqlx::query(ROW_SECURITY).bind(of)).await?,
        constraints: map(conn, "constraints", sqlx::query(CONSTRAINTS).bind(of)).await?,
        roles: postgres::column(conn, "roles", sqlx::query(ROLES).bind(me)).await?,
        schemas: of.clone(),
        hosted: scope.hosted,
        owner: me.clone(),
        database_bytes: u64::try_from(size).unwrap_or_default(),
        ..SnapshotFacts::default()
    };
    for (name, schema, version) in extensions {
        facts.extensions.insert(name, Extension { schema, version });
    }
    facts.left_out = left_out::read(conn, of, me, &facts.roles).await?;
    facts.hooks = kept(hooks, &LeftOutSet::of(&facts.left_out));
    let outgoing: Vec<(String, String, String)> =
        postgres::all(conn, "triggers", sqlx::query(OUTGOING).bind(of)).await?;
    for (schema, table, name) in outgoing {
        facts.outgoing.push(Hook {
            kind: "TRIGGER".into(),
            schema,
            table,
            name,
        });
    }
    let others = sqlx::query(OF_OTHERS).bind(of).bind(me);
    facts.of_others = postgres::column(conn, "objects of other roles", others).await?;
    facts.migration_heads = heads(conn).await?;
    Ok(facts)
}

/// Kind, schema, table, name and oid of a trigger or a policy.
type FoundHook = (String, String, String, String, i64);

/// The triggers and policies that a restore does not leave out.
fn kept(hooks: Vec<FoundHook>, out: &LeftOutSet) -> Vec<Hook> {
    let kept = hooks.into_iter().filter(|(kind, .., oid)| {
        let catalog = if kind == "POLICY" {
            catalog::POLICIES
        } else {
            catalog::TRIGGERS
        };
        !out.holds(catalog, u32::try_from(*oid).unwrap_or_default())
    });
    kept.map(|(kind, schema, table, name, _)| Hook {
        kind,
        schema,
        table,
        name,
    })
    .collect()
}

/// The newest migration of each history that is a table of the owner's. Anything else is not read: a tenant's login that may
/// create objects gives a view the name of a history, and a function in it would run as the owner.
async fn heads(conn: &mut PgConnection) -> Result<BTreeMap<String, String>> {
    let mut heads = BTreeMap::new();
    run(conn, &format!("SET statement_timeout = '{HISTORY_TIMEOUT}'")).await?;
    for (schema, table, query) in HISTORIES {
        match postgres::check_record(conn, schema, table).await {
            Ok(true) => {}
            Ok(false) => continue,
            Err(postgres::Error::Untrusted(why)) => {
                tracing::warn!(why, "the newest migration of this history could not be read");
                continue;
            }
            Err(error) => return Err(error.into()),
        }
        let head: Option<String> = sqlx::query_scalar(query).fetch_one(&mut *conn).await?;
        heads.extend(head.map(|head| (format!("{schema}.{table}"), head)));
    }
    run(conn, "SET statement_timeout = 0").await?;
    Ok(heads)
}

/// The facts about a restored database, for the same schemas as in the backup.
///
/// # Errors
/// When the database returns an error.
pub(super) async fn restored(conn: &mut PgConnection, before: &SnapshotFacts) -> Result<SnapshotFacts> {
    let without = Without {
        history_included: before.schemas.iter().any(|schema| schema == HISTORY),
        provider: before.hosted,
        ..Without::default()
    };
    let scope = SchemaScope::look(conn, without).await?;
    let mut facts = read_with(conn, &scope, &before.owner).await?;
    facts.rows = rows(conn, &scope).await?;
    Ok(facts)
}

/// The rows of each table that a backup holds, the provider's included.
///
/// # Errors
/// When the database returns an error.
pub(super) async fn rows(conn: &mut PgConnection, scope: &SchemaScope) -> Result<BTreeMap<String, u64>> {
    let of = [scope.included.as_slice(), scope.managed.as_slice()].concat();
    let out: Vec<String> = NOT_MANAGED.map(Into::into).to_vec();
    let tables = postgres::column(conn, "tables", sqlx::query(ROWS).bind(of).bind(out)).await?;
    // A scan of an index would count as use of the database by its tenant (`orchestra::idle`).
    sqlx::raw_sql("SET enable_indexscan = off; SET enable_indexonlyscan = off; SET enable_bitmapscan = off")
        .execute(&mut *conn)
        .await?;
    let mut rows = BTreeMap::new();
    for table in tables {
        // The name is quoted by the server's own format().
        let count = format!("SELECT count(*) FROM ONLY {table}");
        let count: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(count))
            .fetch_one(&mut *conn)
            .await?;
        rows.insert(table, u64::try_from(count).unwrap_or_default());
    }
    sqlx::raw_sql("RESET enable_indexscan; RESET enable_indexonlyscan; RESET enable_bitmapscan")
        .execute(&mut *conn)
        .await?;
    Ok(rows)
}

async fn map<'q, K, V, Q>(conn: &mut PgConnection, what: &'static str, query: Q) -> Result<BTreeMap<K, V>>
where
    Q: sqlx::Execute<'q, sqlx::Postgres> + 'q,
    K: Ord + Send + Unpin + for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
    V: Send + Unpin + for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    let found: Vec<(K, V)> = postgres::all(conn, what, query).await?;
    Ok(found.into_iter().collect())
}
