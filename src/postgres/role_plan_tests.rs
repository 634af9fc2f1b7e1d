#![allow(clippy::unwrap_used)]
use super::RoleChange::{
    Bypass, CloseDatabase, CopySearchPath, Create, CreateGroup, CreateShut, Drop, EndForeignSessions, EndSessions,
    Enforce, Expose, ForbidLogin, GrantDatabase, GrantExisting, GrantFuture, GrantFutureOf, HideOperatorSchema,
    JoinBase, JoinGroup, JoinOwner, LeaveGroup, Limit, Part, PassOn, Protect, SetPassword, TakeExcess, TakeOver,
};
use super::*;
use crate::postgres::groups::Membership;

#[path = "role_plan_group_tests.rs"]
mod memberships;

/// A server whose group of tenants' logins has these roles as members.
fn facts(roles: &[(&str, bool, bool)]) -> ServerFacts {
    let facts = |(name, is_tenant_like, owner_is_member): &(&str, bool, bool)| {
        let facts = RoleFacts {
            is_tenant_like: *is_tenant_like,
            owner_is_member: *owner_is_member,
            bypasses: false,
        };
        ((*name).to_owned(), facts)
    };
    ServerFacts {
        roles: roles.iter().map(facts).collect(),
        groups: [(
            APP_GROUP,
            group(&roles.iter().map(|(name, ..)| *name).collect::<Vec<_>>()),
        )]
        .into(),
        ..ServerFacts::default()
    }
}

fn group(members: &[&str]) -> GroupFacts {
    let member = |name: &&str| ((*name).to_owned(), member(Becomes::ByOurs));
    GroupFacts {
        is_closed: true,
        is_plain: true,
        parts: false,
        grantable: true,
        members: members.iter().map(member).collect(),
    }
}

fn member(becomes: Becomes) -> Membership {
    Membership {
        inherits: true,
        becomes,
    }
}

fn joins(group: &'static str, role: &'static str) -> RoleChange<'static> {
    JoinGroup { group, role }
}

