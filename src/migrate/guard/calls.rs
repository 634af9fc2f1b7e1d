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
    /// The first argument, if it is a constant text.
    pub first: Option<String>,
    /// It may be no more than a field of a row.
    pub field: bool,
}

impl FunctionCall {
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
    /// The beginning of the arguments that are being read.
    probe: Option<Probe>,
}

#[derive(Default)]
struct Probe {
    nodes: Vec<&'static str>,
    texts: Vec<String>,
}

impl Probe {
    /// The first argument, if it is a constant text or a cast of one.
    fn constant(mut self) -> Option<String> {
        let nodes = self.nodes.strip_prefix(&["TypeCast"]).unwrap_or(&self.nodes);
        let constant = nodes.starts_with(&["AConst", "Sval"]) && !self.texts.is_empty();
        constant.then(|| self.texts.swap_remove(0))
    }
}

/// The most nodes and texts that are kept of arguments: enough for a cast of a constant.
const PROBED: usize = 3;

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
    type SerializeSeq = Self;
    type SerializeStruct = Fields<'a>;
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
        if let Some(probe) = self.probe.as_mut().filter(|probe| probe.texts.len() < PROBED) {
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
        if let Some(probe) = self.probe.as_mut().filter(|probe| probe.nodes.len() < PROBED) {
            probe.nodes.push(node);
        }
        value.serialize(self)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self, fmt::Error> {
        Ok(self)
    }

    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Fields<'a>, fmt::Error> {
        self.found.has_columns |= matches!(name, "ColumnRef" | "CurrentOfExpr");
        if name == "CurrentOfExpr" {
            self.found.columns.push(Vec::new());
        }
        self.found.varies |= matches!(name, "RangeVar" | "FuncCall" | "SqlValueFunction" | "ParamRef");
        Ok(Fields {
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

impl ser::SerializeSeq for &mut Walk {
    type Ok = ();
    type Error = fmt::Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Done {
        value.serialize(&mut **self)
    }

    fn end(self) -> Done {
        Ok(())
    }
}

/// The fields of one node.
struct Fields<'a> {
    walk: &'a mut Walk,
    name: &'static str,
    call: Option<FunctionCall>,
    /// The schema of a relation.
    schema: Option<String>,
}

impl Fields<'_> {
    fn texts<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<Vec<String>, fmt::Error> {
        let outer = self.walk.name.replace(Vec::new());
        value.serialize(&mut *self.walk)?;
        Ok(std::mem::replace(&mut self.walk.name, outer).unwrap_or_default())
    }
}

impl ser::SerializeStruct for Fields<'_> {
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
                let outer = self.walk.probe.replace(Probe::default());
                value.serialize(&mut *self.walk)?;
                let probe = std::mem::replace(&mut self.walk.probe, outer);
                if let (Some(call), Some(probe)) = (&mut self.call, probe) {
                    call.first = probe.constant();
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
