//! A paused rollout, the tenants that are created meanwhile, and those that pin.

use orchestra_sandbox::world::{Kind, TENANTS, condition, is_true};
use serde_json::{Value, json};

use super::{FIRST, all_have, class, databases, has_table, names, orchestra, phase, rollout, source, tenant, tenants};
use crate::orphans::command;
use crate::process::get;
use crate::support::{LONG, world};

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "one story, in its order")]
async fn a_paused_rollout_waits_new_tenants_do_not_and_pinned_ones_stay() {
    let world = world().await;
    let mut operator = world.operator("first", |_| {}).unwrap();
    databases(&world, 4).await;
    source(&world, &[FIRST]);
    class(&world, "{}");
    let all = names(3);
    tenants(&world, &all, None);
    all_have(&world, &all, 1).await;
    let pin = |pinned: bool| {
        let patch = json!({"spec": {"pinMigrations": pinned}}).to_string();
        world
            .kubectl(["patch", "orch", "t1", "-n", TENANTS, "--type=merge", "-p", &patch])
            .unwrap();
    };
    pin(true);
    let paused = command(&world, &["rollout", "pause", "standard"]);
    assert_eq!(
        String::from_utf8_lossy(&paused.stdout),
        "orchestraclass.stagesub.io/standard paused\n"
    );
    assert!(!command(&world, &["rollout", "pause", "standard"]).status.success());
    source(&world, &[FIRST, ("2_new", "CREATE TABLE new (id int);")]);
    let is = rollout(&world, phase("Paused")).await["status"]["rollout"].clone();
    assert_eq!((&is["pending"], &is["pinned"]), (&json!(2), &json!(1)), "{is:#}");

    // A new one begins with the new source.
    tenants(&world, &["fresh".into()], None);
    all_have(&world, &["fresh".into()], 2).await;
    let is = rollout(&world, |is| is["updated"] == 1).await["status"]["rollout"].clone();
    assert_eq!(is["phase"], "Paused");
    assert_eq!(is["skew"][0]["tenants"], 3, "{is:#}");
    assert_eq!(is["skew"][0]["migration"], "1_members", "{is:#}");
    let output = command(&world, &["rollout", "status", "standard"]);
    let line = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(line, "rollout of class standard is paused: 1 of 3 tenants updated\n");

    // An Orchestra that waits or is pinned is maintained as before, and stays on the older source: its Secret is
    // written again when it is lost, also by an operator that has never seen that source.
    for round in ["again", "after-a-restart"] {
        for name in ["t0", "t1"] {
            let secret = format!("{name}-connection");
            let before = world.get(Kind::Secret, TENANTS, &secret).await.unwrap().unwrap();
            world.kubectl(["delete", "secret", &secret, "-n", TENANTS]).unwrap();
            let new = |object: &Value| !object.is_null() && object["metadata"]["uid"] != before["metadata"]["uid"];
            world.until(Kind::Secret, (TENANTS, &secret), LONG, new).await.unwrap();
            let published = |object: &Value| is_true(object, "Ready") && condition(object, "Reconciling").0.is_empty();
            let object = world
                .until(Kind::Orchestra, (TENANTS, name), LONG, published)
                .await
                .unwrap();
            let why = if name == "t1" { "Pinned" } else { "RolloutPending" };
            assert_eq!(condition(&object, "Migrated").1, why, "{round}: {object:#}");
            assert_eq!(object["status"]["migrations"]["available"], is["revision"], "{round}");
            assert_eq!(object["status"]["migrations"]["applied"], 1, "{round}");
            assert!(!has_table(&mut tenant(&world, name).await, "new").await, "{round}");
        }
        operator.kill().unwrap();
        operator = world.operator(round, |_| {}).unwrap();
    }

    let resumed = command(&world, &["rollout", "resume", "standard", "-o", "name"]);
    assert_eq!(
        String::from_utf8_lossy(&resumed.stdout),
        "orchestraclass.stagesub.io/standard\n"
    );
    all_have(&world, &["t0".into(), "t2".into()], 2).await;
    let complete = rollout(&world, |is| is["phase"] == "Complete" && is["updated"] == 3).await;
    assert_eq!(complete["status"]["rollout"]["pinned"], 1, "{complete:#}");
    assert_eq!(orchestra(&world, "t1").await["status"]["migrations"]["applied"], 1);
    crate::proof::soon("the metrics tell of it", async || {
        let (_, page) = get(&operator, "/metrics").await;
        page.contains(r#"orchestra_rollout_tenants{class="standard",state="updated"} 3"#)
            && page.contains(r#"orchestra_rollout_tenants{class="standard",state="pinned"} 1"#)
    })
    .await;
    pin(false);
    all_have(&world, &all, 2).await;
    assert_eq!(
        orchestra(&world, "t1").await["status"]["migrations"]["available"],
        Value::Null
    );
}
