//! Somebody changes their mind in mid-create, at every boundary of it.

use orchestra_sandbox::api::{Fault, Operation};
use orchestra_sandbox::gate::Release;
use orchestra_sandbox::world::{Kind, TENANTS};

use super::kills::record;
use super::scene::Scene;
use super::{CALLS, CREATION, Case, Cut, assert_met, boundaries};

#[tokio::test(flavor = "multi_thread")]
async fn deleted_at_every_boundary_of_its_creation() {
    let scene = Scene::start(30).await;
    let mut operator = scene.operator("first", &[]);
    let recorded = record(&scene).await;
    let mut cases = boundaries("md", false, true, &recorded.hosted, CALLS);
    cases.extend(boundaries("mr", false, false, &recorded.hosted, CALLS));
    cases.extend(boundaries("mp", true, false, &recorded.pooled, &[]));
    let met = scene.order_held(&cases).await;
    assert_met(&met, CREATION);
    scene.delete(cases.iter().map(|case| case.name.as_str()));
    // Every third one loses the operator besides.
    for (index, case) in cases.iter().enumerate() {
        if !index.is_multiple_of(3) {
            case.release(&scene, Release::Pass);
        }
    }
    scene.kill(&mut operator);
    for (index, case) in cases.iter().enumerate() {
        if index.is_multiple_of(3) {
            case.release(&scene, Release::Lose);
        }
    }
    let _second = scene.operator("second", &[]);
    for case in &cases {
        scene.left(case).await;
    }
    scene.sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_while_the_request_is_on_its_way() {
    let scene = Scene::start(0).await;
    let _operator = scene.operator("operator", &[]);
    let faults = scene.world.api.faults();
    for (name, delete, fault) in [
        ("wb-d", true, Fault::HoldBefore),
        ("wb-r", false, Fault::HoldBefore),
        ("wa-d", true, Fault::HoldAfter),
        ("wa-r", false, Fault::HoldAfter),
    ] {
        let cut = Cut::Call(Operation::CreateProject, fault);
        let case = Case {
            name: name.into(),
            pool: false,
            delete,
            cut,
        };
        case.arm(&scene);
        scene.order([(case.name.clone(), false, delete)]);
        scene
            .soon("the request is held", async || faults.holds(&case.subject()))
            .await;
        scene.delete([name]);
        case.release(&scene, Release::Pass);
        scene.left(&case).await;
    }
    scene.sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_secret_that_goes_as_soon_as_it_is_there_comes_again() {
    let scene = Scene::start(0).await;
    let _operator = scene.operator("operator", &[]);
    let names: Vec<_> = (0..4).map(|n| format!("cs{n}")).collect();
    scene.order(names.iter().map(|name| (name.clone(), false, true)));
    for name in &names {
        let secret = format!("{name}-connection");
        scene
            .soon("the Secret is there", async || {
                let arguments = ["delete", "secret", &secret, "-n", TENANTS];
                scene.world.plane.kubectl(arguments).output().unwrap().status.success()
            })
            .await;
    }
    for name in &names {
        let secret = format!("{name}-connection");
        scene
            .soon("the Secret is there again", async || {
                scene.world.get(Kind::Secret, TENANTS, &secret).await.unwrap().is_some()
            })
            .await;
        scene.usable(name, false).await;
    }
    scene.sound().await;
}
