//! What a pool says of itself: how many databases wait, how many are claimed, what was refused.

use std::sync::Arc;

use kube::Resource;
use kube::api::Api;
use kube::runtime::events::EventType;

use crate::api::condition::{ConditionType, Reason};
use crate::api::{OrchestraDatabase, OrchestraPool, OrchestraPoolStatus};
use crate::controller::Context;
use crate::controller::conditions::{Conditions, Progress, find};
use crate::controller::error::Error;
use crate::controller::write::{publish, write_status};

/// Writes the status after a pass. Refused entries do not keep the others from being claimed.
pub async fn write(
    ctx: &Context,
    pool: &OrchestraPool,
    desired: usize,
    members: &[OrchestraDatabase],
    refused: &[(String, Error)],
) -> Result<(), Error> {
    let count = |wanted: fn(&OrchestraDatabase) -> bool| {
        i32::try_from(members.iter().filter(|member| wanted(member)).count()).unwrap_or(i32::MAX)
    };
    let mut status = OrchestraPoolStatus {
        desired: i32::try_from(desired).unwrap_or(i32::MAX),
        available: count(OrchestraDatabase::is_unclaimed),
        bound: count(OrchestraDatabase::is_held),
        ..pool.status.clone().unwrap_or_default()
    };
    let message = match refused {
        [] => "every entry is usable".to_string(),
        _ => refused
            .iter()
            .map(|(key, error)| format!("{key}: {error}"))
            .collect::<Vec<_>>()
            .join("; "),
    };
    let reason = refused.first().map_or(Reason::Ready, |(_, error)| error.reason());
    let passing = refused.iter().all(|(_, error)| error.is_passing());
    let progress = match (refused.is_empty(), passing) {
        (true, _) => Progress::Settled,
        (false, true) => Progress::Reconciling,
        (false, false) => Progress::Stalled,
    };
    tell(ctx, pool, &mut status, (refused.is_empty(), progress, reason), &message).await
}

/// Writes what stopped a pass.
pub async fn report(pool: Arc<OrchestraPool>, ctx: Arc<Context>, error: Arc<Error>) -> Result<(), Error> {
    let mut status = pool.status.clone().unwrap_or_default();
    let progress = if error.is_passing() {
        Progress::Reconciling
    } else {
        Progress::Stalled
    };
    tell(
        &ctx,
        &pool,
        &mut status,
        (false, progress, error.reason()),
        &error.to_string(),
    )
    .await
}

async fn tell(
    ctx: &Context,
    pool: &OrchestraPool,
    status: &mut OrchestraPoolStatus,
    (ready, progress, reason): (bool, Progress, Reason),
    message: &str,
) -> Result<(), Error> {
    let old = pool.status.as_ref();
    let before = old.map(|old| old.conditions.as_slice()).unwrap_or_default();
    let mut conditions = Conditions::new(before, pool.metadata.generation);
    conditions.set(ConditionType::Ready, ready, reason, message);
    conditions.progress(progress, reason, message);
    status.conditions = conditions.finish();
    status.observed_generation = pool.metadata.generation.unwrap_or_default();
    write_status(&Api::all(ctx.client.clone()), pool, old, status).await?;
    let news = find(before, ConditionType::Ready).is_none_or(|last| last.reason != reason.as_str());
    if news {
        // Nothing is wrong with what is being prepared, or waits for its turn.
        let well = ready || matches!(reason, Reason::Migrating | Reason::Queued);
        let kind = if well { EventType::Normal } else { EventType::Warning };
        publish(&ctx.recorder, &pool.object_ref(&()), kind, reason, message).await;
    }
    Ok(())
}
