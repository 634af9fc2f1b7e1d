//! A static pool while the operator runs: entries come, change and go, and servers die and come back.

mod backed_up;
mod reset;

use orchestra_sandbox::loopback;
use orchestra_sandbox::postgres::Postgres;
use orchestra_sandbox::random;
use orchestra_sandbox::world::{Kind, SYSTEM, TENANTS, World, condition, is_true};
use serde_json::Value;

use crate::proof::soon;
use crate::samples::all_files_are_named;
use crate::support::{LONG, events_with, login, project, ready, reason, scalar, secret, world};

/// A server of its own, of a version on which a tenant's scripts are confined, where that can be had.
async fn hall(files: &tempfile::TempDir) -> Postgres {
    Postgres::start_as_hosted(files.path(), loopback::address())
        .await
        .unwrap()
}

async fn database(server: &Postgres, name: &str) -> String {
    let owner = format!("{name}_owner");
    server
        .create_database(name, &owner, &random::alphanumeric(20))
        .await
        .unwrap()
}

/// The Secret of an entry, with exactly these values.
fn entry(world: &World, name: &str, values: &[(&str, &str)]) {
    let values = values
        .iter()
        .map(|(key, value)| format!("{key}: {}", serde_json::to_string(value).unwrap()));
    let values = values.collect::<Vec<_>>().join(", ");
    world
        .apply(&format!(
            "{{apiVersion: v1, kind: Secret, metadata: {{name: {name}, namespace: {SYSTEM}, labels: {{orchestra-pool: halls}}}}, \
             stringData: {{{values}}}}}"
        ))
        .unwrap();
}

fn remove(world: &World, name: &str) {
    world.kubectl(["delete", "secret", name, "-n", SYSTEM]).unwrap();
}

async fn pool(world: &World, is: impl Fn(&Value) -> bool) -> Value {
    world.until(Kind::Pool, ("", "halls"), LONG, is).await.unwrap()
}

/// The pool says this, for this reason.
fn says(reason: &'static str, part: &'static str) -> impl Fn(&Value) -> bool {
    move |pool| {
        let (_, is, message) = condition(pool, "Ready");
        is == reason && message.contains(part)
    }
}

async fn database_of(world: &World, orchestra: &str) -> String {
    let object = ready(world, orchestra).await;
    object["status"]["databaseName"].as_str().unwrap().to_owned()
}

async fn tenant_works(world: &World, name: &str) {
    let keys = secret(world, TENANTS, &format!("{name}-connection")).await;
    let mut session = login(&keys["DATABASE_URL"]).await.unwrap();
    assert_eq!(
        scalar(&mut session, "SELECT count(*) FROM pg_class WHERE relname = 'pg_class'").await,
        1
    );
}

fn sample(world: &World) {
    let folder = project().join("deploy/samples/static-pool");
    all_files_are_named(&folder);
    world.kubectl(["apply", "-k", folder.to_str().unwrap()]).unwrap();
    if world.is_legacy() {
        let patch = r#"{"spec":{"static":{"allowLegacyServers":true}}}"#;
        world
            .kubectl(["patch", "orchpool", "halls", "--type=merge", "-p", patch])
            .unwrap();
    }
}

