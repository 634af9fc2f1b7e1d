//! A database is backed up before it is destroyed, and is not destroyed while its store is down, or because a status says that
//! it is backed up.

use std::fs;
use std::time::Duration;

use orchestra_sandbox::world::{Kind, TENANTS, World, condition, is_true};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::backup::{DESTINATION, manifests, runner, until};
use crate::support::{LONG, events_with, gone, kill, orchestra, patch_status, ready, sources, standard_class, world};

async fn database(world: &World, name: &str, is: impl Fn(&Value) -> bool) -> Value {
    world.until(Kind::Database, ("", name), LONG, is).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "one story, in its order")]
async fn a_database_is_destroyed_only_with_its_final_backup() {
    let world = world().await;
    let mut operator = world.operator("operator", |_| {}).unwrap();
    let class = |backup: &str| {
        standard_class(
            &world,
            &format!("{DESTINATION}\n  deletion: {{policy: Delete, finalBackup: {backup}}}"),
        );
    };
    class("Required");
    sources(&world);
    orchestra(&world, "acme", "");
    let object = ready(&world, "acme").await;
    let name = object["status"]["databaseName"].as_str().unwrap().to_owned();
    // The store is down: a file is where its folder would be.
    let volume = world.dir().join("jobs/volumes/backups");
    fs::create_dir_all(&volume).unwrap();
    fs::write(volume.join("eu"), "no folder").unwrap();
    let _runner = runner(&world).await;
    world
        .kubectl(["delete", "orch", "acme", "-n", TENANTS, "--wait=false"])
        .unwrap();
    gone(&world, Kind::Orchestra, TENANTS, "acme").await;
    let waits = database(&world, &name, |object| object["status"]["finalBackup"].is_object()).await;
    // The operator is killed when the name of the backup is recorded.
    kill(&world, &mut operator);
    let backup = waits["status"]["finalBackup"]["name"].as_str().unwrap().to_owned();
    assert!(backup.starts_with("acme-final-"), "{backup}");
    // A status that says that the database was never in use is not believed.
    patch_status(&world, "orchdb", &name, &json!({"usableSince": null}));
    // An Orchestra of the same name is another one: its database is not what is backed up.
    orchestra(&world, "acme", "");
    let _operator = world.operator("second", |_| {}).unwrap();
    until(&world, &backup, |object| object["status"]["failure"].is_object()).await;
    let held = database(&world, &name, |object| {
        let (_, reason, _) = condition(object, "Ready");
        ["FinalBackup", "FinalBackupFailed"].contains(&reason.as_str())
    })
    .await;
    assert!(held["metadata"]["deletionTimestamp"].is_null(), "{held:#}");
    assert!(world.api.ledger().projects()[0].deleted.is_none());
    // The store is there again.
    fs::remove_file(volume.join("eu")).unwrap();
    world
        .kubectl([
            "annotate",
            "orchbackup",
            &backup,
            "-n",
            TENANTS,
            "--overwrite",
            "stagesub.io/retry-requested-at=now",
        ])
        .unwrap();
    let done = until(&world, &backup, |object| is_true(object, "Ready")).await;
    assert_eq!(done["status"]["databaseName"], name.as_str());
    gone(&world, Kind::Database, "", &name).await;
    let renewed = ready(&world, "acme").await;
    assert_ne!(renewed["status"]["databaseName"], name.as_str());
    assert!(world.api.ledger().projects()[0].deleted.is_some());
    assert!(is_true(&until(&world, &backup, |_| true).await, "Ready"));

    // A class with `BestEffort`: the database is destroyed once its backup waits for a person, and an event says so.
    standard_class(
        &world,
        "  backup: {destination: {s3: {bucket: backups, credentialsSecretRef: {name: absent}}}}\n  \
         deletion: {policy: Delete, finalBackup: BestEffort}",
    );
    let name = renewed["status"]["databaseName"].as_str().unwrap().to_owned();
    world
        .kubectl(["delete", "orch", "acme", "-n", TENANTS, "--wait=false"])
        .unwrap();
    gone(&world, Kind::Database, "", &name).await;
    events_with(&world, "the operator destroys the database").await;
    assert_eq!(world.list(Kind::Backup).await.unwrap().len(), 2);
}

