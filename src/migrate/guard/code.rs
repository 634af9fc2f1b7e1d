//! The code that statements run: functions and procedures, triggers, rules and prepared statements, of the pending
//! scripts and of the database. A body is judged where it is run, because only there it is known what its names mean.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use pg_query::protobuf::{CmdType, CreateFunctionStmt, DoStmt, ObjectType};
use pg_query::{Node, NodeEnum, ParserOptions};

use super::calls::{Call, calls};
use super::catalog::Catalog;
use super::finding::FindingKind;
use super::judge::Judge;
use super::names::{Name, dotted, inner, is_on, quoted, strings};
use super::{plpgsql, rights, settings, statements};
use crate::migrate::parse;

/// Functions of PostgreSQL and of well-known extensions that run a text, a part of which can be computed.
const RUNS_TEXT: [&str; 17] = [
    "cursor_to_xml",
    "database_to_xml",
    "dblink",
    "dblink_exec",
    "dblink_open",
    "dblink_send_query",
    "http_post",
    "lo_unlink",
    "query_to_xml",
    "query_to_xml_and_xmlschema",
    "query_to_xmlschema",
    "schedule",
    "schedule_in_database",
    "ts_rewrite",
    "ts_stat",
    "pg_terminate_backend",
    "pg_cancel_backend",
];

/// Functions that reach the server's files.
const REACHES_FILES: [&str; 8] = [
    "lo_export",
    "lo_import",
    "pg_file_write",
    "pg_ls_dir",
    "pg_read_binary_file",
    "pg_read_file",
    "pg_reload_conf",
    "pg_stat_file",
];

/// How deep code may call code.
const DEEPEST: usize = 16;

/// Bits of a trigger's events, as `pg_trigger.tgtype` and the parser have them.
pub const INSERT: i32 = 4;
pub const DELETE: i32 = 8;
pub const UPDATE: i32 = 16;
pub const TRUNCATE: i32 = 32;

/// A function or procedure.
#[derive(Clone, Debug)]
struct Routine {
    name: Name,
    /// Its `CREATE FUNCTION`; none if it is too long to be read.
    definition: Option<Arc<str>>,
}

#[derive(Clone, Debug)]
struct Trigger {
    table: Name,
    events: i32,
    function: Name,
}

/// The code that is known at one point of the pending scripts.
#[derive(Debug, Default)]
pub struct Code {
    routines: Vec<Routine>,
    triggers: Vec<Trigger>,
    /// `CREATE RULE` of the rules that the database has on a table.
    rules: Vec<(Name, Arc<str>)>,
    /// `PREPARE` of each prepared statement.
    prepared: BTreeMap<String, Arc<str>>,
    /// Names of functions that are called.
    asked: BTreeSet<String>,
}

/// Whether two names can mean the same object.
fn are_one(one: &Name, other: &Name) -> bool {
    one.name == other.name && (one.schema == other.schema || one.schema.is_none() || other.schema.is_none())
}

impl Code {
    pub fn new(catalog: &Catalog) -> Self {
        let routines = catalog.routines.iter().map(|routine| Routine {
            name: routine.name.clone(),
            definition: routine.definition.as_deref().map(Arc::from),
        });
        let triggers = catalog.triggers.iter().map(|trigger| Trigger {
            table: trigger.table.clone(),
            events: trigger.events,
            function: trigger.function.clone(),
        });
        let rules = catalog
            .rules
            .iter()
            .map(|(table, rule)| (table.clone(), Arc::from(rule.as_str())));
        Self {
            routines: routines.collect(),
            triggers: triggers.collect(),
            rules: rules.collect(),
            ..Self::default()
        }
    }

    /// The names of functions to read from the catalog.
    pub fn asked(&self) -> &BTreeSet<String> {
        &self.asked
    }

    /// Adds names to read from the catalog.
    pub fn ask(&mut self, functions: BTreeSet<String>) {
        self.asked.extend(functions);
    }

    fn routines(&mut self, name: &Name) -> Vec<Routine> {
        self.asked.insert(name.name.clone());
        let meant = self.routines.iter().filter(|routine| are_one(&routine.name, name));
        meant.cloned().collect()
    }
}

