//! Whether applications can use their databases: a server that stops and comes back, a password that somebody has changed,
//! an operator that is killed meanwhile, and a standby that probes nothing.

use std::time::Duration;

use orchestra_sandbox::loopback;
use orchestra_sandbox::postgres::Postgres;
use orchestra_sandbox::random::alphanumeric;
use orchestra_sandbox::world::{Kind, Operator, TENANTS, World, condition, is_true};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use crate::process::get;
use crate::proof::{generous_world, soon};
use crate::samples::all_files_are_named;
use crate::support::{LONG, SYSTEM, events_with, kill, login, project, ready, secret, world};

const NAMES: [&str; 2] = ["one", "two"];

/// A class with a pool of two databases on a server of their own.
async fn pool(world: &World, server: &Postgres) {
    let mut entries = String::new();
    for (number, name) in (1..).zip(NAMES) {
        let owner = format!("{name}_owner");
        let url = server.create_database(name, &owner, &alphanumeric(20)).await.unwrap();
        entries.extend(["  DATABASE_URL_POOL_", &number.to_string(), ": ", &url, "\n"]);
    }
    let legacy = server.is_legacy();
    world
        .apply(&format!(
            r#"
apiVersion: v1
kind: Secret
metadata: {{name: database-pool, namespace: {SYSTEM}}}
stringData:
{entries}
---
apiVersion: stagesub.io/v1alpha1
kind: OrchestraPool
metadata: {{name: house}}
spec: {{static: {{secretRef: {{name: database-pool}}, allowLegacyServers: {legacy}}}}}
---
apiVersion: stagesub.io/v1alpha1
kind: OrchestraClass
metadata: {{name: standard, annotations: {{stagesub.io/is-default-class: "true"}}}}
spec:
  pools: {{names: [house]}}
  health: {{metrics: true}}
"#
        ))
        .unwrap();
    for name in NAMES {
        let manifest = format!(
            "apiVersion: stagesub.io/v1alpha1\nkind: Orchestra\nmetadata: {{name: {name}, namespace: {TENANTS}}}\nspec: {{}}"
        );
        world.apply(&manifest).unwrap();
    }
}

fn operator(world: &World, name: &str) -> Operator {
    let probing = |command: &mut std::process::Command| {
        command.env("ORCHESTRA_PROBE_INTERVAL", "1s");
    };
    world.operator(name, probing).unwrap()
}

/// Waits until the Orchestra is not Available for this reason.
async fn unavailable(world: &World, name: &str, reason: &str) -> Value {
    let is = |object: &Value| condition(object, "Available").1 == reason && !is_true(object, "Available");
    world.until(Kind::Orchestra, (TENANTS, name), LONG, is).await.unwrap()
}

async fn available(world: &World, name: &str) -> Value {
    let is = |object: &Value| is_true(object, "Available") && object["status"]["health"].is_null();
    world.until(Kind::Orchestra, (TENANTS, name), LONG, is).await.unwrap()
}

async fn object(world: &World, name: &str) -> Value {
    world.get(Kind::Orchestra, TENANTS, name).await.unwrap().unwrap()
}

async fn page(operator: &Operator) -> String {
    get(operator, "/metrics").await.1
}

/// The number of probes with this outcome.
async fn probes(operator: &Operator, outcome: &str) -> u64 {
    let begin = format!("orchestra_probes_total{{outcome=\"{outcome}\"}} ");
    let page = page(operator).await;
    let line = page.lines().find_map(|line| line.strip_prefix(&begin));
    line.map_or(0, |count| count.parse().unwrap())
}

/// Waits for so many more probes with this outcome.
async fn probed(operator: &Operator, outcome: &str, more: u64) {
    let before = probes(operator, outcome).await;
    soon(outcome, async || probes(operator, outcome).await >= before + more).await;
}

fn version(object: &Value) -> &str {
    object["metadata"]["resourceVersion"].as_str().unwrap()
}

