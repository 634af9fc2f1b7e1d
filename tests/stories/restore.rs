//! An Orchestra that is restored from a backup: the operator and the Job are killed on the way, and a backup that cannot be
//! restored is reported before anything is bought.

use std::time::{Duration, Instant};

use age::secrecy::ExposeSecret as _;
use orchestra_sandbox::gate::Point;
use orchestra_sandbox::world::{Kind, SYSTEM, TENANTS, World, condition, is_true};
use serde_json::Value;
use sqlx::Executor as _;

use crate::backup::killed::at_each;
use crate::backup::{DESTINATION, backup, runner, until};
use crate::support::{
    LONG, events_with, gate, gone, kill, login, orchestra, patch_config_map, project, ready, reason, scalar, secret,
    sources, standard_class, world,
};

/// The status of an Orchestra.
const STATUS: &str = "PATCH orchestras/status";

/// As [`LONG`], for two restores one after the other.
const LONGER: Duration = Duration::from_mins(8);

async fn restored(world: &World, name: &str, is: impl Fn(&Value) -> bool) -> Value {
    world.until(Kind::Orchestra, (TENANTS, name), LONGER, is).await.unwrap()
}

fn from_backup(world: &World, name: &str, of: &str) {
    orchestra(world, name, &format!("  source: {{backupRef: {{name: {of}}}}}"));
}

fn delete(world: &World, name: &str) {
    world
        .kubectl(["delete", "orch", name, "-n", TENANTS, "--wait=false"])
        .unwrap();
}

