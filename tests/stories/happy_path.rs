//! `kubectl apply -f orchestra.yaml`, and a login that works.

use orchestra_sandbox::world::{Kind, SYSTEM, TENANTS, World, condition, is_true};

use serde_json::Value;

use crate::support::{login, orchestra, ready, scalar, secret, sources, standard_class, world};

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "one story, in its order")]
async fn an_orchestra_becomes_a_migrated_seeded_database() {
    let world = world().await;
    let operator = world.operator("operator", |_| {}).unwrap();
    standard_class(&world, "");
    sources(&world);
    orchestra(&world, "one", "");
    let object = ready(&world, "one").await;

    for part in ["Available", "DatabaseReady", "CredentialsReady", "Migrated", "Seeded"] {
        assert!(is_true(&object, part), "{part}: {object:#}");
    }
    assert_eq!(condition(&object, "Reconciling").0, "");
    assert_eq!(condition(&object, "Stalled").0, "");
    assert_eq!(object["status"]["phase"], "Ready");
    assert_eq!(object["status"]["observedGeneration"], 1);
    assert_eq!(object["status"]["migrations"]["current"], "20260102000000_concerts");
    assert_eq!(object["status"]["migrations"]["applied"], 2);

    let keys = secret(&world, TENANTS, "one-connection").await;
    let names: Vec<_> = keys.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "DATABASE_URL",
            "DIRECT_URL",
            "SUPABASE_ANON_KEY",
            "SUPABASE_SERVICE_ROLE_KEY",
            "SUPABASE_URL",
            "ca.crt",
            "dbname",
            "host",
            "password",
            "port",
            "uri",
            "user"
        ]
    );
    let mut tenant = login(&keys["DATABASE_URL"]).await.unwrap();
    assert_eq!(scalar(&mut tenant, r#"SELECT count(*) FROM "Member""#).await, 3);
    assert_eq!(scalar(&mut tenant, r#"SELECT count(*) FROM "Concert""#).await, 0);
    sqlx::query(r#"INSERT INTO "Concert" ("title") VALUES ('Eroica')"#)
        .execute(&mut tenant)
        .await
        .unwrap();
    assert_eq!(
        scalar(
            &mut tenant,
            "SELECT count(*) FROM pg_roles WHERE rolname = current_user AND rolsuper"
        )
        .await,
        0
    );

    // One create, one health check, one pooler read, one key read: all requests of a tenant.
    let ledger = world.api.ledger();
    let count = |method: &str, end: &str| {
        ledger
            .requests()
            .iter()
            .filter(|request| request.method == method && request.path.ends_with(end))
            .count()
    };
    assert_eq!(count("POST", "/v1/projects"), 1);
    assert_eq!(count("GET", "/health"), 1);
    assert_eq!(count("GET", "/config/database/pooler"), 1);
    assert_eq!(count("GET", "/api-keys"), 1);
    assert!(world.api.violations().is_empty(), "{:?}", world.api.violations());

    // The owner's password is in the operator's namespace, and encrypted where it is stored.
    let database = object["status"]["databaseName"].as_str().unwrap();
    let owner = secret(&world, SYSTEM, database).await;
    assert_ne!(owner["password"], keys["password"]);
    let raw = world.plane.etcd_raw("/registry/secrets/").await.unwrap();
    for password in [&owner["password"], &keys["password"]] {
        assert!(!raw.windows(password.len()).any(|window| window == password.as_bytes()));
    }
    writes_name_their_field_manager(&world, database).await;
    let database = world.get(Kind::Database, "", database).await.unwrap().unwrap();
    assert_eq!(database["status"]["phase"], "Bound");
    assert_eq!(database["status"]["claim"], "tenants/one");
    drop(operator);
}

/// Everything that the operator wrote for the tenant says so in `managedFields`, whichever part of it wrote.
async fn writes_name_their_field_manager(world: &World, database: &str) {
    for (kind, namespace, name) in [
        (Kind::Database, "", database),
        (Kind::Secret, SYSTEM, database),
        (Kind::Secret, TENANTS, "one-connection"),
        (Kind::Lease, SYSTEM, "orchestra-operator"),
    ] {
        let object = world.get(kind, namespace, name).await.unwrap().unwrap();
        for entry in object["metadata"]["managedFields"].as_array().unwrap() {
            let manager = entry["manager"].as_str().unwrap();
            assert!(manager.starts_with("orchestra-operator"), "{kind:?} {name}: {entry}");
        }
    }
    for (kind, namespace, name) in [(Kind::Orchestra, TENANTS, "one"), (Kind::Class, "", "standard")] {
        let object = world.get(kind, namespace, name).await.unwrap().unwrap();
        let managers = object["metadata"]["managedFields"].as_array().unwrap();
        let finalizers = |entry: &&Value| entry["fieldsV1"]["f:metadata"]["f:finalizers"].is_object();
        let of_finalizer: Vec<_> = managers
            .iter()
            .filter(finalizers)
            .map(|entry| &entry["manager"])
            .collect();
        assert_eq!(of_finalizer, ["orchestra-operator"], "{kind:?} {name}: {managers:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_may_ask_for_the_transaction_pooler() {
    let world = world().await;
    let _operator = world.operator("operator", |_| {}).unwrap();
    standard_class(&world, "");
    sources(&world);
    orchestra(&world, "brief", "  connection: {mode: TransactionPooler}");
    ready(&world, "brief").await;
    let keys = secret(&world, TENANTS, "brief-connection").await;
    assert!(keys["DATABASE_URL"].ends_with("&pgbouncer=true"));
    let pooler = world.api.router();
    assert_eq!(keys["host"], pooler.host());
    assert!(keys["host"].parse::<std::net::IpAddr>().is_err(), "{}", keys["host"]);
    assert_eq!(keys["port"], pooler.transaction_address().port().to_string());
    let session = format!(":{}/", pooler.session_address().port());
    assert!(keys["DIRECT_URL"].contains(&session));
    for url in [&keys["uri"], &keys["DIRECT_URL"]] {
        let mut tenant = login(url).await.unwrap();
        assert_eq!(scalar(&mut tenant, r#"SELECT count(*) FROM "Member""#).await, 3);
    }
}
