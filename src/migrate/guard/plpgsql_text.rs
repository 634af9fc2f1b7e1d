//! What code in PL/pgSQL consists of, as the parser of `libpg_query` reads it.

use std::fmt::Write as _;

use pg_query::protobuf::{CreateFunctionStmt, FunctionParameterMode as Mode};
use pg_query::{NodeEnum, ParserOptions};
use serde_json::Value;

use super::declarations;
use super::names::{inner, strings};
use crate::migrate::parse;
use crate::postgres::quote;

/// The variables of a trigger's function, which the parser does not know.
const OF_TRIGGERS: &str = "DECLARE new record; old record; tg_name text; tg_when text; tg_level text; tg_op text; \
                           tg_relid oid; tg_relname text; tg_table_name text; tg_table_schema text; tg_nargs int; \
                           tg_argv text[]; tg_event text; tg_tag text; BEGIN\n";

/// A part of code in PL/pgSQL that runs SQL.
pub enum CodePart {
    /// A statement or an expression: its text, and its parse trees.
    Sql(String, Vec<NodeEnum>),
    /// A statement or an expression that the parser cannot read.
    Unreadable,
    /// `EXECUTE` of a constant text.
    Constant(String),
    /// `EXECUTE` of a text that is computed.
    Computed,
    /// The value that a variable of the type `record` has where it is declared, which the parser leaves out.
    RecordValue,
}

/// Visits the parts of code, in their order, as often as they occur. `read`: the code as the parser gives it. `body`: its text.
pub fn visit(read: &Value, body: &str, visitor: &mut impl FnMut(CodePart)) {
    walk(read, visitor);
    if declarations::sets_record(read, body) {
        visitor(CodePart::RecordValue);
    }
}

fn walk(value: &Value, visitor: &mut impl FnMut(CodePart)) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| walk(value, visitor)),
        Value::Object(fields) => {
            for (key, value) in fields {
                match key.as_str() {
                    "PLpgSQL_expr" => {
                        visitor(trees(value).map_or(CodePart::Unreadable, |(text, trees)| CodePart::Sql(text, trees)));
                    }
                    "dynquery" => visitor(run(value)),
                    "PLpgSQL_stmt_dynexecute" | "PLpgSQL_stmt_dynfors" => visitor(run(&value["query"])),
                    _ => {}
                }
                // An expression has no others in it.
                if key != "PLpgSQL_expr" {
                    walk(value, visitor);
                }
            }
        }
        _ => {}
    }
}

fn run(value: &Value) -> CodePart {
    constant(value).map_or(CodePart::Computed, CodePart::Constant)
}

/// The statements and expressions of a function's body, and whether it runs a computed text; none if it cannot be read.
pub fn parts(it: &CreateFunctionStmt, body: &str) -> Option<(Vec<NodeEnum>, bool)> {
    let read = texts(it, body).iter().find_map(|text| parse::plpgsql(text))?;
    let (mut found, mut computed) = (Vec::new(), false);
    visit(&read, body, &mut |part| match part {
        CodePart::Sql(_, trees) => found.extend(trees),
        CodePart::Unreadable => {}
        CodePart::Constant(text) => match parse::tree(&text, ParserOptions::DEFAULT) {
            Some(trees) => found.extend(trees),
            None => computed = true,
        },
        CodePart::Computed | CodePart::RecordValue => computed = true,
    });
    Some((found, computed))
}

/// `CREATE FUNCTION` statements that the parser may be able to read. The first one that it can read counts.
pub fn texts(it: &CreateFunctionStmt, body: &str) -> Vec<String> {
    let returns = it.return_type.as_ref();
    let returned = returns
        .map(|name| strings(&name.names))
        .and_then(|mut parts| parts.pop());
    let returned = returned.unwrap_or_default();
    let header = header(it, &returned, returns.is_some_and(|name| name.setof));
    let texts = if matches!(returned.as_str(), "trigger" | "event_trigger") {
        // The body is wrapped in another block, because its last semicolon may be missing.
        [";", ""].map(|end| format!("{OF_TRIGGERS}{body}\n{end}\nEND")).into()
    } else {
        vec![body.to_owned()]
    };
    let texts = texts.iter();
    texts
        .map(|text| format!("{header} LANGUAGE plpgsql AS {}", in_dollars(text)))
        .collect()
}

