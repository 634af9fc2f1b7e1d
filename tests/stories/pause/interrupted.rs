//! A pause of a pool's database whose operator dies, whose Secrets are lost, and whose server is down.

use orchestra_sandbox::gate::{Point, Release};
use orchestra_sandbox::loopback;
use orchestra_sandbox::postgres::Postgres;
use orchestra_sandbox::world::{Kind, SYSTEM, TENANTS, World, condition, is_true};
use serde_json::{Value, json};

use super::{paused, power};
use crate::proof::{generous_world, soon};
use crate::support::{LONG, gate, login, orchestra, ready, secret, sources, standard_class};

/// Waits until the condition Reconciling has this text.
async fn told(world: &World, text: &str) -> Value {
    let is = |object: &Value| condition(object, "Reconciling").2.contains(text);
    let object = world.until(Kind::Orchestra, (TENANTS, "tour"), LONG, is).await.unwrap();
    assert_eq!(condition(&object, "Reconciling").1, "DatabaseUnreachable", "{object:#}");
    assert!(!is_true(&object, "Stalled"), "{object:#}");
    object
}

async fn url(world: &World) -> String {
    secret(world, TENANTS, "tour-connection").await["DATABASE_URL"].clone()
}

async fn runs(world: &World) {
    let runs = |object: &Value| is_true(object, "Available") && condition(object, "Ready").1 == "Ready";
    world
        .until(Kind::Orchestra, (TENANTS, "tour"), LONG, runs)
        .await
        .unwrap();
    drop(login(&url(world).await).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "one story, in its order")]
async fn a_pause_goes_on_whatever_is_lost_or_down() {
    let world = generous_world().await;
    let dir = tempfile::tempdir().unwrap();
    let mut server = Postgres::start(dir.path(), loopback::address()).await.unwrap();
    let entry = server.create_database("one", "one_owner", "owner").await.unwrap();
    world
        .store_secret("database-pool", "DATABASE_URL_POOL_1", &entry)
        .unwrap();
    let legacy = server.is_legacy();
    world
        .apply(&format!(
            "{{apiVersion: stagesub.io/v1alpha1, kind: OrchestraPool, metadata: {{name: house}}, \
             spec: {{static: {{secretRef: {{name: database-pool}}, allowLegacyServers: {legacy}}}}}}}"
        ))
        .unwrap();
    standard_class(&world, "  pools: {names: [house], policy: PoolOnly}");
    sources(&world);
    let gate = gate(&world).await;
    let operator = |name: &str| {
        let through = |command: &mut std::process::Command| {
            command
                .env("KUBECONFIG", gate.kubeconfig())
                .env("ORCHESTRA_LEASE_DURATION", "8s");
        };
        world.operator(name, through).unwrap()
    };
    let mut first = operator("first");
    soon("it leads", async || first.log().contains("leading")).await;
    let _second = operator("second");
    orchestra(&world, "tour", "");
    ready(&world, "tour").await;
    let published = url(&world).await;

    // The logins are disabled, nothing says so yet, and the other operator continues.
    gate.follow("tour");
    gate.hold_text("tour", "PATCH orchestras/status", "pausedSince", Point::Before);
    power(&world, "tour", "Paused");
    soon("it is about to say so", async || gate.held("tour").is_some()).await;
    assert!(login(&published).await.is_err(), "its login is shut");
    first.kill().unwrap();
    gate.release("tour", Release::Lose);
    paused(&world, "tour").await;

    // What was published is given back, and the login stays shut.
    for lost in [true, false] {
        if lost {
            world
                .kubectl(["delete", "secret", "tour-connection", "-n", TENANTS])
                .unwrap();
        } else {
            let wrong = json!({"stringData": {"DATABASE_URL": "postgresql://elsewhere"}}).to_string();
            world
                .kubectl(["patch", "secret", "tour-connection", "-n", TENANTS, "-p", &wrong])
                .unwrap();
        }
        soon("it is given back", async || {
            let found = world.get(Kind::Secret, TENANTS, "tour-connection").await.unwrap();
            found.is_some() && url(&world).await == published
        })
        .await;
    }
    let object = paused(&world, "tour").await;
    assert!(login(&published).await.is_err(), "its login is shut");

    // The password is lost, and the server is down when the pause is to end, and when the next one is to begin.
    let stored = format!("{}-tenant", object["status"]["databaseName"].as_str().unwrap());
    world.kubectl(["delete", "secret", &stored, "-n", SYSTEM]).unwrap();
    server.stop();
    power(&world, "tour", "Running");
    let object = told(&world, "logins cannot be opened now").await;
    assert!(!is_true(&object, "Available"), "{object:#}");
    server.restart().await.unwrap();
    runs(&world).await;
    assert_ne!(url(&world).await, published, "it has a new password");
    server.stop();
    power(&world, "tour", "Paused");
    told(&world, "logins cannot be shut now").await;
    server.restart().await.unwrap();
    paused(&world, "tour").await;
    assert!(login(&url(&world).await).await.is_err(), "its login is shut");
    world
        .kubectl(["delete", "orch", "tour", "-n", TENANTS, "--timeout=60s"])
        .unwrap();
}
