//! Errors of the work on a backup.

use super::outcome::{Outcome, OutcomeReason};
use crate::error::ErrorClass;
use crate::postgres;
use crate::text;

/// Why the work on a backup failed. The message says what is wrong and what to do next. It has no password, no URL with
/// a password, and no key.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{message}")]
pub struct Error {
    /// The kind.
    pub reason: OutcomeReason,
    /// What is wrong, and what to do.
    pub message: String,
}

/// The result of work on a backup.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of this kind. The message becomes one line without control characters.
    pub fn new(reason: OutcomeReason, message: impl AsRef<str>) -> Self {
        Self {
            reason,
            message: text::line(message.as_ref(), text::MESSAGE - 1),
        }
    }

    /// The class of the error: who can resolve it.
    pub fn class(&self) -> ErrorClass {
        if self.reason.may_pass() {
            ErrorClass::Transient
        } else {
            ErrorClass::Blocked
        }
    }
}

impl From<postgres::Error> for Error {
    fn from(error: postgres::Error) -> Self {
        let reason = match &error {
            postgres::Error::Unreachable(_)
            | postgres::Error::Timeout(_)
            | postgres::Error::NoSecondSession(_)
            | postgres::Error::UnknownTenant => OutcomeReason::Unreachable,
            postgres::Error::LoginFailed { .. } => OutcomeReason::WrongPassword,
            postgres::Error::UntrustedServer(_) | postgres::Error::InsecureLogin { .. } => {
                OutcomeReason::UntrustedServer
            }
            postgres::Error::InvalidUrl(_)
            | postgres::Error::TransactionPooler
            | postgres::Error::OptionsLost(_)
            | postgres::Error::InvalidRole(_) => OutcomeReason::InvalidOrder,
            // lock_not_available, query_canceled
            postgres::Error::Refused { sqlstate, .. } if sqlstate == "55P03" => OutcomeReason::LockTimeout,
            postgres::Error::Refused { sqlstate, .. } if postgres::is_transient(sqlstate) => OutcomeReason::Unreachable,
            _ => OutcomeReason::DatabaseRefused,
        };
        Self::new(reason, error.to_string())
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        postgres::Error::from(error).into()
    }
}

impl From<Error> for Outcome {
    fn from(error: Error) -> Self {
        Self {
            reason: error.reason,
            retry: error.reason.may_pass(),
            message: error.message,
            backup: None,
            drill: None,
        }
    }
}
