//! The target of a restore: checks that it is empty and compatible with the backup, and prepares it.

use sqlx::{AssertSqlSafe, PgConnection};

use super::error::{Error, Result};
use super::manifest::SnapshotFacts;
use super::outcome::OutcomeReason;
use super::scope::SchemaScope;
use super::sql::run;
use super::toc::{OUTGOING, PROVIDERS_OWN, TargetFacts};
use crate::postgres::{self, quote};
use crate::text;

/// What makes a database not empty: relations, functions and types of the schemas `$1` that do not belong to an extension
/// and are not run by an event trigger of the provider.
const THINGS: &str = "SELECT format('%I.%I', nspname, relname) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace \
        WHERE relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND relpersistence <> 't' AND nspname = ANY ($1) \
            AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e') \
    UNION ALL SELECT format('%I.%I()', nspname, proname) FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace \
        WHERE nspname = ANY ($1) AND p.oid NOT IN (SELECT evtfoid FROM pg_event_trigger) \
            AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid AND e.deptype = 'e') \
    UNION ALL SELECT format('schema %I', nspname) FROM pg_namespace n WHERE nspname = ANY ($1) AND nspname <> 'public' \
            AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_namespace'::regclass AND e.objid = n.oid AND e.deptype = 'e') \
    LIMIT 1000";

/// Rows of the provider's services, in a project that somebody has used.
const USED: &str = "SELECT t FROM (SELECT 'auth.users' AS t FROM auth.users UNION ALL SELECT 'storage.buckets' FROM storage.buckets \
    UNION ALL SELECT 'storage.objects' FROM storage.objects) x LIMIT 1";

/// Default privileges in schemas that the session's role grants to others, as statements that revoke them and that grant
/// them again.
const DEFAULTS: &str = "SELECT format('ALTER DEFAULT PRIVILEGES IN SCHEMA %I REVOKE %s ON %s FROM %s', nspname, privilege_type, kind, who), \
        format('ALTER DEFAULT PRIVILEGES IN SCHEMA %I GRANT %s ON %s TO %s%s', nspname, privilege_type, kind, who, \
            CASE WHEN is_grantable THEN ' WITH GRANT OPTION' END) \
    FROM (SELECT nspname, a.privilege_type, a.is_grantable, \
            CASE defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS' WHEN 'T' THEN 'TYPES' END AS kind, \
            CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS who \
        FROM pg_default_acl d JOIN pg_namespace n ON n.oid = defaclnamespace, aclexplode(defaclacl) a \
        WHERE defaclrole = (SELECT oid FROM pg_roles WHERE rolname = current_user) AND a.grantee <> defaclrole) x \
    WHERE kind IS NOT NULL AND nspname NOT IN ('auth', 'storage')";

/// Statements that revoke what the owners of the objects granted to tenants' logins. Those of the tenant whose
/// first role is `$1` keep it.
fn inherited() -> AssertSqlSafe<String> {
    let is_former = postgres::is_other_tenants("rolname::text", "$1");
    AssertSqlSafe(format!(
        "WITH former AS (SELECT oid, rolname FROM pg_roles WHERE {is_former}) {GRANTED}"
    ))
}

