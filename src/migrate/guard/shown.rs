//! Relations that the pending scripts create and that show rows of tables which were there before: views, tables that a
//! query fills, and functions with the rights of their owner.

use pg_query::protobuf::{CreateFunctionStmt, GrantStmt, ObjectType, RoleSpecType};
use pg_query::{NodeEnum, ParserOptions};

use super::calls::references;
use super::finding::FindingKind;
use super::judge::Judge;
use super::known::Standing;
use super::names::{Name, body_text, dotted, inner, is_on, language, strings};
use super::rights::roles;
use crate::api::Effect;
use crate::migrate::parse;

/// What a function that everybody may call is told as.
const CALLABLE: &str = "SECURITY DEFINER, which PUBLIC may execute and which returns rows of";

/// Judges a statement by which a new relation or a function shows rows of a table that was there before.
pub fn statement(judge: &mut Judge<'_>, tree: &NodeEnum) {
    let (relation, query) = match tree {
        NodeEnum::ViewStmt(it) if !is_on(&it.options, "security_invoker") => {
            (it.view.as_ref(), inner(it.query.as_deref()))
        }
        NodeEnum::CreateTableAsStmt(it) => {
            let into = it.into.as_ref().and_then(|into| into.rel.as_ref());
            (into, inner(it.query.as_deref()))
        }
        NodeEnum::SelectStmt(it) => {
            let into = it.into_clause.as_ref().and_then(|into| into.rel.as_ref());
            (into, Some(tree))
        }
        NodeEnum::InsertStmt(it) => (it.relation.as_ref(), inner(it.select_stmt.as_deref())),
        NodeEnum::CreateFunctionStmt(it) => return function(judge, it),
        NodeEnum::GrantStmt(it) if !it.is_grant => return closed(judge, it),
        _ => return,
    };
    let (Some(name), Some(query)) = (relation.map(Name::from), query) else {
        return;
    };
    if judge.known.standing(&name) != Standing::New {
        return;
    }
    let Some(source) = source(judge, &references(query).relations) else {
        return;
    };
    judge.known.mark(&name, |marks| marks.shows = true);
    let marks = judge.known.marks(&name);
    if marks.open && !marks.walled {
        let statement = format!("rows of {source} in {name}, which everybody may read");
        judge.find_as(FindingKind::Grant, Effect::Exposing, &name, statement);
    }
}

/// The first of these relations that shows rows which were there before.
fn source(judge: &mut Judge<'_>, relations: &[Name]) -> Option<Name> {
    let shows = |name: &&Name| {
        let filled = matches!(judge.known.standing(name), Standing::There { filled: true, .. });
        filled || judge.known.marks(name).shows
    };
    relations.iter().find(shows).cloned()
}

/// Judges a function that returns rows with the rights of its owner: whoever may call it reads what the owner reads.
fn function(judge: &mut Judge<'_>, it: &CreateFunctionStmt) {
    if !is_on(&it.options, "security") || !returns_rows(it) {
        return;
    }
    let read = match (inner(it.sql_body.as_deref()), body_text(&it.options)) {
        (Some(body), _) => references(body).relations,
        (None, Some(text)) if language(&it.options) == "sql" => {
            let trees = parse::tree(&text, ParserOptions::DEFAULT).unwrap_or_default();
            trees.iter().flat_map(|tree| references(tree).relations).collect()
        }
        _ => return,
    };
    if let Some(source) = source(judge, &read) {
        let name = dotted(&strings(&it.funcname));
        let statement = format!("CREATE FUNCTION {name} {CALLABLE} {source}");
        judge.find_as(FindingKind::SecurityDefiner, Effect::Exposing, &name, statement);
    }
}

fn returns_rows(it: &CreateFunctionStmt) -> bool {
    it.return_type.as_ref().is_some_and(|returned| {
        let name = strings(&returned.names).pop().unwrap_or_default();
        returned.setof
            || !returned.array_bounds.is_empty()
            || matches!(name.as_str(), "record" | "json" | "jsonb" | "xml")
    })
}

/// Takes back what was found of functions that the same scripts close to PUBLIC.
fn closed(judge: &mut Judge<'_>, it: &GrantStmt) {
    let functions = matches!(
        it.objtype(),
        ObjectType::ObjectFunction | ObjectType::ObjectRoutine | ObjectType::ObjectProcedure
    );
    if !functions || !roles(&it.grantees).any(|role| role.roletype() == RoleSpecType::RolespecPublic) {
        return;
    }
    for object in &it.objects {
        let parts = match &object.node {
            Some(NodeEnum::ObjectWithArgs(it)) => strings(&it.objname),
            _ => strings(std::slice::from_ref(object)),
        };
        let Some(name) = parts.last() else { continue };
        judge.findings.retain(|found| {
            let last = found.object.rsplit('.').next();
            found.kind != FindingKind::SecurityDefiner
                || !found.statement.contains(CALLABLE)
                || last.is_none_or(|last| last.trim_matches('"') != name)
        });
    }
}
