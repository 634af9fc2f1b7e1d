//! Our own latest writes. A watch lags behind the API server, so a store may be older than the last write of
//! this process. [`Latest`] lays what each write returned over the store until the watch has caught up.
//!
//! "Caught up" is decided by `resourceVersion`. Kubernetes documents since 1.35 that the versions of two
//! objects of the same resource can be compared, as decimal numbers of any length (KEP-5504, and
//! `CompareResourceVersion` of apimachinery). The API server has always made them so; where one is not a
//! decimal number after all, only equality is trusted.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::api::Api;
use kube::core::{PartialObjectMeta, PartialObjectMetaExt};
use kube::runtime::reflector::store::WriterDropped;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Client, Resource};
use parking_lot::Mutex;

use super::Stores;

/// How long a write is remembered if it cannot be seen whether the watch has caught up with it: of an object that the store
/// never had (the watch may not select it), or with a version that cannot be compared.
const UNSEEN: Duration = Duration::from_mins(1);

/// A kind whose own writes are remembered.
pub trait Remembered: Resource<DynamicType = ()> + Clone + 'static {
    /// The store of this kind.
    fn latest(stores: &Stores) -> &Latest<Self>;

    /// The API for this object.
    fn api(&self, client: &Client) -> Api<Self>;
}

/// A store, and what our own writes returned that the store does not show yet.
pub struct Latest<K: Resource<DynamicType = ()> + Clone + 'static> {
    store: Store<K>,
    written: Arc<Mutex<Written<K>>>,
    deleted: Arc<Mutex<Deleted>>,
}

/// UIDs of objects whose deletion the watch has shown lately. The response of a write may arrive after it.
type Deleted = HashMap<String, Instant>;

type Written<K> = HashMap<ObjectRef<K>, Write<K>>;

/// A write that the store does not show: its object, and what it returned, or none for a deletion.
type Unshown<K> = (ObjectRef<K>, Option<Arc<K>>);

/// The last write of one object.
struct Write<K> {
    /// The object that the write returned; none for a deletion.
    object: Option<Arc<K>>,
    /// Identity of the object.
    uid: Option<String>,
    /// Whether the store had the object at or after the write.
    shown: bool,
    at: Instant,
}

impl<K: Resource<DynamicType = ()> + Clone + 'static> Clone for Latest<K> {
    fn clone(&self) -> Self {
        Self {
            store: self.store.clone(),
            written: self.written.clone(),
            deleted: self.deleted.clone(),
        }
    }
}

