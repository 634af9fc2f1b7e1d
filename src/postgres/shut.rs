//! Disables logins of a tenant: all of a paused database, and former ones whose overlap has ended.

use sqlx::PgConnection;

use super::error::{Error, Result};
use super::heir::{self, Generations};
use super::role_changes::end_sessions;
use super::sql::{begin, end, quote, run};

/// The most roles that are processed at a time; a script may have created any number.
pub(super) const MOST: usize = 1000;

/// Forbids all roles of a tenant to log in, the first one and those that were made for rotations of its login, and ends
/// their sessions. [`super::ensure_tenant_roles`] enables those again that are to log in. Missing roles are not an error.
///
/// # Errors
/// [`super::Error::Refused`] when the owner lacks a right.
pub async fn shut_tenant_logins(conn: &mut PgConnection, role: &str) -> Result<()> {
    let mut shut = Vec::new();
    loop {
        begin(conn).await?;
        let found = heir::generations(conn, role, Generations::LoggingIn).await;
        let found = end(conn, found).await?;
        if found.is_empty() || found.iter().all(|name| shut.contains(name)) {
            break;
        }
        if shut.len() > MOST {
            return Err(Error::TooMany {
                what: "roles with the name of the tenant's login",
                most: MOST,
            });
        }
        forbid_all(conn, &found).await?;
        shut.extend(found);
    }
    // After all are disabled, so that no session starts meanwhile. Disabled roles may have sessions as well.
    begin(conn).await?;
    let others = heir::generations(conn, role, Generations::All).await;
    shut.extend(end(conn, others).await?);
    end_all(conn, &shut).await
}

/// The same for former logins of the tenant whose first role is `base`. Roles of these names that are not the tenant's are
/// left alone.
///
/// # Errors
/// As [`shut_tenant_logins`].
pub async fn shut_former_logins(conn: &mut PgConnection, base: &str, former: &[String]) -> Result<()> {
    begin(conn).await?;
    let found = heir::generations(conn, base, Generations::All).await;
    let mut found = end(conn, found).await?;
    found.retain(|name| former.contains(name));
    forbid_all(conn, &found).await?;
    end_all(conn, &found).await
}

async fn forbid_all(conn: &mut PgConnection, roles: &[String]) -> Result<()> {
    for name in roles {
        begin(conn).await?;
        let done = forbid(conn, name).await;
        end(conn, done).await?;
    }
    Ok(())
}

async fn end_all(conn: &mut PgConnection, roles: &[String]) -> Result<()> {
    for name in roles {
        begin(conn).await?;
        let ended = end_sessions(conn, name).await;
        end(conn, ended).await?;
    }
    Ok(())
}

/// Only its members can end the sessions of a role.
async fn forbid(conn: &mut PgConnection, role: &str) -> Result<()> {
    let is_member: bool = sqlx::query_scalar("SELECT pg_has_role(current_user, $1::name, 'USAGE')")
        .bind(role)
        .fetch_one(&mut *conn)
        .await?;
    let role = quote(role);
    if !is_member {
        run(conn, format!("GRANT {role} TO CURRENT_USER")).await?;
    }
    run(conn, format!("ALTER ROLE {role} NOLOGIN")).await
}
