//! The statements of a script: where each begins and ends, and how it relates to transactions.

use std::ops::Range;

use super::token::{LexError, Lexer, SqlToken, TokenKind};
use crate::migrate::aside::in_place;

/// The most statements of one script, empty ones included. A [`Piece`] takes 56 bytes, so they take 14 MB: without
/// the bound, the pieces of 60 MiB of semicolons take 3.5 GB.
pub const MAX_STATEMENTS: usize = 250_000;

const TOO_MANY: &str = "the script has more than 250,000 statements; divide it, or write several rows in one INSERT";

/// Bytes of the longest word that matters to [`StatementKind`], TRANSACTION. A longer one, which may be as long as
/// the script, is not copied.
const LONGEST_WORD: usize = 16;

/// How a statement relates to transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatementKind {
    /// Only white space and comments.
    Empty,
    /// `BEGIN` or `START TRANSACTION`.
    Begin,
    /// The end of a transaction: `COMMIT`, `END`, `ROLLBACK`, `ABORT`.
    End,
    /// As [`StatementKind::End`] with `AND CHAIN`: the next transaction begins at once.
    Chain,
    /// `PREPARE TRANSACTION`, after which another session can commit the transaction.
    Prepare,
    /// PostgreSQL refuses the statement inside a transaction; the text names the statement.
    Outside(&'static str),
    /// Whether PostgreSQL refuses the statement inside a transaction depends on the database: a `CALL` of a procedure that
    /// commits, a `REINDEX` of a partitioned table.
    Unsure,
    /// `COPY` of rows that the client sends or gets: psql does, and a script cannot. One of [`FROM_STDIN`] and
    /// [`TO_STDOUT`].
    CopyClient(&'static str),
    /// Any other statement.
    Other,
}

/// `COPY` with rows of the client.
pub const FROM_STDIN: &str = "COPY … FROM STDIN";
/// `COPY` with rows for the client.
pub const TO_STDOUT: &str = "COPY … TO STDOUT";

/// One statement with the white space and comments before it. The pieces of a script join to the whole script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Bytes of the piece, from the end of the piece before to the `;`, inclusive.
    pub span: Range<usize>,
    /// Byte offset of the statement's first token.
    pub start: usize,
    /// How the statement relates to transactions.
    pub kind: StatementKind,
}

/// Splits a script at its top-level semicolons.
///
/// # Errors
/// A quote or comment without end, a backslash outside of quotes (a psql command), or more than [`MAX_STATEMENTS`]. After
/// [`FROM_STDIN`], which rows may follow that are no SQL, its place and not that of the row.
pub fn split(sql: &str) -> Result<Vec<Piece>, LexError> {
    in_place(sql.len(), || read(sql))
}

fn read(sql: &str) -> Result<Vec<Piece>, LexError> {
    let mut lexer = Lexer::new(sql);
    let (mut pieces, mut from) = (Vec::<Piece>::new(), 0);
    let mut reader = StatementReader::default();
    while let Some(token) = lexer.next().map_err(|error| of_copy(&pieces).unwrap_or(error))? {
        if token.is(b";", sql) && reader.parens == 0 && reader.atomic == 0 {
            if pieces.len() >= MAX_STATEMENTS {
                return Err(LexError {
                    at: token.span.start,
                    what: TOO_MANY,
                });
            }
            pieces.push(reader.piece(from..lexer.at, token.span.start));
            from = lexer.at;
            reader = StatementReader::default();
        } else {
            reader.take(&token, sql);
        }
    }
    if from < sql.len() {
        pieces.push(reader.piece(from..sql.len(), sql.len()));
    }
    Ok(pieces)
}

/// The error of the first `COPY` whose rows follow it in the script.
fn of_copy(pieces: &[Piece]) -> Option<LexError> {
    let copy = pieces
        .iter()
        .find(|piece| piece.kind == StatementKind::CopyClient(FROM_STDIN));
    copy.map(|piece| LexError {
        at: piece.start,
        what: ROWS_FOLLOW,
    })
}

const ROWS_FOLLOW: &str = "COPY … FROM STDIN needs psql: write INSERT, or put the rows into a .csv file of the seed";

/// Collects the words of one statement, which decide on its kind.
#[derive(Default)]
struct StatementReader {
    start: Option<usize>,
    /// The first [`WORDS`] words outside of parentheses in upper case, and `(` for each opening parenthesis.
    words: Vec<String>,
    /// The word right before, or `.`; empty after another symbol.
    last: String,
    parens: usize,
    atomic: usize,
    of_client: Option<&'static str>,
}

/// Enough words to recognize `CREATE UNIQUE INDEX CONCURRENTLY` or `ALTER DATABASE x SET TABLESPACE`.
const WORDS: usize = 12;

