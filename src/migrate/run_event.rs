//! What an observer of a run of migrations is told.

use std::time::Duration;

/// Told while migrations are applied.
#[derive(Clone, Debug)]
pub enum RunEvent<'a> {
    /// A migration begins.
    Started {
        /// Its name.
        name: &'a str,
        /// Its place among all of the source, from 1.
        number: usize,
        /// Migrations of the source.
        of: usize,
        /// It is run statement by statement: a failure leaves what stands before it.
        per_statement: bool,
    },
    /// It waits for somebody else's lock, or no longer does.
    Blocked {
        /// By whom, for people.
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
