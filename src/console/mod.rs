//! The web console: pages over [`crate::views`], with the rights of their visitor.
//!
//! The console has no rights of its own. Every request to the API server carries the visitor's own token, so that a
//! visitor sees and changes what `kubectl` would let them see and change, and the API server's audit log names them.

mod actions;
mod answer;
mod approvals;
mod assets;
mod backups;
mod cache;
mod classes;
mod cluster;
mod cost;
mod create;
mod fleet;
mod form;
mod format;
mod frame;
mod guard;
pub mod issuer;
mod orphans;
mod pager;
mod pools;
mod scope;
pub mod session;
mod sign_in;
mod snapshot;
mod tenant;
mod text;
mod visitor;
mod yaml;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};
use kube::Config;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::telemetry::listener::{self, Limits};
use crate::views::backups::Backup;
use crate::views::orphans::Orphan;
use cache::{READERS, VisitorCache};
use cluster::Cluster;
use issuer::Issuer;
use session::SessionKey;
use snapshot::Snapshots;

/// The most bytes of a form. A token of an identity provider may have a few thousand.
const FORM: usize = 64 << 10;

/// Proxies share one address, so a peer may have all connections.
const LIMITS: Limits = Limits {
    connections: 512,
    of_peer: 512,
    head: Duration::from_secs(10),
    connection: Duration::from_mins(5),
    // Cookies hold the token.
    head_bytes: 64 << 10,
};

/// How visitors may say who they are.
#[derive(Clone, Copy, Debug, Default)]
pub struct SignInModes {
    /// By a token that they paste.
    pub token: bool,
    /// By the header `Authorization: Bearer` that a proxy before the console sets.
    pub proxy: bool,
}

/// What the console is started with.
pub struct ConsoleSettings {
    /// Where browsers reach it: `https://console.example.com`, without a path.
    pub origin: String,
    /// The key of the cookie. Replicas share it.
    pub key: SessionKey,
    /// How visitors sign in.
    pub modes: SignInModes,
    /// Namespace of the operator, which holds the ledger.
    pub operator_namespace: String,
    /// The OpenID Connect issuer that they may sign in at.
    pub issuer: Option<Issuer>,
}

/// The console.
pub struct Console {
    cluster: Cluster,
    settings: ConsoleSettings,
    snapshots: Snapshots,
    backups: VisitorCache<Vec<Backup>>,
    cost: VisitorCache<cost::VisitorBill>,
    orphans: VisitorCache<Vec<Orphan>>,
}

impl Console {
    /// A console of the cluster at this address. Credentials of the configuration are dropped.
    ///
    /// # Errors
    /// When the configuration cannot be used.
    pub fn new(config: Config, settings: ConsoleSettings) -> anyhow::Result<Self> {
        let readers = Arc::new(Semaphore::new(READERS));
        Ok(Self {
            cluster: Cluster::new(config)?,
            settings,
            snapshots: Snapshots::new(readers.clone()),
            backups: VisitorCache::new(readers.clone()),
            cost: VisitorCache::new(readers.clone()),
            orphans: VisitorCache::new(readers),
        })
    }
}

/// Serves the console until `shutdown` resolves.
pub async fn serve(listener: TcpListener, console: Console, shutdown: impl Future<Output = ()> + Send + 'static) {
    listener::serve(listener, router(Arc::new(console)), LIMITS, shutdown).await;
}

async fn alive() -> &'static str {
    "ok\n"
}

fn router(console: Arc<Console>) -> Router {
    Router::new()
        .route("/", get(fleet::page))
        .route("/tenants/{namespace}/{name}", get(tenant::page))
        .route("/tenants/{namespace}/{name}/{action}", post(actions::act))
        .route("/create", get(create::page).post(create::submit))
        .route("/approvals", get(approvals::list))
        .route(
            "/approvals/{namespace}/{name}",
            get(approvals::page).post(approvals::approve),
        )
        .route("/classes", get(classes::page))
        .route("/classes/{name}/rollout", post(classes::rollout))
        .route("/pools", get(pools::page))
        .route("/backups", get(backups::page))
        .route("/cost", get(cost::page))
        .route("/cost.csv", get(cost::csv))
        .route("/orphans", get(orphans::page))
        .route("/sign-in", get(sign_in::page).post(sign_in::submit))
        .route("/sign-in/issuer", get(sign_in::begin))
        .route("/sign-out", post(sign_in::leave))
        .route("/language", post(sign_in::language))
        .fallback(answer::nowhere)
        .method_not_allowed_fallback(answer::nowhere)
        .layer(from_fn_with_state(console.clone(), guard::plain_path))
        .layer(from_fn_with_state(console.clone(), sign_in::arrivals))
        .layer(from_fn_with_state(console.clone(), guard::origin))
        .layer(DefaultBodyLimit::max(FORM))
        .layer(from_fn_with_state(console.clone(), guard::bounded))
        .layer(from_fn(guard::compressed))
        .route("/assets/{name}", get(assets::file))
        .route("/livez", get(alive))
        .layer(from_fn_with_state(console.clone(), guard::headers))
        .with_state(console)
}
