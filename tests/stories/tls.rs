//! Hosted databases are reached over verified TLS, by the operator and by tenants.

use orchestra_sandbox::router::Authority;
use orchestra_sandbox::world::{Kind, SYSTEM, TENANTS, condition};
use serde_json::Value;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _};

use crate::support::{LONG, orchestra, ready, secret, sources, standard_class, world};

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_with_a_strangers_certificate_gets_no_login() {
    let world = world().await;
    let stranger = Authority::new("Stranger").unwrap();
    let file = world.dir().join("stranger.crt");
    std::fs::write(&file, stranger.root()).unwrap();
    standard_class(&world, "");
    sources(&world);
    orchestra(&world, "one", "");
    // To an operator that knows another root, the pooler's certificate is a stranger's.
    let operator = world
        .operator("wary", |command| {
            command.arg(format!("--supabase-ca-file={}", file.display()));
        })
        .unwrap();
    let claimed = |object: &Value| object["status"]["databaseName"].is_string();
    let object = world.until(Kind::Orchestra, (TENANTS, "one"), LONG, claimed).await;
    let name = object.unwrap()["status"]["databaseName"].as_str().unwrap().to_owned();
    let told = |object: &Value| condition(object, "Ready").2.contains("certificate is not trusted");
    world.until(Kind::Database, ("", &name), LONG, told).await.unwrap();
    let reference = world.api.ledger().projects()[0].reference.clone();
    let logins = world.api.router().tenants().logins(&reference);
    assert_eq!((logins.accepted, logins.refused), (0, 0), "no login reached the pooler");
    drop(operator);

    let _operator = world.operator("operator", |_| {}).unwrap();
    ready(&world, "one").await;
    let keys = secret(&world, TENANTS, "one-connection").await;
    assert_eq!(keys["ca.crt"], world.api.router().root());
    for url in ["DATABASE_URL", "DIRECT_URL", "uri"] {
        assert!(keys[url].ends_with("?sslmode=verify-full"), "{url}");
        let options: PgConnectOptions = keys[url].parse().unwrap();
        let options = options.disable_statement_logging();
        let published = options.clone().ssl_root_cert_from_pem(keys["ca.crt"].clone().into());
        PgConnection::connect_with(&published).await.unwrap();
        let other = options.ssl_root_cert_from_pem(stranger.root().into());
        assert!(PgConnection::connect_with(&other).await.is_err(), "{url}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_whose_traffic_can_be_read_are_told_of() {
    let world = world().await;
    let _operator = world.operator("operator", |_| {}).unwrap();
    // An address of TEST-NET-1, where nothing answers.
    world
        .apply(&format!(
            r#"
apiVersion: v1
kind: Secret
metadata: {{name: inventory, namespace: {SYSTEM}}}
stringData:
  DATABASE_URL_POOL_1: "postgres://owner:word@192.0.2.1/one"
  DATABASE_URL_POOL_2: "postgres://owner:word@192.0.2.1/two?sslmode=require"
  DATABASE_URL_POOL_3: "postgres://owner:word@192.0.2.1/three?sslmode=disable"
---
apiVersion: stagesub.io/v1alpha1
kind: OrchestraPool
metadata: {{name: far}}
spec: {{static: {{secretRef: {{name: inventory}}}}}}
"#
        ))
        .unwrap();
    let told = |pool: &Value| condition(pool, "Ready").2.contains("Warning: ");
    let pool = world.until(Kind::Pool, ("", "far"), LONG, told).await.unwrap();
    let message = condition(&pool, "Ready").2;
    assert!(
        message.contains("Warning: DATABASE_URL_POOL_1, DATABASE_URL_POOL_3: sslmode"),
        "{message}"
    );
}
