//! A whole namespace is deleted.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use orchestra_sandbox::world::{Kind, World, is_true};
use serde_json::Value;

use crate::pool::{house, inventory};
use crate::proof::{generous_world, soon};
use crate::support::{SYSTEM, login, scalar, standard_class};

/// Longest time until all are ready on a busy machine.
const PATIENCE: Duration = Duration::from_mins(4);

/// Orchestras of the pool; as many again have a project each, or never had a database.
const POOLED: usize = 20;
const HOSTED: usize = 5;
const WAITING: usize = 25;

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_of_fifty_goes_without_a_hang_and_without_orphans() {
    let world = generous_world().await;
    let _operator = world.operator("operator", |_| {}).unwrap();
    standard_class(&world, "  deletion: {policy: Delete}");
    world
        .apply(
            "{apiVersion: stagesub.io/v1alpha1, kind: OrchestraClass, metadata: {name: pooled}, \
             spec: {pools: {names: [house], policy: PoolOnly}}}",
        )
        .unwrap();
    let names: Vec<_> = (0..POOLED).map(|number| format!("member{number}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    house(&world, &inventory(&world, &names).await);
    let mut manifests = "apiVersion: v1\nkind: Namespace\nmetadata: {name: many}\n".to_owned();
    let mut add = |prefix: &str, class: &str, count: usize| {
        for number in 0..count {
            write!(
                manifests,
                "---\napiVersion: stagesub.io/v1alpha1\nkind: Orchestra\n\
                 metadata: {{name: {prefix}{number}, namespace: many}}\nspec: {{className: {class}}}\n"
            )
            .unwrap();
        }
    };
    add("pooled", "pooled", POOLED);
    add("hosted", "standard", HOSTED);
    add("waiting", "missing", WAITING);
    world.apply(&manifests).unwrap();
    let began = Instant::now();
    while ready(&world).await < POOLED + HOSTED {
        assert!(began.elapsed() < PATIENCE, "not all that can be are ready");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let total = world.list(Kind::Orchestra).await.unwrap().len();
    assert_eq!(total, 50);

    world
        .kubectl(["delete", "namespace", "many", "--timeout=120s"])
        .unwrap();
    assert!(world.list(Kind::Orchestra).await.unwrap().is_empty());
    soon("the projects are gone", async || {
        let projects = world.api.ledger().projects();
        projects.iter().all(|project| project.deleted.is_some())
    })
    .await;
    let released = |database: &Value| database["status"]["phase"] == "Released";
    soon("the entries are released", async || {
        let databases = world.list(Kind::Database).await.unwrap();
        databases.len() == POOLED && databases.iter().all(released)
    })
    .await;
    let mut admin = login(&world.api.postgres().unwrap().admin_url()).await.unwrap();
    let roles = "SELECT count(*) FROM pg_roles WHERE rolname ~ '^orchestra_[0-9a-f]{32}$'";
    assert_eq!(scalar(&mut admin, roles).await, 0, "no login is left");
    let secrets = world.list(Kind::Secret).await.unwrap();
    let left = secrets.iter().filter(|secret| {
        let name = secret["metadata"]["name"].as_str().unwrap_or_default();
        secret["metadata"]["namespace"] == SYSTEM && name.starts_with("orchdb-")
    });
    assert_eq!(left.count(), 0, "no password is left");
}

async fn ready(world: &World) -> usize {
    let all = world.list(Kind::Orchestra).await.unwrap();
    all.iter().filter(|object| is_true(object, "Ready")).count()
}
