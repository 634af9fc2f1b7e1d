//! A watch that several controllers share, and the store that it fills.

use std::collections::HashMap;
use std::fmt::Debug;
use std::future::{poll_fn, ready};
use std::sync::Arc;
use std::task::Poll;

use futures::{Stream, StreamExt, stream};
use kube::Resource;
use kube::api::Api;
use kube::runtime::reflector::{self, ReflectHandle, Store};
use kube::runtime::{WatchStreamExt, watcher};
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;
use tokio_stream::wrappers::BroadcastStream;

use super::changes::user_changes;
use super::merged::merge;
use crate::api::slim::{self, Slim};
use crate::controller::latest::Latest;

/// Changes that wait for a slow controller before the watch itself waits.
const BUFFER: usize = 1024;

/// A way to watch objects of a kind: all of them, those of a namespace, or one by its name.
pub type WatchPart<K> = (Api<Slim<K>>, watcher::Config);

/// A shared watch. Its changes are always read, also on a standby, which runs no controllers.
pub struct SharedWatch<K: Resource<DynamicType = ()> + Clone + 'static> {
    changes: Arc<Mutex<ReflectHandle<K>>>,
    deletions: broadcast::Sender<Arc<K>>,
    latest: Latest<K>,
    listed: watch::Receiver<bool>,
}

impl<K: Resource<DynamicType = ()> + Clone + Send + Sync + 'static> SharedWatch<K> {
    /// Waits until the store holds all objects.
    pub async fn listed(&self) {
        // Waiting fails only when the watch has ended: then the process ends as well.
        let _ = self.latest.wait_until_ready().await;
        let _ = self.listed.clone().wait_for(|listed| *listed).await;
    }

    /// Objects that are created or changed from now on. Objects that are in the store already are not repeated.
    pub fn changes(&self) -> ReflectHandle<K> {
        self.changes.lock().clone()
    }

    /// Objects that are created, changed or deleted from now on.
    pub fn events(&self) -> impl Stream<Item = Arc<K>> + Send + 'static {
        stream::select(self.changes(), self.deletions())
    }

    /// Objects that a user changes. Status writes are ignored, or a controller would retrigger itself after
    /// every failure, whatever its backoff says.
    pub fn user_changes(&self) -> impl Stream<Item = Arc<K>> + Send + 'static {
        self.changed(user_changes)
    }

    /// Objects whose hash changes, and deletions.
    pub fn changes_of(&self, hash: impl Fn(&K) -> u64 + Send + 'static) -> impl Stream<Item = Arc<K>> + Send + 'static {
        stream::select(self.changed(hash), self.deletions())
    }

    /// The store that the watch fills.
    pub fn store(&self) -> Store<K> {
        self.changes.lock().reader()
    }

    /// The store with our own latest writes laid over it.
    pub fn latest(&self) -> Latest<K> {
        self.latest.clone()
    }

    /// Deleted objects, which a shared store does not pass on by itself. When too many are deleted at once for
    /// the channel, the resync covers the rest.
    pub fn deletions(&self) -> impl Stream<Item = Arc<K>> + Send + 'static {
        BroadcastStream::new(self.deletions.subscribe()).filter_map(|deleted| ready(deleted.ok()))
    }

    /// Objects whose hash changes.
    pub fn changed(&self, hash: impl Fn(&K) -> u64 + Send + 'static) -> impl Stream<Item = Arc<K>> + Send + 'static {
        let (store, mut seen) = (self.store(), HashMap::new());
        self.changes().filter(move |object| {
            let now = hash(object);
            // Deleted objects are not removed one by one. An object that is forgotten here is passed on once more.
            if seen.len() > 1000 + 2 * store.len() {
                seen.clear();
            }
            let uid = object.meta().uid.clone().unwrap_or_default();
            ready(seen.insert(uid, now) != Some(now))
        })
    }
}

/// Starts a watch that consists of these parts, which have no object in common. `trim` removes the unused fields from each
/// object before it enters the store.
pub fn share<K>(
    parts: Vec<WatchPart<K>>,
    trim: impl FnMut(&mut K) + Send + 'static,
    tasks: &mut JoinSet<()>,
) -> SharedWatch<K>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    let (_, writer) = reflector::store_shared(BUFFER);
    let Some(handle) = writer.subscribe() else {
        unreachable!("a shared store can be subscribed to")
    };
    let (deletions, _) = broadcast::channel(BUFFER);
    let latest = Latest::new(handle.reader());
    let single = parts.len() == 1;
    let (all_listed, listed) = watch::channel(single);
    let mut watches: Vec<_> = parts
        .into_iter()
        .map(|(api, config)| {
            let events = watcher(api, config).default_backoff();
            events.map(|event| event.map(slim::whole)).boxed()
        })
        .collect();
    let events = match watches.pop() {
        Some(only) if single => only,
        last => {
            watches.extend(last);
            merge(watches, handle.reader(), all_listed).boxed()
        }
    };
    let stream = events.modify(trim).reflect_shared(writer);
    tasks.spawn({
        let (deletions, latest) = (deletions.clone(), latest.clone());
        stream.for_each(move |event| {
            match event {
                Ok(watcher::Event::Delete(object)) => {
                    // First, so that an object that is triggered by the deletion does not see it in the store.
                    latest.watch_deleted(&object);
                    // Sending fails when there is no receiver, as on a standby.
                    drop(deletions.send(Arc::new(object)));
                }
                Ok(_) => {}
                Err(error) => {
                    let error = interruption(&error);
                    tracing::warn!(kind = %K::kind(&()), error, "a watch was interrupted and is restarted");
                }
            }
            ready(())
        })
    });
    let changes = Arc::new(Mutex::new(handle));
    tasks.spawn({
        let changes = changes.clone();
        poll_fn(move |cx| {
            let mut handle = changes.lock();
            while std::task::ready!(handle.poll_next_unpin(cx)).is_some() {}
            Poll::Ready(())
        })
    });
    SharedWatch {
        changes,
        deletions,
        latest,
        listed,
    }
}

/// Why a watch was interrupted.
fn interruption(error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(cause) => format!("the list failed: {}", crate::error::kubernetes(cause)),
        watcher::Error::WatchStartFailed(cause) => {
            format!("the watch was refused: {}", crate::error::kubernetes(cause))
        }
        watcher::Error::WatchFailed(cause) => format!("the watch failed: {}", crate::error::kubernetes(cause)),
        watcher::Error::WatchError(status) => {
            let cause = kube::Error::Api(status.clone());
            format!("the watch ended: {}", crate::error::kubernetes(&cause))
        }
        watcher::Error::NoResourceVersion => error.to_string(),
    }
}
