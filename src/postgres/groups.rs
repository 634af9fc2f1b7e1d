//! The groups that a tenant's login is a member of: roles without a login of their own that policies and grants of a
//! migration name.

use std::collections::BTreeMap;

use sqlx::{AssertSqlSafe, PgConnection, Row as _};

use super::error::{Error, Result};
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
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct GroupFacts {
    /// Its members inherit nothing that leads beyond it: neither it nor a role that it belongs to owns a database or is
    /// one of the server's own.
    pub is_closed: bool,
    /// Who becomes it, or a role that it belongs to, by `SET ROLE` gets no attribute by that, and neither logs in.
    pub is_plain: bool,
    /// The server lets a member have the rights of a group without becoming it: version 16 or later.
    pub parts: bool,
    /// The owner may make others members of it.
    pub grantable: bool,
    /// Which of the roles that were asked for are members of it.
    pub members: BTreeMap<String, Membership>,
}

/// How a role is a member of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Membership {
    /// It has the group's rights.
    pub inherits: bool,
    /// Whether it becomes the group by `SET ROLE`.
    pub becomes: Becomes,
}

/// Whether a member becomes its group by `SET ROLE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Becomes {
    /// It does not.
    Never,
    /// It does, by grants that the owner may change.
    ByOurs,
    /// It does, also by a grant of somebody else.
    ByOthers,
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

/// What the server says of these groups.
const FACTS: &str = "WITH RECURSIVE reached AS ( \
        SELECT oid AS start, oid AS role FROM pg_roles WHERE rolname::text = ANY ($1) \
        UNION SELECT r.start, m.roleid FROM pg_auth_members m JOIN reached r ON m.member = r.role), \
    modern AS (SELECT current_setting('server_version_num')::int >= 160000 AS is) \
    SELECT g.rolname::text, \
        NOT EXISTS (SELECT FROM reached JOIN pg_roles r ON r.oid = role WHERE start = g.oid AND ( \
            r.rolname ~ '^pg_' OR EXISTS (SELECT FROM pg_database WHERE datdba = r.oid))), \
        NOT EXISTS (SELECT FROM reached JOIN pg_roles r ON r.oid = role WHERE start = g.oid AND ( \
            r.rolsuper OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication OR r.rolcanlogin \
            OR r.rolbypassrls AND g.rolname::text = $2)), \
        modern.is, \
        o.rolsuper OR pg_has_role(o.oid, g.oid, 'MEMBER WITH ADMIN OPTION') OR o.rolcreaterole AND NOT modern.is \
    FROM pg_roles g, pg_roles o, modern WHERE g.rolname::text = ANY ($1) AND o.rolname = current_user";

/// The members of these groups among these roles. The options of a membership have columns since version 16.
const MEMBERS: &str = "SELECT g.rolname::text, l.rolname::text, \
        bool_or(coalesce((o->>'inherit_option')::bool, l.rolinherit)), \
        bool_or(coalesce((o->>'set_option')::bool, true)), \
        bool_and(coalesce(NOT (o->>'set_option')::bool, false) OR pg_has_role(current_user, m.grantor, 'USAGE')) \
    FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid JOIN pg_roles l ON l.oid = m.member, to_jsonb(m) AS o \
    WHERE g.rolname::text = ANY ($1) AND l.rolname::text = ANY ($2) GROUP BY 1, 2";

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
        .bind(APP_GROUP)
        .fetch_all(&mut *conn)
        .await?;
    let mut found = BTreeMap::new();
    for row in rows {
        let name: String = row.try_get(0)?;
        let group = GroupFacts {
            is_closed: row.try_get(1)?,
            is_plain: row.try_get(2)?,
            parts: row.try_get(3)?,
            grantable: row.try_get(4)?,
            members: BTreeMap::new(),
        };
        if let Some(name) = names.iter().find(|known| **known == name) {
            found.insert(*name, group);
        }
    }
    for row in memberships(conn, texts(&names), texts(roles)).await? {
        let (group, role, inherits, becomes, ours): (String, String, bool, bool, bool) = row;
        let becomes = match (becomes, ours) {
            (false, _) => Becomes::Never,
            (true, true) => Becomes::ByOurs,
            (true, false) => Becomes::ByOthers,
        };
        if let Some(group) = found.get_mut(group.as_str()) {
            group.members.insert(role, Membership { inherits, becomes });
        }
    }
    Ok(found)
}

