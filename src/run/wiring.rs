//! The contexts of all rooms, from the lowest to the highest.

use std::sync::Arc;

use anyhow::Context as _;
use kube::runtime::reflector::ObjectRef;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;

use crate::api::{Orchestra, OrchestraPool};
use crate::controller::background::Works;
use crate::controller::{Core, Stores};
use crate::rollout::Turns;
use crate::source::Sources;
use crate::supabase::marker::{CLUSTER_NAMESPACE, Cluster};
use crate::supabase::{self, Accounts};
use crate::{class, content, credentials, database, orchestra, pool, rollout};

/// How background work wakes objects, and is told to stop.
pub struct Wakers {
    /// Orchestras whose work ended, or whose turn to migrate has come.
    pub ended: UnboundedSender<ObjectRef<Orchestra>>,
    /// Pools of which a database was prepared.
    pub prepared: UnboundedSender<ObjectRef<OrchestraPool>>,
    /// Becomes true when the operator is told to stop.
    pub stop: watch::Receiver<bool>,
}

/// The context of the orchestra room, which holds those of all rooms below it.
///
/// # Errors
/// When the namespace is missing whose UID identifies the cluster.
pub fn orchestra(
    core: Arc<Core>,
    provider: Arc<supabase::Settings>,
    wakers: Wakers,
) -> anyhow::Result<Arc<orchestra::Context>> {
    let settings = &core.settings;
    let credentials = Arc::new(credentials::Context {
        core: core.clone(),
        servers: credentials::servers::Servers::default(),
    });
    let content = Arc::new(content::Context {
        core: core.clone(),
        sources: Sources::new(
            core.client.clone(),
            core.stores.config_maps.clone(),
            settings.sources_folder.clone(),
            settings.oci_hosts.clone(),
            settings.resync,
        ),
        scripts: content::Scripts::new(settings.resync),
    });
    let rollout = Arc::new(rollout::Context {
        core: core.clone(),
        credentials: credentials.clone(),
        turns: Arc::new(Turns::new(settings.migrations_per_server.into(), wakers.ended.clone())),
    });
    let class = Arc::new(class::Context {
        core: core.clone(),
        content: content.clone(),
        rollout: rollout.clone(),
        accounts: Accounts::new(provider, core.metrics.clone()).with_poll_interval(settings.poll_interval),
        tokens: class::Tokens::default(),
        cluster: cluster(&core.stores)?,
        orphans: class::Orphans::default(),
        budgets: class::Budgets::default(),
    });
    let database = Arc::new(database::Context {
        core: core.clone(),
        class: class.clone(),
        logins: Arc::default(),
    });
    let pool = Arc::new(pool::Context {
        core: core.clone(),
        class: class.clone(),
        content: content.clone(),
        credentials: credentials.clone(),
        rollout: rollout.clone(),
        choices: Arc::default(),
        preparations: Works::new(wakers.prepared, wakers.stop.clone()),
    });
    let works = Works::new(wakers.ended, wakers.stop);
    Ok(Arc::new(orchestra::Context {
        core,
        content,
        credentials,
        rollout,
        class,
        database,
        pool,
        works,
    }))
}

/// The identity of this cluster in the names of its projects.
fn cluster(stores: &Stores) -> anyhow::Result<Cluster> {
    let namespace = stores.namespaces.get(&ObjectRef::new(CLUSTER_NAMESPACE));
    namespace
        .and_then(|namespace| Cluster::of(namespace.metadata.uid.as_deref()?))
        .with_context(|| format!("namespace {CLUSTER_NAMESPACE} does not exist; its UID identifies the cluster"))
}
