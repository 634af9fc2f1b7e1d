//! The code that statements run: functions and procedures, triggers, rules and prepared statements, of the pending
//! scripts and of the database. A body is judged where it is run, because only there its names can be resolved.

use std::sync::Arc;

use pg_query::protobuf::{CmdType, CreateCastStmt, DoStmt, RuleStmt};
use pg_query::{Node, NodeEnum, ParserOptions};

use super::allowance::OBJECT;
use super::bodies::{routine, routine_by};
use super::calls::{FunctionCall, calls, references};
use super::extensions::RunBy;
use super::finding::FindingKind;
use super::judge::{Judge, ReportedFindings};
use super::known_code::{DELETE, INSERT, KnownRoutine, KnownTrigger, TRUNCATE, UPDATE};
use super::limits::run;
use super::names::{Name, body_text, dotted, inner, is_on, language, quoted, strings};
use super::replaced::is_routine;
use super::{dangerous, extension_table, plpgsql, replaced, settings};
use crate::migrate::parse;

/// The most statements that are judged of those that may be prepared by one name.
const PREPARED: usize = 32;

/// Judges the code that a statement runs, and remembers the code that it creates. `text`: the statement.
pub fn statement(judge: &mut Judge<'_>, tree: &NodeEnum, text: &str) {
    remember(judge, tree, text);
    match tree {
        NodeEnum::CreateFunctionStmt(it) => return replaced::function(judge, it, text),
        NodeEnum::PrepareStmt(_) => return,
        // The planner runs immutable functions of constants: only the calls below are judged.
        NodeEnum::ExplainStmt(it) if !is_on(&it.options, "analyze") => {}
        NodeEnum::RuleStmt(it) => {
            if it.event() == CmdType::CmdSelect && reads_settings(tree) {
                settings::set_config(judge, None);
            }
            return rule(judge, it, text);
        }
        NodeEnum::ExecuteStmt(it) => execute(judge, &it.name),
        NodeEnum::CreateTableAsStmt(it) => {
            if let Some(NodeEnum::ExecuteStmt(it)) = inner(it.query.as_deref()) {
                execute(judge, &it.name);
            }
        }
        NodeEnum::DoStmt(it) => block(judge, it, text),
        NodeEnum::CallStmt(it) => {
            let name = it
                .funccall
                .as_ref()
                .map(|call| strings(&call.funcname))
                .unwrap_or_default();
            let called = Name::of(name.clone());
            let known = extension_table::does_by_name(called.schema.as_deref(), &called.name).is_some();
            if !known && judge.known.code.routines(&called).is_empty() {
                let name = dotted(&name);
                judge.find(FindingKind::Opaque, &name, format!("CALL {name}"));
            }
        }
        NodeEnum::CreateEventTrigStmt(it) => {
            let name = quoted(&it.trigname);
            judge.find(FindingKind::Opaque, &name, format!("CREATE EVENT TRIGGER {name}"));
        }
        // The functions of an operator, an aggregate or a range type run wherever it is used.
        NodeEnum::DefineStmt(it) => definition(judge, &it.definition),
        NodeEnum::CreateRangeStmt(it) => definition(judge, &it.params),
        NodeEnum::AlterExtensionContentsStmt(it) if it.action > 0 => {
            let statement = format!("ALTER EXTENSION {} ADD", quoted(&it.extname));
            judge.find(FindingKind::Opaque, quoted(&it.extname), statement);
        }
        // An update of such a view changes settings.
        NodeEnum::ViewStmt(_) if reads_settings(tree) => settings::set_config(judge, None),
        NodeEnum::CreateCastStmt(it) => cast(judge, it),
        _ => {}
    }
    let told = runs_later(tree);
    for call in calls(tree) {
        judge.telling(told, |judge| called(judge, &call, told != ReportedFindings::All));
    }
    for call in when(tree) {
        judge.telling(ReportedFindings::Unknown, |judge| called(judge, &call, true));
    }
}

/// Judges the function of a cast, which runs wherever the cast is used.
fn cast(judge: &mut Judge<'_>, it: &CreateCastStmt) {
    judge.known.add_cast();
    if let Some(function) = &it.func {
        routine(judge, &Name::of(strings(&function.objname)));
    }
}

