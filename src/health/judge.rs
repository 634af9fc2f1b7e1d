//! When probes change the condition Available: pure.

use crate::api::condition::Reason;
use crate::postgres::{Fault, FaultKind};

/// The number of failed probes in a row after which Available is False, or the reason of a False one changes.
pub const FAILURES: u32 = 3;

/// The number of successful probes in a row after which Available is True again.
pub const SUCCESSES: u32 = 2;

/// The problem that prevents applications from using a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeOutage {
    /// The reason of the condition.
    pub reason: Reason,
    /// The problem, and what a person can do.
    pub message: String,
}

impl From<&Fault> for ProbeOutage {
    fn from(fault: &Fault) -> Self {
        Self {
            reason: fault.kind.reason(),
            message: fault.message.clone(),
        }
    }
}

/// The verdict of the probes of one database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProbeJudge {
    /// The outage in the status; none while applications can use the database.
    outage: Option<ProbeOutage>,
    /// Failed probes since the last successful one.
    failures: u32,
    /// The last ones of these with the same reason.
    alike: u32,
    /// The reason of the last failure.
    last: Option<Reason>,
    /// The last ones of the failed probes whose login was refused.
    refused: u32,
    /// Successful probes since the last failed one.
    successes: u32,
}

impl ProbeJudge {
    /// Starts with what the status says.
    pub fn resume(outage: Option<ProbeOutage>) -> Self {
        Self {
            outage,
            ..Self::default()
        }
    }

    /// The outage in the status.
    pub fn outage(&self) -> Option<&ProbeOutage> {
        self.outage.as_ref()
    }

    /// Refused logins in a row.
    pub fn refused(&self) -> u32 {
        self.refused
    }

    /// Whether the last probe has succeeded.
    pub fn is_well(&self) -> bool {
        self.successes > 0
    }

    /// Restarts the counts, because there is another login. The outage stays until a probe with that login succeeds.
    pub fn restart(&mut self) {
        *self = Self::resume(self.outage.take());
    }

    /// Records the outcome of a probe. Returns whether the outage has changed.
    pub fn note(&mut self, outcome: Result<(), &Fault>) -> bool {
        match outcome {
            Ok(()) => self.succeeded(),
            Err(fault) if fault.kind == FaultKind::LoginLimit => self.full(),
            Err(fault) => self.failed(fault),
        }
    }

    /// The server accepted the login, and the applications use all sessions that it may have: they can use the database.
    /// This does not disprove an outage that only shows inside a session.
    fn full(&mut self) -> bool {
        let of_session = [Reason::DatabaseReadOnly, Reason::DatabaseGone, Reason::DatabaseRefused];
        let told = self.outage.as_ref().map(|outage| outage.reason);
        if told.is_some_and(|told| of_session.contains(&told)) {
            self.restart();
            return false;
        }
        self.succeeded()
    }

    fn succeeded(&mut self) -> bool {
        (self.failures, self.alike, self.refused, self.last) = (0, 0, 0, None);
        self.successes = self.successes.saturating_add(1);
        self.successes >= SUCCESSES && self.outage.take().is_some()
    }

