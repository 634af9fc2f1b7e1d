//! A cluster and its databases are lost. In a new one with other databases the tenants come back from the store of their backups,
//! by the commands of docs/disaster-recovery.md.

use std::path::Path;

use age::secrecy::ExposeSecret as _;
use orchestra_sandbox::S3;
use orchestra_sandbox::world::{Kind, SYSTEM, TENANTS, World, condition, is_true};
use serde_json::Value;
use sqlx::Executor as _;

use crate::backup::{backup, runner, until};
use crate::commands::run_with;
use crate::pool::{house, inventory};
use crate::proof::{generous_world, soon};
use crate::support::{LONG, gone, kill, login, orchestra, project, ready, reason, scalar, secret, sources};

/// The commands of the runbook, each a line.
fn runbook() -> Vec<String> {
    let page = std::fs::read_to_string(project().join("docs/disaster-recovery.md")).unwrap();
    let (_, section) = page.split_once("## Only the backups are left").unwrap();
    let (_, block) = section
        .split_once("```sh run-by=tests/stories/lost_cluster.rs\n")
        .unwrap();
    let (block, _) = block.split_once("```").unwrap();
    let lines: Vec<_> = block
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect();
    assert_eq!(lines.len(), 7, "{lines:#?}");
    lines
}

/// A person with the credentials of the store.
struct Person<'a> {
    world: &'a World,
    folder: &'a Path,
    s3: &'a S3,
}

impl Person<'_> {
    fn try_run(&self, line: &str) -> (bool, String, String) {
        let environment = [
            ("AWS_ACCESS_KEY_ID", self.s3.access_key_id.as_str()),
            ("AWS_SECRET_ACCESS_KEY", self.s3.secret_access_key.as_str()),
            ("AWS_ENDPOINT_URL", self.s3.endpoint.as_str()),
        ];
        let done = run_with(self.world, self.folder, line, &environment);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (done.status.success(), text(done.stdout), text(done.stderr))
    }

    fn run(&self, line: &str) -> String {
        let (is_done, said, why) = self.try_run(line);
        assert!(is_done, "{line}: {said} {why}");
        said
    }

    fn listed(&self) -> Value {
        // The operator's program hands over to the other one.
        let json = self.run("orchestra-operator backups list --from s3://backups/orchestras -o json");
        serde_json::from_str(&json).unwrap()
    }
}

