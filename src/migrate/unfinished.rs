//! What the operator does with a migration that was started and did not finish. A missing `finished_at` does not show what
//! the script changed, and the operator never guesses: without the user's decision it takes only steps that are certainly
//! right.

use sha2::{Digest, Sha256};

use super::aside::in_place;
use super::index::IndexBuild;
use super::kinds;
use super::lexer::{self, Piece, StatementKind};
use super::source::Migration;
use crate::api::{Resolution, ResolvedAs};

/// The last line of the logs of a script that changed nothing: its row can be marked rolled back without asking.
/// Stored in databases; must not change.
pub(super) const NOTHING_KEPT: &str = "orchestra-operator: nothing of this script was kept.";

/// The last line of the logs of a script that failed after it could have committed a part. Operators before it wrote an
/// empty line there. Must not change.
pub(super) const PARTS_KEPT: &str = "orchestra-operator: a part of this script may be kept.";

/// The start of the last line of the logs of a script that runs statement by statement. Must not change.
const COMMITTED: &str = "orchestra-operator: statements committed: ";

/// The end of that line if the next statement failed and changed nothing. Must not change.
const FAILED: &str = " (the next one failed)";

/// The end of that line if the next statement commits by itself, so that a part of it can be in the database. Must not
/// change.
const COMMITS_ITSELF: &str = " (the next one commits by itself)";

/// The state of the statement after those that are committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NextStatement {
    /// The state is not known.
    Unknown,
    /// It failed and changed nothing.
    Failed,
    /// It commits by itself, and a part of it can be in the database.
    CommitsItself,
}

/// The end of the logs of a row that `migrations.resolve` has resolved. Must not change.
pub(super) const RESOLVED: &str = "orchestra-operator: resolved by migrations.resolve.";

/// A row of the history that is neither finished nor rolled back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unfinished {
    pub id: String,
    pub name: String,
    /// `YYYY-MM-DD HH:MM:SS UTC`
    pub started_at: String,
    pub checksum: String,
    pub logs: String,
}

/// The step that an unfinished row leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cure {
    /// The script changed nothing: mark the row rolled back and run the script again.
    RollBack,
    /// The user decided `RolledBack`: mark the row rolled back and run the script again.
    RollBackByUser,
    /// The user decided `Applied`: record the migration as applied.
    Apply,
    /// This many of its statements are committed: mark the row rolled back and continue after them.
    Resume(usize),
    /// The statement after this many builds this index, and it is unknown whether it did: check the database.
    CheckIndex(usize, IndexBuild),
    /// The user must decide.
    Ask,
}

/// The line that records how many statements are committed, with a digest of them: a changed script is continued
/// only if these statements are unchanged.
pub(super) fn committed(script: &str, statements: usize, next: NextStatement) -> String {
    ScriptRecord::new(script, &pieces(script)).line(statements, next)
}

fn prefix(script: &str, statements: usize) -> String {
    ScriptRecord::new(script, &pieces(script)).digest(statements)
}

/// The record of a script that runs statement by statement. A statement is hashed once, however many follow it.
pub(super) struct ScriptRecord<'a> {
    script: &'a str,
    pieces: &'a [Piece],
    hash: Sha256,
    /// Number of statements in the hash.
    hashed: usize,
}

impl<'a> ScriptRecord<'a> {
    /// Before the first statement.
    pub(super) fn new(script: &'a str, pieces: &'a [Piece]) -> Self {
        Self {
            script,
            pieces,
            hash: Sha256::new(),
            hashed: 0,
        }
    }

    /// The line of [`committed`]. The number of statements does not decrease from call to call.
    pub(super) fn line(&mut self, statements: usize, next: NextStatement) -> String {
        let tail = match next {
            NextStatement::Unknown => "",
            NextStatement::Failed => FAILED,
            NextStatement::CommitsItself => COMMITS_ITSELF,
        };
        format!("{COMMITTED}{statements} sha256:{}{tail}", self.digest(statements))
    }

    fn digest(&mut self, statements: usize) -> String {
        let pieces = self.pieces.iter().take(statements).skip(self.hashed);
        in_place(pieces.clone().map(|piece| piece.span.len()).sum(), || {
            for piece in pieces {
                self.hash.update(self.script[piece.span.clone()].trim());
                self.hash.update([0]);
            }
        });
        self.hashed = statements.max(self.hashed);
        hex::encode(self.hash.clone().finalize())
    }
}

/// The statements of a script, without empty ones.
pub(super) fn pieces(script: &str) -> Vec<Piece> {
    let mut pieces = lexer::split(script).unwrap_or_default();
    pieces.retain(|piece| piece.kind != StatementKind::Empty);
    pieces
}

