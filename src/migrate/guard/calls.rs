//! The functions that a statement calls, and the relations and columns that it reads, wherever in it: in any expression of
//! any clause. The parse tree is walked as serde sees it, because the parser's own list of nodes leaves out many of them.

use std::fmt::{self, Display};

use pg_query::NodeEnum;
use serde::ser::{self, Impossible, Serialize, Serializer};

use super::names::Name;

/// A call of a function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FunctionCall {
    /// The parts of its name.
    pub name: Vec<String>,
    /// The beginning of its arguments.
    pub arguments: Vec<Argument>,
    /// How many it has.
    pub count: usize,
    /// It may be no more than a field of a row.
    pub field: bool,
}

/// An argument of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Argument {
    /// Its name, if the call says it.
    pub name: Option<String>,
    /// Its value, if it is a constant text.
    pub text: Option<String>,
}

impl FunctionCall {
    /// The first argument, if it is a constant text.
    pub fn first(&self) -> Option<&str> {
        let first = self.arguments.first().filter(|argument| argument.name.is_none());
        first.and_then(|argument| argument.text.as_deref())
    }

    /// The argument of this name, or the last one if none has a name; none if it is not a constant text.
    pub fn last_text(&self, name: &str) -> Option<&str> {
        let known = self.count == self.arguments.len();
        let mut named = self
            .arguments
            .iter()
            .filter(|argument| argument.name.is_some())
            .peekable();
        let found = match named.peek() {
            Some(_) => named.find(|argument| argument.name.as_deref() == Some(name)),
            None => self.arguments.last(),
        };
        found.filter(|_| known).and_then(|argument| argument.text.as_deref())
    }

    /// All arguments; none if one of them is not a constant text.
    pub fn all_texts(&self) -> Option<Vec<&str>> {
        let texts = self.arguments.iter().map(|argument| argument.text.as_deref());
        texts
            .collect::<Option<Vec<_>>>()
            .filter(|texts| texts.len() == self.count)
    }

    fn of_field(name: Vec<String>) -> Self {
        Self {
            name,
            field: true,
            ..Self::default()
        }
    }
}

/// What a statement or an expression refers to.
#[derive(Clone, Debug, Default)]
pub struct References {
    /// The calls. A field that a dot selects is one as well: PostgreSQL reads `t.f` and `(t).f` as `f(t)`.
    pub calls: Vec<FunctionCall>,
    /// The relations, and names of WITH clauses.
    pub relations: Vec<Name>,
    /// The expression has a column, or is the row of a cursor.
    pub has_columns: bool,
    /// The parts of the names of its columns; empty for the row of a cursor.
    pub columns: Vec<Vec<String>>,
    /// It contains something whose value may differ between sessions or rows: a relation, a function, a parameter.
    pub varies: bool,
}

/// What a statement or an expression refers to.
pub fn references(tree: &NodeEnum) -> References {
    let mut walk = Walk::default();
    // The walk itself cannot fail.
    let _ = tree.serialize(&mut walk);
    walk.found
}

/// The calls in a statement.
pub fn calls(tree: &NodeEnum) -> Vec<FunctionCall> {
    references(tree).calls
}

#[derive(Default)]
struct Walk {
    found: References,
    /// The texts of a name that is being read.
    name: Option<Vec<String>>,
    /// The beginning of the argument that is being read.
    probe: Option<Probe>,
    /// The next list is one of arguments.
    separate: bool,
    /// The arguments of the call that was read last, and how many it has.
    arguments: (Vec<Argument>, usize),
}

#[derive(Default)]
struct Probe {
    nodes: Vec<&'static str>,
    texts: Vec<String>,
}

impl Probe {
    /// The argument, whose value is known if it is a constant text or a cast of one.
    fn argument(mut self) -> Argument {
        let mut nodes = &self.nodes[..];
        let mut take = |node| {
            let rest = nodes.strip_prefix(&[node]);
            nodes = rest.unwrap_or(nodes);
            rest.is_some()
        };
        let named = take("NamedArgExpr");
        take("TypeCast");
        let constant = nodes.starts_with(&["AConst", "Sval"]) && !self.texts.is_empty();
        // The name comes after the value.
        let name = self.texts.last().filter(|_| named).cloned();
        Argument {
            text: constant.then(|| self.texts.swap_remove(0)),
            name,
        }
    }
}

/// The most nodes that are kept of an argument: enough for a cast of a constant with a name.
const PROBED_NODES: usize = 4;
/// The most texts that are kept of an argument: its value, the name of its type, and its own name.
const PROBED_TEXTS: usize = 8;
/// The most arguments that are kept of a call.
const ARGUMENTS: usize = 8;

type Done = Result<(), fmt::Error>;

macro_rules! nothing {
    ($($name:ident: $type:ty),* $(,)?) => {
        $(fn $name(self, _: $type) -> Done {
            Ok(())
        })*
    };
}

impl<'a> Serializer for &'a mut Walk {
    type Ok = ();
    type Error = fmt::Error;
    type SerializeSeq = Elements<'a>;
    type SerializeStruct = NodeFields<'a>;
    type SerializeTuple = Impossible<(), fmt::Error>;
    type SerializeTupleStruct = Impossible<(), fmt::Error>;
    type SerializeTupleVariant = Impossible<(), fmt::Error>;
    type SerializeMap = Impossible<(), fmt::Error>;
    type SerializeStructVariant = Impossible<(), fmt::Error>;

