//! The running migration, while a part of its script can be committed that no row of the history records: a further run would
//! begin with the first statement. Prisma's history has such a row, and those of the other formats have none.

use parking_lot::Mutex;

use super::error::{Error, Result};
use crate::error::ErrorClass;

/// The name of that migration, if there is one.
#[derive(Default)]
pub(super) struct UnrecordedParts(Mutex<Option<String>>);

impl UnrecordedParts {
    /// A part of this migration can be committed from now on.
    pub fn add(&self, migration: &str) {
        let mut name = self.0.lock();
        if name.is_none() {
            *name = Some(migration.to_owned());
        }
    }

    /// The migration is recorded as applied.
    pub fn clear(&self) {
        *self.0.lock() = None;
    }

    /// The error of a run that was cut off. One that passes by itself would have the script run again. A failure of the script
    /// tells itself what it keeps, and a migration that another tool has applied meanwhile is recorded.
    pub fn blamed(&self, error: Error) -> Error {
        let cut_off = matches!(error, Error::Timeout(_) | Error::Locked { .. } | Error::Database(_));
        let passes = matches!(error.class(), ErrorClass::Transient | ErrorClass::After(_));
        match self.0.lock().take().filter(|_| cut_off && passes) {
            None => error,
            Some(name) => Error::PartsKept {
                name,
                error: Box::new(error),
            },
        }
    }

    /// As [`Self::blamed`], of the outcome of a migration.
    pub fn outcome(&self, outcome: Result<()>) -> Result<()> {
        let outcome = outcome.map_err(|error| self.blamed(error));
        self.clear();
        outcome
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::api::condition::Reason;
    use crate::migrate::failure::ScriptFailure;

    #[test]
    fn a_failure_that_passes_is_not_retried_after_a_commit() {
        let mut failure = ScriptFailure::read_only("1_a", "SELECT 1", 0);
        for (sqlstate, keeps_parts, class) in [
            ("55P03", false, ErrorClass::Transient),
            ("40P01", true, ErrorClass::Blocked),
            ("23505", true, ErrorClass::Invalid),
        ] {
            failure.sqlstate = sqlstate.to_owned();
            failure.keeps_parts = keeps_parts;
            let error = Error::Failed(Box::new(failure.clone()));
            assert_eq!((error.class(), error.reason()), (class, Reason::MigrationFailed));
            assert_eq!(error.to_string().contains("migrations.resolve"), keeps_parts, "{error}");
        }
    }

    #[test]
    fn only_what_would_run_again_is_told() {
        let limit = || Error::Timeout(Duration::from_mins(1));
        let locked = || Error::Locked { holder: "x".into() };
        let gone = || Error::Database(crate::postgres::Error::refused("57P01", "terminating connection"));
        let refused = || Error::Database(crate::postgres::Error::refused("42501", "permission denied"));
        let overtaken = || Error::Overtaken { name: "1_a".into() };
        let parts = UnrecordedParts::default();
        for error in [limit(), locked(), gone()] {
            let (class, ended) = (error.class(), error.gives_up_session());
            let same = parts.blamed(error);
            assert_eq!(same.class(), class);
            parts.add("1_a");
            let told = parts.blamed(same);
            assert_eq!(
                (told.class(), told.reason(), told.gives_up_session()),
                (ErrorClass::Blocked, Reason::MigrationFailed, ended)
            );
            let said = told.to_string();
            assert!(
                said.starts_with("migration 1_a was cut off: ") && said.contains("migrations.resolve"),
                "{said}"
            );
        }
        for error in [refused(), overtaken()] {
            parts.add("1_a");
            assert!(!matches!(parts.blamed(error), Error::PartsKept { .. }));
        }
        parts.add("1_a");
        parts.clear();
        assert!(matches!(parts.blamed(limit()), Error::Timeout(_)));
    }
}