/// Judges the code that a statement runs, and remembers the code that it creates. `text`: the statement.
pub fn statement(judge: &mut Judge<'_>, tree: &NodeEnum, text: &str) {
    match tree {
        NodeEnum::CreateFunctionStmt(it) => {
            let definition = Some(Arc::from(text));
            let name = Name::of(strings(&it.funcname));
            judge.known.version += 1;
            judge.known.code.routines.push(Routine { name, definition });
            return;
        }
        NodeEnum::PrepareStmt(it) => {
            judge.known.version += 1;
            judge.known.code.prepared.insert(it.name.clone(), Arc::from(text));
            return;
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
            if judge.known.code.routines(&Name::of(name.clone())).is_empty() {
                let name = dotted(&name);
                judge.find(FindingKind::Opaque, &name, format!("CALL {name}"));
            }
        }
        NodeEnum::CreateTrigStmt(it) => {
            if let Some(table) = it.relation.as_ref().map(Name::from) {
                let (events, function) = (it.events, Name::of(strings(&it.funcname)));
                let trigger = Trigger {
                    table,
                    events,
                    function,
                };
                judge.known.version += 1;
                judge.known.code.triggers.push(trigger);
            }
        }
        NodeEnum::CreateEventTrigStmt(it) => {
            let name = quoted(&it.trigname);
            judge.find(FindingKind::Opaque, &name, format!("CREATE EVENT TRIGGER {name}"));
        }
        NodeEnum::DefineStmt(it) => {
            // The functions of an operator or aggregate run wherever it is used.
            for node in &it.definition {
                if let Some(NodeEnum::DefElem(element)) = &node.node
                    && let Some(NodeEnum::TypeName(name)) = inner(element.arg.as_deref())
                {
                    routine(judge, &Name::of(strings(&name.names)));
                }
            }
        }
        NodeEnum::CreateCastStmt(it) => {
            if let Some(function) = &it.func {
                routine(judge, &Name::of(strings(&function.objname)));
            }
        }
        NodeEnum::RenameStmt(it) if is_routine(it.rename_type()) => {
            moved(judge, Name::of(vec![it.newname.clone()]));
        }
        NodeEnum::AlterObjectSchemaStmt(it) if is_routine(it.object_type()) => {
            let parts = it
                .object
                .as_deref()
                .map(|node| strings(std::slice::from_ref(node)))
                .unwrap_or_default();
            let schema = Some(it.newschema.clone());
            let name = Name {
                schema,
                ..Name::of(parts)
            };
            moved(judge, name);
        }
        NodeEnum::ExplainStmt(it) if !is_on(&it.options, "analyze") => return,
        NodeEnum::RuleStmt(it) => {
            for action in it.actions.iter().filter_map(|node| node.node.as_ref()) {
                statements::statement(judge, action, text);
            }
            return;
        }
        _ => {}
    }
    let quiet = !runs(tree);
    for call in calls(tree) {
        judge.quietly(quiet, |judge| called(judge, &call, quiet));
    }
}

fn is_routine(what: ObjectType) -> bool {
    matches!(
        what,
        ObjectType::ObjectFunction | ObjectType::ObjectProcedure | ObjectType::ObjectRoutine
    )
}

/// A function that has another name now, by which its code is not found.
fn moved(judge: &mut Judge<'_>, name: Name) {
    judge.known.version += 1;
    let definition = None;
    judge.known.code.routines.push(Routine { name, definition });
}

/// Whether a statement's expressions are evaluated by it, or by later ones that do not name its functions. Of the
/// code of policies and triggers, only losses are told: what fires a trigger is judged where it does.
fn runs(tree: &NodeEnum) -> bool {
    !matches!(
        tree,
        NodeEnum::CreatePolicyStmt(_)
            | NodeEnum::AlterPolicyStmt(_)
            | NodeEnum::CreateTrigStmt(_)
            | NodeEnum::CreateEventTrigStmt(_)
            | NodeEnum::CommentStmt(_)
            | NodeEnum::GrantStmt(_)
    )
}

fn called(judge: &mut Judge<'_>, call: &Call, later: bool) {
    let name = Name::of(call.name.clone());
    let word = name.name.as_str();
    let ours = name.schema.as_deref().is_none_or(|schema| schema == "pg_catalog");
    match word {
        "set_config" if ours && !later => return settings::set_config(judge, call.first.as_deref()),
        _ if RUNS_TEXT.contains(&word) => {
            judge.find(FindingKind::Opaque, &name, format!("a call of {name}"));
        }
        _ if ours && REACHES_FILES.contains(&word) => {
            judge.find(FindingKind::ServerAccess, &name, format!("a call of {name}"));
        }
        _ => {}
    }
    if name.schema.as_deref() != Some("pg_catalog") {
        routine(judge, &name);
    }
}

/// Judges the functions that a name can mean.
fn routine(judge: &mut Judge<'_>, name: &Name) {
    for routine in judge.known.code.routines(name) {
        let Some(definition) = routine.definition else {
            judge.find(FindingKind::Opaque, name, format!("{name}(), whose code is not read"));
            continue;
        };
        run(judge, &definition, &format!("{name}()"), |judge| {
            let trees = parse::tree(&definition, ParserOptions::DEFAULT).unwrap_or_default();
            let mut known = false;
            for tree in &trees {
                if let NodeEnum::CreateFunctionStmt(it) = tree
                    && are_one(&Name::of(strings(&it.funcname)), &routine.name)
                {
                    known = true;
                    body(judge, it);
                }
            }
            if !known {
                judge.find(FindingKind::Opaque, "", "code that the parser cannot read".into());
            }
        });
    }
}

