//! Executes the changes that [`super::role_plan`] has decided.

use secrecy::{ExposeSecret, SecretString};
use sqlx::PgConnection;

use super::error::{Error, Result};
use super::grants::{TenantRights, future_grants, grant_existing, limit, revoke_excess};
use super::group_lock::is_locked;
use super::records::protect;
use super::role_change::RoleChange;
use super::role_plan::RolePlan;
use super::sql::{OPERATOR_SCHEMA, begin, end, permitted, quote, run};
use super::transfer::{NewOwner, transfer};
use super::wall::{close_database, end_foreign_sessions};
use super::{data_api, groups, heir, members, search_path};

/// A tenant's login role. The name is unique on the server, at most 63 bytes.
#[derive(Clone, Debug)]
pub struct TenantRole {
    /// Role name.
    pub name: String,
    /// The password; the server gets only a SCRAM-SHA-256 verifier of it.
    pub password: SecretString,
}

/// What the changes need besides the names of the roles.
#[derive(Clone, Copy)]
pub(super) struct Given<'a> {
    /// The roles that are kept, with their passwords.
    pub roles: &'a [TenantRole],
    pub rights: &'a TenantRights,
    /// Further roles of the same tenant.
    pub family: &'a [&'a str],
    /// Name of the current database, once it was observed.
    pub database: &'a str,
}

impl<'a> Given<'a> {
    /// These rights, and no roles.
    pub fn rights(rights: &'a TenantRights) -> Self {
        Self {
            roles: &[],
            rights,
            family: &[],
            database: "",
        }
    }

    /// In this database.
    pub fn on(self, database: &'a str) -> Self {
        Self { database, ..self }
    }
}

/// Executes a plan, each of its parts in a transaction; before that, objects of roles are reassigned in separate steps.
/// Returns why a login is not a member of its groups yet, where another transaction of the server keeps one locked: everything
/// else is done then.
pub(super) async fn follow(conn: &mut PgConnection, planned: &RolePlan<'_>, given: Given<'_>) -> Result<Option<Error>> {
    for change in &planned.before {
        in_transaction(conn, &[*change], given).await?;
    }
    for change in &planned.together {
        match change {
            RoleChange::TakeOver(role) => transfer(conn, role, NewOwner::Owner).await?,
            RoleChange::PassOn { role, heir } | RoleChange::Leave { role, heir } => {
                transfer(conn, role, NewOwner::Heir(heir)).await?;
            }
            _ => {}
        }
    }
    in_transaction(conn, &planned.together, given).await?;
    in_transaction(conn, &planned.after, given).await?;
    let mut locked = None;
    for change in &planned.groups {
        match in_transaction(conn, &[*change], given).await {
            // A membership that is to end is not left as it is.
            Err(error) if is_locked(&error) && matches!(change, RoleChange::JoinGroup { .. }) => locked = Some(error),
            done => done?,
        }
    }
    Ok(locked)
}

