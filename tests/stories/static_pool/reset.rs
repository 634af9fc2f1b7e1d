//! Databases that are emptied and reused (`recycle: Reset`).

use std::time::Duration;

use orchestra_sandbox::world::{Kind, SYSTEM, TENANTS, World, condition, is_true};
use serde_json::Value;

use super::{database, database_of, hall};
use crate::orphans::command;
use crate::proof::soon;
use crate::support::{LONG, login, orchestra, project, sources, world};

/// Tables of a tenant, and roles that a script of it has made; an error when the reset ends the session.
async fn look(owner: &str) -> Result<(i64, i64), sqlx::Error> {
    let used = "SELECT (SELECT count(*) FROM pg_class WHERE relname = 'Member'), \
                       (SELECT count(*) FROM pg_roles WHERE rolname = 'left_behind')";
    sqlx::query_as(used).fetch_one(&mut login(owner).await?).await
}

async fn used(owner: &str) -> (i64, i64) {
    look(owner).await.unwrap()
}

fn delete(world: &World, name: &str) {
    world
        .kubectl(["delete", "orch", name, "-n", TENANTS, "--timeout=60s"])
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "one database's lives, in their order")]
async fn a_released_database_is_used_anew_once_nothing_of_its_tenant_is_left() {
    let world = world().await;
    let mut operator = Some(world.operator("operator", |_| {}).unwrap());
    sources(&world);
    let files = tempfile::tempdir().unwrap();
    let hall = hall(&files).await;
    let urls = [database(&hall, "one").await, database(&hall, "two").await];
    let data = urls
        .iter()
        .enumerate()
        .map(|(place, url)| format!("DATABASE_URL_POOL_{}: \"{url}\"", place + 1));
    let data = data.collect::<Vec<_>>().join(", ");
    world
        .apply(&format!(
            "{{apiVersion: v1, kind: Secret, metadata: {{name: rehearsal-databases, namespace: {SYSTEM}}}, stringData: {{{data}}}}}"
        ))
        .unwrap();
    let sample = project().join("deploy/samples/reset-pool.yaml");
    world.kubectl(["apply", "-f", sample.to_str().unwrap()]).unwrap();
    if hall.is_legacy() {
        eprintln!("no server of PostgreSQL 16 or later can be had: nothing is reset");
        return;
    }
    let house = |count: i64| move |pool: &Value| pool["status"]["available"] == count;
    world
        .until(Kind::Pool, ("", "rehearsals"), LONG, house(2))
        .await
        .unwrap();

    // While the grace period runs nothing is dropped.
    orchestra(&world, "first", "  className: rehearsals");
    let first = database_of(&world, "first").await;
    delete(&world, "first");
    let reclaiming =
        |object: &Value| object["status"]["phase"] == "Reclaiming" && object["spec"]["reclaimAfter"].is_string();
    let kept = world
        .until(Kind::Database, ("", &first), LONG, reclaiming)
        .await
        .unwrap();
    assert!(
        condition(&kept, "Ready")
            .2
            .contains("everything in the database is dropped after"),
        "{kept:#}"
    );
    let no_grace = r#"{"spec":{"deletion":{"gracePeriod":null}}}"#;
    world
        .kubectl(["patch", "orchclass", "rehearsals", "--type=merge", "-p", no_grace])
        .unwrap();

    // Killed repeatedly while it runs: the next tenant finds nothing.
    orchestra(&world, "second", "  className: rehearsals");
    let second = database_of(&world, "second").await;
    assert_ne!(first, second);
    let key = world.get(Kind::Database, "", &second).await.unwrap().unwrap()["spec"]["static"]["key"].clone();
    let own = &urls[usize::from(key == "DATABASE_URL_POOL_2")];
    let mut owner = login(own).await.unwrap();
    let script = "CREATE ROLE left_behind LOGIN; CREATE SCHEMA left_behind; GRANT ALL ON SCHEMA left_behind TO left_behind; \
                  CREATE TABLE left_behind.rows AS SELECT n FROM generate_series(1, 100) n";
    sqlx::raw_sql(script).execute(&mut owner).await.unwrap();
    drop(owner);
    delete(&world, "second");
    for delay in [100, 300, 700, 1500] {
        tokio::time::sleep(Duration::from_millis(delay)).await;
        if let Some(mut dead) = operator.take() {
            dead.kill().unwrap();
        }
        operator = Some(world.operator("operator", |_| {}).unwrap());
    }
    // The pool's status may still be that from before the second tenant's claim. A session of ours would delay the reset.
    soon("nothing of the tenant is left", async || {
        tokio::time::sleep(Duration::from_secs(1)).await;
        look(own).await.is_ok_and(|used| used == (0, 0))
    })
    .await;
    let anew = |pool: &Value| pool["status"]["available"] == 1 && is_true(pool, "Ready");
    world
        .until(Kind::Pool, ("", "rehearsals"), LONG * 2, anew)
        .await
        .unwrap();
    assert_eq!(
        used(&urls[usize::from(key != "DATABASE_URL_POOL_2")]).await.0,
        1,
        "the other one is kept"
    );

    // What is kept on purpose is kept.
    orchestra(&world, "third", "  className: rehearsals\n  deletionPolicy: Retain");
    let third = database_of(&world, "third").await;
    delete(&world, "third");
    let released = |object: &Value| object["status"]["phase"] == "Released";
    world.until(Kind::Database, ("", &third), LONG, released).await.unwrap();
    assert_eq!(used(own).await.0, 1);

    // What the entry's login may not drop is named, and keeps the database out.
    let admin = hall.admin_url().replace(
        "/postgres?",
        if key == "DATABASE_URL_POOL_2" { "/two?" } else { "/one?" },
    );
    let mut root = login(&admin).await.unwrap();
    sqlx::raw_sql("CREATE SCHEMA of_an_admin")
        .execute(&mut root)
        .await
        .unwrap();
    let give_up = r#"{"spec":{"reclaimPolicy":"Delete"}}"#;
    world
        .kubectl(["patch", "orchdb", &third, "--type=merge", "-p", give_up])
        .unwrap();
    let named = |object: &Value| condition(object, "Stalled").2.contains("schema of_an_admin");
    world.until(Kind::Database, ("", &third), LONG, named).await.unwrap();
    let told =
        |pool: &Value| condition(pool, "Ready").2.contains("schema of_an_admin") && pool["status"]["available"] == 0;
    world.until(Kind::Pool, ("", "rehearsals"), LONG, told).await.unwrap();
    sqlx::raw_sql("DROP SCHEMA of_an_admin")
        .execute(&mut root)
        .await
        .unwrap();
    drop(root);
    world.until(Kind::Pool, ("", "rehearsals"), LONG, anew).await.unwrap();
    assert_eq!(used(own).await, (0, 0));
}

