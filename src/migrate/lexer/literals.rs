//! Statements without their values, for messages that everybody may see.

use std::collections::BTreeSet;
use std::ops::Range;

use super::token::{Lexer, TokenKind};
use crate::migrate::aside::in_place;

/// The statement on one line, without its comments and with `?` for each value, cut after `most`
/// characters.
pub fn without_literals(sql: &str, most: usize) -> String {
    let mut lexer = Lexer::new(sql);
    let (mut shown, mut end) = (String::new(), 0);
    // The server cuts long queries: a token without its end is left out, with all that follows.
    while let Ok(Some(token)) = lexer.next() {
        let text = &sql[token.span.clone()];
        let value = token.kind == TokenKind::Symbol
            && text != "$"
            && text.starts_with(|first: char| "'$eE".contains(first) || first.is_ascii_digit());
        if end > 0 && token.span.start > end {
            shown.push(' ');
        }
        end = token.span.end;
        shown.push_str(if value { "?" } else { text });
        if shown.chars().count() > most {
            shown = shown.chars().take(most).collect();
            shown.push('…');
            break;
        }
    }
    shown
}

/// The functions that the rows of an `INSERT` call.
#[derive(Debug, Default)]
pub struct InsertRows {
    /// Where its rows begin, after `VALUES`.
    pub start: usize,
    /// The words of the rows that call a function or begin a query, in lower case: those before an opening
    /// parenthesis, and more, and `select`, `table` and `with`.
    pub words: BTreeSet<String>,
    /// A name has a dot, which may call a function of a schema or of a row; that of a type has not.
    pub dotted: bool,
}

/// The functions that the rows of an `INSERT … VALUES` call. None if it has none, or the text has no end of a literal.
pub fn rows(sql: &str) -> Option<InsertRows> {
    in_place(sql.len(), || read(sql))
}

fn read(sql: &str) -> Option<InsertRows> {
    let mut lexer = Lexer::new(sql);
    let (mut depth, mut start) = (0_u32, None);
    while start.is_none() {
        let token = lexer.next().ok()??;
        if token.is(b"(", sql) {
            depth += 1;
        } else if token.is(b")", sql) {
            depth = depth.saturating_sub(1);
        }
        let values = token.kind == TokenKind::Word && sql[token.span.clone()].eq_ignore_ascii_case("values");
        start = (depth == 0 && values).then_some(token.span.end);
    }
    let mut rows = InsertRows {
        start: start?,
        ..InsertRows::default()
    };
    let (mut last, mut dot) = (None::<Range<usize>>, false);
    // `::` and the words and dots after it name a type.
    let (mut colons, mut is_type) = (0, false);
    while let Some(token) = lexer.next().ok()? {
        if token.is(b"(", sql) {
            rows.words.extend(last.take().map(|span| sql[span].to_lowercase()));
        }
        let text = &sql[token.span.clone()];
        let is_word = matches!(token.kind, TokenKind::Word | TokenKind::Quoted);
        if token.kind == TokenKind::Word && text.len() < 7 {
            let text = text.to_lowercase();
            rows.words
                .extend(Some(text).filter(|word| matches!(word.as_str(), "select" | "table" | "with")));
        }
        rows.dotted |= is_word && dot && !is_type;
        is_type = colons == 2 && is_word || is_type && (dot && is_word || token.is(b".", sql) && last.is_some());
        dot = token.is(b".", sql);
        colons = if token.is(b":", sql) { colons + 1 } else { 0 };
        last = is_word.then_some(token.span);
    }
    Some(rows)
}

#[cfg(test)]
mod tests {
    use super::without_literals;

    #[test]
    fn values_and_comments_are_not_shown() {
        for (sql, shown) in [
            (
                "UPDATE \"Member\"\n  SET pin = 'geheim', n = 42 -- secret\n WHERE e = E'it\\'s'",
                "UPDATE \"Member\" SET pin = ?, n = ? WHERE e = ?",
            ),
            (
                "ALTER ROLE a PASSWORD $$x$$; SELECT $1",
                "ALTER ROLE a PASSWORD ?; SELECT $?",
            ),
            ("SELECT 'cut off", "SELECT"),
            ("SELECT a::text, 1.5 FROM t", "SELECT a::text, ?.? FROM t"),
        ] {
            assert_eq!(without_literals(sql, 200), shown);
        }
        assert_eq!(without_literals("SELECT abcdefgh", 10), "SELECT abc…");
    }
}
