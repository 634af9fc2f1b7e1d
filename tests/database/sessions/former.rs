//! What is left of a tenant's logins after a pause, a rotation and a release, whatever scripts and neighbours have done.

use orchestra_operator::postgres::holdings::{AcceptedHoldings, judge, observe};
use orchestra_operator::postgres::{
    KeptRole, Login, TenantRole, TenantRoles, drop_tenant_role, ensure_tenant_roles, is_closed, reopen,
    shut_former_logins, shut_tenant_logins,
};
use sqlx::PgConnection;

use super::*;
use crate::support::postgres::{Server, server_as_hosted};

const BASE: &str = "orchestra_0123456789abcdef0123456789abcdef";

/// Prepares a tenant with this login, one of its own or of a rotation.
async fn ensure(own: &mut PgConnection, login: &str) {
    let logins = [TenantRole {
        name: login.to_owned(),
        password: "tenant".to_owned().into(),
    }];
    let roles = TenantRoles {
        base: BASE,
        logins: &logins,
        unknown: &[],
    };
    ensure_tenant_roles(own, roles, &TenantRights::default(), Sharing::Shared)
        .await
        .unwrap();
}

async fn logs_in(owner: &Login, login: &str) -> bool {
    let login = owner.as_user(login, "tenant".to_owned().into());
    connect(&login, "test").await.is_ok()
}

#[tokio::test]
async fn attributes_of_a_script_let_no_rotated_login_survive() {
    for server in [server().await, server_as_hosted().await] {
        let (owner, _) = database(&server).await;
        let mut own = session(&owner).await;
        let second = format!("{BASE}_2");
        for login in [BASE, &second] {
            ensure(&mut own, login).await;
        }
        let mightier = format!("ALTER ROLE {second} LOGIN CREATEROLE");
        let former = [second.clone()];
        for step in ["pause", "overlap", "release"] {
            execute(&mut own, &mightier).await.unwrap();
            let mut theirs = session(&owner.as_user(&second, "tenant".to_owned().into())).await;
            match step {
                "pause" => assert_eq!(shut_tenant_logins(&mut own, BASE).await.unwrap(), []),
                "overlap" => shut_former_logins(&mut own, BASE, &former).await.unwrap(),
                _ => assert_eq!(drop_tenant_role(&mut own, BASE).await.unwrap(), []),
            }
            assert!(execute(&mut theirs, "SELECT 1").await.is_err(), "{step}");
            assert!(!logs_in(&owner, &second).await, "{step}");
            let mighty =
                "SELECT count(*) FROM pg_roles WHERE rolname ~ '^orchestra_0' AND (rolcreaterole OR rolcanlogin)";
            assert_eq!(ask(&mut own, mighty).await, "0", "{step}");
        }
        let left = "SELECT count(*) FROM pg_roles WHERE rolname ~ '^orchestra_0'";
        assert_eq!(ask(&mut own, left).await, "0");

        // One that the owner may not change is told.
        let mut root = session(&server.login("one")).await;
        execute(&mut root, &format!("CREATE ROLE {second} LOGIN SUPERUSER"))
            .await
            .unwrap();
        let kept = [KeptRole::OutOfReach { role: second.clone() }];
        assert_eq!(drop_tenant_role(&mut own, BASE).await.unwrap(), kept);
        assert_eq!(shut_tenant_logins(&mut own, BASE).await.unwrap(), kept);
        let told = shut_former_logins(&mut own, BASE, &former).await.unwrap_err();
        assert!(
            told.to_string().contains(&format!("ALTER ROLE {second} NOLOGIN")),
            "{told}"
        );
    }
}

/// What a script may set for the sessions of its role, or of all roles in its database, and since which version.
const HINDRANCES: [(u32, &str, &str); 9] = [
    (0, "default_transaction_read_only", "on"),
    (0, "default_transaction_isolation", "serializable"),
    (0, "statement_timeout", "1ms"),
    (0, "lock_timeout", "1ms"),
    (0, "idle_in_transaction_session_timeout", "1ms"),
    (0, "idle_session_timeout", "1ms"),
    (17, "transaction_timeout", "1ms"),
    (0, "role", "powerless"),
    // No session of the login begins with it.
    (0, "local_preload_libraries", "missing"),
];

