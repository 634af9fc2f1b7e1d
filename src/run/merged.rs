//! Several watches of one kind as one: the namespaces, or the names, that an operator with few rights may watch.

use std::collections::HashSet;
use std::hash::Hash;

use futures::stream::{self, select_all};
use futures::{Stream, StreamExt};
use kube::Resource;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::{self, Event};
use tokio::sync::watch;

/// Merges watches whose objects differ. A store replaces everything at the end of a list, so that the list of one watch
/// would remove the objects of the others: therefore each list is passed on as single changes. `listed` becomes true
/// when every watch has been listed once.
pub fn merge<K>(
    watches: Vec<impl Stream<Item = watcher::Result<Event<K>>> + Send + 'static>,
    store: Store<K>,
    listed: watch::Sender<bool>,
) -> impl Stream<Item = watcher::Result<Event<K>>> + Send + 'static
where
    K: Resource<DynamicType = ()> + Clone + Send + Sync + 'static,
{
    let mut parts: Vec<MergedPart<ObjectRef<K>>> = watches.iter().map(|_| MergedPart::default()).collect();
    let all = watches
        .into_iter()
        .enumerate()
        .map(|(index, events)| events.map(move |event| (index, event)).boxed());
    let changes = select_all(all).flat_map(move |(index, event)| {
        let changes = match event {
            Ok(event) => parts[index]
                .changes(event, ObjectRef::from_obj, |key| {
                    store.get(key).map(|object| (*object).clone())
                })
                .into_iter()
                .map(Ok)
                .collect(),
            Err(error) => vec![Err(error)],
        };
        if parts.iter().all(|part| part.listed) {
            listed.send_replace(true);
        }
        stream::iter(changes)
    });
    stream::iter([Ok(Event::Init), Ok(Event::InitDone)]).chain(changes)
}

/// One of the watches.
struct MergedPart<Key> {
    /// Objects that the stream has shown and not deleted.
    known: HashSet<Key>,
    /// Objects that the current list has shown.
    listing: HashSet<Key>,
    /// It was listed once.
    listed: bool,
}

impl<Key> Default for MergedPart<Key> {
    fn default() -> Self {
        Self {
            known: HashSet::new(),
            listing: HashSet::new(),
            listed: false,
        }
    }
}

impl<Key: Clone + Eq + Hash> MergedPart<Key> {
    /// An event as changes of single objects.
    fn changes<K>(
        &mut self,
        event: Event<K>,
        key: impl Fn(&K) -> Key,
        stored: impl Fn(&Key) -> Option<K>,
    ) -> Vec<Event<K>> {
        match event {
            Event::Init => {
                self.listing.clear();
                Vec::new()
            }
            Event::InitApply(object) => {
                self.listing.insert(key(&object));
                self.known.insert(key(&object));
                vec![Event::Apply(object)]
            }
            Event::InitDone => {
                self.listed = true;
                let listing = std::mem::take(&mut self.listing);
                let before = std::mem::replace(&mut self.known, listing);
                let gone = before.difference(&self.known).filter_map(stored);
                gone.map(Event::Delete).collect()
            }
            Event::Apply(object) => {
                self.known.insert(key(&object));
                vec![Event::Apply(object)]
            }
            Event::Delete(object) => {
                self.known.remove(&key(&object));
                vec![Event::Delete(object)]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::runtime::{WatchStreamExt, reflector};
    use serde_json::json;
    use tokio::sync::mpsc::unbounded_channel;
    use tokio_stream::wrappers::UnboundedReceiverStream;

    use super::*;

    fn map(namespace: &str, name: &str) -> ConfigMap {
        serde_json::from_value(json!({"metadata": {"namespace": namespace, "name": name}})).unwrap()
    }

    fn names(store: &Store<ConfigMap>) -> Vec<String> {
        let all = store.state();
        let mut names: Vec<_> = all
            .iter()
            .map(|map| {
                let meta = map.meta();
                format!(
                    "{}/{}",
                    meta.namespace.as_deref().unwrap(),
                    meta.name.as_deref().unwrap()
                )
            })
            .collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn a_list_of_one_namespace_leaves_the_others_alone() {
        let (a, of_a) = unbounded_channel();
        let (b, of_b) = unbounded_channel();
        let (store, writer) = reflector::store();
        let (listed, is_listed) = watch::channel(false);
        let watches = [of_a, of_b].map(UnboundedReceiverStream::new).into();
        let mut merged = merge(watches, store.clone(), listed).reflect(writer).boxed();
        let mut pass = async |events: Vec<(&tokio::sync::mpsc::UnboundedSender<_>, Event<ConfigMap>)>, changes| {
            for (to, event) in events {
                to.send(Ok(event)).unwrap();
            }
            for _ in 0..changes {
                merged.next().await.unwrap().unwrap();
            }
            // An event without a change of its own is passed on with the next one, or now.
            let _ = futures::poll!(merged.next());
        };
        pass(
            vec![
                (&a, Event::Init),
                (&a, Event::InitApply(map("a", "one"))),
                (&a, Event::InitApply(map("a", "two"))),
                (&a, Event::InitDone),
            ],
            4,
        )
        .await;
        assert_eq!(
            (names(&store), *is_listed.borrow()),
            (vec!["a/one".into(), "a/two".into()], false)
        );
        pass(
            vec![
                (&b, Event::Init),
                (&b, Event::InitApply(map("b", "one"))),
                (&b, Event::InitDone),
            ],
            1,
        )
        .await;
        assert_eq!(names(&store), ["a/one", "a/two", "b/one"]);
        assert!(*is_listed.borrow());
        // A list after an interruption tells what was deleted meanwhile, in its namespace alone.
        pass(
            vec![
                (&a, Event::Init),
                (&a, Event::InitApply(map("a", "two"))),
                (&a, Event::InitApply(map("a", "three"))),
                (&a, Event::InitDone),
                (&b, Event::Apply(map("b", "two"))),
                (&b, Event::Delete(map("b", "one"))),
            ],
            5,
        )
        .await;
        assert_eq!(names(&store), ["a/three", "a/two", "b/two"]);
    }
}
