//! Functions that return rows with the rights of their owner: a role that may call one reads what the owner reads.

use std::collections::BTreeSet;

use pg_query::protobuf::{
    AlterFunctionStmt, CreateFunctionStmt, FunctionParameterMode as Mode, GrantStmt, GrantTargetType, ObjectType,
    RoleSpecType,
};
use pg_query::{Node, NodeEnum, ParserOptions};

use super::calls::{FunctionCall, references};
use super::finding::{Finding, FindingKind};
use super::judge::Judge;
use super::known::Existence;
use super::known_code::Leak;
use super::names::{Name, body_text, dotted, inner, is_on, language, strings};
use super::roles::roles;
use super::{plpgsql, signatures};
use crate::api::Effect;
use crate::migrate::parse;

/// The finding for a function that everybody may call.
const CALLABLE: &str = "SECURITY DEFINER, which PUBLIC may execute and which returns rows of";

/// Functions that make one value of many rows.
const GATHER: [&str; 9] = [
    "array_agg",
    "json_agg",
    "json_object_agg",
    "jsonb_agg",
    "jsonb_object_agg",
    "query_to_xml",
    "string_agg",
    "table_to_xml",
    "xmlagg",
];

/// The most functions that are followed from one statement.
const FOLLOWED: usize = 100;

/// Judges a statement that creates such a function, or that changes who may call it.
pub fn statement(judge: &mut Judge<'_>, tree: &NodeEnum) {
    match tree {
        NodeEnum::CreateFunctionStmt(it) if is_on(&it.options, "security") => tell(judge, it, "CREATE FUNCTION"),
        NodeEnum::AlterFunctionStmt(it) if is_on(&it.actions, "security") => alter(judge, it),
        NodeEnum::GrantStmt(it) if !it.is_grant => close(judge, it),
        _ => {}
    }
}

fn tell(judge: &mut Judge<'_>, it: &CreateFunctionStmt, words: &str) {
    let Some(source) = shown(judge, it) else { return };
    let parts = strings(&it.funcname);
    let (name, arguments) = (dotted(&parts), signatures::of(&it.parameters));
    let with = if arguments.is_empty() {
        String::new()
    } else {
        format!("({arguments})")
    };
    let statement = format!("{words} {name}{with} {CALLABLE} {source}");
    judge.find_as(FindingKind::SecurityDefiner, Effect::Exposing, &name, statement.clone());
    let anon = judge.known.code.anon_executes;
    judge.known.code.leaks.push(Leak {
        name: Name::of(parts),
        arguments,
        statement,
        public: true,
        anon,
    });
}

/// The functions that a name means, of the scripts and of the database, with arguments of these types if they are said.
fn functions(judge: &mut Judge<'_>, name: &Name, arguments: Option<&String>) -> Vec<CreateFunctionStmt> {
    let found = judge.known.code.routines(name).into_iter();
    let read = found.filter_map(|routine| parse::tree(&routine.definition?, ParserOptions::DEFAULT));
    let made = read.flatten().filter_map(|tree| match tree {
        NodeEnum::CreateFunctionStmt(it) => Some(*it),
        _ => None,
    });
    made.filter(|it| arguments.is_none_or(|arguments| *arguments == signatures::of(&it.parameters)))
        .collect()
}

fn alter(judge: &mut Judge<'_>, it: &AlterFunctionStmt) {
    let Some(function) = &it.func else { return };
    let (name, arguments) = (Name::of(strings(&function.objname)), signatures::of_object(function));
    for made in functions(judge, &name, arguments.as_ref()) {
        tell(judge, &made, "ALTER FUNCTION");
    }
}

/// Whether a function shows rows to the roles that may call it, which depends on grants.
pub fn is_leak(judge: &mut Judge<'_>, object: &Node) -> bool {
    let name = Name::of(strings(std::slice::from_ref(object)));
    let arguments = signatures::named(Some(object));
    let known = judge.known.code.leaks.clone();
    if known.iter().any(|leak| is_one(judge, leak, &name, arguments.as_ref())) {
        return true;
    }
    let found = functions(judge, &name, arguments.as_ref());
    found
        .iter()
        .any(|it| is_on(&it.options, "security") && shown(judge, it).is_some())
}

/// Whether the scripts have made such a function in a schema.
pub fn is_leak_in(judge: &Judge<'_>, schema: &str) -> bool {
    let schema = Some(schema.to_owned());
    let mut leaks = judge.known.code.leaks.iter();
    leaks.any(|leak| leak.name.schema.is_none() || leak.name.schema == schema)
}

fn is_one(judge: &Judge<'_>, leak: &Leak, name: &Name, arguments: Option<&String>) -> bool {
    leak.name.name == name.name
        && arguments.is_none_or(|arguments| *arguments == leak.arguments)
        && judge
            .known
            .is_same_schema(leak.name.schema.as_ref(), name.schema.as_ref())
}

