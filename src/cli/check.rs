//! `orchestra-operator check`: whether an installation works.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::Client;
use kube::api::Api;

use crate::run::{self, WatchScope, definitions, rights};
use crate::text;

/// Interval between two checks.
const AGAIN: Duration = Duration::from_secs(1);

/// Flags of `orchestra-operator check`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Namespace of the operator.
    #[arg(long, env = "POD_NAMESPACE", default_value = "orchestra-system")]
    pub namespace: String,
    /// Namespaces whose Orchestras the operator serves, as its own flag says; omitted: all. Repeatable, or
    /// separated by commas.
    #[arg(long, env = "ORCHESTRA_WATCH_NAMESPACES", value_delimiter = ',')]
    pub watch_namespaces: Vec<String>,
    /// Name of the operator's Lease.
    #[arg(long, env = "ORCHESTRA_LEASE_NAME", default_value = "orchestra-operator")]
    pub lease_name: String,
    /// How long to wait until all is well. A lease is looked at for its own duration at least.
    #[arg(long, default_value = "30s", value_parser = run::duration)]
    pub timeout: Duration,
}

/// Returns one line for each successful check.
///
/// # Errors
/// The first check that still fails when the time is over.
pub async fn run(client: &Client, arguments: &Arguments) -> anyhow::Result<String> {
    let tenants = run::tenants(&arguments.watch_namespaces, &arguments.namespace)?;
    let scope = WatchScope {
        namespace: &arguments.namespace,
        tenants: &tenants,
    };
    let needed = rights::needed(&scope, &arguments.lease_name);
    let began = Instant::now();
    let mut first = None;
    loop {
        match look(client, arguments, &needed, &mut first).await {
            Ok(lines) => return Ok(lines),
            Err(error) if began.elapsed() >= arguments.timeout => return Err(error),
            Err(_) => tokio::time::sleep(AGAIN).await,
        }
    }
}

/// Checks once. `first` is the lease's renew time at the first check: a leader renews it, and the clocks of two machines are
/// not compared.
async fn look(
    client: &Client,
    arguments: &Arguments,
    needed: &[rights::Right],
    first: &mut Option<LeaseSpec>,
) -> anyhow::Result<String> {
    let found = definitions::look(client).await?;
    if let Some(problem) = found.problem() {
        bail!(problem);
    }
    let missing = rights::missing(client, needed).await?;
    if !missing.is_empty() {
        bail!(
            "the caller lacks rights: {}; run this as the operator's service account, or apply what \
             `orchestra-operator rbac` prints for its flags",
            rights::shown(&missing)
        );
    }
    let api: Api<Lease> = Api::namespaced(client.clone(), &arguments.namespace);
    let lease = api
        .get_opt(&arguments.lease_name)
        .await
        .with_context(|| format!("cannot read the Lease {}", arguments.lease_name))?;
    let spec = lease.and_then(|lease| lease.spec).unwrap_or_default();
    let holder = spec.holder_identity.clone().filter(|holder| !holder.is_empty());
    let Some(holder) = holder else {
        bail!(
            "no operator holds the Lease {} in namespace {}: see the operator's log",
            arguments.lease_name,
            arguments.namespace
        );
    };
    let before = first.get_or_insert_with(|| spec.clone());
    if before.renew_time == spec.renew_time {
        bail!(
            "the Lease {} of {} was not renewed in the meantime: wait longer (--timeout), or see the operator's log",
            arguments.lease_name,
            text::line(&holder, 253)
        );
    }
    let definitions = if found.unreadable.is_empty() {
        "as this version needs them"
    } else {
        "served; whether they are older is not known, because they may not be read"
    };
    Ok(format!(
        "CustomResourceDefinitions: {definitions}\nrights: all {} are granted\nlease: held and renewed by {}",
        needed.len(),
        text::line(&holder, 253)
    ))
}
