//! Decides which changes on a server a tenant's login roles need. Pure: it gets the facts that [`super::roles`] has read
//! from the server, and returns changes for it to execute.
//!
//! A tenant has one login role. Once its login was rotated, that role no longer logs in: it has the rights, and the logins
//! are members of it. There is more than one login as long as a former one is kept.

use std::collections::BTreeMap;

use super::error::{Error, Result};
use super::groups::{APP_GROUP, Becomes, GroupFacts, SERVICE_ROLE};
use super::role_change::RoleChange;
use super::wall::Sharing;
use crate::api::RowSecurity;

/// The login roles of one tenant, by name.
#[derive(Clone, Copy, Debug)]
pub(super) struct TenantLogins<'a> {
    /// Roles that exist afterwards and have all of the tenant's rights.
    pub kept: &'a [&'a str],
    /// Roles that do not exist afterwards.
    pub retired: &'a [&'a str],
    /// The limits of the roles are to be set.
    pub limited: bool,
    /// Whether policies of row level security apply to them.
    pub row_security: RowSecurity,
    /// The default privileges of the Data API are to be set.
    pub exposes: bool,
    /// Whether the kept roles log in.
    pub access: RoleLogin,
}

/// Whether a role logs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RoleLogin {
    /// With the password that is given.
    Password,
    /// Unchanged: its password is lost, and may be in use.
    Unchanged,
    /// It does not log in: its members do.
    Shut,
}

/// The logins of one tenant that are members of its first role.
#[derive(Clone, Copy, Debug)]
pub(super) struct TenantMembers<'a> {
    /// The first role, which has the rights.
    pub base: &'a str,
    /// The logins.
    pub logins: &'a [&'a str],
}

/// The server's facts.
#[derive(Clone, Debug, Default)]
pub(super) struct ServerFacts {
    /// The roles that exist, of the given ones.
    pub roles: BTreeMap<String, RoleFacts>,
    /// The owner is a superuser: it has the rights of every role without being a member.
    pub owner_is_superuser: bool,
    /// The operator's schema exists, and the owner owns it.
    pub owns_operator_schema: bool,
    /// The owner seems to have the right to grant BYPASSRLS.
    pub owner_gives_bypass: bool,
    /// Name of the current database.
    pub database: String,
    /// The groups that exist, of those that the logins are members of on this server.
    pub groups: BTreeMap<&'static str, GroupFacts>,
}

/// The server's facts of one role.
#[derive(Clone, Copy, Debug)]
pub(super) struct RoleFacts {
    /// It has none of the attributes that a tenant's role never has, and is not the owner.
    pub is_tenant_like: bool,
    /// The owner has its rights.
    pub owner_is_member: bool,
    /// It has BYPASSRLS.
    pub bypasses: bool,
}

/// The changes, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RolePlan<'a> {
    /// Changes that are committed one by one: a role must be forbidden to log in before its sessions are ended, and the
    /// group must exist before a script names it.
    pub before: Vec<RoleChange<'a>>,
    /// Changes of one transaction, so that a crash leaves all of them or none.
    pub together: Vec<RoleChange<'a>>,
    /// Changes of one transaction after that: sessions are ended when they can no longer be opened again.
    pub after: Vec<RoleChange<'a>>,
    /// Memberships on a server of several tenants, which are committed one by one at last: since version 16, each of them waits
    /// for every transaction of the server that has granted the same group.
    pub groups: Vec<RoleChange<'a>>,
}

/// Decides what must change for these logins.
///
/// # Errors
/// [`Error::Refused`] when a role of a login's name exists and is not a tenant's role.
pub(super) fn plan<'a>(logins: TenantLogins<'a>, server: Option<Sharing>, facts: &ServerFacts) -> Result<RolePlan<'a>> {
    let TenantLogins {
        kept,
        retired,
        limited,
        row_security,
        exposes,
        access,
    } = logins;
    refuse_foreign(kept.iter().chain(retired).copied(), facts)?;
    let mut plan = RolePlan::default();
    for role in kept {
        let found = facts.roles.get(*role);
        if found.is_some() && server == Some(Sharing::Shared) {
            plan.together.push(RoleChange::Part(role));
        }
        plan.together.extend(match (found, access) {
            (Some(_), RoleLogin::Password) => Some(RoleChange::SetPassword(role)),
            (None, RoleLogin::Password) => Some(RoleChange::Create(role)),
            (Some(_), RoleLogin::Unchanged) => None,
            (Some(_), RoleLogin::Shut) => Some(RoleChange::ForbidLogin(role)),
            (None, RoleLogin::Unchanged | RoleLogin::Shut) => Some(RoleChange::CreateShut(role)),
        });
        attributes(role, (limited, row_security), facts, &mut plan);
    }
    if server == Some(Sharing::Shared) {
        plan.together.push(RoleChange::CloseDatabase);
        plan.after.push(RoleChange::EndForeignSessions);
    }
    plan.together
        .extend(kept.iter().map(|role| RoleChange::GrantDatabase(role)));
    for role in retired {
        retire(role, None, facts, &mut plan);
    }
    // After the retirement: objects that the owner has taken over are granted as well.
    for role in kept {
        plan.together.extend(grants(role, facts));
        plan.together.push(RoleChange::GrantFuture(role));
        let others = kept.iter().filter(|other| *other != role);
        plan.together
            .extend(others.map(|creator| RoleChange::GrantFutureOf { creator, role }));
    }
    if exposes && server == Some(Sharing::Own) {
        plan.together.push(RoleChange::Expose);
    }
    if let Some(server) = server {
        join_groups(logins, server, facts, &mut plan);
    }
    Ok(plan)
}

