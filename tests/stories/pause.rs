//! Pauses: by the spec and for idleness, of hosted projects and of a pool's databases; interrupted, refused, and with a
//! password that the provider has reverted.

mod interrupted;
mod newer_spec;
mod released;
mod sources_gone;

use std::process::Command;
use std::time::Duration;

use orchestra_sandbox::api::{Fault, Operation, Options as ApiOptions, Organization, RateLimit, Rule};
use orchestra_sandbox::world::{Kind, Operator, TENANTS, World, condition, is_true};
use serde_json::{Value, json};
use sqlx::Executor as _;

use crate::pool::{house, inventory};
use crate::proof::{generous_world, one_project_and_both_logins, soon, tenant};
use crate::support::{
    LONG, kill, login, orchestra, patch_config_map, project, ready, reason, scalar, secret, sources, standard_class,
    world_with,
};

/// A world whose organization may pause its projects.
async fn free_world() -> World {
    let organization = Organization {
        slug: "acme-org".to_owned(),
        name: "Acme".to_owned(),
        plan: "free".to_owned(),
    };
    let rate_limit = RateLimit {
        limit: 100_000,
        ..RateLimit::default()
    };
    world_with(ApiOptions {
        organizations: vec![organization],
        rate_limit,
        ..ApiOptions::default()
    })
    .await
}

/// An operator that leads on, however busy the machine is.
fn operator(world: &World, name: &str) -> Operator {
    let patient = |command: &mut Command| {
        command.env("ORCHESTRA_LEASE_DURATION", "60s");
    };
    world.operator(name, patient).unwrap()
}

fn power(world: &World, name: &str, state: &str) {
    let patch = json!({"spec": {"powerState": state}}).to_string();
    world
        .kubectl(["patch", "orch", name, "-n", TENANTS, "--type=merge", "-p", &patch])
        .unwrap();
}

fn idle(world: &World, name: &str, idle: &Value) {
    let patch = json!({"spec": {"idle": idle}}).to_string();
    world
        .kubectl(["patch", "orch", name, "-n", TENANTS, "--type=merge", "-p", &patch])
        .unwrap();
}

/// Waits until the Orchestra is paused, and checks what it says then.
async fn paused(world: &World, name: &str) -> Value {
    let object = world
        .until(Kind::Orchestra, (TENANTS, name), LONG, |object| {
            condition(object, "Ready").1 == "Paused"
        })
        .await
        .unwrap();
    assert!(is_true(&object, "Ready"), "{object:#}");
    for other in ["Available", "DatabaseReady", "Reconciling", "Stalled"] {
        assert!(!is_true(&object, other), "{other}: {object:#}");
    }
    assert_eq!(object["status"]["phase"], "Paused");
    assert!(object["status"]["power"]["pausedSince"].is_string(), "{object:#}");
    object
}

fn events(world: &World) -> String {
    let path = "jsonpath={range .items[*]}{.type} {.reason} {.message}{\"\\n\"}{end}";
    world.kubectl(["get", "events", "-A", "-o", path]).unwrap()
}

