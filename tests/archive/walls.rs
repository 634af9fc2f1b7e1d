//! What a backup must not do: read another tenant's database, run what a tenant's login has made, tell a password.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::spawn;

use orchestra_operator::archive::OutcomeReason as Reason;
use orchestra_operator::postgres::{Login, claim_record, identity};
use serde_json::json;

use super::job::{Place, backup};
use super::pool::{PASSWORD, database, fill};
use super::support::postgres::{server, server_as_hosted};
use super::support::{ask, execute, session};

#[tokio::test]
async fn another_database_and_another_tenants_are_not_read() {
    let server = server().await;
    let source = database(&server, "source", "owner_a").await;
    fill(&source).await;
    let mut owner = session(&source).await;
    let mut place = Place::new();
    // The entry was reordered: the login leads elsewhere.
    let outcome = place.run(&backup(&json!({"identity": "0".repeat(32)})), &source);
    assert!(outcome.reason == Reason::OtherDatabase && !outcome.retry, "{outcome:?}");
    let digest = identity(&mut owner).await.unwrap().digest();
    assert!(
        outcome
            .message
            .contains(&format!("annotate orchdb orchdb-1 stagesub.io/identity={digest}")),
        "{outcome:?}"
    );
    // The entry was reset and claimed while the pod waited.
    claim_record::claim(&mut owner, ("2", "rivals", "victim"), &[])
        .await
        .unwrap();
    let outcome = place.run(&backup(&json!({"identity": digest})), &source);
    assert!(outcome.reason == Reason::OtherTenant && !outcome.retry, "{outcome:?}");
    assert!(
        !outcome.message.contains("victim"),
        "whose it is, is not told: {outcome:?}"
    );
    assert_eq!(place.stored(), [""; 0]);
    claim_record::remove(&mut owner, &["2".to_owned()]).await.unwrap();
    claim_record::claim(&mut owner, ("1", "tenants", "acme"), &[])
        .await
        .unwrap();
    assert_eq!(
        place.run(&backup(&json!({"identity": digest})), &source).reason,
        Reason::Done
    );
}

/// A function that tells when it runs as the owner, and views with the names of histories that call it.
const DISGUISED: [&str; 3] = [
    "CREATE FUNCTION public.climb() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN \
        IF current_user = 'owner_a' THEN RAISE EXCEPTION 'it runs as the owner'; END IF; RETURN 1; END $$",
    "CREATE VIEW public._sqlx_migrations AS SELECT public.climb() AS version",
    "CREATE VIEW public._prisma_migrations AS SELECT public.climb()::text AS migration_name, now() AS finished_at, \
        NULL::timestamptz AS rolled_back_at",
];

#[tokio::test]
async fn what_a_login_has_named_like_a_history_is_not_run() {
    for server in [server().await, server_as_hosted().await] {
        let source = database(&server, "source", "owner_a").await;
        let mut owner = session(&source).await;
        for sql in [
            "CREATE ROLE eve LOGIN PASSWORD 'eve'; GRANT USAGE, CREATE ON SCHEMA public TO eve",
            "GRANT CONNECT ON DATABASE source TO eve",
            "CREATE TABLE player AS SELECT 1 AS id",
        ] {
            execute(&mut owner, sql).await.unwrap();
        }
        let mut eve = session(&server.login("source").as_user("eve", "eve".to_owned().into())).await;
        for sql in DISGUISED {
            execute(&mut eve, sql).await.unwrap();
        }
        let mut place = Place::new();
        let outcome = place.backup(&source);
        assert_eq!(outcome.reason, Reason::Done, "{outcome:?}");
        assert_eq!(outcome.backup.unwrap().migration_head, None);
    }
}

#[tokio::test]
async fn the_name_of_a_migration_is_bounded() {
    let server = server().await;
    let source = database(&server, "source", "owner_a").await;
    let mut owner = session(&source).await;
    let long =
        "CREATE TABLE _sqlx_migrations (version text); INSERT INTO _sqlx_migrations VALUES (repeat('9', 50000000))";
    execute(&mut owner, long).await.unwrap();
    let mut place = Place::new();
    assert_eq!(place.backup(&source).reason, Reason::Done);
    assert_eq!(
        place.manifest().facts.migration_heads["public._sqlx_migrations"].len(),
        1024
    );
}
