#![allow(clippy::unwrap_used)]
use super::Change::{
    CloseDatabase, Create, Drop, EndForeignSessions, EndSessions, ForbidLogin, GrantDatabase, GrantExisting,
    GrantFuture, GrantFutureOf, HideOperatorSchema, JoinOwner, Limit, Protect, SetPassword, TakeOver,
};
use super::*;

fn facts(roles: &[(&str, bool, bool)]) -> ServerFacts {
    let facts = |(name, is_tenant_like, owner_is_member): &(&str, bool, bool)| {
        let facts = RoleFacts {
            is_tenant_like: *is_tenant_like,
            owner_is_member: *owner_is_member,
        };
        ((*name).to_owned(), facts)
    };
    ServerFacts {
        roles: roles.iter().map(facts).collect(),
        ..ServerFacts::default()
    }
}

fn logins<'a>(kept: &'a [&'a str], retired: &'a [&'a str]) -> TenantLogins<'a> {
    TenantLogins {
        kept,
        retired,
        limited: false,
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
            GrantFuture("a")
        ]
    );
    assert_eq!(made.after, [EndForeignSessions]);
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
fn two_generations_reach_what_the_other_creates() {
    let made = plan(
        logins(&["a", "b"], &[]),
        Some(Sharing::Own),
        &facts(&[("a", true, true)]),
    )
    .unwrap();
    let creators = |wanted: &str| {
        let of = |change: &Change<'_>| matches!(change, GrantFutureOf { role, .. } if *role == wanted);
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
