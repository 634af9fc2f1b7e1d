//! What the end of a drill's attempt says about the backup.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::api::BackupDrill;
use crate::api::condition::{ConditionType, Reason};
use crate::archive::{Outcome, OutcomeReason};
use crate::backup::outcome;
use crate::controller::conditions::Conditions;
use crate::controller::error::Error;
use crate::text;

/// Most attempts of a drill that end without a result.
pub const ATTEMPTS: i32 = 3;

/// `status.verification.result`: the restored database equals the backup's snapshot.
const PASSED: &str = "Passed";
/// The restored database differs from the backup's snapshot.
const FAILED: &str = "Failed";
/// The drill could not be executed.
const NOT_DONE: &str = "NotDone";

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrillEnd {
    /// Whether the restored database equals the backup's snapshot; none when that is unknown.
    pub passed: Option<bool>,
    /// Why, as a reason of conditions.
    pub reason: Reason,
    /// What is wrong, and what to do.
    pub message: String,
    /// Whether another attempt may produce a result.
    pub retry: bool,
    /// The outcome of the Job, if there is one.
    pub outcome: Option<Box<Outcome>>,
}

impl DrillEnd {
    /// The end of a Job with this outcome, or whose pod left none for this cause.
    pub fn of(outcome: Result<Box<Outcome>, String>) -> Self {
        match outcome {
            Ok(outcome) => Self::told(outcome),
            Err(why) => Self {
                passed: None,
                reason: Reason::DrillFailed,
                message: format!("the Job of the drill left no outcome: {why}"),
                retry: true,
                outcome: None,
            },
        }
    }

    fn told(outcome: Box<Outcome>) -> Self {
        use OutcomeReason as Of;
        let passed = match outcome.reason {
            Of::Done => Some(true),
            Of::Discrepancies | Of::Damaged | Of::StoreMissing | Of::RestoreFailed => Some(false),
            _ => None,
        };
        let reason = match (passed, outcome::reason(outcome.reason)) {
            (Some(true), _) => Reason::Verified,
            // There is no backup to verify.
            (_, Reason::BackupFailed) => Reason::DrillFailed,
            (_, reason) => reason,
        };
        Self {
            passed,
            reason,
            message: outcome.message.clone(),
            retry: outcome.retry,
            outcome: Some(outcome),
        }
    }

    /// A Job that could not be made.
    pub fn not_begun(error: &Error) -> Self {
        Self {
            passed: None,
            reason: error.reason(),
            message: error.to_string(),
            retry: error.is_passing(),
            outcome: None,
        }
    }

    /// Whether this is the result of the drill, after so many attempts without one.
    pub fn is_final(&self, failures: i32) -> bool {
        !self.retry || failures >= ATTEMPTS - 1
    }

    /// Writes the result into the status.
    pub fn tell(&self, drill: &mut BackupDrill) {
        let result = match self.passed {
            Some(true) => PASSED,
            Some(false) => FAILED,
            None => NOT_DONE,
        };
        drill.result = Some(result.into());
        let facts = self.outcome.as_ref().and_then(|outcome| outcome.drill.as_ref());
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        drill.discrepancy_count = facts.map_or(0, |facts| number(facts.discrepancy_count));
        drill.discrepancies = facts.map(|facts| facts.discrepancies.clone()).unwrap_or_default();
        if let Some(facts) = facts {
            drill.restore_seconds = Some(number(facts.restore_seconds));
            let began = drill.start_time.as_ref().map(|began| began.0);
            let age = began.map(|began| began.duration_since(facts.snapshot_time).as_secs());
            drill.data_age_seconds = age.map(|age| age.max(0));
        }
    }
}

/// These conditions, with Verified as the result of the last drill that has ended has it.
pub fn with(old: &[Condition], drill: Option<&BackupDrill>, generation: Option<i64>) -> Vec<Condition> {
    let mut own = Conditions::new(old, generation);
    condition(&mut own, drill);
    let is_other = |condition: &&Condition| condition.type_ != ConditionType::Verified.as_str();
    let others = old.iter().filter(is_other).cloned();
    others.chain(own.finish()).collect()
}

