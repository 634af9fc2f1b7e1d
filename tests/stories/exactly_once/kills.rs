//! `kill -9` of the operator at every boundary; a new one finishes the work.

use orchestra_sandbox::api::{Fault, Operation};
use orchestra_sandbox::gate::{Point, Release};
use orchestra_sandbox::world::{Operator, SYSTEM};

use super::scene::Scene;
use super::{CALLS, CREATION, Case, Cut, Held, assert_met, boundaries};
use crate::proof::database_name;

/// What creations and deletions were seen to write.
pub struct Recorded {
    pub hosted: Vec<String>,
    pub pooled: Vec<String>,
    pub deleted: Vec<String>,
    pub retained: Vec<String>,
    pub returned: Vec<String>,
}

/// Runs one of each, undisturbed. Takes one member of the pool.
pub async fn record(scene: &Scene) -> Recorded {
    let all = [("rec-d", false, true), ("rec-r", false, false), ("rec-p", true, false)];
    for (name, ..) in &all {
        scene.gate.follow(name);
    }
    scene.order(all.map(|(name, pool, delete)| (name.to_string(), pool, delete)));
    for (name, pool, _) in all {
        scene.usable(name, pool).await;
    }
    let made = all.map(|(name, ..)| scene.gate.writes(name));
    scene.delete(all.map(|(name, ..)| name));
    for (name, pool, delete) in all {
        let cut = Cut::Nowhere;
        let case = Case {
            name: name.into(),
            pool,
            delete,
            cut,
        };
        scene.left(&case).await;
    }
    let end = |index: usize| scene.gate.writes(all[index].0).split_off(made[index].len());
    Recorded {
        deleted: end(0),
        retained: end(1),
        returned: end(2),
        pooled: made[2].clone(),
        hosted: made[0].clone(),
    }
}

