//! What is kept and what is destroyed when an Orchestra is deleted.

use orchestra_sandbox::api::{Fault, Operation, Options as ApiOptions, Organization};
use orchestra_sandbox::world::{Kind, SYSTEM, TENANTS, World, condition, is_true};
use serde_json::Value;

use crate::proof::{database_name, owner_url};
use crate::support::{LONG, gone, login, orchestra, ready, reason, secret, sources, standard_class, world, world_with};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_claimed_is_never_destroyed() {
    let world = world().await;
    let _operator = world.operator("operator", |_| {}).unwrap();
    standard_class(&world, "");
    sources(&world);
    orchestra(&world, "kept", "");
    ready(&world, "kept").await;
    let database = database_name(&world, "kept").await;

    // Nobody destroys what is claimed, not even who deletes the resource itself.
    world.kubectl(["delete", "orchdb", &database, "--wait=false"]).unwrap();
    let held = |object: &Value| condition(object, "Stalled").1 == "InUse";
    world.until(Kind::Database, ("", &database), LONG, held).await.unwrap();
    assert!(world.api.ledger().projects()[0].deleted.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn retain_keeps_the_database_and_its_password() {
    let world = world().await;
    let _operator = world.operator("operator", |_| {}).unwrap();
    standard_class(&world, "");
    sources(&world);
    orchestra(&world, "kept", "");
    ready(&world, "kept").await;
    let database = database_name(&world, "kept").await;
    world
        .kubectl(["delete", "orch", "kept", "-n", TENANTS, "--wait=false"])
        .unwrap();
    world
        .kubectl(["wait", "--for=delete", "orch/kept", "-n", TENANTS, "--timeout=60s"])
        .unwrap();
    let released = |object: &Value| object["status"]["phase"] == "Released";
    let kept = world
        .until(Kind::Database, ("", &database), LONG, released)
        .await
        .unwrap();
    assert_eq!(kept["status"]["claim"], "tenants/kept");
    assert_eq!(kept["spec"]["claimRef"]["name"], "kept");
    assert!(world.api.ledger().projects()[0].deleted.is_none());
    login(&owner_url(&secret(&world, SYSTEM, &database).await))
        .await
        .unwrap();
    gone(&world, Kind::Secret, TENANTS, "kept-connection").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn delete_destroys_once_and_waits_for_a_provider_that_says_no() {
    let world = world().await;
    let _operator = world.operator("operator", |_| {}).unwrap();
    standard_class(&world, "  deletion: {policy: Delete}");
    sources(&world);
    for name in ["dropped", "abandoned"] {
        orchestra(&world, name, "");
        ready(&world, name).await;
    }
    let database = database_name(&world, "dropped").await;
    let refused = Fault::Status {
        status: 503,
        retry_after: None,
    };
    world.api.faults().add(Operation::DeleteProject, 1, refused);
    let token = world.api.token();
    world.api.set_tokens(vec!["another".into()]);
    world
        .kubectl(["delete", "orch", "dropped", "-n", TENANTS, "--wait=false"])
        .unwrap();
    // An expired token never means «gone».
    let stopped = |object: &Value| condition(object, "Stalled").1 == "TokenRejected";
    world
        .until(Kind::Database, ("", &database), LONG, stopped)
        .await
        .unwrap();
    // The Orchestra waits for nothing, as a PersistentVolumeClaim; the database is there until the provider agrees.
    gone(&world, Kind::Orchestra, TENANTS, "dropped").await;
    assert!(world.get(Kind::Database, "", &database).await.unwrap().is_some());
    assert!(
        world
            .api
            .ledger()
            .projects()
            .iter()
            .all(|project| project.deleted.is_none())
    );
    let other = let_go(&world).await;

    world.api.set_tokens(vec![token, "rotated".into()]);
    world.store_secret("supabase-token", "token", "rotated").unwrap();
    gone(&world, Kind::Database, "", &database).await;
    gone(&world, Kind::Secret, SYSTEM, &database).await;
    let projects = world.api.ledger().projects();
    let alive: Vec<_> = projects.iter().filter(|project| project.deleted.is_none()).collect();
    assert!(alive.len() == 1 && alive[0].name.ends_with(&other), "{projects:?}");
}

/// The token is gone for good: a person abandons the database, and the event names what is left behind.
async fn let_go(world: &World) -> String {
    let database = database_name(world, "abandoned").await;
    world
        .kubectl(["delete", "orch", "abandoned", "-n", TENANTS, "--timeout=60s"])
        .unwrap();
    world.kubectl(["delete", "orchdb", &database, "--wait=false"]).unwrap();
    let stopped = |object: &Value| condition(object, "Stalled").1 == "TokenRejected";
    world
        .until(Kind::Database, ("", &database), LONG, stopped)
        .await
        .unwrap();
    world
        .kubectl(["annotate", "orchdb", &database, "stagesub.io/abandon=true"])
        .unwrap();
    gone(world, Kind::Database, "", &database).await;
    assert!(world.get(Kind::Secret, SYSTEM, &database).await.unwrap().is_some());
    let events = world.kubectl(["get", "events", "-n", "default"]).unwrap();
    let told = events
        .lines()
        .find(|line| line.contains("Abandoned"))
        .unwrap_or_default();
    assert!(told.contains("of organization acme-org remains and costs"), "{events}");
    database
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_that_vanished_is_lost_and_never_replaced() {
    let world = world().await;
    let _operator = world
        .operator("operator", |command| {
            command.arg("--resync=1s");
        })
        .unwrap();
    standard_class(&world, "");
    sources(&world);
    orchestra(&world, "robbed", "");
    let object = ready(&world, "robbed").await;
    let project = object["status"]["project"]["ref"].as_str().unwrap();
    let address = format!("{}/v1/projects/{project}", world.api.url());
    let answer = reqwest::Client::new()
        .delete(address)
        .bearer_auth(world.api.token())
        .send()
        .await
        .unwrap();
    assert!(answer.status().is_success());
    let lost = reason(&world, "robbed", "DatabaseLost").await;
    assert!(is_true(&lost, "Stalled") && !is_true(&lost, "Reconciling"), "{lost:#}");
    assert_eq!(world.api.ledger().projects().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_class_that_moves_to_another_organization_keeps_its_projects() {
    let organization = |slug: &str| Organization {
        slug: slug.into(),
        name: slug.into(),
        plan: "pro".into(),
    };
    let organizations = vec![organization("acme-org"), organization("other-org")];
    let world = world_with(ApiOptions {
        organizations,
        ..ApiOptions::default()
    })
    .await;
    let _operator = world
        .operator("operator", |command| {
            command.arg("--resync=1s");
        })
        .unwrap();
    standard_class(&world, "");
    sources(&world);
    orchestra(&world, "early", "  deletionPolicy: Delete");
    ready(&world, "early").await;
    let moved = r#"{"spec":{"provider":{"supabase":{"organization":"other-org"}}}}"#;
    world
        .kubectl(["patch", "orchclass", "standard", "--type=merge", "-p", moved])
        .unwrap();
    orchestra(&world, "late", "");
    ready(&world, "late").await;
    let of = |database: &Value| database["status"]["organization"].as_str().unwrap().to_string();
    let mut seen: Vec<_> = world.list(Kind::Database).await.unwrap().iter().map(of).collect();
    seen.sort();
    assert_eq!(seen, ["acme-org", "other-org"]);
    let early = world.get(Kind::Orchestra, TENANTS, "early").await.unwrap().unwrap();
    assert!(is_true(&early, "Ready"), "{early:#}");
    let database = database_name(&world, "early").await;
    world
        .kubectl(["delete", "orch", "early", "-n", TENANTS, "--timeout=60s"])
        .unwrap();
    gone(&world, Kind::Database, "", &database).await;
    let projects = world.api.ledger().projects();
    assert_eq!(projects.len(), 2);
    assert_eq!(projects.iter().filter(|project| project.deleted.is_some()).count(), 1);
}
