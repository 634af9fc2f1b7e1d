//! Databases that the operator makes on a server and drops again, against a real PostgreSQL.

#[path = "made/scratch.rs"]
mod scratch_databases;

use crate::support::postgres::{Server, server, server_as_hosted};
use crate::support::{ask, execute, session};
use orchestra_operator::postgres::holdings::{AcceptedHoldings, judge, observe};
use orchestra_operator::postgres::made::{Maker, OwnedDatabase, RemovalEnd, completed, exists, make, maker, unmake};
use orchestra_operator::postgres::{
    self, APPLICATION, DatabaseIdentity, Error, Login, PasswordEnd, Sharing, TenantRights, TenantRole,
    drop_tenant_role, ensure_tenant_role, set_owner_password,
};
use secrecy::SecretString;
use sqlx::PgConnection;

const RECORD: &str = "orchestra-operator: entry e of OrchestraPool house";

async fn admin(server: &Server, sql: &str) {
    let mut root = session(&server.login("postgres")).await;
    for statement in sql.split(";;") {
        execute(&mut root, statement).await.unwrap();
    }
}

/// A session of a login that may make databases and is no superuser, as on managed servers.
async fn ordinary(server: &Server) -> PgConnection {
    admin(
        server,
        "CREATE ROLE maker LOGIN CREATEDB CREATEROLE PASSWORD 'maker';; GRANT CONNECT ON DATABASE postgres TO maker",
    )
    .await;
    let login = server.login("postgres").as_user("maker", "maker".to_owned().into());
    postgres::connect(&login, APPLICATION).await.unwrap()
}

async fn superuser(server: &Server) -> PgConnection {
    postgres::connect(&server.login("postgres"), APPLICATION).await.unwrap()
}

fn entry<'a>(name: &'a str, password: &'a SecretString) -> OwnedDatabase<'a> {
    OwnedDatabase {
        name,
        password,
        record: RECORD,
    }
}

async fn made(session: &mut PgConnection, name: &str) -> DatabaseIdentity {
    let may = maker(session).await.unwrap();
    assert_eq!(may.objection(true), None);
    make(session, &may, &entry(name, &"pass-word".into())).await.unwrap()
}

/// The database is fit for a tenant, and nobody else's login reaches it.
async fn is_fit(server: &Server, name: &str, identity: &DatabaseIdentity) {
    let login: Login = server.login(name).as_user(name, "pass-word".to_owned().into());
    let mut own = postgres::connect(&login, APPLICATION).await.unwrap();
    let found = observe(&mut own).await.unwrap();
    let allowed = AcceptedHoldings {
        legacy_servers: true,
        ..AcceptedHoldings::default()
    };
    assert_eq!(judge(&found, &allowed), [], "{name}");
    assert!(found.login.owns_database && !found.login.superuser);
    assert_eq!(found.login.other_databases, [""; 0]);
    let reached = postgres::identity(&mut own).await.unwrap();
    assert_eq!(reached.digest(), identity.digest());
    let open = "SELECT count(*) FROM pg_database d, aclexplode(d.datacl) a WHERE d.datname = current_database() AND a.grantee = 0";
    assert_eq!(ask(&mut own, open).await, "0");
}

/// A tenant of the database that has made a table, and is released. Returns the role that keeps the table.
async fn released(server: &Server, name: &str) -> String {
    let login: Login = server.login(name).as_user(name, "pass-word".to_owned().into());
    let mut own = postgres::connect(&login, APPLICATION).await.unwrap();
    let tenant = TenantRole {
        name: "orchestra_0123456789abcdef0123456789abcdef".into(),
        password: "tenant".to_owned().into(),
    };
    let rights = TenantRights {
        create: true,
        ..TenantRights::default()
    };
    ensure_tenant_role(&mut own, &tenant, &rights, Sharing::Shared)
        .await
        .unwrap();
    let theirs = login.as_user(&tenant.name, tenant.password.clone());
    execute(&mut session(&theirs).await, "CREATE TABLE theirs ()")
        .await
        .unwrap();
    assert_eq!(drop_tenant_role(&mut own, &tenant.name).await.unwrap(), []);
    let keeper = "SELECT pg_get_userbyid(relowner) FROM pg_class WHERE relname = 'theirs'";
    let keeper = ask(&mut own, keeper).await;
    assert!(keeper.starts_with(&format!("{}_0", tenant.name)), "{keeper}");
    keeper
}

async fn removed(session: &mut PgConnection, name: &str, identity: Option<&DatabaseIdentity>) -> RemovalEnd {
    let may = maker(session).await.unwrap();
    unmake(session, &may, (name, RECORD), identity).await.unwrap()
}

