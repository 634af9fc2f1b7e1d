//! Drills: a backup is restored into a scratch database, which is gone afterwards, whichever process is killed and whatever
//! the result is.

use std::path::PathBuf;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use orchestra_sandbox::gate::Point;
use orchestra_sandbox::loopback;
use orchestra_sandbox::postgres::Postgres;
use orchestra_sandbox::world::{Kind, SYSTEM, TENANTS, World, condition};
use serde_json::{Value, json};
use sqlx::postgres::PgConnection;

use crate::backup::killed::{STATUS, at_each};
use crate::backup::{DESTINATION, backup, runner, until};
use crate::plugin::user::User;
use crate::proof::soon;
use crate::server_pool::maker;
use crate::support::{
    LONG, events_with, gate, gone, kill, orchestra, patch_config_map, patch_status, ready, scalar, sources,
    standard_class, world,
};

const SCRATCH: &str = "SELECT count(*) FROM pg_database WHERE datname LIKE 'orchestra_drill_%'";
const OWNERS: &str = "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'orchestra_drill_%'";
const ROLES: &str = "SELECT count(*) FROM pg_roles";

/// A pool on a server, with so many databases that wait, which takes drills of the class `standard` if its name is `trial`.
pub async fn server_pool(world: &World, files: &tempfile::TempDir, name: &str, replicas: u8) -> Postgres {
    let server = Postgres::start_as_hosted(files.path(), loopback::address())
        .await
        .unwrap();
    maker(&server);
    let url = format!(
        "postgresql://orchestra_maker:hush@{}/postgres?sslmode=disable",
        server.address()
    );
    let legacy = server.is_legacy();
    let drills = if name == "trial" { "standard" } else { "" };
    world
        .apply(&format!(
            "{{apiVersion: v1, kind: Secret, metadata: {{name: {name}, namespace: {SYSTEM}}}, stringData: {{DATABASE_URL: \"{url}\"}}}}\n---\n\
             {{apiVersion: stagesub.io/v1alpha1, kind: OrchestraPool, metadata: {{name: {name}}}, \
             spec: {{replicas: {replicas}, server: {{secretRef: {{name: {name}}}, allowLegacyServers: {legacy}, drillClassNames: [{drills}]}}}}}}"
        ))
        .unwrap();
    server
}

pub async fn may_make_databases(root: &mut PgConnection) {
    sqlx::query("ALTER ROLE orchestra_maker CREATEDB")
        .execute(root)
        .await
        .unwrap();
}

pub fn ask(world: &World, name: &str, value: &str) {
    let annotation = format!("stagesub.io/verify-requested-at={value}");
    world
        .kubectl([
            "annotate",
            "--overwrite",
            "orchbackup",
            name,
            "-n",
            TENANTS,
            &annotation,
        ])
        .unwrap();
}

/// The backup once the drill that was asked for with this value has ended, and nothing of it is left.
pub async fn drilled(world: &World, name: &str, value: &str) -> Value {
    let is = |object: &Value| {
        let drill = &object["status"]["verification"];
        let is_over = drill["completionTime"].is_string() && drill["scratch"].is_null();
        drill["requested"] == value && is_over && object["status"]["phase"] == "Completed"
    };
    let object = until(world, name, is).await;
    assert_eq!(condition(&object, "Ready").0, "True", "{object:#}");
    object
}

async fn nothing_is_left(world: &World, root: &mut PgConnection, roles: i64) {
    assert_eq!(scalar(root, SCRATCH).await, 0);
    assert_eq!(scalar(root, OWNERS).await, 0);
    assert_eq!(
        scalar(root, ROLES).await,
        roles,
        "what the restore has made is gone as well"
    );
    assert_eq!(world.list(Kind::Job).await.unwrap().len(), 0);
}

/// Changes one byte in the middle of an archive of a backup.
fn tamper(world: &World, backup: &Value) {
    let path = backup["status"]["path"].as_str().unwrap();
    let folder: PathBuf = world.dir().join(format!("jobs/volumes/backups/eu/{path}"));
    let files = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let archive = files.filter(|path| !path.ends_with("manifest.json")).max().unwrap();
    let mut bytes = std::fs::read(&archive).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(archive, bytes).unwrap();
}