/// Decides what must change for the logins that are members of a tenant's first role.
///
/// # Errors
/// As [`plan`].
pub(super) fn plan_members<'a>(
    members: TenantMembers<'a>,
    attributes_of: (bool, RowSecurity),
    server: Sharing,
    facts: &ServerFacts,
) -> Result<RolePlan<'a>> {
    let TenantMembers { base, logins } = members;
    refuse_foreign(logins.iter().copied(), facts)?;
    let mut plan = RolePlan::default();
    for role in logins {
        let found = facts.roles.get(*role);
        if found.is_some() && server == Sharing::Shared {
            plan.together.push(RoleChange::Part(role));
        }
        plan.together.push(match found {
            Some(_) => RoleChange::SetPassword(role),
            None => RoleChange::Create(role),
        });
        attributes(role, attributes_of, facts, &mut plan);
        plan.together.extend([
            RoleChange::JoinBase { base, role },
            RoleChange::CopySearchPath(role),
            RoleChange::TakeExcess(role),
            RoleChange::GrantFutureOf {
                creator: role,
                role: base,
            },
        ]);
    }
    Ok(plan)
}

/// Decides what must change for a former login to be gone: its objects are granted to the first role like everything else.
///
/// # Errors
/// As [`plan`].
pub(super) fn plan_drop<'a>(role: &'a str, base: &'a str, facts: &ServerFacts) -> Result<RolePlan<'a>> {
    refuse_foreign([role].into_iter(), facts)?;
    let mut plan = RolePlan::default();
    if facts.roles.contains_key(role) {
        let dropped = [RoleChange::PassOn { role, heir: base }, RoleChange::Drop(role)];
        plan.together.extend(dropped.into_iter().chain(grants(base, facts)));
    }
    Ok(plan)
}

/// Decides what must change for roles of a tenant to be gone with its release. The custodian gets what they own; without one
/// they own nothing.
///
/// # Errors
/// As [`plan`].
pub(super) fn plan_release<'a>(
    roles: &'a [&'a str],
    custodian: Option<&'a str>,
    facts: &ServerFacts,
) -> Result<RolePlan<'a>> {
    refuse_foreign(roles.iter().copied(), facts)?;
    let mut plan = RolePlan::default();
    for role in roles {
        retire(role, custodian, facts, &mut plan);
    }
    Ok(plan)
}

/// The attributes of a role: one that the owner may change, with its limits, and with row security as wanted.
fn attributes<'a>(
    role: &'a str,
    (limited, row_security): (bool, RowSecurity),
    facts: &ServerFacts,
    plan: &mut RolePlan<'a>,
) {
    let found = facts.roles.get(role);
    if !found.map_or(facts.owner_is_superuser, |found| found.owner_is_member) {
        plan.together.push(RoleChange::JoinOwner(role));
    }
    if limited {
        plan.together.push(RoleChange::Limit(role));
    }
    let bypasses = found.is_some_and(|found| found.bypasses);
    match row_security {
        RowSecurity::Bypass if !bypasses && facts.owner_gives_bypass => plan.together.push(RoleChange::Bypass(role)),
        RowSecurity::Enforce if bypasses => plan.together.push(RoleChange::Enforce(role)),
        _ => {}
    }
}

