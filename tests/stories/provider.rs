//! What the provider may say of a project, and of a request to create one: every status, every
//! deadline, and the refusals that teach.

use std::time::Duration;

use orchestra_sandbox::api::{Fate, Fault, Operation};
use orchestra_sandbox::world::{Kind, Operator, TENANTS, World, condition, is_true};
use serde_json::Value;

use crate::proof::{database_name, generous_world, one_project_and_both_logins, projects, soon};
use crate::support::{LONG, orchestra, ready, reason, sources, standard_class};

/// An operator that looks at settled databases all the time.
fn watchful(world: &World) -> Operator {
    world
        .operator("operator", |command| {
            command.env("ORCHESTRA_RESYNC", "1s");
        })
        .unwrap()
}

async fn database(world: &World, name: &str, what: impl Fn(&Value) -> bool) -> Value {
    let database = database_name(world, name).await;
    world.until(Kind::Database, ("", &database), LONG, what).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_status_of_a_project_in_use_has_its_meaning() {
    let world = generous_world().await;
    let _operator = watchful(&world);
    standard_class(&world, "  replaceStuck: true");
    sources(&world);
    orchestra(&world, "used", "");
    let object = ready(&world, "used").await;
    let patch = r#"{"spec": {"progressDeadline": "1s"}}"#;
    world
        .kubectl(["patch", "orchclass", "standard", "--type", "merge", "-p", patch])
        .unwrap();
    let project = object["status"]["project"]["ref"].as_str().unwrap().to_owned();
    for (status, usable, why) in [
        ("COMING_UP", false, "Provisioning"),
        ("UNKNOWN", true, "Bound"),
        ("ACTIVE_UNHEALTHY", true, "Bound"),
        ("RESTORING", false, "Provisioning"),
        ("UPGRADING", false, "Provisioning"),
        ("RESIZING", false, "Provisioning"),
        ("RESTARTING", false, "Provisioning"),
        ("PAUSING", false, "Provisioning"),
        ("INACTIVE", false, "ProjectPaused"),
        ("INIT_FAILED", false, "ProviderFailed"),
        ("RESTORE_FAILED", false, "ProviderFailed"),
        ("PAUSE_FAILED", false, "ProviderFailed"),
        ("GOING_DOWN", false, "DatabaseLost"),
        ("REMOVED", false, "DatabaseLost"),
        ("HIBERNATING_SINCE_2027", true, "Bound"),
        ("ACTIVE_HEALTHY", true, "Bound"),
    ] {
        // The one before was bad, so that a good one is seen to come.
        world.api.show_status(&project, Some("INACTIVE"));
        database(&world, "used", |object| condition(object, "Ready").1 == "ProjectPaused").await;
        world.api.show_status(&project, Some(status));
        let told = database(&world, "used", |object| {
            is_true(object, "Ready") == usable && condition(object, "Ready").1 == why
        })
        .await;
        assert_eq!(
            is_true(&told, "Stalled"),
            !usable && why != "Provisioning",
            "{status}: {told}"
        );
    }
    world.api.show_status(&project, None);
    let object = one_project_and_both_logins(&world, "used").await;
    assert_eq!(object["status"]["project"]["ref"], project.as_str());
    assert_eq!(
        world.api.ledger().count(Operation::DeleteProject),
        0,
        "nothing in use is replaced"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_tells_what_is_waited_for_and_what_to_do() {
    let world = generous_world().await;
    let _operator = world.operator("operator", |_| {}).unwrap();
    standard_class(&world, "  progressDeadline: 2s");
    sources(&world);
    world.api.behave(|provider| provider.fate = Fate::Stuck);
    orchestra(&world, "late", "");
    // On a slow machine, the first listing comes later than the deadline.
    let told = |object: &Value| condition(object, "Stalled").2.contains("COMING_UP");
    let late = world
        .until(Kind::Orchestra, (TENANTS, "late"), LONG, told)
        .await
        .unwrap();
    assert_eq!(condition(&late, "Ready").1, "DeadlineExceeded");
    assert!(is_true(&late, "Stalled") && !is_true(&late, "Reconciling"), "{late}");
    let message = condition(&late, "Stalled").2;
    for part in ["not usable within 2s", "support", "operator continues"] {
        assert!(message.contains(part), "{part:?} is not in {message:?}");
    }
    // The pooler keeps it waiting next.
    world
        .api
        .behave(|provider| provider.pooler_after = Duration::from_secs(20));
    world.api.unstick();
    soon("the unhealthy service is named", async || {
        let object = world.get(Kind::Orchestra, TENANTS, "late").await.unwrap().unwrap();
        condition(&object, "Stalled").2.contains("pooler is ")
    })
    .await;
    one_project_and_both_logins(&world, "late").await;
    assert_eq!(world.api.ledger().count(Operation::DeleteProject), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_that_never_became_usable_is_replaced_twice_at_most() {
    let world = generous_world().await;
    let mut operator = world.operator("operator", |_| {}).unwrap();
    standard_class(&world, "  progressDeadline: 8s\n  replaceStuck: true");
    sources(&world);

    // Its creation fails once. The operator dies between the decision and the deletion.
    world.api.behave(|provider| {
        provider.fate = Fate::Failed;
        provider.coming_up = Duration::from_millis(300);
    });
    world.api.faults().add(Operation::DeleteProject, 1, Fault::HoldBefore);
    orchestra(&world, "once", "");
    world.api.faults().wait_until_held(Operation::DeleteProject).await;
    let told = database(&world, "once", |object| condition(object, "Ready").1 == "Replacing").await;
    assert_eq!(told["status"]["replaced"].as_array().map(Vec::len), Some(1), "{told}");
    operator.kill().unwrap();
    world.api.behave(|provider| provider.fate = Fate::Healthy);
    world.api.faults().release(Operation::DeleteProject);
    operator = world.operator("second", |_| {}).unwrap();
    ready(&world, "once").await;
    let bought = projects(&world, "once").await;
    assert_eq!(bought.len(), 2, "{bought:?}");
    assert!(bought[0].deleted.is_some() && bought[1].deleted.is_none(), "{bought:?}");

    // It stays on its way. The provider deletes none that is, and is asked again later.
    world.api.behave(|provider| provider.fate = Fate::Stuck);
    orchestra(&world, "stuck", "");
    soon("a deletion is tried", async || {
        world.api.ledger().count(Operation::DeleteProject) > 1
    })
    .await;
    world.api.behave(|provider| provider.fate = Fate::Failed);

    // It fails every time.
    orchestra(&world, "never", "");
    let given_up = reason(&world, "never", "ProviderFailed").await;
    assert!(is_true(&given_up, "Stalled"), "{given_up}");
    let bought = projects(&world, "never").await;
    assert_eq!(bought.len(), 3, "{bought:?}");
    assert_eq!(bought.iter().filter(|project| project.deleted.is_some()).count(), 2);
    assert!(world.api.ledger().most_alive().values().all(|most| *most <= 1));
    assert!(world.api.violations().is_empty(), "{:?}", world.api.violations());
    drop(operator);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_that_the_provider_paused_is_restored_where_the_class_says_so() {
    let world = generous_world().await;
    let _operator = watchful(&world);
    standard_class(&world, "");
    sources(&world);
    orchestra(&world, "asleep", "");
    let object = one_project_and_both_logins(&world, "asleep").await;
    let project = object["status"]["project"]["ref"].as_str().unwrap().to_owned();
    world.api.pause(&project).await.unwrap();
    let paused = reason(&world, "asleep", "ProjectPaused").await;
    assert!(
        is_true(&paused, "Stalled") && !is_true(&paused, "Available"),
        "{paused}"
    );
    assert!(condition(&paused, "Ready").2.contains("autoRestore"), "{paused}");
    assert_eq!(world.api.ledger().count(Operation::RestoreProject), 0);

    let patch = r#"{"spec": {"autoRestore": true}}"#;
    world
        .kubectl(["patch", "orchclass", "standard", "--type", "merge", "-p", patch])
        .unwrap();
    one_project_and_both_logins(&world, "asleep").await;
    assert_eq!(world.api.ledger().count(Operation::RestoreProject), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_region_is_left_for_the_next_allowed_one() {
    let world = generous_world().await;
    let _operator = world.operator("operator", |_| {}).unwrap();
    standard_class(
        &world,
        "  placement: {allowedRegions: [eu-central-1, eu-west-3, eu-north-1]}",
    );
    sources(&world);
    let full = || Fault::Refuse {
        status: 400,
        message: "The selected region is at capacity, please choose another one.".into(),
    };
    world.api.faults().add(Operation::CreateProject, 2, full());
    orchestra(&world, "anywhere", "");
    let object = one_project_and_both_logins(&world, "anywhere").await;
    assert_eq!(object["status"]["project"]["region"], "eu-north-1");

    // An Orchestra that names a region gets that one or none.
    world.api.faults().add(Operation::CreateProject, 1, full());
    orchestra(&world, "there", "  placement: {region: eu-central-1}");
    let held = reason(&world, "there", "RegionAtCapacity").await;
    assert!(is_true(&held, "Stalled"), "{held}");
    let object = one_project_and_both_logins(&world, "there").await;
    assert_eq!(object["status"]["project"]["region"], "eu-central-1");
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "one story, in its order")]
async fn a_refused_creation_says_what_to_do_and_goes_on_by_itself() {
    let world = generous_world().await;
    let _operator = world.operator("operator", |_| {}).unwrap();
    standard_class(&world, "");
    sources(&world);
    let limit = "The following organization members have reached their maximum limits for the number of active free \
                 projects within organizations where they are an administrator or owner: ada (2 project limit).";
    let table = [
        (
            "free-limit",
            400,
            limit,
            "QuotaExceeded",
            "pause or delete one that nobody uses",
        ),
        (
            "overdue",
            400,
            "There are overdue invoices in the organization(s)",
            "BillingRestricted",
            "settle its billing",
        ),
        (
            "restricted",
            403,
            "This organization is currently under service restrictions.",
            "BillingRestricted",
            "settle its billing",
        ),
        ("forbidden", 403, "Forbidden action", "PermissionDenied", "permissions"),
        (
            "org",
            404,
            "Organization not found",
            "OrganizationNotFound",
            "check its slug",
        ),
        (
            "password",
            400,
            "db_pass must be longer than or equal to 4 characters",
            "PasswordRefused",
            "report this",
        ),
        (
            "wrong",
            400,
            "region_selection.code must be one of the following values",
            "RequestRefused",
            "region_selection",
        ),
    ];
    for (name, status, message, why, advice) in table {
        let fault = Fault::Refuse {
            status,
            message: message.into(),
        };
        world.api.faults().add(Operation::CreateProject, 1, fault);
        orchestra(&world, name, "");
        let told = reason(&world, name, why).await;
        assert!(
            is_true(&told, "Stalled") && !is_true(&told, "Reconciling"),
            "{name}: {told}"
        );
        let said = condition(&told, "Stalled").2;
        assert!(said.contains(advice), "{name}: {advice:?} is not in {said:?}");
    }
    for (name, ..) in table {
        one_project_and_both_logins(&world, name).await;
    }
}
