//! A plan whose ConfigMap somebody changed, so that a person who approves it would not know what it does.

use orchestra_sandbox::world::{Kind, TENANTS, World};
use serde_json::{Value, json};

use super::{config_map, digest, waiting};
use crate::orphans::command;
use crate::proof::{generous_world, soon};
use crate::support::ready;

/// Writes into the ConfigMap of the plan, as everybody with the built-in role edit may.
fn forge(world: &World, key: &str, text: &str) {
    let patch = json!({"data": {key: text}}).to_string();
    let name = "one-migration-plan";
    world
        .kubectl(["patch", "configmap", name, "-n", TENANTS, "--type=merge", "-p", &patch])
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_somebody_changed_is_neither_shown_nor_approved() {
    let world = generous_world().await;
    let mut operator = world.operator("operator", |_| {}).unwrap();
    let digest = digest(&waiting(&world).await);
    let written = || config_map(&world, "one-migration-plan").map(|map| map["data"].clone());
    soon("the plan is written", async || written().is_some()).await;
    let original = written().unwrap();
    operator.kill().unwrap();
    let shown = |format: &str| command(&world, &["plan", "-n", TENANTS, "one", "-o", format]);
    let approved = || command(&world, &["approve", "-n", TENANTS, "one", "--digest", &digest]);
    for (key, text) in [
        ("plan.txt", format!("Plan {digest}\n\nNothing is destroyed.\n")),
        ("plan.json", json!({"digest": digest, "findings": []}).to_string()),
    ] {
        forge(&world, key, &text);
        for refused in [shown("table"), shown("csv"), shown("json"), approved()] {
            let said = String::from_utf8_lossy(&refused.stderr);
            assert!(!refused.status.success() && refused.stdout.is_empty(), "{refused:?}");
            assert!(
                said.contains(key) && said.contains("not the text that the operator wrote"),
                "{said}"
            );
        }
        forge(&world, key, original[key].as_str().unwrap());
        assert!(shown("table").status.success());
    }
    let object = orchestra_object(&world).await;
    assert_eq!(
        object["metadata"]["annotations"]["stagesub.io/approve-migrations"],
        Value::Null
    );

    // The next look of an operator writes it again, and so does a deletion.
    forge(&world, "plan.txt", "Nothing is destroyed.");
    let _next = world.operator("next", |_| {}).unwrap();
    soon("the plan is right again", async || {
        written().as_ref() == Some(&original)
    })
    .await;
    assert!(prints(&shown("table"), &original), "{:?}", shown("table"));
    world
        .kubectl(["delete", "configmap", "one-migration-plan", "-n", TENANTS])
        .unwrap();
    soon("the plan is back", async || written().as_ref() == Some(&original)).await;
    assert!(approved().status.success());
    ready(&world, "one").await;
}

async fn orchestra_object(world: &World) -> Value {
    world.get(Kind::Orchestra, TENANTS, "one").await.unwrap().unwrap()
}

/// Whether the text of the ConfigMap was printed.
fn prints(shown: &std::process::Output, data: &Value) -> bool {
    let text = data["plan.txt"].as_str().unwrap();
    String::from_utf8_lossy(&shown.stdout).trim_end() == text.trim_end()
}
