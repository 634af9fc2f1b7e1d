//! How migrations are applied to one database.

use std::time::Duration;

use tokio::sync::watch;

use super::guard::consent::Consent;
use crate::api::Resolution;
use crate::postgres::CountedLogin;

/// The time limits of a run.
#[derive(Clone, Copy, Debug)]
pub struct TimeLimits {
    /// The wait for the migration lock.
    pub lock: Duration,
    /// A statement's wait for a lock on a table. Later statements of other sessions queue behind it meanwhile.
    pub table_lock: Duration,
    /// One statement; zero for no limit.
    pub statement: Duration,
    /// All pending migrations together.
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
    /// The time limits.
    pub limits: TimeLimits,
    /// Run every script statement by statement, not only those that cannot run in one transaction.
    pub per_statement: bool,
    /// The user's decisions on unfinished migrations and on rows of the history (`migrations.resolve`).
    pub resolve: Vec<Resolution>,
    /// The last migration whose changes a database without a history already holds (`migrations.baseline`).
    pub baseline: Option<String>,
    /// The login for a second session that finds out which session blocks a script; the same as the script's.
    pub login: Option<CountedLogin>,
    /// When the pending migrations need approval; without it they never do.
    pub consent: Option<Consent>,
    /// Becomes true when the operator is stopping: it then starts no further script.
    pub stop: Option<watch::Receiver<bool>>,
}