/// A function of the same shape whose types are all known to the parser, which has no catalog.
fn header(it: &CreateFunctionStmt, returned: &str, set: bool) -> String {
    let (mut parameters, mut columns, mut out) = (Vec::new(), Vec::new(), 0);
    for node in &it.parameters {
        let Some(NodeEnum::FunctionParameter(parameter)) = &node.node else {
            continue;
        };
        let kept = parameter
            .arg_type
            .as_ref()
            .map(|name| strings(&name.names))
            .and_then(|mut parts| parts.pop());
        let kept = kept.filter(|name| name == "refcursor").unwrap_or_else(|| "text".into());
        let name = if parameter.name.is_empty() {
            String::new()
        } else {
            quote(&parameter.name)
        };
        match parameter.mode() {
            Mode::FuncParamTable => columns.push(format!("{name} {kept}")),
            Mode::FuncParamOut => (out, parameters) = (out + 1, with(parameters, format!("OUT {name} {kept}"))),
            Mode::FuncParamInout => (out, parameters) = (out + 1, with(parameters, format!("INOUT {name} {kept}"))),
            _ => parameters.push(format!("{name} {kept}")),
        }
    }
    let kind = if it.is_procedure { "PROCEDURE" } else { "FUNCTION" };
    let mut header = format!("CREATE {kind} f({})", parameters.join(", "));
    let returns = match (columns.is_empty(), out, set, returned) {
        _ if it.is_procedure => "",
        (false, ..) => &format!("RETURNS TABLE ({})", columns.join(", ")),
        (_, 0 | 1, true, _) => "RETURNS SETOF text",
        (_, _, true, _) => "RETURNS SETOF record",
        (_, 0, _, "void" | "event_trigger") => "RETURNS void",
        (_, 0, ..) => "RETURNS text",
        _ => "",
    };
    let _ = write!(header, " {returns}");
    header
}

fn with(mut list: Vec<String>, added: String) -> Vec<String> {
    list.push(added);
    list
}

/// A text between dollar quotes that it does not contain.
fn in_dollars(text: &str) -> String {
    let tags = (0_u32..).map(|number| format!("$body{number}$"));
    let tag = tags.into_iter().find(|tag| !text.contains(tag.trim_end_matches('$')));
    let tag = tag.unwrap_or_default();
    format!("{tag}{text}{tag}")
}

/// The parse trees of a statement or expression.
fn trees(value: &Value) -> Option<(String, Vec<NodeEnum>)> {
    let text = value.get("query")?.as_str()?;
    let grammar = value.get("parseMode").and_then(Value::as_i64).unwrap_or_default();
    let grammar = ParserOptions::from(i32::try_from(grammar).ok()?);
    Some((text.to_owned(), parse::tree(text, grammar)?))
}

/// The text that an `EXECUTE` runs, if it is a constant.
fn constant(value: &Value) -> Option<String> {
    let (_, trees) = value.get("PLpgSQL_expr").and_then(trees)?;
    match trees.as_slice() {
        [NodeEnum::SelectStmt(select)] => match select.target_list.first()?.node.as_ref()? {
            NodeEnum::ResTarget(target) => text(inner(target.val.as_deref())?),
            _ => None,
        },
        _ => None,
    }
}

fn text(node: &NodeEnum) -> Option<String> {
    use pg_query::protobuf::a_const::Val;
    match node {
        NodeEnum::AConst(constant) => match constant.val.as_ref()? {
            Val::Sval(text) => Some(text.sval.clone()),
            _ => None,
        },
        _ => None,
    }
}
