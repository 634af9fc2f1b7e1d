//! Definitions of functions, read once: which relations a function reads, and whether a caller sees their rows.

use std::collections::HashSet;
use std::sync::Arc;

use pg_query::protobuf::{CreateFunctionStmt, FunctionParameterMode as Mode};
use pg_query::{Node, NodeEnum, ParserOptions};

use super::allowance::{ENTRY, OBJECT};
use super::calls::references;
use super::names::{Name, body_text, inner, is_on, language, strings};
use super::{plpgsql_text, signatures};
use crate::migrate::parse;

/// Aggregate and XML functions whose result contains the values of many rows.
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

/// A function, as its `CREATE FUNCTION` statement defines it.
#[derive(Debug)]
pub struct Definition {
    /// The parts of its name.
    pub name: Vec<String>,
    /// The types of its arguments.
    pub arguments: String,
    /// It runs with the rights of its owner (`SECURITY DEFINER`).
    pub definer: bool,
    pub returns: Returns,
    /// None if it cannot be read.
    pub body: Option<Body>,
}

/// The body of a function.
#[derive(Debug)]
pub struct Body {
    /// Its statements and expressions.
    pub parts: Vec<BodyPart>,
    /// It runs a computed text.
    pub computed: bool,
}

/// A statement or expression.
#[derive(Debug)]
pub struct BodyPart {
    /// The relations that it names.
    pub relations: Vec<Name>,
    /// The functions that it calls.
    pub calls: Vec<Name>,
    /// It calls a function of [`GATHER`].
    pub gathers: bool,
    /// Its `WHERE` refers to a column.
    pub bounded: bool,
}

/// What a function returns.
#[derive(Debug, PartialEq, Eq)]
pub enum Returns {
    /// Any number of rows, or one value that can contain them: an array, JSON, XML.
    Rows,
    /// One value that can contain any text.
    Text,
    /// A value that contains no text, such as a number, or nothing; and functions that no statement can call.
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

/// Each once, in the order of the first.
fn each_once(names: Vec<Name>) -> Vec<Name> {
    let mut seen = HashSet::new();
    names.into_iter().filter(|name| seen.insert(name.clone())).collect()
}

impl BodyPart {
    fn of(tree: &NodeEnum) -> Self {
        let found = references(tree);
        let gathers = |name: &Vec<String>| name.last().is_some_and(|name| GATHER.contains(&name.as_str()));
        // `read_by` follows the calls from the last one to the first.
        let calls = found.calls.iter().rev().map(|call| Name::of(call.name.clone()));
        let mut calls = each_once(calls.collect());
        calls.reverse();
        Self {
            gathers: found.calls.iter().any(|call| gathers(&call.name)),
            calls,
            relations: each_once(found.relations),
            bounded: has_condition(tree),
        }
    }
}

impl From<&CreateFunctionStmt> for Definition {
    fn from(it: &CreateFunctionStmt) -> Self {
        let trees = trees(it);
        Self {
            name: strings(&it.funcname),
            arguments: signatures::of(&it.parameters),
            definer: is_on(&it.options, "security"),
            returns: returns(it),
            body: trees.map(|(trees, computed)| Body {
                parts: trees.iter().map(BodyPart::of).collect(),
                computed,
            }),
        }
    }
}

impl Definition {
    /// The definitions of all functions that a text creates.
    pub fn all(text: &str) -> Arc<[Self]> {
        let trees = parse::tree(text, ParserOptions::DEFAULT).unwrap_or_default();
        let read = trees.iter().filter_map(|tree| match tree {
            NodeEnum::CreateFunctionStmt(it) => Some(Self::from(&**it)),
            _ => None,
        });
        read.collect()
    }

    /// The bytes that it takes in memory.
    pub fn bytes(&self) -> usize {
        let of = |names: &[Name]| names.iter().map(|name| ENTRY + name.bytes()).sum::<usize>();
        let parts = self.body.iter().flat_map(|body| &body.parts);
        let parts: usize = parts.map(|part| ENTRY + of(&part.relations) + of(&part.calls)).sum();
        OBJECT + self.arguments.len() + parts
    }
}

/// The statements and expressions of a function's body, and whether it runs a computed text; none if it cannot be read.
fn trees(it: &CreateFunctionStmt) -> Option<(Vec<NodeEnum>, bool)> {
    match (inner(it.sql_body.as_deref()), body_text(&it.options)) {
        (Some(body), _) => Some((vec![body.clone()], false)),
        (None, Some(text)) => match language(&it.options).as_str() {
            "sql" => Some((parse::tree(&text, ParserOptions::DEFAULT)?, false)),
            "plpgsql" => plpgsql_text::parts(it, &text),
            _ => None,
        },
        _ => None,
    }
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

/// Whether a condition refers to a column.
fn is_bounded(condition: Option<&Node>) -> bool {
    inner(condition).is_some_and(|node| references(node).has_columns)
}
