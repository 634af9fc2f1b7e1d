//! Functions that are altered so that the names in their bodies may mean something else.

use pg_query::NodeEnum;
use pg_query::protobuf::{AlterFunctionStmt, AlterOwnerStmt, ObjectType, VariableSetKind, VariableSetStmt};

use super::finding::FindingKind;
use super::judge::Judge;
use super::names::{Name, dotted, is_on, quoted, strings};
use super::replaced::{self, is_routine};
use super::{objects, rights, settings, signatures};
use crate::api::Effect;

/// Judges a statement that alters a function. Its body is judged by its definition, with names that may mean anything
/// of their kind from then on.
pub fn statement(judge: &mut Judge<'_>, tree: &NodeEnum) {
    match tree {
        NodeEnum::AlterFunctionStmt(it) => alter(judge, it),
        NodeEnum::AlterOwnerStmt(it) if is_routine(it.object_type()) => owner(judge, it),
        _ => {}
    }
}

fn alter(judge: &mut Judge<'_>, it: &AlterFunctionStmt) {
    let parts = it.func.as_ref().map(|func| strings(&func.objname)).unwrap_or_default();
    let mut unsettled = is_on(&it.actions, "security");
    let elsewhere = judge.known.elsewhere;
    for set in rights::settings(&it.actions) {
        settings::set(judge, set);
        if settings::is_custom(&set.name) && !is_new(judge, it, &parts) {
            let name = dotted(&parts);
            let statement = format!("ALTER FUNCTION {name} SET {}", quoted(&set.name));
            judge.find_as(FindingKind::ChangeReading, Effect::Exposing, &name, statement);
        }
        if !is_usual(judge, set) && changes_names(set) {
            unsettled = true;
            if set.kind() == VariableSetKind::VarSetValue && set.name == "search_path" && !is_new(judge, it, &parts) {
                let name = dotted(&parts);
                judge.find(
                    FindingKind::ChangeReading,
                    &name,
                    format!("ALTER FUNCTION {name} SET search_path"),
                );
            }
        }
    }
    judge.known.elsewhere = elsewhere;
    if unsettled {
        unsettle(judge, &Name::of(parts));
    }
}

fn owner(judge: &mut Judge<'_>, it: &AlterOwnerStmt) {
    let parts = it.object.as_deref().map(|node| strings(std::slice::from_ref(node)));
    unsettle(judge, &Name::of(parts.unwrap_or_default()));
}

fn unsettle(judge: &mut Judge<'_>, name: &Name) {
    judge.known.code.unsettle(name);
    judge.known.version += 1;
    replaced::runs(judge, name);
}

fn is_new(judge: &Judge<'_>, it: &AlterFunctionStmt, parts: &[String]) -> bool {
    let arguments = it.func.as_ref().and_then(signatures::of_object);
    let key = objects::key(ObjectType::ObjectFunction, parts).with(arguments);
    judge.known.is_made(&judge.known.resolve(key))
}

fn changes_names(set: &VariableSetStmt) -> bool {
    set.kind() == VariableSetKind::VarResetAll || settings::changes_names(&set.name)
}

/// Whether names mean with this search path what they mean without it, or nothing.
fn is_usual(judge: &Judge<'_>, set: &VariableSetStmt) -> bool {
    let path: Option<Vec<String>> = set.args.iter().map(settings::text).collect();
    let path = path.filter(|path| set.kind() == VariableSetKind::VarSetValue && !path.is_empty());
    set.name == "search_path" && path.is_some_and(|path| judge.known.is_usual_path(path.iter().map(String::as_str)))
}