/// Whether each period for which the Orchestra's project is charged has ended.
async fn charged(world: &World, object: &Value) -> Vec<bool> {
    let name = object["status"]["databaseName"].as_str().unwrap();
    let database = world.get(Kind::Database, "", name).await.unwrap().unwrap();
    let periods = database["status"]["charges"]["periods"].as_array().cloned();
    let ended = |period: &Value| period["end"].is_string();
    periods.unwrap_or_default().iter().map(ended).collect()
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "one story, in its order")]
async fn a_project_is_paused_and_restored_once_whatever_goes_wrong() {
    let world = free_world().await;
    standard_class(&world, "");
    sources(&world);
    let mut leader = operator(&world, "first");
    orchestra(&world, "tour", "");
    let object = one_project_and_both_logins(&world, "tour").await;
    let reference = object["status"]["project"]["ref"].as_str().unwrap().to_owned();
    assert!(
        charged(&world, &object).await.is_empty(),
        "it has run since its creation"
    );

    // The operator dies when the provider has the request.
    world.api.faults().add(Operation::PauseProject, 1, Fault::HoldAfter);
    power(&world, "tour", "Paused");
    world.api.faults().wait_until_held(Operation::PauseProject).await;
    kill(&world, &mut leader);
    world.api.faults().release(Operation::PauseProject);
    leader = operator(&world, "second");
    let object = paused(&world, "tour").await;
    assert_eq!(object["status"]["power"]["pausedBy"], "Spec");
    assert_eq!(charged(&world, &object).await, [true]);
    assert!(
        condition(&object, "Ready").2.contains("migrations and seeds wait"),
        "{object:#}"
    );
    // A request whose client has gone is not counted, and another one would be.
    assert_eq!(world.api.ledger().count(Operation::PauseProject), 0);

    // A newer migration waits, and the project is not resumed to check it.
    let newer = json!({"20260103000000_later.sql": "CREATE TABLE \"Later\" (\"id\" INT);"});
    patch_config_map(&world, "schema", &newer);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let object = paused(&world, "tour").await;
    assert_eq!(object["status"]["migrations"]["applied"], 2);
    assert_eq!(world.api.ledger().count(Operation::RestoreProject), 0);

    // The answer of the restore is lost, and the provider restores an older password. The pooler opens later.
    world
        .api
        .behave(|provider| provider.pooler_after = Duration::from_secs(3));
    let failed = Fault::AnswerAfter {
        status: 502,
        message: "bad gateway".into(),
    };
    world.api.faults().add(Operation::RestoreProject, 1, failed);
    power(&world, "tour", "Running");
    soon("the project is restored", async || {
        world.api.ledger().count(Operation::RestoreProject) == 1 && world.api.project(&reference).await.is_ok()
    })
    .await;
    let mut superuser = world.api.project(&reference).await.unwrap();
    sqlx::query("ALTER ROLE postgres PASSWORD 'an older one'")
        .execute(&mut superuser)
        .await
        .unwrap();
    kill(&world, &mut leader);
    leader = operator(&world, "third");
    let migrated = |object: &Value| is_true(object, "Available") && object["status"]["migrations"]["applied"] == 3;
    world
        .until(Kind::Orchestra, (TENANTS, "tour"), LONG, migrated)
        .await
        .unwrap();
    let object = one_project_and_both_logins(&world, "tour").await;
    assert!(object["status"]["power"]["pausedBy"].is_null(), "{object:#}");
    assert_eq!(
        object["status"]["power"]["saved"], "0",
        "a free project costs nothing: {object:#}"
    );
    assert_eq!(charged(&world, &object).await, [true, false]);
    assert_eq!(world.api.ledger().count(Operation::RestoreProject), 1);
    assert!(world.api.ledger().count(Operation::UpdatePassword) >= 1);
    soon("an event tells of it", async || {
        events(&world).contains("Normal Resumed the database is to run again")
    })
    .await;

    // Nobody uses it: it is paused, once, and says by what.
    idle(&world, "tour", &json!({"pauseAfter": "12s"}));
    let object = paused(&world, "tour").await;
    assert_eq!(object["status"]["power"]["pausedBy"], "Idle");
    assert_eq!(world.api.ledger().count(Operation::PauseProject), 1);
    assert!(events(&world).contains("Warning PauseAnnounced the database is unused"));

    // The sample is created, handed over and paused; its deletion waits for nothing.
    world.api.behave(|provider| provider.pooler_after = Duration::ZERO);
    let sample = project().join("deploy/samples/pause.yaml");
    world.kubectl(["apply", "-f", sample.to_str().unwrap()]).unwrap();
    let object = paused(&world, "summer-break").await;
    let reference = object["status"]["project"]["ref"].as_str().unwrap().to_owned();
    world
        .kubectl(["delete", "orch", "summer-break", "-n", TENANTS, "--timeout=60s"])
        .unwrap();
    soon("the project is deleted", async || {
        let projects = world.api.ledger().projects();
        projects
            .iter()
            .any(|project| project.reference == reference && project.deleted.is_some())
    })
    .await;
    assert!(world.api.violations().is_empty(), "{:?}", world.api.violations());
    drop(leader);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_plan_forbids_a_pause_the_database_runs_on_and_says_so() {
    let world = generous_world().await;
    standard_class(&world, "");
    sources(&world);
    let mut leader = operator(&world, "operator");
    orchestra(&world, "tour", "  powerState: Paused");
    let object = reason(&world, "tour", "PausingNotAllowed").await;
    assert!(
        is_true(&object, "Stalled") && is_true(&object, "Available"),
        "{object:#}"
    );
    assert!(
        condition(&object, "Ready")
            .2
            .contains("does not allow its projects to be paused"),
        "{object:#}"
    );
    assert_eq!(world.api.ledger().count(Operation::PauseProject), 0);
    drop(tenant(&world, "tour").await);
    power(&world, "tour", "Running");
    ready(&world, "tour").await;

    // An answer without that entitlement says nothing: the provider is asked, and refuses.
    kill(&world, &mut leader);
    let without = Rule {
        path: Some("/entitlements$".into()),
        edit: vec![json!({"op": "remove", "path": "/entitlements/0"})],
        ..Rule::default()
    };
    world.api.rules().add(without).unwrap();
    leader = operator(&world, "second");
    let unknown = |class: &Value| {
        let account = &class["status"]["account"];
        account.is_object() && account["pausing"].is_null()
    };
    world.until(Kind::Class, ("", "standard"), LONG, unknown).await.unwrap();
    power(&world, "tour", "Paused");
    let refused = |object: &Value| {
        condition(object, "Stalled")
            .2
            .contains("does not pause the project, which still runs")
    };
    let object = world
        .until(Kind::Orchestra, (TENANTS, "tour"), LONG, refused)
        .await
        .unwrap();
    assert!(is_true(&object, "Available"), "{object:#}");
    drop(tenant(&world, "tour").await);
    drop(leader);
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "one story, in its order")]
async fn an_unused_database_of_a_pool_is_shut_after_a_warning_and_a_new_annotation_wakes_it() {
    let world = free_world().await;
    standard_class(
        &world,
        "  pools: {names: [house], policy: PoolOnly}\n  idle: {pauseAfter: 12s}",
    );
    sources(&world);
    house(&world, &inventory(&world, &["one"]).await);
    let mut leader = operator(&world, "first");
    // As a repository would have it, which is applied again and again.
    orchestra(&world, "quiet", "  powerState: Running\n  idle: {pauseAfter: 1h}");
    ready(&world, "quiet").await;
    let url = secret(&world, TENANTS, "quiet-connection").await["DATABASE_URL"].clone();
    let mut session = login(&url).await.unwrap();
    // From now on the class's time counts. Its transaction is open all the time.
    session.execute("BEGIN").await.unwrap();
    idle(&world, "quiet", &Value::Null);
    tokio::time::sleep(Duration::from_secs(16)).await;
    assert_eq!(scalar(&mut session, "SELECT count(*) FROM \"Member\"").await, 3);
    let in_use = |object: &Value| object["status"]["power"]["unusedSince"].is_null();
    let object = world
        .until(Kind::Orchestra, (TENANTS, "quiet"), LONG, in_use)
        .await
        .unwrap();
    assert!(is_true(&object, "Available"), "a transaction is use: {object:#}");
    // A session that does nothing keeps no database awake.
    session.execute("COMMIT").await.unwrap();

    let unused = |object: &Value| object["status"]["power"]["unusedSince"].is_string();
    world
        .until(Kind::Orchestra, (TENANTS, "quiet"), LONG, unused)
        .await
        .unwrap();
    kill(&world, &mut leader);
    leader = operator(&world, "second");
    let object = paused(&world, "quiet").await;
    assert_eq!(object["status"]["power"]["pausedBy"], "Idle");
    assert!(
        condition(&object, "Ready").2.contains("wake-requested-at"),
        "{object:#}"
    );
    let all = events(&world);
    assert!(all.contains("Warning PauseAnnounced the database is unused"), "{all}");
    assert!(login(&url).await.is_err(), "its login is shut");
    assert!(
        sqlx::query("SELECT 1").execute(&mut session).await.is_err(),
        "its session is ended"
    );

    // What is in the spec already does not wake it, nor does a longer time, after which it is not paused again here.
    idle(&world, "quiet", &json!({"pauseAfter": "1h"}));
    power(&world, "quiet", "Running");
    tokio::time::sleep(Duration::from_secs(1)).await;
    paused(&world, "quiet").await;
    let wake = "stagesub.io/wake-requested-at=2026-11-28T10:00:00Z";
    world
        .kubectl(["annotate", "orch", "quiet", "-n", TENANTS, wake])
        .unwrap();
    world
        .until(Kind::Orchestra, (TENANTS, "quiet"), LONG, |object| {
            is_true(object, "Available")
        })
        .await
        .unwrap();
    let mut session = login(&url).await.unwrap();
    assert_eq!(scalar(&mut session, "SELECT count(*) FROM \"Member\"").await, 3);

    // By the spec, whoever uses it.
    rotated(&world, "quiet", 2).await;
    power(&world, "quiet", "Paused");
    let object = paused(&world, "quiet").await;
    assert_eq!(object["status"]["power"]["pausedBy"], "Spec");
    assert!(
        sqlx::query("SELECT 1").execute(&mut session).await.is_err(),
        "its session is ended"
    );
    what_is_rotated_rests_meanwhile(&world, "quiet", &url).await;
    world
        .kubectl(["delete", "orch", "quiet", "-n", TENANTS, "--timeout=60s"])
        .unwrap();
    drop(leader);
}

