//! What a former login of a tenant leaves to the role that all of its logins are members of: what it owns, and what it
//! was granted by name.

use sqlx::PgConnection;

use super::error::Result;
use super::sql::{begin, end, permitted, quote, run};

/// Statements that grant the heir, `$2`, what the role, `$1`, was granted in this database and on the server, and that
/// name the heir in policies. What an extension has granted is the extension's.
const BEQUESTS: &str = "WITH me AS (SELECT oid FROM pg_roles WHERE rolname::text = $1), \
    heir AS (SELECT oid, quote_ident(rolname) AS name FROM pg_roles WHERE rolname::text = $2), \
    granted AS ( \
        SELECT privilege_type AS what, CASE relkind WHEN 'S' THEN 'SEQUENCE ' ELSE 'TABLE ' END || c.oid::regclass AS place, \
            a.grantee, is_grantable FROM pg_class c, aclexplode(relacl) a \
        UNION ALL SELECT format('%s (%I)', privilege_type, attname), 'TABLE ' || attrelid::regclass, a.grantee, is_grantable \
            FROM pg_attribute, aclexplode(attacl) a WHERE NOT attisdropped \
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
        FROM pg_auth_members, heir WHERE member = (SELECT oid FROM me) AND roleid <> heir.oid";

/// Leaves to the heir what a role owns and was granted, and takes both from the role. What the owner may not pass on is
/// left out; objects that the heir may not own, because it may not create any where they are, become the owner's. The
/// transaction must be one of [`super::sql::begin`].
pub(super) async fn pass_on(conn: &mut PgConnection, role: &str, heir: &str) -> Result<()> {
    let bequests: Vec<String> = sqlx::query_scalar(BEQUESTS)
        .bind(role)
        .bind(heir)
        .fetch_all(&mut *conn)
        .await?;
    for bequest in bequests {
        permitted(conn, bequest, &["42501", "0LP01", "0A000"]).await?;
    }
    let (from, to) = (quote(role), quote(heir));
    if !permitted(conn, format!("REASSIGN OWNED BY {from} TO {to}"), &["42501"]).await? {
        run(conn, format!("REASSIGN OWNED BY {from} TO CURRENT_USER")).await?;
    }
    run(conn, format!("DROP OWNED BY {from}")).await
}

/// The roles of a tenant on the server: the first one, and the numbered ones that were made for rotations.
pub(super) async fn generations(conn: &mut PgConnection, base: &str) -> Result<Vec<String>> {
    let query = "SELECT rolname::text FROM pg_roles WHERE rolname::text = $1 \
        OR left(rolname::text, length($1) + 1) = $1 || '_' AND substr(rolname::text, length($1) + 2) ~ '^[0-9]+$' \
        ORDER BY length(rolname::text) DESC, 1 DESC";
    Ok(sqlx::query_scalar(query).bind(base).fetch_all(conn).await?)
}

/// Those of them that may log in.
///
/// # Errors
/// See [`super::Error`].
pub async fn tenant_logins(conn: &mut PgConnection, base: &str) -> Result<Vec<String>> {
    begin(conn).await?;
    let found = async {
        let all = generations(conn, base).await?;
        let query = "SELECT rolname::text FROM pg_roles WHERE rolname::text = ANY ($1) AND rolcanlogin";
        Ok(sqlx::query_scalar(query).bind(all).fetch_all(&mut *conn).await?)
    };
    let found = found.await;
    end(conn, found).await
}
