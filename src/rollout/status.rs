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
    let waiting = match status.held {
        0 => String::new(),
        count => format!(", {count} wait for approval"),
    };
    match status.phase {
        Phase::Complete => (true, Reason::RolloutComplete, format!("{far}{pinned}")),
        Phase::Canary => {
            let message = format!("{far}: canaries first, {} running{waiting}{pinned}", status.running);
            (false, Reason::RolloutProgressing, message)
        }
        Phase::Rolling => {
            let failed = match status.failed {
                0 => String::new(),
                failed => format!(", {failed} failed ({})", names(status)),
            };
            let message = format!("{far}, {} running{waiting}{failed}{pinned}", status.running);
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
    use kube::runtime::reflector::ObjectRef;

    use super::*;
    use crate::rollout::plan::{Participant, RolloutLimits, decide};

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

    /// Every fleet of up to two, under every rule.
    #[test]
    fn no_condition_contradicts_its_reason() {
        for (fleet, (paused, failures)) in every_fleet()
            .iter()
            .flat_map(|fleet| [(false, 0), (false, 1), (true, 0), (true, 1)].map(|rules| (fleet, rules)))
        {
            let limits = RolloutLimits {
                concurrent: 2,
                failures,
                per_server: 2,
                paused,
            };
            let participants: Vec<_> = fleet.iter().map(|one| one.participant.clone()).collect();
            let decision = decide(&participants, &limits);
            let status = render(fleet, &decision, &Revisions::default());
            let (done, reason, message) = words(&status);
            let of = || format!("{reason:?} {message:?} of {participants:?}");
            assert_eq!(done, reason.is_fulfilled(), "{}", of());
            let active = || participants.iter().filter(|is| !is.pinned);
            assert_eq!(done, active().all(|is| is.standing == UpdateState::Updated), "{}", of());
            let failed = active().filter(|is| is.standing == UpdateState::Failed).count();
            assert_eq!(status.failing.len(), failed, "{}", of());
            if reason == Reason::RolloutHalted {
                assert!(
                    failed > 0 && message.contains(&format!("{failed} failed: tenants/")),
                    "{}",
                    of()
                );
                assert!(decision.start.is_empty(), "{}", of());
            }
            assert!(reason != Reason::RolloutPaused || paused, "{}", of());
            let goes_on = reason == Reason::RolloutProgressing;
            assert!(goes_on || decision.start.is_empty(), "{}", of());
            let total = status.updated + status.running + status.pending + status.held + status.failed;
            assert_eq!(usize::try_from(total).ok(), Some(active().count()), "{}", of());
        }
    }

    /// State of the update, canary, pinned and engaged of one Orchestra.
    type EnrolledFacts = (UpdateState, bool, bool, bool);

    fn every_fleet() -> Vec<Vec<Enrolled>> {
        let standings = [
            UpdateState::Updated,
            UpdateState::Failed,
            UpdateState::AwaitsApproval,
            UpdateState::Broken,
            UpdateState::Pending,
        ];
        let mut every = Vec::new();
        for standing in standings {
            for (canary, pinned, engaged) in [
                (false, false, false),
                (false, false, true),
                (false, true, false),
                (true, false, false),
                (true, false, true),
                (true, true, false),
            ] {
                every.push((standing, canary, pinned, engaged));
            }
        }
        let pairs = every
            .iter()
            .flat_map(|one| every.iter().map(move |two| vec![*one, *two]));
        let fewer = every.iter().map(|one| vec![*one]).chain([Vec::new()]);
        let fleets = fewer.chain(pairs);
        fleets
            .map(|fleet| fleet.into_iter().enumerate().map(enrolled).collect())
            .collect()
    }

    fn enrolled((number, (standing, canary, pinned, engaged)): (usize, EnrolledFacts)) -> Enrolled {
        let name = format!("t{number}");
        Enrolled {
            participant: Participant {
                uid: format!("uid-{number}"),
                name: format!("tenants/{name}"),
                created: jiff::Timestamp::UNIX_EPOCH,
                standing,
                canary,
                pinned,
                engaged,
                able: true,
                server: Some("one:5432".into()),
            },
            object: ObjectRef::new(&name).within("tenants"),
            revision: None,
            migration: None,
        }
    }
}
