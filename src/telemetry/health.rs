//! The endpoints that kubelet and Prometheus read: `/livez`, `/readyz` and `/metrics`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;

use super::metrics::{CONTENT_TYPE, Metrics};

/// How long the event loop may take for one turn before it counts as stuck.
const TURN: Duration = Duration::from_secs(5);

/// What must hold before the operator is ready. Each condition begins unmet.
#[derive(Debug)]
pub struct Readiness {
    conditions: Mutex<BTreeMap<&'static str, bool>>,
}

impl Readiness {
    /// Readiness that needs all these conditions, such as `crds` and `caches`.
    pub fn new(conditions: &[&'static str]) -> Self {
        let conditions = conditions.iter().map(|name| (*name, false)).collect();
        Self {
            conditions: Mutex::new(conditions),
        }
    }

    /// Says whether a condition holds now. A name that was not declared is added.
    pub fn set(&self, condition: &'static str, met: bool) {
        self.conditions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(condition, met);
    }

    /// The conditions that do not hold, in alphabetical order; none means ready.
    pub fn missing(&self) -> Vec<&'static str> {
        let conditions = self.conditions.lock().unwrap_or_else(PoisonError::into_inner);
        conditions
            .iter()
            .filter(|(_, met)| !**met)
            .map(|(name, _)| *name)
            .collect()
    }
}

#[derive(Clone)]
struct Shared {
    readiness: Arc<Readiness>,
    metrics: Arc<Metrics>,
}

/// Serves the three endpoints until `shutdown` resolves, then finishes the requests under way.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    readiness: Arc<Readiness>,
    metrics: Arc<Metrics>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let router = Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(page))
        .with_state(Shared { readiness, metrics });
    axum::serve(listener, router).with_graceful_shutdown(shutdown).await
}

/// A task of its own has to get its turn: a runtime whose workers are all blocked does not answer
/// `ok`, even if this handler still runs.
async fn livez() -> impl IntoResponse {
    match tokio::time::timeout(TURN, tokio::spawn(async {})).await {
        Ok(Ok(())) => (StatusCode::OK, "ok\n"),
        _ => (StatusCode::INTERNAL_SERVER_ERROR, "the event loop does not turn\n"),
    }
}

async fn readyz(State(shared): State<Shared>) -> impl IntoResponse {
    match shared.readiness.missing().as_slice() {
        [] => (StatusCode::OK, "ok\n".to_owned()),
        missing => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("waiting for: {}\n", missing.join(", ")),
        ),
    }
}

async fn page(State(shared): State<Shared>) -> impl IntoResponse {
    match shared.metrics.encode() {
        Ok(page) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], page).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn endpoints_answer_and_shut_down() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let readiness = Arc::new(Readiness::new(&["crds", "caches"]));
        let metrics = Arc::new(Metrics::default());
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let shutdown = async move { stopped.await.unwrap() };
        let served = tokio::spawn(serve(listener, readiness.clone(), metrics, shutdown));
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let get = async |path: &str| {
            let answer = http.get(format!("{base}{path}")).send().await.unwrap();
            (answer.status().as_u16(), answer.text().await.unwrap())
        };

        assert_eq!(get("/livez").await, (200, "ok\n".to_owned()));
        assert_eq!(get("/readyz").await, (503, "waiting for: caches, crds\n".to_owned()));
        readiness.set("crds", true);
        assert_eq!(get("/readyz").await, (503, "waiting for: caches\n".to_owned()));
        readiness.set("caches", true);
        assert_eq!(get("/readyz").await, (200, "ok\n".to_owned()));
        assert!(get("/metrics").await.1.ends_with("# EOF\n"));
        stop.send(()).unwrap();
        served.await.unwrap().unwrap();
    }
}