async fn is_gone(session: &mut PgConnection, name: &str) {
    assert!(!exists(session, name).await.unwrap());
    let role = format!("SELECT count(*) FROM pg_roles WHERE rolname = '{name}'");
    assert_eq!(ask(session, &role).await, "0");
}

/// The server itself tells that the database is complete, also when it is made once more, and until it is dropped.
async fn is_known_to_be_complete(session: &mut PgConnection, name: &str, identity: &DatabaseIdentity) {
    let complete = completed(session, (name, RECORD)).await.unwrap();
    assert_eq!(complete.map(|found| found.digest()), Some(identity.digest()), "{name}");
    let another = "orchestra-operator: entry f of OrchestraPool house";
    assert_eq!(completed(session, (name, another)).await.unwrap(), None, "{name}");
}

/// What an operator that was killed may have left, up to each step.
const CUT_OFF: [&str; 5] = [
    "SELECT 1",
    "CREATE ROLE {} LOGIN CREATEROLE PASSWORD 'other';; COMMENT ON ROLE {} IS 'RECORD'",
    "GRANT {} TO CURRENT_USER",
    "CREATE DATABASE {} OWNER {} TEMPLATE template0 ALLOW_CONNECTIONS false",
    "REVOKE CONNECT, TEMPORARY ON DATABASE {} FROM PUBLIC;; ALTER DATABASE {} ALLOW_CONNECTIONS true",
];

