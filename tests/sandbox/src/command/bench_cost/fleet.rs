//! What the tenants need: databases, the pool that holds them, and the class with its scripts.

use std::time::Duration;

use anyhow::{Context, Result};
use orchestra_sandbox::random;
use orchestra_sandbox::world::{Kind, SYSTEM, World, is_true};
use serde_json::{Map, Value, json};

/// Creates so many databases and applies pool and class; returns when the pool offers all of them
/// and the class is Ready.
pub(super) async fn prepare(world: &World, databases: u32, scripts: u32, limit: Duration) -> Result<()> {
    let inventory = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "database-pool", "namespace": SYSTEM},
        "stringData": entries(world, databases).await?,
    });
    let pool = json!({
        "apiVersion": "stagesub.io/v1alpha1",
        "kind": "OrchestraPool",
        "metadata": {"name": "house"},
        "spec": {"static": {"secretRef": {"name": "database-pool"}, "allowLegacyServers": world.is_legacy()}},
    });
    let mut class = json!({
        "apiVersion": "stagesub.io/v1alpha1",
        "kind": "OrchestraClass",
        "metadata": {"name": "standard", "annotations": {"stagesub.io/is-default-class": "true"}},
        "spec": {"pools": {"names": ["house"], "policy": "PoolOnly"}},
    });
    let mut manifests = vec![inventory, pool];
    if scripts > 0 {
        manifests.push(json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "schema", "namespace": SYSTEM},
            "data": migrations(scripts),
        }));
        class["spec"]["migrations"] = json!({"source": {"configMapRef": {"name": "schema"}}, "format": "Prisma"});
    }
    manifests.push(class);
    for manifest in manifests {
        world.apply(&manifest.to_string())?;
    }
    let offers_all = |pool: &Value| pool["status"]["available"] == databases;
    world.until(Kind::Pool, ("", "house"), limit, offers_all).await?;
    let ready = |class: &Value| is_true(class, "Ready");
    world.until(Kind::Class, ("", "standard"), limit, ready).await?;
    Ok(())
}

/// Databases of one server, each with an owner of its own, as a pool's entries.
async fn entries(world: &World, count: u32) -> Result<Map<String, Value>> {
    let server = world
        .api
        .postgres()
        .context("the stand-in has no PostgreSQL of its own")?;
    let mut entries = Map::new();
    for number in 1..=count {
        let name = format!("house_{number}");
        let url = server
            .create_database(&name, &format!("{name}_owner"), &random::alphanumeric(20))
            .await?;
        entries.insert(format!("DATABASE_URL_POOL_{number}"), json!(url));
    }
    Ok(entries)
}

/// Scripts that create a table, an index and a row each.
pub(in crate::command) fn migrations(count: u32) -> Map<String, Value> {
    (1..=count)
        .map(|number| {
            let script = format!(
                "CREATE TABLE \"Part{number}\" (\n    \"id\" SERIAL PRIMARY KEY,\n    \"name\" TEXT NOT NULL\n);\n\
                 CREATE INDEX \"Part{number}_name_idx\" ON \"Part{number}\" (\"name\");\n\
                 INSERT INTO \"Part{number}\" (\"name\") VALUES ('first');\n"
            );
            (
                format!("{}_part_{number}.sql", 20_260_101_000_000_u64 + u64::from(number)),
                json!(script),
            )
        })
        .collect()
}
