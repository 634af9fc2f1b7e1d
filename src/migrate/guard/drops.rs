//! `DROP`, and objects that a script drops and creates again.

use std::collections::BTreeSet;

use pg_query::protobuf::{DropBehavior, DropStmt, ObjectType};
use pg_query::{Node, NodeEnum};

use super::catalog::Sort;
use super::finding::FindingKind;
use super::judge::Judge;
use super::known::Existence;
use super::names::{Name, dotted, quoted, strings};
use super::objects::{ObjectKey, key};
use super::signatures;
use crate::api::Effect;

/// Judges a statement that drops objects.
pub fn statement(judge: &mut Judge<'_>, tree: &NodeEnum) {
    match tree {
        NodeEnum::DropStmt(it) => drop(judge, it),
        NodeEnum::DropdbStmt(it) => {
            let name = quoted(&it.dbname);
            judge.find(FindingKind::DropDatabase, &name, format!("DROP DATABASE {name}"));
        }
        NodeEnum::DropRoleStmt(it) => drop_roles(judge, &it.roles, FindingKind::DropRole, "DROP ROLE"),
        NodeEnum::DropOwnedStmt(it) => drop_roles(judge, &it.roles, FindingKind::DropOwned, "DROP OWNED BY"),
        NodeEnum::DropTableSpaceStmt(it) => other(judge, "DROP TABLESPACE", &it.tablespacename),
        NodeEnum::DropSubscriptionStmt(it) => other(judge, "DROP SUBSCRIPTION", &it.subname),
        NodeEnum::DropUserMappingStmt(it) => other(judge, "DROP USER MAPPING FOR SERVER", &it.servername),
        _ => {}
    }
}

fn drop_roles(judge: &mut Judge<'_>, roles: &[Node], kind: FindingKind, words: &str) {
    for role in roles.iter().filter_map(|node| node.node.as_ref()) {
        if let NodeEnum::RoleSpec(role) = role {
            let name = if role.rolename.is_empty() {
                "CURRENT_ROLE".into()
            } else {
                quoted(&role.rolename)
            };
            judge.find(kind, &name, format!("{words} {name}"));
        }
    }
}

fn other(judge: &mut Judge<'_>, words: &str, name: &str) {
    let name = quoted(name);
    judge.find(FindingKind::DropOther, &name, format!("{words} {name}"));
}

/// Judges `DROP`. Relations are looked up among the known ones. Dropping another object is no finding if the scripts
/// created it or create it again, unless CASCADE drops more with it.
fn drop(judge: &mut Judge<'_>, it: &DropStmt) {
    let what = it.remove_type();
    let (kind, words) = kind(what);
    for object in &it.objects {
        let parts = match &object.node {
            Some(NodeEnum::String(text)) => vec![text.sval.clone()],
            _ => strings(std::slice::from_ref(object)),
        };
        let name = dotted(&parts);
        let statement = format!("DROP {words} {name}");
        let cascades = it.behavior() == DropBehavior::DropCascade;
        match what {
            ObjectType::ObjectTable
            | ObjectType::ObjectForeignTable
            | ObjectType::ObjectMatview
            | ObjectType::ObjectSequence
            | ObjectType::ObjectView
            | ObjectType::ObjectIndex => {
                let recreated = what == ObjectType::ObjectView && !cascades && judge.made_later(&key(what, &parts));
                let relation = Name::of(parts);
                let standing = judge.known.presence(&relation);
                let harmless = match standing {
                    Existence::New => !cascades,
                    Existence::Absent => it.missing_ok,
                    // PostgreSQL refuses it while a column uses the sequence, and nothing else depends on it.
                    Existence::There { .. } if what == ObjectType::ObjectSequence => {
                        !cascades && judge.known.is_owned(&relation)
                    }
                    // Without a unique index, values may repeat from then on.
                    Existence::There { .. } => recreated || it.concurrent && !judge.known.is_unique(&relation),
                };
                if !harmless {
                    let lost = what == ObjectType::ObjectIndex && judge.known.is_unique(&relation);
                    let effect = if lost { Effect::Destructive } else { kind.effect() };
                    judge.find_as(kind, effect, &name, statement);
                }
                if (!recreated || standing == Existence::New) && judge.is_certain() {
                    judge.known.drop(&relation, sort(what));
                }
            }
            _ => {
                let key = key(what, &parts).with(signatures::named(Some(object)));
                let key = judge.known.resolve(key);
                let harmless =
                    !cascades && (judge.known.unmake(&key) || is_replaced(what) && again(judge, &Name::of(parts), key));
                if !harmless {
                    judge.find(kind, &name, statement);
                }
            }
        }
    }
}

