//! Pools that make their members: from `replicas` to a claim in a moment, and back.

use orchestra_sandbox::api::Operation;
use orchestra_sandbox::world::{Kind, SYSTEM, TENANTS, World, condition, is_true};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use crate::process::get;
use crate::proof::{generous_world, owner_url, soon};
use crate::samples::all_files_are_named;
use crate::support::{LONG, gone, login, project, ready, scalar, secret, standard_class};

/// A class with a template, whose seed names no tenant, and the pool `warm`.
pub fn class(world: &World, more: &str) {
    world
        .apply(&format!(
            r#"
apiVersion: v1
kind: ConfigMap
metadata: {{name: symphony, namespace: {SYSTEM}}}
data:
  1_members.sql: CREATE TABLE "Member" (id serial PRIMARY KEY, name text NOT NULL);
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: symphony-seed, namespace: {SYSTEM}}}
data:
  seed.sql: INSERT INTO "Member" (name) VALUES ('Ada'), (:'setting_second');
"#
        ))
        .unwrap();
    standard_class(
        world,
        &format!(
            "  template: symphony\n  templates:\n  - name: symphony\n    version: '1'\n    \
             migrations: {{format: Prisma, source: {{configMapRef: {{name: symphony}}}}}}\n    \
             seed: {{configMapRef: {{name: symphony-seed}}}}\n    settings: {{second: Bo}}\n{more}"
        ),
    );
}

pub fn pool(world: &World, name: &str, replicas: u32, more: &str) {
    world
        .apply(&format!(
            "{{apiVersion: stagesub.io/v1alpha1, kind: OrchestraPool, metadata: {{name: {name}}}, \
             spec: {{className: standard, replicas: {replicas}{more}}}}}"
        ))
        .unwrap();
}

pub fn tenant(world: &World, name: &str, spec: &str) {
    world
        .apply(&format!(
            "{{apiVersion: stagesub.io/v1alpha1, kind: Orchestra, metadata: {{name: {name}, namespace: {TENANTS}}}, spec: {{{spec}}}}}"
        ))
        .unwrap();
}

/// Waits until so many members of the pool `warm` wait for a claim, and no others are there.
async fn filled(world: &World, members: i64) -> Value {
    let is = |pool: &Value| {
        pool["status"]["available"] == members && pool["status"]["replicas"] == members && is_true(pool, "Ready")
    };
    world.until(Kind::Pool, ("", "warm"), LONG, is).await.unwrap()
}

/// The members that wait for a claim.
pub async fn waiting(world: &World) -> Vec<Value> {
    let mut all = world.list(Kind::Database).await.unwrap();
    all.retain(|it| it["spec"]["claimRef"].is_null() && it["metadata"]["deletionTimestamp"].is_null());
    all
}

fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap().to_owned()
}

/// Projects that are there now.
fn alive(world: &World) -> usize {
    let all = world.api.ledger().projects();
    all.iter().filter(|project| project.deleted.is_none()).count()
}

