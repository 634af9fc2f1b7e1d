//! The count of the objects for the metrics.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;

use super::{ages, backups};
use crate::api::condition::{ConditionType, Reason, reason_of};
use crate::api::unreadable::unreadable;
use crate::api::{Orchestra, OrchestraClass};
use crate::controller::Stores;
use crate::orchestra::Context;
use crate::telemetry::fleet::TenantPhase;
use crate::telemetry::metrics::Metrics;

/// How often objects are counted. Prometheus usually asks every 15 s or 30 s.
const CENSUS: Duration = Duration::from_secs(5);

/// The phase of an object without status.
const NO_PHASE: &str = "Pending";

/// Counts the objects by phase and those that wait in queues, periodically. Only the leader counts, so that
/// the sum over all replicas is right.
pub async fn run(ctx: Arc<Context>, metrics: Arc<Metrics>) {
    loop {
        count(&ctx, &metrics);
        tokio::time::sleep(CENSUS).await;
    }
}

fn count(ctx: &Context, metrics: &Metrics) {
    let stores = &ctx.core.stores;
    let (tenants, databases) = (stores.orchestras.state(), stores.databases.state());
    let (classes, pools) = (stores.classes.state(), stores.pools.state());
    metrics.set_queues(&ctx.class.accounts.queues());
    count_expiring(&tenants, metrics);
    metrics.set_unreadable([
        ("orchestra", unknown(&tenants)),
        ("database", unknown(&databases)),
        ("class", unknown(&classes)),
        ("pool", unknown(&pools)),
        ("backup", unknown(&stores.backups.state())),
    ]);
    backups::count(stores, &tenants, metrics);
    let phases_of_tenants = phases(tenants.iter().map(|object| phase(object)));
    metrics.set_orchestras(phases_of_tenants.iter().map(|(phase, count)| (phase.as_str(), *count)));
    let databases = phases(databases.iter().map(|object| object.status.as_ref()?.phase.as_deref()));
    metrics.set_databases(databases.iter().map(|(phase, count)| (phase.as_str(), *count)));
    count_credentials(ctx, metrics);
    let of_class = |class: &Arc<OrchestraClass>| crate::class::facts(&ctx.class, class, &tenants);
    metrics.set_classes(classes.iter().map(of_class));
    metrics.tenants().set_outages(ctx.health.outages());
    metrics.tenants().set(ctx.health.facts());
    metrics.fleet().set_phases(phases_of(&tenants, &classes));
    metrics.fleet().set_stalled(stalled(stores));
    metrics.set_pools(pools.iter().map(|pool| crate::pool::facts(pool)));
}

/// How many of these have unknown values.
fn unknown<K: ResourceExt>(objects: &[Arc<K>]) -> usize {
    let found = objects.iter().filter(|object| unreadable(&***object).is_some());
    found.count()
}

fn count_expiring(tenants: &[Arc<Orchestra>], metrics: &Metrics) {
    let ends = tenants
        .iter()
        .filter_map(|object| object.status.as_ref())
        .filter(|it| it.expires_at.is_some());
    let (warned, running): (Vec<_>, Vec<_>) = ends.partition(|status| status.expiry_notice.is_some());
    metrics.set_expiring(running.len(), warned.len());
}

fn count_credentials(ctx: &Context, metrics: &Metrics) {
    let (known, now) = (ages::known(&ctx.core), Timestamp::now());
    let oldest = ages::oldest(&known);
    metrics.set_oldest_logins(ages::logins(&oldest));
    metrics.set_credential_ages(ages::ages(&oldest, now));
    metrics.set_tenant_credentials(ages::of_tenants(&ctx.core, known, now));
}

fn phase(object: &Orchestra) -> Option<&str> {
    object.status.as_ref()?.phase.as_deref()
}

fn phases<'a>(all: impl Iterator<Item = Option<&'a str>>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for phase in all {
        *counts.entry(phase.unwrap_or(NO_PHASE).to_string()).or_default() += 1;
    }
    counts
}

/// The phases of tenants whose class asks for metrics of its tenants.
fn phases_of(tenants: &[Arc<Orchestra>], classes: &[Arc<OrchestraClass>]) -> Vec<TenantPhase> {
    let asking = classes.iter().filter(|class| ages::asks(class));
    let asking: BTreeSet<_> = asking.map(|class| class.name_any()).collect();
    let asking = tenants.iter().filter_map(|object| {
        let class = object.decided_class().filter(|class| asking.contains(*class))?;
        Some(TenantPhase {
            class: class.to_owned(),
            namespace: object.namespace().unwrap_or_default(),
            name: object.name_any(),
            phase: phase(object).unwrap_or(NO_PHASE).to_owned(),
        })
    });
    asking.collect()
}

/// Kind and reason of each object that needs a person.
fn stalled(stores: &Stores) -> Vec<(&'static str, Reason)> {
    let of = |conditions: &[Condition]| reason_of(conditions, ConditionType::Stalled);
    let orchestras = stores.orchestras.state();
    let orchestras = orchestras.iter().map(|it| ("orchestra", it.stalled_reason()));
    let databases = stores.databases.state();
    let databases = databases.iter().map(|it| ("database", it.stalled_reason()));
    let classes = stores.classes.state();
    let classes = classes.iter().map(|it| ("class", of(it.conditions())));
    let pools = stores.pools.state();
    let pools = pools.iter().map(|it| {
        let status = it.status.as_ref();
        ("pool", status.and_then(|status| of(&status.conditions)))
    });
    let backups = stores.backups.state();
    let backups = backups.iter().map(|it| {
        let status = it.status.as_ref();
        ("backup", status.and_then(|status| of(&status.conditions)))
    });
    let all = orchestras.chain(databases).chain(classes).chain(pools).chain(backups);
    all.filter_map(|(kind, reason)| Some((kind, reason?))).collect()
}
