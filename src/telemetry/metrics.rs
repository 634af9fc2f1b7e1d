//! Prometheus metrics. The number of label values is bounded: the only objects that are named are classes and pools, which
//! admins make, the first hundred Orchestras of a queue, and the Orchestras of classes that ask for it.

use std::time::Duration;

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use strum::IntoStaticStr;

use super::backups::Backups;
use super::classes::{ClassFacts, Classes};
use super::credentials::CredentialAges;
pub use super::credentials::{Credential, TenantCredential};
use super::fleet::Fleet;
use super::labels::{
    BuildLabels, ClassLabels, ControllerLabels, ErrorLabels, ExpiryLabels, HistogramFamily, KindLabels,
    OperationLabels, OutcomeLabels, PhaseLabels, RequestLabels,
};
use super::orphans::{OrphanFacts, OrphanGauges};
use super::pools::{PoolFacts, PoolGauges};
use super::provisioning::Provisioning;
use super::queues::Queues;
pub use super::queues::RequestQueue;
use super::tenants::Tenants;
use crate::api::condition::Reason;
use crate::error::ErrorClass;

/// The media type of [`Metrics::encode`] (`OpenMetrics` 1.0).
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Seconds; a reconcile is a few API calls, and a Management API call may take its 30 s.
const BUCKETS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// How a reconcile ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum PassOutcome {
    /// Nothing is left to do.
    Done,
    /// It waits for something and will be run again.
    Requeued,
    /// It failed.
    Failed,
}

fn histogram() -> Histogram {
    Histogram::new(BUCKETS)
}

