//! The Orchestras of one namespace block no other namespace on their server.

use orchestra_sandbox::world::{Kind, TENANTS, World, is_true};
use serde_json::json;

use super::databases;
use crate::pool::pool_only;
use crate::proof::soon;
use crate::support::{LONG, world};

/// The turns of a server, by default.
const PER_SERVER: i64 = 4;

fn orchestra(world: &World, namespace: &str, name: &str, script: &str) {
    let object = json!({
        "apiVersion": "stagesub.io/v1alpha1", "kind": "Orchestra", "metadata": {"name": name, "namespace": namespace},
        "spec": {"migrations": {"format": "Prisma", "source": {"inline": {"1_first.sql": script}}}},
    });
    world.apply(&object.to_string()).unwrap();
}

async fn ready(world: &World, namespace: &str, name: &str) {
    let is = |object: &serde_json::Value| is_true(object, "Ready");
    world.until(Kind::Orchestra, (namespace, name), LONG, is).await.unwrap();
}

/// Scripts that sleep on the server now.
async fn sleeping(world: &World) -> i64 {
    let mut server = world.api.postgres().unwrap().connect_admin().await.unwrap();
    let count = "SELECT count(DISTINCT datname) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    sqlx::query_scalar(count).fetch_one(&mut server).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_of_one_namespace_that_never_end_hold_up_no_other() {
    let world = world().await;
    let _operator = world.operator("operator", |_| {}).unwrap();
    databases(&world, 9).await;
    pool_only(&world);
    for namespace in ["greedy", "new"] {
        world.kubectl(["create", "namespace", namespace]).unwrap();
    }
    orchestra(&world, TENANTS, "first", "CREATE TABLE a ();");
    ready(&world, TENANTS, "first").await;
    for number in 0..=PER_SERVER {
        orchestra(&world, "greedy", &format!("g{number}"), "SELECT pg_sleep(300);");
    }
    soon("they sleep", async || sleeping(&world).await == PER_SERVER - 1).await;

    // Those that are there and those that come are migrated meanwhile, one after another.
    for name in ["second", "third"] {
        orchestra(&world, TENANTS, name, "CREATE TABLE a ();");
        ready(&world, TENANTS, name).await;
    }
    orchestra(&world, "new", "first", "CREATE TABLE a ();");
    ready(&world, "new", "first").await;
    assert_eq!(sleeping(&world).await, PER_SERVER - 1);
}
