//! The endpoints for the kubelet and Prometheus: `/livez`, `/readyz` and `/metrics`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use parking_lot::Mutex;
use tokio::net::TcpListener;

use super::listener::{self, Limits};
use super::metrics::{CONTENT_TYPE, Metrics};

/// How long a new task may wait for the runtime before the runtime counts as blocked.
const STUCK_AFTER: Duration = Duration::from_secs(5);

/// Time limit of a request's head, and of an idle connection.
const HEADERS: Duration = Duration::from_secs(10);
/// Time limit of a connection.
const CONNECTION: Duration = Duration::from_mins(5);
/// Connections of one peer at once.
const PEER_CONNECTIONS: usize = 16;

const LIMITS: Limits = Limits {
    connections: 256,
    of_peer: PEER_CONNECTIONS,
    head: HEADERS,
    connection: CONNECTION,
    head_bytes: 16 << 10,
};

/// The conditions of readiness. Each of them is unmet at the start.
#[derive(Debug)]
pub struct Readiness {
    conditions: Mutex<BTreeMap<&'static str, bool>>,
}

impl Readiness {
    /// Readiness that requires these conditions, such as `crds` and `caches`.
    pub fn new(conditions: &[&'static str]) -> Self {
        let conditions = conditions.iter().map(|name| (*name, false)).collect();
        Self {
            conditions: Mutex::new(conditions),
        }
    }

    /// Sets whether a condition is met. A name that was not declared is added.
    pub fn set(&self, condition: &'static str, met: bool) {
        self.conditions.lock().insert(condition, met);
    }

    /// The conditions that are not met, in alphabetical order. The operator is ready when all are met.
    pub fn missing(&self) -> Vec<&'static str> {
        let conditions = self.conditions.lock();
        conditions
            .iter()
            .filter(|(_, met)| !**met)
            .map(|(name, _)| *name)
            .collect()
    }
}

#[derive(Clone)]
struct SharedHealth {
    readiness: Arc<Readiness>,
    metrics: Arc<Metrics>,
}

/// Serves the three endpoints until `shutdown` resolves, then finishes the open requests.
pub async fn serve(
    listener: TcpListener,
    readiness: Arc<Readiness>,
    metrics: Arc<Metrics>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) {
    let router = Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(page))
        .with_state(SharedHealth { readiness, metrics });
    listener::serve(listener, router, LIMITS, shutdown).await;
}

/// Answers `ok` only if the runtime runs a new task: if all of its other workers are blocked it does not, although
/// this handler still runs.
async fn livez() -> impl IntoResponse {
    match tokio::time::timeout(STUCK_AFTER, tokio::spawn(async {})).await {
        Ok(Ok(())) => (StatusCode::OK, "ok\n"),
        _ => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "the runtime is blocked: it starts no new task\n",
        ),
    }
}

async fn readyz(State(shared): State<SharedHealth>) -> impl IntoResponse {
    match shared.readiness.missing().as_slice() {
        [] => (StatusCode::OK, "ok\n".to_owned()),
        missing => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("waiting for: {}\n", missing.join(", ")),
        ),
    }
}

async fn page(State(shared): State<SharedHealth>) -> impl IntoResponse {
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
        served.await.unwrap();
    }
    #[tokio::test]
    async fn idle_and_many_connections_keep_nobody_from_the_endpoints() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        use tokio::net::{TcpSocket, TcpStream};
        use tokio::time::{Instant, timeout};

        let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let readiness = Arc::new(Readiness::new(&[]));
        tokio::spawn(serve(listener, readiness, Arc::default(), std::future::pending()));
        let began = Instant::now();
        let mut open = Vec::new();
        for _ in 0..2 * PEER_CONNECTIONS {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            // A request that never ends. It fails where the connection is over its limit.
            let _ = stream.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\nslow: ").await;
            open.push(stream);
        }
        let get = async |from: &str| {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind(from.parse().unwrap()).unwrap();
            let mut stream = socket.connect(([127, 0, 0, 1], port).into()).await.unwrap();
            let _ = stream
                .write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
                .await;
            let mut answer = String::new();
            let _ = stream.read_to_string(&mut answer).await;
            answer
        };
        assert!(get("127.0.0.1:0").await.is_empty(), "one peer has its share");
        assert!(
            get("127.0.0.2:0").await.starts_with("HTTP/1.1 200"),
            "another one has its own"
        );
        // Those that send nothing more are closed.
        for mut stream in open {
            let mut rest = Vec::new();
            let _ = timeout(HEADERS * 2, stream.read_to_end(&mut rest)).await.unwrap();
        }
        assert!(began.elapsed() < HEADERS * 2);
        assert!(get("127.0.0.1:0").await.starts_with("HTTP/1.1 200"));
    }
}
