//! How far a database is with the migrations of a source.

use super::history::History;
use super::source::Source;

/// Which migrations of a source are applied to a database, and which are pending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MigrationsStatus {
    /// Number of migrations of the source that are applied.
    pub applied: usize,
    /// Number of migrations of the source that are not applied.
    pub pending: usize,
    /// Names of the migrations that are not applied.
    pub waiting: Vec<String>,
    /// Number of changes to the history that are due before more is applied: unfinished migrations, and the
    /// user's decisions in `migrations.resolve` and `migrations.baseline`.
    pub unsettled: usize,
    /// The last migration of the source that is applied.
    pub current: Option<String>,
    /// Where the history and the source differ without stopping the tool; empty if they agree.
    pub divergence: String,
}

impl MigrationsStatus {
    /// The status of a source in a history.
    pub(super) fn of(history: &History, source: &Source) -> Self {
        let (applied, waiting): (Vec<_>, Vec<_>) =
            source.migrations().iter().partition(|migration| history.has(migration));
        Self {
            applied: applied.len(),
            pending: source.len() - applied.len(),
            waiting: waiting.into_iter().map(|migration| migration.name.clone()).collect(),
            unsettled: 0,
            current: applied.last().map(|migration| migration.name.clone()),
            divergence: history.divergence(source).describe(),
        }
    }

    /// Whether no migration is pending and the history needs no change.
    pub fn is_done(&self) -> bool {
        self.pending == 0 && self.unsettled == 0
    }
}