/// What `orchestra-operator recycle` prints for the entry.
fn recycled(world: &World) -> std::process::Output {
    command(world, &["recycle", "rehearsals", "DATABASE_URL_POOL_1"])
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "one story, in its order")]
async fn a_database_that_may_be_somebody_elses_is_not_advised_to_be_dropped() {
    let world = world().await;
    let _operator = world.operator("operator", |_| {}).unwrap();
    sources(&world);
    let files = tempfile::tempdir().unwrap();
    let hall = hall(&files).await;
    if hall.is_legacy() {
        eprintln!("no server of PostgreSQL 16 or later can be had: nothing is reset");
        return;
    }
    let url = database(&hall, "one").await;
    world
        .apply(&format!(
            "{{apiVersion: v1, kind: Secret, metadata: {{name: rehearsal-databases, namespace: {SYSTEM}}}, \
             stringData: {{DATABASE_URL_POOL_1: \"{url}\"}}}}"
        ))
        .unwrap();
    let sample = project().join("deploy/samples/reset-pool.yaml");
    world.kubectl(["apply", "-f", sample.to_str().unwrap()]).unwrap();
    orchestra(&world, "first", "  className: rehearsals");
    let first = database_of(&world, "first").await;
    delete(&world, "first");
    let reclaiming = |object: &Value| object["status"]["phase"] == "Reclaiming";
    let kept = world
        .until(Kind::Database, ("", &first), LONG, reclaiming)
        .await
        .unwrap();
    let printed = recycled(&world);
    assert!(printed.status.success(), "{printed:?}");

    // Somebody takes it for another purpose, and clears what is not known to be needed.
    let mut owner = login(&url).await.unwrap();
    let other = "DROP SCHEMA stagesub CASCADE; CREATE TABLE precious AS SELECT 1 AS x";
    sqlx::raw_sql(other).execute(&mut owner).await.unwrap();
    drop(owner);
    let file = world.dir().join("recycle.sql");
    std::fs::write(&file, &printed.stdout).unwrap();
    let mut psql = std::process::Command::new(hall.program("psql"));
    psql.args(["-X", "-d", &hall.admin_url(), "-f"]).arg(&file);
    let stopped = psql.output().unwrap();
    let said = String::from_utf8_lossy(&stopped.stderr);
    assert!(!stopped.status.success(), "{said}");
    assert!(
        said.contains("nothing was dropped: the database does not carry the claim record"),
        "{said}"
    );

    // The reset stops as well, and nobody is told to drop it.
    let no_grace = r#"{"spec":{"deletion":{"gracePeriod":null}}}"#;
    world
        .kubectl(["patch", "orchclass", "rehearsals", "--type=merge", "-p", no_grace])
        .unwrap();
    let now = r#"{"spec":{"reclaimAfter":null}}"#;
    world
        .kubectl(["patch", "orchdb", &first, "--type=merge", "-p", now])
        .unwrap();
    let unclear = |object: &Value| condition(object, "Stalled").1 == "ClaimRecordMissing";
    let object = world.until(Kind::Database, ("", &first), LONG, unclear).await.unwrap();
    let message = condition(&object, "Stalled").2;
    assert!(
        message.contains("drop nothing") && message.contains("tenants/first"),
        "{message}"
    );
    assert!(
        !message.contains("recycle") && !message.contains("recreate"),
        "{message}"
    );
    let refused = recycled(&world);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && refused.stdout.is_empty(), "{refused:?}");
    assert!(said.contains("may be somebody else's"), "{said}");
    let mut owner = login(&url).await.unwrap();
    sqlx::raw_sql("SELECT x FROM precious")
        .execute(&mut owner)
        .await
        .unwrap();

    // With the record back, as the docs have it, it is known to be what the Orchestra has left.
    let docs = std::fs::read_to_string(project().join("docs/classes-and-pools.md")).unwrap();
    let (_, after) = docs
        .split_once("```sql\nCREATE SCHEMA IF NOT EXISTS stagesub;")
        .unwrap();
    let (sql, _) = after.split_once("```").unwrap();
    let uid = kept["spec"]["claimRef"]["uid"].as_str().unwrap();
    let sql = sql.replace("'UID', 'NAMESPACE', 'NAME'", &format!("'{uid}', 'tenants', 'first'"));
    let sql = format!("CREATE SCHEMA IF NOT EXISTS stagesub;{sql}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
        .execute(&mut owner)
        .await
        .unwrap();
    drop(owner);
    let now = format!("looked-at={}", orchestra_sandbox::random::alphanumeric(8));
    world
        .kubectl(["annotate", "orchdb", &first, &now, "--overwrite"])
        .unwrap();
    let anew = |pool: &Value| pool["status"]["available"] == 1 && is_true(pool, "Ready");
    world
        .until(Kind::Pool, ("", "rehearsals"), LONG * 2, anew)
        .await
        .unwrap();
    assert_eq!(used(&url).await, (0, 0));
}
