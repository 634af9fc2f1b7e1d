//! Pools that make their members: at every write about a pool its operator is killed, or stopped until another one has
//! taken over. In the end there is the wanted number of projects, and no tenant's is destroyed.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use orchestra_sandbox::gate::{Point, Release};
use orchestra_sandbox::world::{Kind, Operator, TENANTS, condition, is_true};
use serde_json::Value;

use super::Held;
use super::scene::Scene;
use crate::support::{LONG, ready};
use crate::warm_pool::{class, pool, tenant, waiting};

/// A pool, and the write about it that is held.
struct Case {
    name: String,
    label: String,
    point: Point,
}

async fn scene() -> Scene {
    let scene = Scene::start(0).await;
    class(&scene.world, "");
    scene
}

/// What a pool of one member is seen to write, and its end.
async fn record(scene: &Scene) -> (Vec<String>, Vec<String>) {
    scene.gate.follow("recorded");
    pool(&scene.world, "recorded", 1, "");
    whole(scene, "recorded").await;
    let made = scene.gate.writes("recorded");
    delete(scene, "recorded");
    gone(scene, "recorded").await;
    let mut end = scene.gate.writes("recorded");
    (made.clone(), end.split_off(made.len()))
}

/// One pool for each write.
fn cases(prefix: &str, writes: &[String]) -> Vec<Case> {
    let writes: BTreeSet<_> = writes.iter().collect();
    let points = [Point::Before, Point::After];
    let cuts = writes
        .into_iter()
        .flat_map(|label| points.map(|point| (label.clone(), point)));
    cuts.enumerate()
        .map(|(number, (label, point))| Case {
            name: format!("{prefix}{number:02}"),
            label,
            point,
        })
        .collect()
}

fn delete(scene: &Scene, name: &str) {
    let arguments = ["delete", "orchpool", name, "--wait=false"];
    scene.world.kubectl(arguments).unwrap();
}

/// The pool has its member, and bought no other.
async fn whole(scene: &Scene, name: &str) {
    let filled = |pool: &Value| pool["status"]["available"] == 1 && is_true(pool, "Ready");
    scene
        .world
        .until(Kind::Pool, ("", name), LONG * 2, filled)
        .await
        .unwrap();
    let projects = scene.projects(name);
    assert_eq!(projects.len(), 1, "{name}: {projects:?}");
    assert!(projects[0].deleted.is_none());
    let members = waiting(&scene.world).await;
    let members = members.iter().filter(|member| member["spec"]["pool"] == name);
    assert_eq!(members.count(), 1, "{name}");
}

/// The pool is gone, and its project with it.
async fn gone(scene: &Scene, name: &str) {
    scene
        .soon(&format!("{name} left nothing"), async || {
            let pool = scene.world.get(Kind::Pool, "", name).await.unwrap();
            let databases = scene.world.list(Kind::Database).await.unwrap();
            let left = databases.iter().any(|it| it["spec"]["pool"] == name);
            pool.is_none() && !left && scene.projects(name).iter().all(|project| project.deleted.is_some())
        })
        .await;
    assert_eq!(scene.projects(name).len(), 1, "{name}");
}

/// Waits until every case is held, or came to its end without: a write more or less is a matter of timing.
async fn held(scene: &Scene, cases: &[Case], ended: impl AsyncFn(&Case) -> bool) -> Held {
    for case in cases {
        scene
            .soon(&format!("{} is held at {}", case.name, case.label), async || {
                scene.gate.held(&case.name).is_some() || ended(case).await
            })
            .await;
    }
    let met = cases.iter().filter(|case| scene.gate.held(&case.name).is_some());
    met.map(|case| format!("{:?} {}", case.point, case.label)).collect()
}

async fn is_filled(scene: &Scene, case: &Case) -> bool {
    let pool = scene.world.get(Kind::Pool, "", &case.name).await.unwrap();
    pool.is_some_and(|pool| is_true(&pool, "Ready"))
}

async fn is_gone(scene: &Scene, case: &Case) -> bool {
    scene.world.get(Kind::Pool, "", &case.name).await.unwrap().is_none()
}

fn order(scene: &Scene, cases: &[Case]) {
    for case in cases {
        scene.gate.follow(&case.name);
        scene.gate.hold(&case.name, &case.label, case.point);
        pool(&scene.world, &case.name, 1, "");
    }
}

fn assert_met(met: &Held, wanted: &[&str]) {
    for wanted in wanted {
        assert!(met.iter().any(|label| label.contains(wanted)), "{wanted}: {met:#?}");
    }
}