    nothing! {
        serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64, serialize_f32: f32,
        serialize_f64: f64, serialize_char: char, serialize_bytes: &[u8], serialize_unit_struct: &'static str,
    }

    fn serialize_str(self, text: &str) -> Done {
        if let Some(name) = &mut self.name {
            name.push(text.to_owned());
        }
        if let Some(probe) = self.probe.as_mut().filter(|probe| probe.texts.len() < PROBED_TEXTS) {
            probe.texts.push(text.to_owned());
        }
        Ok(())
    }

    fn serialize_none(self) -> Done {
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Done {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Done {
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Done {
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Done {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        node: &'static str,
        value: &T,
    ) -> Done {
        if let Some(probe) = self.probe.as_mut().filter(|probe| probe.nodes.len() < PROBED_NODES) {
            probe.nodes.push(node);
        }
        value.serialize(self)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Elements<'a>, fmt::Error> {
        let arguments = std::mem::take(&mut self.separate).then(Vec::new);
        Ok(Elements {
            walk: self,
            arguments,
            count: 0,
        })
    }

    fn serialize_struct(self, name: &'static str, _: usize) -> Result<NodeFields<'a>, fmt::Error> {
        self.found.has_columns |= matches!(name, "ColumnRef" | "CurrentOfExpr");
        if name == "CurrentOfExpr" {
            self.found.columns.push(Vec::new());
        }
        self.found.varies |= matches!(name, "RangeVar" | "FuncCall" | "SqlValueFunction" | "ParamRef");
        Ok(NodeFields {
            walk: self,
            name,
            call: None,
            schema: None,
        })
    }

    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, fmt::Error> {
        Err(fmt::Error)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeTupleStruct, fmt::Error> {
        Err(fmt::Error)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, fmt::Error> {
        Err(fmt::Error)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, fmt::Error> {
        Err(fmt::Error)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, fmt::Error> {
        Err(fmt::Error)
    }

    fn collect_str<T: Display + ?Sized>(self, text: &T) -> Done {
        self.serialize_str(&text.to_string())
    }
}

/// The elements of a list.
struct Elements<'a> {
    walk: &'a mut Walk,
    /// Those read so far of a list of arguments.
    arguments: Option<Vec<Argument>>,
    count: usize,
}

impl ser::SerializeSeq for Elements<'_> {
    type Ok = ();
    type Error = fmt::Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Done {
        let Some(arguments) = &mut self.arguments else {
            return value.serialize(&mut *self.walk);
        };
        let outer = self.walk.probe.replace(Probe::default());
        value.serialize(&mut *self.walk)?;
        let probe = std::mem::replace(&mut self.walk.probe, outer);
        self.count += 1;
        arguments.extend(probe.filter(|_| self.count <= ARGUMENTS).map(Probe::argument));
        Ok(())
    }

    fn end(self) -> Done {
        if let Some(arguments) = self.arguments {
            self.walk.arguments = (arguments, self.count);
        }
        Ok(())
    }
}

/// The fields of one node.
struct NodeFields<'a> {
    walk: &'a mut Walk,
    name: &'static str,
    call: Option<FunctionCall>,
    /// The schema of a relation.
    schema: Option<String>,
}

impl NodeFields<'_> {
    fn texts<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<Vec<String>, fmt::Error> {
        let outer = self.walk.name.replace(Vec::new());
        value.serialize(&mut *self.walk)?;
        Ok(std::mem::replace(&mut self.walk.name, outer).unwrap_or_default())
    }
}

impl ser::SerializeStruct for NodeFields<'_> {
    type Ok = ();
    type Error = fmt::Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Done {
        match (self.name, key) {
            ("CreateFunctionStmt", "funcname") => {}
            (_, "funcname") => {
                let name = self.texts(value)?;
                self.call = Some(FunctionCall {
                    name,
                    ..FunctionCall::default()
                });
            }
            ("FuncCall", "args") => {
                self.walk.separate = true;
                value.serialize(&mut *self.walk)?;
                let (arguments, count) = std::mem::take(&mut self.walk.arguments);
                if let Some(call) = &mut self.call {
                    (call.arguments, call.count) = (arguments, count);
                }
            }
            ("ColumnRef", "fields") => {
                let mut parts = self.texts(value)?;
                self.walk.found.columns.push(parts.clone());
                if parts.len() > 1 {
                    let name = parts.split_off(parts.len() - 1);
                    self.walk.found.calls.push(FunctionCall::of_field(name));
                }
            }
            ("AIndirection", "indirection") => {
                for part in self.texts(value)? {
                    let name = vec![part];
                    self.walk.found.calls.push(FunctionCall::of_field(name));
                }
            }
            ("RangeVar", "schemaname") => {
                self.schema = self.texts(value)?.pop().filter(|schema| !schema.is_empty());
            }
            ("RangeVar", "relname") => {
                let (schema, name) = (self.schema.take(), self.texts(value)?.pop());
                let name = name.map(|name| Name { schema, name });
                self.walk.found.relations.extend(name);
            }
            _ => value.serialize(&mut *self.walk)?,
        }
        Ok(())
    }

    fn end(self) -> Done {
        self.walk.found.calls.extend(self.call);
        Ok(())
    }
}