/// The advice for a row. `migration` is the migration of that name in the source; `again` means that an earlier row
/// of this name was resolved by `migrations.resolve`.
pub(super) fn cure(row: &Unfinished, migration: Option<&Migration>, resolve: &[Resolution], again: bool) -> Cure {
    let decision = resolve.iter().find(|decision| {
        (decision.name == row.name || migration.is_some_and(|migration| migration.is_named(&decision.name)))
            && match &decision.started_at {
                Some(started_at) => *started_at == row.started_at,
                None => !again,
            }
    });
    match decision.map(|decision| decision.resolved_as) {
        Some(ResolvedAs::Applied) => return Cure::Apply,
        Some(ResolvedAs::RolledBack) => return Cure::RollBackByUser,
        None => {}
    }
    // The lines before the last one are the text of an error, which a script can choose. White space after it is of no
    // operator's own line.
    let last = row.logs.rsplit('\n').next().unwrap_or_default();
    if last == PARTS_KEPT {
        return Cure::Ask;
    }
    if last == NOTHING_KEPT {
        return Cure::RollBack;
    }
    let Some(migration) = migration else {
        return Cure::Ask;
    };
    let script = &migration.script;
    if last.starts_with(COMMITTED) && last.ends_with(COMMITS_ITSELF) {
        return Cure::Ask;
    }
    if let Some(record) = last.strip_prefix(COMMITTED) {
        let failed = record.ends_with(FAILED);
        let mut parts = record.trim_end_matches(FAILED).split(" sha256:");
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

/// The advice after `count` committed statements. Whether the next statement was committed is certain if it shares
/// a transaction with the record, or if it is known to have failed.
fn next(script: &str, count: usize, failed: bool) -> Cure {
    let pieces = pieces(script);
    match pieces.get(count) {
        Some(piece) if !failed && matches!(kinds::kind(script, piece), StatementKind::Outside(_)) => {
            match IndexBuild::of(&script[piece.span.clone()]) {
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

    fn built() -> IndexBuild {
        IndexBuild::of(INDEX).unwrap()
    }

    #[test]
    #[allow(clippy::too_many_lines, reason = "every case, in its order")]
    fn only_certain_cures_need_no_decision() {
        let three = format!("CREATE TABLE t (a int); {INDEX}; SELECT 1;");
        let own = "BEGIN; INSERT INTO t VALUES (1); COMMIT; SELECT 1 / 0;";
        let vacuum = "SELECT 1; VACUUM t; SELECT 2;";
        let calls = "SELECT 1; CALL p();";
        let block = "SELECT 1; DO $$ BEGIN UPDATE t SET a = 1; COMMIT; END $$;";
        let reindex = "SELECT 1; REINDEX (CONCURRENTLY) TABLE t;";
        for (script, logs, cured) in [
            ("SELECT 1", String::new(), Cure::Ask),
            ("VACUUM t", String::new(), Cure::Ask),
            ("VACUUM t", format!("ERROR\n\n{NOTHING_KEPT}"), Cure::RollBack),
            ("VACUUM t", format!("{NOTHING_KEPT}\nand more"), Cure::Ask),
            (own, format!("ERROR: x\n{NOTHING_KEPT}\n\n{PARTS_KEPT}"), Cure::Ask),
            // As operators have written it that wrote nothing after the error.
            (own, format!("ERROR: x\n{NOTHING_KEPT}\n\n"), Cure::Ask),
            (
                own,
                format!("ERROR: x\n{}\n\n", committed(own, 0, NextStatement::Failed)),
                Cure::Ask,
            ),
            (INDEX, PARTS_KEPT.to_owned(), Cure::Ask),
            (INDEX, String::new(), Cure::CheckIndex(0, built())),
            (INDEX, "ERROR: of Prisma itself".into(), Cure::CheckIndex(0, built())),
            (&three, String::new(), Cure::Ask),
            (&three, committed(&three, 0, NextStatement::Unknown), Cure::Resume(0)),
            (&three, committed(&three, 0, NextStatement::Failed), Cure::RollBack),
            (
                &three,
                committed(&three, 1, NextStatement::Unknown),
                Cure::CheckIndex(1, built()),
            ),
            (&three, committed(&three, 1, NextStatement::Failed), Cure::Resume(1)),
            (&three, committed(&three, 2, NextStatement::Unknown), Cure::Resume(2)),
            (&three, committed(&three, 3, NextStatement::Unknown), Cure::Resume(3)),
            (vacuum, committed(vacuum, 1, NextStatement::Unknown), Cure::Ask),
            (vacuum, committed(vacuum, 1, NextStatement::Failed), Cure::Resume(1)),
            (
                vacuum,
                committed("SELECT 0; VACUUM t; SELECT 2;", 1, NextStatement::Failed),
                Cure::Ask,
            ),
            (
                vacuum,
                committed("SELECT 1; VACUUM x; SELECT 9;", 1, NextStatement::Failed),
                Cure::Resume(1),
            ),
            (vacuum, format!("{COMMITTED}x sha256:"), Cure::Ask),
            (calls, committed(calls, 1, NextStatement::Unknown), Cure::Resume(1)),
            (calls, committed(calls, 1, NextStatement::CommitsItself), Cure::Ask),
            (block, committed(block, 1, NextStatement::Unknown), Cure::Ask),
            (&block["SELECT 1; ".len()..], String::new(), Cure::Ask),
            (reindex, committed(reindex, 1, NextStatement::Unknown), Cure::Ask),
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
    fn a_decision_counts_once_unless_it_names_the_row() {
        let script = migration("SELECT 1");
        let row = row(&script, "");
        let decision = |started_at: Option<&str>| Resolution {
            name: "1_a".into(),
            resolved_as: ResolvedAs::Applied,
            started_at: started_at.map(ToOwned::to_owned),
        };
        for (decision, again, cured) in [
            (decision(None), false, Cure::Apply),
            (decision(None), true, Cure::Ask),
            (decision(Some("2026-01-01 00:00:00 UTC")), true, Cure::Apply),
            (decision(Some("2025-01-01 00:00:00 UTC")), false, Cure::Ask),
        ] {
            assert_eq!(cure(&row, Some(&script), &[decision], again), cured);
        }
    }
}
