//! A pool that makes its databases on a server: killed at its steps, taken over by a second operator, claimed from, isolated,
//! without its server for a while, with a wrong password, scaled, and deleted.

use std::process::Command;

use orchestra_sandbox::loopback;
use orchestra_sandbox::postgres::Postgres;
use orchestra_sandbox::world::{Kind, Operator, SYSTEM, TENANTS, World, condition, is_true};
use serde_json::Value;
use sqlx::postgres::PgConnection;
use url::Url;

use crate::proof::soon;
use crate::rotation::ask;
use crate::samples::all_files_are_named;
use crate::support::{LONG, events_with, gone, kill, login, project, ready, reason, scalar, secret, world};

const DATABASES: &str = "SELECT count(*) FROM pg_database WHERE datname LIKE 'orchestra_entry_%'";
const OWNERS: &str = "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'orchestra_entry_%'";

/// The login that the sample makes, without CREATEDB.
pub fn maker(server: &Postgres) {
    let file = project().join("deploy/samples/pool-server.sql");
    let url = server.admin_url();
    let psql = |arguments: &[&str]| {
        let out = Command::new(server.program("psql"))
            .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", &url])
            .args(arguments)
            .output()
            .unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    };
    psql(&["-f", file.to_str().unwrap()]);
    psql(&["-c", "ALTER ROLE orchestra_maker PASSWORD 'hush' NOCREATEDB"]);
}

/// The Secrets of the entries, and how many of them have their database.
async fn entries(world: &World) -> (usize, usize) {
    let all = world.list(Kind::Secret).await.unwrap();
    let is = |secret: &&Value| secret["metadata"]["labels"]["stagesub.io/entry-of"] == "house-server";
    let ours: Vec<_> = all.iter().filter(is).collect();
    let made = ours
        .iter()
        .filter(|secret| secret["metadata"]["annotations"]["stagesub.io/made"].is_string());
    (ours.len(), made.count())
}

async fn pool(world: &World, is: impl Fn(&Value) -> bool) -> Value {
    let name = ("", "house-server");
    world.until(Kind::Pool, name, LONG, is).await.unwrap()
}

fn filled(available: i64, bound: i64) -> impl Fn(&Value) -> bool {
    move |pool: &Value| {
        let status = &pool["status"];
        status["available"] == available && status["bound"] == bound && is_true(pool, "Ready")
    }
}

/// So many databases, with an owner each, and no Secret beside theirs.
async fn there_are(world: &World, root: &mut PgConnection, count: i64) {
    soon(&format!("{count} databases"), async || {
        let (secrets, _) = entries(world).await;
        scalar(root, DATABASES).await == count
            && scalar(root, OWNERS).await == count
            && i64::try_from(secrets).unwrap() == count
    })
    .await;
}

fn tenant(world: &World, name: &str) {
    world
        .apply(&format!(
            "{{apiVersion: stagesub.io/v1alpha1, kind: Orchestra, metadata: {{name: {name}, namespace: {TENANTS}}}, \
             spec: {{className: house}}}}"
        ))
        .unwrap();
}

fn delete(world: &World, what: &str, name: &str) {
    world
        .kubectl(["delete", what, name, "--wait=false", "-n", TENANTS])
        .unwrap();
}

