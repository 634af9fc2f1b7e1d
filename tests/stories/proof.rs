//! What must hold at the end of every story of a creation, whatever went wrong on the way.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use orchestra_sandbox::api::{Created, Options as ApiOptions, RateLimit};
use orchestra_sandbox::world::{Kind, TENANTS, World};
use serde_json::Value;
use sqlx::postgres::PgConnection;

use crate::support::{LONG, SYSTEM, login, ready, scalar, secret, world_with};

/// A world whose provider answers as often as it is asked.
pub async fn generous_world() -> World {
    let rate_limit = RateLimit {
        limit: 100_000,
        ..RateLimit::default()
    };
    world_with(ApiOptions {
        rate_limit,
        ..ApiOptions::default()
    })
    .await
}

/// Name of the OrchestraDatabase of an Orchestra, once the API server has given it a UID.
pub async fn database_name(world: &World, name: &str) -> String {
    let object = world
        .get(Kind::Orchestra, TENANTS, name)
        .await
        .unwrap()
        .expect("the Orchestra is there");
    format!("orchdb-{}", object["metadata"]["uid"].as_str().unwrap())
}

/// The projects that were ever created for an Orchestra.
pub async fn projects(world: &World, name: &str) -> Vec<Created> {
    let marker = database_name(world, name).await;
    world
        .api
        .ledger()
        .projects()
        .into_iter()
        .filter(|project| project.name.ends_with(&marker))
        .collect()
}

/// Ready with exactly one project ever created, whose password is known, and a tenant that logs in.
pub async fn one_project_and_both_logins(world: &World, name: &str) -> Value {
    let object = ready(world, name).await;
    let created = projects(world, name).await;
    assert_eq!(created.len(), 1, "{name}: {created:?}");
    assert!(created[0].deleted.is_none());
    assert!(world.api.ledger().most_alive().values().all(|most| *most <= 1));
    drop(owner(world, name).await);
    drop(tenant(world, name).await);
    object
}

/// A session of the owner, with what is in the operator's namespace.
pub async fn owner(world: &World, name: &str) -> PgConnection {
    login(&owner_url(
        &secret(world, SYSTEM, &database_name(world, name).await).await,
    ))
    .await
    .unwrap()
}

/// A session of the tenant, with what is in the tenant's namespace.
pub async fn tenant(world: &World, name: &str) -> PgConnection {
    login(&secret(world, TENANTS, &format!("{name}-connection")).await["DATABASE_URL"])
        .await
        .unwrap()
}

/// The owner's login as a URL.
pub fn owner_url(keys: &BTreeMap<String, String>) -> String {
    let part = |key: &str| keys[key].as_str();
    format!(
        "postgresql://{}:{}@{}:{}/{}?sslmode=require",
        part("user"),
        part("password"),
        part("host"),
        part("session-port"),
        part("database")
    )
}

/// Rows of the migration history; with a name only its own.
pub async fn history(session: &mut PgConnection) -> i64 {
    scalar(session, "SELECT count(*) FROM _prisma_migrations").await
}

/// Looks again and again until it is so, at first without a pause to speak of: what is looked for may pass. Later looks leave
/// the processor to what they wait for.
pub async fn soon(what: &str, mut is: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !is().await {
        assert!(began.elapsed() < LONG, "{what}: not so after {LONG:?}");
        let pause = if began.elapsed() < Duration::from_secs(2) {
            3
        } else {
            20
        };
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
}
