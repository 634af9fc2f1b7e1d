//! A tenant's login roles, and the walls between databases on one server: reads the facts, has
//! [`super::role_plan`] decide, and carries out the changes.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};
use sqlx::{PgConnection, Row as _};

use super::error::{Error, Result};
use super::grants::{TenantRights, future_grants, grant_existing as grant, limit, revoke_excess};
use super::records::{check_triggers, protect};
use super::role_plan::{
    Change, RoleFacts, RolePlan, ServerFacts, TenantLogins, TenantMembers, grants, plan, plan_members,
};
use super::sql::{OPERATOR_SCHEMA, begin, end, permitted, quote, run};
use super::wall::{Sharing, close_database, current_database, end_foreign_sessions};
use super::{data_api, groups, heir, search_path};

/// A tenant's login role. The name is unique on the server, at most 63 bytes.
#[derive(Clone, Debug)]
pub struct TenantRole {
    /// Role name.
    pub name: String,
    /// The password; the server gets only a SCRAM-SHA-256 verifier of it.
    pub password: SecretString,
}

/// The roles of a tenant whose login was rotated.
#[derive(Clone, Copy, Debug)]
pub struct TenantRoles<'a> {
    /// The first role: it has the tenant's rights, and logs in only while it is one of `logins`.
    pub base: &'a str,
    /// The roles that log in.
    pub logins: &'a [TenantRole],
    /// Former logins, which log in no more: their sessions end, and what they own and were granted is the first role's.
    pub retired: &'a [&'a str],
}

/// As [`ensure_tenant_role`], for all roles of a tenant whose login is or was rotated.
///
/// # Errors
/// As [`ensure_tenant_role`].
pub async fn ensure_tenant_roles(
    conn: &mut PgConnection,
    tenant: TenantRoles<'_>,
    rights: &TenantRights,
    server: Sharing,
) -> Result<()> {
    let TenantRoles { base, logins, retired } = tenant;
    let given = Given { roles: logins, rights };
    let shut = logins.iter().all(|role| role.name != base);
    change(conn, given, (&[base], shut), &[], Some(server)).await?;
    let names: Vec<_> = logins.iter().map(|role| role.name.as_str()).collect();
    let members: Vec<_> = names.into_iter().filter(|name| *name != base).collect();
    if members.is_empty() && retired.is_empty() {
        return Ok(());
    }
    let all: Vec<_> = members.iter().chain(retired).copied().collect();
    all.iter().try_for_each(|name| check(name))?;
    let wanted = TenantMembers {
        base,
        logins: &members,
        retired,
    };
    begin(conn).await?;
    let observed = observe_checked(conn, &all, Some(server)).await;
    let attributes = (rights.limits.is_some(), rights.row_security);
    let planned = end(conn, observed)
        .await
        .and_then(|facts| plan_members(wanted, attributes, &facts))?;
    follow(conn, &planned, given).await
}

/// Makes the role exist with this password and with rights on everything that the owner (the
/// connection's user) has in this database and will create later: tables, sequences, routines,
/// types and schemas, with the owner's `search_path`, with BYPASSRLS where the rights say so and the owner may give it,
/// and with membership of the server's groups. The role reads the migration histories and writes them not, and loses what earlier
/// versions granted beyond its rights. One transaction, so that a crash leaves all or nothing; safe to repeat.
/// The owner may be a superuser or, as on hosted Supabase, a role with CREATEROLE.
///
/// # Errors
/// [`Error::Refused`] when the owner lacks a right, or when a role of that name has attributes
/// that a tenant's role never has.
pub async fn ensure_tenant_role(
    conn: &mut PgConnection,
    role: &TenantRole,
    rights: &TenantRights,
    server: Sharing,
) -> Result<()> {
    ensure_tenant_logins(conn, std::slice::from_ref(role), &[], rights, server).await
}

