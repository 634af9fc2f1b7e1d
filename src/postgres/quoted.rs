//! What the server quotes in its messages, in any of its languages: names, or values of rows.

/// The quotation marks in PostgreSQL's translations.
pub(crate) const QUOTES: [char; 12] = ['"', '„', '“', '”', '«', '»', '‹', '›', '「', '」', '‘', '’'];

/// Codes of class 22 whose messages quote names: of settings (`invalid_parameter_value`) and columns
/// (`bad_copy_file_format`).
const NAMES: [&str; 2] = ["22023", "22P04"];

/// Whether a message with this SQLSTATE quotes values: it is of a data exception.
fn has_values(sqlstate: &str) -> bool {
    sqlstate.starts_with("22") && !NAMES.contains(&sqlstate)
}

/// A message of a query of the operator's own, on tables that are a tenant's, without the values in it.
pub(super) fn of_query(sqlstate: &str, message: &str) -> String {
    if has_values(sqlstate) {
        without_quoted(message, |_| false)
    } else {
        message.to_owned()
    }
}

/// A message without what stands between its first and its last quotation mark, unless that may be shown.
pub(crate) fn without_quoted(message: &str, shows: impl Fn(&str) -> bool) -> String {
    let Some((first, last)) = message.find(QUOTES).zip(message.rfind(QUOTES)) else {
        return message.to_owned();
    };
    let width = |at: usize| message[at..].chars().next().map_or(0, char::len_utf8);
    match message.get(first + width(first)..last) {
        Some(quoted) if !shows(quoted) => format!("{}\"…\"{}", &message[..first], &message[last + width(last)..]),
        _ => message.to_owned(),
    }
}

/// Words before a quoted name in PostgreSQL's English messages.
const OBJECTS: [&str; 22] = [
    "collation",
    "column",
    "constraint",
    "database",
    "encoding",
    "extension",
    "function",
    "index",
    "language",
    "parameter",
    "policy",
    "publication",
    "relation",
    "role",
    "rule",
    "schema",
    "sequence",
    "table",
    "tablespace",
    "trigger",
    "type",
    "view",
];

/// A message up to the first quoted text that is not said to be the name of an object: what follows can be a value.
pub(crate) fn up_to_values(message: &str) -> String {
    let mut from = 0;
    while let Some(open) = message[from..].find(QUOTES).map(|at| from + at) {
        let word = message[..open].trim_end().rsplit(' ').next().unwrap_or_default();
        let width = message[open..].chars().next().map_or(0, char::len_utf8);
        let close = message[open + width..].find('"').map(|at| open + width + at);
        match close {
            Some(close) if OBJECTS.contains(&word) => from = close + 1,
            _ => return format!("{}\"…\"", &message[..open]),
        }
    }
    message.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_of_the_operators_shows_names_and_no_values() {
        for (sqlstate, said, shown) in [
            (
                "22P02",
                "invalid input syntax for type bigint: \"geheim\"",
                "invalid input syntax for type bigint: \"…\"",
            ),
            (
                "22023",
                "invalid value for parameter \"x\": \"y\"",
                "invalid value for parameter \"x\": \"y\"",
            ),
            (
                "42501",
                "permission denied for table \"t\"",
                "permission denied for table \"t\"",
            ),
        ] {
            assert_eq!(of_query(sqlstate, said), shown);
        }
    }

    #[test]
    fn a_message_ends_where_a_value_can_begin() {
        for (said, shown) in [
            ("relation \"a\" does not exist", "relation \"a\" does not exist"),
            (
                "duplicate key value violates unique constraint \"a_pkey\"",
                "duplicate key value violates unique constraint \"a_pkey\"",
            ),
            (
                "column \"b\" of relation \"a\" is of type integer",
                "column \"b\" of relation \"a\" is of type integer",
            ),
            (
                "invalid input syntax for type integer: \"geheim\" x",
                "invalid input syntax for type integer: \"…\"",
            ),
            (
                "invalid input syntax for type integer: \"x\" relation \"geheim\"",
                "invalid input syntax for type integer: \"…\"",
            ),
            (
                "ungültige Eingabe für Typ integer: „geheim“",
                "ungültige Eingabe für Typ integer: \"…\"",
            ),
            (
                "invalid value for parameter \"x\": \"geheim\"",
                "invalid value for parameter \"x\": \"…\"",
            ),
            ("relation \"without an end", "relation \"…\""),
            ("integer out of range", "integer out of range"),
        ] {
            assert_eq!(up_to_values(said), shown);
        }
    }
}