/// The writes that decide how many members there are.
const DECISIVE: &[&str] = &[
    "Before PATCH orchestrapools finalizers on",
    "Before PATCH orchestrapools/status",
    "After PATCH orchestrapools/status",
    "Before POST orchestradatabases",
    "After POST orchestradatabases",
    "createIssuedAt",
    "prepared",
];

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_dies_leaves_no_pool_with_a_project_too_many() {
    let scene = scene().await;
    let mut operator = scene.operator("first", &[]);
    let (made, end) = record(&scene).await;
    let all = cases("pk", &made);
    order(&scene, &all);
    let met = held(&scene, &all, async |case| is_filled(&scene, case).await).await;
    assert_met(&met, DECISIVE);
    scene.kill(&mut operator);
    for case in &all {
        scene.gate.release(&case.name, Release::Lose);
    }
    operator = scene.operator("second", &[]);
    scene.leads(&operator).await;
    for case in &all {
        whole(&scene, &case.name).await;
    }
    scene.sound().await;

    // At every write of the end of pools, too.
    let labels: BTreeSet<_> = end.into_iter().collect();
    let cuts = labels
        .into_iter()
        .flat_map(|label| [Point::Before, Point::After].map(|point| (label.clone(), point)));
    let ends = all.iter().zip(cuts).map(|(case, (label, point))| Case {
        name: case.name.clone(),
        label,
        point,
    });
    let ends: Vec<_> = ends.collect();
    for case in &ends {
        scene.gate.hold(&case.name, &case.label, case.point);
        delete(&scene, &case.name);
    }
    let met = held(&scene, &ends, async |case| is_gone(&scene, case).await).await;
    assert_met(
        &met,
        &[
            "Before DELETE orchestradatabases",
            "After DELETE orchestradatabases",
            "finalizers off",
        ],
    );
    scene.kill(&mut operator);
    for case in &ends {
        scene.gate.release(&case.name, Release::Lose);
    }
    let third = scene.operator("third", &[]);
    scene.leads(&third).await;
    for case in &ends {
        gone(&scene, &case.name).await;
    }
    scene.sound().await;
}

fn signal(operator: &Operator, signal: &str) {
    let id = operator.id().to_string();
    assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_operators_make_no_member_twice() {
    let scene = scene().await;
    let first = scene.operator("first", &[]);
    let (made, _) = record(&scene).await;
    let second = scene.operator("second", &[]);
    let all = cases("pr", &made);
    order(&scene, &all);
    let met = held(&scene, &all, async |case| is_filled(&scene, case).await).await;
    assert_met(&met, DECISIVE);
    signal(&first, "-STOP");
    scene.leads(&second).await;
    // The second one goes as far as it can. Then what the first one had sent arrives, and it continues where it was.
    tokio::time::sleep(Duration::from_secs(15)).await;
    for case in &all {
        scene.gate.release(&case.name, Release::Pass);
    }
    signal(&first, "-CONT");
    for case in &all {
        whole(&scene, &case.name).await;
    }
    scene.sound().await;
    drop((first, second));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_and_a_smaller_pool_never_get_the_same_member() {
    let scene = scene().await;
    class(&scene.world, "  pools: {names: [shrinks, grows], policy: PoolFirst}");
    let operator = scene.operator("first", &[]);
    scene.leads(&operator).await;

    // The member goes while an Orchestra is about to claim it.
    scene.gate.follow("shrinks");
    pool(&scene.world, "shrinks", 1, "");
    whole(&scene, "shrinks").await;
    let label = "PATCH orchestradatabases claimRef,className,reclaimPolicy";
    scene.gate.follow("late");
    scene.gate.hold("late", label, Point::Before);
    tenant(&scene.world, "late", "");
    scene
        .soon("the claim is held", async || scene.gate.held("late").is_some())
        .await;
    scene
        .world
        .kubectl(["scale", "orchpool/shrinks", "--replicas=0"])
        .unwrap();
    scene
        .soon("the member is destroyed", async || {
            scene
                .projects("shrinks")
                .iter()
                .all(|project| project.deleted.is_some())
        })
        .await;
    scene.gate.release("late", Release::Pass);
    ready(&scene.world, "late").await;
    assert_eq!(scene.projects("late").len(), 1, "the provider met its claim");

    // The member is claimed while its pool is about to destroy it.
    scene.gate.follow("grows");
    pool(&scene.world, "grows", 1, "");
    whole(&scene, "grows").await;
    scene.gate.hold("grows", "DELETE orchestradatabases ", Point::Before);
    scene
        .world
        .kubectl(["scale", "orchpool/grows", "--replicas=0"])
        .unwrap();
    scene
        .soon("the deletion is held", async || scene.gate.held("grows").is_some())
        .await;
    tenant(&scene.world, "early", "");
    ready(&scene.world, "early").await;
    scene.gate.release("grows", Release::Pass);
    let bound = |pool: &Value| {
        let status = &pool["status"];
        status["bound"] == 1 && status["replicas"] == 0 && condition(pool, "Ready").0 == "True"
    };
    scene.world.until(Kind::Pool, ("", "grows"), LONG, bound).await.unwrap();
    let projects = scene.projects("grows");
    assert!(projects.len() == 1 && projects[0].deleted.is_none(), "{projects:?}");
    assert!(scene.projects("early").is_empty(), "it has the pool's member");
    let early = scene
        .world
        .get(Kind::Orchestra, TENANTS, "early")
        .await
        .unwrap()
        .unwrap();
    assert!(is_true(&early, "Ready"), "{early:#}");
    scene.sound().await;
}
