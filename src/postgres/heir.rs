//! What a former login of a tenant leaves: its objects, and the rights that were granted to it by name, to the role of which
//! all the tenant's logins are members; with the release, its objects to the custodian ([`super::custodian`]).

use std::fmt;

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};

use super::bounded::column;
use super::error::{Error, Result};
use super::sql::{ask, literals, permitted, quote, run};
use crate::text;

/// Statements that grant the heir, `$2`, what the role, `$1`, was granted in this database and on the server, and that
/// name the heir in policies. Grants of an extension stay.
const BEQUESTS: &str = "WITH me AS (SELECT oid FROM pg_roles WHERE rolname::text = $1), \
    heir AS (SELECT oid, quote_ident(rolname) AS name FROM pg_roles WHERE rolname::text = $2), \
    granted AS ( \
        SELECT privilege_type AS what, CASE relkind WHEN 'S' THEN 'SEQUENCE ' ELSE 'TABLE ' END || c.oid::regclass AS place, \
            a.grantee, is_grantable FROM pg_class c, aclexplode(relacl) a WHERE relpersistence <> 't' \
        UNION ALL SELECT format('%s (%I)', privilege_type, attname), 'TABLE ' || attrelid::regclass, a.grantee, is_grantable \
            FROM pg_attribute JOIN pg_class c ON c.oid = attrelid, aclexplode(attacl) a \
            WHERE NOT attisdropped AND relpersistence <> 't' \
        UNION ALL SELECT privilege_type, format('SCHEMA %I', nspname), a.grantee, is_grantable \
            FROM pg_namespace, aclexplode(nspacl) a \
        UNION ALL SELECT privilege_type, 'ROUTINE ' || p.oid::regprocedure, a.grantee, is_grantable \
            FROM pg_proc p, aclexplode(proacl) a \
        UNION ALL SELECT privilege_type, 'TYPE ' || t.oid::regtype, a.grantee, is_grantable \
            FROM pg_type t, aclexplode(typacl) a \
        UNION ALL SELECT privilege_type, format('DATABASE %I', datname), a.grantee, is_grantable \
            FROM pg_database, aclexplode(datacl) a WHERE datname = current_database()) \
    SELECT format('GRANT %s ON %s TO %s%s', what, place, heir.name, CASE WHEN is_grantable THEN ' WITH GRANT OPTION' END) \
        FROM granted, heir WHERE grantee = (SELECT oid FROM me) \
    UNION ALL SELECT format('ALTER POLICY %I ON %s TO %s', polname, polrelid::regclass, \
            (SELECT string_agg(DISTINCT CASE WHEN named = 0 THEN 'PUBLIC' WHEN named = me.oid THEN heir.name \
                ELSE quote_ident(pg_get_userbyid(named)) END, ', ') FROM unnest(polroles) AS named)) \
        FROM pg_policy, me, heir WHERE me.oid = ANY (polroles) \
    UNION ALL SELECT format('GRANT %I TO %s', pg_get_userbyid(roleid), heir.name) \
        FROM pg_auth_members, heir WHERE member = (SELECT oid FROM me) AND roleid <> heir.oid \
            AND pg_has_role(current_user, grantor, 'USAGE')";

/// Gives the heir the objects and grants of a role, and removes both from the role. Objects that the owner may not reassign
/// are left out. Nothing is given to the owner, whose rights a function or a view of the tenant would then have. The
/// transaction must be one of [`super::sql::begin`].
pub(super) async fn pass_on(conn: &mut PgConnection, role: &str, heir: &str) -> Result<()> {
    let granted = sqlx::query(BEQUESTS).bind(role).bind(heir);
    let bequests = column(conn, "rights of a former login by its own name", granted).await?;
    for bequest in bequests {
        permitted(conn, bequest, &["42501", "0LP01", "0A000"]).await?;
    }
    leave(conn, role, heir).await
}

