//! A scratch database: made with an owner of its own for one purpose, and dropped afterwards with its contents, its
//! sessions, and the roles that were created for it.
//!
//! Restored code runs as its owner, which therefore may create no roles and grant no memberships. The roles that a restored
//! database names are created by another role, the keeper, whose password no session in the database has.
//!
//! As [`super::made`], it is identified by the record on its owner's role, and nothing without that record is dropped. Each
//! step may be interrupted and repeated.

use secrecy::SecretString;
use sqlx::PgConnection;

use super::bounded::column;
use super::error::{Error, Result};
use super::groups::APP_GROUP;
use super::made::{self, Maker, OwnedDatabase, RemovalEnd};
use super::sql::{begin, end, literal, quote, run};

/// Roles that the keeper `$1` has made: it has given each to the owner. From PostgreSQL 16 on, the server itself makes it a member.
const ROLES: &str = "SELECT DISTINCT r.rolname::text FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid \
    JOIN pg_roles k ON k.rolname::text = $1 AND (k.oid = m.grantor OR k.oid = m.member AND m.admin_option AND m.grantor = 10) \
    WHERE r.rolname::text <> $2 AND NOT r.rolsuper ORDER BY 1 LIMIT 1000";

/// The sessions of a scratch database's roles, in any database.
const SESSIONS: &str = "SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity WHERE usename::text = ANY ($1)";

/// The name of a scratch database's keeper, the role that makes the roles which a restored database names.
pub fn keeper(name: &str) -> String {
    format!("{name}_roles")
}

/// Makes an empty scratch database and its keeper, after the remains of an earlier attempt are dropped. No existing role is
/// used.
///
/// # Errors
/// As [`made::make`]; [`Error::Refused`] with `42710` when somebody else's role or database has the name.
pub async fn make(
    conn: &mut PgConnection,
    maker: &Maker,
    entry: &OwnedDatabase<'_>,
    keeper_password: &SecretString,
) -> Result<()> {
    if let RemovalEnd::Kept(why) = drop(conn, maker, (entry.name, entry.record)).await? {
        return Err(Error::refused("42710", &why));
    }
    begin(conn).await?;
    let made = roles(conn, maker, entry, keeper_password).await;
    end(conn, made).await?;
    made::database(conn, maker, entry).await?;
    let (name, keeper) = (quote(entry.name), quote(&keeper(entry.name)));
    let mut open = format!("GRANT CONNECT ON DATABASE {name} TO {keeper}");
    if let Some(join) = maker.join(entry.name) {
        open = format!("{join}; {open}; REVOKE {name} FROM CURRENT_USER");
    }
    begin(conn).await?;
    let opened = run(conn, open).await;
    end(conn, opened).await
}

async fn roles(
    conn: &mut PgConnection,
    maker: &Maker,
    entry: &OwnedDatabase<'_>,
    keeper_password: &SecretString,
) -> Result<()> {
    let (record, keeper) = (literal(entry.record), keeper(entry.name));
    let roles = [
        (entry.name, "NOCREATEROLE", entry.password),
        (keeper.as_str(), "CREATEROLE", keeper_password),
    ];
    for (name, attribute, password) in roles {
        let (name, verifier) = (quote(name), made::verifier(password));
        let make =
            format!("CREATE ROLE {name} LOGIN {attribute} PASSWORD '{verifier}'; COMMENT ON ROLE {name} IS {record}");
        run(conn, make).await?;
    }
    made::as_owner(conn, maker, entry.name).await
}

/// Drops a scratch database with its sessions, the roles that were made for it, its owner and its keeper. A missing one is
/// not an error.
///
/// # Errors
/// See [`Error`].
pub async fn drop(conn: &mut PgConnection, maker: &Maker, (name, record): (&str, &str)) -> Result<RemovalEnd> {
    let (role, database) = (made::owner(conn, name).await?, made::find(conn, name).await?);
    let keeper = keeper(name);
    let keeper_role = made::owner(conn, &keeper).await?;
    let is_foreign = |role: &Option<String>| role.as_ref().is_some_and(|found| !found.starts_with(record));
    let is_anothers = database
        .as_ref()
        .is_some_and(|found| role.is_none() || found.owner != name);
    if is_foreign(&role) || is_foreign(&keeper_role) || is_anothers {
        return Ok(RemovalEnd::Kept(format!(
            "the role or the database {name}, or the role {keeper}, on the server is not the one that the operator has made for \
             a drill, so none is dropped: an admin looks at them, and drops or renames them"
        )));
    }
    let roles = [(name, role.is_some()), (keeper.as_str(), keeper_role.is_some())];
    let roles: Vec<&str> = roles
        .into_iter()
        .filter(|(_, is_there)| *is_there)
        .map(|(name, _)| name)
        .collect();
    // Even if a role stays, nobody can log in with a password that was set meanwhile.
    for role in &roles {
        run(
            conn,
            format!("ALTER ROLE {} NOLOGIN NOCREATEROLE PASSWORD NULL", quote(role)),
        )
        .await?;
        if let Some(join) = maker.join(role) {
            run(conn, join).await?;
        }
    }
    column(conn, "sessions", sqlx::query(SESSIONS).bind(&roles)).await?;
    if database.is_some() {
        run(conn, format!("ALTER DATABASE {} ALLOW_CONNECTIONS false", quote(name))).await?;
        run(conn, format!("DROP DATABASE {} WITH (FORCE)", quote(name))).await?;
    }
    let made = sqlx::query(ROLES).bind(&keeper).bind(APP_GROUP);
    for made in column(conn, "roles", made).await? {
        // A role that owns something outside of the scratch database stays.
        if let Err(error) = run(conn, format!("DROP ROLE {}", quote(&made))).await {
            tracing::warn!(role = made, %error, "a role that was made for a scratch database is not dropped");
        }
    }
    for role in roles {
        match run(conn, format!("DROP ROLE {}", quote(role))).await {
            Err(Error::Refused { sqlstate, message }) if sqlstate == "2BP01" => {
                return Ok(RemovalEnd::Kept(format!(
                    "the role {role}, which the operator has made for a drill, cannot log in any more, but is not dropped: \
                     {message}. An admin looks at what it owns in other databases and, only if nobody needs it, drops it \
                     (DROP OWNED BY {}), and then the role",
                    quote(role)
                )));
            }
            dropped => dropped?,
        }
    }
    Ok(RemovalEnd::Done)
}
