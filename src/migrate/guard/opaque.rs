//! Statements that run code whose effect the guard cannot judge.

use pg_query::NodeEnum;

use super::finding::FindingKind;
use super::judge::Judge;
use super::names::{dotted, inner, quoted, strings};
use crate::migrate::parse::is_alarming;

/// Judges a statement that runs code which the guard does not parse.
pub fn statement(judge: &mut Judge<'_>, tree: &NodeEnum) {
    match tree {
        NodeEnum::DoStmt(it) => block(judge, &it.args),
        NodeEnum::CallStmt(it) => {
            let name = it
                .funccall
                .as_ref()
                .map(|call| dotted(&strings(&call.funcname)))
                .unwrap_or_default();
            judge.find(FindingKind::Opaque, &name, format!("CALL {name}"));
        }
        NodeEnum::ExecuteStmt(it) => {
            judge.find(
                FindingKind::Opaque,
                quoted(&it.name),
                format!("EXECUTE {}", quoted(&it.name)),
            );
        }
        _ => {}
    }
}

/// Judges a DO block. Its body is not parsed: a block in PL/pgSQL without an alarming word is no finding, any other
/// block is.
fn block(judge: &mut Judge<'_>, arguments: &[pg_query::Node]) {
    let (mut body, mut plpgsql) = ("", true);
    for argument in arguments.iter().filter_map(|node| node.node.as_ref()) {
        let NodeEnum::DefElem(element) = argument else { continue };
        match (element.defname.as_str(), inner(element.arg.as_deref())) {
            ("as", Some(NodeEnum::String(text))) => body = &text.sval,
            ("language", Some(NodeEnum::String(language))) => plpgsql = language.sval == "plpgsql",
            _ => {}
        }
    }
    let words = body.to_lowercase();
    if ["search_path", "role", "session"]
        .iter()
        .any(|word| words.contains(word))
    {
        judge.known.elsewhere = true;
    }
    if !plpgsql || is_alarming(body) {
        judge.find(FindingKind::Opaque, "", "a DO block".into());
    }
}
