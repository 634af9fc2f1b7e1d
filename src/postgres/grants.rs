//! What a tenant's login may do with the objects of its database, as statements.

use sqlx::{PgConnection, Row as _};

use super::error::Result;
use super::groups::shut_out;
use super::records::IS_RECORD;
use super::sql::{OPERATOR_SCHEMA, ask, first, literal, quote, run};
use crate::api::{ExposeNewTables, LoginLimits, RowSecurity};

/// What a tenant's login may do.
#[derive(Clone, Debug, Default)]
pub struct TenantRights {
    /// It may create objects in the schemas of its database.
    pub create: bool,
    /// Its limits; without them none is changed.
    pub limits: Option<LoginLimits>,
    /// Whether policies of row level security apply to it.
    pub row_security: RowSecurity,
    /// Whether new tables are exposed to the Data API; without it nothing is changed.
    pub expose_new_tables: Option<ExposeNewTables>,
}

/// Rights on the data of a table, without those that run code as a later user of the table.
const TABLE: &str = "SELECT, INSERT, UPDATE, DELETE, TRUNCATE";

/// The schemas that are the tenant's: `public` and those that the owner owns.
pub(super) fn schemas() -> String {
    format!(
        "nspname <> 'information_schema' AND nspname !~ '^pg_' AND nspname <> '{OPERATOR_SCHEMA}' \
         AND (nspname = 'public' OR nspowner = (SELECT oid FROM pg_roles WHERE rolname = current_user))"
    )
}

/// The schemas that the owner owns without objects of its own: that of a history, and those of extensions. Nobody creates
/// objects there.
const FOREIGN_SCHEMAS: &str = "(nspname IN ('supabase_migrations', 'extensions') OR nspname <> 'public' \
    AND EXISTS (SELECT FROM pg_extension WHERE extnamespace = pg_namespace.oid) \
    AND NOT EXISTS (SELECT FROM pg_class c WHERE relnamespace = pg_namespace.oid AND relowner = nspowner \
        AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND NOT EXISTS \
        (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype IN ('e', 'i'))) \
    AND NOT EXISTS (SELECT FROM pg_proc p WHERE pronamespace = pg_namespace.oid AND proowner = nspowner AND NOT EXISTS \
        (SELECT FROM pg_depend WHERE classid = 'pg_proc'::regclass AND objid = p.oid AND deptype IN ('e', 'i'))))";

/// Grants a role its rights on what exists and the owner may grant, and revokes its other rights, which earlier versions of
/// the operator granted. Objects of an extension keep the extension's rights.
pub(super) async fn grant_existing(conn: &mut PgConnection, role: &str, rights: &TenantRights) -> Result<()> {
    let mut all = vec![shut_out()];
    all.extend(excess(role, rights));
    all.extend(existing(role, rights));
    carry_out(conn, role, &all).await
}

/// Revokes rights on tables beyond [`TABLE`], and CREATE in schemas: the role's own and, because the role has them
/// too, those of PUBLIC and of the groups that it is a member of.
pub(super) async fn revoke_excess(conn: &mut PgConnection, role: &str, rights: &TenantRights) -> Result<()> {
    carry_out(conn, role, &excess(role, rights)).await
}

/// Lets the server generate statements with these queries, each of which gives one text or null, and runs them in their
/// order. The queries are one statement, so that each object of the tenant's schemas is looked at once for all of them.
async fn carry_out(conn: &mut PgConnection, role: &str, queries: &[String]) -> Result<()> {
    let numbered = queries.iter().enumerate();
    let numbered: Vec<_> = numbered
        .map(|(number, query)| format!("SELECT {number} AS number, ({query}) AS statement"))
        .collect();
    let all = format!(
        "WITH RECURSIVE {} SELECT string_agg(statement, '; ' ORDER BY number) FROM ({}) AS made",
        objects(role),
        numbered.join(" UNION ALL ")
    );
    let [rows] = ask(conn, [all]).await?;
    match first(&rows)?.try_get::<Option<String>, _>(0)? {
        Some(statements) => run(conn, statements).await,
        None => Ok(()),
    }
}

