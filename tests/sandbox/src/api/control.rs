//! The sandbox's own endpoints under `/_sandbox`, which steer a running stand-in. They need no
//! token, since they listen on a loopback address only, and they show no secret.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Json;
use axum::routing::{delete, get, post, put};
use serde::Deserialize;
use serde_json::{Value, json};

use super::behaviour::Behaviour;
use super::faults::Fault;
use super::limits::RateLimit;
use super::rules::{Rule, RuleState};
use super::state::{Inner, lock};
use super::{Operation, Violation};

type Shared = State<Arc<Inner>>;

pub(super) fn routes() -> Router<Arc<Inner>> {
    Router::new()
        .route("/_sandbox/behaviour", get(behaviour).patch(change_behaviour))
        .route("/_sandbox/faults", post(add_fault).delete(clear_faults))
        .route("/_sandbox/rules", get(rules).post(add_rule).delete(clear_rules))
        .route("/_sandbox/rules/{id}", delete(remove_rule))
        .route("/_sandbox/held/{operation}", get(held).delete(release))
        .route("/_sandbox/rate-limit", put(rate_limit))
        .route("/_sandbox/tokens", put(tokens))
        .route("/_sandbox/unstick", post(unstick))
        .route("/_sandbox/ledger", get(ledger))
        .route("/_sandbox/violations", get(violations))
}

async fn behaviour(State(inner): Shared) -> Json<Behaviour> {
    Json(inner.behaviour())
}

/// Changes the named parts and leaves the others.
async fn change_behaviour(
    State(inner): Shared,
    Json(change): Json<Value>,
) -> Result<Json<Behaviour>, (StatusCode, String)> {
    let refuse = |error: serde_json::Error| (StatusCode::BAD_REQUEST, error.to_string());
    let mut behaviour = lock(&inner.behaviour);
    let mut merged = serde_json::to_value(*behaviour).map_err(refuse)?;
    if let (Some(merged), Value::Object(change)) = (merged.as_object_mut(), change) {
        merged.extend(change);
    }
    *behaviour = serde_json::from_value(merged).map_err(refuse)?;
    Ok(Json(*behaviour))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewFault {
    operation: Operation,
    #[serde(default = "once")]
    times: u32,
    fault: Fault,
}

const fn once() -> u32 {
    1
}

async fn add_fault(State(inner): Shared, Json(new): Json<NewFault>) -> StatusCode {
    inner.faults.add(new.operation, new.times, new.fault);
    StatusCode::NO_CONTENT
}

async fn clear_faults(State(inner): Shared) -> StatusCode {
    inner.faults.clear();
    StatusCode::NO_CONTENT
}

async fn rules(State(inner): Shared) -> Json<Vec<RuleState>> {
    Json(inner.rules.all())
}

async fn add_rule(
    State(inner): Shared,
    Json(rule): Json<Rule>,
) -> Result<(StatusCode, Json<Value>), (StatusCode, String)> {
    let added = inner.rules.add(rule);
    let id = added.map_err(|error| (StatusCode::BAD_REQUEST, error))?;
    Ok((StatusCode::CREATED, Json(json!({"id": id}))))
}

async fn clear_rules(State(inner): Shared) -> StatusCode {
    inner.rules.clear();
    StatusCode::NO_CONTENT
}

async fn remove_rule(State(inner): Shared, Path(id): Path<u64>) -> StatusCode {
    if inner.rules.remove(id) {
        StatusCode::NO_CONTENT
    } else {
        StatusCode::NOT_FOUND
    }
}

async fn held(State(inner): Shared, Path(operation): Path<Operation>) -> Json<Value> {
    Json(json!({"held": inner.faults.held(operation)}))
}

async fn release(State(inner): Shared, Path(operation): Path<Operation>) -> StatusCode {
    inner.faults.release(operation);
    StatusCode::NO_CONTENT
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewRateLimit {
    limit: u32,
    window_ms: u64,
}

async fn rate_limit(State(inner): Shared, Json(new): Json<NewRateLimit>) -> StatusCode {
    inner.limiter.set(RateLimit {
        limit: new.limit,
        window: Duration::from_millis(new.window_ms),
    });
    StatusCode::NO_CONTENT
}

async fn tokens(State(inner): Shared, Json(tokens): Json<Vec<String>>) -> StatusCode {
    inner.set_tokens(tokens);
    StatusCode::NO_CONTENT
}

async fn unstick(State(inner): Shared) -> StatusCode {
    super::unstick(&inner);
    StatusCode::NO_CONTENT
}

async fn ledger(State(inner): Shared) -> Json<Value> {
    Json(json!({
        "projects": inner.ledger.projects(),
        "most_alive": inner.ledger.most_alive(),
        "requests": inner.ledger.requests(),
    }))
}

async fn violations(State(inner): Shared) -> Json<Vec<Violation>> {
    Json(lock(&inner.violations).clone())
}
