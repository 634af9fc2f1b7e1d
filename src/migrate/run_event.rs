//! The events of a run of migrations, for its observer.

use std::time::Duration;

/// An event of a run of migrations.
#[derive(Clone, Debug)]
pub enum RunEvent<'a> {
    /// A migration starts.
    Started {
        /// Its name.
        name: &'a str,
        /// Its position in the source, from 1; 0 if it is started again, statement by statement.
        number: usize,
        /// Number of migrations in the source; 0 if it is started again.
        of: usize,
        /// It is run statement by statement: after a failure the statements before it stay committed.
        per_statement: bool,
    },
    /// The migration waits for a lock of another session, or no longer waits.
    Blocked {
        /// Description of the other session; `None` if the migration no longer waits.
        by: Option<&'a str>,
    },
    /// A migration is applied and recorded.
    Applied {
        /// Its name.
        name: &'a str,
        /// How long it took.
        took: Duration,
    },
}
