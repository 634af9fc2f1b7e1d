//! A class that is deleted.

use orchestra_sandbox::world::{Kind, TENANTS, condition, is_true};
use serde_json::Value;

use crate::proof::{generous_world, one_project_and_both_logins};
use crate::support::{LONG, gone, orchestra, ready, reason, sources, standard_class};

#[tokio::test(flavor = "multi_thread")]
async fn a_class_that_is_deleted_stays_while_a_database_needs_it() {
    let world = generous_world().await;
    let _operator = world.operator("operator", |_| {}).unwrap();
    standard_class(&world, "  deletion: {policy: Delete}");
    sources(&world);
    orchestra(&world, "one", "");
    ready(&world, "one").await;
    world
        .kubectl(["delete", "orchclass", "standard", "--wait=false"])
        .unwrap();
    let held = |object: &Value| condition(object, "Stalled").1 == "InUse";
    let class = world.until(Kind::Class, ("", "standard"), LONG, held).await.unwrap();
    let (_, _, message) = condition(&class, "Ready");
    assert!(
        message.contains("1 of its databases still exist: Orchestra tenants/one"),
        "{message}"
    );

    orchestra(&world, "two", "  className: standard");
    let refused = reason(&world, "two", "ClassDeleting").await;
    assert!(is_true(&refused, "Stalled"), "{refused:#}");
    orchestra(&world, "three", "");
    reason(&world, "three", "NoDefaultClass").await;
    // The tenant keeps working, as every further pass shows.
    world
        .kubectl(["delete", "secret", "one-connection", "-n", TENANTS])
        .unwrap();
    let secret = |object: &Value| object.is_object();
    world
        .until(Kind::Secret, (TENANTS, "one-connection"), LONG, secret)
        .await
        .unwrap();
    one_project_and_both_logins(&world, "one").await;

    world
        .kubectl(["delete", "orchestra", "one", "-n", TENANTS, "--wait=false"])
        .unwrap();
    gone(&world, Kind::Orchestra, TENANTS, "one").await;
    gone(&world, Kind::Class, "", "standard").await;
    assert!(world.list(Kind::Database).await.unwrap().is_empty());
    let projects = world.api.ledger().projects();
    assert!(projects.len() == 1 && projects[0].deleted.is_some(), "{projects:?}");
}
