//! Backups of Orchestras: the Jobs that make and remove them are run as processes of this machine.

pub mod killed;
mod schedule;

use std::path::{Path, PathBuf};

use orchestra_sandbox::gate::Point;
use orchestra_sandbox::jobs::{JobRunner, Options};
use orchestra_sandbox::postgres::ensure_clients;
use orchestra_sandbox::world::{Kind, SYSTEM, TENANTS, World, condition, is_true};
use serde_json::Value;

use self::killed::STATUS;
use crate::proof::soon;
use crate::support::{LONG, gate, gone, kill, orchestra, ready, sources, standard_class, world};

pub const DESTINATION: &str = "  backup: {destination: {persistentVolumeClaim: {claimName: backups, prefix: eu}}}";

pub fn backup(world: &World, name: &str, of: &str, policy: &str) {
    world
        .apply(&format!(
            "{{apiVersion: stagesub.io/v1alpha1, kind: OrchestraBackup, metadata: {{name: {name}, namespace: {TENANTS}}}, \
             spec: {{orchestraRef: {{name: {of}}}, deletionPolicy: {policy}}}}}"
        ))
        .unwrap();
}

pub async fn runner(world: &World) -> JobRunner {
    let clients = tokio::task::spawn_blocking(ensure_clients).await.unwrap().unwrap();
    let options = Options {
        program: env!("CARGO_BIN_EXE_orchestra-backup").into(),
        namespace: SYSTEM.into(),
        dir: world.dir().join("jobs"),
        env: vec![
            ("ORCHESTRA_PG_CLIENTS".into(), clients.display().to_string()),
            ("PATH".into(), std::env::var("PATH").unwrap_or_default()),
        ],
    };
    JobRunner::start(world.admin.clone(), options)
}

pub async fn until(world: &World, name: &str, is: impl Fn(&Value) -> bool) -> Value {
    world.until(Kind::Backup, (TENANTS, name), LONG, is).await.unwrap()
}

/// Makes a backup of `acme`. While it waits for a table that is locked, its status says how far it is.
async fn says_how_far_it_is(world: &World, name: &str) {
    let object = ready(world, "acme").await;
    let reference = object["status"]["project"]["ref"].as_str().unwrap();
    let mut locks = world.api.project(reference).await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE \"Member\"")
        .execute(&mut locks)
        .await
        .unwrap();
    backup(world, name, "acme", "Delete");
    let running = until(world, name, |object| object["status"]["attempts"] == 1).await;
    let job = format!("backup-{}-1", running["metadata"]["uid"].as_str().unwrap());
    let says = |folder: &Path| {
        let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
        log.contains("{\"progress\":")
    };
    soon("its log says how far it is", async || {
        let pods = std::fs::read_dir(world.dir().join("jobs")).unwrap().flatten();
        let mut of_job = pods.filter(|pod| pod.file_name().to_string_lossy().starts_with(&job));
        of_job.any(|pod| says(&pod.path()))
    })
    .await;
    // Not only at the next look.
    world
        .kubectl(["annotate", "orchbackup", name, "-n", TENANTS, "look=now"])
        .unwrap();
    let told = until(world, name, |object| object["status"]["progress"]["stage"].is_string()).await;
    let progress = &told["status"]["progress"];
    assert!(
        ["snapshot", "app"].contains(&progress["stage"].as_str().unwrap()) && progress["time"].is_string(),
        "{progress:#}"
    );
    drop(locks);
    let done = until(world, name, |object| is_true(object, "Ready")).await;
    assert!(done["status"]["progress"].is_null(), "{done:#}");
}

