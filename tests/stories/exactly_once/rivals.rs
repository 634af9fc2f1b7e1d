//! Two operators at once: one is stopped at every boundary for longer than its lease, the other one
//! takes over, and then the first one continues where it was.

use std::process::Command;
use std::time::Duration;

use orchestra_sandbox::api::Operation;
use orchestra_sandbox::gate::{Point, Release};
use orchestra_sandbox::world::Operator;

use super::kills::record;
use super::scene::Scene;
use super::{CALLS, CREATION, Case, Cut, assert_met, boundaries};

/// Stops a process where it is, or lets it continue.
fn signal(operator: &Operator, signal: &str) {
    let id = operator.id().to_string();
    assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
}

/// The database's status as it says that its create request is about to be sent.
const INTENT: &str = "PATCH orchestradatabases/status claim,cost,createIssuedAt,organization,phase";

/// Stops the leader while all are held, and lets the other one take over. A request that has left for
/// the provider arrives at once; a write to Kubernetes arrives late, when all is done, or never.
async fn overtake(scene: &Scene, leader: &Operator, rival: &Operator, cases: &[Case]) -> Vec<usize> {
    signal(leader, "-STOP");
    let late = |index: usize, case: &Case| index.is_multiple_of(2) && case.is(Point::Before);
    for (index, case) in cases.iter().enumerate() {
        if !late(index, case) {
            case.release(scene, Release::Lose);
        }
    }
    scene.leads(rival).await;
    (0..cases.len()).filter(|index| late(*index, &cases[*index])).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_was_stopped_for_long_does_nothing_twice() {
    let scene = Scene::start(30).await;
    let first = scene.operator("first", &[]);
    let recorded = record(&scene).await;
    let second = scene.operator("second", &[]);

    let mut cases = boundaries("ra", false, true, &recorded.hosted, CALLS);
    cases.extend(boundaries("rp", true, false, &recorded.pooled, &[]));
    let met = scene.order_held(&cases).await;
    assert_met(&met, CREATION);
    let late = overtake(&scene, &first, &second, &cases).await;
    // The second one goes as far as it can. (A migration that the first one was stopped in keeps its
    // lock until then.)
    tokio::time::sleep(Duration::from_secs(20)).await;
    // What the first one had sent arrives now, and the first one itself continues.
    for index in &late {
        cases[*index].release(&scene, Release::Pass);
    }
    signal(&first, "-CONT");
    for case in &cases {
        scene.usable(&case.name, case.pool).await;
    }
    scene.sound().await;

    let third = scene.operator("third", &[]);
    scene.delete(cases.iter().map(|case| case.name.as_str()));
    signal(&second, "-STOP");
    scene.leads(&third).await;
    signal(&second, "-CONT");
    for case in &cases {
        scene.left(case).await;
    }
    scene.sound().await;
    drop((first, second, third));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_intent_is_not_carried_out_long_after() {
    let scene = Scene::start(0).await;
    let settle = ["--create-settle=3s"];
    let first = scene.operator("first", &settle);
    scene.leads(&first).await;
    let case = Case {
        name: "late".into(),
        pool: false,
        delete: true,
        cut: Cut::Write(INTENT.into(), Point::After),
    };
    scene.order_held(std::slice::from_ref(&case)).await;
    // Its intent is written and its answer waits in its socket.
    signal(&first, "-STOP");
    case.release(&scene, Release::Pass);
    // By its own clock its lease has not expired when it continues, and nobody has taken it over.
    tokio::time::sleep(Duration::from_secs(5)).await;
    signal(&first, "-CONT");
    scene.usable("late", false).await;
    assert!(first.log().contains("its intent is too old"), "{}", first.log());
    assert_eq!(scene.world.api.ledger().count(Operation::CreateProject), 1);
    scene.sound().await;
}
