#![allow(clippy::unwrap_used)]

use super::*;
use crate::postgres::holdings::facts::{DatabaseHoldings, ServerHoldings};

const TENANT: &str = "orchestra_0123456789abcdef0123456789abcdef";

/// An entry as the sample makes it.
fn right() -> Holdings {
    Holdings {
        server: ServerHoldings {
            version: 16,
            neighbours: vec!["two".into()],
            ..ServerHoldings::default()
        },
        login: LoginFacts {
            role: "one_owner".into(),
            owns_database: true,
            ..LoginFacts::default()
        },
        database: DatabaseHoldings {
            name: "one".into(),
            ..DatabaseHoldings::default()
        },
    }
}

/// A hosted project, as `reference` describes it.
fn hosted() -> Holdings {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let role = |name: &&str| Role {
        name: (*name).to_owned(),
        superuser: false,
        is_harmless: false,
    };
    Holdings {
        server: ServerHoldings {
            version: 15,
            supabase: true,
            open: vec![Open {
                database: "template1".into(),
                creates: false,
            }],
            ..ServerHoldings::default()
        },
        login: LoginFacts {
            role: "postgres".into(),
            replication: true,
            owns_database: true,
            member_of: ["anon", "authenticator", "pg_read_all_data", "supabase_privileged_role"]
                .iter()
                .map(role)
                .collect(),
            ..LoginFacts::default()
        },
        database: DatabaseHoldings {
            name: "postgres".into(),
            grantees: names(&["dashboard_user"]),
            dependents: names(&["anon", "service_role", "supabase_auth_admin"]),
            defaults: vec![
                ("postgres".into(), Some("anon".into())),
                ("supabase_admin".into(), None),
            ],
            ..DatabaseHoldings::default()
        },
    }
}

fn messages(found: &Holdings, allowed: &AcceptedHoldings) -> String {
    let all: Vec<_> = judge(found, allowed).into_iter().map(|one| one.message).collect();
    all.join("\n")
}

type Change = fn(&mut Holdings);

fn member_of(found: &mut Holdings, name: &str, superuser: bool) {
    found.login.member_of.push(Role {
        name: name.to_owned(),
        superuser,
        is_harmless: false,
    });
}

#[test]
fn a_database_of_ones_own_is_accepted() {
    assert_eq!(judge(&right(), &AcceptedHoldings::default()), []);
    assert_eq!(judge(&hosted(), &AcceptedHoldings::default()), []);
    assert!(hosted().open().is_empty());
}

#[test]
fn what_reaches_other_tenants_is_refused_whatever_the_pool_accepts() {
    let cases: [(Change, &str); 15] = [
        (
            |found| found.database.namesake = Some("two_owner".into()),
            "its schema one_owner, which comes first where one_owner looks for names, belongs to two_owner",
        ),
        (
            |found| found.login.lacks_createrole = true,
            "ALTER ROLE \"one_owner\" CREATEROLE",
        ),
        (|found| found.server.read_only = true, "takes no writes"),
        (|found| found.login.superuser = true, "is a superuser"),
        (|found| found.login.replication = true, "has REPLICATION"),
        (
            |found| found.login.owns_database = false,
            "does not own the database one",
        ),
        (|found| found.login.other_databases.push("two".into()), "also owns two"),
        (|found| member_of(found, "root", true), "is a member of root"),
        (
            |found| member_of(found, "pg_execute_server_program", false),
            "pg_execute",
        ),
        (
            |found| member_of(found, "two_owner", false),
            "the login of another entry",
        ),
        (
            |found| found.login.members.push("two_owner".into()),
            "the login of another entry",
        ),
        (|found| member_of(found, TENANT, false), "of another Orchestra"),
        (|found| found.login.members.push(TENANT.into()), "of another Orchestra"),
        (
            |found| found.database.grantees.push(TENANT.into()),
            "of another Orchestra",
        ),
        (
            |found| found.database.dependents.push(TENANT.into()),
            "of another Orchestra",
        ),
    ];
    let allowed = AcceptedHoldings {
        legacy_servers: true,
        non_empty: true,
        other_entries: vec![("two_owner".into(), "DATABASE_URL_POOL_2 of pool house".into())],
    };
    for (change, says) in cases {
        let mut found = right();
        change(&mut found);
        let said = messages(&found, &allowed);
        assert!(said.contains(says), "{says}: {said}");
    }
}

