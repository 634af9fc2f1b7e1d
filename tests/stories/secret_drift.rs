//! The tenant's Secret: edited or deleted keys are restored, and those of others stay.

use std::collections::BTreeMap;

use orchestra_sandbox::api::Operation;
use orchestra_sandbox::world::{Kind, SYSTEM, TENANTS, World, condition, is_true};
use serde_json::Value;

use crate::proof::{database_name, generous_world, one_project_and_both_logins, soon, tenant};
use crate::support::{LONG, orchestra, reason, secret, sources, standard_class};

/// The Secret of `one` is as it was published, and its login works.
async fn is_back(world: &World, published: &BTreeMap<String, String>) {
    soon("the Secret is as it was", async || {
        let there = world.get(Kind::Secret, TENANTS, "one-connection").await.unwrap();
        there.is_some() && secret(world, TENANTS, "one-connection").await == *published
    })
    .await;
    drop(tenant(world, "one").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_was_deleted_or_edited_is_restored_with_the_same_login() {
    let world = generous_world().await;
    standard_class(&world, "");
    sources(&world);
    let _operator = world.operator("operator", |_| {}).unwrap();
    orchestra(&world, "one", "");
    one_project_and_both_logins(&world, "one").await;
    let published = secret(&world, TENANTS, "one-connection").await;
    let edit = r#"{"stringData": {"password": "wrong", "DATABASE_URL": "postgresql://nowhere"}}"#;
    for change in [
        ["delete", "secret", "one-connection", "-n", TENANTS, "--wait=true"],
        [
            "patch",
            "secret",
            "one-connection",
            "-n",
            TENANTS,
            &format!("-p={edit}"),
        ],
    ] {
        world.kubectl(change).unwrap();
        is_back(&world, &published).await;
        let settled = |object: &serde_json::Value| is_true(object, "Ready");
        world
            .until(Kind::Orchestra, (TENANTS, "one"), LONG, settled)
            .await
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_comes_back_although_a_migration_fails() {
    let world = generous_world().await;
    standard_class(&world, "");
    sources(&world);
    let _operator = world.operator("operator", |_| {}).unwrap();
    orchestra(&world, "one", "");
    one_project_and_both_logins(&world, "one").await;
    let published = secret(&world, TENANTS, "one-connection").await;
    let failing = r#"{"data": {"20260109000000_bad.sql": "SELECT 1/0;"}}"#;
    world
        .kubectl(["patch", "configmap", "schema", "-n", TENANTS, "-p", failing])
        .unwrap();
    reason(&world, "one", "MigrationFailed").await;
    world
        .kubectl(["delete", "secret", "one-connection", "-n", TENANTS, "--wait=true"])
        .unwrap();
    is_back(&world, &published).await;
    let object = reason(&world, "one", "MigrationFailed").await;
    assert!(
        is_true(&object, "Stalled") && is_true(&object, "Available"),
        "{object:#}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_elses_secret_is_not_overwritten() {
    let world = generous_world().await;
    standard_class(&world, "");
    sources(&world);
    let _operator = world.operator("operator", |_| {}).unwrap();
    world
        .kubectl([
            "create",
            "secret",
            "generic",
            "one-connection",
            "-n",
            TENANTS,
            "--from-literal=mine=yes",
        ])
        .unwrap();
    orchestra(&world, "one", "");
    let object = reason(&world, "one", "SecretConflict").await;
    let (stalled, _, message) = condition(&object, "Stalled");
    assert_eq!(stalled, "True");
    assert!(
        message.contains("one-connection") && message.contains("set spec.connection.secretName to another name"),
        "{message}"
    );
    let theirs = secret(&world, TENANTS, "one-connection").await;
    assert_eq!(theirs.keys().collect::<Vec<_>>(), ["mine"]);
    // By now the pace of the error alone would take longer: the name itself is watched while it is waited for.
    tokio::time::sleep(std::time::Duration::from_secs(20)).await;
    world
        .kubectl(["delete", "secret", "one-connection", "-n", TENANTS])
        .unwrap();
    let began = std::time::Instant::now();
    let goes_on = |object: &Value| condition(object, "Ready").1 != "SecretConflict";
    world
        .until(Kind::Orchestra, (TENANTS, "one"), LONG, goes_on)
        .await
        .unwrap();
    let took = began.elapsed();
    assert!(
        took < std::time::Duration::from_secs(30),
        "noticed after {took:?}, not in seconds"
    );
    one_project_and_both_logins(&world, "one").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owners_password_that_was_lost_is_replaced() {
    let world = generous_world().await;
    standard_class(&world, "");
    sources(&world);
    let _operator = world.operator("operator", |_| {}).unwrap();
    orchestra(&world, "bereft", "");
    one_project_and_both_logins(&world, "bereft").await;
    let database = database_name(&world, "bereft").await;
    let first = secret(&world, SYSTEM, &database).await["password"].clone();
    world.kubectl(["delete", "secret", &database, "-n", SYSTEM]).unwrap();
    soon("the project has another password", async || {
        world.api.ledger().count(Operation::UpdatePassword) == 1
    })
    .await;
    let ready = |object: &serde_json::Value| is_true(object, "Ready");
    world.until(Kind::Database, ("", &database), LONG, ready).await.unwrap();
    one_project_and_both_logins(&world, "bereft").await;
    assert_ne!(secret(&world, SYSTEM, &database).await["password"], first);
}