async fn cut_off(session: &mut PgConnection, name: &str, steps: usize) {
    for step in &CUT_OFF[..steps] {
        for statement in step.replace("{}", name).replace("RECORD", RECORD).split(";;") {
            execute(session, statement).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_login_that_is_no_superuser_makes_databases_and_drops_them() {
    for server in [server().await, server_as_hosted().await] {
        let mut session = ordinary(&server).await;
        let (one, two) = (made(&mut session, "one").await, made(&mut session, "two").await);
        assert_ne!(one.digest(), two.digest());
        is_fit(&server, "one", &one).await;
        is_fit(&server, "two", &two).await;
        // It has kept no way in.
        let login = server.login("one").as_user("maker", "maker".to_owned().into());
        assert!(postgres::connect(&login, APPLICATION).await.is_err());
        // Again is the same.
        assert_eq!(made(&mut session, "one").await.digest(), one.digest());
        is_fit(&server, "one", &one).await;
        is_known_to_be_complete(&mut session, "one", &one).await;
        let custodian = released(&server, "one").await;
        assert_eq!(removed(&mut session, "one", Some(&one)).await, RemovalEnd::Done);
        is_gone(&mut session, &custodian).await;
        assert_eq!(removed(&mut session, "one", Some(&one)).await, RemovalEnd::Done);
        is_gone(&mut session, "one").await;
        is_fit(&server, "two", &two).await;
    }
}

#[tokio::test]
async fn work_that_was_cut_off_at_any_step_is_ended_and_leaves_nothing() {
    let server = server_as_hosted().await;
    for (kind, mut session) in [("o", ordinary(&server).await), ("s", superuser(&server).await)] {
        for steps in 0..=CUT_OFF.len() {
            let name = format!("{kind}_{steps}");
            cut_off(&mut session, &name, steps).await;
            assert_eq!(completed(&mut session, (&name, RECORD)).await.unwrap(), None, "{name}");
            let identity = made(&mut session, &name).await;
            is_fit(&server, &name, &identity).await;
            is_known_to_be_complete(&mut session, &name, &identity).await;
            let name = format!("{kind}_{steps}_gone");
            cut_off(&mut session, &name, steps).await;
            assert_eq!(removed(&mut session, &name, None).await, RemovalEnd::Done, "{name}");
            is_gone(&mut session, &name).await;
        }
    }
}

#[tokio::test]
async fn nothing_is_taken_or_dropped_that_was_not_made() {
    let server = server_as_hosted().await;
    let mut session = ordinary(&server).await;
    let may = maker(&mut session).await.unwrap();
    // Somebody's role, and somebody's database.
    execute(&mut session, "CREATE ROLE theirs LOGIN").await.unwrap();
    let password = SecretString::from("pass-word");
    let refused = make(&mut session, &may, &entry("theirs", &password)).await;
    assert!(
        matches!(&refused, Err(Error::Refused { sqlstate, .. }) if sqlstate == "42710"),
        "{refused:?}"
    );
    admin(&server, "CREATE DATABASE foreign_one").await;
    let refused = make(&mut session, &may, &entry("foreign_one", &password)).await;
    assert!(
        matches!(&refused, Err(Error::Refused { sqlstate, .. }) if sqlstate == "42P04"),
        "{refused:?}"
    );
    for (name, says) in [("theirs", "another record"), ("foreign_one", "another record")] {
        let RemovalEnd::Kept(why) = removed(&mut session, name, None).await else {
            panic!("{name} was dropped")
        };
        assert!(why.contains(says), "{why}");
    }
    assert!(exists(&mut session, "foreign_one").await.unwrap());

    // Another database of the name.
    let one = made(&mut session, "one").await;
    admin(
        &server,
        "ALTER DATABASE one RENAME TO was_one;; CREATE DATABASE one OWNER one",
    )
    .await;
    let RemovalEnd::Kept(why) = removed(&mut session, "one", Some(&one)).await else {
        panic!("it was dropped")
    };
    assert!(why.contains("is another one than the entry's"), "{why}");
    assert!(exists(&mut session, "one").await.unwrap() && exists(&mut session, "was_one").await.unwrap());

    // A server that the entry was not made on.
    let elsewhere = DatabaseIdentity::from_record("1/1").unwrap();
    let RemovalEnd::Kept(why) = removed(&mut session, "gone", Some(&elsewhere)).await else {
        panic!("it was taken for dropped")
    };
    assert!(why.contains("was made on another server"), "{why}");

    // While somebody is connected it stays, and it goes afterwards.
    let two = made(&mut session, "two").await;
    let login = server.login("two").as_user("two", "pass-word".to_owned().into());
    let own = postgres::connect(&login, APPLICATION).await.unwrap();
    let busy = unmake(&mut session, &may, ("two", RECORD), Some(&two)).await;
    assert!(
        matches!(&busy, Err(Error::Refused { sqlstate, .. }) if sqlstate == "55006"),
        "{busy:?}"
    );
    sqlx::Connection::close(own).await.unwrap();
    assert_eq!(removed(&mut session, "two", Some(&two)).await, RemovalEnd::Done);
    is_gone(&mut session, "two").await;
}

#[tokio::test]
async fn an_owner_gets_a_new_password_and_no_other_role_does() {
    for server in [server().await, server_as_hosted().await] {
        let mut session = ordinary(&server).await;
        let (one, two) = (made(&mut session, "one").await, made(&mut session, "two").await);
        let new = SecretString::from("another-word");
        // Again is the same.
        for _ in 0..2 {
            let end = set_owner_password(&mut session, ("one", RECORD), &one, &new)
                .await
                .unwrap();
            assert_eq!(end, PasswordEnd::Set);
        }
        let login = |word: &str| server.login("one").as_user("one", word.to_owned().into());
        drop(postgres::connect(&login("another-word"), APPLICATION).await.unwrap());
        let refused = postgres::connect(&login("pass-word"), APPLICATION).await;
        assert!(refused.is_err_and(|error| error.is_wrong_password()));
        let elsewhere = DatabaseIdentity::from_record("1/1").unwrap();
        let another = "orchestra-operator: entry f of OrchestraPool house";
        for (role, record, identity, says) in [
            ("two", another, &two, "has no role two"),
            ("maker", RECORD, &two, "has no role maker"),
            ("none", RECORD, &two, "has no role none"),
            ("two", RECORD, &elsewhere, "was made on another server (1)"),
        ] {
            let end = set_owner_password(&mut session, (role, record), identity, &new)
                .await
                .unwrap();
            assert!(matches!(&end, PasswordEnd::Kept(why) if why.contains(says)), "{end:?}");
        }
        is_fit(&server, "two", &two).await;
    }
}

#[tokio::test]
async fn what_a_login_lacks_is_read_from_the_server() {
    let server = server().await;
    admin(&server, "CREATE ROLE weak LOGIN CREATEROLE PASSWORD 'weak'").await;
    let login = server.login("postgres").as_user("weak", "weak".to_owned().into());
    let mut session = postgres::connect(&login, APPLICATION).await.unwrap();
    let may: Maker = maker(&mut session).await.unwrap();
    let said = may.objection(true).unwrap();
    assert!(said.contains("ALTER ROLE \"weak\" CREATEDB"), "{said}");
    admin(&server, "ALTER ROLE weak SET default_transaction_read_only = on").await;
    let mut session = postgres::connect(&login, APPLICATION).await.unwrap();
    let said = maker(&mut session).await.unwrap().objection(true).unwrap();
    assert!(said.contains("takes no writes"), "{said}");
}