impl StatementReader {
    fn take(&mut self, token: &SqlToken, sql: &str) {
        self.start.get_or_insert(token.span.start);
        if token.kind == TokenKind::Symbol {
            self.last.clear();
            self.last.push_str(if token.is(b".", sql) { "." } else { "" });
        }
        match token.kind {
            TokenKind::Symbol if token.is(b"(", sql) => {
                if self.parens == 0 && self.words.len() < WORDS {
                    self.words.push("(".to_owned());
                }
                self.parens += 1;
            }
            TokenKind::Symbol if token.is(b")", sql) => self.parens = self.parens.saturating_sub(1),
            TokenKind::Word | TokenKind::Quoted if self.parens == 0 => {
                let word = if token.kind == TokenKind::Word && token.span.len() <= LONGEST_WORD {
                    sql[token.span.clone()].to_ascii_uppercase()
                } else {
                    "\"".to_owned()
                };
                self.body(&word);
                // Either word means the client, for both directions.
                if matches!(word.as_str(), "STDIN" | "STDOUT") {
                    self.of_client = match self.last.as_str() {
                        "FROM" => Some(FROM_STDIN),
                        "TO" => Some(TO_STDOUT),
                        _ => self.of_client,
                    };
                }
                if self.words.len() < WORDS {
                    self.words.push(word.clone());
                }
                self.last = word;
            }
            TokenKind::Symbol | TokenKind::Word | TokenKind::Quoted => {}
        }
    }

    /// Follows the nesting of `CREATE FUNCTION … BEGIN ATOMIC …; END`, whose semicolons end no piece. A name after a
    /// point or `AS` can be any word.
    fn body(&mut self, word: &str) {
        let mut words = self
            .words
            .iter()
            .map(String::as_str)
            .filter(|w| !matches!(*w, "OR" | "REPLACE"));
        if words.next() != Some("CREATE") || !matches!(words.next(), Some("FUNCTION" | "PROCEDURE")) {
            return;
        }
        match word {
            _ if matches!(self.last.as_str(), "." | "AS") => {}
            "ATOMIC" if self.atomic == 0 && self.last == "BEGIN" => self.atomic = 1,
            "CASE" if self.atomic > 0 => self.atomic += 1,
            "END" if self.atomic > 0 => self.atomic -= 1,
            _ => {}
        }
    }

    fn piece(&self, span: Range<usize>, end: usize) -> Piece {
        let kind = if self.start.is_some() {
            self.kind()
        } else {
            StatementKind::Empty
        };
        Piece {
            start: self.start.unwrap_or(end),
            span,
            kind,
        }
    }

    fn kind(&self) -> StatementKind {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        let chain = words.windows(2).any(|pair| pair == ["AND", "CHAIN"]);
        match words.as_slice() {
            ["BEGIN", ..] | ["START", "TRANSACTION", ..] => StatementKind::Begin,
            ["COMMIT" | "ROLLBACK", "PREPARED", ..] => StatementKind::Outside("COMMIT or ROLLBACK PREPARED"),
            ["ROLLBACK", "TO", ..] | ["ROLLBACK", "WORK" | "TRANSACTION", "TO", ..] => StatementKind::Other,
            ["COMMIT" | "END" | "ROLLBACK" | "ABORT", ..] if chain => StatementKind::Chain,
            ["COMMIT" | "END" | "ROLLBACK" | "ABORT", ..] => StatementKind::End,
            ["PREPARE", "TRANSACTION", ..] => StatementKind::Prepare,
            words => match (words.first(), self.of_client) {
                (Some(&"COPY"), Some(copy)) => StatementKind::CopyClient(copy),
                _ => outside(words).map_or(StatementKind::Other, StatementKind::Outside),
            },
        }
    }
}

/// Statements that call `PreventInTransactionBlock` in PostgreSQL's source (15 to 18).
fn outside(words: &[&str]) -> Option<&'static str> {
    Some(match words {
        ["CREATE", "INDEX", "CONCURRENTLY", ..] | ["CREATE", "UNIQUE", "INDEX", "CONCURRENTLY", ..] => {
            "CREATE INDEX CONCURRENTLY"
        }
        ["DROP", "INDEX", "CONCURRENTLY", ..] => "DROP INDEX CONCURRENTLY",
        ["REINDEX", rest @ ..] if rest.iter().take(4).any(|word| *word == "CONCURRENTLY") => "REINDEX CONCURRENTLY",
        ["REINDEX", "DATABASE" | "SYSTEM" | "SCHEMA", ..] | ["REINDEX", "(", "DATABASE" | "SYSTEM" | "SCHEMA", ..] => {
            "REINDEX DATABASE, SCHEMA or SYSTEM"
        }
        ["VACUUM", ..] => "VACUUM",
        ["CREATE", "DATABASE", ..] => "CREATE DATABASE",
        ["DROP", "DATABASE", ..] => "DROP DATABASE",
        ["CREATE", "TABLESPACE", ..] => "CREATE TABLESPACE",
        ["DROP", "TABLESPACE", ..] => "DROP TABLESPACE",
        ["ALTER", "SYSTEM", ..] => "ALTER SYSTEM",
        ["ALTER", "DATABASE", _, "SET", "TABLESPACE", ..] => "ALTER DATABASE SET TABLESPACE",
        ["ALTER", "TABLE", rest @ .., "CONCURRENTLY"] if rest.contains(&"DETACH") => "DETACH PARTITION CONCURRENTLY",
        ["CREATE" | "DROP", "SUBSCRIPTION", ..] => "CREATE or DROP SUBSCRIPTION",
        ["CLUSTER"] | ["CLUSTER", "VERBOSE" | "("] => "CLUSTER of all tables",
        ["DISCARD", "ALL"] => "DISCARD ALL",
        _ => return None,
    })
}

#[cfg(test)]
#[path = "statement_tests.rs"]
mod tests;
