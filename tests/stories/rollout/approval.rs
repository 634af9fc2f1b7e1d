//! A rollout that comes to tenants whose migrations a person must approve.

use orchestra_sandbox::world::{Kind, TENANTS, World, condition, is_true};
use serde_json::{Value, json};

use super::{
    FIRST, all_have, change, class, databases, has_table, names, orchestra, phase, rollout, source, tenant, tenants,
};
use crate::approval::config_map;
use crate::orphans::command;
use crate::proof::soon;
use crate::support::{LONG, reason, world};

/// It deletes the rows of tenants that have some, and changes nothing for the others.
const TIDY: (&str, &str) = ("2_tidy", "DELETE FROM \"Member\"; CREATE TABLE tidy (id int);");

/// Gives a tenant something to lose.
async fn fill(world: &World, name: &str) {
    let mut session = tenant(world, name).await;
    sqlx::query("INSERT INTO \"Member\" VALUES (1)")
        .execute(&mut session)
        .await
        .unwrap();
}

async fn members(world: &World, name: &str) -> i64 {
    let mut session = tenant(world, name).await;
    sqlx::query_scalar("SELECT count(*) FROM \"Member\"")
        .fetch_one(&mut session)
        .await
        .unwrap()
}

/// Waits until the tenant's plan waits, and tells its digest.
async fn held(world: &World, name: &str) -> String {
    let object = reason(world, name, "ApprovalPending").await;
    assert!(is_true(&object, "Available"), "{object:#}");
    let plan = &object["status"]["migrations"]["plan"];
    plan["digest"].as_str().unwrap().to_owned()
}

fn approve(world: &World, name: &str, digest: &str) {
    let approved = command(world, &["approve", "-n", TENANTS, name, "--digest", digest]);
    assert!(approved.status.success(), "{approved:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_approval_holds_up_nobody_and_comes_next_once_approved() {
    let world = world().await;
    let mut operator = world.operator("first", |_| {}).unwrap();
    databases(&world, 3).await;
    source(&world, &[FIRST]);
    class(&world, "{maxConcurrent: 1}");
    let all = names(3);
    tenants(&world, &all, None);
    all_have(&world, &all, 1).await;
    // The oldest, whose turn is first.
    fill(&world, "t0").await;
    source(&world, &[FIRST, TIDY]);
    all_have(&world, &all[1..], 2).await;
    let digest = held(&world, "t0").await;
    let waits = |is: &Value| is["held"] == 1 && is["updated"] == 2;
    let is = rollout(&world, waits).await["status"]["rollout"].clone();
    assert_eq!(
        (&is["phase"], &is["failed"], &is["pending"]),
        (&json!("Rolling"), &json!(0), &json!(0)),
        "{is:#}"
    );
    let told = command(&world, &["rollout", "status", "standard"]);
    assert_eq!(
        String::from_utf8_lossy(&told.stdout),
        "Waiting for rollout of class standard to finish: 2 of 3 tenants updated, 1 wait for approval...\n"
    );
    assert_eq!(members(&world, "t0").await, 1);

    // Another operator sees the same.
    operator.kill().unwrap();
    operator = world.operator("second", |_| {}).unwrap();
    assert_eq!(held(&world, "t0").await, digest);
    rollout(&world, waits).await;

    // A word on the plan is none on a rollout that is paused.
    change(&world, &json!({"paused": true}));
    rollout(&world, phase("Paused")).await;
    approve(&world, "t0", &digest);
    let object = reason(&world, "t0", "RolloutPending").await;
    assert!(is_true(&object, "Available"), "{object:#}");
    assert_eq!(object["status"]["migrations"]["plan"], Value::Null);
    assert_eq!(members(&world, "t0").await, 1);
    change(&world, &json!({"paused": false}));
    all_have(&world, &all, 2).await;
    let is = rollout(&world, phase("Complete")).await["status"]["rollout"].clone();
    assert_eq!((&is["updated"], &is["held"]), (&json!(3), &json!(0)), "{is:#}");
    assert_eq!(members(&world, "t0").await, 0);
    drop(operator);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_that_waits_is_waited_for_until_it_is_approved_or_the_source_changes() {
    let world = world().await;
    let _operator = world.operator("operator", |_| {}).unwrap();
    databases(&world, 3).await;
    source(&world, &[FIRST]);
    class(&world, "{canary: {selector: {matchLabels: {tier: canary}}}}");
    let all = names(3);
    tenants(&world, &all, Some("t2"));
    all_have(&world, &all, 1).await;
    fill(&world, "t2").await;
    source(&world, &[FIRST, TIDY]);
    held(&world, "t2").await;
    let is = rollout(&world, |is| is["held"] == 1).await["status"]["rollout"].clone();
    assert_eq!((&is["phase"], &is["pending"]), (&json!("Canary"), &json!(2)), "{is:#}");
    assert_eq!(orchestra(&world, "t0").await["status"]["migrations"]["applied"], 1);

    // One without an approval policy continues by itself, and the plan is gone.
    source(&world, &[FIRST, ("2_new", "CREATE TABLE new (id int);")]);
    all_have(&world, &all, 2).await;
    rollout(&world, phase("Complete")).await;
    soon("the plan is gone", async || {
        config_map(&world, "t2-migration-plan").is_none()
    })
    .await;
    assert_eq!(members(&world, "t2").await, 1);

    // Approved, it is a canary like any other.
    source(
        &world,
        &[FIRST, ("2_new", "CREATE TABLE new (id int);"), ("3_tidy", TIDY.1)],
    );
    let digest = held(&world, "t2").await;
    assert!(!has_table(&mut tenant(&world, "t0").await, "tidy").await);
    approve(&world, "t2", &digest);
    all_have(&world, &all, 3).await;
    let done = world
        .until(Kind::Orchestra, (TENANTS, "t2"), LONG, |object| {
            is_true(object, "Ready")
        })
        .await
        .unwrap();
    assert_eq!(condition(&done, "Migrated").0, "True");
}
