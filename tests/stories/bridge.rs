//! Without any OrchestraClass, the operator's environment makes the default one.

use orchestra_sandbox::world::{Kind, TENANTS, World, condition, is_true};

use crate::support::{LONG, login, ready, scalar, secret, standard_class, world};

/// Name of what is made from the environment.
const MADE: &str = "environment";

fn bare_orchestra(world: &World) {
    let kind = "apiVersion: stagesub.io/v1alpha1, kind: Orchestra";
    world
        .apply(&format!(
            "{{{kind}, metadata: {{name: one, namespace: {TENANTS}}}, spec: {{}}}}"
        ))
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_in_the_environment_makes_the_default_class() {
    let world = world().await;
    let (token, organization) = (world.api.token(), world.api.organization());
    let _operator = world
        .operator("operator", |command| {
            command
                .env("SUPABASE_MANAGEMENT_TOKEN", token)
                .env("SUPABASE_ORGANIZATION_ID", organization);
        })
        .unwrap();
    bare_orchestra(&world);
    ready(&world, "one").await;

    let class = world.get(Kind::Class, "", MADE).await.unwrap().unwrap();
    assert_eq!(class["metadata"]["annotations"]["stagesub.io/is-default-class"], "true");
    assert!(world.list(Kind::Pool).await.unwrap().is_empty());
    let keys = secret(&world, TENANTS, "one-connection").await;
    assert!(keys.contains_key("SUPABASE_URL"));
    let mut tenant = login(&keys["DATABASE_URL"]).await.unwrap();
    assert_eq!(
        scalar(
            &mut tenant,
            "SELECT count(*) FROM pg_roles WHERE rolname = current_user AND rolsuper"
        )
        .await,
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn urls_in_the_environment_make_a_static_pool() {
    let world = world().await;
    let url = world
        .api
        .postgres()
        .unwrap()
        .create_database("house", "house_owner", "first-pass")
        .await
        .unwrap();
    let _operator = world
        .operator("operator", |command| {
            command.env("DATABASE_URL_POOL_1", url);
            command.env("database_url_pool_2", "postgres://b:hush@db.example/b");
        })
        .unwrap();
    bare_orchestra(&world);
    if world.is_legacy() {
        let refused = |pool: &serde_json::Value| {
            let (_, reason, message) = condition(pool, "Ready");
            reason == "InvalidEntry" && message.contains("static.allowLegacyServers")
        };
        world.until(Kind::Pool, ("", MADE), LONG, refused).await.unwrap();
        let accept = r#"{"spec": {"static": {"allowLegacyServers": true}}}"#;
        world
            .kubectl(["patch", "orchpool", MADE, "--type=merge", "-p", accept])
            .unwrap();
    }
    ready(&world, "one").await;

    // An entry does not vanish because of the name of its variable.
    let told = |pool: &serde_json::Value| {
        let message = condition(pool, "Ready").2;
        message.contains("database_url_pool_2: no entry has this key: name it DATABASE_URL_POOL_ ")
    };
    let pool = world.until(Kind::Pool, ("", MADE), LONG, told).await.unwrap();
    assert!(!pool.to_string().contains("hush"), "{pool:#}");
    let keys = secret(&world, TENANTS, "one-connection").await;
    assert!(!keys.keys().any(|key| key.starts_with("SUPABASE_")));
    login(&keys["DATABASE_URL"]).await.unwrap();
    assert!(world.api.ledger().requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_class_the_environment_makes_nothing() {
    let world = world().await;
    standard_class(&world, "");
    let url = world
        .api
        .postgres()
        .unwrap()
        .create_database("house", "house_owner", "first-pass")
        .await
        .unwrap();
    let _operator = world
        .operator("operator", |command| {
            command.env("DATABASE_URL_POOL_1", url);
        })
        .unwrap();
    // The class is reconciled only after the environment was looked at.
    world
        .until(Kind::Class, ("", "standard"), LONG, |class| is_true(class, "Ready"))
        .await
        .unwrap();

    assert!(world.get(Kind::Class, "", MADE).await.unwrap().is_none());
    assert!(world.list(Kind::Pool).await.unwrap().is_empty());
}