#[test]
fn what_somebody_left_is_refused_unless_the_pool_accepts_it() {
    let cases: [(Change, &str); 8] = [
        (
            |found| found.database.filled.push("public.Member".into()),
            "public.Member",
        ),
        (|found| found.database.large_objects = true, "large objects"),
        (|found| found.database.grantees.push("eve".into()), "eve can reach"),
        (|found| found.database.dependents.push("eve".into()), "eve can reach"),
        (|found| found.login.members.push("eve".into()), "eve can reach"),
        (|found| member_of(found, "eve", false), "eve can reach"),
        (
            |found| found.database.defaults.push(("one_owner".into(), None)),
            "default privileges for objects of one_owner",
        ),
        // The names of a hosted project's roles have no meaning elsewhere.
        (|found| found.database.grantees.push("anon".into()), "anon can reach"),
    ];
    for (change, says) in cases {
        let mut found = right();
        change(&mut found);
        let refused = judge(&found, &AcceptedHoldings::default());
        assert!(refused[0].message.contains(says), "{says}: {refused:?}");
        assert_eq!(refused[0].reason, Reason::InUse);
        let allowed = AcceptedHoldings {
            non_empty: true,
            ..AcceptedHoldings::default()
        };
        assert_eq!(judge(&found, &allowed), []);
    }
}

#[test]
fn the_group_of_tenants_logins_lets_nobody_in_by_rights_on_objects() {
    let mut found = right();
    member_of(&mut found, "orchestra_app", false);
    assert_eq!(judge(&found, &AcceptedHoldings::default()), []);
    // Every tenant of the server is a member of it.
    let refused: [Change; 3] = [
        |found| found.database.grantees.push("orchestra_app".into()),
        |found| found.database.dependents.push("orchestra_app".into()),
        |found| found.login.members.push("orchestra_app".into()),
    ];
    for change in refused {
        let mut found = right();
        change(&mut found);
        let said = messages(&found, &AcceptedHoldings::default());
        assert!(said.contains("orchestra_app can reach"), "{said}");
    }
}

#[test]
fn an_old_server_needs_the_pools_word() {
    let mut found = right();
    found.server.version = 15;
    let said = messages(&found, &AcceptedHoldings::default());
    assert!(said.contains("static.allowLegacyServers"), "{said}");
    let allowed = AcceptedHoldings {
        legacy_servers: true,
        ..AcceptedHoldings::default()
    };
    assert_eq!(judge(&found, &allowed), []);
}

#[test]
fn a_hosted_project_has_what_a_hosted_project_has_and_no_more() {
    let cases: [(Change, &str); 6] = [
        (|found| found.login.superuser = true, "is a superuser"),
        (
            |found| found.database.grantees.push(TENANT.into()),
            "of another Orchestra",
        ),
        (
            |found| found.database.filled.push("public.Member".into()),
            "public.Member",
        ),
        (|found| found.login.members.push("eve".into()), "eve can reach"),
        (
            |found| found.database.defaults.push(("postgres".into(), Some("eve".into()))),
            "default privileges",
        ),
        (
            |found| found.database.defaults.push(("eve".into(), None)),
            "default privileges",
        ),
    ];
    for (change, says) in cases {
        let mut found = hosted();
        change(&mut found);
        let said = messages(&found, &AcceptedHoldings::default());
        assert!(said.contains(says), "{says}: {said}");
    }
    // A server with other people's databases, or without a superuser's schemas, is not a project of one tenant.
    let changes: [Change; 2] = [
        |found| found.server.neighbours.push("two".into()),
        |found| found.server.supabase = false,
    ];
    for change in changes {
        let mut found = hosted();
        change(&mut found);
        let said = messages(&found, &AcceptedHoldings::default());
        for says in ["allowLegacyServers", "REPLICATION", "pg_read_all_data", "anon"] {
            assert!(said.contains(says), "{says}: {said}");
        }
        assert!(!found.open().is_empty());
    }
}

#[test]
fn a_message_is_bounded_and_printable() {
    let mut found = right();
    found.database.grantees = (0..50).map(|number| format!("eve\n{number:02}")).collect();
    let said = messages(&found, &AcceptedHoldings::default());
    assert!(said.contains("eve?00, eve?01, eve?02 and 47 more"), "{said}");
}
