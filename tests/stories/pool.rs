//! Databases from a static pool: the fallback without a token, exhaustion, and refused or hanging entries.

use std::time::{Duration, Instant};

use orchestra_sandbox::gate::{Point, Release};
use orchestra_sandbox::random;
use orchestra_sandbox::world::{Kind, SYSTEM, TENANTS, World, condition, is_true};
use serde_json::json;
use sqlx::AssertSqlSafe;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use self::recycled::recycle;
use crate::entries::patch_inventory;
use crate::proof::soon;
use crate::support::{
    LONG, gate, gone, kill, login, orchestra, ready, reason, scalar, secret, sources, standard_class, world,
};

mod recycled;
mod retried;

/// Databases on one server, each with an owner of its own; their URLs as the inventory's entries.
pub async fn inventory(world: &World, names: &[&str]) -> Vec<String> {
    let mut entries = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let server = world.api.postgres().expect("the stand-in started a server");
        let url = server
            .create_database(name, &format!("{name}_owner"), &random::alphanumeric(20))
            .await
            .unwrap();
        entries.push(format!(
            "DATABASE_URL_POOL_{}: {}",
            index + 1,
            serde_json::to_string(&url).unwrap()
        ));
    }
    entries
}

/// The inventory's Secret and its pool `house`.
pub fn house(world: &World, entries: &[String]) {
    house_with(world, entries, "");
}

/// Takes an entry out of the inventory.
fn remove_entry(world: &World, number: usize) {
    patch_inventory(world, &json!({"data": {format!("DATABASE_URL_POOL_{number}"): null}}));
}

