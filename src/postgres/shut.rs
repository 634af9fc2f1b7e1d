//! Disables logins of a tenant: all of a paused database, and former ones whose overlap has ended.

use sqlx::PgConnection;

use super::error::{Error, Result};
use super::generations::{self, Generations};
use super::heir::KeptRole;
use super::role_changes::end_sessions;
use super::sql::{begin, end, permitted, quote, run};

/// The most roles that are processed at a time; a script may have created any number.
pub(super) const MOST: usize = 1000;

/// Forbids all roles of a tenant to log in, the first one and those that were made for rotations of its login, and ends
/// their sessions. [`super::ensure_tenant_roles`] opens those again that are to log in. Roles that are not there are fine.
/// Returns the logins that the owner may not change.
///
/// # Errors
/// [`super::Error::Refused`] when the owner lacks a right, as on the first role.
pub async fn shut_tenant_logins(conn: &mut PgConnection, role: &str) -> Result<Vec<KeptRole>> {
    let mut shut = Vec::new();
    loop {
        begin(conn).await?;
        let found = generations::generations(conn, role, Generations::LoggingIn).await;
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
    let others = generations::generations(conn, role, Generations::All).await;
    shut.extend(end(conn, others).await?);
    end_all(conn, &shut).await?;
    let kept = out_of_reach(conn, role).await?;
    let is_first = |kept: &&KeptRole| matches!(kept, KeptRole::OutOfReach { role: name } if name == role);
    match kept.iter().find(is_first) {
        Some(first) => Err(Error::refused("42501", &first.to_string())),
        None => Ok(kept),
    }
}

/// The logins with the name of one of the tenant's that the owner may not change.
pub(super) async fn out_of_reach(conn: &mut PgConnection, base: &str) -> Result<Vec<KeptRole>> {
    begin(conn).await?;
    let found = generations::out_of_reach(conn, base).await;
    let found = end(conn, found).await?;
    Ok(found.into_iter().map(|role| KeptRole::OutOfReach { role }).collect())
}

/// Forbids these roles to log in, and ends their sessions.
pub(super) async fn shut(conn: &mut PgConnection, roles: &[String]) -> Result<()> {
    forbid_all(conn, roles).await?;
    end_all(conn, roles).await
}

/// The same for former logins of the tenant whose first role is `base`.
///
/// # Errors
/// As [`shut_tenant_logins`], and when one of them can still connect because the owner may not change it.
pub async fn shut_former_logins(conn: &mut PgConnection, base: &str, former: &[String]) -> Result<()> {
    begin(conn).await?;
    let found = generations::existing(conn, base, former).await;
    let found = end(conn, found).await?;
    shut(conn, &found).await?;
    let others = out_of_reach(conn, base).await?;
    let is_former = |kept: &&KeptRole| matches!(kept, KeptRole::OutOfReach { role } if former.contains(role));
    match others.iter().find(is_former) {
        Some(kept) => Err(Error::refused("42501", &kept.to_string())),
        None => Ok(()),
    }
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

/// The sessions of a role are ended by its members alone. A script may have given it attributes that a tenant's role never
/// has, and with which it would make other logins.
async fn forbid(conn: &mut PgConnection, role: &str) -> Result<()> {
    let found: Option<(bool, bool, bool, bool)> = sqlx::query_as(
        "SELECT pg_has_role(current_user, oid, 'USAGE'), rolcreaterole, rolcreatedb, rolreplication FROM pg_roles \
         WHERE rolname::text = $1",
    )
    .bind(role)
    .fetch_optional(&mut *conn)
    .await?;
    let Some((is_member, creates_roles, creates_databases, replicates)) = found else {
        return Ok(());
    };
    let role = quote(role);
    if !is_member {
        run(conn, format!("GRANT {role} TO CURRENT_USER")).await?;
    }
    run(conn, format!("ALTER ROLE {role} NOLOGIN")).await?;
    let attributes = [
        (creates_roles, "NOCREATEROLE"),
        (creates_databases, "NOCREATEDB"),
        (replicates, "NOREPLICATION"),
    ];
    for (_, change) in attributes.iter().filter(|(has, _)| *has) {
        permitted(conn, format!("ALTER ROLE {role} {change}"), &["42501"]).await?;
    }
    Ok(())
}
