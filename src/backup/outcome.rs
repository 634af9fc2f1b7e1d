//! Maps the outcome of a Job to a reason of conditions.

use crate::api::condition::Reason;
use crate::archive::{Outcome, OutcomeReason};

/// The end of a Job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobEnd {
    /// The Job succeeded.
    Done(Box<Outcome>),
    /// The Job failed.
    Failed {
        /// Why.
        reason: Reason,
        /// What is wrong, and what to do.
        message: String,
        /// Another Job may succeed.
        retry: bool,
    },
}

impl JobEnd {
    /// The end of a Job with this outcome, or whose pod left none for this cause. Where an earlier Job stored the backup and
    /// its outcome was lost, the next Job reports success.
    pub fn of(outcome: Result<Box<Outcome>, String>) -> Self {
        match outcome {
            Ok(outcome) if outcome.reason == OutcomeReason::Done => Self::Done(outcome),
            Ok(outcome) => Self::Failed {
                reason: reason(outcome.reason),
                message: outcome.message,
                retry: outcome.retry,
            },
            Err(why) => Self::Failed {
                reason: Reason::BackupFailed,
                message: format!("the Job left no outcome: {why}"),
                retry: true,
            },
        }
    }
}

/// The reason of conditions for one of a Job.
pub fn reason(of: OutcomeReason) -> Reason {
    use OutcomeReason as Of;
    match of {
        Of::Done => Reason::BackedUp,
        Of::Unreachable => Reason::DatabaseUnreachable,
        Of::WrongPassword => Reason::LoginFailed,
        Of::UntrustedServer => Reason::TlsFailed,
        Of::DatabaseRefused => Reason::DatabaseRefused,
        Of::StoreFull => Reason::StoreFull,
        Of::StoreRefused => Reason::StoreRefused,
        Of::StoreMissing => Reason::StoreMissing,
        Of::StoreUnreachable => Reason::StoreUnreachable,
        Of::StoreUnsafe => Reason::StoreUnsafe,
        Of::DeadlineExceeded => Reason::DeadlineExceeded,
        Of::RestoreFailed => Reason::RestoreFailed,
        Of::Damaged => Reason::BackupDamaged,
        Of::WrongKey => Reason::BackupKeyMissing,
        Of::NotEmpty => Reason::DatabaseNotEmpty,
        Of::Incompatible => Reason::BackupIncompatible,
        Of::OtherDatabase => Reason::InvalidEntry,
        Of::OtherTenant => Reason::DatabaseGone,
        Of::Discrepancies => Reason::BackupDiffers,
        Of::LockTimeout | Of::DumpFailed | Of::AlreadyExists | Of::Interrupted | Of::InvalidOrder => {
            Reason::BackupFailed
        }
    }
}

#[cfg(test)]
mod tests {
    use strum::IntoEnumIterator as _;

    use super::*;

    #[test]
    fn only_what_is_done_is_done() {
        for reason in OutcomeReason::iter() {
            let outcome = Outcome {
                reason,
                ..Outcome::done("told")
            };
            let is_done = matches!(JobEnd::of(Ok(Box::new(outcome))), JobEnd::Done(_));
            assert_eq!(is_done, reason == OutcomeReason::Done, "{reason}");
        }
    }
}
