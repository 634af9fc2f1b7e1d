//! What a class says of its rollout.

use std::collections::HashMap;

use super::fleet::Member;
use super::plan::{Decision, State};
use super::revisions::Revisions;
use crate::api::condition::Reason;
use crate::api::{RevisionSkew, RolloutPhase as Phase, RolloutStatus};

/// Names and sources that a status lists at most.
const LISTED: usize = 10;

/// Names that a message holds at most.
const NAMED: usize = 5;

/// Longest part of a digest that people are shown.
const SHORT: usize = "sha256:".len() + 12;

/// The status for a decision.
pub fn render(members: &[Member], decision: &Decision, revisions: &Revisions) -> RolloutStatus {
    let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    let of = |state: State| {
        members
            .iter()
            .filter(move |is| is.tenant.state == state && !is.tenant.pinned)
    };
    let mut failing: Vec<_> = of(State::Failed).map(|is| is.tenant.name.clone()).collect();
    failing.sort();
    failing.truncate(LISTED);
    RolloutStatus {
        phase: decision.phase,
        revision: revisions.digest().unwrap_or_default(),
        updated: number(decision.updated),
        running: number(decision.running),
        pending: number(decision.pending),
        held: number(decision.held),
        failed: number(decision.failed),
        pinned: number(decision.pinned),
        skew: skew(members, revisions),
        failing,
    }
}

/// How many are on which source. Of one source the last migration is told by those that have all of
/// it, when there is one.
fn skew(members: &[Member], revisions: &Revisions) -> Vec<RevisionSkew> {
    let mut by: HashMap<Option<&str>, (i32, Option<&str>)> = HashMap::new();
    for member in members {
        let entry = by.entry(member.revision.as_deref()).or_default();
        entry.0 += 1;
        entry.1 = entry.1.max(member.migration.as_deref());
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

/// Whether everybody has the source, why, and what to tell people.
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
                "{far}; {} failed: {}. No further one is begun with: correct the source or those tenants, or raise \
                 spec.rollout.maxFailures{pinned}",
                status.failed,
                names(status)
            ),
        ),
    }
}

/// Those that failed, the first of them by name.
pub fn names(status: &RolloutStatus) -> String {
    let named: Vec<_> = status.failing.iter().take(NAMED).map(String::as_str).collect();
    let more = usize::try_from(status.failed)
        .unwrap_or_default()
        .saturating_sub(named.len());
    match more {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

/// What became of a rollout since the last status, when people should know of it.
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
