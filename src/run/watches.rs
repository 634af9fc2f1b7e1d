//! One watch for each kind, shared by all controllers. A store changes before a controller is
//! triggered, so what a pass reads is never older than what woke it.

use std::collections::HashMap;
use std::fmt::Debug;
use std::future::poll_fn;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, ready};

use futures::{Stream, StreamExt, stream};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::api::Api;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::{self, ReflectHandle, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::task::JoinSet;

use crate::api::names::MANAGED_BY;
use crate::api::{Orchestra, OrchestraClass, OrchestraDatabase, OrchestraPool};
use crate::class;
use crate::controller::Stores;
use crate::controller::latest::Latest;

/// Changes that wait for a slow controller before the watch itself waits.
const BUFFER: usize = 1024;

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

/// A shared watch. It is read all the time, so that it never waits for controllers that a standby
/// does not run.
pub struct Shared<K: Resource<DynamicType = ()> + Clone + 'static> {
    changes: Arc<Mutex<ReflectHandle<K>>>,
    deletions: broadcast::Sender<Arc<K>>,
}

impl<K: Resource<DynamicType = ()> + Clone + Send + Sync + 'static> Shared<K> {
    /// What is there and changes from now on. What is in the store already is not told again.
    pub fn changes(&self) -> ReflectHandle<K> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The same, and what is deleted, which a shared store does not tell by itself.
    pub fn events(&self) -> impl Stream<Item = Arc<K>> + Send + 'static {
        stream::select(self.changes(), self.deletions())
    }

    fn deletions(&self) -> impl Stream<Item = Arc<K>> + Send + 'static {
        stream::unfold(self.deletions.subscribe(), async |mut deletions| {
            loop {
                match deletions.recv().await {
                    Ok(object) => return Some((object, deletions)),
                    // Too many at once: the resync looks at the rest.
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                }
            }
        })
    }

    /// Changes of what people write. What a controller writes into a status is no news to itself: it
    /// would come back at once after every failure, whatever its backoff says.
    pub fn wishes(&self) -> impl Stream<Item = Arc<K>> + Send + 'static {
        self.changed(wishes)
    }

    /// Changes of what this hash is made of, and deletions.
    pub fn news(&self, hash: impl Fn(&K) -> u64 + Send + 'static) -> impl Stream<Item = Arc<K>> + Send + 'static {
        stream::select(self.changed(hash), self.deletions())
    }

    fn changed(&self, hash: impl Fn(&K) -> u64 + Send + 'static) -> impl Stream<Item = Arc<K>> + Send + 'static {
        let (store, mut seen) = (self.store(), HashMap::new());
        self.changes().filter(move |object| {
            let now = hash(object);
            // What is gone is not taken out; whoever is forgotten here is looked at once more.
            if seen.len() > 1000 + 2 * store.len() {
                seen.clear();
            }
            let uid = object.meta().uid.clone().unwrap_or_default();
            std::future::ready(seen.insert(uid, now) != Some(now))
        })
    }

    fn store(&self) -> Store<K> {
        self.changes().reader()
    }
}

/// Begins to watch.
pub fn start(client: &Client, namespace: &str) -> Watched {
    let mut tasks = JoinSet::new();
    let all = watcher::Config::default;
    let ours = watcher::Config::default().labels(&format!("{}={}", MANAGED_BY.0, MANAGED_BY.1));
    let orchestras = share(Api::all(client.clone()), all(), &mut tasks);
    let classes = share(Api::all(client.clone()), all(), &mut tasks);
    let databases = share(Api::all(client.clone()), all(), &mut tasks);
    let pools = share(Api::all(client.clone()), all(), &mut tasks);
    let secrets = share(Api::namespaced(client.clone(), namespace), all(), &mut tasks);
    let connections = share(Api::all(client.clone()), ours, &mut tasks);
    let config_maps = share(Api::all(client.clone()), all(), &mut tasks);
    let namespaces = share(Api::all(client.clone()), all(), &mut tasks);
    let stores = Stores {
        orchestras: Latest::new(orchestras.store()),
        classes: Latest::new(classes.store()),
        databases: Latest::new(databases.store()),
        pools: Latest::new(pools.store()),
        secrets: Latest::new(secrets.store()),
        connections: Latest::new(connections.store()),
        config_maps: Latest::new(config_maps.store()),
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
        // A writer is dropped only with its task, and the tasks live as long as this.
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

/// A hash of what people write: everything but the status and our finalizer.
fn wishes<K: Resource>(object: &K) -> u64 {
    let mut hash = DefaultHasher::new();
    let meta = object.meta();
    (meta.generation, meta.deletion_timestamp.is_some()).hash(&mut hash);
    (&meta.labels, &meta.annotations).hash(&mut hash);
    hash.finish()
}

/// A hash of what other default classes say of a class: that it is one, and that it stays.
pub fn standing(class: &OrchestraClass) -> u64 {
    let mut hash = DefaultHasher::new();
    (class::is_default(class), class.metadata.deletion_timestamp.is_some()).hash(&mut hash);
    hash.finish()
}

/// A hash of what others wait for in a class: its spec and its conditions, not its count of tenants.
pub fn ability(class: &OrchestraClass) -> u64 {
    let mut hash = DefaultHasher::new();
    wishes(class).hash(&mut hash);
    for condition in class.status.iter().flat_map(|status| &status.conditions) {
        (&condition.type_, &condition.status, &condition.reason).hash(&mut hash);
    }
    hash.finish()
}

/// A hash of what a rollout goes by in an Orchestra.
pub fn advance(orchestra: &Orchestra) -> u64 {
    let mut hash = DefaultHasher::new();
    (wishes(orchestra), orchestra.status.is_some()).hash(&mut hash);
    if let Some(status) = &orchestra.status {
        (&status.class_name, status.secret_ref.is_some()).hash(&mut hash);
        if let Some(is) = &status.migrations {
            (&is.source, is.pending, is.failed).hash(&mut hash);
        }
        for condition in &status.conditions {
            (&condition.type_, &condition.status, &condition.reason).hash(&mut hash);
        }
    }
    hash.finish()
}

fn share<K>(api: Api<K>, config: watcher::Config, tasks: &mut JoinSet<()>) -> Shared<K>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    let (_, writer) = reflector::store_shared(BUFFER);
    let Some(handle) = writer.subscribe() else {
        unreachable!("a shared store can be subscribed to")
    };
    let (deletions, _) = broadcast::channel(BUFFER);
    let stream = watcher(api, config).default_backoff().reflect_shared(writer);
    tasks.spawn({
        let deletions = deletions.clone();
        stream.for_each(move |event| {
            match event {
                // An error means that nobody listens, as on a standby.
                Ok(watcher::Event::Delete(object)) => drop(deletions.send(Arc::new(object))),
                Ok(_) => {}
                Err(error) => tracing::warn!(kind = %K::kind(&()), %error, "a watch broke off; it is begun again"),
            }
            std::future::ready(())
        })
    });
    let changes = Arc::new(Mutex::new(handle));
    tasks.spawn({
        let changes = changes.clone();
        poll_fn(move |cx| {
            let mut handle = changes.lock().unwrap_or_else(PoisonError::into_inner);
            while ready!(handle.poll_next_unpin(cx)).is_some() {}
            Poll::Ready(())
        })
    });
    Shared { changes, deletions }
}