/// The events of an Orchestra with this reason.
async fn events(world: &World, name: &str, reason: &str) -> usize {
    let all = world.list(Kind::Event).await.unwrap();
    let is = |event: &&Value| event["reason"] == reason && event["regarding"]["name"] == name;
    let count = |event: &Value| event["series"]["count"].as_u64().unwrap_or(1);
    all.iter().filter(is).map(count).sum::<u64>().try_into().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "one story, in its order")]
async fn a_server_that_stops_makes_its_tenants_unavailable_until_it_is_back() {
    let world = world().await;
    let files = tempfile::tempdir().unwrap();
    let mut server = Postgres::start(files.path(), loopback::address()).await.unwrap();
    pool(&world, &server).await;
    let mut first = operator(&world, "first");
    soon("it leads", async || first.log().contains("leading")).await;
    let second = operator(&world, "second");
    let mut settled = Vec::new();
    for name in NAMES {
        settled.push(ready(&world, name).await);
    }

    // Probes that succeed write nothing.
    probed(&first, "Ready", 6).await;
    for (name, before) in NAMES.iter().zip(&settled) {
        assert_eq!(version(&object(&world, name).await), version(before), "{name}");
    }
    soon("the metrics tell", async || {
        let page = page(&first).await;
        NAMES.iter().all(|name| {
            let labels = format!("class=\"standard\",namespace=\"{TENANTS}\",name=\"{name}\"");
            page.contains(&format!("orchestra_tenant_database_size_bytes{{{labels}}} "))
                && page.contains(&format!(
                    "orchestra_tenant_credential_age_seconds{{{labels},credential=\"login\"}} "
                ))
        })
    })
    .await;
    assert_eq!(probes(&second, "Ready").await, 0, "a standby probes nothing");

    server.stop();
    for name in NAMES {
        let down = unavailable(&world, name, "ConnectionRefused").await;
        assert!(is_true(&down, "Ready"), "{down:#}");
        assert!(
            condition(&down, "Available")
                .2
                .contains("nothing accepts connections at"),
            "{down:#}"
        );
        assert_eq!(down["status"]["health"]["reason"], "ConnectionRefused", "{down:#}");
    }
    soon("the metrics tell of it", async || {
        let page = page(&first).await;
        page.contains("orchestra_unavailable_tenants{reason=\"ConnectionRefused\"} 2")
            && !page.contains("orchestra_tenant_database_size_bytes{")
    })
    .await;
    events_with(&world, "nothing accepts connections at").await;

    // Neither more probes nor another leader write anything.
    let mut down = Vec::new();
    for name in NAMES {
        down.push(object(&world, name).await);
    }
    kill(&world, &mut first);
    // What one of them knows from the other within some seconds is not counted.
    probed(&second, "ConnectionRefused", 2).await;
    for (name, before) in NAMES.iter().zip(&down) {
        assert_eq!(version(&object(&world, name).await), version(before), "{name}");
        assert_eq!(events(&world, name, "ConnectionRefused").await, 1, "{name}");
    }

    server.restart().await.unwrap();
    for name in NAMES {
        let back = available(&world, name).await;
        assert!(is_true(&back, "Ready"), "{back:#}");
        soon("the event", async || events(&world, name, "Recovered").await == 1).await;
    }
    wrong_password(&world, &server, &second).await;
    paused(&world, &second).await;
}