/// Gives the heir the objects of a role, and removes these and its rights from the role. The transaction must be one of
/// [`super::sql::begin`].
pub(super) async fn leave(conn: &mut PgConnection, role: &str, heir: &str) -> Result<()> {
    let (from, to) = (quote(role), quote(heir));
    // A new owner must be allowed to create where the objects are. Of tables, the server does not ask that here.
    let owned = sqlx::query(PLACES).bind(role).bind(heir);
    let places = column(conn, "schemas in which a former login owns objects", owned).await?;
    let mut opened = Vec::new();
    for place in places {
        if permitted(conn, format!("GRANT CREATE ON SCHEMA {place} TO {to}"), &["42501"]).await? {
            opened.push(place);
        }
    }
    run(conn, format!("REASSIGN OWNED BY {from} TO {to}")).await?;
    // A schema that the heir owns now keeps the right.
    let owned = sqlx::query("SELECT quote_ident(nspname) FROM pg_namespace WHERE pg_get_userbyid(nspowner)::text = $1");
    let owned = column(conn, "schemas of a role", owned.bind(heir)).await?;
    for place in opened.iter().filter(|place| !owned.contains(place)) {
        run(conn, format!("REVOKE CREATE ON SCHEMA {place} FROM {to}")).await?;
    }
    run(conn, format!("DROP OWNED BY {from}")).await
}

/// The schemas that hold objects of a role, `$1`, and in which the heir, `$2`, may not create any.
const PLACES: &str = "SELECT quote_ident(nspname) FROM pg_namespace n WHERE NOT has_schema_privilege($2::name, n.oid, 'CREATE') \
    AND nspname::text IN (SELECT (pg_identify_object(classid, objid, 0)).schema FROM pg_shdepend JOIN pg_database d ON d.oid = dbid \
        WHERE datname = current_database() AND refclassid = 'pg_authid'::regclass AND deptype = 'o' \
            AND pg_get_userbyid(refobjid)::text = $1)";

/// Statements after which functions and views of a role, `$1`, have the rights of those who use them, whoever owns them.
const DISARMING: &str = "SELECT format('ALTER ROUTINE %s SECURITY INVOKER', p.oid::regprocedure) FROM pg_proc p \
        WHERE prosecdef AND pg_get_userbyid(proowner)::text = $1 \
    UNION ALL SELECT format('ALTER VIEW %s SET (security_invoker = true)', c.oid::regclass) FROM pg_class c \
        WHERE relkind = 'v' AND pg_get_userbyid(relowner)::text = $1 \
            AND current_setting('server_version_num')::int >= 150000";

/// Gives the objects of a role to the owner, without the owner's rights for the role's functions and views. Code in the tables
/// of the role then runs as the owner: it must be none that a tenant's login has made. The transaction must be one of
/// [`super::sql::begin`].
pub(super) async fn take_over(conn: &mut PgConnection, role: &str) -> Result<()> {
    let owned = sqlx::query(DISARMING).bind(role);
    let disarming = column(conn, "functions and views of a former login", owned).await?;
    let role = quote(role);
    run(conn, format!("REASSIGN OWNED BY {role} TO CURRENT_USER")).await?;
    for statement in disarming {
        run(conn, statement).await?;
    }
    run(conn, format!("DROP OWNED BY {role}")).await
}

/// Statements that rename what has the name of a migration history and belongs to one of these roles, `$1`.
const HISTORIES: &str = "SELECT format('ALTER TABLE %s RENAME TO %I', c.oid::regclass, relname || '_' || c.oid) FROM pg_class c \
    WHERE relname IN ('_prisma_migrations', '_sqlx_migrations') AND relkind IN ('r', 'p', 'v', 'm', 'f') \
        AND pg_get_userbyid(relowner)::text = ANY ($1)";

/// Renames the histories that roles have made, before these are left to a role whose rights the owner has. The transaction
/// must be one of [`super::sql::begin`].
pub(super) async fn set_aside(conn: &mut PgConnection, roles: &[String]) -> Result<()> {
    let forged = sqlx::query(HISTORIES).bind(roles);
    for rename in column(conn, "tables with the name of a history", forged).await? {
        run(conn, rename).await?;
    }
    Ok(())
}

/// Drops a role that has nothing in this database any more. Where something elsewhere on the server keeps it from being
/// dropped, it is left without members. The transaction must be one of [`super::sql::begin`].
///
/// # Errors
/// [`Error::Refused`] when something else keeps it.
pub(super) async fn drop_role(conn: &mut PgConnection, role: &str) -> Result<()> {
    if permitted(conn, format!("DROP ROLE {}", quote(role)), &["2BP01"]).await? {
        return Ok(());
    }
    let memberships = sqlx::query(
        "SELECT format('REVOKE %I FROM %I CASCADE', pg_get_userbyid(roleid), pg_get_userbyid(member)) FROM pg_auth_members \
         WHERE $1 IN (pg_get_userbyid(roleid)::text, pg_get_userbyid(member)::text)",
    );
    let memberships = column(conn, "memberships of a role", memberships.bind(role)).await?;
    for revoke in memberships {
        // A neighbour may keep a group of the role locked.
        permitted(conn, revoke, &["42501", "55P03"]).await?;
    }
    if !stuck(conn, &[role.to_owned()]).await?.is_empty() {
        return Ok(());
    }
    Err(Error::refused(
        "2BP01",
        &format!("role {role} cannot be dropped: something in this database still depends on it, or it has members"),
    ))
}

