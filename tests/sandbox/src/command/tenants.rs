//! The Orchestras of a measurement: applied at once, and watched until all are Ready.

use std::collections::{HashMap, HashSet};
use std::pin::Pin;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use kube::Api;
use kube::api::{ApiResource, DynamicObject, PostParams};
use kube::core::GroupVersionKind;
use kube::runtime::{WatchStreamExt, watcher};
use orchestra_sandbox::world::{TENANTS, World, condition, is_true};
use serde_json::json;

/// Requests that apply Orchestras at the same time.
const AT_ONCE: usize = 16;

type Events = Pin<Box<dyn Stream<Item = watcher::Result<DynamicObject>> + Send>>;

/// Orchestras that were applied.
pub(crate) struct Tenants {
    applied: HashMap<String, Instant>,
    events: Events,
}

/// When each became Ready.
pub(crate) struct Ready {
    began: Instant,
    /// In the order in which they were applied: when it was applied, and when it was Ready.
    pub(crate) tenants: Vec<(Instant, Instant)>,
    /// How many were in phase Queued.
    pub(crate) queued: usize,
    /// How many were ever Stalled.
    pub(crate) stalled: usize,
}

impl Ready {
    /// From the first that was applied to the last that is Ready.
    pub(crate) fn took(&self) -> Duration {
        let last = self.tenants.iter().map(|(_, ready)| *ready).max();
        last.map_or(Duration::ZERO, |last| last - self.began)
    }
}

impl Tenants {
    /// Creates so many Orchestras with an empty spec, of the default class.
    ///
    /// # Errors
    /// When the API server refuses one.
    pub(crate) async fn apply(world: &World, count: usize) -> Result<Self> {
        let gvk = GroupVersionKind::gvk("stagesub.io", "v1alpha1", "Orchestra");
        let resource = ApiResource::from_gvk_with_plural(&gvk, "orchestras");
        let api: Api<DynamicObject> = Api::namespaced_with(world.admin.clone(), TENANTS, &resource);
        let events = watcher(api.clone(), watcher::Config::default())
            .default_backoff()
            .touched_objects()
            .boxed();
        let create = |n: usize| {
            let api = &api;
            let resource = &resource;
            async move {
                let name = format!("tenant-{n:04}");
                let object = DynamicObject::new(&name, resource).data(json!({"spec": {}}));
                api.create(&PostParams::default(), &object).await?;
                Ok::<_, kube::Error>((name, Instant::now()))
            }
        };
        let applied = stream::iter((0..count).map(create))
            .buffered(AT_ONCE)
            .try_collect()
            .await
            .context("apply Orchestras")?;
        Ok(Self { applied, events })
    }

    /// Waits until all are Ready.
    ///
    /// # Errors
    /// When they are not in this time.
    pub(crate) async fn until_ready(mut self, began: Instant, limit: Duration) -> Result<Ready> {
        let (mut ready, mut queued, mut stalled) = (HashMap::new(), HashSet::new(), HashSet::new());
        let mut shown = Instant::now();
        while ready.len() < self.applied.len() {
            let left = limit.saturating_sub(began.elapsed());
            let Ok(event) = tokio::time::timeout(left, self.events.next()).await else {
                bail!("{} of {} are Ready after {limit:?}", ready.len(), self.applied.len());
            };
            // An interrupted watch starts again by itself.
            let Some(Ok(object)) = event else { continue };
            let name = object.metadata.name.clone().unwrap_or_default();
            let object = serde_json::to_value(object)?;
            if is_true(&object, "Ready") {
                ready.entry(name).or_insert_with(Instant::now);
            } else if is_true(&object, "Stalled") {
                let (_, reason, message) = condition(&object, "Stalled");
                eprintln!("{name} is Stalled: {reason}: {message}");
                stalled.insert(name);
            } else if object["status"]["phase"] == "Queued" {
                queued.insert(name);
            }
            if shown.elapsed() > Duration::from_secs(10) {
                shown = Instant::now();
                eprintln!("{:.0?}: {} Ready", began.elapsed(), ready.len());
            }
        }
        let mut tenants: Vec<_> = self
            .applied
            .iter()
            .map(|(name, applied)| (*applied, ready[name]))
            .collect();
        tenants.sort();
        Ok(Ready {
            began,
            tenants,
            queued: queued.len(),
            stalled: stalled.len(),
        })
    }
}
