//! A tenant's login roles, and the isolation of databases on one server: reads the facts, lets [`super::role_plan`] decide
//! and [`super::role_changes`] execute the changes.

use std::collections::BTreeMap;

use sqlx::{PgConnection, Row as _};

use super::error::{Error, Result};
use super::generations::{self, Generations, TENANT_LIKE};
use super::grants::{TenantRights, has_timeouts};
use super::heir::KeptRole;
use super::records::{check_triggers, triggers_query};
use super::role_change::RoleChange;
use super::role_changes::{Given, TenantRole, carry_out_all, follow};
use super::role_name::is_tenants;
use super::role_plan::{
    RoleFacts, RoleLogin, ServerFacts, TenantLogins, TenantMembers, grants, plan, plan_drop, plan_members,
    plan_release, refuse_foreign,
};
use super::sql::{OPERATOR_SCHEMA, ask, begin, end, first, literals, permitted, quote};
use super::wall::Sharing;
use super::{custodian, groups, heir, members, search_path, shares, shut};

/// The roles of a tenant whose login was rotated.
#[derive(Clone, Copy, Debug)]
pub struct TenantRoles<'a> {
    /// The first role: it has the tenant's rights, and logs in only while it is one of `logins`.
    pub base: &'a str,
    /// The roles that log in.
    pub logins: &'a [TenantRole],
    /// Roles with lost passwords that log in: they stay unchanged.
    pub unknown: &'a [&'a str],
}

/// As [`ensure_tenant_role`], for all roles of a tenant whose login is or was rotated. Where more than one former login
/// is kept, these share the limit of connections, and their sessions beyond it end. Returns what keeps the tenant's logins from
/// being members of their groups for now: then this is to be repeated later.
///
/// # Errors
/// As [`ensure_tenant_role`].
pub async fn ensure_tenant_roles(
    conn: &mut PgConnection,
    tenant: TenantRoles<'_>,
    rights: &TenantRights,
    server: Sharing,
) -> Result<Option<Error>> {
    let TenantRoles { base, logins, unknown } = tenant;
    let names: Vec<_> = logins.iter().map(|role| role.name.as_str()).collect();
    let family: Vec<_> = [base].iter().chain(&names).chain(unknown).copied().collect();
    let given = Given {
        roles: logins,
        family: &family,
        ..Given::rights(rights)
    };
    let access = match names.contains(&base) {
        true => RoleLogin::Password,
        false if unknown.contains(&base) => RoleLogin::Unchanged,
        false => RoleLogin::Shut,
    };
    let locked = change(conn, given, (&[base], access), &[], Some(server)).await?;
    let members: Vec<_> = names.iter().copied().filter(|name| *name != base).collect();
    if members.is_empty() {
        return Ok(locked);
    }
    members.iter().try_for_each(|name| check(name))?;
    let wanted = TenantMembers { base, logins: &members };
    begin(conn).await?;
    let observed = observe_checked(conn, &members, given, Some(server)).await;
    let attributes = (rights.limits.is_some(), rights.row_security);
    let facts = end(conn, observed).await?;
    let planned = plan_members(wanted, attributes, server, &facts)?;
    follow(conn, &planned, given.on(&facts.database)).await?;
    if let Some(most) = rights.limits.as_ref().and_then(|limits| limits.connections) {
        let live: Vec<_> = names.iter().chain(unknown).copied().collect();
        shares::share(conn, base, &live, most).await?;
    }
    Ok(locked)
}

/// Drops the role of a former login, which can no longer log in. The first role gets its objects and grants. This may be
/// interrupted and repeated: very many objects are reassigned in steps. A missing role is not an error.
///
/// # Errors
/// As [`ensure_tenant_role`] and [`drop_tenant_role`].
pub async fn drop_former_role(
    conn: &mut PgConnection,
    (base, role): (&str, &str),
    family: &[TenantRole],
    rights: &TenantRights,
    server: Sharing,
) -> Result<()> {
    check(role)?;
    let family: Vec<_> = family.iter().map(|role| role.name.as_str()).collect();
    let given = Given {
        family: &family,
        ..Given::rights(rights)
    };
    begin(conn).await?;
    let observed = observe_checked(conn, &[base, role], given, Some(server)).await;
    let facts = end(conn, observed).await?;
    let planned = plan_drop(role, base, &facts)?;
    follow(conn, &planned, given.on(&facts.database)).await.map(drop)
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
        Given {
            roles: kept,
            ..Given::rights(rights)
        },
        (&names, RoleLogin::Password),
        retired,
        Some(server),
    )
    .await
    .map(drop)
}

