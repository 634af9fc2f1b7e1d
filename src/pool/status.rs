//! Describes a pool: how many of its databases are available and bound, and which entries are refused.

use std::sync::Arc;

use kube::Resource;
use kube::runtime::events::EventType;

use super::attempts::Refusal;
use super::observe::Observed;
use super::plan::Step;
use super::{Context, Pass};
use crate::api::condition::{ConditionType, Reason};
use crate::api::{OrchestraDatabase, OrchestraPool, OrchestraPoolStatus};
use crate::controller::conditions::{Conditions, Progress, find};
use crate::controller::error::Error;
use crate::controller::write::{publish, write_status};

/// Entries that a condition names: its message is limited to 32768 characters.
const NAMED: usize = 20;

/// Writes the status at a step that ends the pass. Refused entries do not keep the others from being claimed.
pub async fn write(pass: &Pass, step: &Step, observed: &Observed) -> Result<(), Error> {
    if !matches!(step, Step::Yield | Step::Wait(_) | Step::Rest) {
        return Ok(());
    }
    let members = &observed.members;
    let count = |wanted: fn(&OrchestraDatabase) -> bool| {
        i32::try_from(members.iter().filter(|member| wanted(member)).count()).unwrap_or(i32::MAX)
    };
    let pool = &pass.pool;
    let mut status = OrchestraPoolStatus {
        desired: i32::try_from(observed.inventory.len()).unwrap_or(i32::MAX),
        available: count(OrchestraDatabase::is_unclaimed),
        bound: count(OrchestraDatabase::is_held),
        ..pool.status.clone().unwrap_or_default()
    };
    let described = describe(&observed.refusals);
    tell(&pass.ctx, pool, &mut status, described).await
}

/// What the conditions of a pool say.
#[derive(Debug, PartialEq, Eq)]
struct Described {
    ready: bool,
    progress: Progress,
    reason: Reason,
    message: String,
}

/// What the conditions say of these entries, those that need a person first.
fn describe(refusals: &[(String, Refusal)]) -> Described {
    let mut refusals: Vec<_> = refusals.iter().collect();
    refusals.sort_by_key(|(_, refusal)| refusal.is_passing());
    let progress = match refusals.first() {
        None => Progress::Settled,
        Some((_, refusal)) if refusal.is_passing() => Progress::Reconciling,
        Some(_) => Progress::Stalled,
    };
    Described {
        ready: refusals.is_empty(),
        progress,
        reason: refusals.first().map_or(Reason::Ready, |(_, refusal)| refusal.reason),
        message: message(&refusals),
    }
}

/// The refused entries; of very many, the first ones.
fn message(refusals: &[&(String, Refusal)]) -> String {
    if refusals.is_empty() {
        return "every entry is usable".into();
    }
    let named = refusals
        .iter()
        .take(NAMED)
        .map(|(key, refusal)| format!("{key}: {}", refusal.message))
        .collect::<Vec<_>>()
        .join("; ");
    match refusals.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named}; and {more} more"),
    }
}

/// Writes the error that stopped a pass.
pub async fn report(pool: Arc<OrchestraPool>, ctx: Arc<Context>, error: Arc<Error>) -> Result<(), Error> {
    let mut status = pool.status.clone().unwrap_or_default();
    let progress = if error.is_passing() {
        Progress::Reconciling
    } else {
        Progress::Stalled
    };
    let described = Described {
        ready: false,
        progress,
        reason: error.reason(),
        message: error.to_string(),
    };
    tell(&ctx, &pool, &mut status, described).await
}

async fn tell(
    ctx: &Context,
    pool: &OrchestraPool,
    status: &mut OrchestraPoolStatus,
    described: Described,
) -> Result<(), Error> {
    let Described {
        ready,
        progress,
        reason,
        message,
    } = described;
    let old = pool.status.as_ref();
    let before = old.map(|old| old.conditions.as_slice()).unwrap_or_default();
    let mut conditions = Conditions::new(before, pool.metadata.generation);
    conditions.set(ConditionType::Ready, ready, reason, &message);
    conditions.progress(progress, reason, &message);
    status.conditions = conditions.finish();
    status.observed_generation = pool.metadata.generation.unwrap_or_default();
    write_status(&ctx.core, pool, old, status).await?;
    let news = find(before, ConditionType::Ready).is_none_or(|last| last.reason != reason.as_str());
    if news {
        let normal = ready || matches!(reason, Reason::Pending | Reason::Migrating | Reason::Queued);
        let kind = if normal { EventType::Normal } else { EventType::Warning };
        publish(&ctx.core.recorder, &pool.object_ref(&()), kind, reason, &message).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_a_person_comes_first() {
        let refusal = |error: &Error| ("KEY".to_owned(), Refusal::from(error));
        let passing = refusal(&Error::transient(Reason::DatabaseUnreachable, "no answer"));
        let blocked = refusal(&Error::blocked(Reason::InUse, "full"));
        let described = describe(&[passing.clone(), blocked]);
        assert_eq!(described.progress, Progress::Stalled);
        assert_eq!((described.ready, described.reason), (false, Reason::InUse));
        assert_eq!(described.message, "KEY: full; KEY: no answer");
        assert_eq!(describe(&[passing]).progress, Progress::Reconciling);
        let well = describe(&[]);
        assert_eq!((well.ready, well.progress), (true, Progress::Settled));
        assert_eq!(
            (well.reason, well.message.as_str()),
            (Reason::Ready, "every entry is usable")
        );
    }

    #[test]
    fn a_message_is_bounded() {
        let refusals: Vec<_> = (0..1000)
            .map(|number| {
                let error = Error::blocked(Reason::InUse, "full");
                (format!("KEY_{number}"), Refusal::from(&error))
            })
            .collect();
        let all = describe(&refusals).message;
        assert!(all.len() < 1000 && all.ends_with("KEY_19: full; and 980 more"), "{all}");
    }
}