/// As [`ensure_tenant_role`], for all login roles of a tenant while its password is being rotated: the roles
/// that are kept reach what each of them creates, and the retired ones are dropped as by [`drop_tenant_role`].
///
/// # Errors
/// As [`ensure_tenant_role`] and [`drop_tenant_role`].
pub async fn ensure_tenant_logins(
    conn: &mut PgConnection,
    kept: &[TenantRole],
    retired: &[&str],
    rights: &TenantRights,
    server: Sharing,
) -> Result<()> {
    let names: Vec<_> = kept.iter().map(|role| role.name.as_str()).collect();
    change(
        conn,
        Given { roles: kept, rights },
        (&names, false),
        retired,
        Some(server),
    )
    .await
}

/// Grants the role its rights on everything that exists now. Default privileges cover what the
/// owner creates; this covers what came about in another way. Safe to repeat.
///
/// # Errors
/// [`Error::Refused`] when the owner lacks a right.
pub async fn grant_existing(conn: &mut PgConnection, role: &str, rights: &TenantRights) -> Result<()> {
    check(role)?;
    begin(conn).await?;
    let granted = async {
        let facts = observe(conn, &[], None).await?;
        for change in grants(role, &facts) {
            carry_out(conn, change, Given { roles: &[], rights }).await?;
        }
        Ok(())
    };
    let granted = granted.await;
    end(conn, granted).await
}

/// Removes the role, and those that were made for rotations of its login, and their rights from this database. Their
/// sessions end. What they own passes to the connection's user: no data goes. A role that is not there is fine.
///
/// # Errors
/// [`Error::Refused`] when the role still has rights in another database (2BP01).
pub async fn drop_tenant_role(conn: &mut PgConnection, role: &str) -> Result<()> {
    let rights = &TenantRights::default();
    check(role)?;
    begin(conn).await?;
    let found = heir::generations(conn, role).await;
    let found = end(conn, found).await?;
    let retired: Vec<_> = found.iter().map(String::as_str).collect();
    change(conn, Given { roles: &[], rights }, (&[], false), &retired, None).await
}

/// What the changes need besides the names of the roles.
#[derive(Clone, Copy)]
struct Given<'a> {
    /// The roles that are kept, with their passwords.
    roles: &'a [TenantRole],
    rights: &'a TenantRights,
}

/// `kept`: names of the roles that are kept, and whether they do not log in.
async fn change(
    conn: &mut PgConnection,
    given: Given<'_>,
    (kept, shut): (&[&str], bool),
    retired: &[&str],
    server: Option<Sharing>,
) -> Result<()> {
    let all: Vec<_> = kept.iter().chain(retired).copied().collect();
    all.iter().try_for_each(|name| check(name))?;
    let logins = TenantLogins {
        shut,
        ..logins(kept, retired, given.rights)
    };
    begin(conn).await?;
    let observed = async {
        let facts = observe_checked(conn, &all, server).await?;
        if server == Some(Sharing::Shared) {
            check_others(conn, &all).await?;
        }
        Ok(facts)
    };
    let observed = observed.await;
    let planned = end(conn, observed)
        .await
        .and_then(|facts| plan(logins, server, &facts))?;
    follow(conn, &planned, given).await
}

async fn follow(conn: &mut PgConnection, planned: &RolePlan<'_>, given: Given<'_>) -> Result<()> {
    for change in &planned.before {
        in_transaction(conn, &[*change], given).await?;
    }
    in_transaction(conn, &planned.together, given).await?;
    in_transaction(conn, &planned.after, given).await
}