impl<K: Resource<DynamicType = ()> + Clone + 'static> Latest<K> {
    /// An overlay without writes.
    pub fn new(store: Store<K>) -> Self {
        Self {
            store,
            written: Arc::default(),
            deleted: Arc::default(),
        }
    }

    /// The store as the watch fills it, for code that needs a plain store.
    pub fn store(&self) -> &Store<K> {
        &self.store
    }

    /// Waits until the watch has filled the store once.
    ///
    /// # Errors
    /// When the watch has ended before.
    pub async fn wait_until_ready(&self) -> Result<(), WriterDropped> {
        self.store.wait_until_ready().await
    }

    /// One object. The namespace of the key is ignored for cluster-scoped kinds.
    pub fn get(&self, key: &ObjectRef<K>) -> Option<Arc<K>> {
        let mut written = self.written.lock();
        if let Some(write) = lookup(&mut written, key) {
            let stored = self.store.get(key);
            if write.is_settled(stored.as_deref(), Instant::now()) {
                return stored;
            }
            return write.object.clone();
        }
        drop(written);
        self.store.get(key)
    }

    /// All objects.
    pub fn state(&self) -> Vec<Arc<K>> {
        match self.unshown() {
            None => self.store.state(),
            Some(_) => self.state_filter(|_| true),
        }
    }

    /// The objects for which `predicate` holds.
    pub fn state_filter(&self, predicate: impl Fn(&K) -> bool) -> Vec<Arc<K>> {
        let Some(unshown) = self.unshown() else {
            return self.store.state_filter(predicate);
        };
        let names: HashSet<_> = unshown.iter().map(|(key, _)| name(key)).collect();
        let mut found = self
            .store
            .state_filter(|object| !names.contains(&name_of(object)) && predicate(object));
        let own = unshown.iter().filter_map(|(_, object)| object.clone());
        found.extend(own.filter(|object| predicate(object)));
        found
    }

    /// An object for which `predicate` holds.
    pub fn find(&self, predicate: impl Fn(&K) -> bool) -> Option<Arc<K>> {
        let Some(unshown) = self.unshown() else {
            return self.store.find(predicate);
        };
        let own = unshown.iter().filter_map(|(_, object)| object.as_ref());
        if let Some(found) = own.into_iter().find(|object| predicate(object)) {
            return Some(found.clone());
        }
        let names: HashSet<_> = unshown.iter().map(|(key, _)| name(key)).collect();
        self.store
            .find(|object| !names.contains(&name_of(object)) && predicate(object))
    }

    /// Remembers what a write returned. An object whose deletion was asked for and that has no finalizer
    /// left is gone: its last write was its deletion.
    pub fn wrote(&self, object: &K) {
        self.wrote_at(object, Instant::now());
    }

    fn wrote_at(&self, object: &K, now: Instant) {
        let meta = object.meta();
        let finalizers = meta.finalizers.as_deref().unwrap_or_default();
        let gone = meta.deletion_timestamp.is_some() && finalizers.is_empty();
        let write = Write {
            object: (!gone).then(|| Arc::new(object.clone())),
            uid: meta.uid.clone(),
            shown: false,
            at: now,
        };
        let mut written = self.written.lock();
        let key = ObjectRef::from_obj(object);
        let is_older = written.get(&key).is_some_and(|last| is_outdated(&write, last));
        let is_deleted = meta
            .uid
            .as_ref()
            .is_some_and(|uid| self.deleted.lock().contains_key(uid));
        if !is_older && !is_deleted {
            written.insert(key, write);
        }
        // Also drops this write when the watch was faster than the response.
        settle(&self.store, &mut written, now);
    }

    /// Remembers our own deletion of an object that had no finalizer. The deletion of one with finalizers only starts: what
    /// it returned is passed to [`Self::wrote`].
    pub fn removed(&self, key: &ObjectRef<K>) {
        self.removed_at(key, Instant::now());
    }

    fn removed_at(&self, key: &ObjectRef<K>, now: Instant) {
        let mut written = self.written.lock();
        settle(&self.store, &mut written, now);
        let own = lookup(&mut written, key).map(|write| write.object.clone());
        let Some(object) = own.unwrap_or_else(|| self.store.get(key)) else {
            return;
        };
        let write = Write {
            object: None,
            uid: object.meta().uid.clone(),
            shown: false,
            at: now,
        };
        written.insert(ObjectRef::from_obj(&*object), write);
        settle(&self.store, &mut written, now);
    }

    /// The watch has shown the deletion of an object: our own writes of it no longer count. Without this a write
    /// would count for a minute when the store showed it only between two looks at it.
    pub fn watch_deleted(&self, object: &K) {
        self.watch_deleted_at(object, Instant::now());
    }

    fn watch_deleted_at(&self, object: &K, now: Instant) {
        let Some(uid) = object.meta().uid.clone() else {
            return;
        };
        let mut deleted = self.deleted.lock();
        deleted.retain(|_, at| now.saturating_duration_since(*at) < UNSEEN);
        deleted.insert(uid.clone(), now);
        drop(deleted);
        let mut written = self.written.lock();
        let key = ObjectRef::from_obj(object);
        if written.get(&key).is_some_and(|write| write.uid.as_ref() == Some(&uid)) {
            written.remove(&key);
        }
    }

    /// The writes that the store does not show yet; none when it shows all.
    fn unshown(&self) -> Option<Vec<Unshown<K>>> {
        let mut written = self.written.lock();
        if !written.is_empty() {
            settle(&self.store, &mut written, Instant::now());
        }
        if written.is_empty() {
            return None;
        }
        let unshown = written.iter().map(|(key, write)| (key.clone(), write.object.clone()));
        Some(unshown.collect())
    }
}

