//! A paused project that is released, or whose deletion is requested.

use std::time::{Duration, Instant};

use orchestra_sandbox::api::Operation;
use orchestra_sandbox::world::{Kind, TENANTS, World, condition, is_true};
use serde_json::Value;

use super::{events, free_world, operator, paused, power};
use crate::proof::{database_name, projects, soon, tenant};
use crate::support::{LONG, gone, login, orchestra, ready, reason, scalar, secret, sources, standard_class};
use crate::way_back::{MEMBERS, delete, taker};

/// Pauses `tour`. By its own pace, the one that the provider's limit keeps waiting would try again after twenty seconds.
async fn a_pause_makes_room_for_who_waits(world: &World) {
    world.api.behave(|provider| provider.project_limit = Some(1));
    let before = world.api.ledger().count(Operation::CreateProject);
    orchestra(world, "next", "");
    reason(world, "next", "QuotaExceeded").await;
    soon("it is refused again", async || {
        world.api.ledger().count(Operation::CreateProject) >= before + 2
    })
    .await;
    power(world, "tour", "Paused");
    paused(world, "tour").await;
    let freed = Instant::now();
    soon("the next one is created", async || {
        !projects(world, "next").await.is_empty()
    })
    .await;
    assert!(freed.elapsed() < Duration::from_secs(8), "{:?}", freed.elapsed());
    // Its restore is refused, and it is to be paused again.
    power(world, "tour", "Running");
    reason(world, "tour", "QuotaExceeded").await;
    power(world, "tour", "Paused");
    paused(world, "tour").await;
    world.api.behave(|provider| provider.project_limit = None);
    ready(world, "next").await;
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "one story, in its order")]
async fn a_paused_project_that_is_released_stays_paused_and_is_restored_for_who_takes_it_back() {
    let world = free_world().await;
    standard_class(&world, "  deletion: {policy: Delete, gracePeriod: 1h}");
    sources(&world);
    let _leader = operator(&world, "operator");
    orchestra(&world, "tour", "");
    ready(&world, "tour").await;
    let database = database_name(&world, "tour").await;
    let old = secret(&world, TENANTS, "tour-connection").await["DIRECT_URL"].clone();
    a_pause_makes_room_for_who_waits(&world).await;
    let refused = world.api.ledger().count(Operation::RestoreProject);
    let kept = delete(&world, "tour", &database, "Reclaiming").await;
    assert!(kept["spec"]["reclaimAfter"].is_string(), "{kept:#}");
    assert!(!is_true(&kept, "Ready"), "{kept:#}");
    assert!(condition(&kept, "Ready").2.contains("is destroyed after"), "{kept:#}");
    assert_eq!(world.api.ledger().count(Operation::RestoreProject), refused);

    // As the one before, it is to be paused, and is handed over first.
    taker(&world, TENANTS, "back", &database, ", powerState: Paused");
    let object = paused(&world, "back").await;
    assert_eq!(object["status"]["databaseName"], database.as_str());
    assert_eq!(world.api.ledger().count(Operation::RestoreProject), refused + 1);
    power(&world, "back", "Running");
    let runs = |object: &Value| is_true(object, "Available") && condition(object, "Ready").1 == "Ready";
    world
        .until(Kind::Orchestra, (TENANTS, "back"), LONG, runs)
        .await
        .unwrap();
    assert_eq!(world.api.ledger().count(Operation::RestoreProject), refused + 2);
    assert_eq!(scalar(&mut tenant(&world, "back").await, MEMBERS).await, 3);
    assert!(login(&old).await.is_err(), "the former login is revoked");

    let object = a_running_project_that_is_released_sleeps_in_its_grace_period(&world, "back", &database).await;
    assert_eq!(object["status"]["databaseName"], database.as_str());

    // A request to delete the database of a paused tenant does not keep it from its way back.
    power(&world, "next", "Paused");
    paused(&world, "next").await;
    let other = database_name(&world, "next").await;
    world.kubectl(["delete", "orchdb", &other, "--wait=false"]).unwrap();
    power(&world, "next", "Running");
    let available = |object: &Value| is_true(object, "Available");
    world
        .until(Kind::Orchestra, (TENANTS, "next"), LONG, available)
        .await
        .unwrap();
    assert_eq!(world.api.ledger().count(Operation::RestoreProject), refused + 4);
    assert_eq!(scalar(&mut tenant(&world, "next").await, MEMBERS).await, 3);

    // One that is deleted while it is restored goes to sleep again, because its login is open.
    power(&world, "again", "Paused");
    paused(&world, "again").await;
    world
        .api
        .behave(|provider| provider.coming_up = Duration::from_secs(20));
    power(&world, "again", "Running");
    soon("it is being restored", async || {
        world.api.ledger().count(Operation::RestoreProject) == refused + 5
    })
    .await;
    let pauses = world.api.ledger().count(Operation::PauseProject);
    let kept = delete(&world, "again", &database, "Reclaiming").await;
    assert_eq!(kept["spec"]["powerState"], "Paused", "{kept:#}");
    soon("an event tells of its login", async || {
        events(&world).contains("was not revoked. If somebody restores the project")
    })
    .await;
    soon("it sleeps again", async || {
        world.api.ledger().count(Operation::PauseProject) == pauses + 1
    })
    .await;

    // It is destroyed as it is when its time has come.
    let class = r#"{"spec":{"deletion":{"gracePeriod":"5s"}}}"#;
    world
        .kubectl(["patch", "orchclass", "standard", "--type=merge", "-p", class])
        .unwrap();
    let end = (jiff::Timestamp::now() + jiff::SignedDuration::from_secs(2)).strftime("%FT%TZ");
    let end = format!(r#"{{"spec":{{"reclaimAfter":"{end}"}}}}"#);
    world
        .kubectl(["patch", "orchdb", &database, "--type=merge", "-p", &end])
        .unwrap();
    gone(&world, Kind::Database, "", &database).await;
    let restores = world.api.ledger().count(Operation::RestoreProject);
    assert_eq!(restores, refused + 5, "nobody wakes it to destroy it");
}

/// A project that runs costs nothing in its grace period either. `again` takes it back.
async fn a_running_project_that_is_released_sleeps_in_its_grace_period(
    world: &World,
    name: &str,
    database: &str,
) -> Value {
    let count = |operation| world.api.ledger().count(operation);
    let (pauses, restores) = (count(Operation::PauseProject), count(Operation::RestoreProject));
    let old = secret(world, TENANTS, &format!("{name}-connection")).await["DIRECT_URL"].clone();
    let kept = delete(world, name, database, "Reclaiming").await;
    assert_eq!(kept["spec"]["powerState"], "Paused", "{kept:#}");
    assert!(login(&old).await.is_err(), "its login is revoked before");
    let sleeps = |object: &Value| !is_true(object, "Ready") && condition(object, "Ready").1 == "Reclaiming";
    let kept = world.until(Kind::Database, ("", database), LONG, sleeps).await.unwrap();
    assert!(condition(&kept, "Ready").2.contains("is destroyed after"), "{kept:#}");
    assert_eq!(count(Operation::PauseProject), pauses + 1);
    // Somebody keeps it: the provider would not restore it for ever.
    world
        .kubectl([
            "patch",
            "orchdb",
            database,
            "--type=merge",
            "-p",
            r#"{"spec":{"reclaimPolicy":"Retain"}}"#,
        ])
        .unwrap();
    let runs = |object: &Value| is_true(object, "Ready") && object["status"]["phase"] == "Released";
    let kept = world.until(Kind::Database, ("", database), LONG, runs).await.unwrap();
    let spec = &kept["spec"];
    assert!(
        spec["powerState"].is_null() && spec["reclaimAfter"].is_null(),
        "{kept:#}"
    );
    taker(world, TENANTS, "again", database, "");
    let object = ready(world, "again").await;
    assert_eq!(count(Operation::RestoreProject), restores + 1);
    assert_eq!(scalar(&mut tenant(world, "again").await, MEMBERS).await, 3);
    object
}
