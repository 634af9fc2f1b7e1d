//! Long migrations, and those that did not finish: what people see meanwhile, and how they cure them
//! with the API alone.

use orchestra_sandbox::world::{Kind, TENANTS, World, condition, is_true};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::proof::{generous_world, one_project_and_both_logins, owner, soon};
use crate::support::{LONG, login, orchestra, ready, reason, scalar, secret, sources, standard_class};

const SLOW: &str =
    "CREATE TABLE \"Slow\" (\"id\" INT);\nDO $$ BEGIN RAISE NOTICE 'half way'; END $$;\nSELECT pg_sleep(4);\n";

fn patch(world: &World, kind: &str, name: &str, patch: &Value) {
    let patch = patch.to_string();
    world
        .kubectl(["patch", kind, name, "-n", TENANTS, "--type=merge", "-p", &patch])
        .unwrap();
}

fn add(world: &World, name: &str, script: &str) {
    patch(
        world,
        "configmap",
        "schema",
        &json!({"data": {format!("{name}.sql"): script}}),
    );
}

fn events(world: &World, name: &str) -> String {
    let of = format!("--field-selector=involvedObject.name={name}");
    world
        .kubectl([
            "get",
            "events",
            "-n",
            TENANTS,
            &of,
            "-o",
            "jsonpath={range .items[*]}{.type} {.reason} {.message}{\"\\n\"}{end}",
        ])
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_migration_tells_how_it_goes_and_is_finished_when_the_operator_stops() {
    let world = generous_world().await;
    standard_class(&world, "");
    sources(&world);
    let mut operator = world
        .operator("operator", |command| {
            command.arg("--log=debug");
        })
        .unwrap();
    orchestra(&world, "new", "");
    ready(&world, "new").await;
    add(&world, "20260103000000_slow", SLOW);
    let object = world
        .until(Kind::Orchestra, (TENANTS, "new"), LONG, |object| {
            condition(object, "Reconciling").2.contains("applying migration 3")
        })
        .await
        .unwrap();
    let told = condition(&object, "Reconciling").2;
    assert!(
        told.starts_with("applying migration 3 of 3, 20260103000000_slow, since "),
        "{told}"
    );
    assert_eq!(condition(&object, "Available").0, "True", "it serves meanwhile");
    soon("its begin is an event", async || {
        events(&world, "new").contains("Normal MigrationStarted applying migration 20260103000000_slow (3 of 3)")
    })
    .await;
    let all = events(&world, "new");
    assert!(
        all.contains("; applied 2 migrations, the last is 20260102000000_concerts"),
        "{all}"
    );

    // Told to stop, it finishes the script, and the history says so.
    let began = Instant::now();
    assert!(operator.terminate().unwrap().success());
    assert!(began.elapsed().as_secs() < 25);
    let mut session = owner(&world, "new").await;
    let applied = "SELECT count(*) FROM _prisma_migrations WHERE finished_at IS NOT NULL";
    assert_eq!(scalar(&mut session, applied).await, 3);
    assert!(operator.log().contains("half way"), "the script's notice is in the log");
    let _operator = world.operator("next", |_| {}).unwrap();
    let object = one_project_and_both_logins(&world, "new").await;
    assert_eq!(object["status"]["migrations"]["applied"], 3);
    assert_eq!(scalar(&mut session, "SELECT count(*) FROM _prisma_migrations").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_outlasts_the_grace_is_rolled_back() {
    let world = generous_world().await;
    standard_class(&world, "");
    sources(&world);
    let mut operator = world
        .operator("operator", |command| {
            command.arg("--shutdown-grace=1s");
        })
        .unwrap();
    orchestra(&world, "new", "");
    ready(&world, "new").await;
    add(&world, "20260103000000_slow", &SLOW.replace("(4)", "(60)"));
    let mut session = owner(&world, "new").await;
    let running = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    soon("the script runs", async || scalar(&mut session, running).await == 1).await;
    let began = Instant::now();
    assert!(operator.terminate().unwrap().success());
    soon("the server has ended it", async || {
        scalar(&mut session, running).await == 0
    })
    .await;
    assert!(began.elapsed().as_secs() < 15);
    assert_eq!(scalar(&mut session, "SELECT count(*) FROM _prisma_migrations").await, 2);
    let slow = "SELECT count(*) FROM pg_tables WHERE tablename = 'Slow'";
    assert_eq!(scalar(&mut session, slow).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_did_not_finish_is_cured_by_a_word_in_the_spec() {
    let world = generous_world().await;
    standard_class(&world, "");
    sources(&world);
    let _operator = world.operator("operator", |_| {}).unwrap();
    orchestra(&world, "new", "");
    ready(&world, "new").await;
    let parts = "BEGIN;\nCREATE TABLE \"Half\" (\"id\" INT);\nCOMMIT;\nSELECT nope;\n";
    add(&world, "20260103000000_parts", parts);
    reason(&world, "new", "MigrationFailed").await;
    // Tried once more, it is found unfinished, and nothing is guessed.
    add(&world, "20260103000000_parts", &parts.replace("nope", "1"));
    let object = reason(&world, "new", "MigrationUnfinished").await;
    let (stalled, _, message) = condition(&object, "Stalled");
    assert_eq!(stalled, "True");
    assert!(
        message.contains("{name: 20260103000000_parts, as: Applied} to migrations.resolve"),
        "{message}"
    );
    assert_eq!(condition(&object, "Available").0, "True");
    drop(
        login(&secret(&world, TENANTS, "new-connection").await["DATABASE_URL"])
            .await
            .unwrap(),
    );

    let resolve = json!({"spec": {"migrations": {"resolve": [{"name": "20260103000000_parts", "as": "Applied"}]}}});
    patch(&world, "orchestra", "new", &resolve);
    let applied = |object: &Value| is_true(object, "Ready") && object["status"]["migrations"]["applied"] == 3;
    world
        .until(Kind::Orchestra, (TENANTS, "new"), LONG, applied)
        .await
        .unwrap();
    let mut session = owner(&world, "new").await;
    let half = "SELECT count(*) FROM pg_tables WHERE tablename = 'Half'";
    assert_eq!(scalar(&mut session, half).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_words_are_refused_at_once() {
    let world = generous_world().await;
    for (spec, says) in [
        ("timeouts: {lock: 10}", "expected string"),
        ("timeouts: {lock: soon}", "should match"),
        ("timeouts: {lock: 2h}", "lock must be from 1s to 1h"),
        ("timeouts: {total: 0s}", "total must be from 1s to 24h"),
        ("transactions: Never", "Unsupported value"),
        ("resolve: [{name: a, as: Skipped}]", "Unsupported value"),
        ("resolve: [{name: a}]", "Required value"),
        ("resolve: []", "should have at least 1 items"),
        ("baseline: ''", "should be at least 1 chars long"),
    ] {
        let error = world
            .apply(&format!(
                "{{apiVersion: stagesub.io/v1alpha1, kind: Orchestra, metadata: {{name: bad, namespace: {TENANTS}}}, \
                 spec: {{migrations: {{source: {{configMapRef: {{name: schema}}}}, {spec}}}}}}}"
            ))
            .unwrap_err()
            .to_string();
        assert!(error.contains(says), "{spec}: {error}");
    }
}
