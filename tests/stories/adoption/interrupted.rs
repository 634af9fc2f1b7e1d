//! An adoption while operators die and take over.

use std::time::Duration;

use orchestra_sandbox::api::Rule;
use orchestra_sandbox::gate::{Gate, Point, Release};
use orchestra_sandbox::world::{Kind, Operator, TENANTS, World, condition};
use serde_json::{Value, json};

use super::{adopter, is_deleted, lets_adopt, passwords_set, turn_mark};
use crate::orphans::project;
use crate::proof::{generous_world, soon, tenant};
use crate::support::{LONG, SYSTEM, gate, gone, kill, ready, reason, scalar, sources, standard_class};
use crate::way_back::{MEMBERS, delete, operator, taker};

/// The write that takes the project.
const ADOPTS: &str = "POST orchestradatabases claimRef,className,reclaimPolicy,supabase";

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "one story, in its order")]
async fn one_adopts_it_whenever_the_operator_dies_and_destroys_it_when_allowed() {
    let world = generous_world().await;
    let gate = gate(&world).await;
    let mut operator_ = operator(&world, &gate, "first");
    let stage = project(&world, "stage").await;
    // A template that the class puts into new databases.
    let class = "  deletion: {policy: Delete}\n  template: demo\n  templates:\n  - {name: demo, version: '1', \
                 migrations: {source: {configMapRef: {name: schema}}}, seed: {configMapRef: {name: demo-seed}}}";
    standard_class(&world, class);
    sources(&world);
    for map in ["schema", "demo-seed"] {
        let text = world
            .kubectl(["get", "configmap", map, "-n", TENANTS, "-o", "json"])
            .unwrap();
        let mut map: Value = serde_json::from_str(&text).unwrap();
        map["metadata"] = json!({"name": map["metadata"]["name"], "namespace": SYSTEM});
        world.apply(&map.to_string()).unwrap();
    }
    lets_adopt(&world, &[&stage], true);
    let steps = [
        (ADOPTS, Point::Before, Release::Lose),
        (ADOPTS, Point::After, Release::Pass),
        ("POST secrets password", Point::Before, Release::Lose),
    ];
    gate.follow("staged");
    let (all, database) = ("resetPassword: true, deletion: true", format!("orchdb-{stage}"));
    let mut down = None;
    for (number, (label, point, release)) in steps.into_iter().enumerate() {
        // What was written before a kill is not written again.
        gate.hold("staged", label, point);
        if number == 0 {
            adopter(&world, TENANTS, "staged", &stage, all, "");
        }
        if let Some(down) = down.take() {
            let waits = |object: &Value| condition(object, "Reconciling").1 == "ProviderUnavailable";
            world.until(Kind::Database, ("", &database), LONG, waits).await.unwrap();
            assert!(world.api.rules().remove(down));
        }
        soon("the write is held", async || gate.held("staged").is_some()).await;
        kill(&world, &mut operator_);
        gate.release("staged", release);
        if number == 1 {
            // The provider is down when the next operator starts.
            let rule = Rule {
                path: Some("^/v1/".into()),
                status: Some(503),
                text: Some("upstream".into()),
                ..Rule::default()
            };
            down = Some(world.api.rules().add(rule).unwrap());
        }
        operator_ = operator(&world, &gate, &format!("after-{number}"));
    }
    ready(&world, "staged").await;
    adopter(&world, TENANTS, "rival", &stage, all, "");
    reason(&world, "rival", "InUse").await;
    assert_eq!(passwords_set(&world), 1, "once");
    // The rows of the class's template are not asked for.
    assert_eq!(scalar(&mut tenant(&world, "staged").await, MEMBERS).await, 0);
    world
        .kubectl(["delete", "orch", "rival", "-n", TENANTS, "--timeout=60s"])
        .unwrap();
    assert!(!is_deleted(&world, &stage));
    // Another Orchestra's mark keeps it, whatever the policies say.
    turn_mark(&world, &stage).await;
    let kept = delete(&world, "staged", &database, "Released").await;
    assert_eq!(kept["spec"]["reclaimPolicy"], "Retain");
    turn_mark(&world, &stage).await;
    taker(&world, TENANTS, "heir", &database, ", deletionPolicy: Delete");
    ready(&world, "heir").await;
    assert!(!is_deleted(&world, &stage));
    world
        .kubectl(["delete", "orch", "heir", "-n", TENANTS, "--timeout=60s"])
        .unwrap();
    gone(&world, Kind::Database, "", &database).await;
    assert!(is_deleted(&world, &stage));
    a_late_write_of_a_former_leader_changes_nothing(&world, &gate, operator_).await;
    assert_eq!(world.api.ledger().projects().len(), 2, "none was bought");
}

/// The leader dies while its write that takes the project is on its way, another operator takes over, and then the write
/// arrives.
async fn a_late_write_of_a_former_leader_changes_nothing(world: &World, gate: &Gate, mut leader: Operator) {
    let depot = project(world, "depot").await;
    lets_adopt(world, &[&depot], true);
    let standby = operator(world, gate, "standby");
    let waits = || standby.log().contains("another operator leads; standing by");
    soon("it stands by", async || waits()).await;
    gate.follow("deputy");
    gate.hold("deputy", ADOPTS, Point::Before);
    let set = passwords_set(world);
    adopter(world, TENANTS, "deputy", &depot, "resetPassword: true", "");
    soon("the write is held", async || gate.held("deputy").is_some()).await;
    kill(world, &mut leader);
    let object = ready(world, "deputy").await;
    gate.release("deputy", Release::Pass);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let database = format!("orchdb-{depot}");
    let databases = world.list(Kind::Database).await.unwrap();
    let [database] = databases
        .iter()
        .filter(|it| it["metadata"]["name"] == database)
        .collect::<Vec<_>>()[..]
    else {
        panic!("one stands for the project: {databases:#?}");
    };
    assert_eq!(
        database["spec"]["claimRef"]["uid"], object["metadata"]["uid"],
        "{database:#}"
    );
    assert_eq!(passwords_set(world), set + 1, "once");
    drop(tenant(world, "deputy").await);
}