/// Judges the actions of a rule, and its condition.
fn rule(judge: &mut Judge<'_>, it: &RuleStmt, text: &str) {
    for action in it.actions.iter().filter_map(|node| node.node.as_ref()) {
        judge.statement(action, text);
    }
    if let Some(condition) = inner(it.where_clause.as_deref()) {
        judge.statement(condition, "");
    }
}

/// The calls in a trigger's condition, which is evaluated at every change of the table.
fn when(tree: &NodeEnum) -> Vec<FunctionCall> {
    match tree {
        NodeEnum::CreateTrigStmt(it) => inner(it.when_clause.as_deref()).map(calls).unwrap_or_default(),
        _ => Vec::new(),
    }
}

/// Judges the functions that the options of a definition name, as an identifier or as a text.
fn definition(judge: &mut Judge<'_>, options: &[Node]) {
    for node in options {
        let Some(NodeEnum::DefElem(element)) = &node.node else {
            continue;
        };
        match inner(element.arg.as_deref()) {
            Some(NodeEnum::TypeName(name)) => routine(judge, &Name::of(strings(&name.names))),
            Some(NodeEnum::String(name)) => routine(judge, &Name::of(vec![name.sval.clone()])),
            _ => {}
        }
    }
}

/// A function that a statement of the scripts creates or renames.
fn routine_of_script(name: Name, definition: Option<Arc<str>>) -> KnownRoutine {
    KnownRoutine {
        name,
        definition,
        elsewhere: false,
        extension: None,
        acts: true,
        anon: false,
    }
}

/// Remembers the code that a statement creates.
fn remember(judge: &mut Judge<'_>, tree: &NodeEnum, text: &str) {
    let certain = judge.is_certain();
    if matches!(tree, NodeEnum::PrepareStmt(_)) && !judge.known.code.allowance.remember(OBJECT + text.len()) {
        return;
    }
    let code = &mut judge.known.code;
    match tree {
        NodeEnum::CreateFunctionStmt(it) => {
            code.add_routine(routine_of_script(
                Name::of(strings(&it.funcname)),
                Some(Arc::from(text)),
            ));
        }
        NodeEnum::PrepareStmt(it) => {
            let of_name = code.prepared.entry(it.name.clone()).or_default();
            if of_name.len() <= PREPARED {
                of_name.push(Arc::from(text));
            }
        }
        // Code may skip it.
        NodeEnum::DeallocateStmt(it) if certain => {
            if it.isall {
                code.prepared.clear();
            } else {
                code.prepared.remove(&it.name);
            }
        }
        NodeEnum::CreateTrigStmt(it) => {
            let called = when(tree).into_iter().map(|call| Name::of(call.name));
            let functions = called.chain([Name::of(strings(&it.funcname))]);
            for (function, table) in functions.zip(std::iter::repeat(&it.relation)) {
                if let Some(table) = table {
                    code.add_trigger(KnownTrigger {
                        table: table.into(),
                        events: it.events,
                        function,
                    });
                }
            }
        }
        // Its code is not found by its new name.
        NodeEnum::RenameStmt(it) if is_routine(it.rename_type()) => {
            code.add_routine(routine_of_script(Name::of(vec![it.newname.clone()]), None));
        }
        NodeEnum::AlterObjectSchemaStmt(it) if is_routine(it.object_type()) => {
            let parts = it.object.as_deref().map(|node| strings(std::slice::from_ref(node)));
            let name = Name {
                schema: Some(it.newschema.clone()),
                ..Name::of(parts.unwrap_or_default())
            };
            code.add_routine(routine_of_script(name, None));
        }
        _ => return,
    }
    judge.known.version += 1;
}

/// Which findings count in code that a statement only stores: other sessions run it. A trigger is judged where it fires. A
/// policy that also applies to the owner (`FORCE ROW LEVEL SECURITY`) is judged here, because its evaluation is not visible.
fn runs_later(tree: &NodeEnum) -> ReportedFindings {
    match tree {
        NodeEnum::CreatePolicyStmt(_) | NodeEnum::AlterPolicyStmt(_) => ReportedFindings::Unknown,
        NodeEnum::CreateTrigStmt(_)
        | NodeEnum::CreateEventTrigStmt(_)
        | NodeEnum::CommentStmt(_)
        | NodeEnum::GrantStmt(_) => ReportedFindings::Losses,
        _ => ReportedFindings::All,
    }
}