async fn memberships(
    conn: &mut PgConnection,
    groups: Vec<String>,
    roles: Vec<String>,
) -> Result<Vec<(String, String, bool, bool, bool)>> {
    Ok(sqlx::query_as(MEMBERS).bind(groups).bind(roles).fetch_all(conn).await?)
}

/// Creates the group of tenants' logins, unless it exists: two databases of a server may be prepared at once.
pub(super) async fn create(conn: &mut PgConnection) -> Result<()> {
    let sql = format!("CREATE ROLE {}", quote(APP_GROUP));
    permitted(conn, sql, &["42501", "42710", "23505"]).await.map(drop)
}

/// Makes a role a member of a group. Where the owner may not after all, the login is no member.
///
/// A member of the group of tenants' logins has its rights and does not become it, where the server knows the
/// difference: whoever has ADMIN OPTION on the group may give it attributes, which then are of no use to a member.
pub(super) async fn join(conn: &mut PgConnection, group: &str, role: &str) -> Result<()> {
    let apart = group == APP_GROUP && is_modern(conn).await?;
    let options = if apart { " WITH INHERIT TRUE, SET FALSE" } else { "" };
    let sql = format!("GRANT {} TO {}{options}", quote(group), quote(role));
    permitted(conn, sql, &["42501"]).await?;
    if apart {
        // Each grantor's grant counts.
        revoke(conn, "SET OPTION FOR ", group, role).await?;
    }
    Ok(())
}

/// Ends the membership of a role in a group, which is looked at again: since version 16 a REVOKE ends only what one
/// grantor has granted.
///
/// # Errors
/// [`Error::Refused`] when the role is still a member.
pub(super) async fn leave(conn: &mut PgConnection, group: &str, role: &str) -> Result<()> {
    if is_modern(conn).await? {
        revoke(conn, "", group, role).await?;
    } else {
        let sql = format!("REVOKE {} FROM {}", quote(group), quote(role));
        permitted(conn, sql, &["42501"]).await?;
    }
    let query = "SELECT pg_get_userbyid(m.grantor)::text FROM pg_auth_members m \
        WHERE m.roleid = (SELECT oid FROM pg_roles WHERE rolname = $1) \
            AND m.member = (SELECT oid FROM pg_roles WHERE rolname = $2) ORDER BY 1 LIMIT 1";
    let grantor: Option<String> = sqlx::query_scalar(query)
        .bind(group)
        .bind(role)
        .fetch_optional(&mut *conn)
        .await?;
    let Some(grantor) = grantor else { return Ok(()) };
    let (group, role, grantor) = (quote(group), quote(role), quote(&grantor));
    Err(Error::refused(
        "42501",
        &format!(
            "the tenant's login is a member of {group}, which is more than a group, and this login may not end that; as a \
             superuser: REVOKE {group} FROM {role} GRANTED BY {grantor}"
        ),
    ))
}

/// Revokes what every grantor has granted, as far as the owner may.
async fn revoke(conn: &mut PgConnection, what: &str, group: &str, role: &str) -> Result<()> {
    let query = "SELECT format('REVOKE %s%I FROM %I GRANTED BY %I CASCADE', $1, $2, $3, pg_get_userbyid(m.grantor)) \
        FROM pg_auth_members m WHERE m.roleid = (SELECT oid FROM pg_roles WHERE rolname = $2) \
            AND m.member = (SELECT oid FROM pg_roles WHERE rolname = $3) \
            AND ($1 = '' OR (to_jsonb(m)->>'set_option')::bool)";
    let all: Vec<String> = sqlx::query_scalar(query)
        .bind(what)
        .bind(group)
        .bind(role)
        .fetch_all(&mut *conn)
        .await?;
    for one in all {
        permitted(conn, one, &["42501"]).await?;
    }
    Ok(())
}

/// Whether a membership has options.
async fn is_modern(conn: &mut PgConnection) -> Result<bool> {
    let query = "SELECT current_setting('server_version_num')::int >= 160000";
    Ok(sqlx::query_scalar(query).fetch_one(conn).await?)
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
