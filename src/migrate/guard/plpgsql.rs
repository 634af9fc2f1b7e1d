//! Judges code in PL/pgSQL, as the parser of `libpg_query` reads it.

use pg_query::protobuf::CreateFunctionStmt;
use serde_json::Value;

use super::declarations;
use super::finding::FindingKind;
use super::judge::Judge;
use super::plpgsql_text::{constant, texts, trees};
use crate::migrate::parse;

/// Judges a DO block. `text`: the whole statement.
pub fn block(judge: &mut Judge<'_>, text: &str, body: &str) {
    read(judge, &[text.to_owned()], body);
}

/// Judges the body of a function.
pub fn function(judge: &mut Judge<'_>, it: &CreateFunctionStmt, body: &str) {
    read(judge, &texts(it, body), body);
}

/// Judges the first of some texts that the parser reads.
fn read(judge: &mut Judge<'_>, texts: &[String], body: &str) {
    match texts.iter().find_map(|text| parse::plpgsql(text)) {
        Some(read) => {
            walk(judge, &read);
            if declarations::sets_record(&read, body) {
                let what = "the value that a record has where it is declared";
                judge.find(FindingKind::Opaque, "", what.into());
            }
        }
        None => judge.find(FindingKind::Opaque, "", "code that the parser cannot read".into()),
    }
}

fn walk(judge: &mut Judge<'_>, value: &Value) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| walk(judge, value)),
        Value::Object(fields) => {
            for (key, value) in fields {
                match key.as_str() {
                    "PLpgSQL_expr" => expression(judge, value),
                    "dynquery" => {
                        dynamic(judge, value);
                        walk(judge, value);
                    }
                    "PLpgSQL_stmt_dynexecute" | "PLpgSQL_stmt_dynfors" => {
                        dynamic(judge, &value["query"]);
                        walk(judge, value);
                    }
                    _ => walk(judge, value),
                }
            }
        }
        _ => {}
    }
}

fn expression(judge: &mut Judge<'_>, value: &Value) {
    let Some((text, trees)) = trees(value) else {
        judge.find(FindingKind::Opaque, "", "code that the parser cannot read".into());
        return;
    };
    for tree in &trees {
        judge.statement(tree, &text);
    }
}

/// Judges `EXECUTE`: a constant text is read, and any other is opaque.
fn dynamic(judge: &mut Judge<'_>, value: &Value) {
    match constant(value) {
        Some(text) => judge.script(&text),
        None => judge.find(FindingKind::Opaque, "", "EXECUTE of a computed text".into()),
    }
}
