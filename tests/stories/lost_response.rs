//! Answers that get lost on the way from the provider, refusals, and changes of mind in the middle
//! of a creation.

use std::time::{Duration, Instant};

use orchestra_sandbox::api::{Fault, Operation};
use orchestra_sandbox::world::{Kind, SYSTEM, TENANTS, condition, is_true};
use serde_json::Value;

use crate::proof::{database_name, generous_world, one_project_and_both_logins, projects, soon};
use crate::support::{LONG, gone, orchestra, reason, secret, sources, standard_class};

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_never_buys_twice() {
    let world = generous_world().await;
    standard_class(&world, "");
    sources(&world);
    let _operator = world.operator("operator", |_| {}).unwrap();
    // A project shows in listings later than it is there, and the provider does not mind two of one name.
    world
        .api
        .behave(|provider| provider.listed_after = std::time::Duration::from_secs(1));
    let faults = [
        ("lost", Fault::LoseResponse),
        ("truncated", Fault::Truncate),
        ("closed", Fault::CloseBefore),
        ("proxy", Fault::HtmlBadGateway),
        (
            "failed",
            Fault::Status {
                status: 500,
                retry_after: None,
            },
        ),
    ];
    for (name, fault) in faults.clone() {
        world.api.faults().add(Operation::CreateProject, 1, fault);
        let before = world.api.ledger().count(Operation::CreateProject);
        orchestra(&world, name, "");
        // One request after the other, so that each meets its own fault.
        soon(name, async || {
            world.api.ledger().count(Operation::CreateProject) > before
        })
        .await;
    }
    for (name, _) in &faults {
        one_project_and_both_logins(&world, name).await;
    }
    // Those that had no effect were sent again, the others were not.
    assert_eq!(world.api.ledger().count(Operation::CreateProject), 2 + 3 * 2);

    world.api.behave(|provider| provider.refuse_duplicate_names = true);
    world.api.faults().add(Operation::CreateProject, 1, Fault::LoseResponse);
    orchestra(&world, "unique", "");
    one_project_and_both_logins(&world, "unique").await;
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "one story, in its order")]
async fn a_refusal_says_what_to_do_and_ends_when_the_cause_ends() {
    let world = generous_world().await;
    standard_class(&world, "");
    sources(&world);
    let _operator = world.operator("operator", |_| {}).unwrap();
    world.api.behave(|provider| provider.project_limit = Some(0));
    orchestra(&world, "limited", "");
    let object = reason(&world, "limited", "QuotaExceeded").await;
    let (stalled, _, message) = condition(&object, "Stalled");
    assert_eq!(stalled, "True");
    assert!(
        message.contains("pause or delete one that nobody uses, or upgrade the organization"),
        "{message}"
    );
    assert_eq!(condition(&object, "Reconciling").0, "");
    assert!(projects(&world, "limited").await.is_empty());
    // Another Orchestra comes and is refused, too; the first one is not asked for again meanwhile.
    orchestra(&world, "second", "");
    reason(&world, "second", "QuotaExceeded").await;
    // Storing the password triggers each once more.
    let sent = world.api.ledger().count(Operation::CreateProject);
    assert!(sent <= 4, "a refusal is tried again and again: {sent}");

    world.api.behave(|provider| provider.project_limit = None);
    let touch = |name| {
        let now = "example.com/touched=now";
        world
            .kubectl(["annotate", "orchestra", name, "-n", TENANTS, now])
            .unwrap();
    };
    for name in ["limited", "second"] {
        touch(name);
    }
    for name in ["limited", "second"] {
        one_project_and_both_logins(&world, name).await;
    }

    // By its own pace, the next one would try again after twenty seconds.
    world.api.behave(|provider| provider.project_limit = Some(2));
    let before = world.api.ledger().count(Operation::CreateProject);
    orchestra(&world, "third", "");
    reason(&world, "third", "QuotaExceeded").await;
    soon("it is refused again", async || {
        world.api.ledger().count(Operation::CreateProject) >= before + 2
    })
    .await;
    // What a pool makes for nobody stays behind it.
    crate::warm_pool::pool(&world, "warm", 1, "");
    soon("the pool's database waits", async || {
        let behind = |it: &Value| it["spec"]["pool"] == "warm" && condition(it, "Reconciling").1 == "QuotaExceeded";
        world.list(Kind::Database).await.unwrap().iter().any(behind)
    })
    .await;
    let database = database_name(&world, "limited").await;
    orchestra(&world, "limited", "  deletionPolicy: Delete");
    world
        .kubectl(["delete", "orchestra", "limited", "-n", TENANTS, "--wait=false"])
        .unwrap();
    gone(&world, Kind::Database, "", &database).await;
    let freed = Instant::now();
    soon("the next one is created", async || {
        !projects(&world, "third").await.is_empty()
    })
    .await;
    assert!(freed.elapsed() < Duration::from_secs(8), "{:?}", freed.elapsed());
    one_project_and_both_logins(&world, "third").await;
    let made = world.api.ledger().projects();
    assert!(
        !made.iter().any(|project| project.name.starts_with("pool-warm-")),
        "{made:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_was_lost_in_mid_create_is_replaced() {
    let world = generous_world().await;
    standard_class(&world, "");
    sources(&world);
    let _operator = world.operator("operator", |_| {}).unwrap();
    world
        .api
        .behave(|provider| provider.fate = orchestra_sandbox::api::Fate::Stuck);
    orchestra(&world, "forgetful", "");
    soon("the project exists", async || {
        !projects(&world, "forgetful").await.is_empty()
    })
    .await;
    let database = database_name(&world, "forgetful").await;
    let recorded = |object: &serde_json::Value| object["status"]["project"]["ref"].is_string();
    world
        .until(Kind::Database, ("", &database), LONG, recorded)
        .await
        .unwrap();
    let first = secret(&world, SYSTEM, &database).await["password"].clone();
    world.kubectl(["delete", "secret", &database, "-n", SYSTEM]).unwrap();
    world.api.unstick();
    one_project_and_both_logins(&world, "forgetful").await;
    assert_ne!(secret(&world, SYSTEM, &database).await["password"], first);
    assert_eq!(world.api.ledger().count(Operation::UpdatePassword), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_in_mid_create_it_leaves_what_its_policy_says() {
    let world = generous_world().await;
    standard_class(&world, "");
    sources(&world);
    let _operator = world.operator("operator", |_| {}).unwrap();
    for (name, policy) in [("keep", "Retain"), ("drop", "Delete")] {
        world.api.faults().add(Operation::CreateProject, 1, Fault::HoldAfter);
        orchestra(&world, name, &format!("  deletionPolicy: {policy}"));
        world.api.faults().wait_until_held(Operation::CreateProject).await;
        let database = database_name(&world, name).await;
        let project = projects(&world, name).await.remove(0);
        world
            .kubectl(["delete", "orchestra", name, "-n", TENANTS, "--wait=false"])
            .unwrap();
        world.api.faults().release(Operation::CreateProject);
        gone(&world, Kind::Orchestra, TENANTS, name).await;
        let still = |reference: &str| {
            let all = world.api.ledger().projects();
            all.iter()
                .any(|project| project.reference == reference && project.deleted.is_none())
        };
        if policy == "Delete" {
            gone(&world, Kind::Database, "", &database).await;
            gone(&world, Kind::Secret, SYSTEM, &database).await;
            assert!(!still(&project.reference));
        } else {
            let kept = world.until(Kind::Database, ("", &database), LONG, |object| {
                object["status"]["phase"] == "Released"
            });
            let kept = kept.await.unwrap();
            assert!(is_true(&kept, "Ready"), "{kept:#}");
            assert_eq!(kept["status"]["project"]["ref"], project.reference.as_str());
            assert!(secret(&world, SYSTEM, &database).await.contains_key("password"));
            assert!(still(&project.reference));
        }
    }
    assert_eq!(world.api.ledger().projects().len(), 2);
}
