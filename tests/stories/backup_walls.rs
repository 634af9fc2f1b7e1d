//! What cannot be reached through a backup: other databases, other folders of the store.

use std::time::Duration;

use orchestra_sandbox::world::{Kind, SYSTEM, TENANTS, World, condition, is_true};
use serde_json::{Value, json};

use crate::backup::{DESTINATION, backup, manifests, runner, until};
use crate::pool::{house, inventory};
use crate::proof::soon;
use crate::support::{LONG, gone, orchestra, patch_status, ready, sources, standard_class, world};

/// Writes a part of a backup's status, as somebody with that right alone.
fn forge(world: &World, name: &str, status: &Value) {
    patch_status(world, "orchbackup", name, status);
}

fn stalls(reason: &'static str) -> impl Fn(&Value) -> bool {
    move |object| is_true(object, "Stalled") && condition(object, "Ready").1 == reason
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inventory_that_was_reordered_gives_nobody_anothers_rows() {
    let world = world().await;
    let _operator = world.operator("operator", |_| {}).unwrap();
    sources(&world);
    let entries = inventory(&world, &["one", "two"]).await;
    house(&world, &entries);
    world
        .apply(&format!(
            "apiVersion: stagesub.io/v1alpha1\nkind: OrchestraClass\nmetadata: {{name: standard, annotations: \
             {{stagesub.io/is-default-class: \"true\"}}}}\nspec:\n  pools: {{names: [house], policy: PoolOnly}}\n{DESTINATION}\n"
        ))
        .unwrap();
    for name in ["first", "second"] {
        orchestra(&world, name, "");
        ready(&world, name).await;
    }
    house(
        &world,
        &[
            entries[1].replace("POOL_2", "POOL_1"),
            entries[0].replace("POOL_1", "POOL_2"),
        ],
    );
    let _runner = runner(&world).await;
    backup(&world, "swapped", "first", "Retain");
    let stalled = until(&world, "swapped", stalls("InvalidEntry")).await;
    let message = condition(&stalled, "Ready").2;
    assert!(message.contains("leads to another database"), "{message}");
    assert_eq!(manifests(&world).len(), 0);
    // The entries are put back, and a person asks again.
    house(&world, &entries);
    tokio::time::sleep(Duration::from_secs(1)).await;
    world
        .kubectl([
            "annotate",
            "orchbackup",
            "swapped",
            "-n",
            TENANTS,
            "stagesub.io/retry-requested-at=now",
        ])
        .unwrap();
    until(&world, "swapped", |object| is_true(object, "Ready")).await;
    assert_eq!(manifests(&world).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "one story, in its order")]
async fn a_forged_status_reaches_no_other_tenants_database_or_folder() {
    const RIVALS: &str = "rivals";
    let world = world().await;
    let _operator = world.operator("operator", |_| {}).unwrap();
    standard_class(&world, "");
    sources(&world);
    orchestra(&world, "acme", "");
    world.kubectl(["create", "namespace", RIVALS]).unwrap();
    world
        .apply(&format!(
            "{{apiVersion: stagesub.io/v1alpha1, kind: Orchestra, metadata: {{name: victim, namespace: {RIVALS}}}, spec: {{}}}}"
        ))
        .unwrap();
    let acme = ready(&world, "acme").await;
    let is_ready = |object: &Value| is_true(object, "Ready");
    let victim = world
        .until(Kind::Orchestra, (RIVALS, "victim"), LONG, is_ready)
        .await
        .unwrap();

    // Their statuses say that they are recorded, before the operator can record them.
    let no_store = stalls("NoBackupDestination");
    for name in ["thief", "stray"] {
        backup(&world, name, "acme", "Delete");
        until(&world, name, &no_store).await;
    }
    let recorded = |of: &Value| {
        json!({"className": "standard", "databaseName": of["status"]["databaseName"], "orchestraUid": of["metadata"]["uid"],
            "path": "anywhere/at-all"})
    };
    forge(&world, "thief", &recorded(&victim));
    forge(&world, "stray", &recorded(&acme));
    standard_class(&world, DESTINATION);
    let told = until(&world, "thief", stalls("DatabaseGone")).await;
    assert!(
        condition(&told, "Ready").2.contains("this Orchestra does not claim it"),
        "{told:#}"
    );
    let told = until(&world, "stray", stalls("BackupFailed")).await;
    assert!(condition(&told, "Ready").2.contains("anywhere/at-all"), "{told:#}");
    assert_eq!(world.list(Kind::Job).await.unwrap().len(), 0, "no Job has a login");

    // A removal of another's data.
    let _runner = runner(&world).await;
    world
        .apply(&format!(
            "{{apiVersion: stagesub.io/v1alpha1, kind: OrchestraBackup, metadata: {{name: theirs, namespace: {RIVALS}}}, \
             spec: {{orchestraRef: {{name: victim}}}}}}"
        ))
        .unwrap();
    let theirs = world
        .until(Kind::Backup, (RIVALS, "theirs"), LONG, is_ready)
        .await
        .unwrap();
    backup(&world, "wiper", "acme", "Delete");
    until(&world, "wiper", is_ready).await;
    assert_eq!(manifests(&world).len(), 2);
    let status = &theirs["status"];
    forge(
        &world,
        "wiper",
        &json!({"path": status["path"], "location": status["location"]}),
    );
    world
        .kubectl(["delete", "orchbackup", "wiper", "-n", TENANTS, "--wait=false"])
        .unwrap();
    let told = until(&world, "wiper", |object| is_true(object, "Stalled")).await;
    assert!(
        condition(&told, "Stalled").2.contains("deletionPolicy: Retain"),
        "{told:#}"
    );
    assert_eq!(manifests(&world).len(), 2, "nothing is removed");
    // What the message says ends it.
    world
        .kubectl([
            "patch",
            "orchbackup",
            "wiper",
            "-n",
            TENANTS,
            "--type=merge",
            "-p",
            r#"{"spec":{"deletionPolicy":"Retain"}}"#,
        ])
        .unwrap();
    gone(&world, Kind::Backup, TENANTS, "wiper").await;
    assert_eq!(manifests(&world).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_job_at_a_time_backs_up_an_orchestra_and_credentials_are_noticed() {
    let world = world().await;
    let _operator = world.operator("operator", |_| {}).unwrap();
    let store = "  backup: {destination: {s3: {bucket: bucket, region: r, credentialsSecretRef: {name: backups}}}}";
    standard_class(&world, store);
    sources(&world);
    orchestra(&world, "acme", "");
    ready(&world, "acme").await;
    for name in ["one", "two"] {
        backup(&world, name, "acme", "Retain");
        let told = until(&world, name, stalls("StoreRefused")).await;
        assert!(condition(&told, "Ready").2.contains("AWS_ACCESS_KEY_ID"), "{told:#}");
    }
    // No other change than that of the Secret.
    world
        .apply(&format!(
            "{{apiVersion: v1, kind: Secret, metadata: {{name: backups, namespace: {SYSTEM}}}, \
             stringData: {{AWS_ACCESS_KEY_ID: key, AWS_SECRET_ACCESS_KEY: hush}}}}"
        ))
        .unwrap();
    soon("the Job of one is there, and the other one waits", async || {
        let mut phases = Vec::new();
        for name in ["one", "two"] {
            let object = world.get(Kind::Backup, TENANTS, name).await.unwrap().unwrap();
            phases.push(object["status"]["phase"].as_str().unwrap_or_default().to_owned());
        }
        phases.sort();
        world.list(Kind::Job).await.unwrap().len() == 1 && phases == ["Queued", "Running"]
    })
    .await;
    // It stays so while the first one runs.
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert_eq!(world.list(Kind::Job).await.unwrap().len(), 1);
}
