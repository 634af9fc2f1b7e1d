//! What becomes of a migration that began and did not end. `finished_at` says nothing of what a script
//! left behind, so it is never guessed: only what is certain is done without asking.

use sha2::{Digest, Sha256};

use super::lexer::{self, Piece, StatementKind};
use super::source::Migration;
use crate::api::{Resolution, ResolvedAs};

/// Ends the record of a script that left nothing behind: it may be marked rolled back without asking.
pub(super) const NOTHING_KEPT: &str = "orchestra-operator: nothing of this script was kept.";

/// Begins the last line of the record of a script that runs statement by statement.
const COMMITTED: &str = "orchestra-operator: statements committed: ";

/// Ends that line when the statement after them failed, and left nothing.
const FAILED: &str = " (the next one failed)";

/// Ends the record of a row that a person's word has resolved.
pub(super) const RESOLVED: &str = "orchestra-operator: resolved by migrations.resolve.";

/// A row of the history that has neither ended nor been rolled back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unfinished {
    pub id: String,
    pub name: String,
    /// `YYYY-MM-DD HH:MM:SS UTC`
    pub started_at: String,
    pub checksum: String,
    pub logs: String,
}

/// What to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cure {
    /// Nothing of it was kept: mark it rolled back and run it again.
    RollBack,
    /// As a person says, who has looked: the same.
    RollBackAsTold,
    /// As a person says, it is applied.
    Apply,
    /// So many of its statements are committed: mark it rolled back and go on behind them.
    Resume(usize),
    /// Behind so many statements, the next one builds this index, or has built it: ask the database.
    CheckIndex(usize, String),
    /// A person must say.
    Ask,
}

/// How many statements are committed, with a digest of them, so that a changed script goes on only
/// where it begins in the same way.
pub(super) fn committed(script: &str, statements: usize, failed: bool) -> String {
    let tail = if failed { FAILED } else { "" };
    format!("{COMMITTED}{statements} sha256:{}{tail}", prefix(script, statements))
}

fn prefix(script: &str, statements: usize) -> String {
    let mut hash = Sha256::new();
    for piece in pieces(script).iter().take(statements) {
        hash.update(script[piece.span.clone()].trim());
        hash.update([0]);
    }
    hex::encode(hash.finalize())
}

/// The statements of a script without the empty ones.
pub(super) fn pieces(script: &str) -> Vec<Piece> {
    let mut pieces = lexer::split(script).unwrap_or_default();
    pieces.retain(|piece| piece.kind != StatementKind::Empty);
    pieces
}

/// The cure of a row. `migration` is the one of that name in the source; `again` says that a row of this
/// name was resolved by a person's word before.
pub(super) fn cure(row: &Unfinished, migration: Option<&Migration>, resolve: &[Resolution], again: bool) -> Cure {
    let word = resolve.iter().find(|word| {
        (word.name == row.name || migration.is_some_and(|migration| migration.is_named(&word.name)))
            && match &word.started_at {
                Some(started_at) => *started_at == row.started_at,
                None => !again,
            }
    });
    match word.map(|word| word.resolved_as) {
        Some(ResolvedAs::Applied) => return Cure::Apply,
        Some(ResolvedAs::RolledBack) => return Cure::RollBackAsTold,
        None => {}
    }
    let last = row.logs.trim_end().rsplit('\n').next().unwrap_or_default();
    if last == NOTHING_KEPT {
        return Cure::RollBack;
    }
    let Some(migration) = migration else {
        return Cure::Ask;
    };
    let script = &migration.script;
    if let Some(told) = last.strip_prefix(COMMITTED) {
        let failed = told.ends_with(FAILED);
        let mut parts = told.trim_end_matches(FAILED).split(" sha256:");
        let count = parts.next().and_then(|count| count.parse::<usize>().ok());
        let (Some(count), Some(digest)) = (count, parts.next()) else {
            return Cure::Ask;
        };
        if count == 0 && failed {
            return Cure::RollBack;
        }
        if digest != prefix(script, count) {
            return Cure::Ask;
        }
        return next(script, count, failed);
    }
    let one = pieces(script).len() == 1;
    if one && row.checksum == migration.checksum {
        return match next(script, 0, false) {
            Cure::Resume(_) => Cure::Ask,
            other => other,
        };
    }
    Cure::Ask
}

