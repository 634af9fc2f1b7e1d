//! What is known of a relation or a constraint at one point of the pending scripts.

use std::collections::BTreeMap;

use super::catalog::Column;

/// Whether a relation exists at one point of the scripts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Existence {
    /// The pending scripts create it, so it holds nothing that could be lost.
    New,
    /// No relation has this name.
    Absent,
    /// It exists already. `columns` is none if they are not known.
    There {
        filled: bool,
        columns: Option<BTreeMap<String, Column>>,
    },
}

/// What the pending scripts have changed in a relation.
#[allow(clippy::struct_excessive_bools, reason = "independent facts")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// It shows rows of a table that was there before.
    pub shows: bool,
    /// Everybody may read it.
    pub open: bool,
    /// It has row level security.
    pub walled: bool,
    /// A policy lets everybody read every row.
    pub passed: bool,
    /// It is a view that reads with the rights of the role that uses it.
    pub behind: bool,
    /// By foreign keys, rows of tables that were there before go or change with rows that are deleted from it.
    pub deletes: bool,
    /// They change with rows that are updated in it.
    pub updates: bool,
}

/// The state of a constraint of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KnownConstraint {
    /// The state is not known.
    Unknown,
    /// The table has no such constraint.
    Absent,
    /// It has one of this kind (`pg_constraint.contype`).
    OfKind(char),
}
