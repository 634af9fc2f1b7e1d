//! Describes an Orchestra's backups by schedule: `status.backup` and the condition `BackedUp`. The room `orchestra` writes
//! the rest of the status.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::observe::{Observed, observe};
use super::plan::{ScheduleVerdict, verdict};
use super::retention::BackupState;
use crate::api::condition::{ConditionType, Reason, find};
use crate::api::{Orchestra, OrchestraStatus, ScheduledBackups};
use crate::backup::Context;
use crate::controller::conditions::Conditions;
use crate::controller::error::Error;
use crate::controller::status::{self, News, current};

/// What the condition says: whether the last backup is complete, why, and a message.
type BackedUp = (bool, Reason, String);

/// Writes the condition and the next time, and returns the written Orchestra.
pub async fn write(
    ctx: &Context,
    object: Orchestra,
    observed: &Observed,
    due: Option<Timestamp>,
) -> Result<Orchestra, Error> {
    Box::pin(tell(ctx, object, told(observed), scheduled(observed, due))).await
}

/// Writes the error that ended a pass, where a person must act. A transient error changes nothing.
pub async fn report(orchestra: Arc<Orchestra>, ctx: Arc<Context>, error: Arc<Error>) -> Result<(), Error> {
    let Some(object) = current(&ctx.core, &*orchestra).await? else {
        return Ok(());
    };
    if error.is_passing() || object.status.is_none() {
        return Ok(());
    }
    let observed = observe(&ctx, &object, (None, None));
    let known = object.status.as_ref().and_then(|status| status.backup.clone());
    let told = told(&observed).map(|_| (false, error.reason(), error.to_string()));
    Box::pin(tell(&ctx, object, told, known)).await.map(drop)
}

async fn tell(
    ctx: &Context,
    object: Orchestra,
    told: Option<BackedUp>,
    scheduled: Option<ScheduledBackups>,
) -> Result<Orchestra, Error> {
    let old = object.status.clone().unwrap_or_default();
    let news = told.as_ref().and_then(|told| news(&old.conditions, told));
    let new = OrchestraStatus {
        conditions: with(&old.conditions, told, object.metadata.generation),
        backup: scheduled,
        ..old
    };
    status::write(&ctx.core, &object, new, news).await
}

/// The conditions with this one instead of the old one.
fn with(old: &[Condition], told: Option<BackedUp>, generation: Option<i64>) -> Vec<Condition> {
    let mut own = Conditions::new(old, generation);
    if let Some((complete, reason, message)) = told {
        own.set(ConditionType::BackedUp, complete, reason, &message);
    }
    let is_other = |condition: &&Condition| condition.type_ != ConditionType::BackedUp.as_str();
    let before = old.iter().take_while(is_other).count();
    let mut all: Vec<_> = old.iter().filter(is_other).cloned().collect();
    drop(all.splice(before..before, own.finish()));
    all
}

/// A warning when the condition becomes False, or is False for another cause; and an event when it is True again.
fn news(old: &[Condition], (complete, reason, message): &BackedUp) -> Option<News> {
    let last = find(old, ConditionType::BackedUp);
    let was = last.map(|last| (last.status == "True", last.message.as_str()));
    match (complete, was) {
        (true, Some((false, _))) => Some(News::normal(*reason, message.clone())),
        (false, was) if *reason != Reason::Pending && was != Some((false, message.as_str())) => {
            Some(News::warning(*reason, message.clone()))
        }
        _ => None,
    }
}

