//! One watch for each kind, shared by all controllers. A store changes before a controller is
//! triggered, so what a pass reads is never older than what triggered it.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::api::Api;
use kube::core::{ClusterResourceScope, NamespaceResourceScope, PartialObjectMeta};
use kube::runtime::watcher;
use kube::{Client, Resource};
use tokio::task::JoinSet;

use super::shared::{SharedWatch, WatchPart, share};
use super::trim;
use crate::api::names::{BACKUP_LABEL, MANAGED_BY, ORCHESTRA_LABEL};
use crate::api::{Orchestra, OrchestraBackup, OrchestraClass, OrchestraDatabase, OrchestraPool};
use crate::controller::Stores;
use crate::supabase::marker::CLUSTER_NAMESPACE;

/// Objects of one page of the first list. A page is read as a whole, so this bounds the memory on top of the store: an
/// object has 1.5 MiB at most, of which [`crate::api::slim`] decodes what is read. A streamed list (`watcher::Config::streaming_lists`) would need no pages, but an API server without
/// the feature gate `WatchList` (off by default in 1.33) refuses it, and kube does not fall back to pages.
const PAGE: u32 = 20;

/// ConfigMaps that a cluster puts into every namespace. No source is in them.
const EVERYWHERE: [&str; 2] = ["kube-root-ca.crt", "openshift-service-ca.crt"];

/// The watched kinds: their stores, and what controllers subscribe to.
pub struct Watched {
    pub stores: Stores,
    pub orchestras: SharedWatch<Orchestra>,
    pub classes: SharedWatch<OrchestraClass>,
    pub databases: SharedWatch<OrchestraDatabase>,
    pub pools: SharedWatch<OrchestraPool>,
    pub backups: SharedWatch<OrchestraBackup>,
    pub jobs: SharedWatch<PartialObjectMeta<Job>>,
    pub secrets: SharedWatch<PartialObjectMeta<Secret>>,
    pub connections: SharedWatch<PartialObjectMeta<Secret>>,
    pub config_maps: SharedWatch<PartialObjectMeta<ConfigMap>>,
    pub namespaces: SharedWatch<PartialObjectMeta<Namespace>>,
    /// Ends the watches when it is dropped.
    _tasks: JoinSet<()>,
}

/// The objects that an operator watches.
pub struct WatchScope<'a> {
    /// Namespace of the operator.
    pub namespace: &'a str,
    /// Namespaces of Orchestras; empty for all.
    pub tenants: &'a [String],
}

impl WatchScope<'_> {
    /// A kind of the tenants' namespaces.
    fn tenants<K>(&self, client: &Client, config: &watcher::Config) -> Vec<WatchPart<K>>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        if self.tenants.is_empty() {
            return vec![(Api::all(client.clone()), config.clone())];
        }
        let part = |namespace: &String| (Api::namespaced(client.clone(), namespace), config.clone());
        self.tenants.iter().map(part).collect()
    }

    /// A kind of the tenants' namespaces and of the operator's own.
    fn tenants_and_own<K>(&self, client: &Client, config: &watcher::Config) -> Vec<WatchPart<K>>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        let mut parts = self.tenants(client, config);
        if !self.tenants.is_empty() {
            parts.push((Api::namespaced(client.clone(), self.namespace), config.clone()));
        }
        parts
    }

    /// The namespaces themselves: each by its name where the operator may not see all.
    fn namespaces<K>(&self, client: &Client, config: &watcher::Config) -> Vec<WatchPart<K>>
    where
        K: Resource<DynamicType = (), Scope = ClusterResourceScope>,
    {
        if self.tenants.is_empty() {
            return vec![(Api::all(client.clone()), config.clone())];
        }
        let names = self.tenants.iter().map(String::as_str).chain([CLUSTER_NAMESPACE]);
        let part = |name: &str| {
            let one = config.clone().fields(&format!("metadata.name={name}"));
            (Api::all(client.clone()), one)
        };
        names.map(part).collect()
    }
}

/// Starts to watch.
pub fn start(client: &Client, scope: &WatchScope<'_>) -> Watched {
    let mut tasks = JoinSet::new();
    let all = watcher::Config::default().page_size(PAGE);
    let connection_secrets = format!("{}={},{ORCHESTRA_LABEL}", MANAGED_BY.0, MANAGED_BY.1);
    let own = EVERYWHERE.map(|name| format!("metadata.name!={name}")).join(",");

    let orchestras = share(scope.tenants(client, &all), trim::whole, &mut tasks);
    let classes = share(vec![(Api::all(client.clone()), all.clone())], trim::whole, &mut tasks);
    let databases = share(vec![(Api::all(client.clone()), all.clone())], trim::whole, &mut tasks);
    let pools = share(vec![(Api::all(client.clone()), all.clone())], trim::whole, &mut tasks);
    // Final backups of tenants whose namespaces are gone are in the operator's own.
    let backups = share(scope.tenants_and_own(client, &all), trim::whole, &mut tasks);
    let jobs = all.clone().labels(BACKUP_LABEL);
    let jobs = share(
        vec![(Api::namespaced(client.clone(), scope.namespace), jobs)],
        trim::metadata,
        &mut tasks,
    );
    let secrets = share(
        vec![(Api::namespaced(client.clone(), scope.namespace), all.clone())],
        trim::metadata,
        &mut tasks,
    );
    let connections = all.clone().labels(&connection_secrets);
    let connections = share(scope.tenants(client, &connections), trim::metadata, &mut tasks);
    let config_maps = all.clone().fields(&own);
    let config_maps = share(
        scope.tenants_and_own(client, &config_maps),
        trim::unlabelled,
        &mut tasks,
    );
    let namespaces = share(scope.namespaces(client, &all), trim::metadata, &mut tasks);
    let stores = Stores {
        orchestras: orchestras.latest(),
        classes: classes.latest(),
        databases: databases.latest(),
        pools: pools.latest(),
        backups: backups.latest(),
        jobs: jobs.latest(),
        secrets: secrets.latest(),
        connections: connections.latest(),
        config_maps: config_maps.latest(),
        namespaces: namespaces.store(),
    };
    Watched {
        stores,
        orchestras,
        classes,
        databases,
        pools,
        backups,
        jobs,
        secrets,
        connections,
        config_maps,
        namespaces,
        _tasks: tasks,
    }
}

impl Watched {
    /// Waits until every store has been filled once.
    pub async fn synced(&self) {
        tokio::join!(
            self.orchestras.listed(),
            self.classes.listed(),
            self.databases.listed(),
            self.pools.listed(),
            self.backups.listed(),
            self.jobs.listed(),
            self.secrets.listed(),
            self.connections.listed(),
            self.config_maps.listed(),
            self.namespaces.listed(),
        );
    }
}
