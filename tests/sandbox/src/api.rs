//! A stand-in for the Supabase Management API whose projects are real databases.
//!
//! It has one user, whose tokens are all equal; it answers the operations of [`Operation`]. [`Faults`] sets what goes wrong
//! on purpose, [`Behaviour`] how the provider behaves, and the [`Ledger`] has what happened. The same can be done over HTTP
//! under `/_sandbox`.

mod advisors;
mod backups;
mod behaviour;
mod billing;
mod config;
mod control;
mod dispatch;
mod faults;
mod hash;
mod health;
mod keys;
mod ledger;
mod limits;
mod line;
mod login_role;
mod migrations;
mod network;
mod operation;
mod options;
mod organization;
mod projects;
mod provision;
mod query;
mod reply;
mod rows;
mod rules;
mod secrets;
mod serve;
mod session;
mod settings;
mod state;
mod types;
mod usage;
mod values;
mod world;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use parking_lot::Mutex;
use serde::Serialize;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

pub use behaviour::{Behaviour, Fate};
pub use faults::{Fault, Faults};
pub use ledger::{Created, Ledger, Recorded};
pub use limits::RateLimit;
pub use operation::Operation;
pub use options::{Hosting, Options};
pub use organization::Organization;
pub use rules::{Rule, RuleState, Rules};

use crate::Postgres;
use crate::hosted::Clusters;
use crate::openapi::{self, Contract};
use crate::router::Router;
use provision::{Databases, Shared};
use state::{Inner, lock};
use world::{Life, Start};

/// Traffic that the OpenAPI document does not allow.
#[derive(Clone, Debug, Serialize)]
pub struct Violation {
    /// The operation id, or method and path where there is no operation.
    pub operation: String,
    /// What is wrong; it shows places, not values.
    pub detail: String,
}

/// A running stand-in with its pooler and, unless it was given one, its PostgreSQL.
/// Everything stops when this is dropped.
pub struct StandIn {
    inner: Arc<Inner>,
    address: SocketAddr,
    // Dropped in this order: the API, the pooler, the server, its folder.
    shutdown: Option<oneshot::Sender<()>>,
    router: Router,
    postgres: Option<Postgres>,
    _dir: Option<TempDir>,
}

impl StandIn {
    /// Starts everything.
    ///
    /// # Errors
    /// When PostgreSQL cannot be started, or an address is in use.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let (postgres, dir) = plain_server(&options).await?;
        let databases = databases(&options, postgres.as_ref()).await?;
        let router = Router::start(&options.router).await?;
        let listener = TcpListener::bind(options.address)
            .await
            .with_context(|| format!("the API cannot listen on {}", options.address))?;
        let address = listener.local_addr()?;
        let inner = Arc::new(inner(options, databases, &router)?);
        let service = control::routes()
            .fallback(serve::handle)
            .with_state(Arc::clone(&inner))
            .into_make_service_with_connect_info::<line::Cut>();
        let (shutdown, stopped) = oneshot::channel::<()>();
        let serving = axum::serve(line::Lines(listener), service).with_graceful_shutdown(async {
            let _ = stopped.await;
        });
        tokio::spawn(async move { serving.await });
        Ok(Self {
            inner,
            address,
            shutdown: Some(shutdown),
            router,
            postgres,
            _dir: dir,
        })
    }

    /// The base URL of the API, without a slash at its end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The slug of the first organization.
    pub fn organization(&self) -> String {
        let first = self.inner.options.organizations.first();
        first.map(|it| it.slug.clone()).unwrap_or_default()
    }

    /// A token that is accepted now; empty when all are revoked.
    pub fn token(&self) -> String {
        lock(&self.inner.tokens).first().cloned().unwrap_or_default()
    }

    /// Replaces the accepted tokens: rotates, adds or revokes them.
    pub fn set_tokens(&self, tokens: Vec<String>) {
        self.inner.set_tokens(tokens);
    }

    /// What goes wrong on purpose.
    pub fn faults(&self) -> &Faults {
        &self.inner.faults
    }

    /// What edits or replaces answers.
    pub fn rules(&self) -> &Rules {
        &self.inner.rules
    }

    /// Changes how the provider behaves.
    pub fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut lock(&self.inner.behaviour));
    }

    /// Changes the rate limit and begins a new window.
    pub fn limit(&self, rule: RateLimit) {
        self.inner.limiter.set(rule);
    }

    /// Lets the projects that are stuck in `COMING_UP` become healthy now.
    pub fn unstick(&self) {
        unstick(&self.inner);
    }

    /// Shows this status for a project from now on, whatever it does; none shows the true one again.
    pub fn show_status(&self, reference: &str, status: Option<&'static str>) {
        if let Some(project) = self.inner.world().projects.get_mut(reference) {
            project.shown = status;
        }
    }

    /// Pauses a project at once, as the provider does with free ones that nobody uses.
    ///
    /// # Errors
    /// When the sessions in its database cannot be ended.
    pub async fn pause(&self, reference: &str) -> anyhow::Result<()> {
        if let Some(project) = self.inner.world().projects.get_mut(reference) {
            project.life = Life::Inactive;
        }
        self.inner.tenants.usable_from(reference, None);
        self.inner.databases.pause(reference).await
    }

    /// Stops a project's PostgreSQL, as a host that fails: the API does not know of it.
    ///
    /// # Errors
    /// When the sessions in its database cannot be ended.
    pub async fn stop_server(&self, reference: &str) -> anyhow::Result<()> {
        self.inner.databases.pause(reference).await
    }

    /// Starts it again.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start_server(&self, reference: &str) -> anyhow::Result<()> {
        self.inner.databases.resume(reference).await
    }

    /// A session of the superuser in a project's database.
    ///
    /// # Errors
    /// When its server does not run.
    pub async fn project(&self, reference: &str) -> anyhow::Result<PgConnection> {
        self.inner.databases.admin(reference).await
    }

    /// The version of the projects' PostgreSQL, such as `17.6`.
    pub fn version(&self) -> &str {
        self.inner.databases.version()
    }

    /// Whether the transaction pooler of projects is one: `PgBouncer` is installed, and projects have servers of their own.
    pub fn pools_transactions(&self) -> bool {
        matches!(self.inner.databases, Databases::Clusters(_)) && crate::hosted::has_pooler()
    }

    /// Restarts every PostgreSQL: that of pools and those of projects.
    ///
    /// # Errors
    /// When one does not start again.
    pub async fn restart_servers(&mut self) -> anyhow::Result<()> {
        if let Some(postgres) = &mut self.postgres {
            postgres.restart().await?;
        }
        self.inner.databases.restart().await
    }

    /// What happened.
    pub fn ledger(&self) -> &Ledger {
        &self.inner.ledger
    }

    /// The traffic so far that the OpenAPI document does not allow.
    pub fn violations(&self) -> Vec<Violation> {
        lock(&self.inner.violations).clone()
    }

    /// Whether traffic is checked against the OpenAPI document.
    pub fn is_checked(&self) -> bool {
        self.inner.contract.is_some()
    }

    /// The pooler.
    pub fn router(&self) -> &Router {
        &self.router
    }

    /// The PostgreSQL that was started beside the projects', for entries of pools.
    pub fn postgres(&self) -> Option<&Postgres> {
        self.postgres.as_ref()
    }

    /// The PostgreSQL of pools, to stop or restart.
    pub fn postgres_mut(&mut self) -> Option<&mut Postgres> {
        self.postgres.as_mut()
    }
}