/// A class whose drills are made on the server of a pool.
fn class(world: &World) {
    let more = DESTINATION.trim_end_matches('}');
    standard_class(world, &format!("{more}}}}}, scratchPoolName: trial}}"));
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "one backup's drills, in their order")]
async fn a_backup_is_verified_and_what_is_wrong_with_it_is_told() {
    let world = world().await;
    let files = tempfile::tempdir().unwrap();
    let server = server_pool(&world, &files, "trial", 0).await;
    let mut root = server.connect_admin().await.unwrap();
    let mut operator = world.operator("operator", |_| {}).unwrap();
    let runner = runner(&world).await;
    standard_class(&world, DESTINATION);
    sources(&world);
    let verify = "  backup: {verify: {target: ScratchDatabase, assertions: {configMapRef: {name: checks}}}}";
    orchestra(&world, "acme", verify);
    ready(&world, "acme").await;
    backup(&world, "last", "acme", "Retain");
    let complete = until(&world, "last", |object| condition(object, "Ready").0 == "True").await;
    assert!(
        complete["status"]["verification"].is_null(),
        "nobody has asked for a drill"
    );

    // A hosted project has no second database: the message says what to do, and nothing is tried again by itself.
    ask(&world, "last", "one");
    let object = drilled(&world, "last", "one").await;
    let (is, reason, message) = condition(&object, "Verified");
    assert_eq!(
        (is.as_str(), reason.as_str()),
        ("Unknown", "NoScratchServer"),
        "{object:#}"
    );
    assert!(message.contains("backup.scratchPoolName"), "{message}");
    assert_eq!(object["status"]["verification"]["result"], "NotDone");
    // So is a login that may make none.
    class(&world);
    ask(&world, "last", "two");
    let (is, reason, message) = condition(&drilled(&world, "last", "two").await, "Verified");
    assert_eq!((is.as_str(), reason.as_str()), ("Unknown", "NoScratchServer"));
    assert!(message.contains("ALTER ROLE \"orchestra_maker\" CREATEDB"), "{message}");
    may_make_databases(&mut root).await;
    // And assertions that are not there.
    ask(&world, "last", "three");
    let (is, reason, _) = condition(&drilled(&world, "last", "three").await, "Verified");
    assert_eq!((is.as_str(), reason.as_str()), ("Unknown", "SourceNotFound"));
    let roles = scalar(&mut root, ROLES).await;
    nothing_is_left(&world, &mut root, roles).await;

    // Everything is there, and a query of the user's own says so.
    world
        .apply(&format!(
            "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: checks, namespace: {TENANTS}}}, \
             data: {{members: 'SELECT count(*) = 3 FROM \"Member\"'}}}}"
        ))
        .unwrap();
    ask(&world, "last", "four");
    let object = drilled(&world, "last", "four").await;
    let (is, reason, message) = condition(&object, "Verified");
    assert_eq!(
        (is.as_str(), reason.as_str()),
        ("True", "Verified"),
        "{message} {object:#}"
    );
    let drill = &object["status"]["verification"];
    assert_eq!(
        (&drill["result"], &drill["discrepancyCount"]),
        (&"Passed".into(), &0.into())
    );
    assert!(
        drill["lastVerifiedTime"].is_string() && drill["failure"].is_null(),
        "{drill:#}"
    );
    assert!(drill["restoreSeconds"].as_i64().unwrap() > 0 && drill["durationSeconds"].is_i64());
    assert!(drill["dataAgeSeconds"].as_i64().unwrap() >= 0, "{drill:#}");
    nothing_is_left(&world, &mut root, roles).await;
    events_with(&world, "the backup was restored, and equals the snapshot").await;
    let columns = world.kubectl(["get", "orchbackup", "last", "-n", TENANTS]).unwrap();
    assert!(
        columns.contains("VERIFIED") && columns.trim_end().ends_with('s'),
        "{columns}"
    );

    // One that does not hold is reported by its name.
    patch_config_map(
        &world,
        "checks",
        &json!({"guests": "SELECT count(*) > 3 FROM \"Member\""}),
    );
    ask(&world, "last", "five");
    let object = drilled(&world, "last", "five").await;
    let (is, reason, message) = condition(&object, "Verified");
    assert_eq!((is.as_str(), reason.as_str()), ("False", "BackupDiffers"), "{object:#}");
    assert!(
        message.contains("assertion guests: the query did not return true"),
        "{message}"
    );
    let drill = &object["status"]["verification"];
    assert_eq!(drill["discrepancies"].as_array().unwrap().len(), 1, "{drill:#}");
    events_with(&world, "assertion guests").await;
    nothing_is_left(&world, &mut root, roles).await;
    patch_config_map(&world, "checks", &json!({"guests": null}));

    // The operator is killed after each of its writes, and when it has made or dropped the scratch database.
    kill(&world, &mut operator);
    ask(&world, "last", "six");
    let gate = gate(&world).await;
    let writes = [
        (STATUS, "\"scratch\":{", Point::After),
        // The scratch database is made.
        ("PATCH secrets", "order.json", Point::Before),
        ("PATCH secrets", "order.json", Point::After),
        ("PATCH secrets", "ownerReferences", Point::After),
        (STATUS, "\"result\":\"Passed\"", Point::After),
        ("DELETE jobs", "", Point::After),
        // The scratch database is dropped.
        (STATUS, "", Point::Before),
    ];
    let mut operator = at_each(&world, &gate, ("six", &object), &writes).await;
    let object = drilled(&world, "last", "six").await;
    assert_eq!(condition(&object, "Verified").0, "True", "{object:#}");
    nothing_is_left(&world, &mut root, roles).await;

    // A byte of the archive is another one.
    tamper(&world, &object);
    ask(&world, "last", "seven");
    let object = drilled(&world, "last", "seven").await;
    let (is, reason, _) = condition(&object, "Verified");
    assert_eq!((is.as_str(), reason.as_str()), ("False", "BackupDamaged"), "{object:#}");
    nothing_is_left(&world, &mut root, roles).await;

    // It is deleted while a drill is under way, and the operator killed.
    drop(runner);
    ask(&world, "last", "eight");
    soon("the scratch database is there", async || {
        scalar(&mut root, SCRATCH).await == 1
    })
    .await;
    kill(&world, &mut operator);
    world
        .kubectl(["delete", "orchbackup", "last", "-n", TENANTS, "--wait=false"])
        .unwrap();
    let operator = world.operator("third", |_| {}).unwrap();
    gone(&world, Kind::Backup, TENANTS, "last").await;
    nothing_is_left(&world, &mut root, roles).await;
    assert!(!operator.log().contains("hush"), "{}", operator.log());
}

