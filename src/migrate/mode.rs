//! How a script is run, decided from its statements before any database is touched.

use super::aside::in_place;
use super::kinds;
use super::lexer::{self, FROM_STDIN, LexError, Piece, StatementKind};
use super::source_error::SourceError;
use crate::api::MigrationFormat as Format;

/// How a script is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// In one transaction together with its row in the history. This is the normal case.
    Atomic,
    /// As one message outside of a transaction: a single statement that PostgreSQL refuses inside a
    /// transaction, or a script with its own BEGIN and COMMIT.
    Whole,
    /// One statement after the other: a script of several statements, at least one of which PostgreSQL
    /// refuses inside a transaction. After a failure the statements before it stay committed.
    PerStatement,
}

/// How a script is run, according to its statements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Execution {
    pub mode: Mode,
    /// It has its own BEGIN or COMMIT, code that commits, or a statement that leaves parts after a failure.
    pub own_transactions: bool,
    /// One of its statements cannot run inside a transaction in some databases.
    pub unsure: bool,
    /// The COMMIT that it ends with.
    pub last_commit: Option<LastCommit>,
}

/// The COMMIT of a transaction that a script begins, with nothing after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastCommit {
    /// Where it begins, in bytes.
    pub at: usize,
    /// The script has no other end of a transaction: all of it is in this one.
    pub of_all: bool,
}

/// Decides how a script is run.
///
/// # Errors
/// Where and why it cannot be run.
pub(super) fn execution(file: &str, script: &str, format: Format) -> Result<Execution, SourceError> {
    let pieces = kinds::pieces(script).map_err(|LexError { at, what }| SourceError::text(file, script, at, what))?;
    let mode = mode(&pieces, format).map_err(|(at, what)| SourceError::text(file, script, at, what))?;
    let own = |piece: &Piece| {
        matches!(
            piece.kind,
            StatementKind::Begin | StatementKind::End | StatementKind::Chain
        )
    };
    let unsure = |piece: &Piece| piece.kind == StatementKind::Unsure;
    let commits = |piece: &Piece| kinds::keeps_parts(piece.kind) && !unsure(piece);
    Ok(Execution {
        mode,
        own_transactions: pieces.iter().any(|piece| own(piece) || commits(piece)),
        unsure: pieces.iter().any(unsure),
        last_commit: last_commit(script, &pieces),
    })
}

/// The COMMIT of a transaction that the script begins, if nothing comes after it.
fn last_commit(script: &str, pieces: &[Piece]) -> Option<LastCommit> {
    let mut pieces = pieces.iter().rev().filter(|piece| piece.kind != StatementKind::Empty);
    let last = pieces.next().filter(|piece| piece.kind == StatementKind::End)?;
    if rolls_back(&script[last.start..]) {
        return None;
    }
    let before = pieces.find(|piece| {
        matches!(
            piece.kind,
            StatementKind::Begin | StatementKind::End | StatementKind::Chain
        )
    });
    before.filter(|piece| piece.kind != StatementKind::End)?;
    let ends = |piece: &Piece| matches!(piece.kind, StatementKind::End | StatementKind::Chain);
    Some(LastCommit {
        at: last.start,
        of_all: before.is_some_and(|piece| !ends(piece)) && !pieces.any(ends),
    })
}

/// Whether the end of a transaction is no COMMIT.
pub(super) fn rolls_back(end: &str) -> bool {
    let word = end.get(..5).unwrap_or_default();
    ["rollb", "abort"].iter().any(|back| word.eq_ignore_ascii_case(back))
}

/// The statements as the Supabase CLI records them (`parser.SplitAndTrim`): without semicolons and surrounding
/// white space, and without empty statements.
pub(super) fn statements(script: &str) -> Vec<String> {
    in_place(script.len(), || recorded(script))
}

fn recorded(script: &str) -> Vec<String> {
    let pieces = lexer::split(script).unwrap_or_default();
    let trimmed = pieces
        .iter()
        .map(|piece| script[piece.span.clone()].trim_end_matches(';').trim());
    trimmed
        .filter(|statement| !statement.is_empty())
        .map(ToOwned::to_owned)
        .collect()
}

