//! A pool within the class's budget, beside a static pool and the provider.

use orchestra_sandbox::api::Operation;
use orchestra_sandbox::world::{Kind, TENANTS, World, condition};
use serde_json::{Value, json};

use super::{class, origin, pool, tenant};
use crate::pool::{house, inventory};
use crate::proof::generous_world;
use crate::support::{LONG, login, scalar, secret};

/// The class with a warm and a static pool.
fn mixed(world: &World, policy: &str, projects: u32) {
    class(
        world,
        &format!("  pools: {{names: [warm, house], policy: {policy}}}\n  budget: {{maxProjects: {projects}}}"),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_bounds_the_pool_and_stops_no_orchestra() {
    let world = generous_world().await;
    mixed(&world, "PoolFirst", 2);
    let _operator = world.operator("operator", |_| {}).unwrap();
    let entries = inventory(&world, &["one", "two"]).await;
    house(&world, &entries[..1]);
    pool(&world, "warm", 3, "");
    let full = |pool: &Value| pool["status"]["available"] == 2 && condition(pool, "Stalled").1 == "ProjectLimitReached";
    let warm = world.until(Kind::Pool, ("", "warm"), LONG, full).await.unwrap();
    assert!(
        condition(&warm, "Ready").2.contains("raise spec.budget.maxProjects"),
        "{warm:#}"
    );
    // A prepared database before one that is not.
    for (name, from) in [("first", "warm"), ("second", "warm"), ("spare", "house")] {
        tenant(&world, name, "");
        assert_eq!(origin(&world, name).await, from, "{name}");
        let url = &secret(&world, TENANTS, &format!("{name}-connection")).await["DATABASE_URL"];
        let mut session = login(url).await.unwrap();
        assert_eq!(
            scalar(&mut session, "SELECT count(*) FROM \"Member\"").await,
            2,
            "{name}"
        );
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
    mixed(&world, "PoolFirst", 3);
    assert_eq!(origin(&world, "third").await, "cloud");
    assert_eq!(world.api.ledger().count(Operation::CreateProject), 3);
    let warm = world.get(Kind::Pool, "", "warm").await.unwrap().unwrap();
    assert_eq!(
        (&warm["status"]["available"], &warm["status"]["bound"]),
        (&json!(0), &json!(2))
    );

    // By another policy the provider comes before an entry that is free.
    world.kubectl(["scale", "orchpool/warm", "--replicas=0"]).unwrap();
    let none = |pool: &Value| pool["status"]["desired"] == 0;
    world.until(Kind::Pool, ("", "warm"), LONG, none).await.unwrap();
    mixed(&world, "CloudFirst", 4);
    house(&world, &entries);
    let free = |pool: &Value| pool["status"]["available"] == 1;
    world.until(Kind::Pool, ("", "house"), LONG, free).await.unwrap();
    tenant(&world, "fourth", "");
    assert_eq!(origin(&world, "fourth").await, "cloud");
    mixed(&world, "PoolOnly", 5);
    tenant(&world, "fifth", "");
    assert_eq!(origin(&world, "fifth").await, "house");
    assert_eq!(world.api.ledger().count(Operation::CreateProject), 4);
}
