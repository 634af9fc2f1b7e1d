//! Removes the values of rows from PostgreSQL's messages, in any language of the server.
//!
//! A message is shown where its texts can only be those of the script, or the server's own. What code has made of rows, and
//! the server repeats (`EXECUTE 'DROP TABLE ' || name`), is not shown.

use sqlx::postgres::{PgDatabaseError, PgErrorPosition};

use crate::postgres::{QUOTES, without_quoted};

/// `bad_copy_file_format`: its messages quote only names of columns.
const BAD_FORMAT: &str = "22P04";

/// `syntax_error`: it quotes a piece of the statement.
const SYNTAX: &str = "42601";

/// Classes and codes whose messages hold nothing of a statement that code computes: constraints and checks of views, which
/// are named; states of the session and the server; and what a script's author has raised.
const PLAIN: [&str; 11] = [
    "23", "25", "40", "44", "53", "54", "55P03", "57", "58", "P0", BAD_FORMAT,
];

/// What stands in place of a message that can hold values.
const COMPUTED: &str = "the server refused a statement that code computes, or that is in code which the script calls; its \
                        message can hold values of rows and is not shown";

/// Where the statement stands that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In the script, or in code that the script holds.
    Script,
    /// Elsewhere: code computes it, or it is in code that is called.
    Code,
}

impl Origin {
    /// Of a statement that the server refused while it ran the script.
    pub fn of(script: &str, error: &PgDatabaseError) -> Self {
        let query = match error.position() {
            Some(PgErrorPosition::Internal { query, .. }) => Some(query),
            _ => None,
        };
        Self::from_parts(script, query, error.r#where().unwrap_or_default())
    }

    /// By the query of the code that failed, or else by the beginning of the context: `SQL statement "…"`.
    fn from_parts(script: &str, query: Option<&str>, context: &str) -> Self {
        let first = context.lines().next().unwrap_or_default();
        let statement = query.or_else(|| {
            let quote = first.find(QUOTES)?;
            let text = context[quote..].trim_start_matches(QUOTES);
            let end = ["\nPL/pgSQL", "\nSQL"].iter().filter_map(|next| text.find(next)).min();
            Some(text[..end.unwrap_or(text.len())].trim_end().trim_end_matches(QUOTES))
        });
        // `PERFORM a` is run as `SELECT a`.
        let written = |statement: &str| {
            let performed = statement.trim_start().strip_prefix("SELECT").map(str::trim_start);
            script.contains(statement) || performed.is_some_and(|rest| script.contains(&format!("PERFORM {rest}")))
        };
        match statement {
            Some(statement) if !written(statement) => Self::Code,
            _ => Self::Script,
        }
    }
}

fn is_plain(sqlstate: &str) -> bool {
    PLAIN.iter().any(|class| sqlstate.starts_with(class))
}

/// Redacts a message. Messages of data exceptions (class 22) contain values in quotation marks.
pub fn message(sqlstate: &str, message: &str, origin: Origin) -> String {
    let redacted = match sqlstate.get(..2) {
        _ if is_plain(sqlstate) => message.to_owned(),
        Some("22") => without_quoted(message, |_| false),
        _ if origin == Origin::Code => COMPUTED.to_owned(),
        // The rest of a string without end may be the rest of the script.
        _ if sqlstate == SYNTAX => without_quoted(message, is_word),
        _ => message.to_owned(),
    };
    redacted.replace('\n', " ")
}

/// Whether a text is a word or a sign of SQL, and no number or string.
fn is_word(text: &str) -> bool {
    let word = text.chars().all(|c| c.is_alphanumeric() || c == '_') && !text.starts_with(|c: char| c.is_numeric());
    let sign = text.len() <= 2 && text.chars().all(|c| c.is_ascii_punctuation());
    text.len() < 64 && (word || sign)
}

/// Redacts a detail. The detail of a data exception can consist of a value alone, and is dropped. The detail of a
/// violated constraint (class 23) or check of a view (44) has a row in parentheses; the names of key columns before it are
/// kept.
pub fn detail(sqlstate: &str, detail: &str, origin: Origin) -> Option<String> {
    let redacted = match sqlstate.get(..2) {
        Some("22") => return None,
        Some("23" | "44") => without_values(detail),
        _ if origin == Origin::Code && !is_plain(sqlstate) => return None,
        _ => detail.to_owned(),
    };
    Some(redacted.replace('\n', "; "))
}

/// Redacts a hint, which can repeat names of a statement.
pub fn hint(sqlstate: &str, hint: &str, origin: Origin) -> Option<String> {
    (origin == Origin::Script || is_plain(sqlstate)).then(|| hint.replace('\n', " "))
}

/// Whether all that a message quotes stands in the text.
pub fn quotes_only(message: &str, text: &str) -> bool {
    message
        .split(QUOTES)
        .skip(1)
        .step_by(2)
        .all(|quoted| text.contains(quoted))
}

fn without_values(detail: &str) -> String {
    let Some(mut open) = detail.find('(') else {
        return detail.to_owned();
    };
    // Key (email)=(ada@example.com) already exists.
    if let Some(columns) = detail[open..].find(")=(") {
        open += columns + 2;
    }
    // A value can contain parentheses, so only the last one certainly ends the row.
    let end = detail
        .rfind(')')
        .filter(|end| *end > open)
        .map_or(detail.len(), |end| end + 1);
    format!("{}(…){}", &detail[..open], &detail[end..])
}

#[cfg(test)]
mod tests {
    use super::{Origin, detail, hint, message, quotes_only};

