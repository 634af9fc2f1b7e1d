//! The grace period: how long a released project that is to be destroyed can be taken back.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use super::Pass;
use super::plan::Grace;
use crate::api::{DeletionPolicy, GoDuration, OrchestraClass, OrchestraDatabase, PowerState};
use crate::class;
use crate::controller::clock::{self, TimeCheck};
use crate::controller::error::Error;

/// Whether the grace period of a database has ended, and otherwise how long it lasts.
pub async fn look(pass: &Pass, class: &OrchestraClass) -> Result<(Grace, Option<Duration>), Error> {
    let spec = &pass.object.spec;
    let deleting = pass.object.metadata.deletion_timestamp.is_some();
    if deleting || spec.released_at.is_none() {
        return Ok((Grace::None, None));
    }
    if spec.reclaim_policy == DeletionPolicy::Retain {
        let grace = if spec.reclaim_after.is_some() {
            Grace::Void
        } else {
            Grace::None
        };
        return Ok((grace, None));
    }
    let period = class.spec.deletion.grace_period;
    let Some(due) = &spec.reclaim_after else {
        return Ok((period.map_or(Grace::None, |_| Grace::Unset), None));
    };
    // The period that was set, whatever the class says now.
    let period = spec
        .released_at
        .as_ref()
        .map(|at| clock::left(due.0, at.0))
        .unwrap_or_default();
    let ctx = &pass.ctx;
    Ok(
        match ctx
            .core
            .clock
            .has_come(&ctx.core.client, pass.name(), due.0, period)
            .await?
        {
            TimeCheck::Come => (Grace::Over, None),
            TimeCheck::In(wait) => (Grace::Running, Some(wait)),
        },
    )
}

/// Whether the release of a hosted project has paused it, so the request is not older than the release. In one that was paused before,
/// the former tenant's login could not be revoked, and only a person decides that it runs again.
fn was_paused_by_release(database: &OrchestraDatabase) -> bool {
    let (spec, status) = (&database.spec, database.status.as_ref());
    let issued = status.and_then(|status| status.pause_issued_at.as_ref());
    let released = spec.released_at.as_ref();
    spec.supabase.is_some()
        && spec.power_state == Some(PowerState::Paused)
        && released.is_some_and(|released| issued.is_none_or(|issued| issued.0 >= released.0))
}

/// Sets the time at which the project is destroyed, or takes it away when the project is to be kept. A project that was
/// paused for its grace period runs again then: the provider restores a paused one only for a limited time.
pub async fn schedule(pass: &mut Pass) -> Result<(), Error> {
    let class = class::resolve(&pass.ctx.class, pass.object.spec.class_name.as_deref())?;
    let period = class.spec.deletion.grace_period.map(GoDuration::as_std);
    // Of clocks that disagree, the latest one: none that is behind shortens the period.
    let released = pass.object.spec.released_at.as_ref().map_or(Timestamp::MIN, |at| at.0);
    let now = clock::now(&pass.ctx.core.client).await?.max(clock::own()).max(released);
    let is_retained = pass.object.spec.reclaim_policy == DeletionPolicy::Retain;
    let due = (!is_retained).then(|| Time(clock::after(now, period.unwrap_or_default())));
    let mut patch = json!({"spec": {"reclaimAfter": due}});
    if is_retained && was_paused_by_release(&pass.object) {
        patch["spec"]["powerState"] = Value::Null;
    }
    pass.change(patch).await
}

/// The message of a released database that is to be destroyed: until when, and how it is taken back. None for one without
/// such a time.
pub fn told(pass: &Pass) -> Option<String> {
    let spec = &pass.object.spec;
    let due = spec.reclaim_after.as_ref().filter(|_| spec.released_at.is_some())?;
    pass.object.is_to_be_destroyed().then(|| {
        let end = match &spec.inventory {
            Some(_) => "everything in the database is dropped",
            None => "the project with its data is destroyed",
        };
        format!(
            "the claim is gone, and {end} after {}. To take it back, create an Orchestra \
             with spec.source.existing.databaseName: {}",
            due.0,
            pass.name()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{OrchestraDatabaseSpec, OrchestraDatabaseStatus, SupabaseProject};

    #[test]
    fn only_a_pause_that_began_with_the_release_ends_when_the_project_is_kept() {
        let at = |second| Timestamp::from_second(second).ok().map(Time);
        for (power_state, issued, by_release) in [
            (Some(PowerState::Paused), Some(100), true),
            (Some(PowerState::Paused), Some(160), true),
            (Some(PowerState::Paused), None, true),
            (Some(PowerState::Paused), Some(99), false),
            (Some(PowerState::Running), Some(160), false),
            (None, None, false),
        ] {
            let spec = OrchestraDatabaseSpec {
                supabase: Some(SupabaseProject::default()),
                released_at: at(100),
                power_state,
                ..OrchestraDatabaseSpec::default()
            };
            let mut database = OrchestraDatabase::new("one", spec);
            database.status = Some(OrchestraDatabaseStatus {
                pause_issued_at: issued.and_then(at),
                ..OrchestraDatabaseStatus::default()
            });
            assert_eq!(
                was_paused_by_release(&database),
                by_release,
                "{power_state:?} {issued:?}"
            );
            database.spec.released_at = None;
            assert!(!was_paused_by_release(&database), "it is in use");
            (database.spec.released_at, database.spec.supabase) = (at(100), None);
            assert!(!was_paused_by_release(&database), "an entry of a pool");
        }
    }
}
