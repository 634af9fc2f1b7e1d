//! Objects with a value that this version of the operator does not know, as a newer version leaves them behind when it is
//! taken back: they are left as they are, everything of theirs stays, and all other objects are served.

use std::time::Duration;

use orchestra_sandbox::world::{Kind, Operator, SYSTEM, TENANTS, World, condition, is_true};
use serde_json::{Value, json};

use crate::proof::{generous_world, owner, soon, tenant as session};
use crate::support::{LONG, events_with, gone, kill, orchestra, ready, sources, standard_class};

/// The value of the newer version.
const NEWER: &str = "Hibernated";

/// The definition of a newer version allows another `powerState`.
fn upgrade(world: &World, plural: &str) {
    let path = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/powerState/enum/-";
    let change = json!([{"op": "add", "path": path, "value": NEWER}]).to_string();
    let crd = format!("{plural}.stagesub.io");
    world
        .kubectl(["patch", "crd", &crd, "--type=json", "-p", &change])
        .unwrap();
}

/// Sets the `powerState`, as soon as the API server takes it.
async fn set(world: &World, kind: &str, name: &str, state: &str) {
    let patch = json!({"spec": {"powerState": state}}).to_string();
    soon("the value is accepted", async || {
        let patched = world.kubectl(["patch", kind, name, "-n", TENANTS, "--type=merge", "-p", &patch]);
        patched.is_ok()
    })
    .await;
}

fn start(world: &World, name: &str) -> Operator {
    world
        .operator(name, |command| {
            command.env("ORCHESTRA_RESYNC", "2s");
        })
        .unwrap()
}

fn delete(world: &World, name: &str) {
    world
        .kubectl(["delete", "orch", name, "-n", TENANTS, "--wait=false"])
        .unwrap();
}

/// The tenant is there, and so is its database, claimed, with its project and the owner's password.
async fn is_kept(world: &World, tenant: &Value) {
    let name = tenant["metadata"]["name"].as_str().unwrap();
    let now = world.get(Kind::Orchestra, TENANTS, name).await.unwrap();
    assert!(now.is_some(), "{name} is there");
    let database = tenant["status"]["databaseName"].as_str().unwrap();
    let now = world.get(Kind::Database, "", database).await.unwrap().unwrap();
    assert_eq!(now["spec"]["claimRef"]["uid"], tenant["metadata"]["uid"]);
    assert!(now["spec"]["releasedAt"].is_null(), "{now:#}");
    assert!(now["metadata"]["deletionTimestamp"].is_null(), "{now:#}");
    let project = now["status"]["project"]["ref"].as_str().unwrap();
    assert!(world.api.project(project).await.is_ok(), "{project}");
    assert!(world.get(Kind::Secret, SYSTEM, database).await.unwrap().is_some());
    drop(owner(world, name).await);
    drop(session(world, name).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_newer_version_has_written_is_left_alone_and_stops_nobody_else() {
    let world = generous_world().await;
    let mut first = start(&world, "first");
    standard_class(&world, "  deletion: {policy: Delete, gracePeriod: 1s}");
    sources(&world);
    for name in ["base", "claim"] {
        orchestra(&world, name, "");
    }
    let (base, claim) = (ready(&world, "base").await, ready(&world, "claim").await);
    let database = base["status"]["databaseName"].as_str().unwrap();
    for plural in ["orchestras", "orchestradatabases"] {
        upgrade(&world, plural);
    }
    set(&world, "orchdb", database, NEWER).await;
    set(&world, "orch", "claim", NEWER).await;
    let events = events_with(&world, "Orchestra claim has a value").await;
    let told = events.iter().filter(|event| event["reason"] == "UnknownValue").count();
    assert!(told > 0, "{events:#?}");
    events_with(&world, &format!("OrchestraDatabase {database} has a value")).await;

    // The watches of both kinds continue.
    orchestra(&world, "later", "");
    ready(&world, "later").await;

    // Neither a deletion nor another process destroys anything.
    delete(&world, "base");
    delete(&world, "claim");
    let waits = |object: &Value| condition(object, "Stalled").1 == "UnknownValue";
    world
        .until(Kind::Orchestra, (TENANTS, "base"), LONG, waits)
        .await
        .unwrap();
    let before = world.get(Kind::Orchestra, TENANTS, "claim").await.unwrap().unwrap();
    kill(&world, &mut first);
    let second = start(&world, "second");
    soon("it says so", async || second.log().contains("UnknownValue")).await;
    orchestra(&world, "last", "");
    ready(&world, "last").await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    is_kept(&world, &base).await;
    is_kept(&world, &claim).await;
    let after = world.get(Kind::Orchestra, TENANTS, "claim").await.unwrap().unwrap();
    assert_eq!(after["status"], before["status"], "its status is left as it is");
    tokio::time::sleep(Duration::from_secs(5)).await;
    let page = crate::process::get(&second, "/metrics").await.1;
    for kind in ["orchestra", "database"] {
        let line = format!("orchestra_unreadable_objects{{kind=\"{kind}\"}} 1");
        assert!(page.contains(&line), "{page}");
    }

    // With a value that is known, what was asked for is done.
    set(&world, "orchdb", database, "Running").await;
    set(&world, "orch", "claim", "Running").await;
    for name in ["base", "claim"] {
        gone(&world, Kind::Orchestra, TENANTS, name).await;
    }
    gone(&world, Kind::Database, "", database).await;
    assert!(is_true(&ready(&world, "later").await, "Available"));
}
