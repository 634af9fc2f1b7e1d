//! What a pool says of itself: how many databases wait, how many are claimed, what was refused.

use std::sync::Arc;

use kube::Resource;
use kube::runtime::events::EventType;

use super::Context;
use crate::api::condition::{ConditionType, Reason};
use crate::api::{OrchestraDatabase, OrchestraPool, OrchestraPoolStatus};
use crate::controller::conditions::{Conditions, Standing, find};
use crate::controller::error::Error;
use crate::controller::write::{publish, write_status};

/// Entries that a condition tells of: its message ends at 32768 characters.
const TOLD: usize = 20;

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
    let message = message(refused);
    let reason = refused.first().map_or(Reason::Ready, |(_, error)| error.reason());
    let passing = refused.iter().all(|(_, error)| error.is_passing());
    let progress = match (refused.is_empty(), passing) {
        (true, _) => Standing::Settled,
        (false, true) => Standing::Reconciling,
        (false, false) => Standing::Stalled,
    };
    tell(ctx, pool, &mut status, (refused.is_empty(), progress, reason), &message).await
}

/// What is to be told of entries; of very many, the first ones.
fn message(refused: &[(String, Error)]) -> String {
    if refused.is_empty() {
        return "every entry is usable".into();
    }
    let told = refused
        .iter()
        .take(TOLD)
        .map(|(key, error)| format!("{key}: {error}"))
        .collect::<Vec<_>>()
        .join("; ");
    match refused.len().saturating_sub(TOLD) {
        0 => told,
        more => format!("{told}; and {more} more"),
    }
}

/// Writes what stopped a pass.
pub async fn report(pool: Arc<OrchestraPool>, ctx: Arc<Context>, error: Arc<Error>) -> Result<(), Error> {
    let mut status = pool.status.clone().unwrap_or_default();
    let progress = if error.is_passing() {
        Standing::Reconciling
    } else {
        Standing::Stalled
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
    (ready, progress, reason): (bool, Standing, Reason),
    message: &str,
) -> Result<(), Error> {
    let old = pool.status.as_ref();
    let before = old.map(|old| old.conditions.as_slice()).unwrap_or_default();
    let mut conditions = Conditions::new(before, pool.metadata.generation);
    conditions.set(ConditionType::Ready, ready, reason, message);
    conditions.stand(progress, reason, message);
    status.conditions = conditions.finish();
    status.observed_generation = pool.metadata.generation.unwrap_or_default();
    write_status(&ctx.core, pool, old, status).await?;
    let news = find(before, ConditionType::Ready).is_none_or(|last| last.reason != reason.as_str());
    if news {
        // Nothing is wrong with what is being prepared, or waits for its turn.
        let well = ready || matches!(reason, Reason::Migrating | Reason::Queued);
        let kind = if well { EventType::Normal } else { EventType::Warning };
        publish(&ctx.core.recorder, &pool.object_ref(&()), kind, reason, message).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_an_end() {
        let refused: Vec<_> = (0..1000)
            .map(|number| (format!("KEY_{number}"), Error::blocked(Reason::InUse, "full")))
            .collect();
        assert_eq!(message(&refused[..2]), "KEY_0: full; KEY_1: full");
        let all = message(&refused);
        assert!(all.len() < 1000 && all.ends_with("KEY_19: full; and 980 more"), "{all}");
        assert_eq!(message(&[]), "every entry is usable");
    }
}
