//! Variables in psql's syntax: `:'name'` for a value, `:"name"` for an identifier.

use std::ops::Range;

use super::token::{LexError, Lexer, TokenKind, word_begins};
use crate::migrate::aside::in_place;

/// How the value of a variable is quoted in the script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quoting {
    /// `:'name'`: as a string literal.
    Literal,
    /// `:"name"`: as a quoted identifier.
    Identifier,
}

/// A variable in a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// From the colon to the closing quote.
    pub span: Range<usize>,
    /// The name between the quotes.
    pub name: String,
    /// How its value is quoted.
    pub quoting: Quoting,
}

/// The variables of a script. Casts (`::`), `:=` and array slices (in square brackets, a colon before a word or a
/// quoted name) are no variables; strings, comments and dollar quotes contain none.
///
/// # Errors
/// Text that [`super::statement::split`] refuses, and a bare `:name`, whose value would become part of the script.
pub fn variables(sql: &str) -> Result<Vec<Variable>, LexError> {
    in_place(sql.len(), || read(sql))
}

fn read(sql: &str) -> Result<Vec<Variable>, LexError> {
    let mut lexer = Lexer::new(sql);
    let (mut found, mut brackets, mut string) = (Vec::new(), 0_usize, false);
    while let Some(token) = lexer.next()? {
        let after_string = std::mem::replace(&mut string, is_string(&sql[token.span.clone()], token.kind));
        if token.is(b"[", sql) {
            brackets += 1;
        } else if token.is(b"]", sql) {
            brackets = brackets.saturating_sub(1);
        }
        if !token.is(b":", sql) {
            continue;
        }
        let at = token.span.start;
        let quoting = match lexer.peek(0) {
            b'\'' => Quoting::Literal,
            b'"' if brackets == 0 => Quoting::Identifier,
            b':' | b'=' => {
                lexer.at += 1;
                continue;
            }
            byte if word_begins(byte) && brackets == 0 => return Err(LexError { at, what: BARE }),
            _ => continue,
        };
        let Some(quoted) = lexer.next()? else { continue };
        let name = &sql[quoted.span.start + 1..quoted.span.end - 1];
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Err(LexError { at, what: ODD });
        }
        // PostgreSQL would read the two as one string, with the escape rules of the first.
        if after_string && quoting == Quoting::Literal {
            return Err(LexError { at, what: JOINED });
        }
        if found.len() >= MAX_VARIABLES {
            return Err(LexError { at, what: TOO_MANY });
        }
        found.push(Variable {
            span: at..quoted.span.end,
            name: name.to_owned(),
            quoting,
        });
    }
    Ok(found)
}

/// The most variables of one script: each place of one is kept, and takes the value's bytes in the text that is sent.
const MAX_VARIABLES: usize = 10_000;

const TOO_MANY: &str = "the script has more than 10,000 variables; divide it";
const BARE: &str = "a variable without quotes would become a part of the script; write :'name' for a value or :\"name\" \
                    for a name (if this is no variable, write a space after the colon)";
const ODD: &str = "the name of a variable consists of letters, digits and underscores (if this is no variable, write a \
                   space after the colon)";
const JOINED: &str = "a variable directly follows a string; join them with || (if this is no variable, write a space after \
                      the colon)";

fn is_string(text: &str, kind: TokenKind) -> bool {
    kind == TokenKind::Symbol && text.ends_with('\'')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn names(sql: &str) -> Vec<(String, Quoting)> {
        let found = variables(sql).unwrap().into_iter();
        found.map(|variable| (variable.name, variable.quoting)).collect()
    }

    #[test]
    fn finds_them_where_psql_does() {
        let (value, name) = (
            [("x".to_owned(), Quoting::Literal)],
            [("x".to_owned(), Quoting::Identifier)],
        );
        for sql in [
            "SELECT :'x'",
            "SELECT a::text, :'x'::int",
            "f(a :=:'x')",
            "SELECT ARRAY[:'x']",
            "SELECT a:::'x'",
            "SELECT 'a' || :'x' || 'b'",
            "SELECT E'\\'' , :'x'",
        ] {
            assert_eq!(names(sql), value, "{sql}");
        }
        for sql in ["CREATE TABLE :\"x\" ()", "SELECT s.:\"x\" FROM s"] {
            assert_eq!(names(sql), name, "{sql}");
        }
    }

    #[test]
    fn passes_over_colons_that_start_no_variable() {
        for sql in [
            "SELECT a::text, a::\"char\", a [1:2], a[b:c], a[:n], a[b:\"c\"]",
            "SELECT ':x', \":x\", $$ :x :'x' $$, E'\\':x', $t$:x$t$ -- :x :'x'\n /* :x /* :'x' */ */",
            "SELECT f(a := 1), f(b :=c)",
            "SELECT json_object('a' : 'b', 'c' : d), a[1 : 2]",
        ] {
            assert_eq!(names(sql), [], "{sql}");
        }
    }

    #[test]
    fn refuses_variables_whose_value_would_become_part_of_the_script() {
        for (sql, at, what) in [
            ("SELECT :x", 7, BARE),
            ("SELECT 1 LIMIT :n", 15, BARE),
            ("SELECT :été", 7, BARE),
            ("SELECT :E'x'", 7, BARE),
            ("SELECT :''", 7, ODD),
            ("SELECT :'a b'", 7, ODD),
            ("SELECT :'x''y'", 7, ODD),
            ("SELECT :'x'\n'\\'", 7, ODD),
            ("SELECT :\"x\"\"y\"", 7, ODD),
            ("SELECT E'a'\n:'x'", 12, JOINED),
            ("SELECT json_object('a':'b')", 22, JOINED),
            ("SELECT :'x", 8, "a string without end"),
        ] {
            assert_eq!(variables(sql).unwrap_err(), LexError { at, what }, "{sql}");
        }
    }
}