/// A released database that has lost its claim record is kept until the record is there again.
async fn what_may_be_somebody_elses_is_not_dropped(world: &World, server: &Postgres) {
    let class = |grace: &str| {
        let patch = format!(r#"{{"spec":{{"deletion":{{"gracePeriod":{grace}}}}}}}"#);
        world
            .kubectl(["patch", "orchclass", "house", "--type=merge", "-p", &patch])
            .unwrap();
    };
    tenant(world, "third");
    let object = ready(world, "third").await;
    let name = object["status"]["databaseName"].as_str().unwrap().to_owned();
    let url = secret(world, TENANTS, "third-connection").await["DATABASE_URL"].clone();
    let mut admin = Url::parse(&server.admin_url()).unwrap();
    admin.set_path(Url::parse(&url).unwrap().path());
    class("\"1h\"");
    delete(world, "orchestra", "third");
    let database =
        async |is: &dyn Fn(&Value) -> bool| world.until(Kind::Database, ("", &name), LONG, is).await.unwrap();
    database(&|object| object["status"]["phase"] == "Reclaiming").await;
    let mut admin = login(admin.as_str()).await.unwrap();
    let moves = async |admin: &mut PgConnection, from: &str, to: &str| {
        let sql = sqlx::AssertSqlSafe(format!("ALTER SCHEMA {from} RENAME TO {to}"));
        sqlx::raw_sql(sql).execute(admin).await.unwrap();
    };
    moves(&mut admin, "stagesub", "aside").await;
    class("null");
    let now = r#"{"spec":{"reclaimAfter":null}}"#;
    world
        .kubectl(["patch", "orchdb", &name, "--type=merge", "-p", now])
        .unwrap();
    let kept = database(&|object| condition(object, "Stalled").1 == "ClaimRecordMissing").await;
    let message = condition(&kept, "Stalled").2;
    assert!(
        message.contains("drop nothing") && message.contains("tenants/third"),
        "{message}"
    );
    assert!(!message.contains("recycle"), "{message}");
    assert_eq!(scalar(&mut admin, "SELECT count(*) FROM piece").await, 0);
    moves(&mut admin, "aside", "stagesub").await;
    drop(admin);
    let woken = world.kubectl(["annotate", "orchdb", &name, "--overwrite", "looked-at=now"]);
    // The operator may have looked by itself, and have destroyed the database as it was asked to.
    if let Err(error) = woken {
        assert!(error.to_string().contains("NotFound"), "{error:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "one pool's life, in its order")]
async fn a_pool_makes_its_databases_on_a_server() {
    let world = world().await;
    let files = tempfile::tempdir().unwrap();
    let mut server = Postgres::start_as_hosted(files.path(), loopback::address())
        .await
        .unwrap();
    maker(&server);
    let mut root = server.connect_admin().await.unwrap();
    let start_as = |name: &str| {
        world
            .operator(name, |command| {
                command.args(["--resync=2s", "--login-spacing=300ms"]);
            })
            .unwrap()
    };
    let start = || start_as("operator");

    // A missing right of the login is reported with the statement that grants it, and so is a missing Secret.
    let mut operator = start();
    let folder = project().join("deploy/samples/server-pool");
    all_files_are_named(&folder);
    world.kubectl(["apply", "-k", folder.to_str().unwrap()]).unwrap();
    if server.is_legacy() {
        let patch = r#"{"spec":{"server":{"allowLegacyServers":true}}}"#;
        world
            .kubectl(["patch", "orchpool", "house-server", "--type=merge", "-p", patch])
            .unwrap();
    }
    let missing = |pool: &Value| {
        condition(pool, "Ready")
            .2
            .contains("Secret house-server with key DATABASE_URL")
    };
    pool(&world, missing).await;
    let url = format!(
        "postgresql://orchestra_maker:hush@{}/postgres?sslmode=disable",
        server.address()
    );
    let literal = format!("--from-literal=DATABASE_URL={url}");
    world
        .kubectl(["create", "secret", "generic", "house-server", "-n", SYSTEM, &literal])
        .unwrap();
    let lacks = |pool: &Value| {
        let (_, reason, message) = condition(pool, "Ready");
        reason == "InvalidEntry" && message.contains("ALTER ROLE \"orchestra_maker\" CREATEDB")
    };
    pool(&world, lacks).await;
    assert_eq!(scalar(&mut root, OWNERS).await, 0);

    // Killed after each of its steps, it leaves nothing twice and loses nothing.
    kill(&world, &mut operator);
    sqlx::query("ALTER ROLE orchestra_maker CREATEDB")
        .execute(&mut root)
        .await
        .unwrap();
    for done in [OWNERS, DATABASES] {
        let mut operator = start();
        soon("the server was asked", async || scalar(&mut root, done).await > 0).await;
        kill(&world, &mut operator);
    }
    let mut operator = start();
    soon("a database is written down", async || entries(&world).await.1 > 0).await;
    // Another operator is already running, and continues where this one was.
    let mut standby = start_as("standby");
    let waits = || standby.log().contains("another operator leads; standing by");
    soon("it stands by", async || waits()).await;
    kill(&world, &mut operator);

    // Two tenants, each in a database that is prepared, and neither reaches the other's.
    ready(&world, "house-orchestra").await;
    tenant(&world, "second");
    ready(&world, "second").await;
    pool(&world, filled(2, 2)).await;
    there_are(&world, &mut root, 4).await;
    let first = secret(&world, TENANTS, "house-orchestra-connection").await["DATABASE_URL"].clone();
    let second = secret(&world, TENANTS, "second-connection").await["DATABASE_URL"].clone();
    let mut own = login(&second).await.unwrap();
    assert_eq!(scalar(&mut own, "SELECT count(*) FROM piece").await, 0);
    drop(own);
    for (from, to) in [(&first, &second), (&second, &first)] {
        let (mut from, to) = (Url::parse(from).unwrap(), Url::parse(to).unwrap());
        from.set_path(to.path());
        let refused = login(from.as_str()).await.unwrap_err().to_string();
        assert!(refused.contains("permission denied"), "{refused}");
    }

    owners_password(&world, (&server, &mut root), &second, (&mut standby, &start)).await;
    let second = secret(&world, TENANTS, "second-connection").await["DATABASE_URL"].clone();

    // While the server is down nobody gets what is on it, also after a restart of the operator, and nothing is dropped.
    server.stop();
    let out = |pool: &Value| pool["status"]["available"] == 0 && condition(pool, "Ready").1 == "DatabaseUnreachable";
    pool(&world, out).await;
    tenant(&world, "third");
    reason(&world, "third", "PoolExhausted").await;
    delete(&world, "orchestra", "third");
    gone(&world, Kind::Orchestra, TENANTS, "third").await;
    kill(&world, &mut standby);
    let operator = start();
    server.restart().await.unwrap();
    root = server.connect_admin().await.unwrap();
    pool(&world, filled(2, 2)).await;
    there_are(&world, &mut root, 4).await;

    its_password_is_wrong(&world, &mut root, &first).await;

    // Fewer: one that waits is dropped, and no other.
    world
        .kubectl(["scale", "orchpool/house-server", "--replicas=1"])
        .unwrap();
    pool(&world, filled(1, 2)).await;
    there_are(&world, &mut root, 3).await;
    login(&first).await.unwrap();

    // At its limit it says so, and a deleted tenant's database is emptied and waits.
    let patch = r#"{"spec":{"replicas":2,"server":{"max":3}}}"#;
    world
        .kubectl(["patch", "orchpool", "house-server", "--type=merge", "-p", patch])
        .unwrap();
    let full = |pool: &Value| {
        let (_, reason, message) = condition(pool, "Stalled");
        reason == "PoolExhausted" && message.contains("server.max (3)")
    };
    pool(&world, full).await;
    if !server.is_legacy() {
        delete(&world, "orchestra", "second");
        pool(&world, filled(2, 1)).await;
        there_are(&world, &mut root, 3).await;
        login(&second).await.unwrap_err();
        what_may_be_somebody_elses_is_not_dropped(&world, &server).await;
        pool(&world, filled(2, 1)).await;
        there_are(&world, &mut root, 3).await;
    }

    // The pool goes when its last tenant has gone.
    delete(&world, "orchpool", "house-server");
    let waits = |pool: &Value| {
        let (_, reason, message) = condition(pool, "Ready");
        reason == "Deleting" && message.contains("the pool is deleted when no database is left")
    };
    pool(&world, waits).await;
    login(&first).await.unwrap();
    if !server.is_legacy() {
        delete(&world, "orchestra", "house-orchestra");
        gone(&world, Kind::Pool, "", "house-server").await;
        there_are(&world, &mut root, 0).await;
    }
    let log = operator.log();
    assert!(!log.contains("hush"), "{log}");
}

/// The owner's password follows the rotation of its tenant's login, also where an operator is killed before or after the server
/// gets it, and is set again where the owner has another one.
#[allow(clippy::too_many_lines, reason = "one password's life, in its order")]
async fn owners_password(
    world: &World,
    (server, root): (&Postgres, &mut PgConnection),
    used: &str,
    (operator, start): (&mut Operator, &dyn Fn() -> Operator),
) {
    let role = Url::parse(used).unwrap().path().trim_start_matches('/').to_owned();
    let entry = role.replace('_', "-");
    let url = |password: &str| {
        format!(
            "postgresql://{role}:{password}@{}/{role}?sslmode=disable",
            server.address()
        )
    };
    let stored = async || secret(world, SYSTEM, &entry).await;
    let first = stored().await["password"].clone();
    drop(login(&url(&first)).await.unwrap());
    let spec = r#"{"spec":{"connection":{"rotation":{"overlap":"3s","also":["OwnerPassword"]}}}}"#;
    world
        .kubectl([
            "patch",
            "orchestra",
            "second",
            "-n",
            TENANTS,
            "--type=merge",
            "-p",
            spec,
        ])
        .unwrap();
    ask(world, "second", "with-its-owner");
    soon("the owner has another password", async || {
        let stored = stored().await;
        stored["password"] != first && !stored.contains_key("pending-password")
    })
    .await;
    login(&url(&first)).await.unwrap_err();
    drop(login(&url(&stored().await["password"])).await.unwrap());
    events_with(world, "PasswordRotated").await;

    // The second one while a script has closed the database to its owner.
    for (new, is_set, most) in [
        ("killed-before", false, -1),
        ("closed", false, 0),
        ("killed-after", true, -1),
    ] {
        kill(world, operator);
        let limit = sqlx::AssertSqlSafe(format!("ALTER DATABASE {role} CONNECTION LIMIT {most}"));
        sqlx::query(limit).execute(&mut *root).await.unwrap();
        let pending = format!(
            r#"{{"metadata":{{"labels":{{"stagesub.io/password-pending":"true"}}}},"stringData":{{"pending-password":"{new}"}}}}"#
        );
        world
            .kubectl(["patch", "secret", &entry, "-n", SYSTEM, "--type=merge", "-p", &pending])
            .unwrap();
        if is_set {
            let set = sqlx::AssertSqlSafe(format!("ALTER ROLE {role} PASSWORD '{new}'"));
            sqlx::query(set).execute(&mut *root).await.unwrap();
        }
        *operator = start();
        soon(new, async || {
            let stored = stored().await;
            stored["password"] == new && !stored.contains_key("pending-password")
        })
        .await;
        let limit = sqlx::AssertSqlSafe(format!("ALTER DATABASE {role} CONNECTION LIMIT -1"));
        sqlx::query(limit).execute(&mut *root).await.unwrap();
        drop(login(&url(new)).await.unwrap());
    }

    // The server is restored to an earlier state. An operator that starts checks each entry at once.
    kill(world, operator);
    let sql = format!("ALTER ROLE {role} PASSWORD 'an-earlier-one'");
    sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut *root).await.unwrap();
    *operator = start();
    soon("the stored one is set again", async || {
        login(&url("killed-after")).await.is_ok()
    })
    .await;
    pool(world, filled(2, 2)).await;
    ready(world, "second").await;
}

/// The password of the login that makes the databases is wrong for a while: the pool says so and makes none, and tenants are
/// served.
async fn its_password_is_wrong(world: &World, root: &mut PgConnection, used: &str) {
    let password = |password: &str| sqlx::AssertSqlSafe(format!("ALTER ROLE orchestra_maker PASSWORD '{password}'"));
    sqlx::query(password("hush-another")).execute(&mut *root).await.unwrap();
    let scale = |replicas: &str| world.kubectl(["scale", "orchpool/house-server", replicas]).unwrap();
    scale("--replicas=3");
    pool(world, |pool| condition(pool, "Ready").1 == "LoginFailed").await;
    assert_eq!(scalar(root, DATABASES).await, 4);
    login(used).await.unwrap();
    sqlx::query(password("hush")).execute(&mut *root).await.unwrap();
    pool(world, filled(3, 2)).await;
    there_are(world, root, 5).await;
}