const API: [(&str, &str); 3] = [
    ("SUPABASE_URL", "https://hall.supabase.test"),
    ("SUPABASE_ANON_KEY", "anon-1"),
    ("SUPABASE_SERVICE_ROLE_KEY", "service-hush"),
];

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "one story, in its order")]
async fn entries_come_change_and_go_while_the_operator_runs() {
    let world = world().await;
    let _operator = world
        .operator("operator", |command| {
            command.arg("--resync=2s");
        })
        .unwrap();
    sample(&world);
    let files = tempfile::tempdir().unwrap();
    let mut hall = hall(&files).await;
    let own = world.api.postgres().unwrap();
    let (one, other) = (database(own, "one").await, database(own, "other").await);

    // A hosted entry: its tenant's Secret has the keys, and nothing else tells them.
    hosted(&world, &one, "anon-1");
    let first = database_of(&world, "hall-orchestra").await;
    let keys = secret(&world, TENANTS, "hall-orchestra-connection").await;
    for (key, value) in API {
        assert_eq!(keys[key], value, "{key}");
    }
    let all = world.list(Kind::Database).await.unwrap();
    let told = format!("{all:?}{:?}", world.get(Kind::Pool, "", "halls").await.unwrap());
    assert!(!told.contains("hush"), "{told}");
    hosted(&world, &one, "anon-2");
    soon("the other key is published", async || {
        secret(&world, TENANTS, "hall-orchestra-connection").await["SUPABASE_ANON_KEY"] == "anon-2"
    })
    .await;

    // An incomplete set is reported by name, and so is a second entry for one database.
    let two = database(&hall, "two").await;
    entry(&world, "hall-2", &[("DATABASE_URL", &two), API[0]]);
    pool(
        &world,
        says(
            "InvalidEntry",
            "hall-2/DATABASE_URL: SUPABASE_ANON_KEY and SUPABASE_SERVICE_ROLE_KEY missing",
        ),
    )
    .await;
    remove(&world, "hall-2");
    entry(&world, "hall-2", &[("DATABASE_URL", &two)]);
    pool(&world, |pool| {
        pool["status"]["available"] == 1 && is_true(pool, "Ready")
    })
    .await;
    entry(&world, "hall-again", &[("DATABASE_URL", &two)]);
    pool(
        &world,
        says("DuplicateEntry", "hall-again/DATABASE_URL: leads to the same server"),
    )
    .await;
    remove(&world, "hall-again");
    pool(&world, |pool| is_true(pool, "Ready")).await;

    // A dead server takes its members out, and brings them back.
    hall.stop();
    let out =
        |pool: &Value| pool["status"]["available"] == 0 && says("DatabaseUnreachable", "hall-2/DATABASE_URL")(pool);
    pool(&world, out).await;
    tenant(&world, "second");
    let waits = reason(&world, "second", "PoolExhausted").await;
    let (_, _, message) = condition(&waits, "Ready");
    assert!(
        message.contains("hall-2/DATABASE_URL (DatabaseUnreachable)"),
        "{message}"
    );
    hall.restart().await.unwrap();
    let second = database_of(&world, "second").await;
    pool(&world, |pool| is_true(pool, "Ready") && pool["status"]["bound"] == 2).await;

    // An entry that leaves keeps its tenant, and says so.
    remove(&world, "hall-1");
    let gone = condition_of(&world, &first, "EntryRemoved").await;
    assert!(
        gone.contains("Orchestra tenants/hall-orchestra uses its database"),
        "{gone}"
    );
    pool(
        &world,
        says("EntryRemoved", "hall-1/DATABASE_URL was removed from the inventory"),
    )
    .await;
    tenant_works(&world, "hall-orchestra").await;
    // One that leads elsewhere is not followed.
    entry(&world, "hall-2", &[("DATABASE_URL", &other)]);
    let moved = condition_of(&world, &second, "InvalidEntry").await;
    assert!(
        moved.contains("The claim still refers to the original database"),
        "{moved}"
    );
    tenant_works(&world, "second").await;
    let mut elsewhere = login(&other).await.unwrap();
    let ours = "SELECT count(*) FROM pg_namespace WHERE nspname = 'stagesub'";
    assert_eq!(scalar(&mut elsewhere, ours).await, 0);
    hosted(&world, &one, "anon-2");
    entry(&world, "hall-2", &[("DATABASE_URL", &two)]);
    for name in [&first, &second] {
        let well = |object: &Value| condition(object, "EntryUsable").0.is_empty() && is_true(object, "Ready");
        world.until(Kind::Database, ("", name), LONG, well).await.unwrap();
    }
    pool(&world, |pool| is_true(pool, "Ready")).await;

    password_is_wrong(&world, &two, &second).await;
    a_login_that_is_left_is_revoked(&world, &mut hall, &second).await;

    // Before its claim, a member follows its entry.
    let (four, five) = (database(&hall, "four").await, database(&hall, "five").await);
    entry(&world, "hall-4", &[("DATABASE_URL", &four)]);
    pool(&world, |pool| pool["status"]["available"] == 1).await;
    let before = free(&world).await;
    entry(&world, "hall-4", &[("DATABASE_URL", &wrong(&four))]);
    let out = |pool: &Value| pool["status"]["available"] == 0 && says("LoginFailed", "hall-4/DATABASE_URL")(pool);
    pool(&world, out).await;
    entry(&world, "hall-4", &[("DATABASE_URL", &four)]);
    pool(&world, |pool| {
        pool["status"]["available"] == 1 && is_true(pool, "Ready")
    })
    .await;
    assert_eq!(free(&world).await, before, "it is the same member");
    entry(&world, "hall-4", &[("DATABASE_URL", &five)]);
    soon("another member stands for the entry", async || {
        let now = free(&world).await;
        now.len() == 1 && now != before
    })
    .await;
}

