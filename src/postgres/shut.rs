//! Shuts the logins of a tenant: all of a database that is paused, and former ones whose overlap is over.

use sqlx::PgConnection;

use super::error::Result;
use super::heir;
use super::role_changes::end_sessions;
use super::sql::{begin, end, quote, run};

/// Forbids all roles of a tenant to log in, the first one and those that were made for rotations of its login, and ends
/// their sessions. [`super::ensure_tenant_roles`] opens those again that are to log in. Roles that are not there are fine.
///
/// # Errors
/// [`super::Error::Refused`] when the owner lacks a right.
pub async fn shut_tenant_logins(conn: &mut PgConnection, role: &str) -> Result<()> {
    begin(conn).await?;
    let found = heir::generations(conn, role).await;
    let found = end(conn, found).await?;
    shut(conn, &found).await
}

/// The same for former logins of the tenant whose first role is `base`. Roles of these names that are not the tenant's are
/// left alone.
///
/// # Errors
/// As [`shut_tenant_logins`].
pub async fn shut_former_logins(conn: &mut PgConnection, base: &str, former: &[String]) -> Result<()> {
    begin(conn).await?;
    let found = heir::generations(conn, base).await;
    let mut found = end(conn, found).await?;
    found.retain(|name| former.contains(name));
    shut(conn, &found).await
}

async fn shut(conn: &mut PgConnection, roles: &[String]) -> Result<()> {
    for name in roles {
        begin(conn).await?;
        let shut = forbid(conn, name).await;
        end(conn, shut).await?;
    }
    // After all are shut, so that no session begins meanwhile.
    for name in roles {
        begin(conn).await?;
        let ended = end_sessions(conn, name).await;
        end(conn, ended).await?;
    }
    Ok(())
}

/// The sessions of a role are ended by its members alone.
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
