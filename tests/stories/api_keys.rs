//! The rotation of a project's API keys with the tenant's login: new ones are published, former ones, and those
//! that came with the project, end after the overlap, and no other key is touched.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use orchestra_sandbox::api::{Operation, Rule};
use orchestra_sandbox::world::{Kind, SYSTEM, TENANTS, World, is_true};
use serde_json::{Value, json};

use crate::proof::{database_name, generous_world, one_project_and_both_logins, projects, soon};
use crate::rotation::ask;
use crate::support::{LONG, events_with, orchestra, secret, sources, standard_class};

/// The project's keys, as a person sees them who asks the provider.
async fn listed(world: &World) -> Vec<Value> {
    let reference = projects(world, "one").await[0].reference.clone();
    let url = format!("{}/v1/projects/{reference}/api-keys?reveal=true", world.api.url());
    let request = reqwest::Client::new().get(url).bearer_auth(world.api.token());
    request.send().await.unwrap().json().await.unwrap()
}

/// Makes a key as a person does.
async fn make(world: &World) -> Value {
    let reference = projects(world, "one").await[0].reference.clone();
    let url = format!("{}/v1/projects/{reference}/api-keys?reveal=true", world.api.url());
    let request = reqwest::Client::new().post(url).bearer_auth(world.api.token());
    let key = json!({"type": "secret", "name": "theirs"});
    let answer = request.json(&key).send().await.unwrap();
    assert!(answer.status().is_success());
    let all = listed(world).await;
    all.into_iter().find(|key| key["name"] == "theirs").unwrap()
}

/// Deletes a key as a person does.
async fn delete(world: &World, id: &Value) {
    let reference = projects(world, "one").await[0].reference.clone();
    let id = id.as_str().unwrap();
    let url = format!("{}/v1/projects/{reference}/api-keys/{id}", world.api.url());
    let request = reqwest::Client::new().delete(url).bearer_auth(world.api.token());
    assert!(request.send().await.unwrap().status().is_success());
}

/// The project lists no legacy keys, as one that was made without them.
fn without_legacy_keys(world: &World) {
    let rule = Rule {
        method: Some("GET".into()),
        path: Some("/api-keys$".into()),
        edit: ["/1", "/0"].map(|path| json!({"op": "remove", "path": path})).into(),
        ..Rule::default()
    };
    world.api.rules().add(rule).unwrap();
}

/// The names of the keys that the operator has made, with their types.
async fn ours(world: &World) -> Vec<(String, String)> {
    let mut ours: Vec<_> = listed(world)
        .await
        .iter()
        .map(|key| [&key["name"], &key["type"]].map(|text| text.as_str().unwrap().to_owned()))
        .map(|[name, kind]| (name, kind))
        .filter(|(name, _)| name.starts_with("orchdb_"))
        .collect();
    ours.sort();
    ours
}

