//! The tokens of SQL.

use std::ops::Range;

/// Text that a server would not accept as SQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LexError {
    /// Byte offset.
    pub at: usize,
    /// What is wrong.
    pub what: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenKind {
    Word,
    Quoted,
    Symbol,
}

pub(super) struct SqlToken {
    pub(super) span: Range<usize>,
    pub(super) kind: TokenKind,
}

impl SqlToken {
    pub(super) fn is(&self, symbol: &[u8], sql: &str) -> bool {
        self.kind == TokenKind::Symbol && sql.as_bytes().get(self.span.clone()) == Some(symbol)
    }
}

pub(super) struct Lexer<'a> {
    sql: &'a str,
    bytes: &'a [u8],
    pub(super) at: usize,
}

pub(super) fn word_begins(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

pub(super) fn word_goes_on(byte: u8) -> bool {
    word_begins(byte) || byte.is_ascii_digit()
}

impl<'a> Lexer<'a> {
    pub(super) fn new(sql: &'a str) -> Self {
        Self {
            sql,
            bytes: sql.as_bytes(),
            at: 0,
        }
    }

    /// The byte at this offset from the current position; 0 after the end.
    pub(super) fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    pub(super) fn next(&mut self) -> Result<Option<SqlToken>, LexError> {
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
                    what: "a psql command (backslash) is not SQL; remove it",
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
        Ok(Some(SqlToken {
            span: start..self.at,
            kind,
        }))
    }

    /// Skips white space and comments.
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

    /// A string with its continuations on later lines, which follow the escape rules of the first part.
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

    /// `$tag$ … $tag$`; false if this `$` starts no such string.
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
