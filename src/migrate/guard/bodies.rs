//! Bodies of functions and procedures, and the limits within which code is read.

use std::sync::Arc;

use pg_query::protobuf::CreateFunctionStmt;
use pg_query::{NodeEnum, ParserOptions};

use super::extensions::{self, RunBy};
use super::finding::FindingKind;
use super::judge::Judge;
use super::names::{Name, body_text, inner, language, quoted, strings};
use super::{plpgsql, rights, settings};
use crate::migrate::parse;

/// How deep code may call code.
const DEEPEST: usize = 16;

/// Judges the functions to which a name can refer, and that are run without being named in a statement.
pub fn routine(judge: &mut Judge<'_>, name: &Name) {
    routine_by(judge, name, RunBy::Itself);
}

/// Judges the functions to which a name can refer.
pub fn routine_by(judge: &mut Judge<'_>, name: &Name, by: RunBy<'_>) {
    let told = judge.tells();
    judge.known.code.call(&name.name, told);
    let routines = judge.known.code.routines(name);
    for routine in extensions::unread(judge, name, routines, by) {
        let Some(definition) = routine.definition else {
            judge.find(FindingKind::Opaque, name, format!("{name}(), whose code is not read"));
            continue;
        };
        run(judge, &definition, &format!("{name}()"), |judge| {
            let before = judge.known.elsewhere;
            judge.known.elsewhere |= routine.elsewhere;
            let trees = parse::tree(&definition, ParserOptions::DEFAULT).unwrap_or_default();
            let mut known = false;
            for tree in &trees {
                if let NodeEnum::CreateFunctionStmt(it) = tree
                    && Name::of(strings(&it.funcname)).can_be(&routine.name)
                {
                    known = true;
                    body(judge, it);
                }
            }
            if !known {
                judge.find(FindingKind::Opaque, "", "code that the parser cannot read".into());
            }
            if routine.elsewhere {
                judge.known.elsewhere = before;
            }
        });
    }
}

/// Judges a function that replaces one which is run without being named. It is judged where it is created, because its run
/// is not visible. `text`: its `CREATE FUNCTION`.
pub fn replaced(judge: &mut Judge<'_>, it: &CreateFunctionStmt, text: &str) {
    let name = Name::of(strings(&it.funcname));
    run(judge, &Arc::from(text), &format!("{name}()"), |judge| body(judge, it));
}

/// Judges code within the limits: each text once in a chain of calls, up to a depth, and up to a total size.
pub fn run(judge: &mut Judge<'_>, text: &Arc<str>, label: &str, judges: impl Fn(&mut Judge<'_>)) {
    // The text is compared with those before.
    if !judge.known.code.budget.work(1 + text.len() / 64) {
        return;
    }
    if judge.active.contains(text) || judge.was_judged(text) {
        return;
    }
    if judge.active.len() >= DEEPEST || !judge.spend(text.len()) {
        judge.find(
            FindingKind::Opaque,
            "",
            format!("{label}, beyond the size of code that is analysed"),
        );
        return;
    }
    let outermost = judge.label.is_none();
    if outermost {
        judge.label = Some(label.to_owned());
    }
    judge.active.push(text.clone());
    let elsewhere = judge.known.elsewhere;
    judges(judge);
    // In a loop, a new search path also applies to the statements before it.
    if judge.known.elsewhere && !elsewhere {
        judges(judge);
    }
    judge.active.pop();
    if outermost {
        judge.label = None;
    }
}

fn body(judge: &mut Judge<'_>, it: &CreateFunctionStmt) {
    let before = judge.known.elsewhere;
    let own_path = rights::has_path(&it.options);
    for set in rights::settings(&it.options) {
        settings::set(judge, set);
    }
    for parameter in &it.parameters {
        if let Some(NodeEnum::FunctionParameter(parameter)) = &parameter.node
            && let Some(default) = inner(parameter.defexpr.as_deref())
        {
            judge.statement(default, "");
        }
    }
    let language = language(&it.options);
    match (inner(it.sql_body.as_deref()), body_text(&it.options)) {
        (Some(body), _) => atomic(judge, body),
        (None, Some(text)) if language == "sql" => judge.script(&text),
        (None, Some(text)) if language == "plpgsql" => plpgsql::function(judge, it, &text),
        _ => judge.find(
            FindingKind::Opaque,
            "",
            format!("code in the language {}", quoted(&language)),
        ),
    }
    if own_path {
        judge.known.elsewhere = before;
    }
}

/// Judges the body of a function in standard SQL: `RETURN …` or `BEGIN ATOMIC … END`, which is a list of lists.
fn atomic(judge: &mut Judge<'_>, node: &NodeEnum) {
    match node {
        NodeEnum::List(list) => {
            for node in list.items.iter().filter_map(|node| node.node.as_ref()) {
                atomic(judge, node);
            }
        }
        node => judge.statement(node, ""),
    }
}
