//! Transient failures: a provider that fails, an API server and a database server that restart, and one stuck tenant that
//! delays no other.

use std::time::Duration;

use orchestra_sandbox::api::{Fate, Fault, Operation};
use orchestra_sandbox::world::{Kind, TENANTS, condition, is_true};
use serde_json::Value;

use crate::proof::{generous_world, one_project_and_both_logins};
use crate::support::{LONG, orchestra, ready, sources, standard_class};

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_fails_is_asked_again() {
    let world = generous_world().await;
    let _operator = world.operator("operator", |_| {}).unwrap();
    let status = |status, retry_after| Fault::Status { status, retry_after };
    for operation in [
        Operation::ListOrganizationProjects,
        Operation::Health,
        Operation::PoolerConfig,
    ] {
        for fault in [
            status(500, None),
            Fault::HtmlBadGateway,
            status(429, Some(1)),
            Fault::Truncate,
        ] {
            world.api.faults().add(operation, 1, fault);
        }
    }
    world.api.behave(|provider| {
        provider.keys_after = Duration::from_secs(2);
        provider.pooler_after = Duration::from_secs(3);
    });
    standard_class(&world, "");
    sources(&world);
    orchestra(&world, "patient", "");
    one_project_and_both_logins(&world, "patient").await;
    assert!(world.api.violations().is_empty(), "{:?}", world.api.violations());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_answers_again_is_noticed_by_all_that_wait_for_it() {
    let world = generous_world().await;
    let _operator = world.operator("operator", |_| {}).unwrap();
    standard_class(&world, "");
    sources(&world);
    orchestra(&world, "first", "");
    ready(&world, "first").await;
    for operation in Operation::ALL {
        let down = Fault::Status {
            status: 502,
            retry_after: None,
        };
        world.api.faults().add(*operation, 10_000, down);
    }
    orchestra(&world, "late", "");
    let waits = |class: &Value| condition(class, "Reconciling").1 == "ProviderUnavailable";
    let class = world.until(Kind::Class, ("", "standard"), LONG, waits).await.unwrap();
    assert!(is_true(&class, "Ready") && is_true(&class, "Available"), "{class:#}");
    // By now whoever waits alone waits for half a minute.
    tokio::time::sleep(Duration::from_secs(40)).await;
    let first = world.get(Kind::Orchestra, TENANTS, "first").await.unwrap().unwrap();
    assert!(is_true(&first, "Ready"), "{first:#}");
    world.api.faults().clear();
    let quiet = |class: &Value| condition(class, "Reconciling").0.is_empty();
    let soon = Duration::from_secs(15);
    world.until(Kind::Class, ("", "standard"), soon, quiet).await.unwrap();
    let asked = |database: &Value| database["status"]["project"]["ref"].is_string();
    let name = world.get(Kind::Orchestra, TENANTS, "late").await.unwrap().unwrap()["status"]["databaseName"].clone();
    world
        .until(Kind::Database, ("", name.as_str().unwrap()), soon, asked)
        .await
        .unwrap();
    one_project_and_both_logins(&world, "late").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_stuck_tenant_holds_up_no_other() {
    let world = generous_world().await;
    let _operator = world.operator("operator", |_| {}).unwrap();
    standard_class(&world, "  progressDeadline: 3s");
    sources(&world);
    world.api.behave(|provider| provider.fate = Fate::Stuck);
    orchestra(&world, "stuck", "");
    let created = |object: &Value| object["status"]["project"]["ref"].is_string();
    world
        .until(Kind::Orchestra, (TENANTS, "stuck"), LONG, created)
        .await
        .unwrap();
    world.api.behave(|provider| provider.fate = Fate::Healthy);
    for name in ["one", "two", "three"] {
        orchestra(&world, name, "");
    }
    for name in ["one", "two", "three"] {
        ready(&world, name).await;
    }
    let late = |object: &Value| condition(object, "Stalled").1 == "DeadlineExceeded";
    let stuck = world
        .until(Kind::Orchestra, (TENANTS, "stuck"), LONG, late)
        .await
        .unwrap();
    assert!(
        condition(&stuck, "Ready")
            .2
            .contains("not usable within 3s (progressDeadline)"),
        "{stuck:#}"
    );
    assert!(!is_true(&stuck, "Reconciling"));
    world.api.unstick();
    one_project_and_both_logins(&world, "stuck").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_restart_leave_tenants_ready() {
    let mut world = generous_world().await;
    let _operator = world
        .operator("operator", |command| {
            command.arg("--resync=1s").env("ORCHESTRA_LEASE_DURATION", "60s");
        })
        .unwrap();
    standard_class(&world, "");
    sources(&world);
    orchestra(&world, "settled", "");
    let before = ready(&world, "settled").await;

    world.api.faults().add(Operation::CreateProject, 1, Fault::HoldAfter);
    orchestra(&world, "moving", "");
    world.api.faults().wait_until_held(Operation::CreateProject).await;
    world.plane.stop_api_server();
    world.api.faults().release(Operation::CreateProject);
    world.plane.start_api_server().await.unwrap();
    world.api.restart_servers().await.unwrap();
    one_project_and_both_logins(&world, "moving").await;

    let after = world.get(Kind::Orchestra, TENANTS, "settled").await.unwrap().unwrap();
    let since = |object: &Value| {
        let conditions = object["status"]["conditions"].as_array().unwrap().clone();
        conditions.into_iter().find(|is| is["type"] == "Ready").unwrap()["lastTransitionTime"].clone()
    };
    assert!(is_true(&after, "Ready"));
    assert_eq!(since(&before), since(&after), "Ready never flipped");
}
