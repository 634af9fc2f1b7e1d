//! The roles of a tenant on a server: the first one, and those that were made for rotations of its login.
//!
//! Whoever may create roles on a server may make any number of them with such names. A name alone therefore means nothing:
//! roles that neighbours have made are neither counted nor changed, and the name of a new login is looked up by itself.

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};

use super::error::{Error, Result};
use super::sql::{ask, begin, literal, literals, look, quote, run};

/// SQL: the connection's user.
pub(super) const ME: &str = "(SELECT me.oid FROM pg_roles me WHERE me.rolname = current_user)";

/// SQL over `pg_roles`: whether the connection's user may change the role, as far as the role is no superuser. Since version
/// 16 that takes ADMIN OPTION, which whoever made the role has.
pub(super) const OWNER_CHANGES: &str = "current_setting('server_version_num')::int < 160000 \
    OR (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) \
    OR pg_has_role(current_user, oid, 'MEMBER WITH ADMIN OPTION')";

/// SQL over `pg_roles r`: whether the connection's user has made the role, or a superuser has given it the right to change
/// it. A neighbour can give that right as well, and is then its grantor. Before version 16 the server does not know who made
/// a role.
pub(super) const IS_OWN: &str = "(current_setting('server_version_num')::int < 160000 \
    OR EXISTS (SELECT FROM pg_roles me WHERE me.rolname = current_user AND me.rolsuper) \
    OR EXISTS (SELECT FROM pg_auth_members own JOIN pg_roles me ON me.oid = own.member JOIN pg_roles giver ON giver.oid = own.grantor \
        WHERE own.roleid = r.oid AND me.rolname = current_user AND own.admin_option AND giver.rolsuper))";

/// SQL over `pg_roles`: whether the role has none of the attributes that a tenant's role never has, and is not the owner.
pub(super) const TENANT_LIKE: &str =
    "NOT (rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolname = current_user)";

/// SQL over `pg_roles`: whether the role can connect to the database.
const CONNECTS: &str = "has_database_privilege(oid, current_database()::text, 'CONNECT')";

/// SQL over `pg_roles`: whether the role has the name of a login that was made for a rotation, of the first role, which
/// is given as a literal.
pub(super) fn numbered(base: &str) -> String {
    format!(
        "left(rolname::text, length({base}) + 1) = {base} || '_' \
             AND substr(rolname::text, length({base}) + 2) ~ '^([2-9]|[1-9][0-9]{{1,8}})$'"
    )
}

/// SQL over `pg_roles r`: whether the role is a tenant's, whose first role is the given literal: that one, and the numbered
/// ones that were made for rotations, whatever attributes a script has given them. A superuser is none of them, nor a role that
/// the owner may not change, nor, since version 16, a numbered one that another login of the server has made, unless it can
/// connect to the database.
fn is_generation(base: &str) -> String {
    format!(
        "((rolname::text = {base} OR {} AND ({IS_OWN} OR {CONNECTS})) \
         AND NOT rolsuper AND rolname <> current_user AND ({OWNER_CHANGES}))",
        numbered(base)
    )
}

/// SQL over `pg_roles r`: whether the role is one of a tenant's logins: its first role, or a numbered one that has the rights of
/// the first role, as only the owner or a superuser can have granted it since version 16.
fn is_login(base: &str) -> String {
    format!(
        "rolcanlogin AND {} AND (rolname::text = {base} OR {IS_OWN} AND EXISTS (SELECT FROM pg_auth_members m \
             WHERE m.member = r.oid AND m.roleid = (SELECT b.oid FROM pg_roles b WHERE b.rolname::text = {base})))",
        is_generation(base)
    )
}

/// Logins with the name of one of the tenant's, which can connect to the database, and which the owner may not change.
pub(super) async fn out_of_reach(conn: &mut PgConnection, base: &str) -> Result<Vec<String>> {
    let base = literal(base);
    // The order matters for a server with very many such names: whether a role can connect takes the longest.
    let query = format!(
        "SELECT rolname::text FROM pg_roles WHERE CASE WHEN (rolname::text = {base} OR {}) AND rolcanlogin \
             AND rolname <> current_user AND (rolsuper OR NOT ({OWNER_CHANGES})) THEN {CONNECTS} END \
         ORDER BY length(rolname::text), 1 LIMIT {TOGETHER}",
        numbered(&base)
    );
    let [rows] = ask(conn, [query]).await?;
    names(&rows)
}

