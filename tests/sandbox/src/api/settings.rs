//! One project's pooler and the owner's password.

use serde_json::{Value, json};

use super::reply::{Call, Reply};
use super::state::Inner;
use super::world::Project;

/// The transaction entry, and a session entry only where its port cannot be guessed.
pub(super) fn pooler(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    let mut world = inner.world();
    let project = world.project(call.project())?;
    let host = &inner.pooler_host;
    let mut entries = vec![pooler_entry(project, host, inner.pooler_port, "transaction")];
    if inner.session_port != 5432 {
        entries.push(pooler_entry(project, host, inner.session_port, "session"));
    }
    Ok(Reply::json(200, json!(entries)))
}

fn pooler_entry(project: &Project, host: &str, port: u16, mode: &str) -> Value {
    let reference = &project.reference;
    let url = format!("postgresql://postgres.{reference}:[YOUR-PASSWORD]@{host}:{port}/postgres");
    json!({
        "identifier": reference,
        "database_type": "PRIMARY",
        "is_using_scram_auth": true,
        "db_user": format!("postgres.{reference}"),
        "db_host": host,
        "db_port": port,
        "db_name": "postgres",
        "connection_string": url,
        "connectionString": url,
        "default_pool_size": project.settings.pool_size,
        "max_client_conn": null,
        "pool_mode": mode,
    })
}

/// `pool_mode` is for dedicated poolers, and is accepted and told back.
pub(super) fn update_pooler(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    let mut world = inner.world();
    let project = world.project(call.project())?;
    if let Some(size) = call.body.get("default_pool_size") {
        project.settings.pool_size = size.as_u64();
    }
    if let Some(mode) = call.text("pool_mode") {
        mode.clone_into(&mut project.settings.pool_mode);
    }
    let settings = &project.settings;
    let body = json!({"default_pool_size": settings.pool_size, "pool_mode": settings.pool_mode});
    Ok(Reply::json(200, body))
}

/// The dedicated pooler, which the sandbox does not have; its settings are those of the shared one.
pub(super) fn pgbouncer(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    let mut world = inner.world();
    let project = world.project(call.project())?;
    let host = format!("db.{}.{}", project.reference, inner.options.project_domain);
    let mut body = json!({
        "pool_mode": project.settings.pool_mode,
        "connection_string": format!("postgresql://postgres:[YOUR-PASSWORD]@{host}:6543/postgres"),
        "ignore_startup_parameters": "extra_float_digits",
    });
    if let Some(size) = project.settings.pool_size {
        body["default_pool_size"] = json!(size);
    }
    Ok(Reply::json(200, body))
}

pub(super) async fn password(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    inner.world().project(call.project())?;
    let password = call.text("password").unwrap_or_default();
    let changed = inner.databases.set_password(call.project(), password).await;
    changed.map_err(|error| Reply::internal(&error))?;
    inner.ledger.password(call.project(), password);
    Ok(Reply::json(200, json!({"message": "Successfully updated password"})))
}