/// SQL: the common tables of the queries of [`carry_out`]. PostgreSQL reads one only if a query names it.
///
/// - `schema`: the tenant's schemas.
/// - `relation`: tables, views and sequences there, on which the owner may grant and which belong to no extension.
/// - `granted`: what others than their owners may do with them, sequences apart.
/// - `routine`: the same routines, and whether each is [`WITHHELD`].
/// - `reached`: the roles that the role is a member of, also indirectly.
fn objects(role: &str) -> String {
    format!(
        "schema AS (SELECT oid, nspname, nspowner, nspacl FROM pg_namespace WHERE {schemas}), \
         relation AS (SELECT format('%I.%I', nspname, relname) AS name, relkind, relowner, relacl, {IS_RECORD} AS is_record \
             FROM pg_class c JOIN schema n ON n.oid = relnamespace \
             WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND {own_relation}), \
         granted AS (SELECT name, grantee, privilege_type FROM relation, aclexplode(relacl) \
             WHERE relkind <> 'S' AND grantee <> relowner), \
         routine AS (SELECT p.oid::regprocedure::text AS name, proowner, proacl, {WITHHELD} AS is_withheld \
             FROM pg_proc p JOIN schema n ON n.oid = pronamespace WHERE {own_routine}), \
         reached AS (SELECT m.roleid FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.member \
             WHERE r.rolname::text = {role} \
             UNION SELECT m.roleid FROM pg_auth_members m JOIN reached ON m.member = reached.roleid)",
        schemas = schemas(),
        own_relation = own("pg_class", "c.oid", "relowner"),
        own_routine = own("pg_proc", "p.oid", "proowner"),
        role = literal(role),
    )
}

/// Queries for the statements that grant a role its rights on what exists.
fn existing(role: &str, rights: &TenantRights) -> Vec<String> {
    let role = literal(&quote(role));
    let grant = |right: &str, list: &str, from: String| {
        format!("SELECT 'GRANT {right} ' || string_agg({list}, ', ') || ' TO ' || {role} FROM {from}")
    };
    let relations = |right: &str, which: &str| grant(right, "name", format!("relation WHERE {which}"));
    // [`FOREIGN_SCHEMAS`] refers to `pg_namespace`.
    let schemas = |right: &str, which: &str| {
        grant(
            right,
            "quote_ident(nspname)",
            format!("schema AS pg_namespace WHERE {which}"),
        )
    };
    let routines = "routine WHERE NOT is_withheld".to_owned();
    let create = rights
        .create
        .then(|| schemas("CREATE ON SCHEMA", &format!("NOT {FOREIGN_SCHEMAS}")));
    [schemas("USAGE ON SCHEMA", "true")]
        .into_iter()
        .chain(create)
        .chain([
            relations(&format!("{TABLE} ON TABLE"), "relkind <> 'S' AND NOT is_record"),
            relations("SELECT ON TABLE", "relkind <> 'S' AND is_record"),
            relations("ALL ON SEQUENCE", "relkind = 'S'"),
            grant("EXECUTE ON ROUTINE", "name", routines),
        ])
        .collect()
}

/// SQL over `pg_proc p`: whether the routine has its owner's rights and was revoked from PUBLIC: then only a script's grants
/// decide who may execute it.
const WITHHELD: &str = "(p.prosecdef AND NOT EXISTS (SELECT FROM \
    aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) WHERE grantee = 0 AND privilege_type = 'EXECUTE'))";

/// SQL: whether the owner may grant on an object, and it belongs to no extension.
fn own(class: &str, object: &str, owner: &str) -> String {
    format!(
        "pg_has_role(current_user, {owner}, 'USAGE') AND NOT EXISTS (SELECT \
         FROM pg_depend WHERE classid = '{class}'::regclass AND objid = {object} AND deptype = 'e')"
    )
}

