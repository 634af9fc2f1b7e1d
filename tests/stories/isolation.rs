//! One tenant, one database: on one server no tenant's login reaches another's, in any direction.

use std::collections::BTreeMap;
use std::time::Duration;

use orchestra_sandbox::world::{Kind, TENANTS, World, condition, is_true};
use orchestra_sandbox::{Postgres, loopback, random};
use url::Url;

use crate::orphans::command;
use crate::pool::{admin, again, house, inventory, pool_only};
use crate::proof::soon;
use crate::support::{
    LONG, gone, login, orchestra, patch_config_map, ready, reason, scalar, secret, sources, standard_class, world,
};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn no_tenant_reaches_another() {
    let world = world().await;
    let _operator = world.operator("operator", |_| {}).unwrap();
    standard_class(&world, "  pools: {names: [house]}");
    sources(&world);
    house(&world, &inventory(&world, &["one", "two"]).await);
    orchestra(&world, "cloud", "");
    ready(&world, "cloud").await;
    world
        .kubectl(["delete", "secret", "supabase-token", "-n", "orchestra-system"])
        .unwrap();
    let without = |class: &serde_json::Value| orchestra_sandbox::world::condition(class, "Available").0 == "False";
    world.until(Kind::Class, ("", "standard"), LONG, without).await.unwrap();
    for name in ["left", "right"] {
        orchestra(&world, name, "");
        ready(&world, name).await;
    }

    let tenants = ["cloud", "left", "right"];
    let mut keys = BTreeMap::new();
    for name in tenants {
        keys.insert(name, secret(&world, TENANTS, &format!("{name}-connection")).await);
    }
    for from in tenants {
        for to in tenants.into_iter().filter(|to| *to != from) {
            let url = cross(&keys[from], &keys[to]);
            let refused = login(&url)
                .await
                .expect_err("a login reached another tenant's database")
                .to_string();
            let known = [
                "permission denied",
                "Tenant or user not found",
                "password authentication failed",
            ];
            assert!(
                known.iter().any(|words| refused.contains(words)),
                "{from} → {to}: {refused}"
            );
        }
    }
    for name in tenants {
        confined(&keys[name]["DATABASE_URL"], name == "cloud").await;
    }
    later_tables(&world, &keys["left"]["DATABASE_URL"]).await;
}

/// One tenant's login at another one's address and database; a pooler takes the project from the user.
fn cross(from: &BTreeMap<String, String>, to: &BTreeMap<String, String>) -> String {
    let mut url = Url::parse(&to["DATABASE_URL"]).unwrap();
    let role = from["user"].split('.').next().unwrap();
    let user = match to["user"].split_once('.') {
        Some((_, project)) => format!("{role}.{project}"),
        None => role.to_string(),
    };
    url.set_username(&user).unwrap();
    url.set_password(Some(&from["password"])).unwrap();
    url.into()
}

/// The login of a hosted project passes row level security there.
async fn confined(url: &str, hosted: bool) {
    let mut tenant = login(url).await.unwrap();
    let over = "SELECT count(*) FROM pg_roles WHERE rolname = current_user \
                AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication)";
    assert_eq!(scalar(&mut tenant, over).await, 0);
    let bypasses = "SELECT count(*) FROM pg_roles WHERE rolname = current_user AND rolbypassrls";
    assert!(hosted || scalar(&mut tenant, bypasses).await == 0);
    let public = "SELECT count(*) FROM pg_database, aclexplode(datacl) AS acl \
                  WHERE datname = current_database() AND acl.grantee = 0 AND acl.privilege_type = 'CONNECT'";
    assert!(
        hosted || scalar(&mut tenant, public).await == 0,
        "the server of a hosted project is the tenant's own"
    );
    for statement in [
        "SELECT * FROM stagesub.claim",
        "CREATE ROLE intruder",
        "CREATE DATABASE loot",
        "CREATE TABLE public.loot (id int)",
        "CREATE TRIGGER loot BEFORE INSERT ON _prisma_migrations FOR EACH ROW \
         EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "UPDATE _prisma_migrations SET finished_at = now()",
    ] {
        let refused = sqlx::query(statement)
            .execute(&mut tenant)
            .await
            .expect_err(statement)
            .to_string();
        assert!(refused.contains("permission denied"), "{statement}: {refused}");
    }
}

