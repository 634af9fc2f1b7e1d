//! Legacy keys that a deleted Orchestra had are told until a person disables them, because the operator does not replace them.

use orchestra_sandbox::api::Rule;
use orchestra_sandbox::world::{Kind, TENANTS, World, condition};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{MEMBERS, delete};
use crate::proof::{database_name, generous_world, tenant};
use crate::support::{LONG, events_with, orchestra, ready, scalar, secret, sources, standard_class};

/// Disables the legacy keys, as a person does in the dashboard.
async fn disable(world: &World, reference: &str) {
    let url = format!(
        "{}/v1/projects/{reference}/api-keys/legacy?enabled=false",
        world.api.url()
    );
    let request = reqwest::Client::new().put(url).bearer_auth(world.api.token());
    assert!(request.send().await.unwrap().status().is_success());
}

/// What the project's own API answers to who has this key.
async fn lets_in(world: &World, reference: &str, key: &str) -> StatusCode {
    let url = format!("{}/_project/{reference}/auth/v1/health", world.api.url());
    let request = reqwest::Client::new().get(url).header("apikey", key);
    request.send().await.unwrap().status()
}

async fn told(world: &World, database: &str) -> String {
    let left = |object: &Value| condition(object, "AccessRevoked").1 == "KeysKept";
    let object = world.until(Kind::Database, ("", database), LONG, left).await.unwrap();
    condition(&object, "AccessRevoked").2
}

#[tokio::test(flavor = "multi_thread")]
async fn the_legacy_keys_of_a_deleted_orchestra_are_told_until_a_person_disables_them() {
    let world = generous_world().await;
    let only_legacy = Rule {
        method: Some("GET".into()),
        path: Some("/api-keys$".into()),
        edit: vec![
            json!({"op": "remove", "path": "/3"}),
            json!({"op": "remove", "path": "/2"}),
        ],
        ..Rule::default()
    };
    let rule = world.api.rules().add(only_legacy).unwrap();
    let _operator = world
        .operator("operator", |command| {
            command.env("ORCHESTRA_RESYNC", "300ms");
        })
        .unwrap();
    standard_class(&world, "");
    sources(&world);
    orchestra(&world, "one", "");
    let object = ready(&world, "one").await;
    let reference = object["status"]["project"]["ref"].as_str().unwrap().to_owned();
    let database = database_name(&world, "one").await;
    let had = secret(&world, TENANTS, "one-connection").await["SUPABASE_SERVICE_ROLE_KEY"].clone();
    assert!(had.starts_with("eyJ"), "it has a legacy key");

    delete(&world, "one", &database, "Released").await;
    let message = told(&world, &database).await;
    assert!(
        message.contains("Disable them in the provider's dashboard"),
        "{message}"
    );
    assert_eq!(lets_in(&world, &reference, &had).await, StatusCode::OK, "it is true");
    events_with(&world, "the deleted Orchestra's keys still work").await;

    // A person makes other keys, and an Orchestra takes the database back: whoever had the legacy ones still gets in.
    assert!(world.api.rules().remove(rule));
    // The reference of its project names it as well.
    world
        .apply(&format!(
            "{{apiVersion: stagesub.io/v1alpha1, kind: Orchestra, metadata: {{name: back, namespace: {TENANTS}}}, \
             spec: {{source: {{existing: {{projectRef: {reference}}}}}}}}}"
        ))
        .unwrap();
    let back = ready(&world, "back").await;
    assert_eq!(back["status"]["databaseName"], database.as_str());
    assert_eq!(scalar(&mut tenant(&world, "back").await, MEMBERS).await, 3);
    told(&world, &database).await;
    assert_eq!(lets_in(&world, &reference, &had).await, StatusCode::OK);

    disable(&world, &reference).await;
    let over = |object: &Value| condition(object, "AccessRevoked").0.is_empty();
    world.until(Kind::Database, ("", &database), LONG, over).await.unwrap();
    assert_eq!(lets_in(&world, &reference, &had).await, StatusCode::UNAUTHORIZED);
    events_with(&world, "which a deleted Orchestra had, are disabled").await;
}
