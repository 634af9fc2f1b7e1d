//! Functions and views that replace others: the users of these run or show something else from then on, without a statement
//! about them.

use pg_query::NodeEnum;
use pg_query::protobuf::{CmdType, CreateFunctionStmt, ObjectType};

use super::bodies;
use super::catalog_code::Use;
use super::finding::FindingKind;
use super::judge::{Judge, ReportedFindings};
use super::names::{Name, dotted, strings};
use crate::api::Effect;

/// Judges a function that is created. Another one of its name may have existed, or be called by code that contains only the
/// name. `text`: the statement.
pub fn function(judge: &mut Judge<'_>, it: &CreateFunctionStmt, text: &str) {
    let parts = strings(&it.funcname);
    let Some(name) = parts.last() else { return };
    let uses = judge.known.code.uses(name);
    exposes(judge, &uses, &dotted(&parts), "CREATE FUNCTION");
    if let Some(told) = told(judge, name) {
        judge.telling(told, |judge| bodies::replaced(judge, it, text));
    }
}

/// Judges the functions that a name can mean where something runs them without naming them, or where they were called before:
/// they do something else from now on.
pub fn runs(judge: &mut Judge<'_>, name: &Name) {
    if let Some(told) = told(judge, &name.name) {
        judge.telling(told, |judge| bodies::routine(judge, name));
    }
}

/// Which findings of a new function of this name are reported: those of a function that a trigger, a view or an earlier call
/// runs; none if no statement runs it without naming it.
fn told(judge: &mut Judge<'_>, name: &str) -> Option<ReportedFindings> {
    let uses = judge.known.code.uses(name);
    let called = judge.known.code.was_called(name);
    let runs = |told: &ReportedFindings| match told {
        ReportedFindings::Losses => called.is_some() || uses.contains(&Use::Trigger),
        _ => called == Some(true) || uses.contains(&Use::Runs),
    };
    [ReportedFindings::All, ReportedFindings::Losses].into_iter().find(runs)
}

/// Judges other statements after which a name refers to another function or view.
pub fn statement(judge: &mut Judge<'_>, tree: &NodeEnum) {
    let (parts, words) = match tree {
        NodeEnum::AlterFunctionStmt(it) => {
            let function = it.func.as_ref();
            let parts = function.map(|func| strings(&func.objname)).unwrap_or_default();
            (parts, "ALTER FUNCTION")
        }
        NodeEnum::RenameStmt(it) if is_routine(it.rename_type()) || it.rename_type() == ObjectType::ObjectView => {
            (vec![it.newname.clone()], "RENAME TO")
        }
        NodeEnum::ViewStmt(it) => (it.view.as_ref().map(range).unwrap_or_default(), "CREATE VIEW"),
        NodeEnum::RuleStmt(it) if it.event() == CmdType::CmdSelect => (
            it.relation.as_ref().map(range).unwrap_or_default(),
            "CREATE RULE ON SELECT TO",
        ),
        _ => return,
    };
    let Some(name) = parts.last() else { return };
    let uses = judge.known.code.uses(name);
    exposes(judge, &uses, &dotted(&parts), words);
}

fn range(range: &pg_query::protobuf::RangeVar) -> Vec<String> {
    let name = Name::from(range);
    name.schema.into_iter().chain([name.name]).collect()
}

/// Reports a replaced object that decides who reads rows.
fn exposes(judge: &mut Judge<'_>, uses: &[Use], name: &str, words: &str) {
    for used in uses {
        let (effect, by) = match used {
            Use::Policy => (Effect::Exposing, "policies use"),
            Use::Open => (Effect::Exposing, "a view uses that everybody may read"),
            Use::Shared => (Effect::Granting, "a view uses that other roles may read"),
            Use::Table => (
                Effect::Granting,
                "a default, constraint or trigger of a table with row level security uses",
            ),
            Use::Runs | Use::Trigger => continue,
        };
        let statement = format!("{words} {name}, which {by}");
        judge.find_as(FindingKind::AlterPolicy, effect, name, statement);
    }
}

/// Whether an object is a function or procedure.
pub fn is_routine(what: ObjectType) -> bool {
    matches!(
        what,
        ObjectType::ObjectFunction | ObjectType::ObjectProcedure | ObjectType::ObjectRoutine
    )
}