/// Queries for the statements of [`revoke_excess`].
fn excess(role: &str, rights: &TenantRights) -> Vec<String> {
    let name = literal(role);
    let is_role = format!("grantee = (SELECT oid FROM pg_roles WHERE rolname::text = {name})");
    let revoke = |right: &str, list: &str, grantees: &str, from: String| {
        format!(
            "SELECT 'REVOKE {right} ' || string_agg({list}, ', ') || ' FROM ' || {grantees} || ' CASCADE' FROM {from}"
        )
    };
    let which = if rights.create { FOREIGN_SCHEMAS } else { "true" };
    let create = |grantee: &str, grantees: &str| {
        let from = format!(
            "schema AS pg_namespace WHERE {which} \
             AND pg_has_role(current_user, nspowner, 'USAGE') AND EXISTS (SELECT FROM aclexplode(nspacl) \
                 WHERE {grantee} AND grantee <> nspowner AND privilege_type = 'CREATE')"
        );
        revoke("CREATE ON SCHEMA", "quote_ident(nspname)", grantees, from)
    };
    let tables = |right: &str, excess: &str, grantee: &str, grantees: &str| {
        let from = format!("granted WHERE {grantee} AND privilege_type {excess}");
        revoke(right, "DISTINCT name", grantees, from)
    };
    let withheld = format!(
        "routine WHERE is_withheld AND EXISTS (SELECT FROM aclexplode(proacl) WHERE {is_role} AND grantee <> proowner)"
    );
    let beyond = "NOT IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE')";
    let quoted = literal(&quote(role));
    let in_groups = "grantee IN (SELECT roleid FROM reached)";
    let named =
        "(SELECT string_agg(quote_ident(rolname), ', ') FROM pg_roles WHERE oid IN (SELECT roleid FROM reached))";
    vec![
        create(&is_role, &quoted),
        create("grantee = 0", "'PUBLIC'"),
        tables("ALL ON TABLE", beyond, &is_role, &quoted),
        tables(RUNS_CODE, IS_RUNS_CODE, "grantee = 0", "'PUBLIC'"),
        revoke("ALL ON ROUTINE", "name", &quoted, withheld),
        defaults(in_groups),
        create(in_groups, named),
        tables(RUNS_CODE, IS_RUNS_CODE, in_groups, named),
    ]
}

/// Rights on a table with which a role can have its code run by others' statements.
const RUNS_CODE: &str = "TRIGGER, REFERENCES ON TABLE";
const IS_RUNS_CODE: &str = "IN ('TRIGGER', 'REFERENCES')";

/// A query for the statements that revoke from the default privileges of the owner what [`revoke_excess`] revokes on tables,
/// so that no table has it for as long as a script runs.
fn defaults(grantee: &str) -> String {
    format!(
        "SELECT string_agg(DISTINCT format('ALTER DEFAULT PRIVILEGES %s REVOKE TRIGGER, REFERENCES ON TABLES FROM %I', \
             'IN SCHEMA ' || quote_ident(nspname), g.rolname), '; ') \
         FROM pg_default_acl d LEFT JOIN pg_namespace n ON n.oid = defaclnamespace, aclexplode(defaclacl) a \
         JOIN pg_roles g ON g.oid = grantee \
         WHERE defaclobjtype = 'r' AND pg_get_userbyid(defaclrole) = current_user AND {grantee} \
             AND privilege_type {IS_RUNS_CODE}"
    )
}

/// Grants a role its rights on what a creator will create, the owner if none is named, and revokes those of earlier
/// versions.
pub(super) fn future_grants(creator: Option<&str>, role: &str, rights: &TenantRights) -> String {
    let creator = creator.map(|creator| format!("FOR ROLE {} ", quote(creator)));
    let (creator, role) = (creator.unwrap_or_default(), quote(role));
    let schemas = if rights.create { "USAGE, CREATE" } else { "USAGE" };
    let change = |what: String| format!("ALTER DEFAULT PRIVILEGES {creator}{what}");
    [
        format!("REVOKE ALL ON TABLES FROM {role}"),
        format!("GRANT {TABLE} ON TABLES TO {role}"),
        format!("GRANT ALL ON SEQUENCES TO {role}"),
        // PUBLIC has it, unless a script revokes it; the role's own grant would remain.
        format!("REVOKE ALL ON ROUTINES FROM {role}"),
        format!("GRANT USAGE ON TYPES TO {role}"),
        format!("REVOKE ALL ON SCHEMAS FROM {role}"),
        format!("GRANT {schemas} ON SCHEMAS TO {role}"),
    ]
    .map(change)
    .join("; ")
}

/// Sets the limits of a role; other limits are reset.
pub(super) fn limit(role: &str, limits: &LoginLimits) -> String {
    let role = quote(role);
    let setting = |name: &str, value: Option<crate::api::GoDuration>| match value {
        Some(value) => format!("ALTER ROLE {role} SET {name} = {}", value.as_std().as_millis()),
        None => format!("ALTER ROLE {role} RESET {name}"),
    };
    [
        format!(
            "ALTER ROLE {role} CONNECTION LIMIT {}",
            limits.connections.unwrap_or(-1)
        ),
        setting("statement_timeout", limits.statement_timeout),
        setting(
            "idle_in_transaction_session_timeout",
            limits.idle_in_transaction_timeout,
        ),
    ]
    .join("; ")
}
