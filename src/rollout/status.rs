//! The status of a rollout, and the messages about it.

use std::collections::HashMap;

use super::fleet::Enrolled;
use super::plan::{Decision, UpdateState};
use super::revisions::Revisions;
use crate::api::condition::Reason;
use crate::api::{RevisionSkew, RolloutPhase as Phase, RolloutStatus};
use crate::text;

/// Most names and sources that a status lists.
const LISTED: usize = 10;

/// Most names that a message lists.
const NAMED: usize = 5;

/// Length of the part of a digest that messages show.
const SHORT: usize = "sha256:".len() + 12;

/// The status for a decision.
pub fn render(fleet: &[Enrolled], decision: &Decision, revisions: &Revisions) -> RolloutStatus {
    let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    let of = |standing: UpdateState| {
        fleet
            .iter()
            .filter(move |is| is.participant.standing == standing && !is.participant.pinned)
    };
    let mut failing: Vec<_> = of(UpdateState::Failed).map(|is| is.participant.name.clone()).collect();
    failing.sort();
    failing.truncate(LISTED);
    RolloutStatus {
        phase: decision.phase,
        revision: revisions.digest().unwrap_or_default(),
        updated: number(decision.updated),
        running: number(decision.running),
        pending: number(decision.pending),
        held: number(decision.awaiting_approval),
        failed: number(decision.failed),
        pinned: number(decision.pinned),
        skew: skew(fleet, revisions),
        failing,
    }
}

/// How many Orchestras have which source, with the last migration of it that any of them has applied.
fn skew(fleet: &[Enrolled], revisions: &Revisions) -> Vec<RevisionSkew> {
    let mut by: HashMap<Option<&str>, (i32, Option<&str>)> = HashMap::new();
    for one in fleet {
        let entry = by.entry(one.revision.as_deref()).or_default();
        entry.0 += 1;
        entry.1 = entry.1.max(one.migration.as_deref());
    }
    let mut skew: Vec<_> = by
        .into_iter()
        .map(|(revision, (tenants, migration))| RevisionSkew {
            revision: revision.map(Into::into),
            migration: migration.map(Into::into),
            tenants,
            current: revision.is_some_and(|revision| revisions.has(revision)),
        })
        .collect();
    skew.sort_by(|a, b| (b.tenants, &a.revision).cmp(&(a.tenants, &b.revision)));
    skew.truncate(LISTED);
    skew
}

/// The beginning of a digest.
pub fn short(revision: &str) -> &str {
    revision.get(..SHORT).unwrap_or(revision)
}

/// The condition `RolledOut` of a status: whether all Orchestras have the source, the reason and the message.
pub fn words(status: &RolloutStatus) -> (bool, Reason, String) {
    let revision = short(&status.revision);
    let total = status.updated + status.running + status.pending + status.held + status.failed;
    let far = format!("{} of {total} tenants updated to {revision}", status.updated);
    let pinned = match status.pinned {
        0 => String::new(),
        pinned => format!("; {pinned} pinned"),
    };
    let held = match status.held {
        0 => String::new(),
        held => format!(", {held} wait for approval"),
    };
    match status.phase {
        Phase::Complete => (true, Reason::RolloutComplete, format!("{far}{pinned}")),
        Phase::Canary => {
            let message = format!("{far}: canaries first, {} running{held}{pinned}", status.running);
            (false, Reason::RolloutProgressing, message)
        }
        Phase::Rolling => {
            let failed = match status.failed {
                0 => String::new(),
                failed => format!(", {failed} failed ({})", names(status)),
            };
            let message = format!("{far}, {} running{held}{failed}{pinned}", status.running);
            (false, Reason::RolloutProgressing, message)
        }
        Phase::Paused => (
            false,
            Reason::RolloutPaused,
            format!("{far}: paused by spec.rollout.paused{pinned}"),
        ),
        Phase::Halted => (
            false,
            Reason::RolloutHalted,
            format!(
                "{far}; {} failed: {}. No further Orchestra will be migrated: correct the source or those tenants, or raise \
                 spec.rollout.maxFailures{pinned}",
                status.failed,
                names(status)
            ),
        ),
    }
}

/// The Orchestras that failed: the first ones by name, and the number of the others.
pub fn names(status: &RolloutStatus) -> String {
    text::names(
        &status.failing,
        NAMED,
        usize::try_from(status.failed).unwrap_or_default(),
    )
}

/// Whether the change of a rollout since the last status is worth an event.
pub fn news(old: Option<&RolloutStatus>, new: &RolloutStatus) -> bool {
    match old {
        None => new.phase != Phase::Complete,
        Some(old) => {
            let kind = |phase: Phase| if phase == Phase::Canary { Phase::Rolling } else { phase };
            old.revision != new.revision || kind(old.phase) != kind(new.phase)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(phase: Phase) -> RolloutStatus {
        RolloutStatus {
            phase,
            revision: format!("sha256:{}", "a".repeat(64)),
            updated: 12,
            running: 2,
            pending: 25,
            failed: 1,
            pinned: 3,
            failing: vec!["tenants/ada".into()],
            ..RolloutStatus::default()
        }
    }

    #[test]
    fn a_halt_names_who_failed_and_what_to_do() {
        let (done, reason, message) = words(&at(Phase::Halted));
        assert!(!done && reason == Reason::RolloutHalted);
        for part in [
            "12 of 40 tenants updated to sha256:aaaaaaaaaaaa;",
            "1 failed: tenants/ada.",
            "maxFailures",
            "3 pinned",
        ] {
            assert!(message.contains(part), "{part}: {message}");
        }
    }

    #[test]
    fn news_are_what_begins_ends_halts_and_goes_on() {
        let rolling = at(Phase::Rolling);
        let other = RolloutStatus {
            revision: "sha256:b".into(),
            ..at(Phase::Complete)
        };
        for (old, new, is) in [
            (None, at(Phase::Complete), false),
            (None, rolling.clone(), true),
            (Some(at(Phase::Canary)), rolling.clone(), false),
            (Some(rolling.clone()), at(Phase::Halted), true),
            (Some(at(Phase::Paused)), rolling.clone(), true),
            (Some(rolling), at(Phase::Complete), true),
            (Some(at(Phase::Complete)), at(Phase::Complete), false),
            (Some(at(Phase::Complete)), other, true),
        ] {
            assert_eq!(news(old.as_ref(), &new), is, "{old:?} {new:?}");
        }
    }
}
