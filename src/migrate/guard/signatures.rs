//! What distinguishes functions of one name: the types of their arguments.

use pg_query::protobuf::{FunctionParameterMode, ObjectWithArgs, TypeName};
use pg_query::{Node, NodeEnum};

use super::names::{dotted, strings};

/// The types of the arguments with which a function is called, from its parameters.
pub fn of(parameters: &[Node]) -> String {
    let types = parameters.iter().filter_map(|node| match &node.node {
        Some(NodeEnum::FunctionParameter(it))
            if !matches!(
                it.mode(),
                FunctionParameterMode::FuncParamOut | FunctionParameterMode::FuncParamTable
            ) =>
        {
            Some(it.arg_type.as_ref().map(spelled).unwrap_or_default())
        }
        _ => None,
    });
    types.collect::<Vec<_>>().join(", ")
}

/// The types of the arguments of a function that a statement names; none where it names none, or no function.
pub fn named(node: Option<&Node>) -> Option<String> {
    match node.and_then(|node| node.node.as_ref()) {
        Some(NodeEnum::ObjectWithArgs(it)) => of_object(it),
        _ => None,
    }
}

/// As [`named`].
pub fn of_object(it: &ObjectWithArgs) -> Option<String> {
    if it.args_unspecified {
        return None;
    }
    if !it.objfuncargs.is_empty() {
        return Some(of(&it.objfuncargs));
    }
    let types = it.objargs.iter().filter_map(|node| match &node.node {
        Some(NodeEnum::TypeName(name)) => Some(spelled(name)),
        _ => None,
    });
    Some(types.collect::<Vec<_>>().join(", "))
}

/// A type without modifiers, which do not distinguish functions. The parser has the catalog's names for the words of
/// the standard.
fn spelled(name: &TypeName) -> String {
    let parts = strings(&name.names);
    let parts = match parts.as_slice() {
        [schema, rest @ ..] if schema == "pg_catalog" && !rest.is_empty() => rest,
        all => all,
    };
    let array = if name.array_bounds.is_empty() { "" } else { "[]" };
    let of_column = if name.pct_type { "%TYPE" } else { "" };
    format!("{}{of_column}{array}", dotted(parts))
}

#[cfg(test)]
mod tests {
    use super::super::FindingKind::{self, *};
    use super::super::catalog_code::CatalogRoutine;
    use super::super::names::Name;
    use super::super::tests::{catalog, findings_in};

    /// On a database that has the function `old(text)`, and `twice(text)` and `twice(int)`.
    fn kinds(scripts: &[&str]) -> Vec<FindingKind> {
        let mut catalog = catalog();
        for (name, arguments) in [("old", "a text"), ("twice", "text"), ("twice", "int")] {
            catalog.code.routines.push(CatalogRoutine {
                name: Name {
                    schema: Some("public".into()),
                    name: name.into(),
                },
                definition: Some(format!(
                    "CREATE OR REPLACE FUNCTION public.{name}({arguments}) RETURNS int LANGUAGE sql AS 'SELECT 1'"
                )),
                extension: None,
                acts: true,
                anon: false,
            });
        }
        let found = findings_in(scripts, &catalog);
        found.iter().map(|finding| finding.kind).collect()
    }

    #[test]
    #[allow(clippy::too_many_lines, reason = "every case, in its order")]
    fn functions_of_one_name_are_told_apart_by_their_arguments() {
        let f = |arguments: &str| format!("CREATE FUNCTION {arguments} RETURNS int LANGUAGE sql AS 'SELECT 1'");
        for (before, statement, found) in [
            (f("f(int)"), "DROP FUNCTION f(text)", &[DropFunction][..]),
            (f("f(int)"), "DROP FUNCTION f(int4)", &[]),
            (f("f(a int DEFAULT 1, OUT b text)"), "DROP FUNCTION f(integer)", &[]),
            (f("f(VARIADIC a int[])"), "DROP FUNCTION f(int)", &[DropFunction]),
            (f("f(VARIADIC a int[])"), "DROP FUNCTION f(VARIADIC integer[])", &[]),
            (f("f(a numeric(10, 2))"), "DROP FUNCTION f(numeric)", &[]),
            (f("f(a timestamptz)"), "DROP FUNCTION f(timestamp with time zone)", &[]),
            (f("f(a timestamptz)"), "DROP FUNCTION f(timestamp)", &[DropFunction]),
            (f("f(a x.t)"), "DROP FUNCTION f(y.t)", &[DropFunction]),
            (f("f(int)"), "DROP ROUTINE f(int)", &[]),
            (f("f(int)"), "DROP FUNCTION f", &[]),
            (
                format!("{}; {}", f("f(int)"), f("f(text)")),
                "DROP FUNCTION f",
                &[DropFunction],
            ),
            (f("f(int)"), "DROP FUNCTION f(), f(int)", &[DropFunction]),
            (
                f("f(int)"),
                "ALTER FUNCTION f(int) RENAME TO g; DROP FUNCTION g(int)",
                &[],
            ),
            (
                f("f(int)"),
                "ALTER FUNCTION f(text) RENAME TO g; DROP FUNCTION g(text)",
                &[Rename, DropFunction],
            ),
            (f("f(int)"), "ALTER FUNCTION f RENAME TO g; DROP FUNCTION g(int)", &[]),
            (
                f("f(int)"),
                "ALTER FUNCTION f(int) SET SCHEMA s; DROP FUNCTION f(int)",
                &[MoveSchema, DropFunction],
            ),
            (f("f(int)"), "ALTER FUNCTION f(int) SECURITY DEFINER", &[]),
            (
                f("f(int)"),
                "ALTER FUNCTION f(text) SECURITY DEFINER",
                &[SecurityDefiner],
            ),
            (f("f(int)"), "ALTER FUNCTION f(text) OWNER TO ada", &[ChangeOwner]),
        ] {
            assert_eq!(
                kinds(&[&format!("{before}; {statement}")]),
                found,
                "{before}; {statement}"
            );
        }
        for (statement, found) in [
            // The same function again, and another one that replaces it.
            ("DROP FUNCTION old(text); CREATE FUNCTION old(text)", &[][..]),
            (
                "DROP FUNCTION old(text); CREATE FUNCTION old(a text, b int)",
                &[DropFunction],
            ),
            ("DROP FUNCTION old; CREATE FUNCTION old(text)", &[]),
            (
                "DROP FUNCTION IF EXISTS old; CREATE FUNCTION old(a text, b int)",
                &[DropFunction],
            ),
            ("DROP FUNCTION twice; CREATE FUNCTION twice(text)", &[DropFunction]),
            // No such function exists.
            ("DROP FUNCTION IF EXISTS nobody; CREATE FUNCTION nobody(int)", &[]),
            (
                "DROP FUNCTION IF EXISTS nobody(text); CREATE FUNCTION nobody(int)",
                &[DropFunction],
            ),
        ] {
            let text = format!("{statement} RETURNS int LANGUAGE sql AS 'SELECT 1'");
            assert_eq!(kinds(&[&text]), found, "{statement}");
        }
    }
}
