//! One watch for each kind, shared by all controllers. A store changes before a controller is
//! triggered, so what a pass reads is never older than what triggered it.

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::Client;
use kube::api::Api;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher;
use tokio::task::JoinSet;

use super::shared::{Shared, share};
use super::trim;
use crate::api::names::{MANAGED_BY, ORCHESTRA_LABEL};
use crate::api::{Orchestra, OrchestraClass, OrchestraDatabase, OrchestraPool};
use crate::controller::Stores;

/// Objects of one page of the first list. A page is decoded as a whole, so this bounds the memory on top of the
/// store. A streamed list (`watcher::Config::streaming_lists`) would need no pages, but an API server without
/// the feature gate `WatchList` (off by default in 1.33) refuses it, and kube does not fall back to pages.
const PAGE: u32 = 100;

/// ConfigMaps that a cluster puts into every namespace. No source is in them.
const EVERYWHERE: [&str; 2] = ["kube-root-ca.crt", "openshift-service-ca.crt"];

/// The watched kinds: their stores, and what controllers subscribe to.
pub struct Watched {
    pub stores: Stores,
    pub orchestras: Shared<Orchestra>,
    pub classes: Shared<OrchestraClass>,
    pub databases: Shared<OrchestraDatabase>,
    pub pools: Shared<OrchestraPool>,
    pub secrets: Shared<PartialObjectMeta<Secret>>,
    pub connections: Shared<PartialObjectMeta<Secret>>,
    pub config_maps: Shared<PartialObjectMeta<ConfigMap>>,
    pub namespaces: Shared<PartialObjectMeta<Namespace>>,
    /// Ends the watches when it is dropped.
    _tasks: JoinSet<()>,
}

/// Starts to watch.
pub fn start(client: &Client, namespace: &str) -> Watched {
    let mut tasks = JoinSet::new();
    let all = || watcher::Config::default().page_size(PAGE);
    let connection_secrets = format!("{}={},{ORCHESTRA_LABEL}", MANAGED_BY.0, MANAGED_BY.1);
    let own = EVERYWHERE.map(|name| format!("metadata.name!={name}")).join(",");

    let orchestras = share(Api::all(client.clone()), all(), trim::whole, &mut tasks);
    let classes = share(Api::all(client.clone()), all(), trim::whole, &mut tasks);
    let databases = share(Api::all(client.clone()), all(), trim::whole, &mut tasks);
    let pools = share(Api::all(client.clone()), all(), trim::whole, &mut tasks);
    let secrets = share(
        Api::namespaced(client.clone(), namespace),
        all(),
        trim::metadata,
        &mut tasks,
    );
    let connections = share(
        Api::all(client.clone()),
        all().labels(&connection_secrets),
        trim::metadata,
        &mut tasks,
    );
    let config_maps = share(Api::all(client.clone()), all().fields(&own), trim::metadata, &mut tasks);
    let namespaces = share(Api::all(client.clone()), all(), trim::metadata, &mut tasks);
    let stores = Stores {
        orchestras: orchestras.latest(),
        classes: classes.latest(),
        databases: databases.latest(),
        pools: pools.latest(),
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
        let stores = &self.stores;
        // Waiting fails only when a store's writer is dropped. The tasks own the writers and live as long as this.
        let _ = tokio::join!(
            stores.orchestras.wait_until_ready(),
            stores.classes.wait_until_ready(),
            stores.databases.wait_until_ready(),
            stores.pools.wait_until_ready(),
            stores.secrets.wait_until_ready(),
            stores.connections.wait_until_ready(),
            stores.config_maps.wait_until_ready(),
            stores.namespaces.wait_until_ready(),
        );
    }
}
