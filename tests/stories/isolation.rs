//! One tenant, one database: on one server no tenant's login reaches another's, in any direction.

use std::collections::BTreeMap;

use orchestra_sandbox::world::{Kind, TENANTS, World};
use url::Url;

use crate::pool::{house, inventory};
use crate::support::{LONG, login, orchestra, ready, scalar, secret, sources, standard_class, world};

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
        confined(&keys[name]["DATABASE_URL"]).await;
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

async fn confined(url: &str) {
    let mut tenant = login(url).await.unwrap();
    let over = "SELECT count(*) FROM pg_roles WHERE rolname = current_user \
                AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls OR rolreplication)";
    assert_eq!(scalar(&mut tenant, over).await, 0);
    let public = "SELECT count(*) FROM pg_database, aclexplode(datacl) AS acl \
                  WHERE datname = current_database() AND acl.grantee = 0 AND acl.privilege_type = 'CONNECT'";
    assert_eq!(scalar(&mut tenant, public).await, 0);
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
    let more =
        "{\"data\":{\"20260103000000_later.sql\":\"CREATE SCHEMA more; CREATE TABLE more.things (id serial);\"}}";
    world
        .kubectl([
            "patch",
            "configmap",
            "schema",
            "-n",
            TENANTS,
            "--type=merge",
            "-p",
            more,
        ])
        .unwrap();
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