/// The same as [`house`], with more in the pool's `static`.
fn house_with(world: &World, entries: &[String], more: &str) {
    let data = entries.join("\n  ");
    let legacy = world.is_legacy();
    world
        .apply(&format!(
            "
apiVersion: v1
kind: Secret
metadata: {{name: database-pool, namespace: {SYSTEM}}}
stringData:
  {data}
---
apiVersion: stagesub.io/v1alpha1
kind: OrchestraPool
metadata: {{name: house}}
spec: {{static: {{secretRef: {{name: database-pool}}, allowLegacyServers: {legacy}{more}}}}}
"
        ))
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "one story, in its order")]
async fn without_a_token_the_pool_meets_the_claim() {
    let world = world().await;
    let gate = gate(&world).await;
    let start = |name: &str| {
        let through = |command: &mut std::process::Command| {
            command.env("KUBECONFIG", gate.kubeconfig());
        };
        world.operator(name, through).unwrap()
    };
    let mut operator = start("operator");
    standard_class(&world, "  pools: {names: [house]}");
    sources(&world);
    // Killed while entries are taken in, and while one leaves.
    let entries = inventory(&world, &["one", "two", "three"]).await;
    gate.follow("house");
    for (method, point, release, inventory) in [
        ("POST", Point::Before, Release::Lose, &entries[..2]),
        ("POST", Point::After, Release::Pass, &entries[..]),
        ("DELETE", Point::Before, Release::Lose, &entries[..2]),
        ("DELETE", Point::After, Release::Pass, &entries[..1]),
    ] {
        gate.hold_text("house", &format!("{method} orchestradatabases"), "", point);
        match method {
            "POST" => house(&world, inventory),
            _ => remove_entry(&world, inventory.len() + 1),
        }
        let name = format!("{method}-{point:?}").to_lowercase();
        soon(&name, async || gate.held("house").is_some()).await;
        kill(&world, &mut operator);
        gate.release("house", release);
        operator = start(&name);
        soon("the pool has a member for each entry", async || {
            let pool = world.get(Kind::Pool, "", "house").await.unwrap().unwrap_or_default();
            let members = world.list(Kind::Database).await.unwrap().len();
            pool["status"]["available"] == inventory.len() && members == inventory.len()
        })
        .await;
    }
    house(&world, &entries[..2]);
    let filled = |pool: &serde_json::Value| pool["status"]["available"] == 2;
    world.until(Kind::Pool, ("", "house"), LONG, filled).await.unwrap();
    orchestra(&world, "cloud", "");
    let cloud = ready(&world, "cloud").await;
    assert!(cloud["status"]["project"]["ref"].is_string());

    world
        .kubectl(["delete", "secret", "supabase-token", "-n", SYSTEM])
        .unwrap();
    let missing = |class: &serde_json::Value| condition(class, "Available").1 == "TokenMissing";
    let class = world.until(Kind::Class, ("", "standard"), LONG, missing).await.unwrap();
    assert!(
        condition(&class, "Available").2.contains("Secret supabase-token"),
        "{class:#}"
    );
    orchestra(&world, "pooled", "");
    let pooled = ready(&world, "pooled").await;
    assert_eq!(pooled["status"]["project"], serde_json::Value::Null);
    let keys = secret(&world, TENANTS, "pooled-connection").await;
    assert!(
        !keys.keys().any(|key| key.starts_with("SUPABASE")),
        "an entry of a pool has no project"
    );
    let mut tenant = login(&keys["DATABASE_URL"]).await.unwrap();
    assert_eq!(scalar(&mut tenant, r#"SELECT count(*) FROM "Member""#).await, 3);
    let cloud = world.get(Kind::Orchestra, TENANTS, "cloud").await.unwrap().unwrap();
    assert!(
        is_true(&cloud, "Ready"),
        "a tenant in use does not need the token: {cloud:#}"
    );
    assert_eq!(world.api.ledger().projects().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exhausted_pool_is_waited_for() {
    let world = world().await;
    let _operator = world.operator("operator", |_| {}).unwrap();
    sources(&world);
    let entries = inventory(&world, &["one", "two"]).await;
    house(&world, &[entries[0].clone(), "DATABASE_URL_POOL_9: no-url".into()]);
    let probed = |pool: &serde_json::Value| condition(pool, "Ready").1 == "InvalidEntry";
    world.until(Kind::Pool, ("", "house"), LONG, probed).await.unwrap();
    pool_only(&world);
    orchestra(&world, "first", "");
    ready(&world, "first").await;
    orchestra(&world, "second", "");
    let waiting = reason(&world, "second", "PoolExhausted").await;
    assert!(
        is_true(&waiting, "Reconciling") && !is_true(&waiting, "Stalled"),
        "{waiting:#}"
    );
    let message = condition(&waiting, "Ready").2;
    assert!(
        message
            .contains("1 of 2 entries cannot be used: DATABASE_URL_POOL_9 (InvalidEntry), as OrchestraPool house says"),
        "{message}"
    );
    house(&world, &entries);
    ready(&world, "second").await;
}

pub fn pool_only(world: &World) {
    world
        .apply(
            r#"
apiVersion: stagesub.io/v1alpha1
kind: OrchestraClass
metadata: {name: standard, annotations: {stagesub.io/is-default-class: "true"}}
spec: {pools: {names: [house], policy: PoolOnly}}
"#,
        )
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_cannot_be_used_is_refused_and_holds_up_no_other() {
    let world = world().await;
    let _operator = world.operator("operator", |_| {}).unwrap();
    let mut entries = inventory(&world, &["one"]).await;
    let again = entries[0]
        .replace("POOL_1", "POOL_2")
        .replace("sslmode=disable", "sslmode=disable&application_name=x");
    entries.push(again);
    let admin = world.api.postgres().unwrap().admin_url();
    entries.push(format!(
        "DATABASE_URL_POOL_3: {}",
        serde_json::to_string(&admin).unwrap()
    ));
    entries.push("DATABASE_URL_POOL_4: not-a-url-with-a-hush-hush-word".into());
    house(&world, &entries);
    // Entries are probed in the background, and the status tells meanwhile which ones it waits for.
    let told = |pool: &serde_json::Value| {
        let (stalled, _, message) = condition(pool, "Stalled");
        pool["status"]["available"] == 1 && stalled == "True" && message.contains("leads to the same")
    };
    let pool = world.until(Kind::Pool, ("", "house"), LONG, told).await.unwrap();
    assert!(!is_true(&pool, "Ready"));
    let (_, _, message) = condition(&pool, "Stalled");
    // Whichever of the two answered first is in the pool, and the other one is reported as its duplicate.
    let double = |refused: &str, kept: &str| {
        message.contains(&format!(
            "{refused}: leads to the same server and database as {kept} of pool house"
        ))
    };
    assert!(
        double("DATABASE_URL_POOL_2", "DATABASE_URL_POOL_1") || double("DATABASE_URL_POOL_1", "DATABASE_URL_POOL_2"),
        "{message}"
    );
    assert!(message.contains("superuser"), "{message}");
    assert!(!message.contains("hush-hush"), "{message}");
    assert_eq!(world.list(Kind::Database).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_released_entry_is_never_handed_to_another_tenant() {
    let world = world().await;
    let _operator = world.operator("operator", |_| {}).unwrap();
    sources(&world);
    house(&world, &inventory(&world, &["one"]).await);
    pool_only(&world);
    orchestra(&world, "first", "  deletionPolicy: Delete");
    ready(&world, "first").await;
    world
        .kubectl(["delete", "orch", "first", "-n", TENANTS, "--timeout=60s"])
        .unwrap();
    let database = world.list(Kind::Database).await.unwrap().remove(0);
    let name = database["metadata"]["name"].as_str().unwrap().to_string();
    let released = |object: &serde_json::Value| object["status"]["phase"] == "Released";
    world.until(Kind::Database, ("", &name), LONG, released).await.unwrap();
    orchestra(&world, "second", "");
    reason(&world, "second", "PoolExhausted").await;

    // Not even when an admin deletes the resource: the database itself says whose it was.
    world.kubectl(["delete", "orchdb", &name, "--timeout=60s"]).unwrap();
    gone(&world, Kind::Database, "", &name).await;
    let in_use = |pool: &serde_json::Value| condition(pool, "Ready").1 == "InUse";
    let pool = world.until(Kind::Pool, ("", "house"), LONG, in_use).await.unwrap();
    assert!(condition(&pool, "Ready").2.contains("tenants/first"), "{pool:#}");
    reason(&world, "second", "PoolExhausted").await;

    // Nor when the tenant's own script dropped that record.
    admin(&world, "one", "DROP SCHEMA stagesub CASCADE").await;
    let rows = |pool: &serde_json::Value| condition(pool, "Ready").2.contains("somebody's data (public.");
    again(&world, rows).await;
    reason(&world, "second", "PoolExhausted").await;

    recycle(&world).await;
    again(&world, |pool| pool["status"]["bound"] == 1).await;
    ready(&world, "second").await;
}

/// Runs statements as the superuser in a database of the stand-in's server.
pub async fn admin(world: &World, database: &str, sql: &str) {
    let url = world.api.postgres().unwrap().admin_url();
    let mut root = login(&url.replace("/postgres?", &format!("/{database}?")))
        .await
        .unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(&mut root)
        .await
        .unwrap();
}

/// Has the pool look at its entries until it is as it should be.
pub async fn again(world: &World, is: impl Fn(&serde_json::Value) -> bool) {
    soon("the pool has looked again", async || {
        let now = format!("looked-at={}", random::alphanumeric(8));
        world
            .kubectl(["annotate", "orchpool", "house", &now, "--overwrite"])
            .unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        is(&world.get(Kind::Pool, "", "house").await.unwrap().unwrap())
    })
    .await;
}

/// A server that accepts connections and never answers: its address, and when the operator gave up its
/// first connection.
async fn silent_server() -> (String, oneshot::Receiver<Duration>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (given_up, when) = oneshot::channel();
    tokio::spawn(async move {
        let mut given_up = Some(given_up);
        while let Ok((mut connection, _)) = listener.accept().await {
            let (accepted, given_up) = (Instant::now(), given_up.take());
            tokio::spawn(async move {
                let mut sent = [0; 256];
                while connection.read(&mut sent).await.is_ok_and(|count| count > 0) {}
                if let Some(given_up) = given_up {
                    let _ = given_up.send(accepted.elapsed());
                }
            });
        }
    });
    (address, when)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_never_answers_delays_no_claim() {
    let world = world().await;
    let _operator = world.operator("operator", |_| {}).unwrap();
    sources(&world);
    pool_only(&world);
    orchestra(&world, "other", "");
    reason(&world, "other", "PoolExhausted").await;

    let (address, mut given_up) = silent_server().await;
    let usable = inventory(&world, &["one"]).await.remove(0).replace("POOL_1", "POOL_2");
    let silent = format!("DATABASE_URL_POOL_1: \"postgres://owner:secret@{address}/one?sslmode=disable\"");
    house(&world, &[silent, usable]);
    let claimed = |object: &serde_json::Value| object["status"]["databaseName"].is_string();
    world
        .until(Kind::Orchestra, (TENANTS, "other"), LONG, claimed)
        .await
        .unwrap();
    assert!(
        given_up.try_recv().is_err(),
        "the claim was met while the first key's entry was still being probed"
    );
    ready(&world, "other").await;

    let told = |pool: &serde_json::Value| {
        pool["status"]["bound"] == 1 && condition(pool, "Reconciling").1 == "DatabaseUnreachable"
    };
    let pool = world.until(Kind::Pool, ("", "house"), LONG, told).await.unwrap();
    let (_, _, message) = condition(&pool, "Ready");
    assert!(message.starts_with("DATABASE_URL_POOL_1: "), "{message}");
    let member = world.list(Kind::Database).await.unwrap().remove(0);
    assert_eq!(member["spec"]["pool"], "house", "{member:#}");
}