/// Kills the operator while all are held, and starts another. What was held before its effect is
/// lost with it, or, of every other case, arrives late.
async fn replace(scene: &Scene, operator: &mut Operator, name: &str, cases: &[Case]) {
    scene.kill(operator);
    let late = |index: usize, case: &Case| index.is_multiple_of(4) && case.is(Point::Before);
    for (index, case) in cases.iter().enumerate() {
        if !late(index, case) {
            case.release(scene, Release::Lose);
        }
    }
    *operator = scene.operator(name, &[]);
    scene.leads(operator).await;
    for (index, case) in cases.iter().enumerate() {
        if late(index, case) {
            case.release(scene, Release::Pass);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_boundary() {
    let scene = Scene::start(40).await;
    let mut operator = scene.operator("first", &[]);
    let recorded = record(&scene).await;

    let mut cases = boundaries("kc", false, true, &recorded.hosted, CALLS);
    cases.extend(boundaries("kp", true, false, &recorded.pooled, &[]));
    let met = scene.order_held(&cases).await;
    assert_met(&met, CREATION);
    assert_met(&met, &["claiming", "PATCH orchestradatabases claimRef"]);
    replace(&scene, &mut operator, "after-creations", &cases).await;
    for case in &cases {
        scene.usable(&case.name, case.pool).await;
    }
    scene.sound().await;
    assert_eq!(
        scene.world.api.ledger().count(Operation::UpdatePassword),
        0,
        "every password was known"
    );

    let ends = let_go(&scene, &recorded, &cases).await;
    let met = scene.held(&ends).await;
    let wanted = [
        "releasedAt",
        "DELETE orchestradatabases",
        "DELETE secrets",
        "PATCH configmaps",
        "finalizers off",
        "v1-delete-a-project",
    ];
    assert_met(&met, &wanted);
    replace(&scene, &mut operator, "after-deletions", &ends).await;
    for case in &ends {
        scene.left(case).await;
    }
    scene.sound().await;
    are_in_the_ledger(&scene, &ends);

    listings(&scene, &mut operator).await;
    passwords(&scene, &mut operator).await;
    scene.sound().await;
}

/// What has left the bill is recorded, wherever the operator was killed.
fn are_in_the_ledger(scene: &Scene, ends: &[Case]) {
    let arguments = [
        "get",
        "configmaps",
        "-n",
        SYSTEM,
        "-l",
        "stagesub.io/ledger",
        "-o",
        "json",
    ];
    let ledger = scene.world.kubectl(arguments).unwrap();
    for case in ends.iter().filter(|case| case.delete && !case.pool) {
        let record = format!(r#"\"name\":\"{}\""#, case.name);
        assert!(ledger.contains(&record), "{} is in no record: {ledger}", case.name);
    }
}

/// Deletes Orchestras, each held at a boundary of its deletion: those that are there, and more where
/// there are too few.
async fn let_go(scene: &Scene, recorded: &Recorded, there: &[Case]) -> Vec<Case> {
    let mut ends = boundaries("d", false, true, &recorded.deleted, &[Operation::DeleteProject]);
    ends.extend(boundaries("r", false, false, &recorded.retained, &[]));
    ends.extend(boundaries("p", true, false, &recorded.returned, &[]));
    let mut free = there.to_vec();
    let mut more = Vec::new();
    for end in &mut ends {
        let fits = |case: &Case| case.pool == end.pool && case.delete == end.delete;
        if let Some(index) = free.iter().position(fits) {
            end.name = free.remove(index).name;
        } else {
            end.name = format!("more-{}", end.name);
            scene.gate.follow(&end.name);
            more.push((end.name.clone(), end.pool, end.delete));
        }
    }
    scene.order(more.clone());
    for (name, pool, _) in more {
        scene.usable(&name, pool).await;
    }
    for case in &ends {
        case.arm(scene);
    }
    scene.delete(ends.iter().map(|case| case.name.as_str()));
    ends
}

/// A listing is everybody's, so each gets a kill of its own.
async fn listings(scene: &Scene, operator: &mut Operator) {
    let faults = scene.world.api.faults();
    for (name, fault) in [("list-b", Fault::HoldBefore), ("list-a", Fault::HoldAfter)] {
        faults.add(Operation::ListOrganizationProjects, 1, fault);
        scene.order([(name.to_string(), false, false)]);
        faults.wait_until_held(Operation::ListOrganizationProjects).await;
        scene.kill(operator);
        faults.release(Operation::ListOrganizationProjects);
        *operator = scene.operator(name, &[]);
        scene.usable(name, false).await;
    }
}

/// The owner's Secret goes in mid-create, and the operator dies while it sets another password.
async fn passwords(scene: &Scene, operator: &mut Operator) {
    let case = |name: &str, fault: Fault| Case {
        name: name.into(),
        pool: false,
        delete: false,
        cut: Cut::Call(Operation::UpdatePassword, fault),
    };
    let cases = [case("pw-b", Fault::HoldBefore), case("pw-a", Fault::HoldAfter)];
    forget_passwords(scene, &cases).await;
    let met: Held = scene.held(&cases).await;
    assert_eq!(met.len(), 2, "{met:?}");
    replace(scene, operator, "after-passwords", &cases).await;
    for case in &cases {
        scene.usable(&case.name, false).await;
    }
}

/// Orders these cases, and deletes the owner's Secret of each when its project is there.
pub async fn forget_passwords(scene: &Scene, cases: &[Case]) {
    let faults = scene.world.api.faults();
    for case in cases {
        faults.add_for(&case.subject(), Operation::Health, 1, Fault::HoldBefore);
        case.arm(scene);
    }
    scene.order(cases.iter().map(|case| (case.name.clone(), case.pool, case.delete)));
    for case in cases {
        scene
            .soon("a project is there", async || faults.holds(&case.subject()))
            .await;
        let secret = database_name(&scene.world, &case.name).await;
        scene
            .world
            .kubectl(["delete", "secret", &secret, "-n", SYSTEM])
            .unwrap();
        faults.release_for(&case.subject());
    }
}