#[tokio::test]
async fn no_setting_of_a_script_keeps_a_former_login_alive() {
    for server in [server().await, server_as_hosted().await] {
        let (owner, _) = database(&server).await;
        let mut root = session(&server.login("postgres")).await;
        execute(&mut root, "CREATE ROLE powerless; GRANT powerless TO owner")
            .await
            .unwrap();
        let version = ask(&mut root, "current_setting('server_version_num')::int / 10000").await;
        let version: u32 = version.parse().unwrap();
        for (_, name, value) in HINDRANCES.into_iter().filter(|(since, ..)| *since <= version) {
            for whose in ["ROLE owner", "ROLE owner IN DATABASE one", "DATABASE one"] {
                let setting = format!("ALTER {whose} SET {name} = '{value}'");
                let mut own = connect(&owner, "test").await.unwrap();
                ensure(&mut own, BASE).await;
                let mut theirs = session(&owner.as_user(BASE, "tenant".to_owned().into())).await;
                execute(&mut own, &setting).await.unwrap();
                let mut own = connect(&owner, "test")
                    .await
                    .unwrap_or_else(|error| panic!("{setting}: {error}"));
                assert_eq!(shut_tenant_logins(&mut own, BASE).await.unwrap(), [], "{setting}");
                assert!(execute(&mut theirs, "SELECT 1").await.is_err(), "{setting}");
                assert!(!logs_in(&owner, BASE).await, "{setting}");
                assert_eq!(drop_tenant_role(&mut own, BASE).await.unwrap(), [], "{setting}");
                let claimed = claim(&mut own, ("1", "tenants", "one"), &[]).await.unwrap();
                assert_eq!(claimed, ClaimRecord::Ours, "{setting}");
                execute(&mut own, &format!("ALTER {whose} RESET {name}")).await.unwrap();
            }
        }
    }
}

/// What a script, or a session of its role in another database, may do to keep the owner out of its database. The owner would
/// still enter as a member of the tenant's role.
fn closings() -> [String; 5] {
    let lost = format!("REVOKE CONNECT ON DATABASE one FROM owner; REVOKE {BASE} FROM owner");
    let all = format!("{lost}; ALTER DATABASE one ALLOW_CONNECTIONS false CONNECTION LIMIT 0");
    let limit = |most: u32| format!("ALTER DATABASE one CONNECTION LIMIT {most}");
    let none = "ALTER DATABASE one ALLOW_CONNECTIONS false".to_owned();
    [lost, limit(0), limit(1), none, all]
}

#[tokio::test]
#[allow(clippy::too_many_lines, reason = "one story, in its order")]
async fn an_owner_that_a_script_shuts_out_revokes_the_login_from_another_database() {
    for server in [server().await, server_as_hosted().await] {
        let (owner, _) = database(&server).await;
        let mut root = session(&server.login("postgres")).await;
        execute(
            &mut root,
            "GRANT CONNECT ON DATABASE template1 TO owner; REVOKE CONNECT ON DATABASE postgres FROM PUBLIC",
        )
        .await
        .unwrap();
        let roles = [BASE.to_owned()];
        let mut elsewhere = session(&Login {
            database: "template1".into(),
            ..owner.clone()
        })
        .await;
        for closing in &closings() {
            let mut own = connect(&owner, "test").await.unwrap();
            ensure(&mut own, BASE).await;
            let identity = identity(&mut own).await.unwrap();
            drop(own);
            let mut theirs = session(&owner.as_user(BASE, "tenant".to_owned().into())).await;
            execute(&mut elsewhere, closing).await.unwrap();
            let closed = async || {
                let error = connect(&owner, "test").await.unwrap_err();
                assert!(is_closed(&error), "{closing}: {error}");
                error
            };
            // The URL leads to another server meanwhile: nothing is changed there.
            let other = reopen((&owner, None), &roles, Some("another"), closed().await).await;
            assert!(other.is_err_and(|error| is_closed(&error)), "{closing}");
            execute(&mut theirs, "SELECT 1").await.unwrap();

            let digest = identity.digest();
            reopen((&owner, None), &roles, Some(&digest), closed().await)
                .await
                .unwrap_or_else(|error| panic!("{closing}: {error}"));
            assert!(execute(&mut theirs, "SELECT 1").await.is_err(), "{closing}");
            assert!(!logs_in(&owner, BASE).await, "{closing}");
            let mut own = connect(&owner, "test")
                .await
                .unwrap_or_else(|error| panic!("{closing}: {error}"));
            assert_eq!(drop_tenant_role(&mut own, BASE).await.unwrap(), [], "{closing}");
        }
        // Where no other database admits the owner, an admin is told what to run.
        let mut own = connect(&owner, "test").await.unwrap();
        ensure(&mut own, BASE).await;
        drop(own);
        execute(&mut elsewhere, &closings()[4]).await.unwrap();
        drop(elsewhere);
        let shut = "REVOKE CONNECT ON DATABASE postgres, template1 FROM PUBLIC, owner";
        execute(&mut root, shut).await.unwrap();
        let closed = connect(&owner, "test").await.unwrap_err();
        let told = reopen((&owner, None), &roles, None, closed)
            .await
            .unwrap_err()
            .to_string();
        let cure = &told[told.find("GRANT CONNECT").unwrap()..told.find(" (SQLSTATE").unwrap()];
        for statement in cure.split("; ") {
            execute(&mut root, statement).await.unwrap();
        }
        let mut own = connect(&owner, "test").await.unwrap();
        assert_eq!(drop_tenant_role(&mut own, BASE).await.unwrap(), []);
        assert!(!logs_in(&owner, BASE).await);
    }
}