impl<K> Latest<PartialObjectMeta<K>>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    /// Remembers the metadata of what a write returned.
    pub fn wrote_whole(&self, object: &K) {
        self.wrote(&object.meta().clone().into_response_partial());
    }
}

/// Drops the writes that the watch has caught up with.
fn settle<K: Resource<DynamicType = ()> + Clone + 'static>(store: &Store<K>, written: &mut Written<K>, now: Instant) {
    written.retain(|key, write| !write.is_settled(store.get(key).as_deref(), now));
    // Memory of a burst is freed.
    if written.is_empty() && written.capacity() > 64 {
        written.shrink_to_fit();
    }
}

impl<K: Resource> Write<K> {
    /// Whether what the store shows now is as new as this write.
    fn is_settled(&mut self, stored: Option<&K>, now: Instant) -> bool {
        let unseen_for_long = now.saturating_duration_since(self.at) >= UNSEEN;
        let Some(stored) = stored else {
            // It existed and no longer does: somebody has deleted it.
            return self.shown || unseen_for_long;
        };
        let is_same = stored.meta().uid == self.uid;
        self.shown |= is_same;
        match (&self.object, is_same) {
            // Another object of this name can only have been made after the deletion of ours.
            (None, false) => true,
            (None, true) => unseen_for_long,
            (Some(object), _) => match compare(version(stored), version(&**object)) {
                Some(order) => order.is_ge(),
                None => unseen_for_long,
            },
        }
    }
}

/// Whether `new` is older than the `last` write of that name: two responses may arrive in another order
/// than the writes were made in.
fn is_outdated<K: Resource>(new: &Write<K>, last: &Write<K>) -> bool {
    match (&new.object, &last.object) {
        (Some(_), None) => new.uid == last.uid,
        (Some(new), Some(last)) => compare(version(&**new), version(&**last)).is_some_and(Ordering::is_lt),
        (None, _) => false,
    }
}

fn version<K: Resource>(object: &K) -> &str {
    object.meta().resource_version.as_deref().unwrap_or_default()
}

/// Whether `one` is certainly newer than `other`, of the same object.
pub(super) fn is_newer<K: Resource>(one: &K, other: &K) -> bool {
    compare(version(one), version(other)).is_some_and(Ordering::is_gt)
}

/// The order of two versions of objects of the same kind; none when they differ and one is not a positive
/// decimal number.
fn compare(one: &str, other: &str) -> Option<Ordering> {
    if one == other {
        return Some(Ordering::Equal);
    }
    let is_number = |text: &str| {
        !text.is_empty() && !text.starts_with('0') && text.bytes().all(|character| character.is_ascii_digit())
    };
    let both = is_number(one) && is_number(other);
    both.then(|| (one.len(), one).cmp(&(other.len(), other)))
}

/// The last write of the object of this key, whose namespace counts for namespaced kinds only, as in a
/// [`Store`].
fn lookup<'a, K>(written: &'a mut Written<K>, key: &ObjectRef<K>) -> Option<&'a mut Write<K>>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    if written.is_empty() {
        return None;
    }
    if key.namespace.is_none() || written.contains_key(key) {
        return written.get_mut(key);
    }
    let mut key = key.clone();
    key.namespace = None;
    written.get_mut(&key)
}

fn name<K: Resource<DynamicType = ()>>(key: &ObjectRef<K>) -> (Option<&str>, &str) {
    (key.namespace.as_deref(), &key.name)
}

fn name_of<K: Resource>(object: &K) -> (Option<&str>, &str) {
    let meta = object.meta();
    (meta.namespace.as_deref(), meta.name.as_deref().unwrap_or_default())
}

#[cfg(test)]
mod tests;