/// The URL with another password.
fn wrong(url: &str) -> String {
    let mut url = url::Url::parse(url).unwrap();
    url.set_password(Some("hush-not-this-one")).unwrap();
    url.to_string()
}

/// Of an entry in use the password is wrong for a while.
async fn password_is_wrong(world: &World, used: &str, claimed: &str) {
    entry(world, "hall-2", &[("DATABASE_URL", &wrong(used))]);
    let told = condition_of(world, claimed, "LoginFailed").await;
    assert!(!told.contains("hush"), "{told}");
    pool(world, says("LoginFailed", "hall-2/DATABASE_URL")).await;
    tenant_works(world, "second").await;
    entry(world, "hall-2", &[("DATABASE_URL", used)]);
    pool(world, |pool| is_true(pool, "Ready")).await;
    let is_usable = |object: &Value| condition(object, "EntryUsable").0 != "False";
    world
        .until(Kind::Database, ("", claimed), LONG, is_usable)
        .await
        .unwrap();
}

/// The server is down while an Orchestra is deleted, and its login is revoked when the server is there again.
async fn a_login_that_is_left_is_revoked(world: &World, hall: &mut Postgres, claimed: &str) {
    let url = secret(world, TENANTS, "second-connection").await["DATABASE_URL"].clone();
    drop(login(&url).await.unwrap());
    hall.stop();
    world
        .kubectl(["annotate", "orch", "second", "-n", TENANTS, "stagesub.io/abandon=true"])
        .unwrap();
    world
        .kubectl(["delete", "orch", "second", "-n", TENANTS, "--timeout=60s"])
        .unwrap();
    // A refusal of the login that the operator remembers from before may come first.
    let is = |object: &Value| condition(object, "AccessRevoked").1 == "DatabaseUnreachable";
    let left = world.until(Kind::Database, ("", claimed), LONG, is).await.unwrap();
    let (status, _, message) = condition(&left, "AccessRevoked");
    assert!(
        status == "False" && message.contains("the logins of the deleted Orchestra are not revoked yet"),
        "{left:#}"
    );
    assert_eq!(left["spec"]["formerLogins"], "Left");
    hall.restart().await.unwrap();
    let is =
        |object: &Value| condition(object, "AccessRevoked").0.is_empty() && object["spec"]["formerLogins"] == "Revoked";
    world.until(Kind::Database, ("", claimed), LONG, is).await.unwrap();
    assert!(login(&url).await.is_err(), "the login is revoked");
    assert!(
        !events_with(world, "which could not be revoked when it was deleted")
            .await
            .is_empty()
    );
}

/// The first entry, which is a hosted project.
fn hosted(world: &World, url: &str, anon: &str) {
    let mut values = vec![("DATABASE_URL", url)];
    values.extend(API.map(|(key, value)| (key, if value == "anon-1" { anon } else { value })));
    entry(world, "hall-1", &values);
}

fn tenant(world: &World, name: &str) {
    world
        .apply(&format!(
            "{{apiVersion: stagesub.io/v1alpha1, kind: Orchestra, metadata: {{name: {name}, namespace: {TENANTS}}}, \
             spec: {{className: halls}}}}"
        ))
        .unwrap();
}

/// The message of a database's EntryUsable condition, once it is False for this reason.
async fn condition_of(world: &World, name: &str, reason: &str) -> String {
    let has = |object: &Value| condition(object, "EntryUsable").1 == reason;
    let object = world.until(Kind::Database, ("", name), LONG, has).await.unwrap();
    assert!(is_true(&object, "Ready"), "{object:#}");
    condition(&object, "EntryUsable").2
}

/// Names of the members that wait for a claim.
async fn free(world: &World) -> Vec<String> {
    let all = world.list(Kind::Database).await.unwrap();
    let free = all.iter().filter(|database| database["spec"]["claimRef"].is_null());
    free.map(|database| database["metadata"]["name"].as_str().unwrap().to_owned())
        .collect()
}