/// The manifests in the volume.
pub fn manifests(world: &World) -> Vec<PathBuf> {
    fn find(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                find(&path, found);
            } else if path.ends_with("manifest.json") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    find(&world.dir().join("jobs/volumes/backups"), &mut found);
    found
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "one story, in its order")]
async fn a_backup_is_made_kept_and_removed() {
    let world = world().await;
    let mut operator = world.operator("operator", |_| {}).unwrap();
    standard_class(&world, "");
    sources(&world);
    orchestra(&world, "acme", "");
    ready(&world, "acme").await;

    // The class says nothing of backups: the message says what to do.
    backup(&world, "early", "acme", "Retain");
    let stalled = until(&world, "early", |object| is_true(object, "Stalled")).await;
    let (_, reason, message) = condition(&stalled, "Ready");
    assert_eq!(reason, "NoBackupDestination");
    assert!(message.contains("spec.backup.destination"), "{message}");
    assert_eq!(world.list(Kind::Job).await.unwrap().len(), 0);

    // The operator is killed after each of its writes.
    kill(&world, &mut operator);
    standard_class(&world, DESTINATION);
    let _runner = runner(&world).await;
    let gate = gate(&world).await;
    gate.serve_logs(&world.dir().join("jobs"));
    let secret = format!("/backup-{}-1", stalled["metadata"]["uid"].as_str().unwrap());
    let writes = [
        (STATUS, "\"location\":", Point::After),
        (STATUS, "\"attempts\":1", Point::After),
        ("POST secrets", "manifest-key", Point::After),
        ("PATCH secrets", "order.json", Point::After),
        ("POST jobs", "", Point::After),
        (STATUS, "\"concluded\":1", Point::After),
        ("DELETE secrets", "/backup-manifest-key-", Point::After),
        ("DELETE jobs", "", Point::After),
        ("DELETE secrets", secret.as_str(), Point::After),
    ];
    let mut operator = killed::at_each(&world, &gate, ("making", &stalled), &writes).await;
    let done = until(&world, "early", |object| is_true(object, "Ready")).await;
    let status = &done["status"];
    assert_eq!(
        (&status["phase"], &status["attempts"]),
        (&"Completed".into(), &1.into()),
        "{status:#}"
    );
    assert!(status["bytes"].as_i64().unwrap() > 0 && status["manifestDigest"].as_str().unwrap().len() == 64);
    let written = manifests(&world);
    assert_eq!(written.len(), 1);
    let path = format!(
        "jobs/volumes/backups/eu/{}/manifest.json",
        status["path"].as_str().unwrap()
    );
    assert_eq!(written[0], world.dir().join(path));
    // Nothing of the work is left, and no password appears.
    let jobs = world.list(Kind::Job).await.unwrap();
    assert_eq!(jobs.len(), 0, "{jobs:?}");
    let secret = format!("backup-{}-1", done["metadata"]["uid"].as_str().unwrap());
    assert_eq!(world.get(Kind::Secret, SYSTEM, &secret).await.unwrap(), None);
    let key = format!("backup-manifest-key-{}", done["metadata"]["uid"].as_str().unwrap());
    assert_eq!(world.get(Kind::Secret, SYSTEM, &key).await.unwrap(), None);
    assert!(
        std::fs::read_to_string(&written[0])
            .unwrap()
            .contains("\n  \"mac\": \""),
        "the manifest is sealed"
    );

    says_how_far_it_is(&world, "nightly").await;
    assert_eq!(manifests(&world).len(), 2);
    let nightly = world.get(Kind::Backup, TENANTS, "nightly").await.unwrap().unwrap();
    kill(&world, &mut operator);
    world
        .kubectl([
            "delete",
            "orchbackup",
            "early",
            "nightly",
            "-n",
            TENANTS,
            "--wait=false",
        ])
        .unwrap();
    let writes = [
        (STATUS, "\"attempts\":2", Point::After),
        ("PATCH secrets", "order.json", Point::After),
        ("POST jobs", "", Point::After),
        ("DELETE jobs", "/backup-removal-", Point::After),
        ("PATCH orchestrabackups finalizers off", "", Point::After),
    ];
    let _operator = killed::at_each(&world, &gate, ("removing", &nightly), &writes).await;
    for name in ["early", "nightly"] {
        gone(&world, Kind::Backup, TENANTS, name).await;
    }
    assert_eq!(
        manifests(&world),
        written,
        "the data of the one with Retain stays, and the other's is gone"
    );
}