/// Whether the same script creates the dropped object again. A function without arguments in the statement is the only known
/// one of its name.
fn again(judge: &mut Judge<'_>, name: &Name, key: ObjectKey) -> bool {
    if !key.is_open() {
        return replaced(judge, &key);
    }
    match known(judge, name).as_slice() {
        // There is no object to lose.
        [] => judge.made_later(&key),
        [Some(only)] => replaced(judge, &key.with(Some(only.clone()))),
        _ => false,
    }
}

/// Whether the same script creates the dropped object again.
pub fn replaced(judge: &mut Judge<'_>, key: &ObjectKey) -> bool {
    let recreated = judge.made_later(key);
    if recreated {
        judge.known.keep(key.clone());
    }
    recreated
}

/// The types of the arguments of each known function of this name; none for one that cannot be read.
fn known(judge: &mut Judge<'_>, name: &Name) -> Vec<Option<String>> {
    let code = &mut judge.known.code;
    let routines = code.routines(name);
    let mut of_definition = |text| Some(code.defined(text).first()?.arguments.clone());
    let found: BTreeSet<_> = routines
        .iter()
        .map(|routine| routine.definition.as_ref().and_then(&mut of_definition))
        .collect();
    found.into_iter().collect()
}

/// Objects that hold no data: the new object replaces the old one completely.
fn is_replaced(what: ObjectType) -> bool {
    matches!(
        what,
        ObjectType::ObjectFunction
            | ObjectType::ObjectProcedure
            | ObjectType::ObjectRoutine
            | ObjectType::ObjectPolicy
            | ObjectType::ObjectTrigger
            | ObjectType::ObjectRule
    )
}

/// The relations that a `DROP` of this kind can drop.
fn sort(what: ObjectType) -> Sort {
    match what {
        ObjectType::ObjectForeignTable => Sort::Foreign,
        ObjectType::ObjectMatview => Sort::Matview,
        ObjectType::ObjectSequence => Sort::Sequence,
        ObjectType::ObjectView => Sort::View,
        ObjectType::ObjectIndex => Sort::Index,
        _ => Sort::Table,
    }
}

fn kind(what: ObjectType) -> (FindingKind, String) {
    let kind = match what {
        ObjectType::ObjectTable | ObjectType::ObjectForeignTable => FindingKind::DropTable,
        ObjectType::ObjectMatview => FindingKind::DropMaterializedView,
        ObjectType::ObjectSequence => FindingKind::DropSequence,
        ObjectType::ObjectView => FindingKind::DropView,
        ObjectType::ObjectIndex => FindingKind::DropIndex,
        ObjectType::ObjectSchema => FindingKind::DropSchema,
        ObjectType::ObjectType | ObjectType::ObjectDomain => FindingKind::DropType,
        ObjectType::ObjectExtension => FindingKind::DropExtension,
        ObjectType::ObjectFunction
        | ObjectType::ObjectProcedure
        | ObjectType::ObjectRoutine
        | ObjectType::ObjectAggregate => FindingKind::DropFunction,
        ObjectType::ObjectTrigger => FindingKind::DropTrigger,
        ObjectType::ObjectPolicy => FindingKind::DropPolicy,
        _ => FindingKind::DropOther,
    };
    let words = match what {
        ObjectType::ObjectMatview => "MATERIALIZED VIEW".into(),
        other => other.as_str_name().trim_start_matches("OBJECT_").replace('_', " "),
    };
    (kind, words)
}
