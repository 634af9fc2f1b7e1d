//! PostgreSQL's lexical rules, as far as needed to find where statements begin and end and what
//! they are: PostgreSQL manual 4.1 "Lexical Structure", and psql's rule for `BEGIN ATOMIC` bodies.

mod redact;

use std::ops::Range;

pub use redact::without_literals;

/// How a statement relates to transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing but white space and comments.
    Empty,
    /// `BEGIN` or `START TRANSACTION`.
    Begin,
    /// The end of a transaction: `COMMIT`, `END`, `ROLLBACK`, `ABORT`.
    End,
    /// As [`Kind::End`] with `AND CHAIN`: the next transaction is open at once.
    Chain,
    /// `PREPARE TRANSACTION`, which leaves the work to another session.
    Prepare,
    /// PostgreSQL refuses it inside a transaction; the words name it.
    Outside(&'static str),
    /// `COPY … FROM STDIN`, whose data only psql sends.
    CopyFromStdin,
    /// Any other statement.
    Other,
}

/// One statement with what stands before it; the pieces of a script join to the script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Bytes of the piece, from the end of the one before up to and with the `;`.
    pub span: Range<usize>,
    /// Byte offset of the statement's first token.
    pub start: usize,
    /// What it is.
    pub kind: Kind,
}

/// Text that is not SQL for a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LexError {
    /// Byte offset.
    pub at: usize,
    /// What is wrong.
    pub what: &'static str,
}

/// Splits a script at its top-level semicolons.
///
/// # Errors
/// A quote or comment without end, or a backslash outside of quotes (a psql command).
pub fn split(sql: &str) -> Result<Vec<Piece>, LexError> {
    let mut lexer = Lexer {
        sql,
        bytes: sql.as_bytes(),
        at: 0,
    };
    let (mut pieces, mut from) = (Vec::new(), 0);
    let mut seen = Seen::default();
    while let Some(token) = lexer.next()? {
        if token.is(b";", sql) && seen.parens == 0 && seen.atomic == 0 {
            pieces.push(seen.piece(from..lexer.at, token.span.start));
            from = lexer.at;
            seen = Seen::default();
        } else {
            seen.take(&token, sql);
        }
    }
    if from < sql.len() {
        pieces.push(seen.piece(from..sql.len(), sql.len()));
    }
    Ok(pieces)
}

/// The name that `CREATE INDEX CONCURRENTLY` gives to its index, when the script is one and names it.
pub fn concurrent_index(sql: &str) -> Option<String> {
    let mut lexer = Lexer {
        sql,
        bytes: sql.as_bytes(),
        at: 0,
    };
    let (mut words, mut concurrently) = (0, false);
    loop {
        let token = lexer.next().ok()??;
        let text = &sql[token.span];
        let upper = if token.kind == TokenKind::Word {
            text.to_ascii_uppercase()
        } else {
            String::new()
        };
        words += 1;
        match (words, upper.as_str()) {
            (1, "CREATE") | (2.., "UNIQUE" | "INDEX") if !concurrently => {}
            (3.., "CONCURRENTLY") if !concurrently => concurrently = true,
            (_, "IF" | "NOT" | "EXISTS") if concurrently => {}
            (_, "ON") => return None,
            _ if !concurrently => return None,
            (_, "") => return Some(text.trim_matches('"').replace("\"\"", "\"")),
            _ => return Some(text.to_ascii_lowercase()),
        }
    }
}

/// What is known of the statement being read.
#[derive(Default)]
struct Seen {
    start: Option<usize>,
    /// Words outside of parentheses in upper case, `(` where parentheses opened; the first few.
    words: Vec<String>,
    last: [String; 2],
    parens: usize,
    atomic: usize,
    from_stdin: bool,
}

/// Enough to see `CREATE UNIQUE INDEX CONCURRENTLY` or `ALTER DATABASE x SET TABLESPACE`.
const WORDS: usize = 12;