/// What a later migration creates is the tenant's to use.
async fn later_tables(world: &World, url: &str) {
    let more = "CREATE SCHEMA more; CREATE TABLE more.things (id serial);";
    patch_config_map(world, "schema", &json!({"20260103000000_later.sql": more}));
    let migrated = |object: &serde_json::Value| object["status"]["migrations"]["applied"] == 3;
    world
        .until(Kind::Orchestra, (TENANTS, "left"), LONG, migrated)
        .await
        .unwrap();
    let mut tenant = login(url).await.unwrap();
    sqlx::query("INSERT INTO more.things DEFAULT VALUES")
        .execute(&mut tenant)
        .await
        .unwrap();
}

/// The superuser's session in a database of the stand-in's server.
async fn root(world: &World, database: &str) -> sqlx::PgConnection {
    let url = world.api.postgres().unwrap().admin_url();
    login(&url.replace("/postgres?", &format!("/{database}?")))
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_former_tenants_login_is_dropped_also_by_an_operator_that_crashes() {
    let world = world().await;
    let mut operator = world.operator("operator", |_| {}).unwrap();
    sources(&world);
    house(&world, &inventory(&world, &["one"]).await);
    pool_only(&world);
    let create = r#"{"spec":{"connection":{"createObjects":"Allowed"}}}"#;
    world
        .kubectl(["patch", "orchclass", "standard", "--type=merge", "-p", create])
        .unwrap();
    orchestra(&world, "first", "");
    ready(&world, "first").await;
    let url = secret(&world, TENANTS, "first-connection").await["DATABASE_URL"].clone();
    let mut theirs = login(&url).await.unwrap();
    sqlx::raw_sql("CREATE TABLE theirs (); ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC")
        .execute(&mut theirs)
        .await
        .unwrap();

    let mut root = root(&world, "one").await;
    let roles = "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'orchestra\\_%' AND rolname <> 'orchestra_app'";
    assert_eq!(scalar(&mut root, roles).await, 1);
    // A lock keeps the operator between the end of the login's sessions and the end of its role.
    let mut blocker = login(&world.api.postgres().unwrap().admin_url().replace("/postgres?", "/one?"))
        .await
        .unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE theirs")
        .execute(&mut blocker)
        .await
        .unwrap();
    world
        .kubectl(["delete", "orch", "first", "-n", TENANTS, "--wait=false"])
        .unwrap();
    soon("its sessions end", async || {
        sqlx::raw_sql("SELECT 1").execute(&mut theirs).await.is_err()
    })
    .await;
    operator.kill().unwrap();
    assert!(
        login(&url).await.is_err(),
        "it cannot log in while the release is half done"
    );
    let member = world.list(Kind::Database).await.unwrap().remove(0);
    assert_eq!(member["spec"]["releasedAt"], serde_json::Value::Null, "{member:#}");
    drop(blocker);
    let _next = world.operator("next", |_| {}).unwrap();
    gone(&world, Kind::Orchestra, TENANTS, "first").await;

    // The role that keeps its table is left, and nobody logs in by it.
    let keeper = "SELECT count(*) FROM pg_class JOIN pg_roles r ON r.oid = relowner WHERE relname = 'theirs' \
                  AND rolname ~ '^orchestra_[0-9a-f]{32}_0[0-9]+$' AND NOT rolcanlogin";
    assert_eq!(
        (scalar(&mut root, roles).await, scalar(&mut root, keeper).await),
        (1, 1)
    );
    assert_eq!(scalar(&mut root, "SELECT count(*) FROM pg_default_acl").await, 0);
    let grantees = "SELECT count(*) FROM pg_database, aclexplode(datacl) acl \
                    WHERE datname = current_database() AND acl.grantee <> datdba";
    assert_eq!(scalar(&mut root, grantees).await, 0);
    assert!(login(&url).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_leads_to_another_database_is_not_touched() {
    let world = world().await;
    let _operator = world.operator("operator", |_| {}).unwrap();
    sources(&world);
    let entries = inventory(&world, &["one", "two"]).await;
    house(&world, &entries[..1]);
    pool_only(&world);
    orchestra(&world, "first", "");
    ready(&world, "first").await;
    a_second_entry_for_a_database_in_use(&world, &entries[0]).await;
    // The tenant's own script has dropped the record of the claim; then the entry is given another URL.
    house(&world, &[entries[1].replace("POOL_2", "POOL_1")]);
    patch_config_map(
        &world,
        "schema",
        &json!({"20260103000000_more.sql": "CREATE TABLE more ();"}),
    );
    let object = reason(&world, "first", "InvalidEntry").await;
    let message = condition(&object, "Ready").2;
    assert!(message.contains("leads to another database"), "{message}");
    let mut other = root(&world, "two").await;
    let made = "SELECT (SELECT count(*) FROM pg_namespace WHERE nspname = 'stagesub') \
                + (SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace)";
    assert_eq!(scalar(&mut other, made).await, 0);

    // The annotation that the message names is what confirms the database, and no other value is.
    let command = &message[message.find("annotate orchdb").expect("the command is told")..];
    let parts: Vec<_> = command.split_whitespace().collect();
    let (name, value) = (parts[2], parts[3].split_once('=').unwrap().1);
    let confirm = |value: &str| {
        let value = format!("stagesub.io/identity={value}");
        world
            .kubectl(["annotate", "orchdb", name, &value, "--overwrite"])
            .unwrap();
    };
    confirm(&"0".repeat(32));
    touch(&world, "first");
    tokio::time::sleep(Duration::from_secs(2)).await;
    reason(&world, "first", "InvalidEntry").await;
    assert_eq!(scalar(&mut other, made).await, 0, "a wrong value confirms nothing");
    confirm(value);
    if !world.is_legacy() {
        // Since version 16, only the creator of the tenant's login can change it, unless an admin gives it to another role.
        let object = reason(&world, "first", "DatabaseRefused").await;
        let message = condition(&object, "Ready").2;
        let grant = &message[message.find("REVOKE").expect("the statement is told")..];
        let end = "WITH ADMIN OPTION";
        admin(&world, "two", &grant[..grant.find(end).unwrap() + end.len()]).await;
        touch(&world, "first");
    }
    let moved = |object: &serde_json::Value| is_true(object, "Ready") && object["status"]["migrations"]["applied"] == 3;
    world
        .until(Kind::Orchestra, (TENANTS, "first"), LONG, moved)
        .await
        .unwrap();
    let url = secret(&world, TENANTS, "first-connection").await["DATABASE_URL"].clone();
    assert!(Url::parse(&url).unwrap().path().ends_with("/two"), "{url}");
    assert_eq!(scalar(&mut login(&url).await.unwrap(), MORE).await, 1);

    // From here on the database that it had before is the wrong one.
    house(&world, &entries[..1]);
    touch(&world, "first");
    patch_config_map(&world, "schema", &json!({"20260104000000_last.sql": "SELECT 1;"}));
    reason(&world, "first", "InvalidEntry").await;
    assert_eq!(scalar(&mut root(&world, "one").await, MORE).await, 0);
    // The inventory tells its tenants that an entry is right again.
    house(&world, &[entries[1].replace("POOL_2", "POOL_1")]);
    ready(&world, "first").await;
}

const MORE: &str = "SELECT count(*) FROM pg_class WHERE relname = 'more' AND relkind = 'r'";

fn touch(world: &World, name: &str) {
    let now = format!("touched={}", random::alphanumeric(8));
    world
        .kubectl(["annotate", "orch", name, "-n", TENANTS, &now, "--overwrite"])
        .unwrap();
}

/// It is reported as a duplicate whatever the database contains, and no message advises to drop anything.
async fn a_second_entry_for_a_database_in_use(world: &World, entry: &str) {
    let double = entry
        .replace("POOL_1", "POOL_2")
        .replace("sslmode=disable", "sslmode=disable&application_name=x");
    house(world, &[entry.to_owned(), double]);
    let is_double = |pool: &serde_json::Value| {
        let (_, reason, message) = condition(pool, "Ready");
        let told = message.contains("as DATABASE_URL_POOL_1 of pool house") && message.contains("tenants/first uses");
        let dangerous = ["drop", "recycle", "delete"].iter().any(|word| message.contains(word));
        reason == "DuplicateEntry" && told && !dangerous
    };
    world.until(Kind::Pool, ("", "house"), LONG, is_double).await.unwrap();
    admin(world, "one", "DROP SCHEMA stagesub CASCADE").await;
    again(world, is_double).await;
    let printed = command(world, &["recycle", "house", "DATABASE_URL_POOL_2"]);
    let refused = String::from_utf8_lossy(&printed.stderr);
    assert!(!printed.status.success() && printed.stdout.is_empty(), "{printed:?}");
    assert!(refused.contains("tenants/first uses the database"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hosted_project_by_url_is_an_entry() {
    let world = world().await;
    let dir = tempfile::tempdir().unwrap();
    let server = Postgres::start(dir.path(), loopback::address()).await.unwrap();
    let mut initial = login(&server.admin_url()).await.unwrap();
    sqlx::raw_sql("CREATE ROLE admin SUPERUSER LOGIN PASSWORD 'admin'")
        .execute(&mut initial)
        .await
        .unwrap();
    drop(initial);
    let url = |user: &str, password: &str| {
        format!(
            "postgresql://{user}:{password}@{}/postgres?sslmode=disable",
            server.address()
        )
    };
    let mut admin = login(&url("admin", "admin")).await.unwrap();
    sqlx::raw_sql(include_str!("../fixtures/hosted.sql"))
        .execute(&mut admin)
        .await
        .unwrap();

    let _operator = world.operator("operator", |_| {}).unwrap();
    sources(&world);
    world
        .store_secret("hosted", "DATABASE_URL_POOL_1", &url("postgres", "owner"))
        .unwrap();
    // It needs no setting of the pool, whatever the version of its server.
    world
        .apply(
            "{apiVersion: stagesub.io/v1alpha1, kind: OrchestraPool, metadata: {name: house}, \
             spec: {static: {secretRef: {name: hosted}}}}",
        )
        .unwrap();
    pool_only(&world);
    orchestra(&world, "first", "");
    ready(&world, "first").await;
    let keys = secret(&world, TENANTS, "first-connection").await;
    assert!(
        !keys.keys().any(|key| key.starts_with("SUPABASE")),
        "nothing is known of its API"
    );
    let mut tenant = login(&keys["DATABASE_URL"]).await.unwrap();
    assert_eq!(scalar(&mut tenant, r#"SELECT count(*) FROM "Member""#).await, 3);
    // The project's own services connect as PUBLIC may.
    let open = "SELECT count(*) FROM pg_database WHERE datname = current_database() \
                AND has_database_privilege('authenticator', oid, 'CONNECT')";
    assert_eq!(scalar(&mut admin, open).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_lets_every_login_in_is_told_until_an_admin_closes_it() {
    let world = world().await;
    let mut operator = world.operator("operator", |_| {}).unwrap();
    house(&world, &inventory(&world, &["one", "two"]).await);
    let told = |pool: &serde_json::Value| condition(pool, "ServersClosed").1 == "ServerOpen";
    let pool = world.until(Kind::Pool, ("", "house"), LONG, told).await.unwrap();
    let (status, _, message) = condition(&pool, "ServersClosed");
    assert_eq!(status, "False", "{pool:#}");
    let is_ready = |pool: &serde_json::Value| condition(pool, "Ready").0 == "True" && told(pool);
    world.until(Kind::Pool, ("", "house"), LONG, is_ready).await.unwrap();

    // The members are not probed again; an admin's statements are noticed nevertheless.
    operator.kill().unwrap();
    let _next = world.operator("next", |_| {}).unwrap();
    again(&world, told).await;
    let statement = &message[message.find("REVOKE").unwrap()..];
    assert_eq!(
        statement,
        "REVOKE CONNECT, TEMPORARY ON DATABASE postgres, template1 FROM PUBLIC"
    );
    admin(&world, "one", statement).await;
    again(&world, |pool| {
        condition(pool, "ServersClosed").0.is_empty() && pool["status"]["available"] == 2
    })
    .await;
}
