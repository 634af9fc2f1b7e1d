//! What a tenant's login may do with the objects of its database, as statements.

use sqlx::{AssertSqlSafe, PgConnection};

use super::error::Result;
use super::groups::shut_out;
use super::records::IS_RECORD;
use super::sql::{OPERATOR_SCHEMA, quote, run};
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
    /// What the Data API reaches of new tables; without it nothing is changed.
    pub expose_new_tables: Option<ExposeNewTables>,
}

/// Rights on a table: data, and nothing that runs code as whoever uses the table later.
const TABLE: &str = "SELECT, INSERT, UPDATE, DELETE, TRUNCATE";

/// The schemas that are the tenant's: `public` and those that the owner owns.
pub(super) const SCHEMAS: &str = "nspname <> 'information_schema' AND nspname !~ '^pg_' AND nspname <> $1 \
    AND (nspname = 'public' OR nspowner = (SELECT oid FROM pg_roles WHERE rolname = current_user))";

/// The schemas that the owner merely holds: that of a history, and those of extensions, which hold nothing of the
/// owner's own. Nobody creates objects there.
const HELD: &str = "(nspname IN ('supabase_migrations', 'extensions') OR nspname <> 'public' \
    AND EXISTS (SELECT FROM pg_extension WHERE extnamespace = pg_namespace.oid) \
    AND NOT EXISTS (SELECT FROM pg_class c WHERE relnamespace = pg_namespace.oid AND relowner = nspowner \
        AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND NOT EXISTS \
        (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype IN ('e', 'i'))) \
    AND NOT EXISTS (SELECT FROM pg_proc p WHERE pronamespace = pg_namespace.oid AND proowner = nspowner AND NOT EXISTS \
        (SELECT FROM pg_depend WHERE classid = 'pg_proc'::regclass AND objid = p.oid AND deptype IN ('e', 'i'))))";

/// Grants a role its rights on what exists and the owner may grant, and revokes what it has beyond them, as earlier
/// versions of the operator granted it. What belongs to an extension keeps the extension's rights.
pub(super) async fn grant_existing(conn: &mut PgConnection, role: &str, rights: &TenantRights) -> Result<()> {
    shut_out(conn).await?;
    revoke_excess(conn, role, rights).await?;
    let relation = |kinds: &str, which: &str| {
        format!(
            "SELECT string_agg(format('%I.%I', nspname, relname), ', ') FROM pg_class c \
             JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind IN ({kinds}) AND {which} AND {}",
            own("pg_class", "c.oid", "relowner")
        )
    };
    let routines = format!(
        "SELECT string_agg(p.oid::regprocedure::text, ', ') FROM pg_proc p \
         JOIN pg_namespace n ON n.oid = pronamespace WHERE {}",
        own("pg_proc", "p.oid", "proowner")
    );
    let schemas = |which: &str| {
        format!("SELECT string_agg(quote_ident(nspname), ', ') FROM pg_namespace WHERE {SCHEMAS} AND {which}")
    };
    let tables = "'r', 'p', 'v', 'm', 'f'";
    for (right, query) in [
        ("USAGE ON SCHEMA", schemas("true")),
        (
            "CREATE ON SCHEMA",
            if rights.create {
                schemas(&format!("NOT {HELD}"))
            } else {
                schemas("false")
            },
        ),
        (
            &format!("{TABLE} ON TABLE"),
            relation(tables, &format!("NOT {IS_RECORD}")),
        ),
        ("SELECT ON TABLE", relation(tables, IS_RECORD)),
        ("ALL ON SEQUENCE", relation("'S'", "true")),
        ("EXECUTE ON ROUTINE", routines),
    ] {
        let objects = objects(conn, query).await?;
        if let Some(objects) = objects {
            run(conn, format!("GRANT {right} {objects} TO {}", quote(role))).await?;
        }
    }
    Ok(())
}

/// SQL: whether an object is in one of the tenant's schemas, the owner may grant on it, and it is no extension's.
fn own(class: &str, object: &str, owner: &str) -> String {
    format!(
        "{SCHEMAS} AND pg_has_role(current_user, {owner}, 'USAGE') AND NOT EXISTS (SELECT \
         FROM pg_depend WHERE classid = '{class}'::regclass AND objid = {object} AND deptype = 'e')"
    )
}

async fn objects(conn: &mut PgConnection, query: String) -> Result<Option<String>> {
    let listed = sqlx::query_scalar(AssertSqlSafe(query)).bind(OPERATOR_SCHEMA);
    Ok(listed.fetch_one(conn).await?)
}