/// Somebody who may write `orchestrabackups/status` reports the final backup as complete, and as one of another database,
/// before any Job has run: the database stays until a Job has stored its backup.
#[tokio::test(flavor = "multi_thread")]
async fn a_forged_final_backup_permits_no_destruction() {
    let world = world().await;
    let _operator = world.operator("operator", |_| {}).unwrap();
    standard_class(
        &world,
        &format!("{DESTINATION}\n  deletion: {{policy: Delete, finalBackup: Required}}"),
    );
    sources(&world);
    orchestra(&world, "acme", "");
    let object = ready(&world, "acme").await;
    let name = object["status"]["databaseName"].as_str().unwrap().to_owned();
    world
        .kubectl(["delete", "orch", "acme", "-n", TENANTS, "--wait=false"])
        .unwrap();
    gone(&world, Kind::Orchestra, TENANTS, "acme").await;
    let waits = database(&world, &name, |object| object["status"]["finalBackup"].is_object()).await;
    let backup = waits["status"]["finalBackup"]["name"].as_str().unwrap().to_owned();
    until(&world, &backup, |object| object["status"]["attempts"] == 1).await;
    orchestra(&world, "acme", "");
    let decoy = ready(&world, "acme").await;
    let digest = "0".repeat(64);
    let conditions = json!([{"type": "Ready", "status": "True", "reason": "BackedUp", "message": "the backup is complete",
        "lastTransitionTime": "2026-01-01T00:00:00Z"}]);
    let forged = json!({"phase": "Completed", "manifestDigest": digest, "completionTime": "2026-01-01T00:00:00Z",
        "databaseName": decoy["status"]["databaseName"], "orchestraUid": decoy["metadata"]["uid"], "conditions": conditions});
    for _ in 0..6 {
        patch_status(&world, "orchbackup", &backup, &forged);
        tokio::time::sleep(Duration::from_millis(500)).await;
        let held = world.get(Kind::Database, "", &name).await.unwrap().unwrap();
        assert!(held["metadata"]["deletionTimestamp"].is_null(), "{held:#}");
        assert!(
            world
                .api
                .ledger()
                .projects()
                .iter()
                .all(|project| project.deleted.is_none())
        );
    }
    assert_eq!(manifests(&world).len(), 0);

    let _runner = runner(&world).await;
    gone(&world, Kind::Database, "", &name).await;
    let is_done = |object: &Value| is_true(object, "Ready") && object["status"]["manifestDigest"] != digest.as_str();
    let done = until(&world, &backup, is_done).await;
    assert_eq!(done["status"]["databaseName"], name.as_str());
    let written = manifests(&world);
    assert_eq!(written.len(), 1);
    let manifest = fs::read(&written[0]).unwrap();
    assert_eq!(done["status"]["manifestDigest"], hex::encode(Sha256::digest(&manifest)));
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    assert_eq!(manifest["subject"]["databaseName"], name.as_str());
    assert_eq!(manifest["subject"]["orchestraUid"], object["metadata"]["uid"]);
}

/// The namespace of a deleted Orchestra is deleted before its final backup is complete, and created again, perhaps for another
/// tenant: the backup is made in the operator's namespace.
#[tokio::test(flavor = "multi_thread")]
async fn a_later_namespace_of_the_same_name_gets_no_final_backup() {
    let world = world().await;
    let _operator = world.operator("operator", |_| {}).unwrap();
    standard_class(
        &world,
        &format!("{DESTINATION}\n  deletion: {{policy: Delete, finalBackup: Required}}"),
    );
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "brass"}}).to_string();
    world.apply(&namespace).unwrap();
    let object = json!({"apiVersion": "stagesub.io/v1alpha1", "kind": "Orchestra",
        "metadata": {"name": "acme", "namespace": "brass"},
        "spec": {"migrations": {"source": {"inline": {"1_a/migration.sql": "CREATE TABLE a (id int)"}}}}});
    world.apply(&object.to_string()).unwrap();
    let is_ready = |object: &Value| is_true(object, "Ready");
    let object = world
        .until(Kind::Orchestra, ("brass", "acme"), LONG, is_ready)
        .await
        .unwrap();
    let name = object["status"]["databaseName"].as_str().unwrap().to_owned();
    let claimed = world.get(Kind::Database, "", &name).await.unwrap().unwrap();
    assert!(claimed["spec"]["claimRef"]["namespaceUid"].is_string(), "{claimed:#}");
    world
        .kubectl(["delete", "orch", "acme", "-n", "brass", "--wait=false"])
        .unwrap();
    // No Job is run: the backup is under way.
    let begun = |object: &Value| object["status"]["finalBackup"]["namespace"] == "brass";
    database(&world, &name, begun).await;
    world.kubectl(["delete", "namespace", "brass"]).unwrap();
    world.apply(&namespace).unwrap();
    let moved = |object: &Value| object["status"]["finalBackup"]["namespace"] == "orchestra-system";
    let held = database(&world, &name, moved).await;
    assert!(held["metadata"]["deletionTimestamp"].is_null(), "{held:#}");
    let _runner = runner(&world).await;
    gone(&world, Kind::Database, "", &name).await;
    let backups = world.list(Kind::Backup).await.unwrap();
    let [backup] = &backups[..] else {
        panic!("{backups:#?}");
    };
    assert_eq!(backup["metadata"]["namespace"], "orchestra-system");
    assert!(is_true(backup, "Ready"), "{backup:#}");
}
