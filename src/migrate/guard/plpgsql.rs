//! Judges code in PL/pgSQL, as the parser of `libpg_query` reads it.

use pg_query::protobuf::CreateFunctionStmt;

use super::finding::FindingKind;
use super::judge::Judge;
use super::plpgsql_text::{CodePart, texts, visit};
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
        Some(read) => visit(&read, body, &mut |part| judged(judge, part)),
        None => opaque(judge, "code that the parser cannot read"),
    }
}

fn judged(judge: &mut Judge<'_>, part: CodePart) {
    match part {
        CodePart::Sql(text, trees) => {
            for tree in &trees {
                judge.statement(tree, &text);
            }
        }
        CodePart::Constant(text) => judge.script(&text),
        CodePart::Unreadable => opaque(judge, "code that the parser cannot read"),
        CodePart::Computed => opaque(judge, "EXECUTE of a computed text"),
        CodePart::RecordValue => opaque(judge, "the value that a record has where it is declared"),
    }
}

fn opaque(judge: &mut Judge<'_>, what: &str) {
    judge.find(FindingKind::Opaque, "", what.into());
}