/// The statements of [`inherited`] for the roles `former`.
const GRANTED: &str = "\
    SELECT DISTINCT format('REVOKE ALL ON %s %s FROM %I CASCADE', kind, name, rolname) FROM ( \
        SELECT CASE relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind, format('%I.%I', nspname, relname) AS name, a.grantee \
            FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace, LATERAL (SELECT grantee FROM aclexplode(relacl) \
                UNION SELECT x.grantee FROM pg_attribute, aclexplode(attacl) x WHERE attrelid = c.oid) a \
            WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S') \
        UNION ALL SELECT 'ROUTINE', p.oid::regprocedure::text, grantee FROM pg_proc p, aclexplode(proacl) \
        UNION ALL SELECT 'TYPE', t.oid::regtype::text, grantee FROM pg_type t, aclexplode(typacl) \
        UNION ALL SELECT 'SCHEMA', quote_ident(nspname), grantee FROM pg_namespace, aclexplode(nspacl) \
        UNION ALL SELECT 'LARGE OBJECT', oid::text, grantee FROM pg_largeobject_metadata, aclexplode(lomacl) \
        UNION ALL SELECT 'FOREIGN DATA WRAPPER', quote_ident(fdwname), grantee FROM pg_foreign_data_wrapper, aclexplode(fdwacl) \
        UNION ALL SELECT 'FOREIGN SERVER', quote_ident(srvname), grantee FROM pg_foreign_server, aclexplode(srvacl)) granted \
    JOIN former ON former.oid = grantee \
    UNION ALL SELECT DISTINCT format('ALTER DEFAULT PRIVILEGES%s REVOKE ALL ON %s FROM %I CASCADE', \
            (SELECT format(' IN SCHEMA %I', nspname) FROM pg_namespace WHERE oid = defaclnamespace), \
            CASE defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS' WHEN 'T' THEN 'TYPES' \
                WHEN 'n' THEN 'SCHEMAS' END, rolname) \
        FROM pg_default_acl d, aclexplode(defaclacl) a JOIN former ON former.oid = a.grantee \
        WHERE defaclrole = (SELECT oid FROM pg_roles WHERE rolname = current_user) AND defaclobjtype IN ('r', 'S', 'f', 'T', 'n') \
    UNION ALL SELECT format('DROP USER MAPPING IF EXISTS FOR %I SERVER %I', rolname, s.srvname) FROM pg_user_mappings \
        JOIN former ON former.oid = umuser JOIN pg_foreign_server s ON s.oid = srvid WHERE pg_has_role(current_user, srvowner, 'USAGE') \
    LIMIT 10000";

/// Checks that the database is empty and compatible with the backup.
///
/// # Errors
/// [`OutcomeReason::NotEmpty`], which names what is there; [`OutcomeReason::Incompatible`], which names the extension
/// that the server lacks.
pub(super) async fn check(conn: &mut PgConnection, scope: &SchemaScope, facts: &SnapshotFacts) -> Result<()> {
    let mut things = postgres::column(conn, "objects", sqlx::query(THINGS).bind(&scope.included)).await?;
    if scope.hosted {
        things.extend(postgres::column(conn, "rows", sqlx::query(USED)).await?);
    }
    if !things.is_empty() {
        return Err(Error::new(
            OutcomeReason::NotEmpty,
            format!(
                "the target is not empty: it contains {}. Restore into a new database or project",
                text::names(&things, 5, things.len())
            ),
        ));
    }
    let available = sqlx::query("SELECT name::text FROM pg_available_extensions");
    let available = postgres::column(conn, "extensions", available).await?;
    let lacking: Vec<_> = facts
        .extensions
        .keys()
        .filter(|name| !OUTGOING.contains(&name.as_str()) && !available.contains(name))
        .collect();
    // Those of the provider have schemas of their own, which are not restored.
    let lacking: Vec<_> = lacking
        .into_iter()
        .filter(|name| !facts.hosted || !PROVIDERS_OWN.contains(&name.as_str()))
        .collect();
    if lacking.is_empty() {
        return Ok(());
    }
    Err(Error::new(
        OutcomeReason::Incompatible,
        format!(
            "the target's server lacks the extensions {}: install them on the server, or restore into a hosted project",
            text::names(&lacking, 10, lacking.len())
        ),
    ))
}

/// The roles of a backup that the server does not have.
///
/// # Errors
/// When the database returns an error.
pub(super) async fn missing_roles(conn: &mut PgConnection, facts: &SnapshotFacts) -> Result<Vec<String>> {
    let there = present(conn, &facts.roles).await?;
    let missing = facts.roles.iter().filter(|role| !there.contains(role));
    Ok(missing.cloned().collect())
}

/// Those of these roles that the server has.
///
/// # Errors
/// When the database returns an error.
pub(super) async fn present(conn: &mut PgConnection, roles: &[String]) -> Result<Vec<String>> {
    let there = sqlx::query("SELECT rolname::text FROM pg_roles WHERE rolname = ANY ($1)").bind(roles);
    Ok(postgres::column(conn, "roles", there).await?)
}

/// Creates those of these roles that an earlier run has not created, without login, and makes `owner` a member of each, so
/// that it can give them the objects that they owned.
///
/// # Errors
/// When the database returns an error.
pub(super) async fn make_roles(conn: &mut PgConnection, roles: &[String], owner: &str) -> Result<()> {
    let there = present(conn, roles).await?;
    for role in roles {
        let name = quote(role);
        let make = if there.contains(role) {
            String::new()
        } else {
            format!("CREATE ROLE {name} NOLOGIN; ")
        };
        // In one transaction: nobody could change a role without a member.
        run(conn, &format!("{make}GRANT {name} TO {}", quote(owner))).await?;
    }
    Ok(())
}