impl fmt::Debug for StandIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("StandIn");
        shown.field("address", &self.address).finish_non_exhaustive()
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.inner.faults.clear();
        drop(self.shutdown.take());
    }
}

/// Lets the projects that are stuck become healthy, and the pooler know them.
fn unstick(inner: &Inner) {
    let behaviour = inner.behaviour();
    let ended = Start {
        until: Some(Instant::now()),
        fails: false,
    };
    for project in inner.world().all() {
        project.life = match project.life {
            Life::Created(Start { until: None, .. }) => Life::Created(ended),
            Life::ComingUp(Start { until: None, .. }) => Life::ComingUp(ended),
            Life::Restoring(Start { until: None, .. }) => Life::Restoring(ended),
            _ => continue,
        };
        let from = ended.pooler_from(&behaviour);
        inner.tenants.usable_from(&project.reference, from);
    }
}

async fn plain_server(options: &Options) -> anyhow::Result<(Option<Postgres>, Option<TempDir>)> {
    if matches!(options.hosting, Hosting::At(_)) {
        return Ok((None, None));
    }
    let dir = tempfile::Builder::new().prefix("orchestra-sandbox-").tempdir()?;
    let postgres = Postgres::start(dir.path(), crate::loopback::address()).await?;
    Ok((Some(postgres), Some(dir)))
}

async fn databases(options: &Options, postgres: Option<&Postgres>) -> anyhow::Result<Databases> {
    let url = match (&options.hosting, postgres) {
        (Hosting::Clusters, _) => return Ok(Databases::Clusters(Clusters::prepare().await?)),
        (Hosting::At(url), _) => url.clone(),
        (Hosting::Shared, Some(postgres)) => postgres.admin_url(),
        (Hosting::Shared, None) => anyhow::bail!("no server was started"),
    };
    let server: PgConnectOptions = url.parse()?;
    let address = tokio::net::lookup_host((server.get_host(), server.get_port()))
        .await?
        .next()
        .context("the host of PostgreSQL has no address")?;
    let server = PgPoolOptions::new().max_connections(8).connect_lazy_with(server);
    let version: String = sqlx::query_scalar("SHOW server_version").fetch_one(&server).await?;
    Ok(Databases::Shared(Shared {
        address,
        version: version.split_whitespace().next().unwrap_or_default().to_owned(),
        server,
    }))
}

fn inner(options: Options, databases: Databases, router: &Router) -> anyhow::Result<Inner> {
    let mut tokens = options.tokens.clone();
    if tokens.is_empty() {
        tokens.push(format!("sbp_{}", crate::random::hex(40)));
    }
    let inner = Inner {
        databases,
        pooler_host: router.host().to_owned(),
        pooler_port: router.transaction_address().port(),
        session_port: router.session_address().port(),
        tenants: router.tenants().clone(),
        faults: Faults::default(),
        rules: Rules::default(),
        ledger: Ledger::default(),
        limiter: limits::Limiter::new(options.rate_limit),
        contract: openapi::document().map(Contract::new),
        user: uuid::Uuid::new_v4().to_string(),
        tokens: Mutex::default(),
        violations: Mutex::default(),
        behaviour: Mutex::new(options.behaviour),
        world: Mutex::default(),
        options,
    };
    anyhow::ensure!(!inner.options.organizations.is_empty(), "no organization");
    inner.set_tokens(tokens);
    Ok(inner)
}