/// Roles of a tenant that are read at once: an operator makes six at most.
const TOGETHER: i64 = 100;

/// Which roles of a tenant are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Generations {
    /// All that exist.
    All,
    /// Those that may log in.
    LoggingIn,
    /// Those that may log in and have the tenant's rights.
    Logins,
}

/// The query of the roles of a tenant, whose first role is the given literal. A script may make any number of them: of very
/// many, the first one, those that log in and those with the lowest numbers are returned.
fn generations_query(base: &str, only: Generations) -> String {
    let which = match only {
        Generations::All => is_generation(base),
        Generations::LoggingIn => format!("rolcanlogin AND {}", is_generation(base)),
        Generations::Logins => is_login(base),
    };
    format!(
        "SELECT name FROM (SELECT rolname::text AS name FROM pg_roles r WHERE {which} \
             ORDER BY rolname::text <> {base}, NOT rolcanlogin, length(rolname::text), 1 LIMIT {TOGETHER}) found \
         ORDER BY length(name) DESC, 1 DESC"
    )
}

/// The remaining roles of a tenant on the server, [`TOGETHER`] at most.
pub(super) async fn generations(conn: &mut PgConnection, base: &str, only: Generations) -> Result<Vec<String>> {
    let [rows] = ask(conn, [generations_query(&literal(base), only)]).await?;
    names(&rows)
}

/// Of these roles, those that exist and are the tenant's, whose first role is `base`.
pub(super) async fn existing(conn: &mut PgConnection, base: &str, roles: &[String]) -> Result<Vec<String>> {
    let query = format!(
        "SELECT rolname::text FROM pg_roles r WHERE rolname = ANY ({}::name[]) AND {}",
        literals(roles),
        is_generation(&literal(base))
    );
    let [rows] = ask(conn, [query]).await?;
    names(&rows)
}

fn names(rows: &[PgRow]) -> Result<Vec<String>> {
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// What the server has of a tenant's logins.
#[derive(Clone, Debug, Default)]
pub struct FoundLogins {
    /// The tenant's roles that may log in.
    pub logins: Vec<String>,
    /// The first of the names for a new login that it can have.
    pub next: Option<String>,
}

/// Names for a new login of a tenant; none where no login is new.
#[derive(Clone, Copy, Debug, Default)]
pub struct NextLogin<'a> {
    /// The names, in the order of preference.
    pub names: &'a [String],
    /// The role is not made yet. Otherwise it can exist and be the owner's.
    pub is_new: bool,
}

/// Looks up the roles of a tenant's logins, and which name a new login can have.
///
/// # Errors
/// See [`super::Error`].
pub async fn tenant_logins(conn: &mut PgConnection, base: &str, new: NextLogin<'_>) -> Result<FoundLogins> {
    let taken = format!(
        "SELECT rolname::text, {TENANT_LIKE} AND {IS_OWN} AND ({OWNER_CHANGES}) FROM pg_roles r \
         WHERE rolname = ANY ({}::name[])",
        literals(new.names)
    );
    let [logins, taken] = look(conn, [generations_query(&literal(base), Generations::Logins), taken]).await?;
    let read = |row: &PgRow| -> Result<(String, bool)> { Ok((row.try_get(0)?, row.try_get(1)?)) };
    let taken = taken.iter().map(read).collect::<Result<Vec<_>>>()?;
    let mut next = None;
    for name in new.names {
        let found = taken.iter().find(|(role, _)| role == name);
        let fits = match found {
            Some((_, is_own)) => *is_own && !new.is_new,
            None => can_be_made(conn, name).await?,
        };
        if fits {
            next = Some(name.clone());
            break;
        }
    }
    Ok(FoundLogins {
        logins: names(&logins)?,
        next,
    })
}

/// Whether a role of this name can be made now. The transaction of a neighbour may have made one, which nobody sees before its
/// end, and which keeps the name.
async fn can_be_made(conn: &mut PgConnection, role: &str) -> Result<bool> {
    begin(conn).await?;
    let made = run(
        conn,
        format!("SET LOCAL lock_timeout = '1s'; CREATE ROLE {}", quote(role)),
    )
    .await;
    run(conn, "ROLLBACK".to_owned()).await?;
    match made {
        Ok(()) => Ok(true),
        Err(Error::Refused { sqlstate, .. }) if ["55P03", "42710", "23505"].contains(&sqlstate.as_str()) => Ok(false),
        Err(error) => Err(error),
    }
}
