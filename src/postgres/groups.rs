//! The groups that a tenant's login is a member of: roles without a login of their own that policies and grants of a
//! migration name.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{AssertSqlSafe, PgConnection, Row as _};

use super::error::Result;
use super::sql::{begin, end, permitted, quote};
use super::wall::Sharing;

/// The group of all tenants' logins of a server. It has no rights of its own, so that its members are nearer to each
/// other in no database: a right that a migration grants it means something in that database alone, which the other
/// members cannot connect to.
pub const APP_GROUP: &str = "orchestra_app";

/// The role of the key for servers at a hosted project's Data API.
pub(super) const SERVICE_ROLE: &str = "service_role";

/// The roles that a hosted project's Data API has for its keys and users.
pub(super) const DATA_API_ROLES: [&str; 3] = ["anon", "authenticated", SERVICE_ROLE];

/// What the server says of a group that exists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct GroupFacts {
    /// It and the roles that it belongs to are groups and no more: none logs in, owns a database, or has attributes
    /// that a member could use.
    pub is_fit: bool,
    /// The owner may make others members of it.
    pub grantable: bool,
    /// Which of the roles that were asked for are members of it.
    pub members: BTreeSet<String>,
}

/// The groups that a tenant's login is a member of on a server. Elsewhere than in a hosted project, the names of its
/// roles mean nothing.
fn names(server: Sharing) -> Vec<&'static str> {
    let hosted = match server {
        Sharing::Own => &DATA_API_ROLES[..],
        Sharing::Shared => &[],
    };
    hosted.iter().copied().chain([APP_GROUP]).collect()
}

/// What the server says of these groups. Attributes other than BYPASSRLS are used by a `SET ROLE` to the group.
const FACTS: &str = "WITH RECURSIVE reached AS ( \
        SELECT oid AS start, oid AS role FROM pg_roles WHERE rolname::text = ANY ($1) \
        UNION SELECT r.start, m.roleid FROM pg_auth_members m JOIN reached r ON m.member = r.role) \
    SELECT g.rolname::text, \
        NOT EXISTS (SELECT FROM reached JOIN pg_roles r ON r.oid = role WHERE start = g.oid AND ( \
            r.rolsuper OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication OR r.rolcanlogin \
            OR r.rolbypassrls AND g.rolname::text = $3 OR r.rolname ~ '^pg_' \
            OR EXISTS (SELECT FROM pg_database WHERE datdba = r.oid))), \
        o.rolsuper OR pg_has_role(o.oid, g.oid, 'MEMBER WITH ADMIN OPTION') \
            OR o.rolcreaterole AND current_setting('server_version_num')::int < 160000, \
        ARRAY(SELECT l.rolname::text FROM pg_auth_members m JOIN pg_roles l ON l.oid = m.member \
            WHERE m.roleid = g.oid AND l.rolname::text = ANY ($2)) \
    FROM pg_roles g, pg_roles o WHERE g.rolname::text = ANY ($1) AND o.rolname = current_user";

/// Reads the groups of a server that exist, with the members among these roles. The transaction must be one of
/// [`begin`].
pub(super) async fn observe(
    conn: &mut PgConnection,
    server: Sharing,
    roles: &[&str],
) -> Result<BTreeMap<&'static str, GroupFacts>> {
    let names = names(server);
    let texts = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let rows = sqlx::query(FACTS)
        .bind(texts(&names))
        .bind(texts(roles))
        .bind(APP_GROUP)
        .fetch_all(conn)
        .await?;
    let mut found = BTreeMap::new();
    for row in rows {
        let name: String = row.try_get(0)?;
        let members: Vec<String> = row.try_get(3)?;
        let group = GroupFacts {
            is_fit: row.try_get(1)?,
            grantable: row.try_get(2)?,
            members: members.into_iter().collect(),
        };
        if let Some(name) = names.iter().find(|known| **known == name) {
            found.insert(*name, group);
        }
    }
    Ok(found)
}

/// Creates the group of tenants' logins, unless it exists: two databases of a server may be prepared at once.
pub(super) async fn create(conn: &mut PgConnection) -> Result<()> {
    let sql = format!("CREATE ROLE {}", quote(APP_GROUP));
    permitted(conn, sql, &["42501", "42710", "23505"]).await.map(drop)
}

/// Makes a role a member of a group. Where the owner may not after all, the login is no member.
pub(super) async fn join(conn: &mut PgConnection, group: &str, role: &str) -> Result<()> {
    let sql = format!("GRANT {} TO {}", quote(group), quote(role));
    permitted(conn, sql, &["42501"]).await.map(drop)
}

/// Makes sure that migrations can name the group of tenants' logins, before a tenant has the database.
///
/// # Errors
/// See [`super::Error`].
pub async fn ensure_app_group(conn: &mut PgConnection) -> Result<()> {
    begin(conn).await?;
    let made = async {
        let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname::text = $1)")
            .bind(APP_GROUP)
            .fetch_one(&mut *conn)
            .await?;
        if exists { Ok(()) } else { create(conn).await }
    };
    let made = made.await;
    end(conn, made).await
}

/// Takes from the group of tenants' logins what a script granted it on the current database itself: with CONNECT, the
/// other tenants of the server would get in.
pub(super) async fn shut_out(conn: &mut PgConnection) -> Result<()> {
    let query = "SELECT format('REVOKE ALL ON DATABASE %I FROM %I CASCADE', datname, rolname) FROM pg_database, pg_roles \
        WHERE datname = current_database() AND rolname::text = $1 AND pg_has_role(current_user, datdba, 'USAGE') \
            AND EXISTS (SELECT FROM aclexplode(datacl) WHERE grantee = pg_roles.oid)";
    let revoke: Option<String> = sqlx::query_scalar(query)
        .bind(APP_GROUP)
        .fetch_optional(&mut *conn)
        .await?;
    if let Some(revoke) = revoke {
        sqlx::raw_sql(AssertSqlSafe(revoke)).execute(conn).await?;
    }
    Ok(())
}
