//! The process: its flags, watches, wiring, leadership and shutdown.

mod ages;
mod arguments;
mod backups;
mod census;
mod changes;
mod controllers;
pub mod definitions;
mod merged;
mod pace;
pub mod rights;
mod shared;
mod triggers;
mod trim;
mod watches;
pub mod wiring;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use kube::Client;
use kube::runtime::events::Reporter;
use tokio::net::TcpListener;
use tokio::sync::mpsc::unbounded_channel;
use tokio::sync::watch;

use crate::class::{self, environment};
use crate::controller::backoff::Backoff;
use crate::controller::clock::Clock;
use crate::controller::events::Events;
use crate::controller::lease::{Lease, LeaseGuard, Timing};
use crate::controller::refusals::Refusals;
use crate::controller::{Core, Settings};
use crate::credentials::inventory;
use crate::supabase;
use crate::telemetry::health::{self, Readiness};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::Traces;
use controllers::Woken;
use wiring::Wakers;

pub use arguments::{Arguments, duration, tenants};
pub use watches::WatchScope;

const CRDS: &str = "crds";
const RIGHTS: &str = "rights";
const CACHES: &str = "caches";

const LOST: &str = "the lease was lost: another operator may lead now, so this one ends at once";

/// Runs the operator until it receives a stop signal, or loses the lease.
///
/// # Errors
/// One readable line about what is missing or wrong: the log settings, the API server, the resource
/// definitions, the lease.
pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let stop = stop_signal()?;
    let metrics = Arc::new(Metrics::default());
    let readiness = Arc::new(Readiness::new(&[CRDS, RIGHTS, CACHES]));
    let listener = TcpListener::bind(arguments.metrics_address)
        .await
        .with_context(|| format!("cannot listen on {} (--metrics-address)", arguments.metrics_address))?;
    tracing::info!(address = %listener.local_addr()?, "serving /livez, /readyz and /metrics");
    let endpoints = tokio::spawn(health::serve(
        listener,
        readiness.clone(),
        metrics.clone(),
        stopped(stop.clone()),
    ));
    let (traces, exporting) = arguments.traces()?.unzip();
    let shared = (metrics, traces.unwrap_or_default());
    work(arguments, readiness, shared, stop.clone()).await?;
    if let Some(exporting) = exporting {
        exporting.finish().await;
    }
    endpoints.await?;
    tracing::info!("stopped");
    Ok(())
}

/// Waits for the API server, the resource definitions, the stores and the lease, and leads. When the stop signal comes
/// before that, there is no work to finish.
async fn work(
    arguments: Arguments,
    readiness: Arc<Readiness>,
    (metrics, traces): (Arc<Metrics>, Traces),
    stop: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let settings = arguments.settings()?;
    let provider = Arc::new(arguments.provider()?);
    let tenants = arguments.tenants()?;
    let prepare = async {
        let client = connect().await?;
        definitions::wait(&client).await?;
        readiness.set(CRDS, true);
        let scope = WatchScope {
            namespace: &settings.namespace,
            tenants: &tenants,
        };
        rights::wait(&client, &rights::needed(&scope, &arguments.lease_name)).await?;
        readiness.set(RIGHTS, true);
        let watched = watches::start(&client, &scope);
        watched.synced().await;
        readiness.set(CACHES, true);
        anyhow::Ok((client, watched))
    };
    let (client, watched) = tokio::select! {
        prepared = prepare => prepared?,
        () = stopped(stop.clone()) => return Ok(()),
    };
    let lease = Lease::new(
        client.clone(),
        &settings.namespace,
        &arguments.lease_name,
        &arguments.identity(),
        Timing::of(arguments.lease_duration),
    );
    let mut lease_guard = tokio::select! {
        guard = lease.acquire() => guard.context("the lease could not be taken")?,
        () = stopped(stop.clone()) => return Ok(()),
    };
    metrics.set_leader(true);
    tracing::info!("leading");
    environment::bridge(&client, &settings)
        .await
        .context("the default class could not be made from the environment")?;
    let core = core(client, &watched, (metrics.clone(), traces), settings);
    lead(core, provider, watched, &mut lease_guard, stop).await?;
    metrics.set_leader(false);
    lease_guard.release().await;
    Ok(())
}