/// Behind `count` statements: whether the next one may have run is certain where it shares a transaction
/// with the record, and where it is known to have failed.
fn next(script: &str, count: usize, failed: bool) -> Cure {
    let pieces = pieces(script);
    match pieces.get(count) {
        Some(piece) if !failed && matches!(piece.kind, StatementKind::Outside(_)) => {
            match lexer::concurrent_index(&script[piece.span.clone()]) {
                Some(index) => Cure::CheckIndex(count, index),
                None => Cure::Ask,
            }
        }
        _ => Cure::Resume(count),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::api::MigrationFormat;
    use crate::migrate::Source;

    fn migration(script: &str) -> Migration {
        let files = vec![("1_a.sql".to_owned(), script.as_bytes().to_vec())];
        let source = Source::read(Some(MigrationFormat::Prisma), files).unwrap();
        source.migrations()[0].clone()
    }

    fn row(migration: &Migration, logs: &str) -> Unfinished {
        Unfinished {
            id: "1".into(),
            name: "1_a".into(),
            started_at: "2026-01-01 00:00:00 UTC".into(),
            checksum: migration.checksum.clone(),
            logs: logs.into(),
        }
    }

    const INDEX: &str = "CREATE INDEX CONCURRENTLY i ON t (a)";

    #[test]
    fn only_what_is_certain_is_done_without_asking() {
        let three = format!("CREATE TABLE t (a int); {INDEX}; SELECT 1;");
        let vacuum = "SELECT 1; VACUUM t; SELECT 2;";
        for (script, logs, cured) in [
            ("SELECT 1", String::new(), Cure::Ask),
            ("VACUUM t", String::new(), Cure::Ask),
            ("VACUUM t", format!("ERROR\n\n{NOTHING_KEPT}"), Cure::RollBack),
            ("VACUUM t", format!("{NOTHING_KEPT}\nand more"), Cure::Ask),
            (INDEX, String::new(), Cure::CheckIndex(0, "i".into())),
            (INDEX, "ERROR: of Prisma itself".into(), Cure::CheckIndex(0, "i".into())),
            (&three, String::new(), Cure::Ask),
            (&three, committed(&three, 0, false), Cure::Resume(0)),
            (&three, committed(&three, 0, true), Cure::RollBack),
            (&three, committed(&three, 1, false), Cure::CheckIndex(1, "i".into())),
            (&three, committed(&three, 1, true), Cure::Resume(1)),
            (&three, committed(&three, 2, false), Cure::Resume(2)),
            (&three, committed(&three, 3, false), Cure::Resume(3)),
            (vacuum, committed(vacuum, 1, false), Cure::Ask),
            (vacuum, committed(vacuum, 1, true), Cure::Resume(1)),
            (vacuum, committed("SELECT 0; VACUUM t; SELECT 2;", 1, true), Cure::Ask),
            (
                vacuum,
                committed("SELECT 1; VACUUM x; SELECT 9;", 1, true),
                Cure::Resume(1),
            ),
            (vacuum, format!("{COMMITTED}x sha256:"), Cure::Ask),
        ] {
            let migration = migration(script);
            let row = row(&migration, &logs);
            assert_eq!(cure(&row, Some(&migration), &[], false), cured, "{script}: {logs}");
        }
        let index = migration(INDEX);
        let edited = Unfinished {
            checksum: "another".into(),
            ..row(&index, "")
        };
        assert_eq!(cure(&edited, Some(&index), &[], false), Cure::Ask);
        assert_eq!(cure(&row(&index, ""), None, &[], false), Cure::Ask);
    }

    #[test]
    fn a_word_counts_once_unless_it_names_the_row() {
        let script = migration("SELECT 1");
        let row = row(&script, "");
        let word = |started_at: Option<&str>| Resolution {
            name: "1_a".into(),
            resolved_as: ResolvedAs::Applied,
            started_at: started_at.map(ToOwned::to_owned),
        };
        for (word, again, cured) in [
            (word(None), false, Cure::Apply),
            (word(None), true, Cure::Ask),
            (word(Some("2026-01-01 00:00:00 UTC")), true, Cure::Apply),
            (word(Some("2025-01-01 00:00:00 UTC")), false, Cure::Ask),
        ] {
            assert_eq!(cure(&row, Some(&script), &[word], again), cured);
        }
    }
}
