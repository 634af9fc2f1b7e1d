//! One change pauses a tenant and names another source: what was applied is not said to be what the new spec asks for.

use orchestra_sandbox::world::{Kind, TENANTS, condition, is_true};
use serde_json::{Value, json};

use super::{free_world, operator, paused};
use crate::support::{LONG, orchestra, ready, sources, standard_class};

/// The generation that a condition describes.
fn described(object: &Value, type_: &str) -> i64 {
    let conditions = object["status"]["conditions"].as_array().unwrap();
    let condition = conditions.iter().find(|condition| condition["type"] == type_);
    condition.unwrap()["observedGeneration"].as_i64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_comes_with_the_pause_is_not_said_to_be_applied() {
    let world = free_world().await;
    standard_class(&world, "");
    sources(&world);
    let schema = world
        .kubectl(["get", "configmap", "schema", "-n", TENANTS, "-o", "json"])
        .unwrap();
    let mut scripts = serde_json::from_str::<Value>(&schema).unwrap()["data"].take();
    scripts["20260103000000_later.sql"] = json!("CREATE TABLE \"Later\" (\"id\" INT);");
    let newer = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "newer", "namespace": TENANTS}, "data": scripts,
    });
    world.apply(&newer.to_string()).unwrap();
    let _operator = operator(&world, "operator");
    orchestra(&world, "tour", "");
    ready(&world, "tour").await;

    let source = json!({"configMapRef": {"name": "newer"}});
    let patch = |state: &str| {
        let patch = json!({"spec": {"powerState": state, "migrations": {"source": source}}}).to_string();
        world
            .kubectl(["patch", "orch", "tour", "-n", TENANTS, "--type=merge", "-p", &patch])
            .unwrap();
    };
    patch("Paused");
    let object = paused(&world, "tour").await;
    let generation = object["metadata"]["generation"].as_i64().unwrap();
    assert_eq!(described(&object, "Ready"), generation);
    for part in ["CredentialsReady", "Migrated", "Seeded", "HistoryAgrees"] {
        assert!(is_true(&object, part), "{part}: {object:#}");
        assert!(described(&object, part) < generation, "{part}: {object:#}");
    }

    patch("Running");
    let migrated = |object: &Value| is_true(object, "Ready") && object["status"]["migrations"]["applied"] == 3;
    let object = world
        .until(Kind::Orchestra, (TENANTS, "tour"), LONG, migrated)
        .await
        .unwrap();
    let generation = object["metadata"]["generation"].as_i64().unwrap();
    assert_eq!(
        described(&object, "Migrated"),
        generation,
        "{:?}",
        condition(&object, "Migrated")
    );
}