/// Grants the tenant's first role its rights on everything that exists now, and gives the owner's `search_path` to it and to
/// the logins that were made for rotations. Default privileges cover what the owner creates; this covers objects from other
/// sources. Safe to repeat.
///
/// # Errors
/// [`Error::Refused`] when the owner lacks a right.
pub async fn grant_existing(conn: &mut PgConnection, role: &str, rights: &TenantRights) -> Result<()> {
    check(role)?;
    begin(conn).await?;
    let granted = async {
        let facts = observe(conn, &[], None).await?;
        let members = generations::generations(conn, role, Generations::Logins).await?;
        let members = members.iter().filter(|member| *member != role);
        let paths = members.map(|member| RoleChange::CopySearchPath(member));
        let changes: Vec<_> = grants(role, &facts).chain(paths).collect();
        carry_out_all(conn, &changes, Given::rights(rights).on(&facts.database)).await
    };
    let granted = granted.await;
    end(conn, granted).await
}

/// Removes the role, and those that were made for rotations of its login, and their rights from this database. Their
/// sessions end. What they own passes to the tenant's custodian, of which the connection's user is a member: no data goes, and
/// nothing of it runs as the owner. What they have named like a migration history is renamed before. A role that is not
/// there is fine. Returns the roles that are left on the server.
///
/// # Errors
/// [`Error::Refused`] when the owner lacks a right.
pub async fn drop_tenant_role(conn: &mut PgConnection, role: &str) -> Result<Vec<KeptRole>> {
    let rights = &TenantRights::default();
    check(role)?;
    let mut dropped = 0;
    loop {
        begin(conn).await?;
        let found = async {
            // Only what has the name of a tenant's role loses what a tenant's role never has.
            if !is_tenants(role) {
                let facts = observe(conn, &[role], None).await?;
                plan(logins(&[], &[role], rights), None, &facts)?;
            }
            let found = generations::generations(conn, role, Generations::All).await?;
            let stuck = heir::stuck(conn, &found).await?;
            Ok((found, stuck))
        };
        let found = found.await;
        let (mut found, stuck) = end(conn, found).await?;
        found.retain(|name| stuck.iter().all(|(stuck, _)| stuck != name));
        if found.is_empty() {
            let kept = stuck.into_iter();
            let kept = kept.map(|(role, database)| KeptRole::Elsewhere { role, database });
            return Ok(kept.chain(shut::out_of_reach(conn, role).await?).collect());
        }
        dropped += found.len();
        if dropped > shut::MOST {
            return Err(Error::TooMany {
                what: "roles with the name of the tenant's login",
                most: shut::MOST,
            });
        }
        shut::shut(conn, &found).await?;
        begin(conn).await?;
        let renamed = heir::set_aside(conn, &found).await;
        end(conn, renamed).await?;
        let retired: Vec<_> = found.iter().map(String::as_str).collect();
        release(conn, role, &retired).await?;
    }
}

/// Drops roles of a tenant, whose first role is `base`, that can no longer log in. What they own is left to its custodian.
async fn release(conn: &mut PgConnection, base: &str, roles: &[&str]) -> Result<()> {
    roles.iter().try_for_each(|name| check(name))?;
    begin(conn).await?;
    let seen = async {
        let facts = observe(conn, roles, None).await?;
        refuse_foreign(roles.iter().copied(), &facts)?;
        // A script may have left the owner its way in through these roles alone.
        let enters = format!("GRANT CONNECT ON DATABASE {} TO CURRENT_USER", quote(&facts.database));
        permitted(conn, enters, &["42501"]).await?;
        let custodian = custodian::appoint(conn, base, roles).await?;
        Ok((facts, custodian))
    };
    let seen = seen.await;
    let (facts, custodian) = end(conn, seen).await?;
    let planned = plan_release(roles, custodian.as_deref(), &facts)?;
    let rights = TenantRights::default();
    follow(conn, &planned, Given::rights(&rights).on(&facts.database))
        .await
        .map(drop)
}

/// Removes exactly these roles, which have no rights in another database: a restore has made them, and no tenant has used them.
/// Their objects are reassigned to the connection's user.
///
/// # Errors
/// As [`drop_tenant_role`].
pub async fn drop_made_roles(conn: &mut PgConnection, roles: &[String]) -> Result<()> {
    let rights = &TenantRights::default();
    let roles: Vec<_> = roles.iter().map(String::as_str).collect();
    for retired in roles.chunks(shut::MOST) {
        change(conn, Given::rights(rights), (&[], RoleLogin::Password), retired, None).await?;
    }
    Ok(())
}