/// Kills the program of a Job's pod, and its client, once the client runs with this argument.
async fn kill_job(name: &str, argument: &str) {
    let began = Instant::now();
    let lines = || {
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        let numbers = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        numbers.filter_map(|pid| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
            let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let parent: u32 = status.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()?;
            Some((pid, parent, String::from_utf8_lossy(&line).replace('\0', " ")))
        })
    };
    loop {
        let all: Vec<_> = lines().collect();
        let job = all
            .iter()
            .find(|(.., line)| line.contains("orchestra-backup --order ") && line.contains(name));
        let client = job.and_then(|(job, ..)| {
            all.iter()
                .find(|(_, parent, line)| parent == job && line.contains(argument))
        });
        if let (Some((job, ..)), Some((client, ..))) = (job, client) {
            for pid in [job, client] {
                let killed = std::process::Command::new("kill")
                    .args(["-KILL", &pid.to_string()])
                    .status();
                assert!(killed.unwrap().success());
            }
            return;
        }
        assert!(began.elapsed() < LONG, "{name} has no client with {argument}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "one story, in its order")]
async fn a_deleted_orchestra_comes_back_from_its_backup() {
    let world = world().await;
    let mut operator = world.operator("operator", |_| {}).unwrap();
    standard_class(&world, DESTINATION);
    sources(&world);
    orchestra(&world, "acme", "");
    ready(&world, "acme").await;
    let keys = secret(&world, TENANTS, "acme-connection").await;
    let mut tenant = login(&keys["DATABASE_URL"]).await.unwrap();
    tenant
        .execute(r#"INSERT INTO "Member" ("name") VALUES ('Dora')"#)
        .await
        .unwrap();
    tenant
        .execute(r#"INSERT INTO "Concert" ("title") SELECT gen_random_uuid()::text FROM generate_series(1, 100000)"#)
        .await
        .unwrap();
    drop(tenant);
    backup(&world, "last", "acme", "Retain");

    // It names a backup that is not complete yet: nothing is claimed before.
    from_backup(&world, "copy", "last");
    let waits = reason(&world, "copy", "BackupIncomplete").await;
    assert!(
        is_true(&waits, "Reconciling") && waits["status"]["databaseName"].is_null(),
        "{waits:#}"
    );
    delete(&world, "copy");
    gone(&world, Kind::Orchestra, TENANTS, "copy").await;
    // One that is not there, and one of another namespace.
    from_backup(&world, "lost", "nowhere");
    let lost = reason(&world, "lost", "BackupNotFound").await;
    assert!(
        is_true(&lost, "Stalled") && lost["status"]["databaseName"].is_null(),
        "{lost:#}"
    );

    let first = runner(&world).await;
    until(&world, "last", |object| is_true(object, "Ready")).await;
    drop(first);
    delete(&world, "acme");
    gone(&world, Kind::Orchestra, TENANTS, "acme").await;

    // The operator is killed at each of its writes until the Job is there, and that Job when it has restored a part.
    kill(&world, &mut operator);
    patch_config_map(
        &world,
        "schema",
        &serde_json::json!({"20260103000000_halls.sql": "CREATE TABLE \"Hall\" (\"id\" SERIAL PRIMARY KEY);"}),
    );
    from_backup(&world, "acme", "last");
    let asked = world.get(Kind::Orchestra, TENANTS, "acme").await.unwrap().unwrap();
    let gate = gate(&world).await;
    let writes = [
        // The claim record is written.
        (STATUS, "\"restore\":{", Point::Before),
        (STATUS, "\"restore\":{", Point::After),
        ("PATCH secrets", "order.json", Point::After),
        ("POST jobs", "", Point::After),
    ];
    let mut operator = at_each(&world, &gate, ("restoring", &asked), &writes).await;
    let begun = restored(&world, "acme", |object| object["status"]["phase"] == "Restoring").await;
    assert_eq!(begun["status"]["restore"]["backupName"], "last");
    let _runner = runner(&world).await;
    let job = format!("restore-{}-1", begun["metadata"]["uid"].as_str().unwrap());
    kill_job(&job, "--section=post-data").await;
    // And from then on: when the second Job has ended, and when it is deleted.
    kill(&world, &mut operator);
    let writes = [
        (STATUS, "\"completionTime\":", Point::After),
        ("DELETE jobs", "-2", Point::After),
    ];
    let _operator = at_each(&world, &gate, ("restored", &begun), &writes).await;
    let back = restored(&world, "acme", |object| is_true(object, "Ready")).await;
    let restore = &back["status"]["restore"];
    assert_eq!(
        (&restore["attempts"], &restore["concluded"]),
        (&2.into(), &2.into()),
        "{restore:#}"
    );
    assert!(
        restore["completionTime"].is_string() && restore["failure"].is_null(),
        "{restore:#}"
    );
    assert_eq!(back["status"]["migrations"]["applied"], 3);
    let keys = secret(&world, TENANTS, "acme-connection").await;
    let mut tenant = login(&keys["DATABASE_URL"]).await.unwrap();
    // The seed is not applied a second time, and the newer migration is.
    assert_eq!(scalar(&mut tenant, r#"SELECT count(*) FROM "Member""#).await, 4);
    assert_eq!(scalar(&mut tenant, r#"SELECT count(*) FROM "Concert""#).await, 100_000);
    assert_eq!(scalar(&mut tenant, r#"SELECT count(*) FROM "Hall""#).await, 0);
    tenant
        .execute(r#"INSERT INTO "Member" ("name") VALUES ('Eva')"#)
        .await
        .unwrap();
    events_with(&world, "OrchestraBackup last is restored. The backup did not contain").await;
    assert_eq!(world.list(Kind::Job).await.unwrap().len(), 0);

    // What is restored into a database is not added to one that is in use.
    let patch = r#"{"spec":{"source":{"backupRef":{"name":"last"}}}}"#;
    orchestra(&world, "other", "");
    ready(&world, "other").await;
    let refused = world.kubectl(["patch", "orch", "other", "-n", TENANTS, "--type=merge", "-p", patch]);
    assert!(refused.unwrap_err().to_string().contains("cannot be added"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_backup_needs_its_key() {
    let world = world().await;
    let key = age::x25519::Identity::generate();
    let recipients = format!("recipients: [{}]", key.to_public());
    let class = |encryption: &str| {
        let destination = DESTINATION.trim_end_matches('}');
        standard_class(&world, &format!("{destination}}}}}, encryption: {{{encryption}}}}}"));
    };
    let _operator = world.operator("operator", |_| {}).unwrap();
    let runner = runner(&world).await;
    class(&recipients);
    sources(&world);
    orchestra(&world, "acme", "");
    ready(&world, "acme").await;
    backup(&world, "before-the-move", "acme", "Retain");
    until(&world, "before-the-move", |object| is_true(object, "Ready")).await;
    let sample = project().join("deploy/samples/restored.yaml");
    world.kubectl(["apply", "-f", sample.to_str().unwrap()]).unwrap();
    let stalled = reason(&world, "restored", "BackupKeyMissing").await;
    assert!(is_true(&stalled, "Stalled"), "{stalled:#}");
    assert_eq!(stalled["status"]["phase"], "Failed");
    world
        .store_secret("age", "identity", key.to_string().expose_secret())
        .unwrap();
    class(&format!("{recipients}, identitySecretRef: {{name: age}}"));
    world
        .kubectl([
            "annotate",
            "orch",
            "restored",
            "-n",
            TENANTS,
            "stagesub.io/retry-requested-at=now",
        ])
        .unwrap();
    ready(&world, "restored").await;
    let keys = secret(&world, TENANTS, "restored-connection").await;
    let mut tenant = login(&keys["DATABASE_URL"]).await.unwrap();
    assert_eq!(scalar(&mut tenant, r#"SELECT count(*) FROM "Member""#).await, 3);
    // An Orchestra that is deleted while it is restored leaves no Job, and releases its database.
    drop(runner);
    from_backup(&world, "gone", "before-the-move");
    restored(&world, "gone", |object| object["status"]["restore"]["attempts"] == 1).await;
    delete(&world, "gone");
    gone(&world, Kind::Orchestra, TENANTS, "gone").await;
    assert_eq!(world.list(Kind::Job).await.unwrap().len(), 0);
    let (_, _, message) = condition(&stalled, "Ready");
    assert!(message.contains("encrypted"), "{message}");
    assert!(world.get(Kind::Secret, SYSTEM, "age").await.unwrap().is_some());
}
