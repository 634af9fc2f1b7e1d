//! What a neighbour, the owner of another entry of the same server, can do to a tenant's roles: it may create roles.

use orchestra_operator::error::ErrorClass;
use orchestra_operator::postgres::{
    Error, NextLogin, TenantRoles, ensure_tenant_roles, is_member_prepared, shut_former_logins, tenant_logins,
};

use super::*;
use crate::support::postgres::server_as_hosted;

const BASE: &str = "orchestra_0123456789abcdef0123456789abcdef";

fn numbered(number: u32) -> String {
    format!("{BASE}_{number}")
}

/// Prepares a tenant with these logins.
async fn ensure(own: &mut PgConnection, logins: &[&str]) -> Result<Option<Error>, Error> {
    let logins: Vec<_> = logins.iter().map(|name| role(name)).collect();
    let roles = TenantRoles {
        base: BASE,
        logins: &logins,
        unknown: &[],
    };
    ensure_tenant_roles(own, roles, &TenantRights::default(), Sharing::Shared).await
}

fn role(name: &str) -> TenantRole {
    TenantRole {
        name: name.to_owned(),
        password: "tenant".to_owned().into(),
    }
}

async fn logs_in(owner: &Login, name: &str) -> bool {
    let login = role(name);
    connect(&owner.as_user(&login.name, login.password), "test")
        .await
        .is_ok()
}

/// An entry's owner, and sessions of a neighbour and of a superuser. The neighbour has a login of its own, `spy`.
async fn neighbours(server: &Server) -> (Login, PgConnection, PgConnection) {
    let (owner, _) = database(server).await;
    let mut root = session(&server.login("postgres")).await;
    let made = "CREATE ROLE neighbour LOGIN CREATEROLE PASSWORD 'owner'; CREATE ROLE spy LOGIN PASSWORD 'spy'";
    execute(&mut root, made).await.unwrap();
    (owner, neighbour(server).await, root)
}

async fn neighbour(server: &Server) -> PgConnection {
    let login = server.login("postgres").as_user("neighbour", "owner".to_owned().into());
    session(&login).await
}

/// The first of these names that a new login can have; `is_new`: its role is not made yet.
async fn next(own: &mut PgConnection, numbers: &[u32], is_new: bool) -> Option<String> {
    let names: Vec<_> = numbers.iter().map(|number| numbered(*number)).collect();
    let new = NextLogin { names: &names, is_new };
    tenant_logins(own, BASE, new).await.unwrap().next
}

#[tokio::test]
async fn a_role_that_a_neighbour_has_made_or_administers_is_no_login_of_a_tenant() {
    for server in [server().await, server_as_hosted().await] {
        let (owner, mut neighbour, mut root) = neighbours(&server).await;
        let mut own = session(&owner).await;
        let modern = is_modern(&mut root).await;
        assert!(ensure(&mut own, &[BASE]).await.unwrap().is_none());
        assert_eq!(next(&mut own, &[2, 3], true).await, Some(numbered(2)));
        // Between the look and the preparation.
        let second = numbered(2);
        let given = format!(
            "CREATE ROLE {second} LOGIN PASSWORD 'tenant'; GRANT {second} TO owner WITH ADMIN OPTION; \
             GRANT {second} TO spy WITH ADMIN OPTION"
        );
        execute(&mut neighbour, &given).await.unwrap();
        let prepared = ensure(&mut own, &[BASE, &second]).await;
        let reaches =
            format!("SELECT pg_has_role('spy', '{BASE}', 'USAGE') OR pg_has_role('spy', '{second}', 'MEMBER')");
        if modern {
            // Its maker administers it for good, unless a superuser ends that.
            let refused = prepared.unwrap_err().to_string();
            let cure = refused
                .find("REVOKE")
                .map(|at| refused[at..].split(" (SQLSTATE").next().unwrap());
            assert!(!logs_in(&owner, &second).await, "it connects to the database");
            // The next attempt uses another one.
            assert_eq!(next(&mut own, &[2, 3], false).await, Some(numbered(3)));
            execute(&mut root, cure.unwrap()).await.unwrap();
            assert!(ensure(&mut own, &[BASE, &second]).await.unwrap().is_none());
            let known = format!("ALTER ROLE {second} PASSWORD 'known'");
            assert!(execute(&mut neighbour, &known).await.is_err(), "it sets its password");
        } else {
            assert!(prepared.unwrap().is_none());
        }
        assert!(logs_in(&owner, &second).await);
        assert_eq!(ask(&mut root, &reaches).await, "false");

        // What a script has given, of the first role and of the other one.
        for role in [BASE, &second] {
            let is = async |own: &mut PgConnection| {
                let rights = TenantRights::default();
                is_prepared(own, BASE, &rights, Sharing::Shared).await.unwrap()
                    && is_member_prepared(own, BASE, &numbered(2), &rights, Sharing::Shared)
                        .await
                        .unwrap()
            };
            assert!(is(&mut own).await, "{role}");
            execute(&mut own, &format!("GRANT {role} TO spy WITH ADMIN OPTION"))
                .await
                .unwrap();
            assert!(!is(&mut own).await, "{role}");
            assert!(ensure(&mut own, &[BASE, &second]).await.unwrap().is_none());
            assert_eq!(ask(&mut root, &reaches).await, "false", "{role}");
            assert!(is(&mut own).await, "{role}");
        }
        // An admin of the server decides otherwise.
        execute(&mut root, &format!("CREATE ROLE analyst; GRANT {BASE} TO analyst"))
            .await
            .unwrap();
        assert!(ensure(&mut own, &[BASE, &second]).await.unwrap().is_none());
        let member = format!("SELECT pg_has_role('analyst', '{BASE}', 'MEMBER')");
        assert_eq!(ask(&mut root, &member).await, "true");
    }
}

