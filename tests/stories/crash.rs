//! `kill -9` of the operator at every step of a creation: a new one finishes the work with one
//! project, whose password is known.

use orchestra_sandbox::api::{Fault, Operation};
use orchestra_sandbox::world::{Kind, Operator, SYSTEM, TENANTS, World};

use crate::proof::{database_name, generous_world, one_project_and_both_logins, owner_url, projects, soon};
use crate::support::{login, orchestra, secret, sources, standard_class};

/// Kills the operator and starts another one; its log starts again.
fn replace(world: &World, operator: &mut Operator, name: &str) {
    operator.kill().unwrap();
    *operator = world.operator(name, |_| {}).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_the_provider_is_being_asked() {
    let world = generous_world().await;
    standard_class(&world, "");
    sources(&world);
    let mut operator = world.operator("first", |_| {}).unwrap();
    let points = [
        ("listing", Operation::ListOrganizationProjects, Fault::HoldBefore),
        ("create-before", Operation::CreateProject, Fault::HoldBefore),
        ("create-after", Operation::CreateProject, Fault::HoldAfter),
        ("health", Operation::Health, Fault::HoldAfter),
        ("pooler", Operation::PoolerConfig, Fault::HoldAfter),
        ("keys", Operation::ListKeys, Fault::HoldAfter),
    ];
    for (name, operation, fault) in points.clone() {
        world.api.faults().add(operation, 1, fault);
        orchestra(&world, name, "");
        world.api.faults().wait_until_held(operation).await;
        operator.kill().unwrap();
        // The request continues at the provider although nobody waits for its answer.
        world.api.faults().release(operation);
        operator = world.operator(&format!("after-{name}"), |_| {}).unwrap();
        one_project_and_both_logins(&world, name).await;
    }
    assert_eq!(world.api.ledger().projects().len(), points.len());
    assert_eq!(
        world.api.ledger().count(Operation::UpdatePassword),
        0,
        "every password was known"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_right_after_a_step_of_the_resources() {
    let world = generous_world().await;
    standard_class(&world, "");
    sources(&world);
    let mut operator = world.operator("first", |_| {}).unwrap();
    let points = [
        "database",
        "password",
        "issued",
        "recorded",
        "tenant-password",
        "secret",
    ];
    for name in points {
        orchestra(&world, name, "");
        let database = database_name(&world, name).await;
        soon(name, async || reached(&world, name, &database).await).await;
        replace(&world, &mut operator, &format!("after-{name}"));
        one_project_and_both_logins(&world, name).await;
    }
    assert_eq!(world.api.ledger().projects().len(), points.len());
}

/// Whether an Orchestra that is named after a step has come to it.
async fn reached(world: &World, step: &str, database: &str) -> bool {
    let get = async |kind, namespace, name| world.get(kind, namespace, name).await.unwrap();
    let status = async |field: &str| {
        get(Kind::Database, "", database)
            .await
            .is_some_and(|object| !object["status"][field].is_null())
    };
    match step {
        "database" => get(Kind::Database, "", database).await.is_some(),
        "password" => get(Kind::Secret, SYSTEM, database).await.is_some(),
        "issued" => status("createIssuedAt").await,
        "recorded" => status("project").await,
        "tenant-password" => get(Kind::Secret, SYSTEM, &format!("{database}-tenant"))
            .await
            .is_some_and(|secret| !secret["data"]["tenant-password"].is_null()),
        "secret" => get(Kind::Secret, TENANTS, &format!("{step}-connection"))
            .await
            .is_some(),
        other => panic!("no step {other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_the_middle_of_the_migrations() {
    let world = generous_world().await;
    standard_class(&world, "");
    sources(&world);
    // The second of the two takes long enough to be caught in it.
    let slow = r#"{"data": {"20260102000000_concerts.sql": "CREATE TABLE \"Concert\" (\"id\" SERIAL PRIMARY KEY, \"title\" TEXT NOT NULL);\nSELECT pg_sleep(2);\n"}}"#;
    world
        .kubectl(["patch", "configmap", "schema", "-n", TENANTS, "-p", slow])
        .unwrap();
    let mut operator = world.operator("first", |_| {}).unwrap();

    // The tenant's role exists, and no migration is recorded as started.
    orchestra(&world, "role", "");
    let database = database_name(&world, "role").await;
    let role = format!("orchestra_{}", database.replace("orchdb-", "").replace('-', ""));
    soon("role", async || {
        let created = projects(&world, "role").await;
        let Some(project) = created.first() else { return false };
        // Its server is there a little later than the project.
        let Ok(mut server) = world.api.project(&project.reference).await else {
            return false;
        };
        let query = "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)";
        sqlx::query_scalar(query)
            .bind(&role)
            .fetch_one(&mut server)
            .await
            .unwrap()
    })
    .await;
    replace(&world, &mut operator, "after-role");
    one_project_and_both_logins(&world, "role").await;

    // The first migration is applied, the second has started.
    orchestra(&world, "half", "");
    let database = database_name(&world, "half").await;
    soon("keys", async || {
        let tenant = format!("{database}-tenant");
        let secret = world.get(Kind::Secret, SYSTEM, &tenant).await.unwrap();
        secret.is_some_and(|secret| !secret["data"]["tenant-password"].is_null())
    })
    .await;
    let mut owner = login(&owner_url(&secret(&world, SYSTEM, &database).await))
        .await
        .unwrap();
    soon("the second migration runs", async || {
        let query = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep')";
        sqlx::query_scalar(query).fetch_one(&mut owner).await.unwrap()
    })
    .await;
    let applied = "SELECT count(*) FROM _prisma_migrations WHERE finished_at IS NOT NULL";
    assert_eq!(crate::support::scalar(&mut owner, applied).await, 1);
    replace(&world, &mut operator, "after-half");
    let object = one_project_and_both_logins(&world, "half").await;
    assert_eq!(object["status"]["migrations"]["applied"], 2);
    assert_eq!(
        crate::support::scalar(&mut owner, applied).await,
        2,
        "each is recorded once"
    );
}