fn logins<'a>(kept: &'a [&'a str], retired: &'a [&'a str]) -> TenantLogins<'a> {
    TenantLogins {
        kept,
        retired,
        limited: false,
        row_security: RowSecurity::Bypass,
        exposes: false,
        access: RoleLogin::Password,
    }
}

#[test]
fn a_new_role_is_created_joined_and_granted_its_rights_in_one_transaction() {
    let made = plan(logins(&["a"], &[]), Some(Sharing::Shared), &facts(&[])).unwrap();
    assert_eq!(made.before, []);
    assert_eq!(
        made.together,
        [
            Create("a"),
            JoinOwner("a"),
            CloseDatabase,
            GrantDatabase("a"),
            GrantExisting("a"),
            Protect,
            CopySearchPath("a"),
            GrantFuture("a"),
        ]
    );
    assert_eq!(made.after, [EndForeignSessions]);
    // A neighbour may hold it up, and nothing else with it.
    assert_eq!(made.groups, [joins(APP_GROUP, "a")]);
}

#[test]
fn limits_are_set_where_they_are_given() {
    let limited = TenantLogins {
        limited: true,
        ..logins(&["a"], &[])
    };
    let made = plan(limited, Some(Sharing::Own), &facts(&[("a", true, true)])).unwrap();
    assert!(made.together.starts_with(&[SetPassword("a"), Limit("a")]));
    assert_eq!(made.after, [], "the server is the tenant's own");
}

#[test]
fn a_role_that_exists_gets_its_password_and_what_it_lacks() {
    let mut found = facts(&[("a", true, true)]);
    found.owns_operator_schema = true;
    let made = plan(logins(&["a"], &[]), Some(Sharing::Own), &found).unwrap();
    assert_eq!(
        made.together,
        [
            SetPassword("a"),
            GrantDatabase("a"),
            GrantExisting("a"),
            Protect,
            CopySearchPath("a"),
            HideOperatorSchema("a"),
            GrantFuture("a")
        ]
    );
    let joins = |found: &ServerFacts| {
        let made = plan(logins(&["a"], &[]), Some(Sharing::Own), found).unwrap();
        made.together.contains(&JoinOwner("a"))
    };
    assert!(joins(&facts(&[("a", true, false)])));
    let superuser = ServerFacts {
        owner_is_superuser: true,
        ..facts(&[])
    };
    assert!(!joins(&superuser), "a superuser has the rights of every role");
}

#[test]
fn a_role_that_exists_on_a_server_of_several_tenants_gets_its_password_after_others_have_lost_it() {
    let found = facts(&[("a", true, true), ("a_2", true, true)]);
    let made = plan(logins(&["a", "new"], &[]), Some(Sharing::Shared), &found).unwrap();
    assert!(made.together.starts_with(&[Part("a"), SetPassword("a"), Create("new")]));
    let shut = TenantLogins {
        access: RoleLogin::Shut,
        ..logins(&["a"], &[])
    };
    let made = plan(shut, Some(Sharing::Shared), &found).unwrap();
    assert!(made.together.starts_with(&[Part("a"), ForbidLogin("a")]));
    let members = TenantMembers {
        base: "a",
        logins: &["a_2", "a_3"],
    };
    let of = |server| plan_members(members, (false, RowSecurity::Bypass), server, &found).unwrap();
    let parted = |made: &RolePlan<'_>| made.together.iter().filter(|change| matches!(change, Part(_))).count();
    let shared = of(Sharing::Shared);
    assert!(
        shared
            .together
            .starts_with(&[Part("a_2"), SetPassword("a_2"), JoinBase { base: "a", role: "a_2" }])
    );
    assert_eq!((parted(&shared), parted(&of(Sharing::Own))), (1, 0));
}

#[test]
fn two_generations_reach_what_the_other_creates() {
    let made = plan(
        logins(&["a", "b"], &[]),
        Some(Sharing::Own),
        &facts(&[("a", true, true)]),
    )
    .unwrap();
    let creators = |wanted: &str| {
        let of = |change: &RoleChange<'_>| matches!(change, GrantFutureOf { role, .. } if *role == wanted);
        made.together.iter().filter(|change| of(change)).count()
    };
    assert_eq!((creators("a"), creators("b")), (1, 1));
    assert!(
        made.together
            .starts_with(&[SetPassword("a"), Create("b"), JoinOwner("b")])
    );
}

#[test]
fn a_retired_role_is_shut_out_first_and_its_objects_are_granted_to_the_kept_one() {
    let found = facts(&[("a", true, false), ("b", true, true)]);
    let made = plan(logins(&["b"], &["a", "gone"]), Some(Sharing::Own), &found).unwrap();
    assert_eq!(made.before, [JoinOwner("a"), ForbidLogin("a"), EndSessions("a")]);
    assert_eq!(
        made.together,
        [
            SetPassword("b"),
            GrantDatabase("b"),
            TakeOver("a"),
            Drop("a"),
            GrantExisting("b"),
            Protect,
            CopySearchPath("b"),
            GrantFuture("b")
        ]
    );
    let nothing = plan(logins(&[], &["gone"]), None, &found).unwrap();
    assert_eq!(nothing, RolePlan::default());
}

#[test]
fn a_role_that_is_not_a_tenants_is_neither_changed_nor_dropped() {
    let found = facts(&[("postgres", false, true), ("a", true, true)]);
    for (kept, retired) in [
        (&["postgres"][..], &[][..]),
        (&["a"], &["postgres"]),
        (&[], &["postgres"]),
    ] {
        let refused = plan(logins(kept, retired), Some(Sharing::Own), &found).unwrap_err();
        assert!(matches!(refused, Error::Refused { .. }), "{refused}");
    }
}

/// The changes of a role's attributes, without those of its grants.
fn renewed<'a>(logins: TenantLogins<'a>, server: Sharing, found: &ServerFacts) -> Vec<RoleChange<'a>> {
    let made = plan(logins, Some(server), found).unwrap();
    let of = |change: &RoleChange<'_>| {
        matches!(
            change,
            Bypass(_) | Enforce(_) | CreateGroup | JoinGroup { .. } | LeaveGroup { .. } | Expose
        )
    };
    let all = made.before.iter().chain(&made.together).chain(&made.groups);
    let renewed: Vec<_> = all.copied().filter(of).collect();
    let shown = renewed.iter().any(|change| *change != Expose);
    assert_eq!(made.renews(), shown, "{renewed:?}");
    renewed
}

