//! How relations are tied.

/// How a relation is tied to an upper one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tie {
    /// Its rows are rows of the upper one, from which it inherits.
    Child,
    /// The same, and an update of the upper one may move rows into it.
    Partition,
    /// Its foreign key refers to the upper one, and acts when rows there are deleted or updated.
    Key { deletes: bool, updates: bool },
    /// The upper one is a view that reads it.
    View,
}
