//! An Orchestra's phases, as they pass.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures::{StreamExt, TryStreamExt};
use kube::Api;
use kube::api::{ApiResource, DynamicObject, WatchEvent, WatchParams};
use kube::core::GroupVersionKind;
use orchestra_sandbox::world::{TENANTS, World, condition};
use serde_json::Value;

use super::screen;

/// A tenant is ready within this time, or the demo fails.
const LIMIT: Duration = Duration::from_mins(1);

/// Prints each phase of an Orchestra with the time since it was applied, until it is Ready.
pub(super) async fn phases(world: &World, name: &str) -> Result<()> {
    match tokio::time::timeout(LIMIT, until_ready(world, name)).await {
        Ok(outcome) => outcome,
        Err(_) => bail!("Orchestra {name} is not Ready {LIMIT:?} after it was applied"),
    }
}

async fn until_ready(world: &World, name: &str) -> Result<()> {
    let began = Instant::now();
    let gvk = GroupVersionKind::gvk("stagesub.io", "v1alpha1", "Orchestra");
    let resource = ApiResource::from_gvk_with_plural(&gvk, "orchestras");
    let api: Api<DynamicObject> = Api::namespaced_with(world.admin.clone(), TENANTS, &resource);
    let only = WatchParams::default().fields(&format!("metadata.name={name}"));
    let mut events = api.watch(&only, "0").await?.boxed();
    let mut shown = String::new();
    while let Some(event) = events.try_next().await? {
        let (WatchEvent::Added(object) | WatchEvent::Modified(object)) = event else {
            continue;
        };
        let object = serde_json::to_value(object)?;
        let phase = object["status"]["phase"].as_str().unwrap_or_default();
        let (ready, _, message) = condition(&object, "Ready");
        if !phase.is_empty() && phase != shown {
            phase.clone_into(&mut shown);
            screen::say(&format!(
                "{:>5.1} s  {phase:<13} {message}",
                began.elapsed().as_secs_f32()
            ));
        }
        if ready == "True" {
            return Ok(());
        }
    }
    bail!("the watch ended")
}

/// Prints the conditions of an Orchestra.
pub(super) fn conditions(object: &Value) -> Result<()> {
    let conditions = object["status"]["conditions"].as_array().context("no conditions")?;
    let rows: Vec<_> = conditions
        .iter()
        .map(|condition| {
            ["type", "status", "reason", "message"]
                .map(|key| condition[key].as_str().unwrap_or_default().to_owned())
                .to_vec()
        })
        .collect();
    screen::table(&["TYPE", "STATUS", "REASON", "MESSAGE"], &rows);
    Ok(())
}
