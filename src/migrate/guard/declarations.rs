//! What the parser's JSON of a PL/pgSQL body leaves out: the value of a record where it is declared
//! (`dump_record` of `libpg_query`).

use std::collections::BTreeSet;

use serde_json::Value;

use crate::migrate::parse;

/// The most bytes of a name (`NAMEDATALEN`).
const LONGEST: usize = 63;

/// Whether a variable of the type record has a value where it is declared. `read`: the parser's JSON of the body.
pub fn sets_record(read: &Value, body: &str) -> bool {
    let mut records = BTreeSet::new();
    names(read, &mut records);
    if records.is_empty() {
        return false;
    }
    let Some(tokens) = parse::tokens(body) else { return true };
    let tokens = tokens.into_iter().map(|span| &body[span]);
    let words: Vec<String> = tokens
        .filter(|token| !token.starts_with("--") && !token.starts_with("/*"))
        .map(word)
        .collect();
    // A name in Unicode escapes can be any.
    let escaped = words.iter().any(|word| word.starts_with("u&\""));
    let is = |at: usize, word: &str| words.get(at).is_some_and(|found| found == word);
    let mut types = (1..words.len()).filter(|at| is(*at, "record"));
    escaped
        || types.any(|at| {
            let after = if is(at + 1, "not") { at + 3 } else { at + 1 };
            let mut before = at - 1;
            if is(before, ".") {
                before = before.saturating_sub(2);
            }
            if is(before, "constant") {
                before = before.saturating_sub(1);
            }
            [":=", "=", "default"].iter().any(|gives| is(after, gives)) && records.contains(words[before].as_str())
        })
}

/// The names of records.
fn names<'v>(value: &'v Value, found: &mut BTreeSet<&'v str>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| names(value, found)),
        Value::Object(fields) => {
            for (key, value) in fields {
                if key == "PLpgSQL_rec" {
                    found.extend(value.get("refname").and_then(Value::as_str));
                }
                names(value, found);
            }
        }
        _ => {}
    }
}

/// A token as PostgreSQL compares it.
fn word(token: &str) -> String {
    let quoted = token.strip_prefix('"').and_then(|token| token.strip_suffix('"'));
    let word = match quoted {
        Some(name) => name.replace("\"\"", "\""),
        None => token.to_ascii_lowercase(),
    };
    word[..word.floor_char_boundary(LONGEST)].to_owned()
}
