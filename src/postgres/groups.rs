//! The groups that a tenant's login is a member of: roles without a login that policies and grants of a migration can name.

use std::collections::BTreeMap;

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};

use super::error::{Error, Result};
use super::group_lock::briefly;
use super::sql::{ask, begin, end, first, literal, literals, look, quote};
use super::wall::Sharing;

/// The group of all tenants' logins of a server. It has no rights of its own, so that its members get no access to each
/// other's databases: a right that a migration grants to it applies only in that database, to which the other members cannot
/// connect.
pub const APP_GROUP: &str = "orchestra_app";

/// The role of the key for servers at a hosted project's Data API.
pub(super) const SERVICE_ROLE: &str = "service_role";

/// The roles that a hosted project's Data API has for its keys and users.
pub(super) const DATA_API_ROLES: [&str; 3] = ["anon", "authenticated", SERVICE_ROLE];

/// The server's facts about an existing group.
#[allow(clippy::struct_excessive_bools, reason = "independent facts")]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct GroupFacts {
    /// Its members inherit nothing dangerous: neither the group nor a role that it belongs to owns a database or is a
    /// predefined role of the server.
    pub is_closed: bool,
    /// `SET ROLE` to it, or to a role that it belongs to, gives no attribute, and neither can log in.
    pub is_plain: bool,
    /// The server supports members that have the rights of a group without becoming it: version 16 or later.
    pub parts: bool,
    /// The owner may make others members of it.
    pub grantable: bool,
    /// Which of the given roles are members of it.
    pub members: BTreeMap<String, Membership>,
}

/// The kind of membership of a role in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Membership {
    /// It has the group's rights.
    pub inherits: bool,
    /// Whether it can `SET ROLE` to the group.
    pub becomes: Becomes,
}

/// Whether a member can `SET ROLE` to its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Becomes {
    /// It does not.
    Never,
    /// It can, by grants that the owner may change.
    ByOurs,
    /// It can, also by a grant of somebody else.
    ByOthers,
}

/// The groups that a tenant's login is a member of on a server. Outside of a hosted project, the names of its roles have no
/// meaning.
fn names(server: Sharing) -> Vec<&'static str> {
    let hosted = match server {
        Sharing::Own => &DATA_API_ROLES[..],
        Sharing::Shared => &[],
    };
    hosted.iter().copied().chain([APP_GROUP]).collect()
}

/// SQL: the server's facts about these groups.
fn facts_query(groups: &str) -> String {
    format!(
        "WITH RECURSIVE reached AS ( \
        SELECT oid AS start, oid AS role FROM pg_roles WHERE rolname::text = ANY ({groups}) \
        UNION SELECT r.start, m.roleid FROM pg_auth_members m JOIN reached r ON m.member = r.role), \
    modern AS (SELECT current_setting('server_version_num')::int >= 160000 AS is) \
    SELECT g.rolname::text, \
        NOT EXISTS (SELECT FROM reached JOIN pg_roles r ON r.oid = role WHERE start = g.oid AND ( \
            r.rolname ~ '^pg_' OR EXISTS (SELECT FROM pg_database WHERE datdba = r.oid))), \
        NOT EXISTS (SELECT FROM reached JOIN pg_roles r ON r.oid = role WHERE start = g.oid AND ( \
            r.rolsuper OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication OR r.rolcanlogin \
            OR r.rolbypassrls AND g.rolname = '{APP_GROUP}')), \
        modern.is, \
        o.rolsuper OR pg_has_role(o.oid, g.oid, 'MEMBER WITH ADMIN OPTION') OR o.rolcreaterole AND NOT modern.is \
    FROM pg_roles g, pg_roles o, modern WHERE g.rolname::text = ANY ({groups}) AND o.rolname = current_user"
    )
}

/// SQL: the members of these groups among these roles. The options of a membership have columns since version 16.
fn members_query(groups: &str, roles: &str) -> String {
    format!(
        "SELECT g.rolname::text, l.rolname::text, \
             bool_or(coalesce((o->>'inherit_option')::bool, l.rolinherit)), \
             bool_or(coalesce((o->>'set_option')::bool, true)), \
             bool_and(coalesce(NOT (o->>'set_option')::bool, false) OR pg_has_role(current_user, m.grantor, 'USAGE')) \
         FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid JOIN pg_roles l ON l.oid = m.member, to_jsonb(m) AS o \
         WHERE g.rolname::text = ANY ({groups}) AND l.rolname::text = ANY ({roles}) GROUP BY 1, 2"
    )
}

/// The queries whose rows [`found`] reads: the groups of a server that exist, and their members among these roles.
pub(super) fn queries(server: Sharing, roles: &[&str]) -> [String; 2] {
    let groups = literals(&names(server));
    [facts_query(&groups), members_query(&groups, &literals(roles))]
}

/// The facts in the rows of [`queries`].
pub(super) fn found(
    server: Sharing,
    groups: &[PgRow],
    members: &[PgRow],
) -> Result<BTreeMap<&'static str, GroupFacts>> {
    let names = names(server);
    let mut found = BTreeMap::new();
    for row in groups {
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
    for row in members {
        let group: String = row.try_get(0)?;
        let becomes = match (row.try_get(3)?, row.try_get(4)?) {
            (false, _) => Becomes::Never,
            (true, true) => Becomes::ByOurs,
            (true, false) => Becomes::ByOthers,
        };
        let membership = Membership {
            inherits: row.try_get(2)?,
            becomes,
        };
        if let Some(group) = found.get_mut(group.as_str()) {
            group.members.insert(row.try_get(1)?, membership);
        }
    }
    Ok(found)
}