/// The time has come while no operator ran; the scratch database is on the tenant's own server.
#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "one story, in its order")]
async fn a_schedule_asks_for_a_drill_on_the_tenants_own_server() {
    let world = world().await;
    let files = tempfile::tempdir().unwrap();
    let server = server_pool(&world, &files, "house", 1).await;
    let mut root = server.connect_admin().await.unwrap();
    may_make_databases(&mut root).await;
    let mut operator = world.operator("operator", |_| {}).unwrap();
    let _runner = runner(&world).await;
    world
        .apply(&format!(
            "{{apiVersion: stagesub.io/v1alpha1, kind: OrchestraClass, metadata: {{name: house}}, \
             spec: {{pools: {{names: [house], policy: PoolOnly}},\n{DESTINATION}}}}}"
        ))
        .unwrap();
    sources(&world);
    let hour = (Timestamp::now().to_zoned(TimeZone::UTC).hour() + 12) % 24;
    let verify =
        format!("  className: house\n  backup: {{verify: {{schedule: \"0 {hour} * * *\", target: ScratchDatabase}}}}");
    orchestra(&world, "acme", &verify);
    ready(&world, "acme").await;
    backup(&world, "last", "acme", "Retain");
    until(&world, "last", |object| condition(object, "Ready").0 == "True").await;
    let roles = scalar(&mut root, ROLES).await;
    let of =
        |object: &Value, field: &str| -> Option<Timestamp> { object["status"]["backup"][field].as_str()?.parse().ok() };
    let known = |object: &Value| of(object, "nextVerifyTime").is_some();
    let object = world
        .until(Kind::Orchestra, (TENANTS, "acme"), LONG, known)
        .await
        .unwrap();
    let time = of(&object, "nextVerifyTime").unwrap();
    let day = SignedDuration::from_hours(24);
    assert_eq!(of(&object, "verifyDeadline"), Some(time + day), "{object:#}");

    kill(&world, &mut operator);
    let missed = time - day - day;
    let status = json!({"backup": {"nextVerifyTime": missed.to_string()}});
    patch_status(&world, "orch", "acme", &status);
    let _operator = world.operator("second", |_| {}).unwrap();
    let verified = until(&world, "last", |object| condition(object, "Verified").0 == "True").await;
    let asked = verified["metadata"]["annotations"]["stagesub.io/verify-requested-at"]
        .as_str()
        .unwrap();
    let asked: Timestamp = asked.parse().unwrap();
    assert!(
        asked <= missed && missed < asked + SignedDuration::from_hours(1),
        "{asked}"
    );
    let is = |object: &Value| of(object, "lastVerifiedTime").is_some() && of(object, "nextVerifyTime") == Some(time);
    world.until(Kind::Orchestra, (TENANTS, "acme"), LONG, is).await.unwrap();
    let last = until(&world, "last", |object| object["status"]["phase"] == "Completed").await;
    nothing_is_left(&world, &mut root, roles).await;
    // A backup by hand is a recovery point; without a schedule of backups no newer one is due.
    let object = world.get(Kind::Orchestra, TENANTS, "acme").await.unwrap().unwrap();
    assert_eq!(
        of(&object, "recoveryPointTime"),
        last["status"]["snapshotTime"].as_str().and_then(|at| at.parse().ok()),
        "{object:#}"
    );
    assert_eq!(of(&object, "recoveryPointDeadline"), None, "{object:#}");

    // And so may a person, by the plugin.
    let ada = User::ada(&world).await;
    let told = ada.there(&["verify", "last", "--wait", "--timeout", "1m"]);
    assert!(
        told.contains("orchestrabackup.stagesub.io/last verified: the backup was restored in "),
        "{told}"
    );
    assert!(ada.there(&["backups", "acme"]).contains(" ago"));
    nothing_is_left(&world, &mut root, roles).await;
}