/// All metrics of the operator. One per process, shared.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    reconciles: Family<OutcomeLabels, Counter>,
    reconcile_duration: HistogramFamily<ControllerLabels>,
    reconcile_errors: Family<ErrorLabels, Counter>,
    requests: Family<RequestLabels, Counter>,
    request_duration: HistogramFamily<OperationLabels>,
    odd_items: Family<OperationLabels, Counter>,
    unreadable: Family<KindLabels, Gauge>,
    orchestras: Family<PhaseLabels, Gauge>,
    databases: Family<PhaseLabels, Gauge>,
    expiring: Family<ExpiryLabels, Gauge>,
    queues: Queues,
    provisioning: Provisioning,
    fleet: Fleet,
    classes: Classes,
    pools: PoolGauges,
    orphans: OrphanGauges,
    tenants: Tenants,
    backups: Backups,
    rotations: Counter,
    oldest_logins: Family<ClassLabels, Gauge>,
    credential_ages: CredentialAges,
    leader: Gauge,
    build: Family<BuildLabels, Gauge>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("orchestra"),
            reconciles: Family::default(),
            reconcile_duration: Family::new_with_constructor(histogram),
            reconcile_errors: Family::default(),
            requests: Family::default(),
            request_duration: Family::new_with_constructor(histogram),
            odd_items: Family::default(),
            unreadable: Family::default(),
            orchestras: Family::default(),
            databases: Family::default(),
            expiring: Family::default(),
            queues: Queues::default(),
            provisioning: Provisioning::default(),
            fleet: Fleet::default(),
            classes: Classes::default(),
            pools: PoolGauges::default(),
            orphans: OrphanGauges::default(),
            tenants: Tenants::default(),
            backups: Backups::default(),
            rotations: Counter::default(),
            oldest_logins: Family::default(),
            credential_ages: CredentialAges::default(),
            leader: Gauge::default(),
            build: Family::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    // The encoder appends the unit and a counter's `_total`.
    #[allow(clippy::too_many_lines, reason = "one list")]
    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "reconciles",
            "Reconciles by how they ended: done, requeued or failed",
            self.reconciles.clone(),
        );
        let help = "Logins of tenants that were replaced by new ones";
        registry.register("login_rotations", help, self.rotations.clone());
        registry.register(
            "class_oldest_login_timestamp_seconds",
            "When the oldest login of the tenants of a class was made, in seconds since 1970",
            self.oldest_logins.clone(),
        );
        registry.register_with_unit(
            "reconcile_duration",
            "Duration of a reconcile",
            Unit::Seconds,
            self.reconcile_duration.clone(),
        );
        registry.register(
            "reconcile_errors",
            "Failed reconciles by the reason of the condition, and by the class of the error: transient, after, blocked or invalid",
            self.reconcile_errors.clone(),
        );
        registry.register(
            "management_api_requests",
            "Management API requests by HTTP status, or by timeout, connect or transport where there was no answer",
            self.requests.clone(),
        );
        registry.register_with_unit(
            "management_api_request_duration",
            "Duration of a Management API request; each retry counts",
            Unit::Seconds,
            self.request_duration.clone(),
        );
        registry.register(
            "management_api_odd_items",
            "Objects in answers of the Management API that are not as documented, each time they are read; the rest of the answer is used",
            self.odd_items.clone(),
        );
        registry.register(
            "unreadable_objects",
            "Objects that are left as they are, since they have a value that this version of the operator does not know",
            self.unreadable.clone(),
        );
        registry.register("orchestras", "Orchestras by phase", self.orchestras.clone());
        registry.register(
            "databases",
            "OrchestraDatabases by phase; those that can be taken back before they are destroyed are Reclaiming",
            self.databases.clone(),
        );
        registry.register(
            "orchestras_expiring",
            "Orchestras with a ttl: running, or warned of its end",
            self.expiring.clone(),
        );
        self.queues.register(registry);
        self.provisioning.register(registry);
        self.fleet.register(registry);
        self.credential_ages.register(registry);
        self.classes.register(registry);
        self.pools.register(registry);
        self.orphans.register(registry);
        self.tenants.register(registry);
        self.backups.register(registry);
        registry.register(
            "leader",
            "1 while this replica holds the lease, else 0",
            self.leader.clone(),
        );
        let help = "1, with the version of the operator as its label";
        registry.register("build_info", help, self.build.clone());
        let version = env!("CARGO_PKG_VERSION");
        self.build.get_or_create(&BuildLabels { version }).set(1);
    }

    /// Counts a rotation of a tenant's login.
    pub fn rotated(&self) {
        self.rotations.inc();
    }

    /// Sets when the oldest login of each class was made, in seconds since 1970. A class that is not named loses its
    /// gauge.
    pub fn set_oldest_logins<'a>(&self, classes: impl IntoIterator<Item = (&'a str, i64)>) {
        self.oldest_logins.clear();
        for (class, since) in classes {
            let class = class.to_owned();
            self.oldest_logins.get_or_create(&ClassLabels { class }).set(since);
        }
    }

    /// Sets the age in seconds of the oldest credential of each class and kind. What is not named loses its gauge.
    pub fn set_credential_ages<'a>(&self, ages: impl IntoIterator<Item = (&'a str, Credential, i64)>) {
        self.credential_ages.set(ages);
    }

    /// Sets how old the credentials are of tenants whose class asks for it. What is not named loses its gauge.
    pub fn set_tenant_credentials(&self, all: Vec<TenantCredential>) {
        self.credential_ages.set_of_tenants(all);
    }

    /// Counts a reconcile that has ended, and its duration.
    pub fn reconciled(&self, controller: &'static str, outcome: PassOutcome, took: Duration) {
        let labels = OutcomeLabels {
            controller,
            outcome: outcome.into(),
        };
        self.reconciles.get_or_create(&labels).inc();
        self.reconcile_duration
            .get_or_create(&ControllerLabels { controller })
            .observe(took.as_secs_f64());
    }

    /// Counts the error of a failed reconcile.
    pub fn reconcile_failed(&self, controller: &'static str, reason: Reason, class: ErrorClass) {
        let labels = ErrorLabels {
            controller,
            reason: reason.as_str(),
            error_class: class.into(),
        };
        self.reconcile_errors.get_or_create(&labels).inc();
    }

    /// Counts a Management API request. `code` is the HTTP status; or `timeout`, `connect` or `transport` when there
    /// was no complete answer.
    pub fn management_request(&self, operation: &'static str, code: &str, took: Duration) {
        let labels = RequestLabels {
            operation,
            code: code.to_owned(),
        };
        self.requests.get_or_create(&labels).inc();
        self.request_duration
            .get_or_create(&OperationLabels { operation })
            .observe(took.as_secs_f64());
    }

    /// Counts objects of an answer of the Management API that could not be decoded completely.
    pub fn management_odd(&self, operation: &'static str, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.odd_items
            .get_or_create(&OperationLabels { operation })
            .inc_by(count);
    }

    /// Sets how many objects of each kind have unknown values.
    pub fn set_unreadable(&self, kinds: impl IntoIterator<Item = (&'static str, usize)>) {
        for (kind, count) in kinds {
            let gauge = self.unreadable.get_or_create(&KindLabels { kind });
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// Replaces the counts of Orchestras by phase. A phase that is not named loses its gauge.
    pub fn set_orchestras<'a>(&self, phases: impl IntoIterator<Item = (&'a str, usize)>) {
        replace(&self.orchestras, phases);
    }

    /// Replaces the counts of `OrchestraDatabases` by phase. A phase that is not named loses its gauge.
    pub fn set_databases<'a>(&self, phases: impl IntoIterator<Item = (&'a str, usize)>) {
        replace(&self.databases, phases);
    }

    /// Sets how many Orchestras have a ttl without a warning, and with one.
    pub fn set_expiring(&self, running: usize, warned: usize) {
        for (state, count) in [("running", running), ("warned", warned)] {
            let gauge = self.expiring.get_or_create(&ExpiryLabels { state });
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// Replaces the gauges of the queues; a queue that is not named is empty.
    pub fn set_queues(&self, queues: &[RequestQueue]) {
        self.queues.set(queues);
    }

    /// Observes how long an Orchestra has waited in the queue of a request that may be sent now.
    pub fn queue_waited(&self, operation: &'static str, waited: Duration) {
        self.queues.waited(operation, waited);
    }

    /// Those of tenants on their way to be ready.
    pub fn provisioning(&self) -> &Provisioning {
        &self.provisioning
    }

    /// Those of objects that are stalled, and of single tenants.
    pub fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    /// Replaces the gauges of orphans. A class that is not named loses its gauges.
    pub fn set_orphans(&self, orphans: impl IntoIterator<Item = OrphanFacts>) {
        self.orphans.set(orphans);
    }

    /// Replaces the gauges of classes. A class that is not named loses its gauges.
    pub fn set_classes(&self, classes: impl IntoIterator<Item = ClassFacts>) {
        self.classes.set(classes);
    }

    /// Replaces the gauges of pools. A pool that is not named loses its gauges.
    pub fn set_pools(&self, pools: impl IntoIterator<Item = PoolFacts>) {
        self.pools.set(pools);
    }

    /// Those of the tenants' databases.
    pub fn tenants(&self) -> &Tenants {
        &self.tenants
    }

    /// Those of backups.
    pub fn backups(&self) -> &Backups {
        &self.backups
    }

    /// Sets whether this replica holds the lease.
    pub fn set_leader(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// All metrics in the `OpenMetrics` text format.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut page = String::new();
        text::encode(&mut page, &self.registry)?;
        Ok(page)
    }
}

fn replace<'a>(family: &Family<PhaseLabels, Gauge>, phases: impl IntoIterator<Item = (&'a str, usize)>) {
    family.clear();
    for (phase, count) in phases {
        let phase = phase.to_owned();
        let gauge = family.get_or_create(&PhaseLabels { phase });
        gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