/// Creates the group of tenants' logins, unless it exists: two databases of a server may be prepared at once.
///
/// # Errors
/// As [`briefly`], as do [`join`] and [`leave`].
pub(super) async fn create(conn: &mut PgConnection) -> Result<()> {
    let sql = format!("CREATE ROLE {}", quote(APP_GROUP));
    briefly(conn, APP_GROUP, &sql, &["42501", "42710", "23505"]).await
}

/// Makes a role a member of a group. If the owner lacks the right, the login does not become a member.
///
/// A member of the group of tenants' logins has its rights and cannot `SET ROLE` to it, where the server supports that: a
/// role with ADMIN OPTION on the group may give it attributes, which a member then cannot use.
pub(super) async fn join(conn: &mut PgConnection, group: &str, role: &str) -> Result<()> {
    let apart = group == APP_GROUP && is_modern(conn).await?;
    let options = if apart { " WITH INHERIT TRUE, SET FALSE" } else { "" };
    let sql = format!("GRANT {} TO {}{options}", quote(group), quote(role));
    briefly(conn, group, &sql, &["42501"]).await?;
    if apart {
        // Each grantor's grant counts.
        revoke(conn, "SET OPTION FOR ", group, role).await?;
    }
    Ok(())
}

/// Ends the membership of a role in a group, which is checked afterwards: since version 16 a REVOKE ends only what one
/// grantor has granted.
///
/// # Errors
/// [`Error::Refused`] when the role is still a member.
pub(super) async fn leave(conn: &mut PgConnection, group: &str, role: &str) -> Result<()> {
    if is_modern(conn).await? {
        revoke(conn, "", group, role).await?;
    } else {
        let sql = format!("REVOKE {} FROM {}", quote(group), quote(role));
        briefly(conn, group, &sql, &["42501"]).await?;
    }
    let query = format!(
        "SELECT pg_get_userbyid(m.grantor)::text FROM pg_auth_members m WHERE {} ORDER BY 1 LIMIT 1",
        is_membership(group, role)
    );
    let [rows] = ask(conn, [query]).await?;
    let Some(row) = rows.first() else { return Ok(()) };
    let grantor: String = row.try_get(0)?;
    let (group, role, grantor) = (quote(group), quote(role), quote(&grantor));
    Err(Error::refused(
        "42501",
        &format!(
            "the tenant's login is a member of {group}, which is more than a group, and this login may not end that; as a \
             superuser: REVOKE {group} FROM {role} GRANTED BY {grantor}"
        ),
    ))
}

/// Revokes the grants of every grantor that the owner may revoke.
async fn revoke(conn: &mut PgConnection, what: &str, group: &str, role: &str) -> Result<()> {
    let query = format!(
        "SELECT format('REVOKE {what}%I FROM %I GRANTED BY %I CASCADE', {}, {}, pg_get_userbyid(m.grantor)) \
         FROM pg_auth_members m WHERE {} AND ('{what}' = '' OR (to_jsonb(m)->>'set_option')::bool)",
        literal(group),
        literal(role),
        is_membership(group, role)
    );
    let [rows] = ask(conn, [query]).await?;
    for row in rows {
        let sql: String = row.try_get(0)?;
        briefly(conn, group, &sql, &["42501"]).await?;
    }
    Ok(())
}

/// SQL over `pg_auth_members`: whether the row is that of this role in this group.
fn is_membership(group: &str, role: &str) -> String {
    let oid = |name: &str| format!("(SELECT oid FROM pg_roles WHERE rolname::text = {})", literal(name));
    format!("m.roleid = {} AND m.member = {}", oid(group), oid(role))
}

/// Whether a membership has options.
async fn is_modern(conn: &mut PgConnection) -> Result<bool> {
    let query = "SELECT current_setting('server_version_num')::int >= 160000";
    let [rows] = ask(conn, [query.to_owned()]).await?;
    Ok(first(&rows)?.try_get(0)?)
}

/// Lets the owner of a database make its tenants' logins members of their group. Where another login has created the group, they
/// are not members of it; [`super::unreadable`] says what to run. It is a transaction of its own.
///
/// # Errors
/// As [`briefly`].
pub(super) async fn give(conn: &mut PgConnection, owner: &str) -> Result<()> {
    let sql = format!("GRANT {} TO {} WITH ADMIN OPTION", quote(APP_GROUP), quote(owner));
    briefly(conn, APP_GROUP, &sql, &["42501", "42704"]).await
}

/// Makes sure that migrations can name the group of tenants' logins, before a tenant has the database.
///
/// # Errors
/// See [`super::Error`].
pub async fn ensure_app_group(conn: &mut PgConnection) -> Result<()> {
    let exists = format!("SELECT FROM pg_roles WHERE rolname = '{APP_GROUP}'");
    let [found] = look(conn, [exists]).await?;
    if !found.is_empty() {
        return Ok(());
    }
    begin(conn).await?;
    let made = create(conn).await;
    end(conn, made).await
}

/// A query for the statement that revokes from the group of tenants' logins what a script granted it on the current database
/// itself: with CONNECT, the other tenants of the server could connect.
pub(super) fn shut_out() -> String {
    format!(
        "SELECT string_agg(format('REVOKE ALL ON DATABASE %I FROM %I CASCADE', datname, rolname), '; ') \
         FROM pg_database, pg_roles \
         WHERE datname = current_database() AND rolname = '{APP_GROUP}' AND pg_has_role(current_user, datdba, 'USAGE') \
             AND EXISTS (SELECT FROM aclexplode(datacl) WHERE grantee = pg_roles.oid)"
    )
}
