//! Removes the values of rows from PostgreSQL's messages, in any language of the server.

/// `bad_copy_file_format`: its messages quote only names of columns.
const BAD_FORMAT: &str = "22P04";

/// The quotation marks in PostgreSQL's translations.
const QUOTES: [char; 12] = ['"', '„', '“', '”', '«', '»', '‹', '›', '「', '」', '‘', '’'];

/// Redacts a message. Messages of data exceptions (class 22) contain values in quotation marks.
pub fn message(sqlstate: &str, message: &str) -> String {
    if !sqlstate.starts_with("22") || sqlstate == BAD_FORMAT {
        return message.replace('\n', " ");
    }
    let redacted = match (message.find(QUOTES), message.rfind(QUOTES)) {
        (Some(first), Some(last)) if first < last => {
            let end = last + message[last..].chars().next().map_or(0, char::len_utf8);
            format!("{}\"…\"{}", &message[..first], &message[end..])
        }
        _ => message.to_owned(),
    };
    redacted.replace('\n', " ")
}

/// Redacts a detail. The detail of a data exception can consist of a value alone, and is dropped. The detail of a
/// violated constraint (class 23) has a row in parentheses; the names of key columns before it are kept.
pub fn detail(sqlstate: &str, detail: &str) -> Option<String> {
    let redacted = match sqlstate.get(..2) {
        Some("22") => return None,
        Some("23") => without_values(detail),
        _ => detail.to_owned(),
    };
    Some(redacted.replace('\n', "; "))
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
    use super::{detail, message};

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
            assert_eq!(message(sqlstate, said), shown);
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
                "2BP01",
                "view v depends on function f(integer)\nview w",
                Some("view v depends on function f(integer); view w"),
            ),
        ] {
            assert_eq!(detail(sqlstate, said).as_deref(), shown);
        }
    }
}