/// A hosted project, or an entry whose owner has BYPASSRLS, with the login `a`.
fn bypassing(bypasses: bool) -> ServerFacts {
    let mut found = facts(&[("a", true, true)]);
    found.owner_gives_bypass = true;
    found.roles.get_mut("a").unwrap().bypasses = bypasses;
    found
}

#[test]
fn a_login_passes_row_level_security_where_the_owner_may_let_it() {
    let bypass = logins(&["a"], &[]);
    let enforce = TenantLogins {
        row_security: RowSecurity::Enforce,
        ..bypass
    };
    for (logins, found, renews) in [
        (bypass, bypassing(false), vec![Bypass("a")]),
        (bypass, bypassing(true), vec![]),
        (bypass, facts(&[("a", true, true)]), vec![]),
        (enforce, bypassing(false), vec![]),
        (enforce, bypassing(true), vec![Enforce("a")]),
    ] {
        assert_eq!(renewed(logins, Sharing::Shared, &found), renews);
    }
}

#[test]
fn a_login_of_a_rotation_is_a_member_of_the_first_role() {
    let with = |access| TenantLogins {
        access,
        ..logins(&["a"], &[])
    };
    let shut = with(RoleLogin::Shut);
    let made = plan(shut, Some(Sharing::Own), &facts(&[("a", true, true)])).unwrap();
    assert_eq!(made.together[0], ForbidLogin("a"));
    let made = plan(shut, Some(Sharing::Own), &facts(&[])).unwrap();
    assert_eq!(made.together[0], CreateShut("a"));
    // A role with a lost password stays unchanged.
    let made = plan(
        with(RoleLogin::Unchanged),
        Some(Sharing::Own),
        &facts(&[("a", true, true)]),
    )
    .unwrap();
    assert!(![SetPassword("a"), ForbidLogin("a"), Create("a")].contains(&made.together[0]));
    let members = |logins| TenantMembers { base: "a", logins };
    let of = |members, found: &ServerFacts| plan_members(members, (true, RowSecurity::Bypass), Sharing::Own, found);
    let mut found = facts(&[("a", true, true), ("a_2", true, true)]);
    found.owner_gives_bypass = true;
    let made = of(members(&["a_2", "a_3"]), &found).unwrap();
    let common = |role| {
        let future = GrantFutureOf {
            creator: role,
            role: "a",
        };
        [
            JoinBase { base: "a", role },
            CopySearchPath(role),
            TakeExcess(role),
            future,
        ]
    };
    let first = [SetPassword("a_2"), Limit("a_2"), Bypass("a_2")];
    let second = [Create("a_3"), JoinOwner("a_3"), Limit("a_3"), Bypass("a_3")];
    let all: Vec<_> = first
        .into_iter()
        .chain(common("a_2"))
        .chain(second)
        .chain(common("a_3"))
        .collect();
    assert_eq!((made.before.len(), made.together), (0, all));

    // The objects of a former one belong to the first role.
    let made = plan_drop("a_2", "a", &found).unwrap();
    let heir = PassOn { role: "a_2", heir: "a" };
    assert_eq!(
        made.together,
        [heir, Drop("a_2"), GrantExisting("a"), Protect, CopySearchPath("a")]
    );
    let foreign = facts(&[("a", true, true), ("a_2", false, true)]);
    assert!(of(members(&["a_2"]), &foreign).is_err());
    assert!(plan_drop("a_2", "a", &foreign).is_err());
    assert_eq!(plan_drop("gone", "a", &foreign).unwrap(), RolePlan::default());
}

#[test]
fn what_a_released_tenants_role_owns_is_its_custodians_and_never_the_owners() {
    let found = facts(&[("a", true, true)]);
    let made = plan_release(&["a"], Some("keeper"), &found).unwrap();
    assert_eq!(made.before, [ForbidLogin("a"), EndSessions("a")]);
    let left = RoleChange::Leave {
        role: "a",
        heir: "keeper",
    };
    assert_eq!(made.together, [left, Drop("a")]);
    // It owns nothing.
    let made = plan_release(&["a", "gone"], None, &found).unwrap();
    assert_eq!(made.together, [TakeOver("a"), Drop("a")]);
    let mightier = facts(&[("a", false, true)]);
    assert!(plan_release(&["a"], Some("keeper"), &mightier).is_err());
}