fn ask_for_rotation(world: &World, name: &str, number: u64) {
    let ask = format!("stagesub.io/rotate-requested-at=2026-11-28T12:00:0{number}Z");
    world
        .kubectl(["annotate", "--overwrite", "orch", name, "-n", TENANTS, &ask])
        .unwrap();
}

/// Waits until the login has this number.
async fn is_rotated(world: &World, name: &str, number: u64) {
    let is = |object: &Value| object["status"]["credentials"]["generation"] == number && is_true(object, "Available");
    world.until(Kind::Orchestra, (TENANTS, name), LONG, is).await.unwrap();
}

async fn rotated(world: &World, name: &str, number: u64) {
    ask_for_rotation(world, name, number);
    is_rotated(world, name, number).await;
}

/// Of a paused database whose login was rotated once: both logins are shut, none is made, and both are open when it runs.
async fn what_is_rotated_rests_meanwhile(world: &World, name: &str, former: &str) {
    let connection = format!("{name}-connection");
    let second = secret(world, TENANTS, &connection).await["DATABASE_URL"].clone();
    assert_ne!(second, former);
    for url in [former, &second] {
        assert!(login(url).await.is_err(), "it is shut");
    }
    ask_for_rotation(world, name, 3);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let object = paused(world, name).await;
    assert_eq!(object["status"]["credentials"]["generation"], 2, "{object:#}");
    power(world, name, "Running");
    is_rotated(world, name, 3).await;
    let third = secret(world, TENANTS, &connection).await["DATABASE_URL"].clone();
    for url in [former, &second, &third] {
        drop(login(url).await.unwrap());
    }
}
