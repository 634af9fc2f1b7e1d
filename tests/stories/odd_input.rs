//! Odd input, and its clear end: two default classes, names at their limits, a region that there is not.

use std::time::Duration;

use orchestra_sandbox::world::{Kind, TENANTS, World, condition, is_true};
use serde_json::Value;

use crate::proof::{generous_world, one_project_and_both_logins};
use crate::support::{LONG, orchestra, ready, reason, sources, standard_class};

/// Fields of which a database that exists would take no notice, and that could not be taken back.
fn what_a_database_cannot_become_is_refused(world: &World, region: &str) {
    let patch = |spec: &str| {
        let patch = format!(r#"{{"spec":{spec}}}"#);
        world.kubectl(["patch", "orch", "one", "-n", TENANTS, "--type=merge", "-p", &patch])
    };
    let placed = |region: &str| format!(r#"{{"placement":{{"region":"{region}"}}}}"#);
    for (spec, says) in [
        (
            placed("ap-southeast-2"),
            "placement cannot be added to an Orchestra whose database is elsewhere",
        ),
        (
            r#"{"className":"standard"}"#.to_owned(),
            "className must be the class that the database was claimed through",
        ),
    ] {
        let refused = patch(&spec).unwrap_err().to_string();
        assert!(refused.contains(says), "{spec}: {refused}");
    }
    for spec in [placed(region), r#"{"className":"newer"}"#.to_owned()] {
        patch(&spec).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_default_classes_the_youngest_is_taken_and_both_say_so() {
    let world = generous_world().await;
    let _operator = world.operator("operator", |_| {}).unwrap();
    standard_class(&world, "");
    sources(&world);
    let ready_class = |object: &Value| is_true(object, "Ready");
    world
        .until(Kind::Class, ("", "standard"), LONG, ready_class)
        .await
        .unwrap();
    // Creation times are in whole seconds.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    world
        .apply(
            r#"
apiVersion: stagesub.io/v1alpha1
kind: OrchestraClass
metadata: {name: newer, annotations: {stagesub.io/is-default-class: "true"}}
spec:
  provider: {supabase: {organization: acme-org, tokenSecretRef: {name: supabase-token}}}
"#,
        )
        .unwrap();
    for (name, other) in [("standard", "newer"), ("newer", "standard")] {
        let says = |object: &Value| {
            let (status, _, message) = condition(object, "Ready");
            status == "True"
                && message.contains(&format!("Class {other} is marked as the default one, too"))
                && message.contains("Orchestras without className use newer, because it is the newest")
        };
        world.until(Kind::Class, ("", name), LONG, says).await.unwrap();
    }
    orchestra(&world, "one", "");
    let one = ready(&world, "one").await;
    assert_eq!(one["status"]["className"], "newer");
    what_a_database_cannot_become_is_refused(&world, one["status"]["project"]["region"].as_str().unwrap());

    world
        .kubectl(["annotate", "orchclass", "newer", "stagesub.io/is-default-class-"])
        .unwrap();
    let alone = |object: &Value| condition(object, "Ready").2 == "claims can be met";
    world.until(Kind::Class, ("", "standard"), LONG, alone).await.unwrap();
    assert_eq!(
        ready(&world, "one").await["status"]["className"],
        "newer",
        "a claim stays where it is"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_names_and_regions_have_a_clear_end() {
    let world = generous_world().await;
    let _operator = world.operator("operator", |_| {}).unwrap();
    standard_class(&world, "");
    sources(&world);
    // 253 characters are a name that Kubernetes takes; 200 with dots are one that works.
    let long = |length: usize| {
        "a.b1-"
            .repeat(60)
            .chars()
            .take(length - 1)
            .chain(['z'])
            .collect::<String>()
    };
    let manifest = |name: &str| {
        format!(
            "{{apiVersion: stagesub.io/v1alpha1, kind: Orchestra, metadata: {{name: {name}, namespace: {TENANTS}}}, spec: {{}}}}"
        )
    };
    let refused = world.apply(&manifest(&long(253))).unwrap_err().to_string();
    assert!(
        refused.contains("metadata.name must have at most 200 characters"),
        "{refused}"
    );
    world.apply(&manifest(&long(200))).unwrap();
    one_project_and_both_logins(&world, &long(200)).await;

    orchestra(&world, "nowhere", "  placement: {region: eu-nowhere-9}");
    let refused = reason(&world, "nowhere", "RequestRefused").await;
    assert!(is_true(&refused, "Stalled"), "{refused:#}");
    let (_, _, message) = condition(&refused, "Ready");
    assert!(
        message.contains("region eu-nowhere-9") && message.contains("again with another region"),
        "{message}"
    );
    assert_eq!(world.api.ledger().projects().len(), 1, "nothing was bought");
}
