//! Two operators share one lease: one acts, and what happens when it goes.

use orchestra_sandbox::api::{Fault, Operation};
use orchestra_sandbox::world::{Kind, Operator, SYSTEM, World};

use crate::proof::{generous_world, one_project_and_both_logins, soon};
use crate::support::{orchestra, sources, standard_class};

async fn logged(operator: &Operator, text: &str) {
    soon(text, async || operator.log().contains(text)).await;
}

async fn holder(world: &World) -> String {
    let lease = world
        .get(Kind::Lease, SYSTEM, "orchestra-operator")
        .await
        .unwrap()
        .unwrap_or_default();
    lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_acts_and_the_other_takes_over() {
    let world = generous_world().await;
    standard_class(&world, "");
    sources(&world);
    let mut first = world.operator("first", |_| {}).unwrap();
    logged(&first, "leading").await;
    let mut second = world.operator("second", |_| {}).unwrap();
    logged(&second, "another operator leads; standing by").await;
    orchestra(&world, "calm", "");
    one_project_and_both_logins(&world, "calm").await;
    assert!(!second.log().contains("reconcile{"), "a standby only watches");

    // The leader dies with the create request under way.
    world.api.faults().add(Operation::CreateProject, 1, Fault::HoldAfter);
    orchestra(&world, "orphan", "");
    world.api.faults().wait_until_held(Operation::CreateProject).await;
    first.kill().unwrap();
    world.api.faults().release(Operation::CreateProject);
    one_project_and_both_logins(&world, "orphan").await;
    assert!(holder(&world).await.starts_with("second_"));

    // Told to stop, it gives the lease back, and the next one need not wait until it runs out.
    let third = world
        .operator("third", |command| {
            command.env("ORCHESTRA_LOG", "info");
        })
        .unwrap();
    logged(&third, "another operator leads; standing by").await;
    assert!(second.terminate().unwrap().success());
    assert!(!holder(&world).await.starts_with("second_"), "it was given back");
    logged(&third, "leading").await;
    orchestra(&world, "later", "");
    one_project_and_both_logins(&world, "later").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_cannot_renew_ends() {
    let mut world = generous_world().await;
    let mut leader = world.operator("leader", |_| {}).unwrap();
    logged(&leader, "leading").await;
    world.plane.stop_api_server();
    let mut status = None;
    soon("the leader ends", async || {
        status = leader.ended().unwrap();
        status.is_some()
    })
    .await;
    assert_eq!(status.unwrap().code(), Some(1));
    let log = leader.log();
    let last = log.lines().last().unwrap_or_default();
    assert!(last.starts_with("orchestra-operator: the lease was lost"), "{last}");
    world.plane.start_api_server().await.unwrap();
    let next = world.operator("next", |_| {}).unwrap();
    logged(&next, "leading").await;
}
