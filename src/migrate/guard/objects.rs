//! Objects other than relations: their keys, and the statements that create them.

use pg_query::protobuf::{ObjectType, RangeVar};
use pg_query::{Node, NodeEnum};

use super::allowance::OBJECT;
use super::names::{Name, dotted, quoted, strings};
use super::{made, signatures};

/// Identifies an object other than a relation by its kind and name, and functions by the types of their arguments too. The
/// guard treats objects with the same key as the same object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    text: String,
    /// The types of a function's arguments; none where they are not said.
    arguments: Option<String>,
    /// The table that it belongs to.
    pub table: Option<Name>,
    /// It refers to the same object with any search path.
    pub qualified: bool,
}

/// The key of an object that is neither a relation nor a constraint.
pub fn key(what: ObjectType, name: &[String]) -> ObjectKey {
    let beside = matches!(
        what,
        ObjectType::ObjectPolicy | ObjectType::ObjectTrigger | ObjectType::ObjectRule
    );
    let table = match name {
        [table @ .., _] if beside => Some(Name::of(table.to_vec())),
        _ => None,
    };
    let qualified = match &table {
        Some(table) => table.schema.is_some(),
        None => what == ObjectType::ObjectSchema || name.len() > 1,
    };
    let word = match what {
        ObjectType::ObjectDomain | ObjectType::ObjectType => "type",
        ObjectType::ObjectFunction
        | ObjectType::ObjectProcedure
        | ObjectType::ObjectRoutine
        | ObjectType::ObjectAggregate => "function",
        ObjectType::ObjectView => "view",
        other => other.as_str_name(),
    };
    ObjectKey {
        text: format!("{word} {}", dotted(name)),
        arguments: None,
        table,
        qualified,
    }
}

impl ObjectKey {
    /// The key of a function with arguments of these types.
    pub fn with(self, arguments: Option<String>) -> Self {
        Self { arguments, ..self }
    }

    /// The types of a function's arguments.
    pub fn arguments(&self) -> Option<&String> {
        self.arguments.as_ref()
    }

    /// Whether it names a function.
    pub fn is_function(&self) -> bool {
        self.text.starts_with("function ")
    }

    /// Whether it names a function of which the arguments are not said.
    pub fn is_open(&self) -> bool {
        self.arguments.is_none() && self.is_function()
    }

    /// Its kind and name.
    pub fn name(&self) -> &str {
        &self.text
    }

    /// The bytes that it takes.
    pub fn bytes(&self) -> usize {
        let table = self.table.as_ref().map_or(0, Name::bytes);
        OBJECT + self.text.len() + self.arguments.as_ref().map_or(0, String::len) + table
    }
}

/// Whether a statement can replace an existing object.
pub fn replaces(tree: &NodeEnum) -> bool {
    match tree {
        NodeEnum::CreateFunctionStmt(it) => it.replace,
        NodeEnum::ViewStmt(it) => it.replace,
        NodeEnum::CreateTrigStmt(it) => it.replace,
        NodeEnum::RuleStmt(it) => it.replace,
        _ => false,
    }
}

/// The keys of the objects that a statement creates.
pub fn made_by(tree: &NodeEnum) -> Vec<ObjectKey> {
    let beside = |what, relation: &Option<RangeVar>, name: &String| {
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
        NodeEnum::CreateFunctionStmt(it) => {
            let key = key(ObjectType::ObjectFunction, &strings(&it.funcname));
            vec![key.with(Some(signatures::of(&it.parameters)))]
        }
        NodeEnum::ViewStmt(it) => match &it.view {
            Some(name) => vec![key(ObjectType::ObjectView, &strings(&[range(name.clone())]))],
            None => Vec::new(),
        },
        NodeEnum::CreatePolicyStmt(it) => beside(ObjectType::ObjectPolicy, &it.table, &it.policy_name),
        NodeEnum::CreateTrigStmt(it) => beside(ObjectType::ObjectTrigger, &it.relation, &it.trigname),
        NodeEnum::RuleStmt(it) => beside(ObjectType::ObjectRule, &it.relation, &it.rulename),
        NodeEnum::AlterTableStmt(it) => {
            let Some(table) = it.relation.as_ref().map(Name::from) else {
                return Vec::new();
            };
            let added = made::constraints(it).into_iter();
            added
                .flat_map(|(name, valid)| {
                    let valid = valid.map(|kind| valid_constraint(&table, &name, kind));
                    valid.into_iter().chain([constraint(&table, &name)])
                })
                .collect()
        }
        _ => Vec::new(),
    }
}

fn range(name: RangeVar) -> Node {
    Node {
        node: Some(NodeEnum::RangeVar(name)),
    }
}

/// The key of a constraint.
pub fn constraint(table: &Name, name: &str) -> ObjectKey {
    ObjectKey {
        text: format!("constraint {table} {}", quoted(name)),
        arguments: None,
        table: Some(table.clone()),
        qualified: table.schema.is_some(),
    }
}

/// The key of a constraint that all rows satisfy, with its `pg_constraint.contype`.
pub fn valid_constraint(table: &Name, name: &str, kind: char) -> ObjectKey {
    let key = constraint(table, name);
    ObjectKey {
        text: format!("{} {kind}", key.text),
        ..key
    }
}

/// Whether the kind and name of an object are those of a type of this name, in any schema.
pub fn is_type(object: &str, name: &str) -> bool {
    let (found, name) = (object.strip_prefix("type "), quoted(name));
    found.is_some_and(|found| found == name || found.ends_with(&format!(".{name}")))
}
