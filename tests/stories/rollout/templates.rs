//! The sources of templates go over their tenants as the class's own does, within the same bounds.

use orchestra_sandbox::world::{Kind, TENANTS, World, condition, is_true};
use serde_json::json;

use super::{all_have, databases, has_table, orchestra, phase, rollout, tenant};
use crate::orphans::command;
use crate::support::{SYSTEM, reason, world};

fn source(world: &World, map: &str, migrations: &[(&str, &str)]) {
    let data: serde_json::Map<_, _> = migrations
        .iter()
        .map(|(name, script)| (format!("{name}.sql"), json!(script)))
        .collect();
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": map, "namespace": SYSTEM}, "data": data,
    });
    world.apply(&map.to_string()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "one story, in its order")]
async fn a_changed_template_is_rolled_out_over_its_own_tenants() {
    let world = world().await;
    let _operator = world.operator("operator", |_| {}).unwrap();
    databases(&world, 4).await;
    let small = ("1_small", "CREATE TABLE small (id int);");
    source(&world, "small", &[small]);
    source(&world, "large", &[("1_large", "CREATE TABLE large (id int);")]);
    world
        .apply(
            r#"
apiVersion: stagesub.io/v1alpha1
kind: OrchestraClass
metadata: {name: standard, annotations: {stagesub.io/is-default-class: "true"}}
spec:
  pools: {names: [house], policy: PoolOnly}
  rollout: {maxConcurrent: 1}
  templates:
    - {name: small, version: "1", migrations: {format: Prisma, source: {configMapRef: {name: small}}}}
    - {name: large, version: "1", migrations: {format: Prisma, source: {configMapRef: {name: large}}}}
  template: small
"#,
        )
        .unwrap();
    for (name, spec) in [
        ("s0", "{}"),
        ("s1", "{}"),
        ("l0", "{source: {templateRef: {name: large}}}"),
        ("l1", "{source: {templateRef: {name: large}}}"),
    ] {
        world
            .apply(&format!(
                "{{apiVersion: stagesub.io/v1alpha1, kind: Orchestra, metadata: {{name: {name}, namespace: {TENANTS}}}, \
                 spec: {spec}}}"
            ))
            .unwrap();
    }
    let all = ["s0", "s1", "l0", "l1"].map(str::to_owned);
    all_have(&world, &all, 1).await;
    let first = rollout(&world, |is| is["phase"] == "Complete" && is["updated"] == 4).await;
    let first = &first["status"]["rollout"]["revision"];

    // One of the two changes: its tenants are updated, and the others are as they were.
    let (before, more) = (orchestra(&world, "l0").await, ("2_more", "CREATE TABLE more (id int);"));
    source(&world, "small", &[small, more]);
    all_have(&world, &all[..2], 2).await;
    let second = rollout(&world, |is| is["phase"] == "Complete" && is["revision"] != *first).await;
    let skew = second["status"]["rollout"]["skew"].as_array().unwrap().clone();
    assert!(
        skew.iter().all(|is| is["tenants"] == 2 && is["current"] == true),
        "{skew:#?}"
    );
    let after = orchestra(&world, "l0").await;
    assert_eq!(after["status"]["migrations"], before["status"]["migrations"]);

    // What fails in one halts the class, and one that cannot be used is the class's to tell.
    source(
        &world,
        "large",
        &[("1_large", "CREATE TABLE large (id int);"), ("2_bad", "SELECT 1/0;")],
    );
    rollout(&world, phase("Halted")).await;
    source(
        &world,
        "small",
        &[small, more, ("3_held", "CREATE TABLE held (id int);")],
    );
    let held = rollout(&world, |is| {
        is["phase"] == "Halted" && is["failed"] == 1 && is["pending"] == 3
    })
    .await;
    assert!(condition(&held, "RolledOut").2.contains("tenants/l"), "{held:#}");
    for name in ["s0", "s1"] {
        assert!(is_true(&orchestra(&world, name).await, "Ready"));
        assert!(!has_table(&mut tenant(&world, name).await, "held").await);
    }
    source(&world, "large", &[("1_large", "\\connect other")]);
    let wrong = |class: &serde_json::Value| condition(class, "RolledOut").1 == "SourceInvalid";
    let limit = crate::support::LONG;
    world.until(Kind::Class, ("", "standard"), limit, wrong).await.unwrap();
    // Those of the other template are not delayed by it.
    all_have(&world, &all[..2], 3).await;
    source(
        &world,
        "large",
        &[("1_large", "CREATE TABLE large (id int);"), ("2_good", "SELECT 1;")],
    );
    all_have(&world, &all[2..], 2).await;
    rollout(&world, phase("Complete")).await;
    assert!(command(&world, &["rollout", "status", "standard"]).status.success());
    assert!(!reason(&world, "l1", "Ready").await.is_null());
}
