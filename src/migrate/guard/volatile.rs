//! Whether a default has the same value for all rows.

use pg_query::{Node, NodeEnum};

use super::names::strings;

/// Whether a default can have another value for each row, so that all rows are rewritten: it calls a function that is
/// not known to be constant throughout a statement.
pub fn is_volatile(node: &NodeEnum) -> bool {
    const SAME: [&str; 10] = [
        "now",
        "transaction_timestamp",
        "statement_timestamp",
        "current_setting",
        "timezone",
        "lower",
        "upper",
        "to_timestamp",
        "jsonb_build_object",
        "jsonb_build_array",
    ];
    let volatile = |node: &Node| node.node.as_ref().is_some_and(is_volatile);
    match node {
        NodeEnum::AConst(_) | NodeEnum::SqlvalueFunction(_) => false,
        NodeEnum::TypeCast(it) => it.arg.as_deref().is_some_and(volatile),
        NodeEnum::AExpr(it) => [&it.lexpr, &it.rexpr].into_iter().flatten().any(|node| volatile(node)),
        NodeEnum::AArrayExpr(it) => it.elements.iter().any(volatile),
        NodeEnum::FuncCall(call) => {
            let known = strings(&call.funcname)
                .last()
                .is_some_and(|name| SAME.contains(&name.as_str()));
            !known || call.args.iter().any(volatile)
        }
        _ => true,
    }
}