/// The connection Secret, once both of its keys are others than before.
async fn renewed(world: &World, case: &str, former: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let keys = ["SUPABASE_ANON_KEY", "SUPABASE_SERVICE_ROLE_KEY"];
    soon(case, async || {
        let now = secret(world, TENANTS, "one-connection").await;
        keys.iter().all(|key| now[*key] != former[*key])
    })
    .await;
    let now = secret(world, TENANTS, "one-connection").await;
    for (key, kind) in keys.iter().zip(["publishable", "secret"]) {
        let all = listed(world).await;
        let found = all.iter().find(|listed| listed["api_key"] == now[*key].as_str());
        assert_eq!(found.unwrap()["type"], kind, "{case}: a key that works is published");
    }
    now
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "one story, in its order")]
async fn api_keys_are_rotated_with_the_login_and_only_the_operators_own_are_deleted() {
    let world = generous_world().await;
    standard_class(&world, "");
    sources(&world);
    let start = |name: &str, resync: &str| {
        let with = |command: &mut Command| {
            command.env("ORCHESTRA_RESYNC", resync);
            command.env("SUPABASE_PROJECT_DOMAIN", format!("{}/_project", world.api.url()));
        };
        world.operator(name, with).unwrap()
    };
    let mut operator = start("first", "10m");
    orchestra(
        &world,
        "one",
        "  connection: {rotation: {overlap: 1s, also: [APIKeys]}}",
    );
    one_project_and_both_logins(&world, "one").await;
    let database = database_name(&world, "one").await;
    let theirs = make(&world).await;
    let first = listed(&world).await;
    let mut published = secret(&world, TENANTS, "one-connection").await;
    let rule = |method: &str, status, effect| {
        let rule = Rule {
            method: Some(method.into()),
            path: Some("/api-keys(/[^/]+)?$".into()),
            times: Some(1),
            status: Some(status),
            effect: Some(effect),
            text: Some("no".into()),
            ..Rule::default()
        };
        world.api.rules().add(rule).unwrap();
    };
    let calls = |operation| world.api.ledger().count(operation);
    let cases = ["well", "killed", "lost answers", "refused", "not let in"];
    for (number, case) in cases.iter().enumerate() {
        let mut closed = None;
        match *case {
            "not let in" => {
                let rule = Rule {
                    path: Some("^/_project/[^/]+/auth/v1/health$".into()),
                    status: Some(401),
                    text: Some("no".into()),
                    ..Rule::default()
                };
                closed = Some(world.api.rules().add(rule).unwrap());
            }
            "lost answers" => {
                rule("POST", 504, true);
                rule("DELETE", 504, true);
            }
            "refused" => {
                rule("POST", 403, false);
                rule("DELETE", 500, false);
            }
            _ => {}
        }
        // Times of rotations are whole seconds.
        tokio::time::sleep(Duration::from_millis(1100)).await;
        let made = calls(Operation::CreateKey);
        ask(&world, "one", &format!("keys-{number}"));
        if *case == "killed" {
            soon("a key is made", async || calls(Operation::CreateKey) > made).await;
            operator.kill().unwrap();
            operator = start("second", "10m");
        }
        if let Some(closed) = closed {
            // The project's own API does not know them: none is published.
            soon("both are made", async || calls(Operation::CreateKey) == made + 2).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            let now = secret(&world, TENANTS, "one-connection").await;
            for key in ["SUPABASE_ANON_KEY", "SUPABASE_SERVICE_ROLE_KEY"] {
                assert_eq!(now[key], published[key], "{key}");
            }
            assert!(world.api.rules().remove(closed));
        }
        published = renewed(&world, case, &published).await;
        let mine = |kind: &str| {
            (
                format!("{}_{}", database.replace('-', "_"), number + 1),
                kind.to_owned(),
            )
        };
        let wanted = [mine("publishable"), mine("secret")];
        soon("only the newest are left", async || ours(&world).await == wanted).await;
        assert!(calls(Operation::CreateKey) - made <= 3, "{case}");
    }
    // Those that a person made, and legacy ones, are as they were; the first ones of the project have ended.
    let all = listed(&world).await;
    assert!(first.contains(&theirs));
    for key in &first {
        assert_eq!(
            all.contains(key),
            key["name"] != "default",
            "{} is as it was",
            key["name"]
        );
    }
    // A published key that a person has deleted is replaced.
    let mine = all
        .iter()
        .find(|key| key["api_key"] == published["SUPABASE_SERVICE_ROLE_KEY"].as_str());
    delete(&world, &mine.unwrap()["id"]).await;
    operator.kill().unwrap();
    operator = start("third", "300ms");
    published = renewed(&world, "deleted by hand", &published).await;
    for reason in ["KeysRotated", "KeysRevoked", "KeysKept", "KeysLost"] {
        events_with(&world, reason).await;
    }
    // With the keys, more seldom, the provider's own backups are read: a fresh project has none.
    let is_told = |object: &Value| object["status"]["backup"]["provider"]["count"] == 0;
    world
        .until(Kind::Orchestra, (TENANTS, "one"), LONG, is_told)
        .await
        .unwrap();
    assert!((1..4).contains(&calls(Operation::ListBackups)));
    // So is one that was the last of its kind.
    without_legacy_keys(&world);
    delete(&world, &theirs["id"]).await;
    let all = listed(&world).await;
    let mine = all
        .iter()
        .find(|key| key["api_key"] == published["SUPABASE_SERVICE_ROLE_KEY"].as_str());
    delete(&world, &mine.unwrap()["id"]).await;
    renewed(&world, "the last of its kind", &published).await;
    events_with(&world, "the project has no other of their kind").await;
    nothing_is_shown(&world, &database).await;
    drop(operator);
}

/// No key of the project is in a log, an event or a status.
async fn nothing_is_shown(world: &World, database: &str) {
    let stored = secret(world, SYSTEM, database).await;
    let mut shown = String::new();
    for log in ["first", "second", "third"] {
        shown += &std::fs::read_to_string(world.dir().join(format!("{log}.log"))).unwrap();
    }
    for (kind, namespace, name) in [(Kind::Orchestra, TENANTS, "one"), (Kind::Database, "", database)] {
        let object = world.get(kind, namespace, name).await.unwrap().unwrap();
        assert!(is_true(&object, "Ready"), "{object:#}");
        shown += &json!(object["status"]).to_string();
    }
    shown += &json!(events_with(world, "").await).to_string();
    let mut keys: Vec<_> = listed(world).await.iter().map(|key| key["api_key"].clone()).collect();
    keys.extend([json!(stored["anon-key"]), json!(stored["service-role-key"])]);
    for key in keys {
        assert!(!shown.contains(key.as_str().unwrap()), "a key is shown");
    }
}
