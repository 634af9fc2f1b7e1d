//! How migrations are applied to one database.

use std::time::Duration;

use tokio::sync::watch;

use super::guard::consent::Consent;
use crate::api::Resolution;
use crate::postgres::Login;

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct TimeLimits {
    /// Waiting for the migration lock.
    pub lock: Duration,
    /// A statement's wait for a lock on a table: while it waits, everybody behind it waits too.
    pub table_lock: Duration,
    /// One statement; zero for no limit of its own.
    pub statement: Duration,
    /// All of it.
    pub total: Duration,
}

impl Default for TimeLimits {
    fn default() -> Self {
        Self {
            lock: Duration::from_secs(10),
            table_lock: Duration::from_secs(10),
            statement: Duration::ZERO,
            total: Duration::from_hours(1),
        }
    }
}

/// How migrations are applied.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// How long things may take.
    pub limits: TimeLimits,
    /// Every script is run statement by statement, not only those that cannot be run otherwise.
    pub per_statement: bool,
    /// What a person says of migrations that did not finish, or that the operator cannot know.
    pub resolve: Vec<Resolution>,
    /// The last migration whose changes a database without a history holds already.
    pub baseline: Option<String>,
    /// The login that tells, over a second session, who holds up a script; the script's own.
    pub login: Option<Login>,
    /// What of it needs a person's word; without it nothing does.
    pub consent: Option<Consent>,
    /// Becomes true when the operator is told to stop: no further script is begun.
    pub stop: Option<watch::Receiver<bool>>,
}