/// Revokes rights on tables beyond [`TABLE`], and CREATE in schemas: the role's own and, because the role has them
/// too, those of PUBLIC and of the groups that it is a member of.
pub(super) async fn revoke_excess(conn: &mut PgConnection, role: &str, rights: &TenantRights) -> Result<()> {
    let name = role.replace('\'', "''");
    let is = |grantee: &str| format!("{grantee} = (SELECT oid FROM pg_roles WHERE rolname = '{name}')");
    let schemas = |grantee: &str, which: &str| {
        format!(
            "SELECT string_agg(quote_ident(nspname), ', ') FROM pg_namespace WHERE {SCHEMAS} AND {which} \
             AND pg_has_role(current_user, nspowner, 'USAGE') AND EXISTS (SELECT FROM aclexplode(nspacl) \
                 WHERE {grantee} AND grantee <> nspowner AND privilege_type = 'CREATE')"
        )
    };
    let which = if rights.create { HELD } else { "true" };
    let tables = |grantee: &str, excess: &str| {
        format!(
            "SELECT string_agg(format('%I.%I', nspname, relname), ', ') FROM pg_class c \
             JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind IN ('r', 'p', 'v', 'm', 'f') AND {} \
                 AND EXISTS (SELECT FROM aclexplode(relacl) WHERE {grantee} AND grantee <> relowner \
                     AND privilege_type {excess})",
            own("pg_class", "c.oid", "relowner"),
        )
    };
    let beyond = "NOT IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE')";
    let mut excess = vec![
        ("CREATE ON SCHEMA", schemas(&is("grantee"), which), quote(role)),
        ("CREATE ON SCHEMA", schemas("grantee = 0", which), "PUBLIC".into()),
        ("ALL ON TABLE", tables(&is("grantee"), beyond), quote(role)),
        (RUNS_CODE, tables("grantee = 0", IS_RUNS_CODE), "PUBLIC".into()),
    ];
    let groups = groups_of(&name);
    if let Some(named) = names(conn, &groups).await? {
        let grantee = format!("grantee IN {groups}");
        excess.push(("CREATE ON SCHEMA", schemas(&grantee, which), named.clone()));
        excess.push((RUNS_CODE, tables(&grantee, IS_RUNS_CODE), named));
        revoke_defaults(conn, &grantee).await?;
    }
    for (right, query, from) in excess {
        if let Some(objects) = objects(conn, query).await? {
            run(conn, format!("REVOKE {right} {objects} FROM {from} CASCADE")).await?;
        }
    }
    Ok(())
}

/// Rights on a table with which others' statements run code of whoever has them.
const RUNS_CODE: &str = "TRIGGER, REFERENCES ON TABLE";
const IS_RUNS_CODE: &str = "IN ('TRIGGER', 'REFERENCES')";

/// SQL: the roles that a role, whose name has its quotes doubled, is a member of, also indirectly.
fn groups_of(name: &str) -> String {
    format!(
        "(WITH RECURSIVE reached AS (SELECT m.roleid FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.member \
             WHERE r.rolname = '{name}' \
             UNION SELECT m.roleid FROM pg_auth_members m JOIN reached ON m.member = reached.roleid) \
         SELECT roleid FROM reached)"
    )
}

/// The quoted names of these roles.
async fn names(conn: &mut PgConnection, roles: &str) -> Result<Option<String>> {
    let query = format!("SELECT string_agg(quote_ident(rolname), ', ') FROM pg_roles WHERE oid IN {roles}");
    Ok(sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(conn).await?)
}

/// Takes from the default privileges of the owner what [`revoke_excess`] takes from tables, so that no table has it
/// for as long as a script runs.
async fn revoke_defaults(conn: &mut PgConnection, grantee: &str) -> Result<()> {
    let query = format!(
        "SELECT DISTINCT format('ALTER DEFAULT PRIVILEGES %s REVOKE TRIGGER, REFERENCES ON TABLES FROM %I', \
             'IN SCHEMA ' || quote_ident(nspname), g.rolname) \
         FROM pg_default_acl d LEFT JOIN pg_namespace n ON n.oid = defaclnamespace, aclexplode(defaclacl) a \
         JOIN pg_roles g ON g.oid = grantee \
         WHERE defaclobjtype = 'r' AND pg_get_userbyid(defaclrole) = current_user AND {grantee} \
             AND privilege_type {IS_RUNS_CODE}"
    );
    let all: Vec<String> = sqlx::query_scalar(AssertSqlSafe(query)).fetch_all(&mut *conn).await?;
    for change in all {
        run(conn, change).await?;
    }
    Ok(())
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
        format!("GRANT EXECUTE ON ROUTINES TO {role}"),
        format!("GRANT USAGE ON TYPES TO {role}"),
        format!("REVOKE ALL ON SCHEMAS FROM {role}"),
        format!("GRANT {schemas} ON SCHEMAS TO {role}"),
    ]
    .map(change)
    .join("; ")
}

/// Sets the limits of a role; what is not limited is reset.
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