/// SQL over `pg_roles r`: whether only rights or objects in other databases of the server keep the role, which this login
/// might drop: it does not log in, has nothing in this database, and has no members but this login, which may administer
/// it and no more. Whoever owns a database may grant rights to every role of the server.
pub(super) const IS_STUCK: &str = "(NOT r.rolcanlogin AND NOT r.rolsuper \
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_auth_members m, pg_catalog.to_jsonb(m) AS o WHERE m.roleid = r.oid \
        AND (m.member <> (SELECT me.oid FROM pg_catalog.pg_roles me WHERE me.rolname = current_user) \
            OR coalesce((o->>'inherit_option')::bool, true) OR coalesce((o->>'set_option')::bool, true))) \
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_shdepend s JOIN pg_catalog.pg_database d ON d.datname = current_database() \
        WHERE s.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass AND s.refobjid = r.oid \
            AND d.oid IN (s.dbid, CASE WHEN s.classid = 'pg_catalog.pg_database'::pg_catalog.regclass THEN s.objid END)) \
    AND EXISTS (SELECT FROM pg_catalog.pg_shdepend s WHERE s.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass \
        AND s.refobjid = r.oid))";

/// Of these roles, those that [`IS_STUCK`] is true of, each with the name of a database that keeps it.
pub(super) async fn stuck(conn: &mut PgConnection, roles: &[String]) -> Result<Vec<(String, String)>> {
    let query = format!(
        "SELECT r.rolname::text, (SELECT min(datname::text) FROM pg_shdepend s JOIN pg_database d \
             ON d.oid IN (s.dbid, CASE WHEN s.classid = 'pg_database'::regclass THEN s.objid END) \
             WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = r.oid) \
         FROM pg_roles r WHERE r.rolname::text = ANY ({}) AND {IS_STUCK}",
        literals(roles)
    );
    let [rows] = ask(conn, [query]).await?;
    let read = |row: &PgRow| {
        let database: Option<String> = row.try_get(1)?;
        Ok((row.try_get(0)?, database.unwrap_or_else(|| "(unknown)".to_owned())))
    };
    rows.iter().map(read).collect()
}

/// A role with the name of a tenant's that is left on the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeptRole {
    /// It logs in no more, and has nothing in the database. What it was granted elsewhere keeps it from being dropped.
    Elsewhere {
        /// Its name.
        role: String,
        /// The name of a database where it was granted something.
        database: String,
    },
    /// It logs in, and the owner may not change it.
    OutOfReach {
        /// Its name.
        role: String,
    },
}

impl KeptRole {
    /// Whether somebody can still log in by it.
    pub fn logs_in(&self) -> bool {
        matches!(self, Self::OutOfReach { .. })
    }
}

impl fmt::Display for KeptRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Elsewhere { role, database } => write!(
                f,
                "the role {role} logs in no more and has nothing in its database; it stays on the server because rights or \
                 objects in database {} are its own: to drop it, a superuser runs REASSIGN OWNED BY {role} TO that database's owner, and \
                 DROP OWNED BY {role}, there, and then DROP ROLE {role}",
                text::line(database, NAME)
            ),
            Self::OutOfReach { role } => write!(
                f,
                "the role {role} has the name of a login of the tenant and can connect to the database, and the database's \
                 owner may not change it: a superuser runs ALTER ROLE {role} NOLOGIN"
            ),
        }
    }
}

/// Tells of a tenant's roles that can no longer log in, and could not be dropped, and how to drop them. `first`: the tenant's first
/// role, whose name begins the names of the others.
pub fn undropped(first: &str, error: &impl fmt::Display) -> String {
    format!(
        "no login of the tenant works any more, but the role {first}, or one named {first}_<n>, is left on the server ({error}): an \
         Orchestra that takes the database back drops it. Where nobody needs its tables any more, run DROP OWNED BY that role and \
         DROP ROLE there"
    )
}

/// Bytes of a database's name in a message.
const NAME: usize = 63;
