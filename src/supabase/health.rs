//! The health of a project's services.

use serde::Deserialize;
use strum::{AsRefStr, Display};

use super::fields::{AnswerFields, Item};

/// A service of a project, as the health operation names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, AsRefStr, Display)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Service {
    /// `GoTrue`.
    Auth,
    /// Postgres.
    Db,
    /// The login of `postgres`.
    DbPostgresUser,
    /// The shared pooler.
    Pooler,
    /// Realtime.
    Realtime,
    /// `PostgREST`; it stays unhealthy while the Data API is off.
    Rest,
    /// Storage.
    Storage,
    /// The dedicated pooler.
    PgBouncer,
    /// A value that this version does not know.
    #[serde(untagged)]
    #[strum(transparent)]
    Other(String),
}

/// The state of a service.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, AsRefStr, Display)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum ServiceStatus {
    /// Starting.
    ComingUp,
    /// Up.
    ActiveHealthy,
    /// Not healthy.
    Unhealthy,
    /// A value that this version does not know.
    #[serde(untagged)]
    #[strum(transparent)]
    Other(String),
}

/// The health of one service.
#[derive(Clone, Debug)]
pub struct ServiceHealth {
    /// Which service.
    pub name: Service,
    /// Its state.
    pub status: ServiceStatus,
    /// The problem. It may be JSON text.
    pub error: Option<String>,
}

impl Item for ServiceHealth {
    /// The older field `healthy` decides where the status is missing or new.
    fn read(fields: &mut AnswerFields<'_>) -> Option<Self> {
        let name = fields.name("name")?;
        let status = match (fields.name("status"), fields.optional_flag("healthy")) {
            (None | Some(ServiceStatus::Other(_)), Some(true)) => ServiceStatus::ActiveHealthy,
            (None, Some(false)) => ServiceStatus::Unhealthy,
            (None, None) => ServiceStatus::Other("without a status".to_owned()),
            (Some(status), _) => status,
        };
        let error = fields.optional("error").map(|error| match error {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        });
        Some(Self { name, status, error })
    }
}

/// Whether every service is up; otherwise each service that is not, and why. An empty answer is an error.
///
/// # Errors
/// The services that are not up.
pub fn health_ready(services: &[ServiceHealth]) -> Result<(), Vec<(Service, String)>> {
    if services.is_empty() {
        let none = "the provider reported the health of no service".to_owned();
        return Err(vec![(Service::Db, none)]);
    }
    let unready: Vec<_> = services
        .iter()
        .filter(|service| service.status != ServiceStatus::ActiveHealthy)
        .map(|service| {
            let status = &service.status;
            let why = match service.error.as_deref().map(str::trim) {
                Some(error) if !error.is_empty() => {
                    format!("{status}: {}", super::said::capped(error))
                }
                _ => status.to_string(),
            };
            (service.name.clone(), why)
        })
        .collect();
    if unready.is_empty() { Ok(()) } else { Err(unready) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::super::fields::items;
    use super::*;

    fn services(value: &Value) -> Vec<ServiceHealth> {
        items(value.as_array().unwrap()).items
    }

    #[test]
    fn where_the_status_is_odd_the_older_field_decides() {
        let read = services(&json!([
            {"name": "db", "healthy": true, "status": "GREEN"},
            {"name": "pooler", "healthy": false, "status": null, "error": {"error": "not found"}},
            {"name": "auth", "status": null}, {"name": "rest", "status": "PROMOTING"},
            {"name": null, "status": "ACTIVE_HEALTHY"}, "storage",
        ]));
        let said: Vec<_> = read
            .iter()
            .map(|service| (service.name.as_ref(), service.status.as_ref()))
            .collect();
        let expected = [
            ("db", "ACTIVE_HEALTHY"),
            ("pooler", "UNHEALTHY"),
            ("auth", "without a status"),
            ("rest", "PROMOTING"),
        ];
        assert_eq!(said, expected);
        let unready = health_ready(&read).unwrap_err();
        assert_eq!(unready[0].1, r#"UNHEALTHY: {"error":"not found"}"#);
    }

    #[test]
    fn health_is_ready_only_when_every_service_is_up() {
        let up = services(&json!([
            {"name": "db", "healthy": true, "status": "ACTIVE_HEALTHY"},
            {"name": "auth", "healthy": true, "status": "ACTIVE_HEALTHY",
             "info": {"name": "GoTrue", "version": "v2", "description": "d"}},
        ]));
        assert_eq!(health_ready(&up), Ok(()));
        let down = services(&json!([
            {"name": "db", "healthy": true, "status": "ACTIVE_HEALTHY"},
            {"name": "pooler", "healthy": false, "status": "UNHEALTHY",
             "error": "{\"error\":\"not found\"}"},
            {"name": "novel", "healthy": false, "status": "COMING_UP"},
        ]));
        let unready = health_ready(&down).unwrap_err();
        assert_eq!(
            unready[0],
            (Service::Pooler, r#"UNHEALTHY: {"error":"not found"}"#.to_owned())
        );
        assert_eq!(unready[1], (Service::Other("novel".into()), "COMING_UP".to_owned()));
        assert!(health_ready(&[]).is_err());
    }
}