async fn count(world: &World, database: &str, table: &str) -> i64 {
    let mut session = login(&owner_url(&secret(world, SYSTEM, database).await)).await.unwrap();
    sqlx::query_scalar(AssertSqlSafe(format!("SELECT count(*) FROM {table}")))
        .fetch_one(&mut session)
        .await
        .unwrap_or(-1)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_is_scaled_claimed_from_rolled_out_to_and_deleted() {
    let world = generous_world().await;
    class(&world, "  pools: {names: [warm], policy: PoolFirst}");
    let operator = world
        .operator("operator", |command| {
            command.arg("--resync=2s");
        })
        .unwrap();
    pool(&world, "warm", 1, "");
    filled(&world, 1).await;
    world.kubectl(["scale", "orchpool/warm", "--replicas=3"]).unwrap();
    let warm = filled(&world, 3).await;
    let scale = world
        .kubectl(["get", "--raw", "/apis/stagesub.io/v1alpha1/orchestrapools/warm/scale"])
        .unwrap();
    let scale: Value = serde_json::from_str(&scale).unwrap();
    assert_eq!(
        (&scale["spec"]["replicas"], &scale["status"]["replicas"]),
        (&json!(3), &json!(3))
    );
    let selector = scale["status"]["selector"].as_str().unwrap();
    assert_eq!(warm["status"]["selector"], selector);
    let selected = || world.kubectl(["get", "orchdb", "-o", "name", "-l", selector]).unwrap();
    assert_eq!(selected().lines().count(), 3);
    let refused = world.kubectl(["scale", "orchpool/warm", "--replicas=10001"]);
    assert!(refused.is_err_and(|error| error.to_string().contains("less than or equal to 10000")));
    for member in waiting(&world).await {
        assert_eq!(count(&world, &name(&member), "\"Member\"").await, 2, "{member:#}");
    }

    // A claim takes a member with all in it, and the pool makes another one.
    tenant(&world, "first", "");
    let first = ready(&world, "first").await;
    let claimed = first["status"]["databaseName"].as_str().unwrap().to_owned();
    let database = world.get(Kind::Database, "", &claimed).await.unwrap().unwrap();
    assert_eq!(database["spec"]["pool"], "warm");
    assert_eq!(database["spec"]["reclaimPolicy"], "Retain", "it is the tenant's now");
    assert_eq!(first["status"]["migrations"]["applied"], 1);
    let url = &secret(&world, TENANTS, "first-connection").await["DATABASE_URL"];
    let mut session = login(url).await.unwrap();
    assert_eq!(scalar(&mut session, "SELECT count(*) FROM \"Member\"").await, 2);
    sqlx::query("INSERT INTO \"Member\" (name) VALUES ('Cleo')")
        .execute(&mut session)
        .await
        .unwrap();
    let is_bound = |pool: &Value| pool["status"]["bound"] == 1;
    world.until(Kind::Pool, ("", "warm"), LONG, is_bound).await.unwrap();
    filled(&world, 3).await;
    assert_eq!(selected().lines().count(), 3);
    assert_eq!(
        (alive(&world), world.api.ledger().count(Operation::CreateProject)),
        (4, 4)
    );
    let shown = world.kubectl(["get", "orchpool", "warm"]).unwrap();
    let cells: Vec<_> = shown.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(cells[..6], ["warm", "True", "standard", "3", "3", "1"], "{shown}");
    soon("the metrics tell of it", async || {
        let (_, page) = get(&operator, "/metrics").await;
        page.contains(r#"orchestra_pool_databases{pool="warm",state="available"} 3"#)
    })
    .await;

    // A rollout reaches the members that wait.
    let more = json!({"data": {"2_concerts.sql": "CREATE TABLE \"Concert\" (id serial PRIMARY KEY);"}}).to_string();
    world
        .kubectl(["patch", "configmap", "symphony", "-n", SYSTEM, "-p", &more])
        .unwrap();
    soon("every member has the new table", async || {
        let mut all = true;
        for member in waiting(&world).await {
            all &= count(&world, &name(&member), "\"Concert\"").await == 0;
        }
        all
    })
    .await;
    filled(&world, 3).await;
    let updated = |object: &Value| is_true(object, "Ready") && object["status"]["migrations"]["applied"] == 2;
    world
        .until(Kind::Orchestra, (TENANTS, "first"), LONG, updated)
        .await
        .unwrap();

    old_members_are_replaced(&world).await;
    deleted(&world, &claimed).await;
}

/// The pool is scaled down to one, and that one is old.
async fn old_members_are_replaced(world: &World) {
    world.kubectl(["scale", "orchpool/warm", "--replicas=1"]).unwrap();
    filled(world, 1).await;
    soon("their projects are destroyed", async || alive(world) == 2).await;
    let old = name(&waiting(world).await[0]);
    let status = json!({"status": {"usableSince": "2026-01-01T00:00:00Z"}}).to_string();
    world
        .kubectl([
            "patch",
            "orchdb",
            &old,
            "--subresource=status",
            "--type=merge",
            "-p",
            &status,
        ])
        .unwrap();
    world
        .kubectl([
            "patch",
            "orchpool",
            "warm",
            "--type=merge",
            "-p",
            r#"{"spec": {"memberLifetime": "1h"}}"#,
        ])
        .unwrap();
    gone(world, Kind::Database, "", &old).await;
    filled(world, 1).await;
    assert_ne!(name(&waiting(world).await[0]), old);
    let created = world.api.ledger().projects();
    let (new, before) = (
        created.last().unwrap(),
        created.iter().find(|it| it.name.contains(&old[7..])),
    );
    let before = before.unwrap();
    assert!(
        before.deleted.is_some_and(|deleted| deleted > new.created),
        "the new one first"
    );
    assert_eq!(alive(world), 2);
}

/// The pool goes with what nobody has claimed, and no further.
async fn deleted(world: &World, claimed: &str) {
    world.kubectl(["delete", "orchpool", "warm", "--timeout=60s"]).unwrap();
    soon("only the claimed one is left", async || {
        let left = world.list(Kind::Database).await.unwrap();
        left.len() == 1 && alive(world) == 1
    })
    .await;
    assert_eq!(name(&world.list(Kind::Database).await.unwrap()[0]), claimed);
    ready(world, "first").await;
    let url = &secret(world, TENANTS, "first-connection").await["DATABASE_URL"];
    let mut session = login(url).await.unwrap();
    assert_eq!(scalar(&mut session, "SELECT count(*) FROM \"Member\"").await, 3);
    late_member(world, claimed).await;
    assert!(world.api.violations().is_empty());
}

/// A member that an operator makes which stood still while the pool was deleted: nothing is bought for it.
async fn late_member(world: &World, claimed: &str) {
    let like = world.get(Kind::Database, "", claimed).await.unwrap().unwrap();
    let created = world.api.ledger().projects().len();
    let late = "orchdb-00000000-0000-4000-8000-000000000000";
    let member = json!({
        "apiVersion": "stagesub.io/v1alpha1", "kind": "OrchestraDatabase", "metadata": {"name": late},
        "spec": {"className": "standard", "pool": "warm", "reclaimPolicy": "Delete",
            "supabase": {"name": format!("pool-warm-{late}"), "region": like["spec"]["supabase"]["region"]}},
    });
    world.apply(&member.to_string()).unwrap();
    gone(world, Kind::Database, "", late).await;
    assert_eq!(world.api.ledger().projects().len(), created);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_bounds_the_pool_and_stops_no_orchestra() {
    let world = generous_world().await;
    class(
        &world,
        "  pools: {names: [warm], policy: PoolFirst}\n  budget: {maxProjects: 2}",
    );
    let _operator = world.operator("operator", |_| {}).unwrap();
    pool(&world, "warm", 3, "");
    let full = |pool: &Value| pool["status"]["available"] == 2 && condition(pool, "Stalled").1 == "ProjectLimitReached";
    let warm = world.until(Kind::Pool, ("", "warm"), LONG, full).await.unwrap();
    assert!(
        condition(&warm, "Ready").2.contains("raise spec.budget.maxProjects"),
        "{warm:#}"
    );
    for name in ["first", "second"] {
        tenant(&world, name, "");
        ready(&world, name).await;
    }
    // The class has no room for a third one, and that is the Orchestra's to wait for.
    tenant(&world, "third", "");
    let held = |object: &Value| condition(object, "Stalled").1 == "ProjectLimitReached";
    world
        .until(Kind::Orchestra, (TENANTS, "third"), LONG, held)
        .await
        .unwrap();
    assert_eq!(world.api.ledger().count(Operation::CreateProject), 2);
    // With room for one, it goes to the Orchestra that waits, and not to the pool.
    class(
        &world,
        "  pools: {names: [warm], policy: PoolFirst}\n  budget: {maxProjects: 3}",
    );
    ready(&world, "third").await;
    assert_eq!(world.api.ledger().count(Operation::CreateProject), 3);
    let warm = world.get(Kind::Pool, "", "warm").await.unwrap().unwrap();
    assert_eq!(
        (&warm["status"]["available"], &warm["status"]["bound"]),
        (&json!(0), &json!(2))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sample_has_a_database_that_waits() {
    let world = generous_world().await;
    world.store_token().unwrap();
    let _operator = world.operator("operator", |_| {}).unwrap();
    let folder = project().join("deploy/samples/warm-pool");
    all_files_are_named(&folder);
    world.kubectl(["apply", "-k", folder.to_str().unwrap()]).unwrap();
    let object = ready(&world, "warm-start").await;
    assert_eq!(object["status"]["migrations"]["applied"], 2);
    let full = |pool: &Value| pool["status"]["available"] == 2 && is_true(pool, "Ready");
    world.until(Kind::Pool, ("", "warm-eu"), LONG, full).await.unwrap();
    for member in waiting(&world).await {
        assert_eq!(count(&world, &name(&member), "public.piece").await, 3);
    }
    // With a database that waits, the next one is one of the pool.
    tenant(&world, "next", "className: warm");
    let next = ready(&world, "next").await;
    let database = next["status"]["databaseName"].as_str().unwrap();
    let database = world.get(Kind::Database, "", database).await.unwrap().unwrap();
    assert_eq!(database["spec"]["pool"], "warm-eu");
}
