//! The memberships of tenants' logins in groups.

use super::*;
use crate::postgres::groups::DATA_API_ROLES;

#[test]
fn a_hosted_projects_login_is_a_member_of_the_roles_of_its_data_api() {
    let bypass = logins(&["a"], &[]);
    let enforce = TenantLogins {
        row_security: RowSecurity::Enforce,
        ..bypass
    };
    let exposes = TenantLogins {
        exposes: true,
        ..bypass
    };
    let hosted = |members: &[&str]| {
        let mut found = facts(&[("a", true, true)]);
        found.groups.extend(DATA_API_ROLES.map(|name| (name, group(members))));
        found
    };
    let [anon, authenticated, service] = DATA_API_ROLES.map(|name| joins(name, "a"));
    let leaves = LeaveGroup {
        group: "service_role",
        role: "a",
    };
    for (logins, members, renews) in [
        (bypass, &[][..], vec![anon, authenticated, service]),
        (bypass, &["a"], vec![]),
        // A member of service_role has BYPASSRLS after SET ROLE.
        (enforce, &[], vec![anon, authenticated]),
        (enforce, &["a"], vec![leaves]),
        (exposes, &["a"], vec![Expose]),
    ] {
        assert_eq!(renewed(logins, Sharing::Own, &hosted(members)), renews);
    }
    assert_eq!(renewed(exposes, Sharing::Shared, &facts(&[("a", true, true)])), []);
}

#[test]
fn a_login_is_a_member_of_the_servers_group_while_that_is_no_more_than_a_group() {
    let both = logins(&["a", "b"], &[]);
    let mut found = facts(&[("a", true, true), ("b", true, true)]);
    found.groups.clear();
    let [a, b] = [joins(APP_GROUP, "a"), joins(APP_GROUP, "b")];
    assert_eq!(renewed(both, Sharing::Shared, &found), [CreateGroup, a, b]);
    let one = |group: GroupFacts| {
        let mut found = found.clone();
        found.groups.insert(APP_GROUP, group);
        found
    };
    assert_eq!(renewed(both, Sharing::Shared, &one(group(&["a"]))), [b]);
    let leaves = LeaveGroup {
        group: APP_GROUP,
        role: "a",
    };
    for (is_closed, is_plain) in [(false, true), (true, false), (false, false)] {
        let unfit = GroupFacts {
            is_closed,
            is_plain,
            ..group(&["a"])
        };
        assert_eq!(renewed(both, Sharing::Shared, &one(unfit)), [leaves]);
    }
    let anothers = GroupFacts {
        grantable: false,
        ..group(&[])
    };
    assert_eq!(renewed(both, Sharing::Shared, &one(anothers)), []);
}

#[test]
fn a_login_that_cannot_become_its_group_stays_in_it_whatever_attributes_that_has() {
    use Becomes::{ByOthers, ByOurs, Never};
    let kept = &["a"][..];
    let role = "a";
    let [joins, leaves] = [joins(APP_GROUP, role), LeaveGroup { group: APP_GROUP, role }];
    for (is_closed, is_plain, found, wanted) in [
        (true, true, None, vec![joins]),
        (true, false, None, vec![joins]),
        (false, true, None, vec![]),
        (true, true, Some(member(Never)), vec![]),
        (true, false, Some(member(Never)), vec![]),
        (false, true, Some(member(Never)), vec![leaves]),
        // The rights that an earlier version of the operator granted are reduced.
        (true, true, Some(member(ByOurs)), vec![joins]),
        (true, false, Some(member(ByOurs)), vec![joins]),
        (true, true, Some(member(ByOthers)), vec![]),
        (true, false, Some(member(ByOthers)), vec![leaves]),
    ] {
        let mut facts = facts(&[(role, true, true)]);
        let group = GroupFacts {
            is_closed,
            is_plain,
            parts: true,
            members: found.map(|found| (role.to_owned(), found)).into_iter().collect(),
            ..group(&[])
        };
        facts.groups.insert(APP_GROUP, group);
        let made = renewed(logins(kept, &[]), Sharing::Shared, &facts);
        assert_eq!(made, wanted, "{is_closed} {is_plain} {found:?}");
    }
    // A membership without the group's rights does not count.
    let mut facts = facts(&[(role, true, true)]);
    let without = Membership {
        inherits: false,
        becomes: Never,
    };
    let group = GroupFacts {
        parts: true,
        members: [(role.to_owned(), without)].into(),
        ..group(&[])
    };
    facts.groups.insert(APP_GROUP, group);
    assert_eq!(renewed(logins(kept, &[]), Sharing::Shared, &facts), [joins]);
}