async fn in_transaction(conn: &mut PgConnection, changes: &[RoleChange<'_>], given: Given<'_>) -> Result<()> {
    if changes.is_empty() {
        return Ok(());
    }
    begin(conn).await?;
    let done = carry_out_all(conn, changes, given).await;
    end(conn, done).await
}

/// Executes changes in their order. Statements that follow each other are one message.
pub(super) async fn carry_out_all(conn: &mut PgConnection, changes: &[RoleChange<'_>], given: Given<'_>) -> Result<()> {
    let mut statements = Vec::new();
    for change in changes {
        if let Some(statement) = statement(*change, given)? {
            statements.push(statement);
        } else {
            send(conn, &mut statements).await?;
            look_and_change(conn, *change, given).await?;
        }
    }
    send(conn, &mut statements).await
}

async fn send(conn: &mut PgConnection, statements: &mut Vec<String>) -> Result<()> {
    if statements.is_empty() {
        return Ok(());
    }
    run(conn, std::mem::take(statements).join("; ")).await
}

/// The statements of a change that needs no query to the server; none for the others.
fn statement(change: RoleChange<'_>, given: Given<'_>) -> Result<Option<String>> {
    let Given { roles, rights, .. } = given;
    Ok(Some(match change {
        RoleChange::Create(role) => format!(
            "CREATE ROLE {} LOGIN PASSWORD '{}'",
            quote(role),
            verifier(role, roles)?
        ),
        RoleChange::CreateShut(role) => format!("CREATE ROLE {}", quote(role)),
        RoleChange::JoinBase { base, role } => format!("GRANT {} TO {}", quote(base), quote(role)),
        RoleChange::SetPassword(role) => {
            format!("ALTER ROLE {} LOGIN PASSWORD '{}'", quote(role), verifier(role, roles)?)
        }
        RoleChange::JoinOwner(role) => format!("GRANT {} TO CURRENT_USER", quote(role)),
        RoleChange::GrantDatabase(role) => format!(
            "GRANT CONNECT, TEMPORARY ON DATABASE {} TO {}",
            quote(given.database),
            quote(role)
        ),
        RoleChange::Limit(role) => match &rights.limits {
            Some(limits) => limit(role, limits, given.database),
            None => return Ok(None),
        },
        RoleChange::HideOperatorSchema(role) => format!(
            "REVOKE ALL ON SCHEMA {OPERATOR_SCHEMA} FROM {role}; \
             REVOKE ALL ON ALL TABLES IN SCHEMA {OPERATOR_SCHEMA} FROM {role}",
            role = quote(role)
        ),
        RoleChange::GrantFuture(role) => future_grants(None, role, rights),
        RoleChange::GrantFutureOf { creator, role } => future_grants(Some(creator), role, rights),
        RoleChange::ForbidLogin(role) => format!("ALTER ROLE {} NOLOGIN", quote(role)),
        RoleChange::PassOn { .. }
        | RoleChange::Leave { .. }
        | RoleChange::Part(_)
        | RoleChange::Drop(_)
        | RoleChange::TakeExcess(_)
        | RoleChange::Bypass(_)
        | RoleChange::Enforce(_)
        | RoleChange::CreateGroup
        | RoleChange::JoinGroup { .. }
        | RoleChange::LeaveGroup { .. }
        | RoleChange::Expose
        | RoleChange::CopySearchPath(_)
        | RoleChange::CloseDatabase
        | RoleChange::GrantExisting(_)
        | RoleChange::Protect
        | RoleChange::EndForeignSessions
        | RoleChange::EndSessions(_)
        | RoleChange::TakeOver(_) => return Ok(None),
    }))
}

async fn look_and_change(conn: &mut PgConnection, change: RoleChange<'_>, given: Given<'_>) -> Result<()> {
    let rights = given.rights;
    match change {
        RoleChange::PassOn { role, heir } => heir::pass_on(conn, role, heir).await,
        RoleChange::Leave { role, heir } => heir::leave(conn, role, heir).await,
        RoleChange::Part(role) => members::part(conn, role).await,
        RoleChange::TakeExcess(role) => revoke_excess(conn, role, rights).await,
        // Before version 16 only a superuser may do it, or a role to which an extension of a hosted project gives that
        // right.
        RoleChange::Bypass(role) => {
            let sql = format!("ALTER ROLE {} BYPASSRLS", quote(role));
            permitted(conn, sql, &["42501"]).await.map(drop)
        }
        // Sent only to a role that has it. A role that may not grant it may not revoke it either; [`super::unreadable`] reports a login that keeps it.
        RoleChange::Enforce(role) => {
            let sql = format!("ALTER ROLE {} NOBYPASSRLS", quote(role));
            permitted(conn, sql, &["42501"]).await.map(drop)
        }
        RoleChange::CreateGroup => groups::create(conn).await,
        RoleChange::JoinGroup { group, role } => groups::join(conn, group, role).await,
        RoleChange::LeaveGroup { group, role } => groups::leave(conn, group, role).await,
        RoleChange::Expose => match rights.expose_new_tables {
            Some(wanted) => data_api::expose(conn, wanted).await,
            None => Ok(()),
        },
        RoleChange::CopySearchPath(role) => search_path::copy(conn, role, given.database).await,
        RoleChange::CloseDatabase => close_database(conn, given.database).await,
        RoleChange::GrantExisting(role) => grant_existing(conn, role, rights).await,
        RoleChange::Protect => protect(conn).await,
        RoleChange::EndForeignSessions => end_foreign_sessions(conn).await,
        RoleChange::EndSessions(role) => end_sessions(conn, role).await,
        RoleChange::TakeOver(role) => heir::take_over(conn, role).await,
        RoleChange::Drop(role) => heir::drop_role(conn, role).await,
        // [`statement`] has them.
        RoleChange::Create(_)
        | RoleChange::CreateShut(_)
        | RoleChange::JoinBase { .. }
        | RoleChange::SetPassword(_)
        | RoleChange::JoinOwner(_)
        | RoleChange::GrantDatabase(_)
        | RoleChange::Limit(_)
        | RoleChange::HideOperatorSchema(_)
        | RoleChange::GrantFuture(_)
        | RoleChange::GrantFutureOf { .. }
        | RoleChange::ForbidLogin(_) => Ok(()),
    }
}

/// The verifier of a role's password, and not the password: statements may reach the server's log.
fn verifier(name: &str, roles: &[TenantRole]) -> Result<String> {
    let role = roles.iter().find(|role| role.name == name);
    let password = &role.ok_or(Error::InvalidRole("it has no password"))?.password;
    Ok(postgres_protocol::password::scram_sha_256(
        password.expose_secret().as_bytes(),
    ))
}

/// Each session is waited for, because it drops its temporary tables as it ends.
pub(super) async fn end_sessions(conn: &mut PgConnection, role: &str) -> Result<()> {
    sqlx::query("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = $1")
        .bind(role)
        .execute(conn)
        .await?;
    Ok(())
}
