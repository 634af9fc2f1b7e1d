//! Of several who want a database, and its destruction, one wins, whenever the operator is killed.

use orchestra_sandbox::gate::{Gate, Point, Release};
use orchestra_sandbox::world::{Kind, Operator, TENANTS, World, condition, is_true};
use serde_json::Value;

use super::{MEMBERS, delete, taker};
use crate::proof::{database_name, generous_world, soon, tenant};
use crate::support::{LONG, gate, kill, orchestra, ready, scalar, sources, standard_class};

const TAKES: &str =
    "PATCH orchestradatabases claimRef,formerUids,offeredTo,powerState,reclaimAfter,reclaimPolicy,releasedAt";

pub fn operator(world: &World, gate: &Gate, name: &str) -> Operator {
    world
        .operator(name, |command| {
            command.env("KUBECONFIG", gate.kubeconfig());
        })
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_takes_it_back_whenever_the_operator_dies() {
    let world = generous_world().await;
    let gate = gate(&world).await;
    let mut operator_ = operator(&world, &gate, "first");
    standard_class(&world, "  deletion: {policy: Delete, gracePeriod: 1h}");
    sources(&world);
    orchestra(&world, "origin", "");
    ready(&world, "origin").await;
    let database = database_name(&world, "origin").await;

    // Killed while it sets the time of the end.
    gate.follow(&database);
    gate.hold(&database, "PATCH orchestradatabases reclaimAfter", Point::Before);
    world
        .kubectl(["delete", "orch", "origin", "-n", TENANTS, "--timeout=60s"])
        .unwrap();
    soon("the time is about to be set", async || gate.held(&database).is_some()).await;
    kill(&world, &mut operator_);
    gate.release(&database, Release::Lose);
    operator_ = operator(&world, &gate, "after-schedule");
    let reclaiming = |object: &Value| object["status"]["phase"] == "Reclaiming";
    world
        .until(Kind::Database, ("", &database), LONG, reclaiming)
        .await
        .unwrap();

    // Another operator is already running each time.
    let mut standby = operator(&world, &gate, "standby");
    for (point, release) in [
        (Point::Before, Release::Lose),
        (Point::Before, Release::Pass),
        (Point::After, Release::Pass),
    ] {
        let (first, second) = (
            format!("{point:?}-{release:?}-a").to_lowercase(),
            format!("{point:?}-{release:?}-b").to_lowercase(),
        );
        gate.follow(&first);
        gate.hold(&first, TAKES, point);
        taker(&world, TENANTS, &first, &database, "");
        soon("it is about to be taken", async || gate.held(&first).is_some()).await;
        taker(&world, TENANTS, &second, &database, "");
        kill(&world, &mut operator_);
        if release == Release::Lose || point == Point::After {
            gate.release(&first, release);
        }
        operator_ = standby;
        soon("the other one leads", async || operator_.log().contains("leading")).await;
        standby = operator(&world, &gate, &format!("after-{first}"));
        let (winner, loser) = winner(&world, &first, &second).await;
        // What arrives late changes nothing.
        gate.release(&first, release);
        assert_eq!(scalar(&mut tenant(&world, &winner).await, MEMBERS).await, 3);
        let claimed = world.get(Kind::Database, "", &database).await.unwrap().unwrap();
        assert_eq!(claimed["spec"]["claimRef"]["name"], winner.as_str());
        assert_eq!(world.api.ledger().projects().len(), 1);
        world
            .kubectl(["delete", "orch", &loser, "-n", TENANTS, "--timeout=60s"])
            .unwrap();
        delete(&world, &winner, &database, "Reclaiming").await;
    }
}

/// The one of two that has the database, and the one whose status says so.
async fn winner(world: &World, first: &str, second: &str) -> (String, String) {
    let mut found = None;
    soon("one has it, and the other is told", async || {
        let get = async |name: &str| {
            world
                .get(Kind::Orchestra, TENANTS, name)
                .await
                .unwrap()
                .unwrap_or_default()
        };
        let (one, two) = (get(first).await, get(second).await);
        let refused = |object: &Value| condition(object, "Stalled").1 == "InUse";
        found = match (is_true(&one, "Ready"), is_true(&two, "Ready")) {
            (true, false) if refused(&two) => Some((first.to_owned(), second.to_owned())),
            (false, true) if refused(&one) => Some((second.to_owned(), first.to_owned())),
            (true, true) => panic!("two tenants of one database: {one:#} {two:#}"),
            _ => None,
        };
        found.is_some()
    })
    .await;
    found.unwrap_or_default()
}