/// Removes the findings of functions that the same scripts certainly close to everybody.
fn close(judge: &mut Judge<'_>, it: &GrantStmt) {
    let functions = matches!(
        it.objtype(),
        ObjectType::ObjectFunction | ObjectType::ObjectRoutine | ObjectType::ObjectProcedure
    );
    let public = roles(&it.grantees).any(|role| role.roletype() == RoleSpecType::RolespecPublic);
    let anon = roles(&it.grantees).any(|role| role.rolename == "anon");
    if !functions || it.grant_option || !judge.is_certain() {
        return;
    }
    let all = it.targtype() == GrantTargetType::AclTargetAllInSchema;
    let mut leaks = judge.known.code.leaks.clone();
    for object in &it.objects {
        let named = strings(std::slice::from_ref(object));
        let arguments = signatures::named(Some(object));
        for leak in &mut leaks {
            let meant = if all {
                judge.known.is_same_schema(leak.name.schema.as_ref(), named.last())
            } else {
                is_one(judge, leak, &Name::of(named.clone()), arguments.as_ref())
            };
            leak.public &= !(meant && public);
            leak.anon &= !(meant && anon);
        }
    }
    let closed = |found: &Finding| {
        let mut shut = leaks.iter().filter(|leak| !leak.public && !leak.anon);
        found.kind == FindingKind::SecurityDefiner && shut.any(|leak| found.statement.ends_with(&leak.statement))
    };
    judge.findings.retain(|found| !closed(found));
    judge.known.code.leaks = leaks;
}

/// What a function returns.
#[derive(PartialEq, Eq)]
enum Returns {
    /// Any number of rows, in whatever form.
    Rows,
    /// One value that may hold any text.
    Text,
    /// Nothing from which a row could be read, or it cannot be called.
    Other,
}

fn returns(it: &CreateFunctionStmt) -> Returns {
    let gives = |node: &Node| match &node.node {
        Some(NodeEnum::FunctionParameter(it)) => matches!(it.mode(), Mode::FuncParamOut | Mode::FuncParamInout),
        _ => false,
    };
    let out = it.parameters.iter().any(gives);
    let Some(returned) = &it.return_type else {
        return if out { Returns::Text } else { Returns::Other };
    };
    let name = strings(&returned.names).pop().unwrap_or_default();
    let set = returned.setof || !returned.array_bounds.is_empty();
    match name.as_str() {
        _ if set => Returns::Rows,
        "record" if out => Returns::Text,
        "json" | "jsonb" | "xml" | "record" => Returns::Rows,
        "bool" | "void" | "trigger" | "event_trigger" | "int2" | "int4" | "int8" | "float4" | "float8" | "numeric"
        | "timestamp" | "timestamptz" | "date" | "time" | "timetz" | "interval" => Returns::Other,
        _ => Returns::Text,
    }
}

/// The relations whose rows a function shows. One that returns a text shows more than one row if it has no condition on
/// rows.
fn shown(judge: &mut Judge<'_>, it: &CreateFunctionStmt) -> Option<String> {
    let returns = returns(it);
    if returns == Returns::Other {
        return None;
    }
    let (trees, computed) = trees(it)?;
    for tree in &trees {
        let found = references(tree);
        let gathers = found
            .calls
            .iter()
            .any(|call| call.name.last().is_some_and(|name| GATHER.contains(&name.as_str())));
        let mut read = found.relations;
        read.extend(read_by(judge, &found.calls));
        if (returns == Returns::Rows || gathers || !has_condition(tree))
            && let Some(source) = source(judge, &read)
        {
            return Some(source.to_string());
        }
    }
    computed.then(|| "what a computed text says".to_owned())
}

/// The statements and expressions of a function's body, and whether it runs a computed text; none if it cannot be read.
fn trees(it: &CreateFunctionStmt) -> Option<(Vec<NodeEnum>, bool)> {
    match (inner(it.sql_body.as_deref()), body_text(&it.options)) {
        (Some(body), _) => Some((vec![body.clone()], false)),
        (None, Some(text)) => match language(&it.options).as_str() {
            "sql" => Some((parse::tree(&text, ParserOptions::DEFAULT)?, false)),
            "plpgsql" => plpgsql::parts(it, &text),
            _ => None,
        },
        _ => None,
    }
}

/// The relations that called functions read, and those that these call.
pub fn read_by(judge: &mut Judge<'_>, calls: &[FunctionCall]) -> Vec<Name> {
    let (mut read, mut seen) = (Vec::new(), BTreeSet::new());
    let mut left: Vec<Name> = calls.iter().map(|call| Name::of(call.name.clone())).collect();
    while let Some(name) = left.pop() {
        if seen.len() >= FOLLOWED || !seen.insert(name.clone()) {
            continue;
        }
        let trees = functions(judge, &name, None).into_iter().filter_map(|it| trees(&it));
        for tree in trees.flat_map(|(trees, _)| trees) {
            let found = references(&tree);
            read.extend(found.relations);
            left.extend(found.calls.into_iter().map(|call| Name::of(call.name)));
        }
    }
    read
}

/// Whether a query has a condition on rows. A body in standard SQL is a list of statements.
fn has_condition(tree: &NodeEnum) -> bool {
    match tree {
        NodeEnum::SelectStmt(it) => is_bounded(it.where_clause.as_deref()),
        NodeEnum::List(list) => list
            .items
            .iter()
            .filter_map(|node| node.node.as_ref())
            .all(has_condition),
        _ => true,
    }
}

/// The first of these relations that shows rows which were there before, and which not everybody reads already.
pub fn source(judge: &mut Judge<'_>, relations: &[Name]) -> Option<Name> {
    let shows = |name: &&Name| {
        let filled = matches!(judge.known.standing(name), Existence::There { filled: true, .. });
        (filled || judge.known.marks(name).shows) && !judge.known.readers(name).bare
    };
    relations.iter().find(shows).cloned()
}

/// Whether a condition is on rows: it has a column.
pub fn is_bounded(condition: Option<&Node>) -> bool {
    inner(condition).is_some_and(|node| references(node).has_columns)
}
