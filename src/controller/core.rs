//! The parts that every pass needs, of each kind.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::api::Api;
use kube::core::{NamespaceResourceScope, PartialObjectMeta};
use kube::runtime::reflector::Store;
use kube::{Client, Resource};
use secrecy::SecretString;

use super::backoff::Backoff;
use super::clock::Clock;
use super::events::Events;
use super::latest::{Latest, Remembered};
use super::refusals::Refusals;
use super::write::namespaced;
use crate::api::{Orchestra, OrchestraBackup, OrchestraClass, OrchestraDatabase, OrchestraPool};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::Traces;

/// Settings of the operator, from its flags and environment.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Namespace of the operator: tokens and owners' passwords are stored there and nowhere else.
    pub namespace: String,
    /// How long a project is searched for after a create request with unknown outcome, before another request is
    /// sent.
    pub create_settle: Duration,
    /// Pace at which projects that are being created are polled.
    pub poll_interval: Duration,
    /// Least time between two logins after a refused one: the pooler blocks an address that keeps
    /// failing (Supavisor's circuit breaker).
    pub login_spacing: Duration,
    /// Pace at which a settled object is reconciled again.
    pub resync: Duration,
    /// How often the databases of Orchestras are probed, where their class does not say; zero: never, whatever it says.
    pub probe_interval: Duration,
    /// Longest time that one run of an Orchestra's migrations may take.
    pub migration_limit: Duration,
    /// Migrations that run at the same time on one database server.
    pub migrations_per_server: u16,
    /// How long running work may take to end after a stop signal.
    pub shutdown_grace: Duration,
    /// Folder where sources are mounted in the operator's pod.
    pub sources_folder: Option<PathBuf>,
    /// Registries that Orchestras may use, each `host` or `host:port`.
    pub oci_hosts: Vec<String>,
    /// Root certificates of hosted databases in PEM, trusted beside the system's and given to tenants.
    pub database_roots: Arc<str>,
    /// Objects of one kind that are reconciled at the same time.
    pub concurrency: u16,
    /// Image of the Jobs that make, restore and remove backups, for classes that name none.
    pub backup_image: String,
    /// Beginnings of the images that classes may name for them; none: any.
    pub backup_image_prefixes: Vec<String>,
    /// ServiceAccount of their pods, which needs no right.
    pub backup_service_account: String,
    /// `SUPABASE_MANAGEMENT_TOKEN`, for classes that name no Secret.
    pub token: Option<SecretString>,
    /// `SUPABASE_ORGANIZATION_ID`, for classes that name no organization.
    pub organization: Option<String>,
    /// `DATABASE_URL_POOL_<n>`, for pools that name no Secret.
    pub inventory: BTreeMap<String, SecretString>,
}

/// Watched objects, with our own latest writes. A controller is triggered after the store has changed, never
/// before.
#[derive(Clone)]
pub struct Stores {
    /// Tenants.
    pub orchestras: Latest<Orchestra>,
    /// Classes.
    pub classes: Latest<OrchestraClass>,
    /// Databases.
    pub databases: Latest<OrchestraDatabase>,
    /// Pools.
    pub pools: Latest<OrchestraPool>,
    /// Backups.
    pub backups: Latest<OrchestraBackup>,
    /// Metadata of the Jobs in the operator's namespace that it has made.
    pub jobs: Latest<PartialObjectMeta<Job>>,
    /// Metadata of the Secrets in the operator's namespace.
    pub secrets: Latest<PartialObjectMeta<Secret>>,
    /// Metadata of the connection Secrets that the operator wrote.
    pub connections: Latest<PartialObjectMeta<Secret>>,
    /// Metadata of all ConfigMaps.
    pub config_maps: Latest<PartialObjectMeta<ConfigMap>>,
    /// Metadata of all namespaces.
    pub namespaces: Store<PartialObjectMeta<Namespace>>,
}

impl Remembered for Orchestra {
    fn latest(stores: &Stores) -> &Latest<Self> {
        &stores.orchestras
    }

    fn api(&self, client: &Client) -> Api<Self> {
        namespaced(client, self)
    }
}

impl Remembered for OrchestraClass {
    fn latest(stores: &Stores) -> &Latest<Self> {
        &stores.classes
    }

    fn api(&self, client: &Client) -> Api<Self> {
        Api::all(client.clone())
    }
}

impl Remembered for OrchestraDatabase {
    fn latest(stores: &Stores) -> &Latest<Self> {
        &stores.databases
    }

    fn api(&self, client: &Client) -> Api<Self> {
        Api::all(client.clone())
    }
}

impl Remembered for OrchestraPool {
    fn latest(stores: &Stores) -> &Latest<Self> {
        &stores.pools
    }

    fn api(&self, client: &Client) -> Api<Self> {
        Api::all(client.clone())
    }
}

impl Remembered for OrchestraBackup {
    fn latest(stores: &Stores) -> &Latest<Self> {
        &stores.backups
    }

    fn api(&self, client: &Client) -> Api<Self> {
        namespaced(client, self)
    }
}

/// The parts that every pass needs. Rooms keep no state of their own here.
pub struct Core {
    /// Client of the Kubernetes API.
    pub client: Client,
    /// Settings of the operator.
    pub settings: Settings,
    /// Watched objects.
    pub stores: Stores,
    /// Counters and gauges.
    pub metrics: Arc<Metrics>,
    /// Spans of the ways to Ready.
    pub traces: Traces,
    /// Publisher of events.
    pub events: Events,
    /// Refusals: contents that must not be tried again yet.
    pub refusals: Refusals,
    /// Backoff per object.
    pub backoff: Backoff,
    /// Times that destroy something, by the API server's clock.
    pub clock: Clock,
}

impl Core {
    /// The API of a kind in the operator's own namespace.
    pub fn own<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &self.settings.namespace)
    }
}
