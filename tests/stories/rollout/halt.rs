//! What fails stops the rollout, is named, and is gone on from.

use std::time::Duration;

use orchestra_sandbox::world::{Kind, TENANTS, condition, is_true};
use serde_json::{Value, json};

use super::{FIRST, all_have, change, class, databases, has_table, names, orchestra, phase, rollout, source, tenant};
use super::{tenants, told};
use crate::orphans::command;
use crate::proof::soon;
use crate::support::{reason, scalar, world};

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "one story, in its order")]
async fn a_failing_canary_halts_the_rollout_and_a_cured_source_goes_on() {
    let world = world().await;
    let mut operator = world.operator("first", |_| {}).unwrap();
    databases(&world, 4).await;
    source(&world, &[FIRST]);
    class(
        &world,
        "{canary: {selector: {matchLabels: {tier: canary}}}, maxConcurrent: 3, maxFailures: 5}",
    );
    let (all, others) = (names(4), ["t0", "t1", "t3"]);
    tenants(&world, &all, Some("t2"));
    all_have(&world, &all, 1).await;
    let complete = rollout(&world, |is| is["phase"] == "Complete" && is["updated"] == 4).await;
    assert!(is_true(&complete, "RolledOut"), "{complete:#}");

    source(&world, &[FIRST, ("2_bad", "CREATE TABLE new (id int); SELECT 1/0;")]);
    let object = reason(&world, "t2", "MigrationFailed").await;
    assert!(
        is_true(&object, "Stalled") && is_true(&object, "Available"),
        "{object:#}"
    );
    let halted = rollout(&world, phase("Halted")).await;
    let (status, why, message) = condition(&halted, "RolledOut");
    assert_eq!((status.as_str(), why.as_str()), ("False", "RolloutHalted"));
    assert!(
        message.contains("tenants/t2") && message.contains("0 of 4"),
        "{message}"
    );
    assert!(is_true(&halted, "Ready"), "claims can be met: {halted:#}");
    let is = &halted["status"]["rollout"];
    assert_eq!(
        (&is["failed"], &is["pending"], &is["updated"]),
        (&json!(1), &json!(3), &json!(0))
    );
    assert_eq!(is["failing"], json!(["tenants/t2"]));
    let output = command(&world, &["rollout", "status", "standard", "--watch"]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        error.contains("halted: 0 of 4 tenants updated, 1 failed: tenants/t2"),
        "{error}"
    );

    // The rest is untouched, also by an operator that knows of nothing, and that tries the failed one again.
    operator.kill().unwrap();
    let next = world.operator("next", |_| {}).unwrap();
    soon("it was tried again", async || next.log().contains("2_bad failed")).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    for name in others {
        let object = orchestra(&world, name).await;
        assert!(is_true(&object, "Ready") && !is_true(&object, "Stalled"), "{object:#}");
        assert_eq!(condition(&object, "Migrated").1, "RolloutPending");
        let migrations = &object["status"]["migrations"];
        assert_eq!(migrations["available"], is["revision"]);
        assert_ne!(migrations["source"], is["revision"]);
        assert!(!has_table(&mut tenant(&world, name).await, "new").await);
    }
    let history = command(&world, &["rollout", "history", "standard"]);
    let history = String::from_utf8_lossy(&history.stdout).into_owned();
    assert!(
        history.contains("1_members") && history.contains("current"),
        "{history}"
    );

    // The cure is proven by the canary before any other begins.
    source(
        &world,
        &[FIRST, ("2_good", "CREATE TABLE new (id int); SELECT pg_sleep(0.5);")],
    );
    let output = command(&world, &["rollout", "status", "standard", "--watch", "--timeout=1ms"]);
    assert_eq!(output.status.code(), Some(1));
    all_have(&world, &all, 2).await;
    let complete = rollout(&world, phase("Complete")).await;
    assert_eq!(complete["status"]["rollout"]["skew"][0]["tenants"], 4, "{complete:#}");
    let output = command(&world, &["rollout", "status", "standard", "--watch"]);
    let line = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && line.starts_with("rollout of class standard complete: 4 tenants on sha256:"));
    let millis =
        "SELECT (extract(epoch FROM finished_at) * 1000)::bigint FROM _prisma_migrations ORDER BY 1 DESC LIMIT 1";
    let begun =
        "SELECT (extract(epoch FROM started_at) * 1000)::bigint FROM _prisma_migrations ORDER BY 1 DESC LIMIT 1";
    let canary = scalar(&mut owner(&world, "t2").await, millis).await;
    for name in others {
        assert!(scalar(&mut owner(&world, name).await, begun).await >= canary, "{name}");
    }
    let told = told(&world).await;
    for reason in ["RolloutProgressing", "RolloutHalted", "RolloutComplete"] {
        assert!(told.iter().any(|is| is == reason), "{reason}: {told:?}");
    }
}

/// The session of a database's owner, by the inventory's entry.
async fn owner(world: &orchestra_sandbox::world::World, name: &str) -> sqlx::postgres::PgConnection {
    let object = orchestra(world, name).await;
    let database = object["status"]["databaseName"].as_str().unwrap();
    let database = world.get(Kind::Database, "", database).await.unwrap().unwrap();
    let key = database["spec"]["static"]["key"].as_str().unwrap();
    let entries = crate::support::secret(world, crate::support::SYSTEM, "database-pool").await;
    crate::support::login(&entries[key]).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "one story, in its order")]
