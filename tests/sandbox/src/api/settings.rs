//! One project's health, pooler, password, backups and add-ons.

use std::time::Duration;

use serde_json::{Value, json};

use super::reply::{Call, Reply};
use super::state::Inner;
use super::world::{Life, Project};

/// Hourly prices of the compute sizes in US dollars: id, name, price (Supabase, "Compute and Disk").
const COMPUTE: [(&str, &str, f64); 10] = [
    ("ci_micro", "Micro", 0.01344),
    ("ci_small", "Small", 0.0206),
    ("ci_medium", "Medium", 0.0822),
    ("ci_large", "Large", 0.1517),
    ("ci_xlarge", "XL", 0.2877),
    ("ci_2xlarge", "2XL", 0.562),
    ("ci_4xlarge", "4XL", 1.32),
    ("ci_8xlarge", "8XL", 2.562),
    ("ci_12xlarge", "12XL", 3.836),
    ("ci_16xlarge", "16XL", 5.12),
];

/// Monthly prices of the point-in-time recovery add-ons in US dollars.
const PITR: [(&str, &str, f64); 3] = [
    ("pitr_7", "7 days", 100.0),
    ("pitr_14", "14 days", 200.0),
    ("pitr_28", "28 days", 400.0),
];

pub(super) fn health(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    let pooler_after = inner.behaviour().pooler_after;
    let mut world = inner.world();
    let project = world.project(call.project())?;
    let services: Vec<Value> = call
        .query
        .iter()
        .filter(|(name, _)| name == "services")
        .map(|(_, service)| service_health(project, service, pooler_after))
        .collect();
    Ok(Reply::json(200, json!(services)))
}

fn service_health(project: &Project, service: &str, pooler_after: Duration) -> Value {
    let (status, error) = match project.life {
        Life::Healthy { since } if service == "pooler" && since.elapsed() < pooler_after => {
            ("UNHEALTHY", Some(r#"{"error":"not found"}"#))
        }
        Life::Healthy { .. } => ("ACTIVE_HEALTHY", None),
        Life::Created(_) | Life::ComingUp(_) | Life::Restoring(_) => ("COMING_UP", None),
        _ => ("UNHEALTHY", Some("Project is not running")),
    };
    let healthy = status == "ACTIVE_HEALTHY";
    let mut body = json!({"name": service, "healthy": healthy, "status": status});
    if let Some(error) = error {
        body["error"] = json!(error);
    }
    match service {
        "auth" if healthy => {
            body["info"] = json!({
                "name": "GoTrue", "version": "v2.180.0",
                "description": "GoTrue is a user registration and authentication API",
            });
        }
        "rest" if healthy => body["info"] = json!({"db_schema": "public,graphql_public"}),
        _ => {}
    }
    body
}

/// The transaction entry, and a session entry only where its port cannot be guessed.
pub(super) fn pooler(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    let mut world = inner.world();
    let reference = &world.project(call.project())?.reference;
    let host = inner.pooler.ip().to_string();
    let mut entries = vec![pooler_entry(reference, &host, inner.pooler.port(), "transaction")];
    if inner.session_port != 5432 {
        entries.push(pooler_entry(reference, &host, inner.session_port, "session"));
    }
    Ok(Reply::json(200, json!(entries)))
}

fn pooler_entry(reference: &str, host: &str, port: u16, mode: &str) -> Value {
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
        "default_pool_size": null,
        "max_client_conn": null,
        "pool_mode": mode,
    })
}

pub(super) async fn password(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    inner.world().project(call.project())?;
    let password = call.text("password").unwrap_or_default();
    let changed = inner.databases.set_password(call.project(), password).await;
    changed.map_err(|error| Reply::internal(&error))?;
    inner.ledger.password(call.project(), password);
    Ok(Reply::json(200, json!({"message": "Successfully updated password"})))
}

pub(super) fn backups(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    let mut world = inner.world();
    let project = world.project(call.project())?;
    Ok(Reply::json(
        200,
        json!({
            "region": project.region,
            "walg_enabled": true,
            "pitr_enabled": false,
            "backups": [],
            "physical_backup_data": {},
        }),
    ))
}

pub(super) fn addons(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    let mut world = inner.world();
    let size = format!("ci_{}", world.project(call.project())?.size);
    let compute: Vec<Value> = COMPUTE.iter().map(|it| variant(it, "hourly")).collect();
    let pitr: Vec<Value> = PITR.iter().map(|it| variant(it, "monthly")).collect();
    let selected: Vec<Value> = compute
        .iter()
        .filter(|variant| variant["id"] == *size)
        .map(|variant| json!({"type": "compute_instance", "variant": variant}))
        .collect();
    Ok(Reply::json(
        200,
        json!({
            "selected_addons": selected,
            "available_addons": [
                {"type": "compute_instance", "name": "Compute", "variants": compute},
                {"type": "pitr", "name": "Point in time recovery", "variants": pitr},
                {"type": "ipv4", "name": "IPv4", "variants": [
                    variant(&("ipv4_default", "IPv4", 4.0), "monthly")
                ]},
            ],
        }),
    ))
}

fn variant((id, name, amount): &(&str, &str, f64), interval: &str) -> Value {
    json!({
        "id": id,
        "name": name,
        "price": {
            "description": format!("${amount} {interval}"),
            "type": if interval == "hourly" { "usage" } else { "fixed" },
            "interval": interval,
            "amount": amount,
        },
    })
}
