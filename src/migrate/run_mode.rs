//! In which mode a pending migration runs, in which other mode it is run again after PostgreSQL has refused one transaction,
//! and what of it can stay after a failure.

use super::failure::ScriptFailure;
use super::mode::Mode;
use super::source::Migration;
use super::unfinished::pieces;
use crate::api::MigrationFormat;

/// `unsafe_new_enum_value_usage`: the script uses an enum value in the transaction that adds it.
const NEW_ENUM_VALUE: &str = "55P04";

/// The statements of a script that stay after a later one has failed, beside those before a COMMIT of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kept {
    /// None: the script runs in one transaction.
    #[default]
    Nothing,
    /// None, unless the script adds a value to an enum type: Prisma's engine and the operator then run it again statement by
    /// statement.
    StatementsOfNewEnumValue,
    /// Each statement before the one that fails.
    Statements,
}

/// The mode in which a migration runs. `committed`: the number of its statements that an earlier attempt has committed; such
/// a migration is continued statement by statement. `per_statement`: the spec demands that mode for all scripts.
pub(super) fn of(migration: &Migration, committed: usize, per_statement: bool) -> Mode {
    if per_statement || committed > 0 {
        Mode::PerStatement
    } else {
        migration.mode
    }
}

/// What can stay of a migration that runs in this mode, or is run again in another one.
pub(super) fn kept(mode: Mode, unsure: bool, format: MigrationFormat) -> Kept {
    match (mode, format) {
        (Mode::PerStatement, _) => Kept::Statements,
        (Mode::Atomic, format) if unsure && format != MigrationFormat::Sqlx => Kept::Statements,
        (Mode::Atomic, MigrationFormat::Prisma) => Kept::StatementsOfNewEnumValue,
        _ => Kept::Nothing,
    }
}

/// The mode in which a script is run again that failed in one transaction and left nothing: PostgreSQL refuses one of its
/// statements there.
pub(super) fn again(failure: &ScriptFailure, migration: &Migration, format: MigrationFormat) -> Option<Mode> {
    if failure.sqlstate == NEW_ENUM_VALUE {
        // The new value can be used only after a commit. Prisma's engine does the same since 7.4.
        return (format == MigrationFormat::Prisma).then_some(Mode::PerStatement);
    }
    if !failure.needs_no_transaction() {
        return None;
    }
    match pieces(&migration.script).len() {
        // This includes statements of extensions, which the grammar does not identify.
        1 => Some(Mode::Whole),
        // sqlx sends every script as one message, which the server runs in one transaction.
        _ => (migration.unsure && format != MigrationFormat::Sqlx).then_some(Mode::PerStatement),
    }
}

/// What can stay of a script of the Supabase CLI's format, which runs in the mode that its statements need.
#[cfg(test)]
pub(super) fn kept_of(script: &str) -> Kept {
    let format = MigrationFormat::Supabase;
    let read = super::mode::execution("m.sql", script, format);
    read.map_or(Kept::Nothing, |read| kept(read.mode, read.unsure, format))
}
