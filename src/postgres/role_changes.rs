//! Carries out the changes that [`super::role_plan`] has decided.

use secrecy::{ExposeSecret, SecretString};
use sqlx::PgConnection;

use super::error::{Error, Result};
use super::grants::{TenantRights, future_grants, grant_existing, limit, revoke_excess};
use super::records::protect;
use super::role_plan::{Change, RolePlan};
use super::sql::{OPERATOR_SCHEMA, begin, end, permitted, quote, run};
use super::transfer::{NewOwner, transfer};
use super::wall::{close_database, end_foreign_sessions};
use super::{data_api, groups, heir, search_path};

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

/// Carries out a plan, each of its parts in a transaction; what roles own is passed on in steps of their own before.
pub(super) async fn follow(conn: &mut PgConnection, planned: &RolePlan<'_>, given: Given<'_>) -> Result<()> {
    for change in &planned.before {
        in_transaction(conn, &[*change], given).await?;
    }
    for change in &planned.together {
        match change {
            Change::TakeOver(role) => transfer(conn, role, NewOwner::Owner).await?,
            Change::PassOn { role, heir } => transfer(conn, role, NewOwner::Heir(heir)).await?,
            _ => {}
        }
    }
    in_transaction(conn, &planned.together, given).await?;
    in_transaction(conn, &planned.after, given).await
}

async fn in_transaction(conn: &mut PgConnection, changes: &[Change<'_>], given: Given<'_>) -> Result<()> {
    if changes.is_empty() {
        return Ok(());
    }
    begin(conn).await?;
    let done = carry_out_all(conn, changes, given).await;
    end(conn, done).await
}

/// Carries out changes in their order. Statements that follow each other are one message.
pub(super) async fn carry_out_all(conn: &mut PgConnection, changes: &[Change<'_>], given: Given<'_>) -> Result<()> {
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

/// The statements of a change that needs no look at the server; none for the others.
fn statement(change: Change<'_>, given: Given<'_>) -> Result<Option<String>> {
    let Given { roles, rights, .. } = given;
    Ok(Some(match change {
        Change::Create(role) => format!(
            "CREATE ROLE {} LOGIN PASSWORD '{}'",
            quote(role),
            verifier(role, roles)?
        ),
        Change::CreateShut(role) => format!("CREATE ROLE {}", quote(role)),
        Change::JoinBase { base, role } => format!("GRANT {} TO {}", quote(base), quote(role)),
        Change::SetPassword(role) => {
            format!("ALTER ROLE {} LOGIN PASSWORD '{}'", quote(role), verifier(role, roles)?)
        }
        Change::JoinOwner(role) => format!("GRANT {} TO CURRENT_USER", quote(role)),
        Change::GrantDatabase(role) => format!(
            "GRANT CONNECT, TEMPORARY ON DATABASE {} TO {}",
            quote(given.database),
            quote(role)
        ),
        Change::Limit(role) => match &rights.limits {
            Some(limits) => limit(role, limits),
            None => return Ok(None),
        },
        Change::HideOperatorSchema(role) => format!(
            "REVOKE ALL ON SCHEMA {OPERATOR_SCHEMA} FROM {role}; \
             REVOKE ALL ON ALL TABLES IN SCHEMA {OPERATOR_SCHEMA} FROM {role}",
            role = quote(role)
        ),
        Change::GrantFuture(role) => future_grants(None, role, rights),
        Change::GrantFutureOf { creator, role } => future_grants(Some(creator), role, rights),
        Change::ForbidLogin(role) => format!("ALTER ROLE {} NOLOGIN", quote(role)),
        Change::Drop(role) => format!("DROP ROLE {}", quote(role)),
        Change::PassOn { .. }
        | Change::TakeExcess(_)
        | Change::Bypass(_)
        | Change::Enforce(_)
        | Change::CreateGroup
        | Change::JoinGroup { .. }
        | Change::LeaveGroup { .. }
        | Change::Expose
        | Change::CopySearchPath(_)
        | Change::CloseDatabase
        | Change::GrantExisting(_)
        | Change::Protect
        | Change::EndForeignSessions
        | Change::EndSessions(_)
        | Change::TakeOver(_) => return Ok(None),
    }))
}

async fn look_and_change(conn: &mut PgConnection, change: Change<'_>, given: Given<'_>) -> Result<()> {
    let rights = given.rights;
    match change {
        Change::PassOn { role, heir } => heir::pass_on(conn, role, heir).await,
        Change::TakeExcess(role) => revoke_excess(conn, role, rights).await,
        // Before version 16 only a superuser may, or who is told to be like one by an extension of a hosted project.
        Change::Bypass(role) => {
            let sql = format!("ALTER ROLE {} BYPASSRLS", quote(role));
            permitted(conn, sql, &["42501"]).await.map(drop)
        }
        // Who may not give it may not take it either; [`super::unreadable`] tells of a login that keeps it.
        Change::Enforce(role) => {
            let sql = format!("ALTER ROLE {} NOBYPASSRLS", quote(role));
            permitted(conn, sql, &["42501"]).await.map(drop)
        }
        Change::CreateGroup => groups::create(conn).await,
        Change::JoinGroup { group, role } => groups::join(conn, group, role).await,
        Change::LeaveGroup { group, role } => groups::leave(conn, group, role).await,
        Change::Expose => match rights.expose_new_tables {
            Some(wanted) => data_api::expose(conn, wanted).await,
            None => Ok(()),
        },
        Change::CopySearchPath(role) => search_path::copy(conn, role, given.database).await,
        Change::CloseDatabase => close_database(conn, given.database).await,
        Change::GrantExisting(role) => grant_existing(conn, role, rights).await,
        Change::Protect => protect(conn).await,
        Change::EndForeignSessions => end_foreign_sessions(conn).await,
        Change::EndSessions(role) => end_sessions(conn, role).await,
        Change::TakeOver(role) => heir::take_over(conn, role).await,
        // [`statement`] has them.
        Change::Create(_)
        | Change::CreateShut(_)
        | Change::JoinBase { .. }
        | Change::SetPassword(_)
        | Change::JoinOwner(_)
        | Change::GrantDatabase(_)
        | Change::Limit(_)
        | Change::HideOperatorSchema(_)
        | Change::GrantFuture(_)
        | Change::GrantFutureOf { .. }
        | Change::ForbidLogin(_)
        | Change::Drop(_) => Ok(()),
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
