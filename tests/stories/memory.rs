//! Tenants whose scripts, archives and rows would take more memory than the operator has.

use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use orchestra_sandbox::world::{Kind, Operator, TENANTS, World, condition, is_true};
use serde_json::{Value, json};

use crate::artifact::tar_gz;
use crate::process::get;
use crate::proof::{generous_world, history, owner};
use crate::support::{LONG, standard_class};

/// The limit of the operator's own memory, as in `deploy/`.
const LIMIT: &str = "--data=268435456";

/// How late `/livez` may answer while the cores are busy with other tests as well.
const LATE: Duration = Duration::from_secs(5);

/// An operator that cannot allocate more than its pod may have.
fn limited(world: &World, name: &str) -> Operator {
    let operator = world
        .operator(name, |command| {
            command.args(["--resync=20s", "--log=info", "--lease-duration=15s"]);
        })
        .unwrap();
    let pid = operator.id().to_string();
    let limited = Command::new("prlimit").args(["--pid", &pid, LIMIT]).status().unwrap();
    assert!(limited.success());
    operator
}

fn orchestra(world: &World, name: &str, spec: &Value) {
    let object = json!({
        "apiVersion": "stagesub.io/v1alpha1", "kind": "Orchestra",
        "metadata": {"name": name, "namespace": TENANTS}, "spec": spec,
    });
    world.apply(&object.to_string()).unwrap();
}

/// A ConfigMap with one packed file.
fn packed(world: &World, map: &str, file: &str, text: &str) -> Value {
    packed_files(world, map, &[(file, text)])
}

fn packed_files(world: &World, map: &str, files: &[(&str, &str)]) -> Value {
    let object = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": map, "namespace": TENANTS},
        "binaryData": {"project.tar.gz": STANDARD.encode(tar_gz(files))},
    });
    world.apply(&object.to_string()).unwrap();
    json!({"configMapRef": {"name": map}})
}

fn migrations(script: &str) -> Value {
    json!({"migrations": {"source": {"inline": {"1_a/migration.sql": script}}}})
}

/// The tenants that are refused: name, reason, and a part of the message.
const REFUSED: [(&str, &str, &str); 6] = [
    ("semicolons", "SourceInvalid", "more than 250,000 statements"),
    ("variables", "SourceInvalid", "more than 10,000 variables"),
    ("columns", "SourceInvalid", "at most 1600 in 128 KiB"),
    ("notice", "DatabaseRefused", "more than 4 MiB"),
    ("error", "DatabaseRefused", "more than 4 MiB"),
    ("row", "DatabaseRefused", "more than 4 MiB"),
];

fn attack(world: &World) {
    let source = packed(world, "semicolons", "1_a/migration.sql", &";".repeat(60 << 20));
    orchestra(world, "semicolons", &json!({"migrations": {"source": source}}));
    let seed = packed(world, "variables", "a.sql", &":'x' ".repeat(8 << 20));
    orchestra(world, "variables", &json!({"seed": seed}));
    let seed = packed(world, "columns", "a.csv", &"a,".repeat(20 << 20));
    orchestra(world, "columns", &json!({"seed": seed}));
    for (name, script) in [
        ("notice", "DO $$ BEGIN RAISE NOTICE '%', repeat('x', 300000000); END $$"),
        (
            "error",
            "DO $$ BEGIN RAISE EXCEPTION '%', repeat('x', 300000000); END $$",
        ),
        ("row", "SELECT repeat('x', 300000000)"),
    ] {
        orchestra(world, name, &migrations(script));
    }
    // More than the guard judges: it waits for a person.
    let again = "CREATE OR REPLACE FUNCTION f()RETURNS int RETURN 1;".repeat(80_000);
    let files = ["1_a", "2_a"].map(|name| format!("{name}/migration.sql"));
    let files: Vec<_> = files.iter().map(|file| (file.as_str(), again.as_str())).collect();
    let source = packed_files(world, "functions", &files);
    let spec = json!({"migrations": {"source": source, "approval": "Always"}});
    orchestra(world, "functions", &spec);
    // As large as is allowed, and no fault of theirs.
    for name in ["large", "larger"] {
        let script = format!("CREATE TABLE {name} (id int); /* {} */", "x".repeat(40 << 20));
        let source = packed(world, name, "1_a/migration.sql", &script);
        orchestra(world, name, &json!({"migrations": {"source": source}}));
    }
}

