//! Names of relations, and access to small nodes of parse trees.

use std::fmt;

use pg_query::protobuf::RangeVar;
use pg_query::{Node, NodeEnum};

/// A relation as a script spells it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    pub schema: Option<String>,
    pub name: String,
}

impl Name {
    /// The bytes of its parts.
    pub fn bytes(&self) -> usize {
        self.name.len() + self.schema.as_ref().map_or(0, String::len)
    }

    /// From the parts of a dotted name; a database's name in front is ignored.
    pub fn of(mut parts: Vec<String>) -> Self {
        let name = parts.pop().unwrap_or_default();
        Self {
            schema: parts.pop(),
            name,
        }
    }

    /// Whether both can mean the same object: if one of them has no schema, only the names are compared.
    pub fn can_be(&self, other: &Self) -> bool {
        self.name == other.name && (self.schema == other.schema || self.schema.is_none() || other.schema.is_none())
    }
}

impl From<&RangeVar> for Name {
    fn from(range: &RangeVar) -> Self {
        Self {
            schema: Some(range.schemaname.clone()).filter(|schema| !schema.is_empty()),
            name: range.relname.clone(),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(schema) = &self.schema {
            write!(f, "{}.", quoted(schema))?;
        }
        f.write_str(&quoted(&self.name))
    }
}

/// A name as a script spells it, without control characters, because messages have one line.
pub fn quoted(name: &str) -> String {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let clean: String = name.chars().filter(|c| !c.is_control()).collect();
    if !clean.is_empty() && clean.chars().all(plain) && !clean.starts_with(|c: char| c.is_ascii_digit()) {
        clean
    } else {
        crate::postgres::quote(&clean)
    }
}

/// The names in a list of nodes, including nested lists.
pub fn strings(nodes: &[Node]) -> Vec<String> {
    let mut found = Vec::new();
    for node in nodes.iter().filter_map(|node| node.node.as_ref()) {
        match node {
            NodeEnum::String(text) => found.push(text.sval.clone()),
            NodeEnum::List(list) => found.extend(strings(&list.items)),
            NodeEnum::TypeName(name) => found.extend(strings(&name.names)),
            NodeEnum::ObjectWithArgs(object) => found.extend(strings(&object.objname)),
            NodeEnum::RangeVar(range) => {
                found.extend(Name::from(range).schema);
                found.push(range.relname.clone());
            }
            _ => {}
        }
    }
    found
}

/// A dotted name as a script spells it.
pub fn dotted(parts: &[String]) -> String {
    parts.iter().map(|part| quoted(part)).collect::<Vec<_>>().join(".")
}

/// The relations in a list.
pub fn ranges(nodes: &[Node]) -> impl Iterator<Item = &RangeVar> {
    nodes.iter().filter_map(|node| match &node.node {
        Some(NodeEnum::RangeVar(range)) => Some(range),
        _ => None,
    })
}

/// The content of a node.
pub fn inner(node: Option<&Node>) -> Option<&NodeEnum> {
    node.and_then(|node| node.node.as_ref())
}

/// Whether an option of a statement is on: `(ANALYZE)` and `(ANALYZE true)`, not `(ANALYZE off)`.
pub fn is_on(options: &[Node], name: &str) -> bool {
    // The last one of a name counts.
    let found = options.iter().rev().find_map(|option| match &option.node {
        Some(NodeEnum::DefElem(element)) if element.defname == name => Some(inner(element.arg.as_deref())),
        _ => None,
    });
    // PostgreSQL's `parse_bool` accepts a prefix of a word as the word.
    let is_off = |word: &str| {
        let word = word.trim().to_ascii_lowercase();
        let begins = |whole: &str, least: usize| word.len() >= least && whole.starts_with(&word);
        word == "0" || begins("false", 1) || begins("no", 1) || begins("off", 2)
    };
    found.is_some_and(|value| match value {
        Some(NodeEnum::String(text)) => !is_off(&text.sval),
        // A word that is not reserved is read as the name of a type.
        Some(NodeEnum::TypeName(name)) => !matches!(strings(&name.names).as_slice(), [word] if is_off(word)),
        Some(NodeEnum::Boolean(value)) => value.boolval,
        Some(NodeEnum::Integer(value)) => value.ival != 0,
        _ => true,
    })
}

/// The language in the options of a function or DO block.
pub fn language(options: &[Node]) -> String {
    let named = options.iter().find_map(|node| match &node.node {
        Some(NodeEnum::DefElem(element)) if element.defname == "language" => match inner(element.arg.as_deref()) {
            Some(NodeEnum::String(name)) => Some(name.sval.to_ascii_lowercase()),
            _ => None,
        },
        _ => None,
    });
    named.unwrap_or_default()
}

/// The text of a function's body or a DO block.
pub fn body_text(options: &[Node]) -> Option<String> {
    options.iter().find_map(|node| match &node.node {
        Some(NodeEnum::DefElem(element)) if element.defname == "as" => match inner(element.arg.as_deref()) {
            Some(NodeEnum::String(text)) => Some(text.sval.clone()),
            Some(NodeEnum::List(list)) => strings(&list.items).into_iter().next(),
            _ => None,
        },
        _ => None,
    })
}
