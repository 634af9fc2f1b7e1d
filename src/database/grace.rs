//! The grace period: how long a released project that is to be destroyed can be taken back.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::Pass;
use super::plan::Grace;
use crate::api::{DeletionPolicy, GoDuration, OrchestraClass};
use crate::class;
use crate::controller::clock::{self, Moment};
use crate::controller::error::Error;

/// Whether the grace period of a database is over, and else how long it goes on.
pub async fn look(pass: &Pass, class: &OrchestraClass) -> Result<(Grace, Option<Duration>), Error> {
    let spec = &pass.object.spec;
    let deleting = pass.object.metadata.deletion_timestamp.is_some();
    if deleting || spec.released_at.is_none() || spec.reclaim_policy == DeletionPolicy::Retain {
        return Ok((Grace::None, None));
    }
    let period = class.spec.deletion.grace_period;
    let Some(due) = &spec.reclaim_after else {
        return Ok((period.map_or(Grace::None, |_| Grace::Unset), None));
    };
    let period = period.map(GoDuration::as_std).unwrap_or_default();
    let ctx = &pass.ctx;
    Ok(
        match ctx
            .core
            .clock
            .has_come(&ctx.core.client, pass.name(), due.0, period)
            .await?
        {
            Moment::Come => (Grace::Over, None),
            Moment::In(wait) => (Grace::Running, Some(wait)),
        },
    )
}

/// Sets the time at which the project is destroyed, by the API server's clock.
pub async fn schedule(pass: &mut Pass) -> Result<(), Error> {
    let class = class::resolve(&pass.ctx.class, pass.object.spec.class_name.as_deref())?;
    let period = class.spec.deletion.grace_period.map(GoDuration::as_std);
    let due = clock::after(clock::now(&pass.ctx.core.client).await?, period.unwrap_or_default());
    let patch = json!({
        "metadata": {"resourceVersion": pass.object.resource_version()},
        "spec": {"reclaimAfter": Time(due)},
    });
    let written = pass
        .api()
        .patch(pass.name(), &PatchParams::default(), &Patch::Merge(patch))
        .await?;
    pass.ctx.core.stores.databases.wrote(&written);
    pass.object = written;
    Ok(())
}

/// What is told of a released database that is to be destroyed: until when, and how it is taken back. None of one that
/// has no such time.
pub fn told(pass: &Pass) -> Option<String> {
    let spec = &pass.object.spec;
    let due = spec.reclaim_after.as_ref().filter(|_| spec.released_at.is_some())?;
    (spec.reclaim_policy == DeletionPolicy::Delete).then(|| {
        format!(
            "the claim is gone, and the project with its data is destroyed after {}. To take it back, create an Orchestra \
             with spec.source.existing.databaseName: {}",
            due.0,
            pass.name()
        )
    })
}