fn called(judge: &mut Judge<'_>, call: &FunctionCall, later: bool) {
    let name = Name::of(call.name.clone());
    let word = name.name.as_str();
    let ours = name.schema.as_deref().is_none_or(|schema| schema == "pg_catalog");
    match word {
        "set_config" if ours && !later => return settings::set_config(judge, call.first()),
        // Such a function takes no row.
        _ if call.field => {}
        _ if ours && dangerous::is_opaque(word) => {
            judge.find(FindingKind::Opaque, &name, format!("a call of {name}"));
        }
        _ if ours && dangerous::reaches_files(word) => {
            judge.find(FindingKind::ServerAccess, &name, format!("a call of {name}"));
        }
        _ => {}
    }
    if name.schema.as_deref() != Some("pg_catalog") {
        let by = if call.field { RunBy::Field } else { RunBy::Call(call) };
        routine_by(judge, &name, by);
    }
}

fn block(judge: &mut Judge<'_>, it: &DoStmt, text: &str) {
    let language = language(&it.args);
    run(judge, &Arc::from(text), "a DO block", |judge| {
        if matches!(language.as_str(), "" | "plpgsql") {
            plpgsql::block(judge, text, &body_text(&it.args).unwrap_or_default());
        } else {
            judge.find(
                FindingKind::Opaque,
                "",
                format!("code in the language {}", quoted(&language)),
            );
        }
    });
}

fn execute(judge: &mut Judge<'_>, name: &str) {
    let words = format!("EXECUTE {}", quoted(name));
    let prepared = judge.known.code.prepared.get(name).cloned().unwrap_or_default();
    if prepared.is_empty() || prepared.len() > PREPARED {
        judge.find(FindingKind::Opaque, quoted(name), words);
        return;
    }
    for text in prepared {
        run(judge, &text, &words, |judge| {
            let trees = parse::tree(&text, ParserOptions::DEFAULT).unwrap_or_default();
            let mut queries = trees.iter().filter_map(|tree| match tree {
                NodeEnum::PrepareStmt(it) => inner(it.query.as_deref()),
                _ => None,
            });
            match queries.next() {
                Some(query) => judge.statement(query, ""),
                None => judge.find(FindingKind::Opaque, quoted(name), words.clone()),
            }
        });
    }
}

/// Judges the triggers and rules that a change of rows in a table fires, there and where the scripts let it reach.
pub fn fires(judge: &mut Judge<'_>, table: &Name, events: i32) {
    fires_on(judge, table, events);
    for (reached, any) in judge.known.reached(table, events) {
        let all = INSERT | UPDATE | DELETE | TRUNCATE;
        fires_on(judge, &reached, if any { all } else { events });
    }
}

fn fires_on(judge: &mut Judge<'_>, table: &Name, events: i32) {
    // Its triggers and rules are read from the catalog.
    judge.known.presence(table);
    let functions = judge.known.code.fired(table, events);
    let (rules, reached) = judge.known.code.rules(table);
    let rules = rules.into_iter().map(|rule| (rule, events));
    // The change that reaches another table may be of another kind there.
    let reached = reached.into_iter().map(|rule| (rule, INSERT | UPDATE | DELETE));
    let rules: Vec<_> = rules.chain(reached).collect();
    for function in functions {
        routine(judge, &function);
    }
    for (rule, events) in rules {
        run(judge, &rule, &format!("a rule on {table}"), |judge| {
            let trees = parse::tree(&rule, ParserOptions::DEFAULT).unwrap_or_default();
            if trees.is_empty() {
                judge.find(
                    FindingKind::Opaque,
                    table,
                    format!("a rule on {table} that is too long to be read"),
                );
            }
            for tree in trees {
                let NodeEnum::RuleStmt(it) = tree else { continue };
                if event(it.event()) & events != 0 {
                    for action in it.actions.iter().filter_map(|node| node.node.as_ref()) {
                        judge.statement(action, "");
                    }
                }
            }
        });
    }
}

fn reads_settings(tree: &NodeEnum) -> bool {
    let mut read = references(tree).relations.into_iter();
    read.any(|name| name.name == "pg_settings")
}

fn event(command: CmdType) -> i32 {
    match command {
        CmdType::CmdInsert => INSERT,
        CmdType::CmdUpdate => UPDATE,
        CmdType::CmdDelete => DELETE,
        _ => 0,
    }
}
