//! How far a database is with the migrations of a source.

use super::history::History;
use super::source::Source;

/// Where a database stands against a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Migrations of the source that are applied.
    pub applied: usize,
    /// Migrations of the source that are not.
    pub pending: usize,
    /// What must be written into the history before more is applied: of unfinished ones, and as a person
    /// has said.
    pub unsettled: usize,
    /// The last migration of the source that is applied.
    pub current: Option<String>,
    /// Where the history and the source do not agree, and the tool goes on all the same; empty when
    /// they agree.
    pub divergence: String,
}

impl Status {
    /// Where a history stands against a source.
    pub(super) fn of(history: &History, source: &Source) -> Self {
        let applied: Vec<_> = source
            .migrations()
            .iter()
            .filter(|migration| history.has(migration))
            .collect();
        Self {
            applied: applied.len(),
            pending: source.len() - applied.len(),
            unsettled: 0,
            current: applied.last().map(|migration| migration.name.clone()),
            divergence: history.divergence(source).describe(),
        }
    }

    /// Nothing is to be done.
    pub fn is_done(&self) -> bool {
        self.pending == 0 && self.unsettled == 0
    }
}
