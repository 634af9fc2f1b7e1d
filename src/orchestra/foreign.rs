//! Secrets that are not the operator's, and that an Orchestra waits for: one that has the name of its connection
//! Secret, or the login of a registry. A Secret is watched, by its name, only while an Orchestra waits for it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::{self, Event, watcher};
use parking_lot::Mutex;
use tracing::Instrument as _;

use super::Pass;
use crate::api::condition::Reason;
use crate::controller::backoff::SLOWEST;

/// The most Secrets that are watched at once; an Orchestra that waits for a further one is reconciled again at the interval
/// of its error.
const MOST: usize = 200;

/// How long one is watched. By then the interval of the error has triggered the Orchestra.
const LONGEST: Duration = SLOWEST.saturating_mul(2);

/// The Secrets that are watched now: UID of the Orchestra, and name.
#[derive(Default)]
pub struct Awaited(Arc<Mutex<HashSet<(String, String)>>>);

/// The change of the Secret that triggers the Orchestra.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    /// The Secret does not exist, or is another one.
    Free,
    /// The Secret is written or deleted.
    Changed,
}

/// Watches the Secrets that an Orchestra with this problem waits for, if it waits for any.
pub fn watch(pass: &Pass, reason: Reason) {
    match reason {
        Reason::SecretConflict => begin(pass, pass.secret_name(), Until::Free),
        Reason::SourceDenied => {
            let spec = &pass.object.spec;
            let migrations = spec.migrations.as_ref().and_then(|own| own.source.as_ref());
            let sources = migrations
                .into_iter()
                .chain(spec.seed.as_ref().map(|seed| &seed.source));
            for source in sources {
                let login = source.oci.as_ref().and_then(|oci| oci.pull_secret_ref.as_ref());
                if let Some(secret) = login {
                    begin(pass, secret.name.clone(), Until::Changed);
                }
            }
        }
        _ => {}
    }
}

fn begin(pass: &Pass, name: String, until: Until) {
    let key = (pass.uid().to_owned(), name.clone());
    let awaited = pass.ctx.foreign.0.clone();
    {
        let mut known = awaited.lock();
        if known.len() >= MOST || !known.insert(key.clone()) {
            return;
        }
    }
    let api: Api<PartialObjectMeta<Secret>> = Api::namespaced(pass.ctx.core.client.clone(), pass.namespace());
    let orchestra = ObjectRef::new(pass.name()).within(pass.namespace());
    let turns = pass.ctx.rollout.turns.clone();
    let watch = async move {
        let changed = tokio::time::timeout(LONGEST, wait(api, &name, until)).await;
        awaited.lock().remove(&key);
        if changed.is_ok() {
            turns.wake([orchestra]);
        }
    };
    tokio::spawn(watch.in_current_span());
}

async fn wait(api: Api<PartialObjectMeta<Secret>>, name: &str, until: Until) {
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut events = watcher(api, config).default_backoff().boxed();
    let mut seen = WatchedSecret::default();
    while let Some(event) = events.next().await {
        // An error comes from the API server; the watch starts again.
        if event.is_ok_and(|event| seen.is_over(event, until)) {
            return;
        }
    }
}

/// The state of one Secret, as its watch has shown it.
#[derive(Default)]
struct WatchedSecret {
    /// UID and version, as the first list or the last event had them.
    last: Option<(String, String)>,
    /// UID and version in the list that is being read.
    listed: Option<(String, String)>,
    /// A list has ended before.
    known: bool,
}

impl WatchedSecret {
    fn is_over(&mut self, event: Event<PartialObjectMeta<Secret>>, until: Until) -> bool {
        let now = match event {
            Event::Init => {
                self.listed = None;
                return false;
            }
            Event::InitApply(secret) => {
                self.listed = Some(identity(&secret));
                return false;
            }
            Event::InitDone => self.listed.take(),
            Event::Apply(secret) => Some(identity(&secret)),
            Event::Delete(_) => None,
        };
        let (before, first) = (self.last.clone(), !std::mem::replace(&mut self.known, true));
        self.last.clone_from(&now);
        match until {
            Until::Free => now.is_none() || !first && uid(now.as_ref()) != uid(before.as_ref()),
            Until::Changed => !first && now != before,
        }
    }
}

fn uid(one: Option<&(String, String)>) -> Option<&String> {
    one.map(|(uid, _)| uid)
}

fn identity(secret: &PartialObjectMeta<Secret>) -> (String, String) {
    let meta = &secret.metadata;
    (
        meta.uid.clone().unwrap_or_default(),
        meta.resource_version.clone().unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(uid: &str, version: &str) -> PartialObjectMeta<Secret> {
        let mut secret = PartialObjectMeta::<Secret>::default();
        secret.metadata.uid = Some(uid.into());
        secret.metadata.resource_version = Some(version.into());
        secret
    }

    #[test]
    fn a_name_is_free_when_its_secret_is_not_there() {
        let list = |seen: &mut WatchedSecret, found: Option<PartialObjectMeta<Secret>>, until| {
            assert!(!seen.is_over(Event::Init, until));
            if let Some(found) = found {
                assert!(!seen.is_over(Event::InitApply(found), until));
            }
            seen.is_over(Event::InitDone, until)
        };
        assert!(list(&mut WatchedSecret::default(), None, Until::Free));
        let mut seen = WatchedSecret::default();
        assert!(!list(&mut seen, Some(secret("a", "1")), Until::Free));
        assert!(!seen.is_over(Event::Apply(secret("a", "2")), Until::Free));
        assert!(seen.is_over(Event::Delete(secret("a", "3")), Until::Free));

        // A new list is compared with the state before it.
        let mut seen = WatchedSecret::default();
        assert!(!list(&mut seen, None, Until::Changed));
        assert!(!list(&mut seen, None, Until::Changed));
        assert!(list(&mut seen, Some(secret("a", "1")), Until::Changed));
        assert!(seen.is_over(Event::Apply(secret("a", "2")), Until::Changed));
    }
}