/// The class `standard` of the pool `house` with these entries, whose backups go into the bucket, encrypted.
fn class(world: &World, entries: &[String], s3: &S3, encryption: &str) {
    house(world, entries);
    let (endpoint, id, key) = (&s3.endpoint, &s3.access_key_id, &s3.secret_access_key);
    world
        .apply(&format!(
            "
apiVersion: v1
kind: Secret
metadata: {{name: backups, namespace: {SYSTEM}}}
stringData: {{AWS_ACCESS_KEY_ID: {id}, AWS_SECRET_ACCESS_KEY: {key}}}
---
apiVersion: stagesub.io/v1alpha1
kind: OrchestraClass
metadata: {{name: standard, annotations: {{stagesub.io/is-default-class: \"true\"}}}}
spec:
  pools: {{names: [house], policy: PoolOnly}}
  backup:
    destination:
      s3: {{bucket: backups, prefix: orchestras, endpoint: \"{endpoint}\", insecure: true, credentialsSecretRef: {{name: backups}}}}
    encryption: {{{encryption}}}
"
        ))
        .unwrap();
}

async fn members(world: &World, name: &str) -> i64 {
    let keys = secret(world, TENANTS, &format!("{name}-connection")).await;
    let mut tenant = login(&keys["DATABASE_URL"]).await.unwrap();
    scalar(&mut tenant, r#"SELECT count(*) FROM "Member""#).await
}

fn stored(world: &World, namespace: &str, name: &str, path: &str) {
    world
        .apply(&format!(
            "{{apiVersion: stagesub.io/v1alpha1, kind: OrchestraBackup, metadata: {{name: {name}, namespace: {namespace}}}, \
             spec: {{orchestraRef: {{name: acme}}, stored: {{className: standard, path: \"{path}\"}}}}}}"
        ))
        .unwrap();
}

async fn stalled(world: &World, namespace: &str, name: &str, reason: &str) -> String {
    let is = |object: &Value| is_true(object, "Stalled") && condition(object, "Ready").1 == reason;
    let object = world.until(Kind::Backup, (namespace, name), LONG, is).await.unwrap();
    condition(&object, "Ready").2
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "one story, in its order")]
async fn tenants_come_back_from_the_store_in_a_new_cluster() {
    let mut world = generous_world().await;
    let files = tempfile::tempdir().unwrap();
    let s3 = S3::start(files.path()).await.unwrap();
    let bucket = s3.bucket("backups").unwrap();
    let key = age::x25519::Identity::generate();
    let recipients = format!("recipients: [{}]", key.to_public());
    let entries = inventory(&world, &["first_1", "second_1", "second_2"]).await;

    let mut operator = world.operator("first", |_| {}).unwrap();
    let first_runner = runner(&world).await;
    class(&world, &entries[..1], &s3, &recipients);
    sources(&world);
    orchestra(&world, "acme", "");
    ready(&world, "acme").await;
    backup(&world, "early", "acme", "Delete");
    until(&world, "early", |object| is_true(object, "Ready")).await;
    let keys = secret(&world, TENANTS, "acme-connection").await;
    let mut tenant = login(&keys["DATABASE_URL"]).await.unwrap();
    tenant
        .execute(r#"INSERT INTO "Member" ("name") VALUES ('Dora')"#)
        .await
        .unwrap();
    drop(tenant);
    backup(&world, "last", "acme", "Retain");
    let last = until(&world, "last", |object| is_true(object, "Ready")).await;
    let path = last["status"]["path"].as_str().unwrap().to_owned();
    let cluster = path.split('/').next().unwrap().to_owned();

    operator.kill().unwrap();
    drop(first_runner);
    world.lose_cluster().await.unwrap();
    // A backup that was under way.
    let half = path.replace("acme-", "half-");
    std::fs::create_dir_all(bucket.join("orchestras").join(&half)).unwrap();
    std::fs::write(bucket.join("orchestras").join(&half).join("app.pgdump.zst.age"), "half").unwrap();

    // Another control plane, other databases, the same store.
    let mut operator = world.operator("second", |_| {}).unwrap();
    world
        .store_secret("age", "identity", key.to_string().expose_secret())
        .unwrap();
    class(
        &world,
        &entries[1..],
        &s3,
        &format!("{recipients}, identitySecretRef: {{name: age}}"),
    );
    sources(&world);
    let folder = tempfile::tempdir().unwrap();
    let tenants = "apiVersion: stagesub.io/v1alpha1\nkind: Orchestra\nmetadata: {name: acme, namespace: tenants}\n\
                   spec: {source: {backupRef: {name: last}}, migrations: {source: {configMapRef: {name: schema}}}}\n";
    std::fs::write(folder.path().join("tenants.yaml"), tenants).unwrap();
    let person = Person {
        world: &world,
        folder: folder.path(),
        s3: &s3,
    };
    let lines: Vec<_> = runbook()
        .iter()
        .map(|line| line.replace("7d1f0c2e93ab", &cluster))
        .collect();
    let [listing, recreate, allow, apply, wait, restore, available] = &lines[..] else {
        panic!("{lines:#?}")
    };

    let table = person.run(listing);
    assert!(
        table.contains("acme") && table.contains("yes") && table.contains(&cluster),
        "{table}"
    );
    assert!(table.contains("no backup") && table.contains(&half), "{table}");
    let all = person.listed();
    let names: Vec<_> = all["backups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["last", "early"], "the newest first: {all:#}");
    assert_eq!(all["backups"][0]["manifestDigest"], last["status"]["manifestDigest"]);
    person.run(recreate);
    // Nothing is read that the class does not allow.
    person.run(apply);
    let message = stalled(&world, TENANTS, "last", "BackupNotAllowed").await;
    assert!(
        message.contains("recoverFrom") && message.contains(&cluster),
        "{message}"
    );
    person.run(allow);
    // The operator is killed once it has announced its look at a manifest.
    soon("a look is announced", async || {
        let all = world.list(Kind::Backup).await.unwrap();
        all.iter().any(|backup| backup["status"]["attempts"] == 1)
    })
    .await;
    kill(&world, &mut operator);
    let _runner = runner(&world).await;
    let _operator = world.operator("third", |_| {}).unwrap();
    person.run(wait);
    let back = until(&world, "last", |object| is_true(object, "Ready")).await;
    for field in [
        "path",
        "manifestDigest",
        "snapshotTime",
        "bytes",
        "serverMajor",
        "tables",
        "orchestraUid",
    ] {
        assert_eq!(back["status"][field], last["status"][field], "{field}: {back:#}");
    }
    let early = until(&world, "early", |object| is_true(object, "Ready")).await;
    assert!(early["spec"]["deletionPolicy"] != "Delete", "{early:#}");

    person.run(restore);
    person.run(available);
    assert_eq!(members(&world, "acme").await, 4);

    // A second time changes nothing.
    let generations = async || {
        let all = world.list(Kind::Backup).await.unwrap();
        let of = |it: &Value| {
            (
                it["metadata"]["uid"].to_string(),
                it["metadata"]["generation"].to_string(),
            )
        };
        all.iter().map(of).collect::<Vec<_>>()
    };
    let before = generations().await;
    person.run(recreate);
    person.run(apply);
    assert_eq!(generations().await, before);

    // By its manifest alone.
    let manifest = format!("s3://backups/orchestras/{path}/manifest.json");
    orchestra(
        &world,
        "copy",
        &format!("  source: {{backupRef: {{manifest: \"{manifest}\"}}}}"),
    );
    ready(&world, "copy").await;
    assert_eq!(members(&world, "copy").await, 4);
    let elsewhere = manifest.replace("/orchestras/", "/other/");
    orchestra(
        &world,
        "elsewhere",
        &format!("  source: {{backupRef: {{manifest: \"{elsewhere}\"}}}}"),
    );
    let refused = reason(&world, "elsewhere", "BackupNotAllowed").await;
    assert!(
        is_true(&refused, "Stalled") && condition(&refused, "Ready").2.contains(&manifest),
        "{refused:#}"
    );

    // Another namespace gets nothing of it, also where it says that the folder is its own.
    world.kubectl(["create", "namespace", "strangers"]).unwrap();
    stored(&world, "strangers", "theirs", &path);
    stalled(&world, "strangers", "theirs", "BackupNotAllowed").await;
    let copied = path.replace("/tenants/", "/strangers/");
    let (from, to) = (
        bucket.join("orchestras").join(&path),
        bucket.join("orchestras").join(&copied),
    );
    std::fs::create_dir_all(&to).unwrap();
    for file in std::fs::read_dir(&from).unwrap().flatten() {
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
    stored(&world, "strangers", "copied", &copied);
    let message = stalled(&world, "strangers", "copied", "BackupDamaged").await;
    assert!(message.contains("of another folder"), "{message}");
    let (is_done, said, why) = person.try_run(listing);
    assert!(
        !is_done && said.contains("Manifests that are refused: 1") && said.contains(&copied),
        "{said} {why}"
    );

    // A manifest that is changed after it was listed is refused, and the object that is there stays.
    world.kubectl(["delete", "orchbackup", "early", "-n", TENANTS]).unwrap();
    gone(&world, Kind::Backup, TENANTS, "early").await;
    let changed = bucket
        .join("orchestras")
        .join(early["status"]["path"].as_str().unwrap())
        .join("manifest.json");
    let text = std::fs::read_to_string(&changed).unwrap();
    std::fs::write(&changed, text.replace("\"snapshotTime\"", " \"snapshotTime\"")).unwrap();
    person.run(apply);
    let message = stalled(&world, TENANTS, "early", "BackupDamaged").await;
    assert!(message.contains("was modified"), "{message}");
    assert!(is_true(&until(&world, "last", |_| true).await, "Ready"));
}
