//! Pools that make their members: from `replicas` to a claim in a moment, and back.

mod budget;

use orchestra_sandbox::api::{Fault, Operation};
use orchestra_sandbox::world::{Kind, SYSTEM, TENANTS, World, condition, is_true};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use crate::process::get;
use crate::proof::{generous_world, owner_url, soon};
use crate::samples::all_files_are_named;
use crate::support::{LONG, gone, login, patch_status, project, ready, scalar, secret, standard_class};

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
  seed.sql: INSERT INTO "Member" (id, name) VALUES (70, 'Ada'), (71, :'setting_second');
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
    let Ok(mut session) = login(&owner_url(&secret(world, SYSTEM, database).await)).await else {
        return -1;
    };
    sqlx::query_scalar(AssertSqlSafe(format!("SELECT count(*) FROM {table}")))
        .fetch_one(&mut session)
        .await
        .unwrap_or(-1)
}

/// The oid of a role in a member's project, by a condition on its name; 0 where there is none.
async fn role(world: &World, database: &str, named: &str) -> i64 {
    let mut session = login(&owner_url(&secret(world, SYSTEM, database).await)).await.unwrap();
    let query = format!("SELECT coalesce(max(oid::text::int8), 0) FROM pg_roles WHERE rolname::text {named}");
    sqlx::query_scalar(AssertSqlSafe(query))
        .fetch_one(&mut session)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "one story, in its order")]
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
    // The provider fails while the pool is filled: one creation has no effect, and the answer to another one is lost.
    let faults = world.api.faults();
    let down = Fault::Status {
        status: 503,
        retry_after: None,
    };
    faults.add(Operation::CreateProject, 1, down.clone());
    faults.add(Operation::CreateProject, 1, Fault::LoseResponse);
    faults.add(Operation::ListOrganizationProjects, 2, down);
    world.kubectl(["scale", "orchpool/warm", "--replicas=3"]).unwrap();
    let warm = filled(&world, 3).await;
    assert_eq!(alive(&world), 3);
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

    let mut spare = Vec::new();
    for member in waiting(&world).await {
        spare.push(role(&world, &name(&member), "LIKE 'orchestra_spare_%'").await);
    }

    // A claim takes a member with all in it, and the pool makes another one.
    tenant(&world, "first", "");
    let first = ready(&world, "first").await;
    let claimed = first["status"]["databaseName"].as_str().unwrap().to_owned();
    let database = world.get(Kind::Database, "", &claimed).await.unwrap().unwrap();
    assert_eq!(database["spec"]["pool"], "warm");
    assert_eq!(database["spec"]["reclaimPolicy"], "Retain", "it is the tenant's now");
    assert_eq!(first["status"]["migrations"]["applied"], 1);
    let uid = first["metadata"]["uid"].as_str().unwrap().replace('-', "");
    let theirs = role(&world, &claimed, &format!("= 'orchestra_{uid}'")).await;
    assert!(
        theirs > 0 && spare.contains(&theirs),
        "the role that waited is the tenant's: {theirs} of {spare:?}"
    );
    // Nobody was there to be told when the pool ran the migrations and the seed.
    soon("what the pool did is told", async || {
        let told = world
            .kubectl(["get", "events.events.k8s.io", "-n", TENANTS, "-o", "json"])
            .unwrap();
        let all = ["SequenceBehind", "(next 1, highest 71)", "NothingExposed"];
        all.iter().all(|says| told.contains(says))
    })
    .await;
    let url = &secret(&world, TENANTS, "first-connection").await["DATABASE_URL"];
    let mut session = login(url).await.unwrap();
    assert_eq!(scalar(&mut session, "SELECT count(*) FROM \"Member\"").await, 2);
    sqlx::query("INSERT INTO \"Member\" (name) VALUES ('Cleo')")
        .execute(&mut session)
        .await
        .unwrap();
    let bound = |pool: &Value| pool["status"]["bound"] == 1;
    world.until(Kind::Pool, ("", "warm"), LONG, bound).await.unwrap();
    let warm = filled(&world, 3).await;
    assert_eq!(warm["status"]["bound"], 1);
    assert_eq!(selected().lines().count(), 3);
    assert_eq!(
        (alive(&world), world.api.ledger().count(Operation::CreateProject)),
        (4, 5),
        "the one without effect was sent again"
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
    rolled_out_to_members_that_fail(&world).await;
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

/// Migrations change. The server of one member stops while they are applied there, and the owner's password of another
/// one is not the stored one.
async fn rolled_out_to_members_that_fail(world: &World) {
    let members = waiting(world).await;
    let reference = |member: &Value| member["status"]["project"]["ref"].as_str().unwrap().to_owned();
    let (stops, changed) = (reference(&members[0]), reference(&members[1]));
    let mut locks = world.api.project(&stops).await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE \"Member\"")
        .execute(&mut locks)
        .await
        .unwrap();
    let mut admin = world.api.project(&changed).await.unwrap();
    sqlx::raw_sql("ALTER ROLE postgres PASSWORD 'somebody-elses'")
        .execute(&mut admin)
        .await
        .unwrap();
    let concerts = "CREATE TABLE \"Concert\" (id serial PRIMARY KEY); ALTER TABLE \"Member\" ADD seat int;";
    let more = json!({"data": {"2_concerts.sql": concerts}}).to_string();
    world
        .kubectl(["patch", "configmap", "symphony", "-n", SYSTEM, "-p", &more])
        .unwrap();
    let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted";
    soon("the migration waits for the lock", async || {
        scalar(&mut locks, waits).await > 0
    })
    .await;
    world.api.stop_server(&stops).await.unwrap();
    let told = |pool: &Value| {
        let (ready, reason, message) = condition(pool, "Ready");
        ready == "False" && reason == "DatabaseUnreachable" && message.contains(&name(&members[0]))
    };
    world.until(Kind::Pool, ("", "warm"), LONG, told).await.unwrap();
    soon("the password is set, and the member prepared", async || {
        world.api.ledger().count(Operation::UpdatePassword) == 1
            && count(world, &name(&members[1]), "\"Concert\"").await == 0
    })
    .await;
    world.api.start_server(&stops).await.unwrap();
}

/// The pool is scaled down to one, and that one is old.
async fn old_members_are_replaced(world: &World) {
    world.kubectl(["scale", "orchpool/warm", "--replicas=1"]).unwrap();
    filled(world, 1).await;
    soon("their projects are destroyed", async || alive(world) == 2).await;
    let old = name(&waiting(world).await[0]);
    patch_status(world, "orchdb", &old, &json!({"usableSince": "2026-01-01T00:00:00Z"}));
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

/// Where the database of an Orchestra comes from: the pool that it is a member of, or its own Orchestra.
async fn origin(world: &World, orchestra: &str) -> String {
    let object = ready(world, orchestra).await;
    let database = object["status"]["databaseName"].as_str().unwrap();
    let database = world.get(Kind::Database, "", database).await.unwrap().unwrap();
    database["spec"]["pool"].as_str().unwrap_or("cloud").to_owned()
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
    tenant(&world, "next", "className: warm, placement: {near: DE}");
    let next = ready(&world, "next").await;
    let placement = &next["status"]["placement"];
    assert_eq!(placement["region"], "eu-central-1", "{next:#}");
    assert!(
        placement["reason"].as_str().unwrap().contains("nearest region to DE"),
        "{placement:#}"
    );
    let database = next["status"]["databaseName"].as_str().unwrap();
    let database = world.get(Kind::Database, "", database).await.unwrap().unwrap();
    assert_eq!(database["spec"]["pool"], "warm-eu");
}
