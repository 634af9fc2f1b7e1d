//! The endpoints for the kubelet and Prometheus: `/livez`, `/readyz` and `/metrics`.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use tokio::net::TcpListener;

use super::metrics::{CONTENT_TYPE, Metrics};

/// How long a new task may wait for the runtime before the runtime counts as blocked.
const STUCK_AFTER: Duration = Duration::from_secs(5);

/// Time limit of a request's head, and of an idle connection.
const HEADERS: Duration = Duration::from_secs(10);
/// Time limit of a connection.
const CONNECTION: Duration = Duration::from_mins(5);
/// Connections at once, of all peers and of one.
const CONNECTIONS: usize = 256;
const PEER_CONNECTIONS: usize = 16;
/// The most bytes of a request's head.
const BUFFER: usize = 16 << 10;

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

/// Serves the three endpoints until `shutdown` resolves, then finishes the open requests. Everyone who can reach the port
/// may connect, so connections are bounded in number, also per peer, and in time.
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
        .with_state(SharedHealth { readiness, metrics });
    let service = TowerToHyperService::new(router);
    let (open, slots) = (GracefulShutdown::new(), Slots::default());
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .max_buf_size(BUFFER);
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut shutdown => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, or the peer has left again.
                tracing::debug!(%error, "could not accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Some(slot) = slots.take(peer.ip()) else { continue };
        let connection = open.watch(http.serve_connection(TokioIo::new(stream), service.clone()));
        tokio::spawn(async move {
            let _slot = slot;
            // The connection of a slow peer is closed.
            let _ = tokio::time::timeout(CONNECTION, connection).await;
        });
    }
    drop(listener);
    let _ = tokio::time::timeout(HEADERS, open.shutdown()).await;
    Ok(())
}

/// The connections that are open, by peer.
#[derive(Clone, Default)]
struct Slots(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// An open connection.
struct ConnectionSlot {
    slots: Slots,
    peer: IpAddr,
}

impl Slots {
    /// A slot for one more connection; none while all slots, or those of this peer, are taken.
    fn take(&self, peer: IpAddr) -> Option<ConnectionSlot> {
        let mut taken = self.0.lock();
        let mine = taken.get(&peer).copied().unwrap_or_default();
        if mine >= PEER_CONNECTIONS || taken.values().sum::<usize>() >= CONNECTIONS {
            return None;
        }
        taken.insert(peer, mine + 1);
        Some(ConnectionSlot {
            slots: self.clone(),
            peer,
        })
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let mut taken = self.slots.0.lock();
        if let Some(mine) = taken.get_mut(&self.peer) {
            *mine -= 1;
            if *mine == 0 {
                taken.remove(&self.peer);
            }
        }
    }
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
        served.await.unwrap().unwrap();
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
