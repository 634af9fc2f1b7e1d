//! `DROP`, and what takes the place of something dropped.

use pg_query::protobuf::{AlterTableStmt, AlterTableType, DropBehavior, DropStmt, ObjectType};
use pg_query::{Node, NodeEnum};

use super::finding::Kind;
use super::judge::Judge;
use super::known::Standing;
use super::names::{Name, dotted, inner, strings};

/// The word for a thing that is no relation, with its name: what is made and dropped under the same
/// key is the same thing. Functions are told apart by their names alone.
pub fn key(what: ObjectType, name: &[String]) -> String {
    let word = match what {
        ObjectType::ObjectDomain | ObjectType::ObjectType => "type",
        ObjectType::ObjectFunction
        | ObjectType::ObjectProcedure
        | ObjectType::ObjectRoutine
        | ObjectType::ObjectAggregate => "function",
        ObjectType::ObjectView => "view",
        other => other.as_str_name(),
    };
    format!("{word} {}", dotted(name))
}

/// Whether a statement may take the place of something that was there before.
pub fn replaces(tree: &NodeEnum) -> bool {
    match tree {
        NodeEnum::CreateFunctionStmt(it) => it.replace,
        NodeEnum::ViewStmt(it) => it.replace,
        NodeEnum::CreateTrigStmt(it) => it.replace,
        NodeEnum::RuleStmt(it) => it.replace,
        _ => false,
    }
}

/// The things that a statement makes, by their keys.
pub fn made_by(tree: &NodeEnum) -> Vec<String> {
    let beside = |what, relation: &Option<pg_query::protobuf::RangeVar>, name: &String| {
        let mut parts = relation
            .as_ref()
            .map(|it| strings(&[range(it.clone())]))
            .unwrap_or_default();
        parts.push(name.clone());
        vec![key(what, &parts)]
    };
    match tree {
        NodeEnum::CreateSchemaStmt(it) if !it.if_not_exists => {
            vec![key(ObjectType::ObjectSchema, std::slice::from_ref(&it.schemaname))]
        }
        NodeEnum::CreateEnumStmt(it) => vec![key(ObjectType::ObjectType, &strings(&it.type_name))],
        NodeEnum::CreateRangeStmt(it) => vec![key(ObjectType::ObjectType, &strings(&it.type_name))],
        NodeEnum::CreateDomainStmt(it) => vec![key(ObjectType::ObjectType, &strings(&it.domainname))],
        NodeEnum::CompositeTypeStmt(it) => match &it.typevar {
            Some(name) => vec![key(ObjectType::ObjectType, &strings(&[range(name.clone())]))],
            None => Vec::new(),
        },
        NodeEnum::CreateFunctionStmt(it) => vec![key(ObjectType::ObjectFunction, &strings(&it.funcname))],
        NodeEnum::ViewStmt(it) => match &it.view {
            Some(name) => vec![key(ObjectType::ObjectView, &strings(&[range(name.clone())]))],
            None => Vec::new(),
        },
        NodeEnum::CreatePolicyStmt(it) => beside(ObjectType::ObjectPolicy, &it.table, &it.policy_name),
        NodeEnum::CreateTrigStmt(it) => beside(ObjectType::ObjectTrigger, &it.relation, &it.trigname),
        NodeEnum::RuleStmt(it) => beside(ObjectType::ObjectRule, &it.relation, &it.rulename),
        NodeEnum::AlterTableStmt(it) => constraints(it),
        _ => Vec::new(),
    }
}

fn range(name: pg_query::protobuf::RangeVar) -> Node {
    Node {
        node: Some(NodeEnum::RangeVar(name)),
    }
}

/// The key of a constraint.
pub fn constraint(table: &Name, name: &str) -> String {
    format!("constraint {table} {name}")
}

fn constraints(it: &AlterTableStmt) -> Vec<String> {
    let Some(table) = it.relation.as_ref().map(Name::from) else {
        return Vec::new();
    };
    let named = it.cmds.iter().filter_map(|node| match &node.node {
        Some(NodeEnum::AlterTableCmd(command)) if command.subtype() == AlterTableType::AtAddConstraint => {
            match inner(command.def.as_deref()) {
                Some(NodeEnum::Constraint(added)) if !added.conname.is_empty() => Some(&added.conname),
                _ => None,
            }
        }
        _ => None,
    });
    named.map(|name| constraint(&table, name)).collect()
}

/// Relations are looked up; what else the scripts make themselves, or make anew in the place of the
/// old, is no loss unless CASCADE takes more with it.
pub fn drop(judge: &mut Judge<'_>, it: &DropStmt) {
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
                let anew = what == ObjectType::ObjectView && !cascades && judge.made_later(&key(what, &parts));
                let relation = Name::of(parts);
                let standing = judge.known.standing(&relation);
                let harmless = match standing {
                    Standing::New => !cascades,
                    Standing::Absent => it.missing_ok,
                    Standing::There { .. } => anew || it.concurrent,
                };
                if !harmless {
                    judge.find(kind, &name, statement);
                }
                if !anew || standing == Standing::New {
                    judge.known.drop(&relation);
                }
            }
            _ => {
                let key = key(what, &parts);
                let harmless = !cascades && (judge.known.unmake(&key) || is_replaced(what) && replaced(judge, &key));
                if !harmless {
                    judge.find(kind, &name, statement);
                }
            }
        }
    }
}

/// Whether the same script makes anew what it drops here.
pub fn replaced(judge: &mut Judge<'_>, key: &str) -> bool {
    let anew = judge.made_later(key);
    if anew {
        judge.known.keep(key.to_owned());
    }
    anew
}

/// Things without data of their own: the new one does what the old one did.
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

fn kind(what: ObjectType) -> (Kind, String) {
    let kind = match what {
        ObjectType::ObjectTable | ObjectType::ObjectForeignTable => Kind::DropTable,
        ObjectType::ObjectMatview => Kind::DropMaterializedView,
        ObjectType::ObjectSequence => Kind::DropSequence,
        ObjectType::ObjectView => Kind::DropView,
        ObjectType::ObjectIndex => Kind::DropIndex,
        ObjectType::ObjectSchema => Kind::DropSchema,
        ObjectType::ObjectType | ObjectType::ObjectDomain => Kind::DropType,
        ObjectType::ObjectExtension => Kind::DropExtension,
        ObjectType::ObjectFunction
        | ObjectType::ObjectProcedure
        | ObjectType::ObjectRoutine
        | ObjectType::ObjectAggregate => Kind::DropFunction,
        ObjectType::ObjectTrigger => Kind::DropTrigger,
        ObjectType::ObjectPolicy => Kind::DropPolicy,
        _ => Kind::DropOther,
    };
    let words = match what {
        ObjectType::ObjectMatview => "MATERIALIZED VIEW".into(),
        other => other.as_str_name().trim_start_matches("OBJECT_").replace('_', " "),
    };
    (kind, words)
}
