//! A scratch database: made with an owner of its own for one purpose, and dropped afterwards with whatever is in it, with its
//! sessions, and with the roles that its owner has made.
//!
//! As [`super::made`], it is known by the record on its owner's role, and nothing without that record is dropped. Each step may
//! be cut off and repeated.

use sqlx::PgConnection;

use super::bounded::column;
use super::error::{Error, Result};
use super::groups::APP_GROUP;
use super::made::{self, Maker, OwnedDatabase, RemovalEnd};
use super::sql::{quote, run};

/// Roles that the role `$1` has made: the server itself makes their maker a member with ADMIN OPTION (PostgreSQL 16 and later).
const ROLES: &str = "SELECT r.rolname::text FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid \
    JOIN pg_roles o ON o.oid = m.member WHERE o.rolname::text = $1 AND m.admin_option AND m.grantor = 10 \
        AND r.rolname::text <> $2 AND NOT r.rolsuper ORDER BY 1 LIMIT 1000";

/// Makes an empty scratch database, after what an earlier attempt has left of it is dropped.
///
/// # Errors
/// As [`made::make`]; [`Error::Refused`] with `42710` when somebody else's role or database has the name.
pub async fn make(conn: &mut PgConnection, maker: &Maker, entry: &OwnedDatabase<'_>) -> Result<()> {
    if let RemovalEnd::Kept(why) = drop(conn, maker, (entry.name, entry.record)).await? {
        return Err(Error::refused("42710", &why));
    }
    made::make(conn, maker, entry).await.map(|_| ())
}

/// Drops a scratch database with its sessions, the roles that its owner has made, and the owner. What is not there is no
/// error.
///
/// # Errors
/// See [`Error`].
pub async fn drop(conn: &mut PgConnection, maker: &Maker, (name, record): (&str, &str)) -> Result<RemovalEnd> {
    let (role, database) = (made::owner(conn, name).await?, made::find(conn, name).await?);
    let is_ours = role.as_ref().is_some_and(|found| found.starts_with(record));
    let is_kept = role.is_some() && !is_ours || database.as_ref().is_some_and(|found| !is_ours || found.owner != name);
    if is_kept {
        return Ok(RemovalEnd::Kept(format!(
            "the role or the database {name} on the server is not the one that the operator has made for a drill, so neither \
             is dropped: an admin looks at both, and drops or renames them"
        )));
    }
    if role.is_none() {
        return Ok(RemovalEnd::Done);
    }
    if let Some(join) = maker.join(name) {
        run(conn, join).await?;
    }
    if database.is_some() {
        run(conn, format!("ALTER DATABASE {} ALLOW_CONNECTIONS false", quote(name))).await?;
        run(conn, format!("DROP DATABASE {} WITH (FORCE)", quote(name))).await?;
    }
    let roles = sqlx::query(ROLES).bind(name).bind(APP_GROUP);
    for made in column(conn, "roles", roles).await? {
        // One that has got something beyond the scratch database stays.
        if let Err(error) = run(conn, format!("DROP ROLE {}", quote(&made))).await {
            tracing::warn!(role = made, %error, "a role that was made in a scratch database is not dropped");
        }
    }
    run(conn, format!("DROP ROLE {}", quote(name))).await?;
    Ok(RemovalEnd::Done)
}
