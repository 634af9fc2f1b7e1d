//! The endpoints under `/_sandbox`, and the PostgreSQL server.

use crate::common::start;
use orchestra_sandbox::{Postgres, loopback};
use reqwest::Method;
use serde_json::json;
use sqlx::{Connection, Executor, PgConnection};

#[tokio::test]
async fn a_running_stand_in_is_steered_over_http() {
    let client = start("pro").await;
    let (status, behaviour) = client
        .call(
            Method::PATCH,
            "/_sandbox/behaviour",
            Some(json!({"coming_up_ms": 5, "fate": "stuck"})),
        )
        .await;
    assert_eq!((status, &behaviour["coming_up_ms"]), (200, &json!(5)), "{behaviour}");
    let fault = json!({"operation": "v1-list-all-projects", "fault": {"kind": "status", "status": 503}});
    assert_eq!(client.call(Method::POST, "/_sandbox/faults", Some(fault)).await.0, 204);
    assert_eq!(client.get("/v1/projects").await.0, 503);
    assert_eq!(client.get("/v1/projects").await.0, 200);
    let rule = json!({"limit": 1, "window_ms": 60000});
    assert_eq!(
        client.call(Method::PUT, "/_sandbox/rate-limit", Some(rule)).await.0,
        204
    );
    assert_eq!(
        client.get("/_sandbox/held/v1-create-a-project").await.1,
        json!({"held": 0})
    );
    let reference = client.create("tenant-a").await;
    assert_eq!(client.call(Method::POST, "/_sandbox/unstick", None).await.0, 204);
    let (_, ledger) = client.get("/_sandbox/ledger").await;
    assert_eq!(ledger["projects"][0]["ref"], reference);
    for secret in client.sandbox.ledger().secrets() {
        assert!(
            !ledger.to_string().contains(&secret),
            "the ledger over HTTP shows no secret"
        );
    }
    assert_eq!(client.get("/_sandbox/violations").await.1, json!([]));
}

#[tokio::test]
async fn postgres_keeps_its_data_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Postgres::start(dir.path(), loopback::address()).await.unwrap();
    let url = server
        .create_database("pool_1", "pool_owner", "pool-password")
        .await
        .unwrap();
    let mut owner = PgConnection::connect(&url).await.unwrap();
    owner.execute("CREATE TABLE part (id int)").await.unwrap();
    server.restart().await.unwrap();
    let mut owner = PgConnection::connect(&url).await.unwrap();
    owner.execute("SELECT * FROM part").await.unwrap();
    server.stop();
    assert!(PgConnection::connect(&url).await.is_err());
    assert!(!format!("{server:?}").contains("password"));
}