impl Seen {
    fn take(&mut self, token: &Token, sql: &str) {
        self.start.get_or_insert(token.span.start);
        match token.kind {
            TokenKind::Symbol if token.is(b"(", sql) => {
                if self.parens == 0 && self.words.len() < WORDS {
                    self.words.push("(".to_owned());
                }
                self.parens += 1;
            }
            TokenKind::Symbol if token.is(b")", sql) => self.parens = self.parens.saturating_sub(1),
            TokenKind::Word | TokenKind::Quoted if self.parens == 0 => {
                let word = if token.kind == TokenKind::Word {
                    sql[token.span.clone()].to_ascii_uppercase()
                } else {
                    "\"".to_owned()
                };
                self.body(&word);
                self.from_stdin |= word == "STDIN" && self.last[1] == "FROM";
                if self.words.len() < WORDS {
                    self.words.push(word.clone());
                }
                self.last.swap(0, 1);
                self.last[1] = word;
            }
            TokenKind::Symbol | TokenKind::Word | TokenKind::Quoted => {}
        }
    }

    /// `CREATE FUNCTION … BEGIN ATOMIC …; END` holds semicolons of its own.
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
            "ATOMIC" if self.atomic == 0 && self.last[1] == "BEGIN" => self.atomic = 1,
            "CASE" if self.atomic > 0 => self.atomic += 1,
            "END" if self.atomic > 0 => self.atomic -= 1,
            _ => {}
        }
    }

    fn piece(&self, span: Range<usize>, end: usize) -> Piece {
        let kind = if self.start.is_some() { self.kind() } else { Kind::Empty };
        Piece {
            start: self.start.unwrap_or(end),
            span,
            kind,
        }
    }

    fn kind(&self) -> Kind {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        let chain = words.windows(2).any(|pair| pair == ["AND", "CHAIN"]);
        match words.as_slice() {
            ["BEGIN", ..] | ["START", "TRANSACTION", ..] => Kind::Begin,
            ["COMMIT" | "ROLLBACK", "PREPARED", ..] => Kind::Outside("COMMIT or ROLLBACK PREPARED"),
            ["ROLLBACK", "TO", ..] | ["ROLLBACK", "WORK" | "TRANSACTION", "TO", ..] => Kind::Other,
            ["COMMIT" | "END" | "ROLLBACK" | "ABORT", ..] if chain => Kind::Chain,
            ["COMMIT" | "END" | "ROLLBACK" | "ABORT", ..] => Kind::End,
            ["PREPARE", "TRANSACTION", ..] => Kind::Prepare,
            ["COPY", ..] if self.from_stdin => Kind::CopyFromStdin,
            words => outside(words).map_or(Kind::Other, Kind::Outside),
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

#[derive(Clone, Copy, PartialEq, Eq)]
enum TokenKind {
    Word,
    Quoted,
    Symbol,
}

struct Token {
    span: Range<usize>,
    kind: TokenKind,
}

impl Token {
    fn is(&self, symbol: &[u8], sql: &str) -> bool {
        self.kind == TokenKind::Symbol && sql.as_bytes().get(self.span.clone()) == Some(symbol)
    }
}

struct Lexer<'a> {
    sql: &'a str,
    bytes: &'a [u8],
    at: usize,
}

fn word_begins(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

fn word_goes_on(byte: u8) -> bool {
    word_begins(byte) || byte.is_ascii_digit()
}

impl Lexer<'_> {
    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn next(&mut self) -> Result<Option<Token>, LexError> {
        self.blank()?;
        let start = self.at;
        let Some(&byte) = self.bytes.get(start) else {
            return Ok(None);
        };
        let kind = match byte {
            b'\'' => self.string(start, false)?,
            b'"' => {
                self.quoted(start, b'"', false, "a quoted name without end")?;
                TokenKind::Quoted
            }
            b'$' if self.dollar(start)? => TokenKind::Symbol,
            b'\\' => {
                return Err(LexError {
                    at: start,
                    what: "a psql command (backslash) is not SQL",
                });
            }
            b'e' | b'E' if self.peek(1) == b'\'' => {
                self.at += 1;
                self.string(start, true)?
            }
            _ if word_begins(byte) => {
                while word_goes_on(self.peek(0)) || self.peek(0) == b'$' {
                    self.at += 1;
                }
                TokenKind::Word
            }
            _ if byte.is_ascii_digit() => {
                while word_goes_on(self.peek(0)) {
                    self.at += 1;
                }
                TokenKind::Symbol
            }
            _ => {
                self.at += 1;
                TokenKind::Symbol
            }
        };
        Ok(Some(Token {
            span: start..self.at,
            kind,
        }))
    }

    /// White space and comments.
    fn blank(&mut self) -> Result<(), LexError> {
        loop {
            match (self.peek(0), self.peek(1)) {
                (b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c, _) => self.at += 1,
                (b'-', b'-') => self.line_comment(),
                (b'/', b'*') => self.block_comment()?,
                _ => return Ok(()),
            }
        }
    }

    fn line_comment(&mut self) {
        while self.at < self.bytes.len() && !matches!(self.peek(0), b'\n' | b'\r') {
            self.at += 1;
        }
    }

    fn block_comment(&mut self) -> Result<(), LexError> {
        let (start, mut depth) = (self.at, 0_usize);
        loop {
            match (self.peek(0), self.peek(1)) {
                (b'/', b'*') => (depth, self.at) = (depth + 1, self.at + 2),
                (b'*', b'/') => (depth, self.at) = (depth - 1, self.at + 2),
                _ if self.at >= self.bytes.len() => {
                    return Err(LexError {
                        at: start,
                        what: "a comment without end",
                    });
                }
                _ => self.at += 1,
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }

    /// A string with the parts that follow on later lines; they keep the first part's rules.
    fn string(&mut self, start: usize, escapes: bool) -> Result<TokenKind, LexError> {
        loop {
            self.quoted(start, b'\'', escapes, "a string without end")?;
            let end = self.at;
            while matches!(self.peek(0), b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
                || self.peek(0) == b'-' && self.peek(1) == b'-'
            {
                if self.peek(0) == b'-' {
                    self.line_comment();
                } else {
                    self.at += 1;
                }
            }
            if self.peek(0) != b'\'' || !self.sql[end..self.at].contains(['\n', '\r']) {
                self.at = end;
                return Ok(TokenKind::Symbol);
            }
        }
    }

    fn quoted(&mut self, start: usize, quote: u8, escapes: bool, what: &'static str) -> Result<(), LexError> {
        self.at += 1;
        loop {
            match (self.peek(0), self.peek(1)) {
                _ if self.at >= self.bytes.len() => return Err(LexError { at: start, what }),
                (b'\\', _) if escapes => self.at += 2,
                (a, b) if a == quote && b == quote => self.at += 2,
                (a, _) if a == quote => {
                    self.at += 1;
                    return Ok(());
                }
                _ => self.at += 1,
            }
        }
    }

    /// `$tag$ … $tag$`; false when this `$` begins no such string.
    fn dollar(&mut self, start: usize) -> Result<bool, LexError> {
        let mut end = start + 1;
        while self.bytes.get(end).is_some_and(|&b| word_goes_on(b)) {
            end += 1;
        }
        let digit = self.peek(1).is_ascii_digit();
        if digit || self.bytes.get(end) != Some(&b'$') {
            return Ok(false);
        }
        let tag = &self.sql[start..=end];
        let body = end + 1;
        let length = self.sql[body..].find(tag).ok_or(LexError {
            at: start,
            what: "a dollar-quoted string without end",
        })?;
        self.at = body + length + tag.len();
        Ok(true)
    }
}

#[cfg(test)]
#[path = "lexer_tests.rs"]
mod tests;