/// Another tenant of the server, in its own database, `two`, where it has granted rights to both logins of the first one.
async fn lending_neighbour(server: &Server, owner: &Login) -> PgConnection {
    let mut root = session(&server.login("postgres")).await;
    for sql in [
        "CREATE ROLE neighbour LOGIN CREATEROLE PASSWORD 'owner'",
        "CREATE DATABASE two OWNER neighbour",
        "REVOKE ALL ON DATABASE two FROM PUBLIC",
    ] {
        execute(&mut root, sql).await.unwrap();
    }
    let mut neighbour = session(&Login {
        database: "two".into(),
        ..owner.as_user("neighbour", "owner".to_owned().into())
    })
    .await;
    let given = format!(
        "GRANT CONNECT ON DATABASE two TO {BASE}; CREATE TABLE public.theirs (); GRANT ALL ON public.theirs TO {BASE}_2;
        ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO {BASE};
        CREATE SCHEMA lent; ALTER DEFAULT PRIVILEGES IN SCHEMA lent GRANT EXECUTE ON FUNCTIONS TO {BASE}_2;
        CREATE ROLE friends; GRANT friends TO {BASE}_2"
    );
    execute(&mut neighbour, &given).await.unwrap();
    neighbour
}

/// How many rights in the neighbour's database each of the two logins has.
async fn lent(neighbour: &mut PgConnection) -> [String; 2] {
    let grants = |role: &str| {
        format!(
            "SELECT (SELECT count(*) FROM pg_database, aclexplode(datacl) a WHERE datname = 'two' AND a.grantee::regrole::text = '{role}') \
             + (SELECT count(*) FROM pg_class, aclexplode(relacl) a WHERE relname = 'theirs' AND a.grantee::regrole::text = '{role}') \
             + (SELECT count(*) FROM pg_default_acl, aclexplode(defaclacl) a WHERE a.grantee::regrole::text = '{role}')"
        )
    };
    [
        ask(neighbour, &grants(BASE)).await,
        ask(neighbour, &grants(&format!("{BASE}_2"))).await,
    ]
}

#[tokio::test]
async fn rights_in_a_neighbours_database_keep_no_released_database_out_of_use() {
    for server in [server().await, server_as_hosted().await] {
        let (owner, _) = database(&server).await;
        let mut own = connect(&owner, "test").await.unwrap();
        let second = format!("{BASE}_2");
        for login in [BASE, &second] {
            ensure(&mut own, login).await;
        }
        let mut neighbour = lending_neighbour(&server, &owner).await;
        let before = lent(&mut neighbour).await;
        assert!(before.iter().all(|count| count != "0"), "{before:?}");
        let mut tenant = session(&owner.as_user(&second, "tenant".to_owned().into())).await;
        let elsewhere = |role: &str| KeptRole::Elsewhere {
            role: role.to_owned(),
            database: "two".to_owned(),
        };
        // The release, and the way back of another Orchestra.
        for _ in 0..2 {
            let mut kept = drop_tenant_role(&mut own, BASE).await.unwrap();
            kept.sort_by_key(ToString::to_string);
            assert!(kept[0].to_string().contains("in database two"), "{}", kept[0]);
            assert!(
                kept.contains(&elsewhere(BASE)) && kept.contains(&elsewhere(&second)),
                "{kept:?}"
            );
            assert!(execute(&mut tenant, "SELECT 1").await.is_err());
            assert!(!logs_in(&owner, &second).await && !logs_in(&owner, BASE).await);
            // The neighbour keeps what it has made, and what it has granted.
            assert_eq!(lent(&mut neighbour).await, before);
            let made = "SELECT count(*) FROM pg_roles WHERE rolname IN ('friends', 'neighbour') OR to_regclass('theirs') IS NULL";
            assert_eq!(ask(&mut neighbour, made).await, "2");
        }
        // The entry is fit for the next tenant.
        let allowed = AcceptedHoldings {
            legacy_servers: true,
            ..AcceptedHoldings::default()
        };
        let found = observe(&mut own).await.unwrap();
        assert_eq!(judge(&found, &allowed), []);
        // The same Orchestra gets its login again.
        ensure(&mut own, BASE).await;
        assert!(logs_in(&owner, BASE).await);
        let taken = format!(
            "REVOKE ALL ON DATABASE two FROM {BASE}; REVOKE ALL ON public.theirs FROM {second};
            ALTER DEFAULT PRIVILEGES REVOKE SELECT ON TABLES FROM {BASE};
            ALTER DEFAULT PRIVILEGES IN SCHEMA lent REVOKE EXECUTE ON FUNCTIONS FROM {second}"
        );
        execute(&mut neighbour, &taken).await.unwrap();
        assert_eq!(drop_tenant_role(&mut own, BASE).await.unwrap(), []);
        let left = "SELECT count(*) FROM pg_roles WHERE rolname ~ '^orchestra_0'";
        assert_eq!(ask(&mut own, left).await, "0");
    }
}
