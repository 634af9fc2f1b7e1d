//! Seeds that reach a database in use: they run as the owner, as migrations do, so what destroys waits for a person.

use orchestra_sandbox::world::{Kind, TENANTS, World, condition, is_true};
use serde_json::{Value, json};

use super::{annotate, config_map, events};
use crate::orphans::command;
use crate::proof::{generous_world, owner, soon, tenant};
use crate::support::{LONG, orchestra, patch_config_map, ready, scalar, sources, standard_class};

const MEMBERS: &str = "SELECT count(*) FROM \"Member\"";

/// The plan of the seed that waits.
async fn waiting(world: &World, name: &str) -> Value {
    let waits = |object: &Value| {
        condition(object, "Ready").1 == "ApprovalPending" && object["status"]["seedPlan"]["digest"].is_string()
    };
    world
        .until(Kind::Orchestra, (TENANTS, name), LONG, waits)
        .await
        .unwrap()
}

fn digest(object: &Value) -> String {
    object["status"]["seedPlan"]["digest"].as_str().unwrap().to_owned()
}

async fn seeded_after(world: &World, name: &str, before: &Value) -> Value {
    let is = |object: &Value| is_true(object, "Ready") && object["status"]["seed"] != before["status"]["seed"];
    world.until(Kind::Orchestra, (TENANTS, name), LONG, is).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "one story, in its order")]
async fn a_seed_that_destroys_waits_in_a_database_in_use() {
    let world = generous_world().await;
    let mut operator = world.operator("operator", |_| {}).unwrap();
    standard_class(&world, "");
    sources(&world);
    orchestra(&world, "one", "");
    ready(&world, "one").await;
    let policy = json!({"spec": {"seed": {"policy": "OnChange"}}}).to_string();
    world
        .kubectl(["patch", "orch", "one", "-n", TENANTS, "--type=merge", "-p", &policy])
        .unwrap();
    // One that only adds needs nobody.
    let before = ready(&world, "one").await;
    let more = "INSERT INTO \"Member\" (\"name\") VALUES ('Dag');";
    patch_config_map(&world, "demo-seed", &json!({"seed.sql": more}));
    let before = seeded_after(&world, "one", &before).await;
    assert_eq!(before["status"]["seedPlan"], Value::Null);

    patch_config_map(
        &world,
        "demo-seed",
        &json!({"seed.sql": "DROP TABLE \"Concert\";\nDELETE FROM \"Member\";\n"}),
    );
    let object = waiting(&world, "one").await;
    assert!(
        is_true(&object, "Available") && is_true(&object, "Migrated"),
        "{object:#}"
    );
    assert_eq!(condition(&object, "Seeded").0, "False", "{object:#}");
    let (_, _, message) = condition(&object, "Ready");
    assert!(message.starts_with("1 file of the seed is due"), "{message}");
    let mut session = owner(&world, "one").await;
    assert_eq!(scalar(&mut session, MEMBERS).await, 4);
    drop(tenant(&world, "one").await);
    soon("the plan is written", async || {
        config_map(&world, "one-migration-plan").is_some()
    })
    .await;
    let shown = command(&world, &["plan", "-n", TENANTS, "one"]);
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    for part in ["Files of the seed", "seed.sql, line 1: DROP TABLE", "DropTable"] {
        assert!(text.contains(part), "{part}: {text}");
    }

    // Neither a new operator nor another digest runs it.
    operator.kill().unwrap();
    let _next = world.operator("next", |_| {}).unwrap();
    let plan = digest(&object);
    annotate(&world, "one", &plan.replace(|digit: char| digit.is_ascii_digit(), "0"));
    soon("the wrong approval is told", async || {
        let object = waiting(&world, "one").await;
        condition(&object, "Ready")
            .2
            .starts_with("the plan or the history changed")
    })
    .await;
    assert_eq!(scalar(&mut session, MEMBERS).await, 4);
    // What was approved is what runs: another text is another plan.
    patch_config_map(&world, "demo-seed", &json!({"seed.sql": "DELETE FROM \"Member\";\n"}));
    annotate(&world, "one", &plan);
    soon("the changed seed has a plan of its own", async || {
        digest(&waiting(&world, "one").await) != plan
    })
    .await;
    assert_eq!(scalar(&mut session, MEMBERS).await, 4);
    annotate(&world, "one", &digest(&waiting(&world, "one").await));
    let after = seeded_after(&world, "one", &before).await;
    assert_eq!(after["status"]["seedPlan"], Value::Null);
    assert_eq!(scalar(&mut session, MEMBERS).await, 0);
    assert_eq!(events(&world, "one", "Approved").len(), 1);
    soon("the plan is gone", async || {
        config_map(&world, "one-migration-plan").is_none()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_seed_of_a_tenant_in_use_is_reviewed() {
    let world = generous_world().await;
    let _operator = world.operator("operator", |_| {}).unwrap();
    standard_class(&world, "");
    sources(&world);
    let object = |seed: &Value| {
        let mut spec = json!({"migrations": {"source": {"configMapRef": {"name": "schema"}}}});
        if seed.is_object() {
            spec["seed"] = seed.clone();
        }
        json!({
            "apiVersion": "stagesub.io/v1alpha1", "kind": "Orchestra",
            "metadata": {"name": "two", "namespace": TENANTS}, "spec": spec,
        })
    };
    world.apply(&object(&Value::Null).to_string()).unwrap();
    ready(&world, "two").await;
    let mut session = owner(&world, "two").await;
    let fill = "INSERT INTO \"Member\" (\"name\") VALUES ('the tenant''s own')";
    sqlx::query(fill).execute(&mut session).await.unwrap();
    patch_config_map(&world, "demo-seed", &json!({"seed.sql": "TRUNCATE \"Member\";"}));
    let seed = json!({"configMapRef": {"name": "demo-seed"}});
    world.apply(&object(&seed).to_string()).unwrap();
    let found = waiting(&world, "two").await;
    assert_eq!(scalar(&mut session, MEMBERS).await, 1);
    // It is taken out of the spec again: nothing waits any more.
    world
        .kubectl([
            "patch",
            "orch",
            "two",
            "-n",
            TENANTS,
            "--type=merge",
            "-p",
            r#"{"spec":{"seed":null}}"#,
        ])
        .unwrap();
    let object = ready(&world, "two").await;
    assert_eq!(object["status"]["seedPlan"], Value::Null, "{found:#}");
    assert_eq!(scalar(&mut session, MEMBERS).await, 1);
}