/// Refuses a seed's script if one of its statements leaves the seed's transaction.
pub(super) fn check_seed(file: &str, script: &str) -> Result<(), SourceError> {
    let pieces = kinds::pieces(script).map_err(|LexError { at, what }| SourceError::text(file, script, at, what))?;
    for piece in &pieces {
        let what = match piece.kind {
            StatementKind::Empty | StatementKind::Other | StatementKind::Unsure => continue,
            StatementKind::CopyClient(FROM_STDIN) => {
                format!("{FROM_STDIN} needs psql; put the rows into a .csv file of the seed")
            }
            StatementKind::CopyClient(copy) => format!("{copy} needs psql; remove it"),
            StatementKind::Outside(what) => {
                format!("{what} cannot run inside a transaction, and a seed is one transaction")
            }
            _ => "a seed is one transaction, and its scripts cannot begin or end one; remove this statement".to_owned(),
        };
        return Err(SourceError::text(file, script, piece.start, what));
    }
    Ok(())
}

/// The mode of a script, or where and why it cannot be run.
fn mode(pieces: &[Piece], format: Format) -> Result<Mode, (usize, String)> {
    let (mut open, mut own, mut outside, mut count) = (None, false, None, 0);
    for piece in pieces.iter().filter(|piece| piece.kind != StatementKind::Empty) {
        count += 1;
        match piece.kind {
            StatementKind::Begin => (own, open) = (true, open.or(Some(piece.start))),
            StatementKind::Chain => (own, open) = (true, Some(piece.start)),
            StatementKind::End => (own, open) = (true, None),
            StatementKind::Outside(what) => outside = outside.or(Some((piece.start, what))),
            StatementKind::Prepare => {
                return Err((
                    piece.start,
                    "PREPARE TRANSACTION would leave the migration's transaction to another session; use COMMIT".into(),
                ));
            }
            StatementKind::CopyClient(copy) => {
                let cure = if copy == FROM_STDIN {
                    "write INSERT"
                } else {
                    "remove it"
                };
                return Err((piece.start, format!("{copy} needs psql; {cure}")));
            }
            StatementKind::Empty | StatementKind::Other | StatementKind::Unsure => {}
        }
        if let (Some(begin), StatementKind::Outside(what)) = (open, piece.kind) {
            let what = format!("{what} cannot run inside the transaction that the script begins before it");
            return Err((begin.max(piece.start), what));
        }
    }
    match (open, outside) {
        (Some(at), _) => Err((
            at,
            "this transaction is never committed, so it would be rolled back; add COMMIT, or remove BEGIN".into(),
        )),
        // sqlx sends every script as one message, which the server runs in one transaction.
        (None, Some((at, what))) if count > 1 && format == Format::Sqlx => Err((
            at,
            format!(
                "{what} cannot run inside a transaction, and sqlx runs a script of several statements in one; move it to a migration of its own"
            ),
        )),
        (None, Some(_)) if count > 1 => Ok(Mode::PerStatement),
        (None, Some(_)) => Ok(Mode::Whole),
        (None, None) if own => Ok(Mode::Whole),
        (None, None) => Ok(Mode::Atomic),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_commit_that_a_script_ends_with_is_found() {
        for (script, found) in [
            ("BEGIN; SELECT 1; COMMIT;", Some((17, true))),
            ("BEGIN; SELECT 1; COMMIT; -- end", Some((17, true))),
            ("SELECT 1; BEGIN; SELECT 1; end work", Some((27, true))),
            ("BEGIN; SELECT 1; COMMIT; BEGIN; COMMIT", Some((32, false))),
            ("BEGIN; COMMIT AND CHAIN; SELECT 1; COMMIT", Some((35, false))),
            ("BEGIN; SELECT 1; ROLLBACK;", None),
            ("BEGIN; SELECT 1; abort", None),
            ("BEGIN; SELECT 1; COMMIT; SELECT 2", None),
            ("SELECT 1; COMMIT;", None),
            ("BEGIN; COMMIT; COMMIT;", None),
            ("SELECT 1", None),
            (
                "BEGIN; COMMIT; CREATE INDEX CONCURRENTLY i ON t (a); BEGIN; COMMIT",
                Some((60, false)),
            ),
        ] {
            let read = execution("1.sql", script, Format::Supabase).unwrap();
            let commit = read.last_commit.map(|commit| (commit.at, commit.of_all));
            assert_eq!(commit, found, "{script}");
        }
    }
}
