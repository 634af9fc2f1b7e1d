//! More Orchestras at once than the Management API allows creations: they take turns.

use std::time::Duration;

use orchestra_sandbox::api::{Operation, Options as ApiOptions, RateLimit};
use orchestra_sandbox::world::{Kind, TENANTS, World, condition, is_true};
use serde_json::Value;

use crate::proof::soon;
use crate::support::{LONG, ready, sources, standard_class, world_with};

const COUNT: usize = 30;

/// An Orchestra that waits for its turn. Which one it is depends on the order in which the first passes run.
async fn first_queued(world: &World) -> Value {
    let mut found = None;
    soon("an Orchestra is queued", async || {
        let orchestras = world.list(Kind::Orchestra).await.unwrap();
        found = orchestras
            .into_iter()
            .find(|object| condition(object, "Ready").1 == "Queued");
        found.is_some()
    })
    .await;
    found.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "one story, in its order")]
async fn creations_take_turns_and_the_oldest_goes_first() {
    // The endpoints of the organization are the ones that tenants share.
    let rate_limit = RateLimit {
        limit: 12,
        window: Duration::from_secs(8),
    };
    let world = world_with(ApiOptions {
        rate_limit,
        ..ApiOptions::default()
    })
    .await;
    standard_class(&world, "");
    sources(&world);
    let names: Vec<_> = (0..COUNT).map(|n| format!("section-{n:02}")).collect();
    let one = |name: &String| {
        format!(
            "---\napiVersion: stagesub.io/v1alpha1\nkind: Orchestra\nmetadata: {{name: {name}, namespace: {TENANTS}}}\nspec: {{}}\n"
        )
    };
    let _operator = world
        .operator("operator", |command| {
            command
                .env("ORCHESTRA_POLL_INTERVAL", "2s")
                .env("ORCHESTRA_LEASE_DURATION", "60s");
        })
        .unwrap();
    // The answer to the first creation reports the limit. Before that, only the first ten requests would be sent at once.
    world.apply(&one(&names[0])).unwrap();
    ready(&world, &names[0]).await;
    world.apply(&names[1..].iter().map(one).collect::<String>()).unwrap();

    let queued = first_queued(&world).await;
    assert_eq!(queued["status"]["phase"], "Queued", "{queued}");
    assert!(
        is_true(&queued, "Reconciling") && !is_true(&queued, "Stalled"),
        "{queued}"
    );
    for name in &names {
        world
            .until(Kind::Orchestra, (TENANTS, name), LONG, |object| {
                assert!(!is_true(object, "Stalled"), "a limit fails no tenant: {object}");
                is_true(object, "Ready")
            })
            .await
            .unwrap();
    }
    let requests = world.api.ledger().requests();
    let refused: Vec<_> = requests
        .iter()
        .filter(|request| request.operation == Some(Operation::CreateProject) && request.status == Some(429))
        .collect();
    assert!(refused.is_empty(), "{refused:?}");
    let created = world.api.ledger().projects();
    assert_eq!(created.len(), COUNT);
    // The first one and those of the next window came before anybody waited; among the others the older goes first.
    let number = |name: &str| name.split('-').nth(2).unwrap().parse::<usize>().unwrap();
    let waited: Vec<_> = created[13..].iter().map(|project| number(&project.name)).collect();
    let mut fair = waited.clone();
    fair.sort_unstable();
    for (place, n) in waited.iter().enumerate() {
        let due = fair.iter().position(|other| other == n).unwrap();
        assert!(place.abs_diff(due) <= 12, "{waited:?}");
    }
    let ready = world.get(Kind::Orchestra, TENANTS, &names[0]).await.unwrap().unwrap();
    assert_eq!(condition(&ready, "Ready").1, "Ready");
}
