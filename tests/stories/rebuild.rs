//! A cluster is lost with all its objects. In a new one the tenants are rebuilt from the projects of the organization, with
//! their data.

use std::process::Output;

use orchestra_sandbox::world::{Kind, TENANTS, World, condition, is_true};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use crate::orphans::command;
use crate::pool::{house, inventory};
use crate::proof::{generous_world, soon, tenant};
use crate::support::{LONG, SYSTEM, gone, login, project, ready, scalar, secret};
use crate::warm_pool::{class, pool, tenant as plain, waiting};
use crate::way_back::{MEMBERS, delete, taker};

fn rebuild(world: &World, more: &[&str]) -> Output {
    let address = format!("--supabase-api-url={}", world.api.url());
    command(world, &[&["rebuild", "standard", &address], more].concat())
}

fn patch(world: &World, kind: &str, name: &str, spec: &str) {
    let patch = format!(r#"{{"spec":{spec}}}"#);
    world
        .kubectl(["patch", kind, name, "--type=merge", "-p", &patch])
        .unwrap();
}

async fn insert(world: &World, name: &str) {
    sqlx::raw_sql(r#"INSERT INTO "Member" ("name") VALUES ('Dora')"#)
        .execute(&mut tenant(world, name).await)
        .await
        .unwrap();
}

async fn rows(world: &World, name: &str) -> i64 {
    scalar(&mut tenant(world, name).await, MEMBERS).await
}

/// The pool `house` with these entries, and a class of it alone.
fn housed(world: &World, entries: &[String]) {
    house(world, entries);
    world
        .apply(
            "{apiVersion: stagesub.io/v1alpha1, kind: OrchestraClass, metadata: {name: housed}, \
             spec: {pools: {names: [house], policy: PoolOnly}}}",
        )
        .unwrap();
}

/// As docs/disaster-recovery.md says.
async fn an_entry_is_given_back_by_hand(world: &World, entries: &[String]) {
    housed(world, entries);
    let refused = |pool: &Value| {
        condition(pool, "Ready")
            .2
            .contains("claim record of Orchestra tenants/entry")
    };
    let pool = world.until(Kind::Pool, ("", "house"), LONG, refused).await.unwrap();
    let message = condition(&pool, "Ready").2;
    let (_, rest) = message.split_once("tenants/entry (").unwrap();
    let (uid, _) = rest.split_once(')').unwrap();
    let page = std::fs::read_to_string(project().join("docs/disaster-recovery.md")).unwrap();
    let (_, rest) = page
        .split_once("-c \"SET search_path = pg_catalog, pg_temp\" -c \"")
        .unwrap();
    let (query, _) = rest.split_once('"').unwrap();
    let url: String = serde_json::from_str(entries[0].split_once(": ").unwrap().1).unwrap();
    let name: String = sqlx::query_scalar(AssertSqlSafe(query))
        .fetch_one(&mut login(&url).await.unwrap())
        .await
        .unwrap();
    let database = json!({
        "apiVersion": "stagesub.io/v1alpha1", "kind": "OrchestraDatabase", "metadata": {"name": name},
        "spec": {
            "className": "housed", "pool": "house", "static": {"pool": "house", "key": "DATABASE_URL_POOL_1"},
            "claimRef": {"namespace": TENANTS, "name": "entry", "uid": uid}, "releasedAt": "2026-11-28T12:00:00Z",
            "offeredTo": TENANTS, "reclaimPolicy": "Retain",
        },
    });
    world.apply(&database.to_string()).unwrap();
    taker(world, TENANTS, "entry", &name, ", className: housed");
    ready(world, "entry").await;
    assert_eq!(rows(world, "entry").await, 1);
    let whole = |pool: &Value| is_true(pool, "Ready") && pool["status"]["bound"] == 1;
    world.until(Kind::Pool, ("", "house"), LONG, whole).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "one story, in its order")]
async fn a_lost_cluster_is_rebuilt_from_its_projects() {
    let mut world = generous_world().await;
    class(&world, "");
    let mut operator = world.operator("first", |_| {}).unwrap();
    plain(&world, "one", "");
    ready(&world, "one").await;
    // Another one has a pool's project, and one more waits there.
    patch(
        &world,
        "orchclass",
        "standard",
        r#"{"pools":{"names":["warm"],"policy":"PoolFirst"}}"#,
    );
    pool(&world, "warm", 1, "");
    let filled = |pool: &Value| pool["status"]["available"] == 1;
    world.until(Kind::Pool, ("", "warm"), LONG, filled).await.unwrap();
    plain(&world, "pooled", "");
    let object = ready(&world, "pooled").await;
    let of_pool = object["status"]["databaseName"].as_str().unwrap().to_owned();
    let is_refilled = async || {
        let requests = world.api.ledger().projects();
        requests.len() == 3 && waiting(&world).await.len() == 1
    };
    soon("the pool is refilled", is_refilled).await;
    world.until(Kind::Pool, ("", "warm"), LONG, filled).await.unwrap();
    let entries = inventory(&world, &["house_1"]).await;
    housed(&world, &entries);
    plain(
        &world,
        "entry",
        "className: housed, migrations: {format: Prisma, source: {inline: {1_members.sql: 'CREATE TABLE \"Member\" (id serial \
         PRIMARY KEY, name text NOT NULL);'}}}",
    );
    ready(&world, "entry").await;
    for name in ["one", "pooled", "entry"] {
        insert(&world, name).await;
    }
    let old = secret(&world, TENANTS, "one-connection").await;

    operator.kill().unwrap();
    world.lose_cluster().await.unwrap();
    class(&world, "");
    let _operator = world.operator("second", |_| {}).unwrap();
    let told = rebuild(&world, &["--cluster=001122334455"]);
    let told = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(
        told.contains("there are projects of: ") && told.contains(" (3)"),
        "{told}"
    );
    let written = rebuild(&world, &[]);
    assert_eq!(written.status.code(), Some(1), "one is left out");
    let manifests = String::from_utf8(written.stdout).unwrap();
    for (part, count) in [
        ("kind: OrchestraDatabase\n", 2),
        ("kind: Orchestra\n", 2),
        ("# Left out: ", 1),
        ("it has no claim record", 1),
        ("Scripts can change a claim record", 1),
    ] {
        assert_eq!(manifests.matches(part).count(), count, "{part}\n{manifests}");
    }
    let file = world.dir().join("rebuilt.yaml");
    std::fs::write(&file, &manifests).unwrap();
    let file = file.to_str().unwrap();
    world.kubectl(["create", "-f", file]).unwrap();

    for name in ["one", "pooled"] {
        let object = ready(&world, name).await;
        // Neither the migrations nor the seed of the class's template are applied again.
        assert_eq!(object["status"]["migrations"]["applied"], 1, "{object:#}");
        assert_eq!(rows(&world, name).await, 3, "{name}");
    }
    assert_eq!(world.api.ledger().projects().len(), 3, "none was bought");
    assert!(
        login(&old["DATABASE_URL"]).await.is_err(),
        "the former login is revoked"
    );
    // A second time there is nothing to do, and an apply of the old file takes nothing away.
    assert!(world.kubectl(["apply", "-f", file]).is_err());
    let again = String::from_utf8(rebuild(&world, &[]).stdout).unwrap();
    assert!(!again.contains("kind:"), "{again}");
    ready(&world, "one").await;

    an_entry_is_given_back_by_hand(&world, &entries).await;

    // They are as they were: one goes with its project, and one to another class, as docs/how-to/change-class.md says.
    let one = world.get(Kind::Orchestra, TENANTS, "one").await.unwrap().unwrap();
    let (database, reference) = (
        one["status"]["databaseName"].as_str().unwrap().to_owned(),
        one["status"]["project"]["ref"].as_str().unwrap().to_owned(),
    );
    world
        .kubectl([
            "patch",
            "orch",
            "one",
            "-n",
            TENANTS,
            "--type=merge",
            "-p",
            r#"{"spec":{"deletionPolicy":"Delete"}}"#,
        ])
        .unwrap();
    world
        .kubectl(["delete", "orch", "one", "-n", TENANTS, "--timeout=60s"])
        .unwrap();
    gone(&world, Kind::Database, "", &database).await;
    gone(&world, Kind::Secret, SYSTEM, &database).await;
    let all = world.api.ledger().projects();
    let destroyed: Vec<_> = all
        .iter()
        .filter(|it| it.deleted.is_some())
        .map(|it| &it.reference)
        .collect();
    assert_eq!(destroyed, [&reference]);

    world
        .apply(
            "{apiVersion: stagesub.io/v1alpha1, kind: OrchestraClass, metadata: {name: other}, \
             spec: {provider: {supabase: {organization: acme-org, tokenSecretRef: {name: supabase-token}}}}}",
        )
        .unwrap();
    delete(&world, "pooled", &of_pool, "Released").await;
    patch(&world, "orchdb", &of_pool, r#"{"className":"other"}"#);
    taker(&world, TENANTS, "moved", &of_pool, ", className: other");
    ready(&world, "moved").await;
    assert_eq!(rows(&world, "moved").await, 3);
}