    fn failed(&mut self, fault: &Fault) -> bool {
        let reason = fault.kind.reason();
        self.alike = if self.last == Some(reason) {
            self.alike.saturating_add(1)
        } else {
            1
        };
        self.failures = self.failures.saturating_add(1);
        self.refused = if fault.kind.is_refused_login() {
            self.refused.saturating_add(1)
        } else {
            0
        };
        (self.successes, self.last) = (0, Some(reason));
        let told = match &self.outage {
            None => self.failures >= FAILURES,
            Some(outage) => outage.reason != reason && self.alike >= FAILURES,
        };
        if told {
            self.outage = Some(fault.into());
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(kind: FaultKind) -> Fault {
        Fault {
            kind,
            message: format!("{kind:?}"),
            needs_login: false,
        }
    }

    /// `+` is a success, `r` a refused connection, `l` a refused login; the reported state after each.
    fn run(judge: &mut ProbeJudge, outcomes: &str) -> Vec<(bool, Option<Reason>)> {
        let note = |outcome| {
            let changed = match outcome {
                '+' => judge.note(Ok(())),
                'r' => judge.note(Err(&fault(FaultKind::Refused))),
                _ => judge.note(Err(&fault(FaultKind::Login))),
            };
            (changed, judge.outage().map(|outage| outage.reason))
        };
        outcomes.chars().map(note).collect()
    }

    #[test]
    fn one_failure_or_success_changes_nothing_and_a_row_of_them_does_once() {
        let refused = Some(Reason::ConnectionRefused);
        let login = Some(Reason::LoginFailed);
        let (same, changes) = (false, true);
        for (outcomes, wanted) in [
            ("+++", vec![(same, None); 3]),
            ("rr+rr+", vec![(same, None); 6]),
            ("rrr", vec![(same, None), (same, None), (changes, refused)]),
            // The last one decides the reason.
            ("rll", vec![(same, None), (same, None), (changes, login)]),
            (
                "rrrr+r++",
                vec![
                    (same, None),
                    (same, None),
                    (changes, refused),
                    (same, refused),
                    (same, refused),
                    (same, refused),
                    (same, refused),
                    (changes, None),
                ],
            ),
            (
                "rrrlrlll",
                vec![
                    (same, None),
                    (same, None),
                    (changes, refused),
                    (same, refused),
                    (same, refused),
                    (same, refused),
                    (same, refused),
                    (changes, login),
                ],
            ),
        ] {
            assert_eq!(run(&mut ProbeJudge::default(), outcomes), wanted, "{outcomes}");
        }
    }

    #[test]
    fn a_restart_keeps_what_was_told_until_it_is_proven_otherwise() {
        let outage = ProbeOutage::from(&fault(FaultKind::Refused));
        let mut judge = ProbeJudge::resume(Some(outage.clone()));
        assert_eq!(judge.outage(), Some(&outage));
        let refused = Some(Reason::ConnectionRefused);
        assert_eq!(run(&mut judge, "r+"), [(false, refused); 2]);
        assert_eq!(run(&mut judge, "+"), [(true, None)]);
    }

    #[test]
    fn only_refused_logins_in_a_row_count_as_such() {
        let mut judge = ProbeJudge::default();
        let mut refused = |kind: FaultKind| {
            judge.note(Err(&fault(kind)));
            judge.refused()
        };
        let kinds = [
            FaultKind::Refused,
            FaultKind::Login,
            FaultKind::Blocked,
            FaultKind::Pooler,
            FaultKind::Login,
        ];
        assert_eq!(kinds.map(&mut refused), [0, 1, 2, 0, 1]);
    }

    #[test]
    fn another_login_begins_a_new_row_and_keeps_what_is_told() {
        let mut judge = ProbeJudge::default();
        run(&mut judge, "llll");
        judge.restart();
        let login = Some(Reason::LoginFailed);
        assert_eq!(
            (judge.refused(), judge.outage().map(|outage| outage.reason)),
            (0, login)
        );
        assert_eq!(run(&mut judge, "++"), [(false, login), (true, None)]);
        run(&mut judge, "ll");
        judge.restart();
        assert_eq!(run(&mut judge, "l"), [(false, None)]);
    }

    #[test]
    fn applications_that_have_all_sessions_of_the_login_use_the_database() {
        let full = fault(FaultKind::LoginLimit);
        let mut judge = ProbeJudge::default();
        for _ in 0..5 {
            assert!(!judge.note(Err(&full)) && judge.outage().is_none() && judge.is_well());
        }
        for (told, over) in [(FaultKind::Refused, true), (FaultKind::ReadOnly, false)] {
            let mut judge = ProbeJudge::resume(Some(ProbeOutage::from(&fault(told))));
            assert!(!judge.note(Err(&full)));
            assert_eq!(judge.note(Err(&full)), over, "{told:?}");
            assert_eq!((judge.outage().is_none(), judge.is_well()), (over, over), "{told:?}");
        }
    }

    /// Every history of a few probes: the reported state changes only after a sequence of equal outcomes.
    #[test]
    fn every_history_is_told_by_its_rows_alone() {
        for length in 0..=8u32 {
            for history in 0..3u32.pow(length) {
                let outcomes: String = (0..length)
                    .map(|at| ['+', 'r', 'l'][(history / 3u32.pow(at) % 3) as usize])
                    .collect();
                let mut judge = ProbeJudge::default();
                let told = run(&mut judge, &outcomes);
                let failing = |row: &str| row.len() >= 3 && !row.contains('+');
                for (at, (changed, outage)) in told.iter().enumerate() {
                    let so_far = &outcomes[..=at];
                    let before = at.checked_sub(1).and_then(|before| told[before].1);
                    assert_eq!(*changed, before != *outage, "{so_far}");
                    match (before, *outage) {
                        (None, Some(_)) => assert!(failing(&so_far[so_far.len().saturating_sub(3)..]), "{so_far}"),
                        (Some(_), None) => assert!(so_far.ends_with("++"), "{so_far}"),
                        (Some(was), Some(is)) if was != is => {
                            assert!(so_far.ends_with("rrr") || so_far.ends_with("lll"), "{so_far}");
                        }
                        _ => {}
                    }
                }
            }
        }
    }
}
