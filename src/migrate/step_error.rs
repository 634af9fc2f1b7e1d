//! Why a step of a script failed that runs statement by statement.

use super::error::Error;
use super::run::ScriptError;

/// Why a step failed: because of the script, or because of something else.
pub(super) enum StepError {
    Script(ScriptError),
    Other(Error),
}

impl From<Error> for StepError {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl From<sqlx::Error> for StepError {
    fn from(error: sqlx::Error) -> Self {
        Self::Other(error.into())
    }
}

impl From<StepError> for Error {
    fn from(error: StepError) -> Self {
        match error {
            StepError::Script(error) => error.into_migration(),
            StepError::Other(error) => error,
        }
    }
}

/// The result of a step.
pub(super) type StepResult = std::result::Result<(), StepError>;
