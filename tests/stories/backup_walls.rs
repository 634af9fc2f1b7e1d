//! Who may not reach what by way of a backup: other databases, other folders of the store.

use std::time::Duration;

use orchestra_sandbox::world::{Kind, SYSTEM, TENANTS, World, condition, is_true};
use serde_json::{Value, json};

use crate::backup::{DESTINATION, backup, manifests, runner, until};
use crate::pool::{house, inventory};
use crate::proof::soon;
use crate::support::{LONG, gone, orchestra, ready, sources, standard_class, world};

fn stalls(reason: &'static str) -> impl Fn(&Value) -> bool {
    move |object| is_true(object, "Stalled") && condition(object, "Ready").1 == reason
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inventory_that_was_reordered_gives_nobody_anothers_rows() {
    let world = world().await;
    let _operator = world.operator("operator", |_| {}).unwrap();
    sources(&world);
    let entries = inventory(&world, &["one", "two"]).await;
    house(&world, &entries);
    world
        .apply(&format!(
            "apiVersion: stagesub.io/v1alpha1\nkind: OrchestraClass\nmetadata: {{name: standard, annotations: \
             {{stagesub.io/is-default-class: \"true\"}}}}\nspec:\n  pools: {{names: [house], policy: PoolOnly}}\n{DESTINATION}\n"
        ))
        .unwrap();
    for name in ["first", "second"] {
        orchestra(&world, name, "");
        ready(&world, name).await;
    }
    house(
        &world,
        &[
            entries[1].replace("POOL_2", "POOL_1"),
            entries[0].replace("POOL_1", "POOL_2"),
        ],
    );
    let _runner = runner(&world).await;
    backup(&world, "swapped", "first", "Retain");
    let stalled = until(&world, "swapped", stalls("InvalidEntry")).await;
    let message = condition(&stalled, "Ready").2;
    assert!(message.contains("leads to another database"), "{message}");
    assert_eq!(manifests(&world).len(), 0);
    // The entries are put back, and a person asks again.
    house(&world, &entries);
    tokio::time::sleep(Duration::from_secs(1)).await;
    world
        .kubectl([
            "annotate",
            "orchbackup",
            "swapped",
            "-n",
            TENANTS,
            "stagesub.io/retry-requested-at=now",
        ])
        .unwrap();
    until(&world, "swapped", |object| is_true(object, "Ready")).await;
    assert_eq!(manifests(&world).len(), 1);
}