/// Somebody changes the password of a tenant's login on the server. A rotation is the cure that the condition names.
async fn wrong_password(world: &World, server: &Postgres, operator: &Operator) {
    let keys = secret(world, TENANTS, "one-connection").await;
    let mut admin = server.connect_admin().await.unwrap();
    let change = format!("ALTER ROLE {} PASSWORD 'somebody-elses'", keys["user"]);
    sqlx::raw_sql(AssertSqlSafe(change)).execute(&mut admin).await.unwrap();
    let down = unavailable(world, "one", "LoginFailed").await;
    let message = condition(&down, "Available").2;
    assert!(message.contains("stagesub.io/rotate-requested-at"), "{message}");
    assert!(!down.to_string().contains(&keys["password"]), "{message}");
    assert!(
        is_true(&object(world, "two").await, "Available"),
        "its neighbour is served"
    );
    // Each refused login makes the next one wait longer.
    let refused = probes(operator, "LoginFailed").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(probes(operator, "LoginFailed").await <= refused + 1);
    let now =
        json!({"metadata": {"annotations": {"stagesub.io/rotate-requested-at": "2026-11-28T18:00:00Z"}}}).to_string();
    world
        .kubectl(["patch", "orch", "one", "-n", TENANTS, "--type=merge", "-p", &now])
        .unwrap();
    available(world, "one").await;
    let renewed = secret(world, TENANTS, "one-connection").await;
    assert_ne!(renewed["user"], keys["user"]);
    drop(login(&renewed["DATABASE_URL"]).await.unwrap());

    // What is gone has no metrics.
    world
        .kubectl(["delete", "orch", "two", "-n", TENANTS, "--wait=true"])
        .unwrap();
    soon("the metrics go", async || {
        let page = page(operator).await;
        page.contains("name=\"one\"") && !page.contains("name=\"two\"")
    })
    .await;
}

fn power(world: &World, state: &str) {
    let change = json!({"spec": {"powerState": state}}).to_string();
    world
        .kubectl(["patch", "orch", "one", "-n", TENANTS, "--type=merge", "-p", &change])
        .unwrap();
}

/// A paused database, the logins of which are shut, is left alone.
async fn paused(world: &World, operator: &Operator) {
    power(world, "Paused");
    unavailable(world, "one", "Paused").await;
    let all = async || {
        let page = page(operator).await;
        let lines = page.lines().filter(|line| line.starts_with("orchestra_probes_total{"));
        lines.map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    let before = all().await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(all().await, before, "no probe");
    let object = object(world, "one").await;
    assert!(
        object["status"]["health"].is_null() && is_true(&object, "Ready"),
        "{object:#}"
    );
    power(world, "Running");
    available(world, "one").await;
    probed(operator, "Ready", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hosted_project_is_probed_through_its_poolers_as_the_sample_says() {
    let world = generous_world().await;
    world.store_token().unwrap();
    let operator = operator(&world, "operator");
    let folder = project().join("deploy/samples/health");
    all_files_are_named(&folder);
    world.kubectl(["apply", "-k", folder.to_str().unwrap()]).unwrap();
    ready(&world, "watched-trio").await;
    // As often as the operator's flag says.
    let change = r#"{"spec": {"health": {"interval": null}}}"#;
    world
        .kubectl(["patch", "orchclass", "watched", "--type=merge", "-p", change])
        .unwrap();
    probed(&operator, "Ready", 2).await;
    let limit = format!(
        "orchestra_tenant_connections_limit{{class=\"watched\",namespace=\"{TENANTS}\",name=\"watched-trio\",scope=\"login\"}} 20"
    );
    soon(&limit, async || page(&operator).await.contains(&limit)).await;

    let mode = r#"{"spec": {"connection": {"mode": "TransactionPooler"}}}"#;
    world
        .kubectl([
            "patch",
            "orch",
            "watched-trio",
            "-n",
            TENANTS,
            "--type=merge",
            "-p",
            mode,
        ])
        .unwrap();
    let published =
        async || secret(&world, TENANTS, "watched-trio-connection").await["DATABASE_URL"].contains("pgbouncer");
    soon("the Secret has the other pooler", published).await;
    ready(&world, "watched-trio").await;
    probed(&operator, "Ready", 2).await;
    available(&world, "watched-trio").await;
    let counted = page(&operator).await;
    let failed = counted
        .lines()
        .find(|line| line.starts_with("orchestra_probes_total{") && !line.contains("Ready"));
    assert_eq!(failed, None);
}