/// Judges code within its limits: each text once on the way to it, not too deep, and not too much in all.
fn run(judge: &mut Judge<'_>, text: &Arc<str>, label: &str, judges: impl Fn(&mut Judge<'_>)) {
    if judge.active.contains(text) || judge.was_judged(text) {
        return;
    }
    if judge.active.len() >= DEEPEST || !judge.spend(text.len()) {
        judge.find(FindingKind::Opaque, "", format!("{label}, beyond what is read of code"));
        return;
    }
    let outermost = judge.label.is_none();
    if outermost {
        judge.label = Some(label.to_owned());
    }
    judge.active.push(text.clone());
    let elsewhere = judge.known.elsewhere;
    judges(judge);
    // In a loop, a new search path also counts for what stands before it.
    if judge.known.elsewhere && !elsewhere {
        judges(judge);
    }
    judge.active.pop();
    if outermost {
        judge.label = None;
    }
}

/// The language in the options of a function or DO block.
pub fn language(options: &[Node]) -> String {
    let named = options.iter().find_map(|node| match &node.node {
        Some(NodeEnum::DefElem(element)) if element.defname == "language" => match inner(element.arg.as_deref()) {
            Some(NodeEnum::String(name)) => Some(name.sval.to_ascii_lowercase()),
            _ => None,
        },
        _ => None,
    });
    named.unwrap_or_default()
}

/// The text of a function's body or a DO block.
pub fn source(options: &[Node]) -> Option<String> {
    options.iter().find_map(|node| match &node.node {
        Some(NodeEnum::DefElem(element)) if element.defname == "as" => match inner(element.arg.as_deref()) {
            Some(NodeEnum::String(text)) => Some(text.sval.clone()),
            Some(NodeEnum::List(list)) => strings(&list.items).into_iter().next(),
            _ => None,
        },
        _ => None,
    })
}

fn body(judge: &mut Judge<'_>, it: &CreateFunctionStmt) {
    let before = judge.known.elsewhere;
    let own_path = rights::has_path(&it.options);
    for set in rights::settings(&it.options) {
        settings::set(judge, set);
    }
    let language = language(&it.options);
    match (inner(it.sql_body.as_deref()), source(&it.options)) {
        (Some(body), _) => atomic(judge, body),
        (None, Some(text)) if language == "sql" => script(judge, &text),
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
        node => statements::statement(judge, node, ""),
    }
}

/// Judges statements that code runs.
pub fn script(judge: &mut Judge<'_>, text: &str) {
    for part in parse::statements(text, 0) {
        match &part.tree {
            Some(tree) => statements::statement(judge, tree, &text[part.span.clone()]),
            None => judge.find(
                FindingKind::Opaque,
                "",
                "a statement that the parser cannot read".into(),
            ),
        }
    }
}

fn block(judge: &mut Judge<'_>, it: &DoStmt, text: &str) {
    let language = language(&it.args);
    run(judge, &Arc::from(text), "a DO block", |judge| {
        if matches!(language.as_str(), "" | "plpgsql") {
            plpgsql::block(judge, text);
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
    let Some(text) = judge.known.code.prepared.get(name).cloned() else {
        judge.find(FindingKind::Opaque, quoted(name), words);
        return;
    };
    run(judge, &text, &words, |judge| {
        for tree in parse::tree(&text, ParserOptions::DEFAULT).unwrap_or_default() {
            if let NodeEnum::PrepareStmt(it) = tree
                && let Some(query) = inner(it.query.as_deref())
            {
                statements::statement(judge, query, "");
            }
        }
    });
}

/// Judges the triggers and rules that a change of rows in a table fires.
pub fn fires(judge: &mut Judge<'_>, table: &Name, events: i32) {
    // Its triggers and rules are read from the catalog.
    judge.known.standing(table);
    let code = &judge.known.code;
    let on_it = code
        .triggers
        .iter()
        .filter(|it| it.events & events != 0 && are_one(&it.table, table));
    let functions: BTreeSet<Name> = on_it.map(|trigger| trigger.function.clone()).collect();
    let rules = code.rules.iter().filter(|(on, _)| are_one(on, table));
    let rules: Vec<Arc<str>> = rules.map(|(_, rule)| rule.clone()).collect();
    for function in functions {
        routine(judge, &function);
    }
    for rule in rules {
        run(judge, &rule, &format!("a rule on {table}"), |judge| {
            for tree in parse::tree(&rule, ParserOptions::DEFAULT).unwrap_or_default() {
                let NodeEnum::RuleStmt(it) = tree else { continue };
                if event(it.event()) & events != 0 {
                    for action in it.actions.iter().filter_map(|node| node.node.as_ref()) {
                        statements::statement(judge, action, "");
                    }
                }
            }
        });
    }
}

fn event(command: CmdType) -> i32 {
    match command {
        CmdType::CmdInsert => INSERT,
        CmdType::CmdUpdate => UPDATE,
        CmdType::CmdDelete => DELETE,
        _ => 0,
    }
}
