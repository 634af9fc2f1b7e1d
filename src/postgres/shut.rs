//! Shuts the logins of a tenant whose database is paused.

use sqlx::PgConnection;

use super::error::{Error, Result};
use super::heir::{self, Generations};
use super::role_changes::end_sessions;
use super::sql::{begin, end, quote, run};

/// The most roles that are dealt with at a time, whatever a script has made.
pub(super) const MOST: usize = 1000;

/// Forbids all roles of a tenant to log in, the first one and those that were made for rotations of its login, and ends
/// their sessions. [`super::ensure_tenant_roles`] opens those again that are to log in. Roles that are not there are fine.
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
        for name in found {
            begin(conn).await?;
            let done = run(conn, format!("ALTER ROLE {} NOLOGIN", quote(&name))).await;
            end(conn, done).await?;
            shut.push(name);
        }
    }
    // After all are shut, so that no session begins meanwhile. Roles that log in no more may have sessions as well.
    begin(conn).await?;
    let others = heir::generations(conn, role, Generations::All).await;
    shut.extend(end(conn, others).await?);
    for name in &shut {
        begin(conn).await?;
        let ended = end_sessions(conn, name).await;
        end(conn, ended).await?;
    }
    Ok(())
}