/// Revokes the rights of tenants' logins on restored objects that this session granted: the former tenant may still exist on
/// the same server. The logins of the tenant whose database this is, by its first role, keep them. Tenants' logins that this
/// restore created are dropped.
///
/// # Errors
/// When the database returns an error.
pub(super) async fn disinherit(conn: &mut PgConnection, own: Option<&str>, made: &[String]) -> Result<()> {
    let mut before = Vec::new();
    loop {
        let found = sqlx::query(inherited()).bind(own.unwrap_or_default());
        let found = postgres::column(conn, "rights", found).await?;
        if found.is_empty() {
            break;
        }
        if found == before {
            // They were granted by another role than the one that restores.
            tracing::warn!(
                rights = found.len(),
                first = found[0],
                "rights of former tenants' logins are not revoked"
            );
            break;
        }
        for statement in &found {
            run(conn, statement).await?;
        }
        before = found;
    }
    let made = present(conn, made).await?;
    let tenants: Vec<_> = made.into_iter().filter(|role| postgres::is_tenants(role)).collect();
    Ok(postgres::drop_made_roles(conn, &tenants).await?)
}

/// Names of the extensions.
///
/// # Errors
/// When the database returns an error.
pub(super) async fn extensions(conn: &mut PgConnection) -> Result<Vec<String>> {
    let extensions = sqlx::query("SELECT extname::text FROM pg_extension");
    Ok(postgres::column(conn, "extensions", extensions).await?)
}

/// Statements that make the views among `$1` run with the rights of the role that uses them (`security_invoker`).
const DISARMING: &str = "SELECT format('ALTER VIEW %s SET (security_invoker = true)', c.oid::regclass) FROM pg_class c \
        WHERE relkind = 'v' AND c.oid = ANY (SELECT to_regclass(name) FROM unnest($1) AS name)";

/// Makes views run without the owner's rights that belonged to another role and now belong to the owner.
///
/// # Errors
/// When the database returns an error.
pub(super) async fn disarm(conn: &mut PgConnection, facts: &SnapshotFacts) -> Result<()> {
    let of_others = sqlx::query(DISARMING).bind(&facts.of_others);
    for statement in postgres::column(conn, "views of other roles", of_others).await? {
        run(conn, &statement).await?;
    }
    Ok(())
}

/// Creates the schemas of a hosted project's extensions, for a drill on a self-hosted server.
///
/// # Errors
/// When the database returns an error.
pub(super) async fn make_schemas(conn: &mut PgConnection, facts: &SnapshotFacts) -> Result<()> {
    let all = facts.extensions.iter().filter(|(name, _)| {
        let name = name.as_str();
        !PROVIDERS_OWN.contains(&name) && !OUTGOING.contains(&name)
    });
    for (_, extension) in all {
        let schema = &extension.schema;
        if schema != "pg_catalog" && !facts.schemas.contains(schema) {
            run(conn, &format!("CREATE SCHEMA IF NOT EXISTS {}", quote(schema))).await?;
        }
    }
    Ok(())
}

/// Revokes the default privileges of the session's role: otherwise restored objects would be open to the roles that they
/// name, whatever rights the objects had. Returns the statements that grant them again.
///
/// # Errors
/// When the database returns an error.
pub(super) async fn close_defaults(conn: &mut PgConnection) -> Result<Vec<String>> {
    let found: Vec<(String, String)> = postgres::all(conn, "default privileges", sqlx::query(DEFAULTS)).await?;
    for (close, _) in &found {
        run(conn, close).await?;
    }
    Ok(found.into_iter().map(|(_, open)| open).collect())
}

/// Reads what the target already contains.
///
/// # Errors
/// When the database returns an error.
pub(super) async fn describe(conn: &mut PgConnection, scope: &SchemaScope) -> Result<TargetFacts> {
    let watchers = sqlx::query(
        "SELECT nspname || ' ' || proname || '(' || pg_get_function_identity_arguments(p.oid) || ')' FROM pg_proc p \
            JOIN pg_namespace n ON n.oid = pronamespace WHERE p.oid IN (SELECT evtfoid FROM pg_event_trigger)",
    );
    Ok(TargetFacts {
        extensions: extensions(conn).await?,
        watchers: postgres::column(conn, "event triggers", watchers).await?,
        user: scope.owner.clone(),
        hosted: scope.hosted,
    })
}