/// The condition; none where no schedule asks for backups, or it is suspended, and there is no trouble with that of drills.
fn told(observed: &Observed) -> Option<BackedUp> {
    let schedule = &observed.schedule;
    if let Some((reason, message)) = &observed.trouble {
        return Some((false, *reason, message.clone()));
    }
    if schedule.schedule.is_none() || schedule.suspend {
        return None;
    }
    Some(match verdict(&observed.facts.made) {
        ScheduleVerdict::Nothing => (
            false,
            Reason::Pending,
            "the schedule has made no backup yet: status.backup.nextTime has the time of the next one".into(),
        ),
        ScheduleVerdict::Complete(made) => (
            true,
            Reason::BackedUp,
            format!("OrchestraBackup {} is complete", made.name),
        ),
        ScheduleVerdict::Trouble(made, reason, message) => {
            let next = match made.state {
                BackupState::Stalled(..) => "the schedule makes no other backup before it is complete",
                _ => "the schedule makes the next one at its time",
            };
            (
                false,
                reason,
                format!("OrchestraBackup {} is not complete, and {next}: {message}", made.name),
            )
        }
    })
}

/// The part of the status; none where there is nothing to say.
fn scheduled(observed: &Observed, due: Option<Timestamp>) -> Option<ScheduledBackups> {
    let (made, drills, now) = (&observed.facts.made, &observed.drills, observed.facts.now);
    let last = made.iter().max_by_key(|made| made.fired);
    let complete = made.iter().filter(|made| made.state == BackupState::Complete);
    // While the schedule is wrong, what was due stays due, until it is corrected.
    let known = observed.facts.known.filter(|_| observed.trouble.is_some());
    let new = ScheduledBackups {
        next_time: due.or(known).map(Time),
        last: last.map(|made| made.name.clone()),
        last_complete_time: complete.map(|made| made.taken).max().map(Time),
        next_verify_time: drills.due(now).map(Time),
        last_verified_time: drills.verified.map(Time),
        verify_deadline: drills.deadline(now).map(Time),
        recovery_point_time: observed.recovery.point.map(Time),
        recovery_point_deadline: observed.recovery.deadline(now).map(Time),
        estimate: observed.estimate.clone(),
        provider: observed.provider.clone(),
    };
    // Without a schedule and without backups there is nothing to write.
    Some(new).filter(|new| *new != ScheduledBackups::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_condition_replaces_its_own_and_leaves_the_others() {
        let told = |complete, reason| Some((complete, reason, "m".to_owned()));
        let mut old = Conditions::new(&[], Some(1));
        old.set(ConditionType::Ready, true, Reason::Ready, "r");
        old.set(ConditionType::BackedUp, false, Reason::Pending, "p");
        old.set(ConditionType::Reconciling, true, Reason::Updating, "u");
        let old = old.finish();
        let new = with(&old, told(true, Reason::BackedUp), Some(2));
        let types: Vec<_> = new.iter().map(|condition| condition.type_.as_str()).collect();
        assert_eq!(types, ["Ready", "BackedUp", "Reconciling"]);
        assert_eq!((&new[0], &new[2]), (&old[0], &old[2]), "also their generation");
        assert_eq!((new[1].status.as_str(), new[1].observed_generation), ("True", Some(2)));
        assert_eq!(with(&new, None, Some(2)).len(), 2);
        assert_eq!(with(&[], told(true, Reason::BackedUp), Some(1)).len(), 1);
    }

    #[test]
    fn a_failure_is_told_once_and_so_is_its_end() {
        let told = |complete, reason, message: &str| (complete, reason, message.to_owned());
        let (failed, other) = (
            told(false, Reason::StoreFull, "one"),
            told(false, Reason::StoreFull, "two"),
        );
        let (complete, pending) = (told(true, Reason::BackedUp, "c"), told(false, Reason::Pending, "p"));
        let after = |told: &BackedUp| with(&[], Some(told.clone()), Some(1));
        let reason = |old: &[Condition], told: &BackedUp| news(old, told).map(|news| news.note);
        for (old, new, is) in [
            (after(&failed), &failed, None),
            (after(&failed), &other, Some("two")),
            (after(&pending), &failed, Some("one")),
            (Vec::new(), &failed, Some("one")),
            (Vec::new(), &pending, None),
            (Vec::new(), &complete, None),
            (after(&failed), &complete, Some("c")),
            (after(&complete), &complete, None),
            (after(&complete), &failed, Some("one")),
        ] {
            assert_eq!(reason(&old, new).as_deref(), is, "{old:?} {new:?}");
        }
    }
}