async fn refused(world: &World, (name, reason, says): (&str, &str, &str)) -> Value {
    let is = |object: &Value| {
        let (_, why, message) = condition(object, "Ready");
        why == reason && message.contains(says) && is_true(object, "Stalled")
    };
    world.until(Kind::Orchestra, (TENANTS, name), LONG, is).await.unwrap()
}

async fn waits_for_approval(world: &World, name: &str) {
    let is = |object: &Value| condition(object, "Ready").1 == "ApprovalPending";
    world.until(Kind::Orchestra, (TENANTS, name), LONG, is).await.unwrap();
}

async fn applied(world: &World, name: &str, count: i64) {
    let is = |object: &Value| is_true(object, "Ready") && object["status"]["migrations"]["applied"] == count;
    world.until(Kind::Orchestra, (TENANTS, name), LONG, is).await.unwrap();
}

/// Asks `/livez` until the work is done; the longest that it took to answer.
async fn alive_during(operator: &Operator, work: impl Future<Output = ()>) -> Duration {
    tokio::pin!(work);
    let mut latest = Duration::ZERO;
    loop {
        tokio::select! {
            () = &mut work => return latest,
            () = tokio::time::sleep(Duration::from_millis(200)) => {}
        }
        let began = Instant::now();
        assert_eq!(get(operator, "/livez").await.0, 200);
        latest = latest.max(began.elapsed());
    }
}

/// What the kernel counts of the operator's memory.
fn memory(operator: &Operator) -> String {
    let status = std::fs::read_to_string(format!("/proc/{}/status", operator.id())).unwrap();
    let told = |line: &&str| {
        ["VmHWM", "VmRSS", "RssAnon", "VmData"]
            .iter()
            .any(|field| line.starts_with(field))
    };
    status.lines().filter(told).collect::<Vec<_>>().join(", ")
}

#[tokio::test(flavor = "multi_thread")]
async fn no_tenant_takes_the_memory_of_the_operator() {
    let world = generous_world().await;
    standard_class(&world, "");
    let mut operator = limited(&world, "operator");
    orchestra(&world, "writes", &migrations("CREATE TABLE a (id int)"));
    applied(&world, "writes", 1).await;
    attack(&world);
    orchestra(&world, "quiet", &migrations("CREATE TABLE a (id int)"));
    let latest = alive_during(&operator, async {
        applied(&world, "quiet", 1).await;
        for tenant in REFUSED {
            refused(&world, tenant).await;
        }
        for name in ["large", "larger"] {
            applied(&world, name, 1).await;
        }
        waits_for_approval(&world, "functions").await;
    })
    .await;
    println!("/livez took {latest:?} at most; {}", memory(&operator));
    assert!(latest < LATE, "{latest:?}");

    // The owner of a database writes into the history what no tool writes.
    let session = &mut owner(&world, "writes").await;
    sqlx::raw_sql("UPDATE _prisma_migrations SET logs = repeat('l', 300000000)")
        .execute(&mut *session)
        .await
        .unwrap();
    let two = json!({"1_a/migration.sql": "CREATE TABLE a (id int)", "2_b/migration.sql": "SELECT 2"});
    orchestra(&world, "writes", &json!({"migrations": {"source": {"inline": two}}}));
    applied(&world, "writes", 2).await;
    assert_eq!(history(session).await, 2);
    assert_eq!(operator.ended().unwrap(), None, "{}", operator.log());

    // What was refused stays refused after a crash, and nobody else waits for it.
    let before = refused(&world, REFUSED[0]).await;
    operator.kill().unwrap();
    let mut operator = limited(&world, "again");
    orchestra(&world, "late", &migrations("CREATE TABLE a (id int)"));
    let latest = alive_during(&operator, async {
        applied(&world, "late", 1).await;
        // Some resyncs of those that are refused.
        tokio::time::sleep(Duration::from_secs(25)).await;
    })
    .await;
    println!("/livez took {latest:?} at most; {}", memory(&operator));
    assert!(latest < LATE, "{latest:?}");
    let after = refused(&world, REFUSED[0]).await;
    assert_eq!(condition(&before, "Ready"), condition(&after, "Ready"));
    for tenant in REFUSED {
        refused(&world, tenant).await;
    }
    assert_eq!(operator.ended().unwrap(), None, "{}", operator.log());
}