/// Refuses roles with the name of a tenant's that are none, or that somebody has made more than that.
pub(super) fn refuse_foreign<'r>(mut roles: impl Iterator<Item = &'r str>, facts: &ServerFacts) -> Result<()> {
    let is_foreign = |role: &&str| facts.roles.get(*role).is_some_and(|found| !found.is_tenant_like);
    let Some(role) = roles.find(is_foreign) else {
        return Ok(());
    };
    Err(Error::refused(
        "42501",
        &format!(
            "the role {role} has the name of a tenant's login and is not one, or has attributes that a tenant's login must not \
             have: if it is the tenant's, ALTER ROLE {role} NOCREATEROLE NOCREATEDB NOREPLICATION"
        ),
    ))
}

impl RolePlan<'_> {
    /// Whether it changes attributes of a role, and not only what each preparation sets again.
    pub fn renews(&self) -> bool {
        let renews = |change: &RoleChange<'_>| {
            matches!(
                change,
                RoleChange::Create(_)
                    | RoleChange::CreateShut(_)
                    | RoleChange::JoinOwner(_)
                    | RoleChange::Bypass(_)
                    | RoleChange::Enforce(_)
                    | RoleChange::CreateGroup
                    | RoleChange::JoinGroup { .. }
                    | RoleChange::LeaveGroup { .. }
            )
        };
        self.before.iter().chain(&self.together).chain(&self.groups).any(renews)
    }
}

/// The memberships of the logins. Nobody else holds them up on a server of the tenant's own.
fn join_groups<'a>(logins: TenantLogins<'a>, server: Sharing, facts: &ServerFacts, plan: &mut RolePlan<'a>) {
    if !logins.kept.is_empty() && !facts.groups.contains_key(APP_GROUP) {
        // Two databases may be prepared at once: a transaction that has waited for the other's group does not see it yet.
        plan.before.push(RoleChange::CreateGroup);
    }
    let changes = match server {
        Sharing::Shared => &mut plan.groups,
        Sharing::Own => &mut plan.together,
    };
    if !facts.groups.contains_key(APP_GROUP) {
        let join = |role: &&'a str| RoleChange::JoinGroup { group: APP_GROUP, role };
        changes.extend(logins.kept.iter().map(join));
    }
    for (group, found) in &facts.groups {
        let of = |role: &&'a str| membership((group, found), role, logins.row_security);
        changes.extend(logins.kept.iter().filter_map(of));
    }
}

/// `SET ROLE service_role` would bypass all policies, so a login to which they apply is not a member of it; and a group with
/// attributes or dangerous memberships has no tenants' logins as members. Attributes only work through `SET ROLE`, so they
/// do not matter to a login that cannot `SET ROLE` to its group.
fn membership<'a>(
    (group, found): (&'static str, &GroupFacts),
    role: &'a str,
    row_security: RowSecurity,
) -> Option<RoleChange<'a>> {
    let apart = group == APP_GROUP && found.parts;
    let passes = group == SERVICE_ROLE && row_security == RowSecurity::Enforce;
    let is_fit = found.is_closed && (found.is_plain || apart) && !passes;
    let becomes = found.members.get(role).map(|member| member.becomes);
    let is_stuck = becomes == Some(Becomes::ByOthers) && apart && !found.is_plain;
    if becomes.is_some() && (!is_fit || is_stuck) {
        return Some(RoleChange::LeaveGroup { group, role });
    }
    let inherits = found.members.get(role).is_some_and(|member| member.inherits);
    let is_open = becomes == Some(Becomes::ByOurs) && apart;
    (is_fit && (is_open || !inherits && found.grantable)).then_some(RoleChange::JoinGroup { group, role })
}

/// The changes that give a role its rights on what exists.
pub(super) fn grants<'a>(role: &'a str, facts: &ServerFacts) -> impl Iterator<Item = RoleChange<'a>> + use<'a> {
    let hide = facts
        .owns_operator_schema
        .then_some(RoleChange::HideOperatorSchema(role));
    [
        RoleChange::GrantExisting(role),
        RoleChange::Protect,
        RoleChange::CopySearchPath(role),
    ]
    .into_iter()
    .chain(hide)
}

/// `heir`: who gets its objects; the owner when nobody is named.
fn retire<'a>(role: &'a str, heir: Option<&'a str>, facts: &ServerFacts, plan: &mut RolePlan<'a>) {
    let Some(found) = facts.roles.get(role) else {
        return;
    };
    if !found.owner_is_member {
        plan.before.push(RoleChange::JoinOwner(role));
    }
    plan.before
        .extend([RoleChange::ForbidLogin(role), RoleChange::EndSessions(role)]);
    let left = heir.map_or(RoleChange::TakeOver(role), |heir| RoleChange::Leave { role, heir });
    plan.together.extend([left, RoleChange::Drop(role)]);
}

#[cfg(test)]
#[path = "role_plan_tests.rs"]
mod tests;