async fn so_many_may_fail_and_a_cure_by_hand_goes_on_by_resume() {
    let world = world().await;
    let mut operator = world.operator("first", |_| {}).unwrap();
    databases(&world, 6).await;
    source(&world, &[FIRST]);
    class(&world, "{maxConcurrent: 1, maxFailures: 1}");
    let all = names(6);
    for name in &all {
        // Of different ages to the second: the oldest goes first.
        tenants(&world, std::slice::from_ref(name), None);
        tokio::time::sleep(Duration::from_millis(1100)).await;
    }
    all_have(&world, &all, 1).await;
    for name in ["t1", "t3"] {
        let mut session = tenant(&world, name).await;
        sqlx::query("INSERT INTO trouble VALUES (1)")
            .execute(&mut session)
            .await
            .unwrap();
    }
    let script = "DO $$ BEGIN IF EXISTS (SELECT FROM trouble) THEN RAISE EXCEPTION 'trouble'; END IF; END $$;\n\
                  CREATE TABLE new (id int);";
    source(&world, &[FIRST, ("2_new", script)]);
    let halted = rollout(&world, phase("Halted")).await;
    let is = &halted["status"]["rollout"];
    assert_eq!(is["failing"], json!(["tenants/t1", "tenants/t3"]), "{is:#}");
    assert_eq!((&is["updated"], &is["pending"]), (&json!(2), &json!(2)), "{is:#}");
    for (name, updated) in [("t0", true), ("t2", true), ("t4", false), ("t5", false)] {
        assert_eq!(
            has_table(&mut tenant(&world, name).await, "new").await,
            updated,
            "{name}"
        );
        assert!(is_true(&orchestra(&world, name).await, "Ready"), "{name}");
    }

    // It stays halted while those that failed are tried again, by an operator that knows of nothing.
    change(&world, &json!({"maxConcurrent": 4}));
    operator.kill().unwrap();
    let next = world.operator("next", |_| {}).unwrap();
    soon("both were tried again", async || {
        let log = next.log();
        let failed = |name: &str| {
            log.lines()
                .any(|line| line.contains(name) && line.contains("2_new failed"))
        };
        failed("orchestra=\"t1\"") && failed("orchestra=\"t3\"")
    })
    .await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    for name in ["t4", "t5"] {
        assert!(!has_table(&mut tenant(&world, name).await, "new").await, "{name}");
    }

    // One more may fail: the rollout continues.
    change(&world, &json!({"maxFailures": 2}));
    let over = |is: &Value| is["updated"] == 4 && is["failed"] == 2 && is["pending"] == 0;
    rollout(&world, over).await;
    let output = command(&world, &["rollout", "status", "standard", "--watch"]);
    assert_eq!(output.status.code(), Some(1));

    for name in ["t1", "t3"] {
        let mut session = tenant(&world, name).await;
        sqlx::query("DELETE FROM trouble").execute(&mut session).await.unwrap();
    }
    assert!(command(&world, &["rollout", "resume", "standard"]).status.success());
    all_have(&world, &all, 2).await;
    rollout(&world, phase("Complete")).await;
    let objects = world.list(Kind::Orchestra).await.unwrap();
    assert!(
        objects
            .iter()
            .all(|object| object["metadata"]["namespace"] == TENANTS && is_true(object, "Migrated"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_cannot_be_used_touches_nobody_in_use() {
    let world = world().await;
    let _operator = world.operator("operator", |_| {}).unwrap();
    databases(&world, 3).await;
    source(&world, &[FIRST]);
    class(&world, "{}");
    tenants(&world, &names(2), None);
    all_have(&world, &names(2), 1).await;
    source(&world, &[FIRST, ("2_bad", "\\connect other")]);
    let wrong = |class: &Value| condition(class, "RolledOut").1 == "SourceInvalid";
    let class = world
        .until(Kind::Class, ("", "standard"), crate::support::LONG, wrong)
        .await
        .unwrap();
    assert!(condition(&class, "RolledOut").2.contains("2_bad.sql"), "{class:#}");
    tenants(&world, &["new".into()], None);
    reason(&world, "new", "SourceInvalid").await;
    for name in ["t0", "t1"] {
        assert!(is_true(&orchestra(&world, name).await, "Ready"), "{name}");
    }
    source(&world, &[FIRST, ("2_good", "CREATE TABLE new (id int);")]);
    all_have(&world, &["t0".into(), "t1".into(), "new".into()], 2).await;

    // So is a selector that nobody can be found by.
    change(
        &world,
        &json!({"canary": {"selector": {"matchExpressions": [{"key": "tier", "operator": "is"}]}}}),
    );
    source(
        &world,
        &[FIRST, ("2_good", "CREATE TABLE new (id int);"), ("3_more", "SELECT 1;")],
    );
    let wrong = |class: &Value| condition(class, "RolledOut").1 == "SelectorInvalid";
    world
        .until(Kind::Class, ("", "standard"), crate::support::LONG, wrong)
        .await
        .unwrap();
    assert!(is_true(&orchestra(&world, "t0").await, "Ready"));
    assert_eq!(orchestra(&world, "t0").await["status"]["migrations"]["applied"], 2);
    change(&world, &json!({"canary": null}));
    all_have(&world, &names(2), 3).await;
}
