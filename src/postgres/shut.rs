//! Shuts the logins of a tenant whose database is paused.

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
    for name in &found {
        begin(conn).await?;
        let shut = run(conn, format!("ALTER ROLE {} NOLOGIN", quote(name))).await;
        end(conn, shut).await?;
    }
    // After all are shut, so that no session begins meanwhile.
    for name in &found {
        begin(conn).await?;
        let ended = end_sessions(conn, name).await;
        end(conn, ended).await?;
    }
    Ok(())
}