fn core(
    client: Client,
    watched: &watches::Watched,
    (metrics, traces): (Arc<Metrics>, Traces),
    settings: Settings,
) -> Arc<Core> {
    let reporter = Reporter {
        controller: "orchestra-operator".into(),
        instance: std::env::var("POD_NAME").ok(),
    };
    Arc::new(Core {
        events: Events::new(client.clone(), reporter),
        client,
        stores: watched.stores.clone(),
        metrics,
        traces,
        refusals: Refusals::default(),
        backoff: Backoff::default(),
        clock: Clock::default(),
        settings,
    })
}

/// Runs the controllers while the lease is held, until `stop` becomes true. Work that is under way then has the
/// grace period to end.
async fn lead(
    core: Arc<Core>,
    provider: Arc<supabase::ApiSettings>,
    watched: watches::Watched,
    guard: &mut LeaseGuard,
    stop: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let (ended, orchestras) = unbounded_channel();
    let (refused, databases) = unbounded_channel();
    let (prepared, pools) = unbounded_channel();
    let (probed, ended_probes) = unbounded_channel();
    let wakers = Wakers {
        ended,
        refused,
        prepared,
        probed,
        stop: stop.clone(),
    };
    let (grace, metrics) = (core.settings.shutdown_grace, core.metrics.clone());
    let ctx = wiring::orchestra(core, provider, wakers)?;
    inventory::survey(&ctx.credentials).await;
    let census = census::run(ctx.clone(), metrics);
    let ledger = class::ledger::run(ctx.class.clone());
    let health = crate::health::run(ctx.health.clone(), ended_probes);
    let works = ctx.clone();
    let woken = Woken {
        orchestras,
        databases,
        pools,
    };
    let controllers = controllers::run(ctx, watched, woken, stop.clone());
    tokio::pin!(controllers);
    tokio::select! {
        () = &mut controllers => {}
        () = census => {}
        () = ledger => {}
        () = health => {}
        () = guard.lost() => bail!(LOST),
        () = stopped(stop) => {
            let ending = async {
                (&mut controllers).await;
                works.works.finished().await;
                works.pool.preparations.finished().await;
                works.database.resets.finished().await;
            };
            tokio::select! {
                ended = tokio::time::timeout(grace, ending) => if ended.is_err() {
                    tracing::warn!(
                        ?grace,
                        "work in progress did not finish within the grace period and was stopped; the next leader repeats it"
                    );
                },
                () = guard.lost() => bail!(LOST),
            }
        }
    }
    Ok(())
}

/// A client of the cluster that `KUBECONFIG` or the pod's service account leads to.
///
/// # Errors
/// One readable line when no cluster is configured, or its API server does not answer.
pub async fn connect() -> anyhow::Result<Client> {
    let mut config = kube::Config::infer()
        .await
        .context("no Kubernetes cluster is configured: run in a pod with a service account, or set KUBECONFIG")?;
    config.connect_timeout = Some(Duration::from_secs(10));
    let address = config.cluster_url.clone();
    let client = Client::try_from(config).context("the Kubernetes configuration cannot be used")?;
    client
        .apiserver_version()
        .await
        .with_context(|| format!("the Kubernetes API server at {address} does not answer as it should"))?;
    Ok(client)
}

/// A value that becomes true at the first SIGTERM or SIGINT. The second signal ends the process.
///
/// # Errors
/// When the process cannot listen to signals.
pub fn stop_signal() -> anyhow::Result<watch::Receiver<bool>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (tell, told) = watch::channel(false);
    tokio::spawn(async move {
        for again in [false, true] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if again {
                tracing::warn!("second signal to stop: the process ends at once");
                std::process::exit(130);
            }
            tracing::info!("stopping after the work that is under way");
            tell.send_replace(true);
        }
    });
    Ok(told)
}

/// Waits for the stop signal.
pub async fn stopped(mut stop: watch::Receiver<bool>) {
    // Waiting fails when the sender is gone: then the process ends as well.
    let _ = stop.wait_for(|stop| *stop).await;
}
