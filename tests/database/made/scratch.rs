//! Scratch databases of drills: dropped with all that is in them, and with nothing else.

use orchestra_operator::postgres::made::{OwnedDatabase, RemovalEnd, exists, make, maker};
use orchestra_operator::postgres::{self, APPLICATION, Error, scratch};
use secrecy::SecretString;
use sqlx::PgConnection;

use super::{CUT_OFF, RECORD, admin, entry, is_gone, made, ordinary, superuser};
use crate::support::postgres::{Server, server_as_hosted};
use crate::support::{ask, execute, session};

const DRILL: &str = "orchestra-operator: drill of OrchestraBackup u-1";
const KEEPER: &str = "key-word";

async fn trial(session: &mut PgConnection, name: &str) -> Result<(), Error> {
    let may = maker(session).await.unwrap();
    let password = SecretString::from("pass-word");
    let entry = OwnedDatabase {
        record: DRILL,
        ..entry(name, &password)
    };
    scratch::make(session, &may, &entry, &KEEPER.into()).await
}

async fn ended(session: &mut PgConnection, name: &str) -> RemovalEnd {
    let may = maker(session).await.unwrap();
    scratch::drop(session, &may, (name, DRILL)).await.unwrap()
}

#[tokio::test]
async fn a_scratch_database_goes_with_its_sessions_and_the_roles_of_its_owner() {
    let server = server_as_hosted().await;
    for (kind, mut session) in [("o", ordinary(&server).await), ("s", superuser(&server).await)] {
        let roles = "SELECT count(*) FROM pg_roles WHERE rolname <> 'orchestra_app'";
        let before = ask(&mut session, roles).await;
        for steps in 0..=CUT_OFF.len() {
            let name = format!("{kind}_{steps}");
            for step in &CUT_OFF[..steps] {
                for statement in step.replace("{}", &name).replace("RECORD", DRILL).split(";;") {
                    execute(&mut session, statement).await.unwrap();
                }
            }
            trial(&mut session, &name).await.unwrap();
            let login = server.login(&name).as_user(&name, "pass-word".to_owned().into());
            let mut own = postgres::connect(&login, APPLICATION).await.unwrap();
            // As an interrupted restore does it.
            let keeper = server
                .login(&name)
                .as_user(scratch::keeper(&name), KEEPER.to_owned().into());
            let mut keeper = postgres::connect(&keeper, APPLICATION).await.unwrap();
            let former = format!("CREATE ROLE {name}_former NOLOGIN; GRANT {name}_former TO {name}");
            execute(&mut keeper, &former).await.unwrap();
            for sql in [
                "CREATE TABLE public.t (id int)".to_owned(),
                format!("GRANT SELECT ON public.t TO {name}_former"),
            ] {
                execute(&mut own, &sql).await.unwrap();
            }
            // The next attempt finds it empty, and the session has ended.
            if steps % 2 == 0 {
                trial(&mut session, &name).await.unwrap();
                let mut again = postgres::connect(&login, APPLICATION).await.unwrap();
                let tables = "SELECT count(*) FROM pg_class WHERE relname = 't'";
                assert_eq!(ask(&mut again, tables).await, "0");
                assert!(execute(&mut own, "SELECT 1").await.is_err());
            }
            assert_eq!(ended(&mut session, &name).await, RemovalEnd::Done, "{name}");
            assert_eq!(ended(&mut session, &name).await, RemovalEnd::Done, "{name}");
            is_gone(&mut session, &name).await;
        }
        assert_eq!(ask(&mut session, roles).await, before, "{kind}");
    }
}

#[tokio::test]
async fn nothing_is_dropped_that_is_no_scratch_database() {
    let server = server_as_hosted().await;
    let mut session = ordinary(&server).await;
    made(&mut session, "entry").await;
    execute(&mut session, "CREATE ROLE theirs LOGIN").await.unwrap();
    admin(&server, "CREATE DATABASE foreign_one").await;
    for name in ["entry", "theirs", "foreign_one"] {
        let RemovalEnd::Kept(why) = ended(&mut session, name).await else {
            panic!("{name} was dropped")
        };
        assert!(
            why.contains("is not the one that the operator has made for a drill"),
            "{why}"
        );
        let refused = trial(&mut session, name).await;
        assert!(
            matches!(&refused, Err(Error::Refused { sqlstate, .. }) if sqlstate == "42710"),
            "{refused:?}"
        );
    }
    assert!(exists(&mut session, "entry").await.unwrap() && exists(&mut session, "foreign_one").await.unwrap());
}

/// A neighbour on the server, who may make roles, and a role of it.
const NEIGHBOUR: &str = "CREATE ROLE neighbour LOGIN CREATEROLE PASSWORD 'neighbour';; CREATE ROLE attacker LOGIN PASSWORD 'attacker';; \
    CREATE DATABASE open_one;; GRANT CONNECT ON DATABASE postgres TO neighbour;; GRANT CONNECT ON DATABASE open_one TO PUBLIC";