/// `kept`: names of the roles that are kept, and whether they log in.
async fn change(
    conn: &mut PgConnection,
    given: Given<'_>,
    (kept, access): (&[&str], RoleLogin),
    retired: &[&str],
    server: Option<Sharing>,
) -> Result<Option<Error>> {
    let all: Vec<_> = kept.iter().chain(retired).copied().collect();
    all.iter().try_for_each(|name| check(name))?;
    let logins = TenantLogins {
        access,
        ..logins(kept, retired, given.rights)
    };
    begin(conn).await?;
    let observed = observe_checked(conn, &all, given, server).await;
    let facts = end(conn, observed).await?;
    let planned = plan(logins, server, &facts)?;
    follow(conn, &planned, given.on(&facts.database)).await
}

fn logins<'a>(kept: &'a [&'a str], retired: &'a [&'a str], rights: &TenantRights) -> TenantLogins<'a> {
    TenantLogins {
        kept,
        retired,
        limited: rights.limits.is_some(),
        row_security: rights.row_security,
        exposes: rights.expose_new_tables.is_some(),
        access: RoleLogin::Password,
    }
}

/// Whether the role equals the result of [`ensure_tenant_role`]: an earlier version of the operator may have created it
/// differently, and the owner may have got a right since. Parts that each preparation sets are not compared.
///
/// # Errors
/// As [`ensure_tenant_role`].
pub async fn is_prepared(conn: &mut PgConnection, role: &str, rights: &TenantRights, server: Sharing) -> Result<bool> {
    check(role)?;
    begin(conn).await?;
    let seen = async {
        let facts = observe(conn, &[role], Some(server)).await?;
        let copied = search_path::is_copied(conn, role).await? && has_timeouts(conn, role, rights).await?;
        let alone = server == Sharing::Own || !members::has_foreign(conn, role).await?;
        Ok(copied && alone && !plan(logins(&[role], &[], rights), Some(server), &facts)?.renews())
    };
    let seen = seen.await;
    end(conn, seen).await
}

/// As [`is_prepared`], for a login that was made for a rotation, of the tenant's first role. It has the rights of that role,
/// and attributes and settings of its own.
///
/// # Errors
/// As [`ensure_tenant_role`].
pub async fn is_member_prepared(
    conn: &mut PgConnection,
    base: &str,
    login: &str,
    rights: &TenantRights,
    server: Sharing,
) -> Result<bool> {
    check(login)?;
    begin(conn).await?;
    let seen = async {
        let facts = observe(conn, &[login], None).await?;
        let copied = search_path::is_copied(conn, login).await? && has_timeouts(conn, login, rights).await?;
        let logins = [login];
        let members = TenantMembers { base, logins: &logins };
        let planned = plan_members(members, (rights.limits.is_some(), rights.row_security), server, &facts)?;
        let alone = server == Sharing::Own || !members::has_foreign(conn, login).await?;
        Ok(copied && alone && !planned.renews())
    };
    let seen = seen.await;
    end(conn, seen).await
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

/// As [`observe`]; a database that is being prepared for its tenant must not contain triggers that would run as its owner.
async fn observe_checked(
    conn: &mut PgConnection,
    roles: &[&str],
    given: Given<'_>,
    server: Option<Sharing>,
) -> Result<ServerFacts> {
    if server.is_some() {
        let tenant: Vec<_> = roles.iter().chain(given.family).copied().collect();
        let [triggers] = ask(conn, [triggers_query(&tenant)]).await?;
        check_triggers(&triggers)?;
    }
    observe(conn, roles, server).await
}

/// Reads the facts about the server and these roles that the plan needs.
async fn observe(conn: &mut PgConnection, roles: &[&str], server: Option<Sharing>) -> Result<ServerFacts> {
    let owner = format!(
        "SELECT rolsuper, EXISTS (SELECT FROM pg_namespace WHERE nspname = '{OPERATOR_SCHEMA}' \
             AND pg_has_role(current_user, nspowner, 'USAGE')), rolsuper OR rolbypassrls, current_database()::text \
         FROM pg_roles WHERE rolname = current_user"
    );
    let found = format!(
        "SELECT rolname::text, {TENANT_LIKE}, pg_has_role(current_user, oid, 'USAGE'), rolbypassrls \
         FROM pg_roles WHERE rolname::text = ANY ({})",
        literals(roles)
    );
    let (owner, found, groups) = if let Some(server) = server {
        let [groups, members] = groups::queries(server, roles);
        let [owner, found, groups, members] = ask(conn, [owner, found, groups, members]).await?;
        (owner, found, groups::found(server, &groups, &members)?)
    } else {
        let [owner, found] = ask(conn, [owner, found]).await?;
        (owner, found, BTreeMap::new())
    };
    let owner = first(&owner)?;
    let mut facts = ServerFacts {
        owner_is_superuser: owner.try_get(0)?,
        owns_operator_schema: owner.try_get(1)?,
        owner_gives_bypass: owner.try_get(2)?,
        database: owner.try_get(3)?,
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