fn logins<'a>(kept: &'a [&'a str], retired: &'a [&'a str], rights: &TenantRights) -> TenantLogins<'a> {
    TenantLogins {
        kept,
        retired,
        limited: rights.limits.is_some(),
        row_security: rights.row_security,
        exposes: rights.expose_new_tables.is_some(),
        shut: false,
    }
}

/// Whether the role is as [`ensure_tenant_role`] makes it now: an earlier version of the operator made it otherwise,
/// and the owner may since have been given a right. What a preparation sets each time is not compared.
///
/// # Errors
/// As [`ensure_tenant_role`].
pub async fn is_prepared(conn: &mut PgConnection, role: &str, rights: &TenantRights, server: Sharing) -> Result<bool> {
    check(role)?;
    begin(conn).await?;
    let seen = async {
        let facts = observe(conn, &[role], Some(server)).await?;
        let copied = search_path::is_copied(conn, role).await?;
        Ok(copied && !plan(logins(&[role], &[], rights), Some(server), &facts)?.renews())
    };
    let seen = seen.await;
    end(conn, seen).await
}

async fn in_transaction(conn: &mut PgConnection, changes: &[Change<'_>], given: Given<'_>) -> Result<()> {
    if changes.is_empty() {
        return Ok(());
    }
    begin(conn).await?;
    let mut done = Ok(());
    for change in changes {
        done = carry_out(conn, *change, given).await;
        if done.is_err() {
            break;
        }
    }
    end(conn, done).await
}

fn check(name: &str) -> Result<()> {
    match name {
        "" => Err(Error::InvalidRole("it is empty")),
        _ if name.len() > 63 => Err(Error::InvalidRole("it is longer than 63 bytes")),
        _ if name.contains('\0') => Err(Error::InvalidRole("it holds a NUL")),
        _ if name.starts_with("pg_") => Err(Error::InvalidRole("pg_ is PostgreSQL's own")),
        _ => Ok(()),
    }
}

/// As [`observe`]; a database that is being prepared for its tenant must hold no trap for its owner.
async fn observe_checked(conn: &mut PgConnection, roles: &[&str], server: Option<Sharing>) -> Result<ServerFacts> {
    if server.is_some() {
        let tenant: Vec<_> = roles.iter().map(ToString::to_string).collect();
        check_triggers(conn, &tenant).await?;
    }
    observe(conn, roles, server).await
}

/// Refuses a role that exists and that the owner may not change. Since version 16, that is a role that another login of
/// the server has made: the tenant's, in the database that it had there before.
async fn check_others(conn: &mut PgConnection, roles: &[&str]) -> Result<()> {
    let query = "SELECT rolname::text, current_user::text FROM pg_roles r \
        WHERE rolname::text = ANY ($1) AND rolname <> current_user \
            AND current_setting('server_version_num')::int >= 160000 \
            AND NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) \
            AND NOT pg_has_role(current_user, r.oid, 'MEMBER WITH ADMIN OPTION') ORDER BY 1 LIMIT 1";
    let row: Option<(String, String)> = sqlx::query_as(query)
        .bind(roles.iter().map(ToString::to_string).collect::<Vec<_>>())
        .fetch_optional(conn)
        .await?;
    let Some((role, owner)) = row else { return Ok(()) };
    let (role, owner) = (quote(&role), quote(&owner));
    Err(Error::refused(
        "42501",
        &format!(
            "the tenant's login role {role} was made by another login of this server, for a database that the tenant had \
             before, and {owner} may not change it; as a superuser: GRANT {role} TO {owner} WITH ADMIN OPTION"
        ),
    ))
}

/// Reads what the plan needs to know of the server and of these roles.
async fn observe(conn: &mut PgConnection, roles: &[&str], server: Option<Sharing>) -> Result<ServerFacts> {
    let owner = sqlx::query(
        "SELECT rolsuper, EXISTS (SELECT FROM pg_namespace WHERE nspname = $1 \
             AND pg_has_role(current_user, nspowner, 'USAGE')), rolsuper OR rolbypassrls \
         FROM pg_roles WHERE rolname = current_user",
    )
    .bind(OPERATOR_SCHEMA)
    .fetch_one(&mut *conn)
    .await?;
    let found = sqlx::query(
        "SELECT rolname::text, NOT (rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication \
             OR rolname = current_user), pg_has_role(current_user, oid, 'USAGE'), rolbypassrls \
         FROM pg_roles WHERE rolname::text = ANY ($1)",
    )
    .bind(roles.iter().map(ToString::to_string).collect::<Vec<_>>())
    .fetch_all(&mut *conn)
    .await?;
    let groups = match server {
        Some(server) => groups::observe(conn, server, roles).await?,
        None => BTreeMap::new(),
    };
    let mut facts = ServerFacts {
        owner_is_superuser: owner.try_get(0)?,
        owns_operator_schema: owner.try_get(1)?,
        owner_gives_bypass: owner.try_get(2)?,
        groups,
        ..ServerFacts::default()
    };
    for row in found {
        let role = RoleFacts {
            is_tenant_like: row.try_get(1)?,
            owner_is_member: row.try_get(2)?,
            bypasses: row.try_get(3)?,
        };
        facts.roles.insert(row.try_get(0)?, role);
    }
    Ok(facts)
}

async fn carry_out(conn: &mut PgConnection, change: Change<'_>, given: Given<'_>) -> Result<()> {
    let Given { roles, rights } = given;
    let sql = match change {
        Change::Create(role) => format!(
            "CREATE ROLE {} LOGIN PASSWORD '{}'",
            quote(role),
            verifier(role, roles)?
        ),
        Change::CreateShut(role) => format!("CREATE ROLE {}", quote(role)),
        Change::JoinBase { base, role } => format!("GRANT {} TO {}", quote(base), quote(role)),
        Change::PassOn { role, heir } => return heir::pass_on(conn, role, heir).await,
        Change::TakeExcess(role) => return revoke_excess(conn, role, rights).await,
        Change::SetPassword(role) => {
            format!("ALTER ROLE {} LOGIN PASSWORD '{}'", quote(role), verifier(role, roles)?)
        }
        Change::JoinOwner(role) => format!("GRANT {} TO CURRENT_USER", quote(role)),
        Change::Bypass(role) => {
            let sql = format!("ALTER ROLE {} BYPASSRLS", quote(role));
            // Before version 16 only a superuser may, or who is told to be like one by an extension of a hosted project.
            return permitted(conn, sql, &["42501"]).await.map(drop);
        }
        Change::Enforce(role) => {
            let sql = format!("ALTER ROLE {} NOBYPASSRLS", quote(role));
            // Who may not give it may not take it either; [`super::unreadable`] tells of a login that keeps it.
            return permitted(conn, sql, &["42501"]).await.map(drop);
        }
        Change::CreateGroup => return groups::create(conn).await,
        Change::JoinGroup { group, role } => return groups::join(conn, group, role).await,
        Change::LeaveGroup { group, role } => return groups::leave(conn, group, role).await,
        Change::Expose => match rights.expose_new_tables {
            Some(wanted) => return data_api::expose(conn, wanted).await,
            None => return Ok(()),
        },
        Change::CopySearchPath(role) => return search_path::copy(conn, role).await,
        Change::CloseDatabase => return close_database(conn).await,
        Change::GrantDatabase(role) => {
            let database = current_database(conn).await?;
            format!("GRANT CONNECT, TEMPORARY ON DATABASE {database} TO {}", quote(role))
        }
        Change::Limit(role) => match &rights.limits {
            Some(limits) => limit(role, limits),
            None => return Ok(()),
        },
        Change::GrantExisting(role) => return grant(conn, role, rights).await,
        Change::Protect => return protect(conn).await,
        Change::EndForeignSessions => return end_foreign_sessions(conn).await,
        Change::HideOperatorSchema(role) => format!(
            "REVOKE ALL ON SCHEMA {OPERATOR_SCHEMA} FROM {role}; \
             REVOKE ALL ON ALL TABLES IN SCHEMA {OPERATOR_SCHEMA} FROM {role}",
            role = quote(role)
        ),
        Change::GrantFuture(role) => future_grants(None, role, rights),
        Change::GrantFutureOf { creator, role } => future_grants(Some(creator), role, rights),
        Change::ForbidLogin(role) => format!("ALTER ROLE {} NOLOGIN", quote(role)),
        Change::EndSessions(role) => return end_sessions(conn, role).await,
        Change::TakeOver(role) => format!(
            "REASSIGN OWNED BY {role} TO CURRENT_USER; DROP OWNED BY {role}",
            role = quote(role)
        ),
        Change::Drop(role) => format!("DROP ROLE {}", quote(role)),
    };
    run(conn, sql).await
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