#[tokio::test]
async fn what_runs_in_a_scratch_database_leaves_no_role_and_no_login() {
    let server = server_as_hosted().await;
    let (mut one, mut two) = (ordinary(&server).await, superuser(&server).await);
    admin(&server, NEIGHBOUR).await;
    let roles = "SELECT count(*) FROM pg_roles WHERE rolname <> 'orchestra_app'";
    let before = ask(&mut one, roles).await;
    for (name, session) in [("o", &mut one), ("s", &mut two)] {
        trial(session, name).await.unwrap();
        let keeper = scratch::keeper(name);
        let mut makes = postgres::connect(
            &server.login(name).as_user(&keeper, KEEPER.to_owned().into()),
            APPLICATION,
        )
        .await
        .unwrap();
        let former = format!("CREATE ROLE {name}_former NOLOGIN; GRANT {name}_former TO {name}");
        execute(&mut makes, &former).await.unwrap();
        let login = server.login(name).as_user(name, "pass-word".to_owned().into());
        let mut own = postgres::connect(&login, APPLICATION).await.unwrap();
        for sql in [
            "CREATE ROLE m CREATEROLE".to_owned(),
            "ALTER ROLE CURRENT_USER CREATEROLE".to_owned(),
            "GRANT orchestra_app TO attacker".to_owned(),
            format!("GRANT {name}_former TO attacker"),
            format!("GRANT {name} TO attacker"),
            format!("ALTER ROLE {name}_former LOGIN PASSWORD 'mine'"),
            format!("ALTER ROLE {keeper} PASSWORD 'mine'"),
            format!("SET ROLE {keeper}"),
        ] {
            let refused = execute(&mut own, &sql).await;
            let code = refused
                .as_ref()
                .err()
                .and_then(|error| error.as_database_error()?.code().map(|code| code.to_string()));
            assert_eq!(code.as_deref(), Some("42501"), "{sql}: {refused:?}");
        }
        // It may give itself a password, with which it gets into a database that is open, and owns something there.
        execute(&mut own, "ALTER ROLE CURRENT_USER PASSWORD 'mine'")
            .await
            .unwrap();
        let elsewhere = server.login("open_one").as_user(name, "mine".to_owned().into());
        let mut inside = postgres::connect(&elsewhere, APPLICATION).await.unwrap();
        execute(&mut inside, "SELECT lo_create(0)").await.unwrap();
        let RemovalEnd::Kept(why) = ended(session, name).await else {
            panic!("{name} is dropped")
        };
        assert!(
            why.contains("cannot log in any more") && why.contains("DROP OWNED BY"),
            "{why}"
        );
        assert!(execute(&mut inside, "SELECT 1").await.is_err(), "its session has ended");
        assert!(postgres::connect(&elsewhere, APPLICATION).await.is_err());
        let mut root = session_of(&server, "open_one").await;
        execute(&mut root, &format!("DROP OWNED BY {name}")).await.unwrap();
        assert_eq!(ended(session, name).await, RemovalEnd::Done);
        is_gone(session, name).await;
        is_gone(session, &keeper).await;
    }
    assert_eq!(ask(&mut one, roles).await, before);
}

async fn session_of(server: &Server, database: &str) -> PgConnection {
    session(&server.login(database)).await
}

#[tokio::test]
async fn a_role_of_a_neighbour_is_not_taken_for_the_owner_of_a_scratch_database() {
    let server = server_as_hosted().await;
    let mut root = superuser(&server).await;
    admin(&server, NEIGHBOUR).await;
    let login = server
        .login("postgres")
        .as_user("neighbour", "neighbour".to_owned().into());
    let mut neighbour = session(&login).await;
    let squat =
        format!("CREATE ROLE squatted LOGIN; COMMENT ON ROLE squatted IS '{DRILL}'; GRANT squatted TO attacker");
    let squatting = tokio::spawn(async move {
        loop {
            let _ = execute(&mut neighbour, &squat).await;
            tokio::task::yield_now().await;
        }
    });
    let members =
        "SELECT count(*) FROM pg_auth_members WHERE roleid = (SELECT oid FROM pg_roles WHERE rolname = 'squatted')";
    for _ in 0..30 {
        match trial(&mut root, "squatted").await {
            Ok(()) => assert_eq!(ask(&mut root, members).await, "0"),
            Err(Error::Refused { sqlstate, .. }) => {
                assert!(["42710", "23505"].contains(&sqlstate.as_str()), "{sqlstate}");
            }
            Err(error) => panic!("{error}"),
        }
    }
    squatting.abort();
    // Nor for the owner of a pool's database.
    admin(
        &server,
        "DROP DATABASE IF EXISTS squatted;; DROP ROLE IF EXISTS squatted;; DROP ROLE IF EXISTS squatted_roles",
    )
    .await;
    admin(
        &server,
        &format!("CREATE ROLE squatted LOGIN;; COMMENT ON ROLE squatted IS '{RECORD}';; GRANT squatted TO attacker"),
    )
    .await;
    let may = maker(&mut root).await.unwrap();
    let refused = make(&mut root, &may, &entry("squatted", &"pass-word".into())).await;
    assert!(
        matches!(&refused, Err(Error::Refused { sqlstate, .. }) if sqlstate == "42710"),
        "{refused:?}"
    );
}