#[tokio::test]
async fn names_that_a_neighbour_has_taken_stop_neither_preparations_nor_rotations() {
    for server in [server().await, server_as_hosted().await] {
        let (owner, mut neighbour, mut root) = neighbours(&server).await;
        let mut own = session(&owner).await;
        let modern = is_modern(&mut root).await;
        assert!(ensure(&mut own, &[BASE]).await.unwrap().is_none());
        // Since version 16 each new role is a membership of its maker's, and so many take minutes.
        let (last, given) = if modern {
            (300, "EXECUTE format('GRANT %I TO owner WITH ADMIN OPTION', name);")
        } else {
            (20_050, "")
        };
        let crowd = format!(
            "DO $$ DECLARE name text; BEGIN FOR i IN 2..{last} LOOP name := '{BASE}_' || i; \
             EXECUTE format('CREATE ROLE %I LOGIN', name); {given} END LOOP; END $$"
        );
        execute(&mut neighbour, &crowd).await.unwrap();
        let found = tenant_logins(&mut own, BASE, NextLogin::default()).await.unwrap();
        assert_eq!((found.logins, found.next), (vec![BASE.to_owned()], None));
        // Nor one that nobody sees, because its transaction has not ended.
        let mut hidden = self::neighbour(&server).await;
        let hold = format!("BEGIN; CREATE ROLE {}", numbered(900_001));
        execute(&mut hidden, &hold).await.unwrap();
        let names = [2, 3, 900_001, 900_002];
        assert_eq!(next(&mut own, &names, true).await, Some(numbered(900_002)));
        execute(&mut hidden, "ROLLBACK").await.unwrap();
        assert_eq!(next(&mut own, &names, true).await, Some(numbered(900_001)));
        let rotated = numbered(900_002);
        assert!(ensure(&mut own, &[BASE, &rotated]).await.unwrap().is_none());
        assert!(logs_in(&owner, &rotated).await);
        let found = tenant_logins(&mut own, BASE, NextLogin::default()).await.unwrap();
        assert_eq!(found.logins, [rotated.clone(), BASE.to_owned()]);
        shut_former_logins(&mut own, BASE, std::slice::from_ref(&rotated))
            .await
            .unwrap();
        assert!(!logs_in(&owner, &rotated).await);
        if !modern {
            continue;
        }
        // The release leaves what the neighbour has made, also under the name of the first role.
        assert_eq!(drop_tenant_role(&mut own, BASE).await.unwrap(), []);
        execute(&mut neighbour, &format!("CREATE ROLE {BASE} LOGIN"))
            .await
            .unwrap();
        assert_eq!(drop_tenant_role(&mut own, BASE).await.unwrap(), []);
        let left = "SELECT count(*) FROM pg_roles WHERE rolname ~ '^orchestra_0'";
        assert_eq!(ask(&mut root, left).await, last.to_string());
    }
}

#[tokio::test]
async fn a_neighbours_open_transaction_on_the_group_keeps_no_tenant_out() {
    for server in [server().await, server_as_hosted().await] {
        let (owner, mut neighbour, mut root) = neighbours(&server).await;
        let mut own = session(&owner).await;
        let modern = is_modern(&mut root).await;
        // The first migration of a server may name the group, which then must exist.
        execute(&mut neighbour, "BEGIN; CREATE ROLE orchestra_app")
            .await
            .unwrap();
        let waits = ensure_app_group(&mut own).await.unwrap_err();
        assert_eq!(waits.class(), ErrorClass::Transient, "{waits}");
        assert!(
            waits.to_string().contains("keeps the role orchestra_app locked"),
            "{waits}"
        );
        execute(&mut neighbour, "ROLLBACK").await.unwrap();
        let made = "CREATE ROLE orchestra_app; GRANT orchestra_app TO neighbour, owner WITH ADMIN OPTION";
        execute(&mut root, made).await.unwrap();

        execute(&mut neighbour, "BEGIN; GRANT orchestra_app TO spy")
            .await
            .unwrap();
        let locked = ensure(&mut own, &[BASE]).await.unwrap();
        assert!(logs_in(&owner, BASE).await);
        let is = async |own: &mut PgConnection| {
            is_prepared(own, BASE, &TenantRights::default(), Sharing::Shared)
                .await
                .unwrap()
        };
        // Up to version 15, grants of a group do not wait for each other.
        assert_eq!(locked.is_some(), modern);
        assert_eq!(is(&mut own).await, !modern);
        if let Some(locked) = locked {
            let said = locked.to_string();
            assert!(said.contains("a transaction of the role neighbour (process "), "{said}");
            let cure = said
                .find("SELECT")
                .map(|at| said[at..].split(" (SQLSTATE").next().unwrap());
            execute(&mut root, cure.unwrap()).await.unwrap();
        }
        assert!(ensure(&mut own, &[BASE]).await.unwrap().is_none());
        assert!(is(&mut own).await);
        let member = format!("SELECT pg_has_role('{BASE}', 'orchestra_app', 'USAGE')");
        assert_eq!(ask(&mut root, &member).await, "true");
    }
}
