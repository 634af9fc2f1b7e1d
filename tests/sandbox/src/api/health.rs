//! The health of a project's services.

use std::time::Duration;

use serde_json::{Value, json};

use super::reply::{Call, Reply};
use super::state::Inner;
use super::world::{Life, Project};

pub(super) fn health(inner: &Inner, call: &Call) -> Result<Reply, Reply> {
    let pooler_after = inner.behaviour().pooler_after;
    let mut world = inner.world();
    let project = world.project(call.project())?;
    // Clients send the parameter several times, or once with commas.
    let services: Vec<Value> = call
        .query
        .iter()
        .filter(|(name, _)| name == "services")
        .flat_map(|(_, services)| services.split(','))
        .map(|service| service_health(project, service, pooler_after))
        .collect();
    Ok(Reply::json(200, json!(services)))
}

fn service_health(project: &Project, service: &str, pooler_after: Duration) -> Value {
    let data_api = project.settings.postgrest["db_schema"] != "";
    let (status, error) = match project.life {
        Life::Healthy { since } if service == "pooler" && since.elapsed() < pooler_after => {
            ("UNHEALTHY", Some(r#"{"error":"not found"}"#))
        }
        Life::Healthy { .. } if service == "rest" && !data_api => ("UNHEALTHY", None),
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
        "realtime" if healthy => {
            body["info"] = json!({
                "healthy": true, "db_connected": true, "replication_connected": false, "connected_cluster": 1,
            });
        }
        "rest" if healthy => body["info"] = json!({"db_schema": project.settings.postgrest["db_schema"]}),
        _ => {}
    }
    body
}
