//! A database near to a place: the nearest allowed region that takes new projects, exactly one project, and why it is
//! there.

use orchestra_sandbox::api::{Fault, Operation, Rule};
use orchestra_sandbox::world::{TENANTS, is_true};
use serde_json::json;

use crate::proof::{generous_world, one_project_and_both_logins, soon};
use crate::support::{orchestra, project, ready, reason, sources, standard_class};

fn full() -> Fault {
    Fault::Refuse {
        status: 400,
        message: "The selected region is at capacity, please choose another one.".into(),
    }
}

/// The list of regions says that one takes no new projects.
fn closed(index: usize) -> Rule {
    Rule {
        path: Some("/available-regions$".into()),
        edit: vec![json!({"op": "add", "path": format!("/all/specific/{index}/status"), "value": "capacity"})],
        ..Rule::default()
    }
}

/// Position of eu-north-1 in the stand-in's list.
const STOCKHOLM: usize = 11;

#[tokio::test(flavor = "multi_thread")]
async fn the_nearest_region_with_capacity_is_taken_and_never_one_outside_of_the_list() {
    let world = generous_world().await;
    standard_class(
        &world,
        "  placement: {strategy: Nearest, allowedRegions: [eu-central-1, eu-west-3, eu-north-1]}",
    );
    sources(&world);
    world.api.rules().add(closed(STOCKHOLM)).unwrap();
    // The list says that Stockholm is full, Frankfurt refuses, and the operator dies when Paris has created.
    world.api.faults().add(Operation::CreateProject, 1, full());
    world.api.faults().add(Operation::CreateProject, 1, Fault::HoldAfter);
    let mut operator = world.operator("operator", |_| {}).unwrap();
    orchestra(&world, "nordic", "  placement: {near: SE}");
    world.api.faults().wait_until_held(Operation::CreateProject).await;
    let mut standby = world.operator("second", |_| {}).unwrap();
    soon("another operator stands by", async || {
        standby.log().contains("standing by")
    })
    .await;
    operator.kill().unwrap();
    world.api.faults().release(Operation::CreateProject);
    let object = one_project_and_both_logins(&world, "nordic").await;
    assert_eq!(object["status"]["project"]["region"], "eu-west-3");
    assert_eq!(object["status"]["placement"]["region"], "eu-west-3");
    let why = object["status"]["placement"]["reason"].as_str().unwrap();
    for part in [
        "eu-west-3 is the nearest region to SE, ",
        "eu-north-1 (the provider's list",
        "eu-central-1 (it has refused",
    ] {
        assert!(why.contains(part), "{part:?} is not in {why:?}");
    }
    let shown = world.kubectl(["get", "orchdb"]).unwrap();
    assert!(shown.contains("eu-west-3") && !shown.contains("eu-north-1"), "{shown}");
    let shown = "jsonpath={range .items[*]}{.reason} {.message}{\"\\n\"}{end}";
    let events = world.kubectl(["get", "events", "-A", "-o", shown]).unwrap();
    assert!(
        events.contains("RegionChosen eu-central-1 is the nearest region to SE"),
        "{events}"
    );

    // All three refuse: it waits, and asks for none outside of the list.
    world.api.faults().add(Operation::CreateProject, 3, full());
    orchestra(
        &world,
        "waits",
        "  placement: {near: {latitude: 35.68, longitude: 139.69}}",
    );
    let held = reason(&world, "waits", "RegionAtCapacity").await;
    assert!(is_true(&held, "Stalled"), "{held}");
    world.api.rules().clear();
    standby.kill().unwrap();
    let operator = world.operator("third", |_| {}).unwrap();
    let object = one_project_and_both_logins(&world, "waits").await;
    let region = object["status"]["project"]["region"].as_str().unwrap();
    assert!(
        ["eu-central-1", "eu-west-3", "eu-north-1"].contains(&region),
        "{region}"
    );
    drop(operator);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_list_of_the_provider_the_distance_decides_and_the_samples_are_ready() {
    let world = generous_world().await;
    standard_class(&world, "");
    let _operator = world.operator("operator", |_| {}).unwrap();
    // The provider's list cannot be read.
    let broken = Rule {
        path: Some("/available-regions$".into()),
        status: Some(503),
        text: Some("upstream".into()),
        ..Rule::default()
    };
    let broken = world.api.rules().add(broken).unwrap();
    let sample = project().join("deploy/samples/near.yaml");
    world.kubectl(["apply", "-f", sample.to_str().unwrap()]).unwrap();
    for (name, region) in [("nordic-orchestra", "eu-north-1"), ("by-the-sea", "eu-west-1")] {
        let object = ready(&world, name).await;
        assert_eq!(object["status"]["project"]["region"], region, "{name}: {object:#}");
    }
    assert!(world.api.rules().remove(broken));

    let refused = world
        .apply(&format!(
            "{{apiVersion: stagesub.io/v1alpha1, kind: Orchestra, metadata: {{name: odd, namespace: {TENANTS}}}, \
             spec: {{placement: {{near: XX}}}}}}"
        ))
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("spec.placement.near: Invalid value: \"XX\""),
        "{refused}"
    );
}
