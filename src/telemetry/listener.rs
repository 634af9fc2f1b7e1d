//! A listener for HTTP/1 whose connections are bounded: everyone who can reach the port may connect.

use std::collections::HashMap;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use tokio::net::TcpListener;

/// The bounds of a listener.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The most open connections.
    pub connections: usize,
    /// The most open connections of one peer.
    pub of_peer: usize,
    /// Time limit of a request's head, and of an idle connection.
    pub head: Duration,
    /// Time limit of a connection.
    pub connection: Duration,
    /// The most bytes of a request's head.
    pub head_bytes: usize,
}

/// Serves a router until `shutdown` resolves, then finishes the open requests.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    shutdown: impl Future<Output = ()> + Send + 'static,
) {
    let service = TowerToHyperService::new(router);
    let (open, slots) = (GracefulShutdown::new(), Slots::default());
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(limits.head_bytes);
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
        let Some(slot) = slots.take(peer.ip(), limits) else {
            continue;
        };
        let connection = open.watch(http.serve_connection(TokioIo::new(stream), service.clone()));
        tokio::spawn(async move {
            let _slot = slot;
            // The connection of a slow peer is closed.
            let _ = tokio::time::timeout(limits.connection, connection).await;
        });
    }
    drop(listener);
    let _ = tokio::time::timeout(limits.head, open.shutdown()).await;
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
    fn take(&self, peer: IpAddr, limits: Limits) -> Option<ConnectionSlot> {
        let mut taken = self.0.lock();
        let mine = taken.get(&peer).copied().unwrap_or_default();
        if mine >= limits.of_peer || taken.values().sum::<usize>() >= limits.connections {
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
