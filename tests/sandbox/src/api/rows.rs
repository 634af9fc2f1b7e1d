//! Rows as the API shows them: numbers and JSON as such, everything else as the server writes it.

use serde_json::{Map, Value, json};
use sqlx::postgres::PgRow;
use sqlx::{Column, Row, TypeInfo, ValueRef};

/// The greatest integer that JavaScript holds exactly.
const SAFE: u64 = (1 << 53) - 1;

/// A row as an object; of columns with the same name the last one counts.
pub(super) fn json(row: &PgRow) -> sqlx::Result<Value> {
    let mut object = Map::new();
    for (at, column) in row.columns().iter().enumerate() {
        let value = row.try_get_raw(at)?;
        let shown = if value.is_null() {
            Value::Null
        } else {
            let text = value.as_str().map_err(sqlx::Error::Decode)?;
            show(column.type_info().name(), text)
        };
        object.insert(column.name().to_owned(), shown);
    }
    Ok(Value::Object(object))
}

fn show(kind: &str, text: &str) -> Value {
    if let Some(kind) = kind.strip_suffix("[]") {
        return items(kind, &mut text.chars().peekable());
    }
    match kind {
        "BOOL" => json!(text == "t"),
        "INT2" | "INT4" | "OID" | "INT8" => match text.parse::<i64>() {
            Ok(number) if number.unsigned_abs() <= SAFE => json!(number),
            _ => json!(text),
        },
        "FLOAT4" | "FLOAT8" => text.parse::<f64>().map_or(Value::Null, |number| json!(number)),
        "JSON" | "JSONB" => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
        _ => json!(text),
    }
}

type Characters<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// The items of an array as the server writes it, for instance `{1,NULL,"a b"}`.
fn items(kind: &str, text: &mut Characters<'_>) -> Value {
    let mut found = Vec::new();
    // What stands before the brace are bounds, which only odd arrays have.
    for character in text.by_ref() {
        if character == '{' {
            break;
        }
    }
    while let Some(next) = text.peek().copied() {
        match next {
            '}' => {
                text.next();
                break;
            }
            ',' => drop(text.next()),
            '{' => found.push(items(kind, text)),
            '"' => {
                text.next();
                found.push(show(kind, &quoted(text)));
            }
            _ => {
                let bare = bare(text);
                found.push(if bare == "NULL" { Value::Null } else { show(kind, &bare) });
            }
        }
    }
    json!(found)
}

fn quoted(text: &mut Characters<'_>) -> String {
    let mut found = String::new();
    while let Some(character) = text.next() {
        match character {
            '"' => break,
            '\\' => found.extend(text.next()),
            other => found.push(other),
        }
    }
    found
}

fn bare(text: &mut Characters<'_>) -> String {
    let mut found = String::new();
    while let Some(character) = text.next_if(|it| !matches!(it, ',' | '}')) {
        found.push(character);
    }
    found
}

/// Items as the server reads an array.
pub(super) fn array(values: &[Value]) -> String {
    let item = |value: &Value| match value {
        Value::Null => "NULL".to_owned(),
        Value::Array(items) => array(items),
        Value::String(text) => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
        other => format!("\"{}\"", other.to_string().replace('\\', "\\\\").replace('"', "\\\"")),
    };
    let all: Vec<String> = values.iter().map(item).collect();
    format!("{{{}}}", all.join(","))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{array, show};

    #[test]
    fn values_are_shown_as_the_api_shows_them() {
        assert_eq!(show("BOOL", "t"), json!(true));
        assert_eq!(show("INT8", "9007199254740991"), json!(9_007_199_254_740_991_i64));
        assert_eq!(show("INT8", "9007199254740992"), json!("9007199254740992"));
        assert_eq!(show("NUMERIC", "1.50"), json!("1.50"));
        assert_eq!(show("FLOAT8", "NaN"), json!(null));
        assert_eq!(show("JSONB", r#"{"a": [1]}"#), json!({"a": [1]}));
        assert_eq!(show("INT4[]", "{1,NULL,3}"), json!([1, null, 3]));
        assert_eq!(show("INT4[]", "[0:1]={{1},{2}}"), json!([[1], [2]]));
        assert_eq!(
            show("TEXT[]", r#"{"a \"b\"",c,"NULL",""}"#),
            json!(["a \"b\"", "c", "NULL", ""])
        );
        assert_eq!(show("TEXT[]", "{}"), json!([]));
        assert_eq!(
            array(&[json!("a\"b"), json!(1), json!(null), json!(["x"])]),
            r#"{"a\"b","1",NULL,{"x"}}"#
        );
    }
}
