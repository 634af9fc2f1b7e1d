//! What a tenant's login may do with the objects of its database, as statements.

use sqlx::{PgConnection, Row as _};

use super::error::Result;
use super::groups::shut_out;
use super::records::{IS_RECORD, SHOWS_RECORD, shown};
use super::sql::{OPERATOR_SCHEMA, ask, first, literal, literals, quote, run};
use super::wall::PASSED_ON;
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

/// Revokes rights on tables beyond [`TABLE`], and CREATE in schemas and on the database: the role's own and, because the role has them
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
/// - `shown`: see [`shown`].
/// - `relation`: tables, views and sequences there, on which the owner may grant and which are no extension's.
/// - `granted`: what others than their owners may do with them and their columns, sequences apart.
/// - `routine`: the same routines, and whether each is [`WITHHELD`].
/// - `reached`: the roles that the role is a member of, also indirectly.
fn objects(role: &str) -> String {
    format!(
        "schema AS (SELECT oid, nspname, nspowner, nspacl FROM pg_namespace WHERE {schemas}), \
         {shown}, \
         relation AS (SELECT c.oid, format('%I.%I', nspname, relname) AS name, relkind, relowner, relacl, \
                 {IS_RECORD} OR {SHOWS_RECORD} AS is_record \
             FROM pg_class c JOIN schema n ON n.oid = relnamespace \
             WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND {own_relation}), \
         granted AS (SELECT name, grantee, privilege_type FROM relation, aclexplode(relacl) \
             WHERE relkind <> 'S' AND grantee <> relowner \
             UNION ALL SELECT name, grantee, privilege_type FROM relation JOIN pg_attribute ON attrelid = relation.oid, \
                 aclexplode(attacl) WHERE attacl IS NOT NULL AND NOT attisdropped AND grantee <> relowner), \
         routine AS (SELECT p.oid::regprocedure::text AS name, proowner, proacl, {WITHHELD} AS is_withheld \
             FROM pg_proc p JOIN schema n ON n.oid = pronamespace WHERE {own_routine}), \
         reached AS (SELECT m.roleid FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.member \
             WHERE r.rolname::text = {role} \
             UNION SELECT m.roleid FROM pg_auth_members m JOIN reached ON m.member = reached.roleid)",
        schemas = schemas(),
        shown = shown(),
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
        create_schemas(&is_role),
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

/// A query for the statements that take CREATE on the database from a role, its groups and PUBLIC: in the owner's
/// `search_path`, a schema of the owner's name comes first. Where another role has granted it, nobody but the owner grants
/// on the database any more.
fn create_schemas(is_role: &str) -> String {
    let has_it = format!(
        "privilege_type = 'CREATE' AND grantee <> datdba \
         AND (grantee = 0 OR {is_role} OR grantee IN (SELECT roleid FROM reached))"
    );
    format!(
        "SELECT string_agg(statement, '; ' ORDER BY statement) FROM ( \
             SELECT format('REVOKE CREATE ON DATABASE %I FROM %s CASCADE', datname, \
                 CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END) AS statement \
             FROM pg_database, aclexplode(datacl) WHERE datname = current_database() AND {has_it} \
                 AND pg_has_role(current_user, datdba, 'USAGE') \
             UNION SELECT * FROM ({PASSED_ON}) AS passed_on WHERE EXISTS (SELECT FROM pg_database, aclexplode(datacl) \
                 WHERE datname = current_database() AND {has_it} AND grantor <> datdba)) AS made"
    )
}

/// Rights on a table with which others' statements run code of whoever has them.
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

/// The settings of a role that [`limit`] sets, with their values in milliseconds.
fn timeouts(limits: &LoginLimits) -> [(&'static str, Option<u128>); 2] {
    let value = |value: Option<crate::api::GoDuration>| value.map(|value| value.as_std().as_millis());
    [
        ("statement_timeout", value(limits.statement_timeout)),
        (
            "idle_in_transaction_session_timeout",
            value(limits.idle_in_transaction_timeout),
        ),
    ]
}

/// Sets the limits of a role; what is not limited is reset. A login may set others for itself, and those for the database, of
/// this name, would count for more.
pub(super) fn limit(role: &str, limits: &LoginLimits, database: &str) -> String {
    let (role, database) = (quote(role), quote(database));
    let settings = timeouts(limits).map(|(name, value)| {
        let set = value.map_or_else(|| format!("RESET {name}"), |value| format!("SET {name} = {value}"));
        format!("; ALTER ROLE {role} {set}; ALTER ROLE {role} IN DATABASE {database} RESET {name}")
    });
    let connections = limits.connections.unwrap_or(-1);
    format!("ALTER ROLE {role} CONNECTION LIMIT {connections}{}", settings.concat())
}

/// Whether a role has the timeouts that [`limit`] sets, where it sets some. The transaction must be one of
/// [`super::sql::begin`].
pub(super) async fn has_timeouts(conn: &mut PgConnection, role: &str, rights: &TenantRights) -> Result<bool> {
    let Some(limits) = &rights.limits else {
        return Ok(true);
    };
    let timeouts = timeouts(limits);
    let names = timeouts.map(|(name, _)| name);
    let set = format!(
        "SELECT entry FROM pg_db_role_setting, unnest(setconfig) AS entry \
         WHERE setrole = (SELECT oid FROM pg_roles WHERE rolname::text = {}) AND split_part(entry, '=', 1) = ANY ({}) \
             AND setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database())) ORDER BY 1",
        literal(role),
        literals(&names)
    );
    let [rows] = ask(conn, [set]).await?;
    let set = rows.iter().map(|row| row.try_get::<String, _>(0));
    let set = set.collect::<std::result::Result<Vec<_>, _>>()?;
    let wanted = timeouts
        .into_iter()
        .filter_map(|(name, value)| Some(format!("{name}={}", value?)));
    let mut wanted: Vec<_> = wanted.collect();
    wanted.sort_unstable();
    Ok(set == wanted)
}