    #[test]
    fn names_are_shown_and_values_are_not() {
        for (sqlstate, said, shown) in [
            (
                "22P02",
                "invalid input syntax for type integer: \"geheim\"",
                "invalid input syntax for type integer: \"…\"",
            ),
            (
                "22P02",
                "ungültige Eingabe für Typ integer: „geheim“",
                "ungültige Eingabe für Typ integer: \"…\"",
            ),
            (
                "42P01",
                "relation \"members\" does not exist",
                "relation \"members\" does not exist",
            ),
        ] {
            assert_eq!(message(sqlstate, said, Origin::Script), shown);
        }
        for (sqlstate, said, shown) in [
            ("22P02", "Token \"geheim\" is invalid.", None),
            (
                "23505",
                "Key (email)=(a(b)@c) already exists.",
                Some("Key (email)=(…) already exists."),
            ),
            (
                "23502",
                "Failing row contains (1, geheim, null).",
                Some("Failing row contains (…)."),
            ),
            (
                "23514",
                "Fehlgeschlagene Zeile enthält (1, geheim",
                Some("Fehlgeschlagene Zeile enthält (…)"),
            ),
            (
                "44000",
                "Failing row contains (9, geheim@x, null).",
                Some("Failing row contains (…)."),
            ),
            (
                "23514",
                "Partition key of the failing row contains (a) = (geheim).",
                Some("Partition key of the failing row contains (…)."),
            ),
            (
                "2BP01",
                "view v depends on function f(integer)\nview w",
                Some("view v depends on function f(integer); view w"),
            ),
        ] {
            assert_eq!(detail(sqlstate, said, Origin::Script).as_deref(), shown);
        }
    }

    #[test]
    #[allow(clippy::too_many_lines, reason = "every case, in its order")]
    fn what_code_computes_is_not_shown() {
        let script = "DO $$ BEGIN EXECUTE 'DROP TABLE ' || (SELECT secret FROM t); SELECT x\n FROM missing; END $$";
        for (query, context, origin) in [
            (None, "", Origin::Script),
            (
                Some("SELECT x\n FROM missing"),
                "PL/pgSQL function inline_code_block line 1 at SQL statement",
                Origin::Script,
            ),
            (
                Some("DROP TABLE geheim!"),
                "PL/pgSQL function inline_code_block line 1 at EXECUTE",
                Origin::Code,
            ),
            (
                None,
                "SQL statement \"DROP TABLE geheim\"\nPL/pgSQL function inline_code_block line 1 at EXECUTE",
                Origin::Code,
            ),
            (
                None,
                "SQL-Anweisung »DROP TABLE geheim«\nPL/pgSQL-Funktion inline_code_block Zeile 1 bei EXECUTE",
                Origin::Code,
            ),
            (
                None,
                "SQL statement \"SELECT x\n FROM missing\"\nPL/pgSQL function f() line 1 at SQL statement",
                Origin::Script,
            ),
            (
                None,
                "SQL statement \"SELECT x\n FROM geheim\"\nPL/pgSQL function f() line 1 at EXECUTE",
                Origin::Code,
            ),
            (
                None,
                "PL/pgSQL function f() line 1 at RAISE\nSQL statement \"SELECT f('geheim')\"",
                Origin::Script,
            ),
        ] {
            assert_eq!(Origin::from_parts(script, query, context), origin, "{context}");
        }
        for (sqlstate, said) in [
            ("42601", "syntax error at or near \"geheim\""),
            ("42601", "unterminated quoted string at or near \"'geheim x\""),
            ("42P01", "relation \"geheim\" does not exist"),
            ("42P01", "table \"geheim\" does not exist"),
            ("42703", "column t.geheim does not exist"),
            ("42883", "function geheim(integer) does not exist"),
            ("22P02", "invalid input syntax for type integer: \"geheim\""),
        ] {
            let shown = message(sqlstate, said, Origin::Code);
            assert!(!shown.contains("geheim"), "{shown}");
            assert_eq!(detail(sqlstate, said, Origin::Code), None);
            assert_eq!(hint(sqlstate, said, Origin::Code), None);
        }
        // The author's own words, and names of the server's.
        for (sqlstate, said) in [
            ("P0001", "member 7 has no email"),
            ("55P03", "canceling statement due to lock timeout"),
            (
                "23505",
                "duplicate key value violates unique constraint \"members_pkey\"",
            ),
            ("44000", "new row violates check option for view \"v\""),
        ] {
            assert_eq!(message(sqlstate, said, Origin::Code), said);
        }
    }

    #[test]
    fn a_syntax_error_shows_a_word_of_the_script_and_no_string() {
        for (said, shown) in [
            ("syntax error at or near \"TABEL\"", "syntax error at or near \"TABEL\""),
            ("syntax error at or near \")\"", "syntax error at or near \")\""),
            ("syntax error at or near \"'geheim'\"", "syntax error at or near \"…\""),
            ("syntax error at or near \"4711\"", "syntax error at or near \"…\""),
            (
                "unterminated quoted string at or near \"'geheim\n, \"x\")\"",
                "unterminated quoted string at or near \"…\"",
            ),
            ("Syntaxfehler bei »TABEL«", "Syntaxfehler bei »TABEL«"),
            ("syntax error at end of input", "syntax error at end of input"),
        ] {
            assert_eq!(message("42601", said, Origin::Script), shown);
        }
        assert!(quotes_only("relation \"a\" of \"b\" is odd", "b a"));
        assert!(!quotes_only("relation \"a\" of \"geheim\" is odd", "b a"));
    }
}