/// Adds the condition Verified, as the result of the last drill that has ended has it.
pub fn condition(conditions: &mut Conditions<'_>, drill: Option<&BackupDrill>) {
    let Some((drill, result)) = drill.and_then(|drill| Some((drill, drill.result.as_deref()?))) else {
        return;
    };
    if result == PASSED {
        let took = drill.restore_seconds.unwrap_or_default();
        let message = format!("the backup was restored in {took} s into a scratch database, and equals the snapshot");
        return conditions.set(ConditionType::Verified, true, Reason::Verified, &message);
    }
    let (reason, message) = match &drill.failure {
        Some(failure) => (
            failure.known_reason().unwrap_or(Reason::DrillFailed),
            failure.message.as_str(),
        ),
        None => (
            Reason::DrillFailed,
            "the last drill ended without a result: ask for another drill",
        ),
    };
    if result == FAILED {
        conditions.set(ConditionType::Verified, false, reason, message);
    } else {
        let message = format!(
            "{}. The drill says nothing about the backup",
            text::kept(message, text::MESSAGE - 40)
        );
        conditions.set_unknown(ConditionType::Verified, reason, &message);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use jiff::Timestamp;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use strum::IntoEnumIterator as _;

    use super::*;
    use crate::api::BackupFailure;
    use crate::archive::outcome::DrillFacts;
    use crate::controller::conditions::find;

    fn ended(reason: OutcomeReason) -> DrillEnd {
        let discrepancies = if reason == OutcomeReason::Discrepancies {
            vec!["assertion one: no".to_owned()]
        } else {
            Vec::new()
        };
        DrillEnd::of(Ok(Box::new(Outcome {
            reason,
            retry: reason.may_pass(),
            drill: Some(DrillFacts {
                restore_seconds: 7,
                snapshot_time: Timestamp::UNIX_EPOCH,
                bytes: 1,
                discrepancy_count: discrepancies.len() as u64,
                discrepancies,
            }),
            ..Outcome::done("told")
        })))
    }

    #[test]
    fn only_what_was_found_out_is_said_of_the_backup() {
        for reason in OutcomeReason::iter() {
            let ended = ended(reason);
            let mut drill = BackupDrill {
                failure: (reason != OutcomeReason::Done).then(|| BackupFailure {
                    reason: ended.reason.as_str().into(),
                    message: ended.message.clone(),
                    time: Time(Timestamp::UNIX_EPOCH),
                    last: true,
                    retry: None,
                }),
                start_time: Some(Time(Timestamp::constant(3600, 0))),
                ..BackupDrill::default()
            };
            ended.tell(&mut drill);
            assert_eq!((drill.restore_seconds, drill.data_age_seconds), (Some(7), Some(3600)));
            let mut conditions = Conditions::new(&[], Some(1));
            condition(&mut conditions, Some(&drill));
            let conditions = conditions.finish();
            let verified = find(&conditions, ConditionType::Verified).unwrap();
            let expected = match reason {
                OutcomeReason::Done => ("True", "Passed"),
                OutcomeReason::Discrepancies
                | OutcomeReason::Damaged
                | OutcomeReason::StoreMissing
                | OutcomeReason::RestoreFailed => ("False", "Failed"),
                _ => ("Unknown", "NotDone"),
            };
            assert_eq!(
                (verified.status.as_str(), drill.result.as_deref().unwrap()),
                expected,
                "{reason}"
            );
            assert_eq!(verified.reason == "Verified", reason == OutcomeReason::Done, "{reason}");
            assert_ne!(verified.reason, "BackupFailed", "{reason}");
        }
        let mut conditions = Conditions::new(&[], Some(1));
        condition(&mut conditions, Some(&BackupDrill::default()));
        assert!(conditions.finish().is_empty(), "none has ended");
    }

    #[test]
    fn what_differs_is_told_once_and_what_may_pass_a_few_times() {
        let differs = ended(OutcomeReason::Discrepancies);
        assert!(differs.is_final(0) && differs.reason == Reason::BackupDiffers);
        let broken = ended(OutcomeReason::StoreUnreachable);
        assert!(!broken.is_final(0) && !broken.is_final(1) && broken.is_final(2));
        let blocked = DrillEnd::not_begun(&Error::blocked(Reason::NoScratchServer, "no"));
        assert!(blocked.is_final(0) && blocked.passed.is_none());
    }
}
