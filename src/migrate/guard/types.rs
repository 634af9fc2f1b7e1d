//! Types of columns, and what `ALTER COLUMN … TYPE` does to their values.

use std::fmt;

use pg_query::protobuf::{TypeName, a_const};
use pg_query::{Node, NodeEnum};

use super::names::{quoted, strings};

/// A type, by its name in the catalog.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Type {
    /// None of PostgreSQL's own types.
    pub schema: Option<String>,
    pub name: String,
    /// Another type of this name may be meant: the script says no schema.
    pub bare: bool,
    /// It has modifiers that are not integers.
    pub odd: bool,
    /// Modifiers as a script writes them: a length, or precision and scale.
    pub modifiers: Vec<i32>,
    pub array: bool,
}

impl Type {
    /// From the catalog, where all modifiers are one number (`typmodin` of each type).
    pub fn of_catalog(schema: String, name: String, modifier: i32, array: bool) -> Self {
        let modifiers = match (name.as_str(), modifier) {
            (_, ..0) => Vec::new(),
            ("varchar" | "bpchar", length) => vec![length - 4],
            ("numeric", both) => vec![((both - 4) >> 16) & 0xffff, (both - 4) & 0x7ff],
            (_, other) => vec![other],
        };
        Self {
            schema: Some(schema).filter(|schema| schema != "pg_catalog"),
            name,
            modifiers,
            array,
            ..Self::default()
        }
    }
}

/// As a script spells it.
impl From<&TypeName> for Type {
    fn from(name: &TypeName) -> Self {
        let modifier = |node: &Node| match &node.node {
            Some(NodeEnum::AConst(constant)) => match &constant.val {
                Some(a_const::Val::Ival(number)) => Some(number.ival),
                _ => None,
            },
            _ => None,
        };
        let mut parts = strings(&name.names);
        let last = parts.pop().unwrap_or_default();
        let modifiers: Vec<i32> = name.typmods.iter().filter_map(modifier).collect();
        Self {
            bare: parts.is_empty(),
            schema: parts.pop().filter(|schema| schema != "pg_catalog"),
            name: last,
            odd: modifiers.len() < name.typmods.len() || name.pct_type,
            modifiers,
            array: !name.array_bounds.is_empty(),
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(schema) = &self.schema {
            write!(f, "{}.", quoted(schema))?;
        }
        f.write_str(&quoted(&self.name))?;
        if !self.modifiers.is_empty() {
            let numbers: Vec<String> = self.modifiers.iter().map(ToString::to_string).collect();
            write!(f, "({})", numbers.join(","))?;
        }
        f.write_str(if self.array { "[]" } else { "" })
    }
}

/// The effect of a change of type on the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypeChange {
    /// Only the catalog changes.
    Free,
    /// Every row is rewritten, and every value is kept.
    Rewrites,
    /// A value can be cut, rounded or refused.
    Narrows,
}

/// The effect of a change from one type to another, by PostgreSQL's binary coercible casts and by the support functions
/// that omit a cast of length. A change that is not known to keep every value narrows.
pub fn change(old: &Type, new: &Type) -> TypeChange {
    use TypeChange::{Free, Narrows, Rewrites};
    if old.odd || new.odd || old.schema != new.schema && new.schema.is_some() {
        return Narrows;
    }
    if old.schema.is_some() {
        let same = old.schema == new.schema && old.name == new.name && old.array == new.array;
        return if same {
            within("", &old.modifiers, &new.modifiers)
        } else if is_text(new) && new.modifiers.is_empty() {
            Rewrites
        } else {
            Narrows
        };
    }
    if old.array != new.array {
        return if is_text(new) { Rewrites } else { Narrows };
    }
    if old.name == new.name {
        return within(&new.name, &old.modifiers, &new.modifiers);
    }
    let open = new.modifiers.is_empty();
    match (old.name.as_str(), new.name.as_str()) {
        ("varchar", "text") | ("cidr", "inet") => Free,
        ("text", "varchar") if open => Free,
        ("bpchar", "varchar") => match (old.modifiers.first(), new.modifiers.first()) {
            (_, None) => Rewrites,
            (Some(old), Some(new)) if new >= old => Rewrites,
            _ => Narrows,
        },
        ("int2", "int4" | "int8" | "float4" | "float8") | ("int4", "int8" | "float8") | ("float4", "float8") => {
            Rewrites
        }
        ("int2" | "int4" | "int8", "numeric") | ("date", "timestamp" | "timestamptz") if open => Rewrites,
        ("timestamp", "timestamptz") | ("timestamptz", "timestamp") | ("time", "timetz")
            if open || old.modifiers == new.modifiers =>
        {
            Rewrites
        }
        // The text form of a value is complete, where no cast function takes its place.
        _ if is_text(new) && open => Rewrites,
        _ => Narrows,
    }
}

/// Whether values of another type become their text form in this one.
pub fn is_text(of: &Type) -> bool {
    !of.array && of.schema.is_none() && matches!(of.name.as_str(), "text" | "varchar")
}

/// The effect of a change of a type's modifiers.
fn within(name: &str, old: &[i32], new: &[i32]) -> TypeChange {
    use TypeChange::{Free, Narrows, Rewrites};
    if old == new {
        return Free;
    }
    match (name, old, new) {
        ("bpchar", [old], [new]) if new > old => Rewrites,
        ("varchar" | "varbit" | "numeric" | "timestamp" | "timestamptz" | "time" | "timetz", _, [])
        | ("timestamp" | "timestamptz" | "time" | "timetz", [], [6]) => Free,
        ("varchar" | "varbit" | "timestamp" | "timestamptz" | "time" | "timetz", [old], [new]) if new >= old => Free,
        ("numeric", [precision, scale @ ..], [wanted, more @ ..]) => {
            let (scale, more) = (scale.first().copied().unwrap_or(0), more.first().copied().unwrap_or(0));
            match (more - scale, (wanted - more) >= (precision - scale)) {
                (0, true) => Free,
                (1.., true) => Rewrites,
                _ => Narrows,
            }
        }
        _ => Narrows,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Type {
        let (text, array) = text.strip_suffix("[]").map_or((text, false), |text| (text, true));
        let (name, modifiers) = text.trim_end_matches(')').split_once('(').unwrap_or((text, ""));
        Type {
            name: name.into(),
            modifiers: modifiers.split(',').filter_map(|number| number.parse().ok()).collect(),
            array,
            ..Type::default()
        }
    }

    #[test]
    fn a_change_of_type_is_free_or_rewrites_or_narrows() {
        use TypeChange::{Free, Narrows, Rewrites};
        for (old, new, expected) in [
            ("varchar(10)", "varchar(20)", Free),
            ("varchar(20)", "varchar(10)", Narrows),
            ("varchar(20)", "varchar", Free),
            ("varchar", "varchar(20)", Narrows),
            ("varchar(20)", "text", Free),
            ("text", "varchar", Free),
            ("text", "varchar(20)", Narrows),
            ("bpchar(3)", "bpchar(4)", Rewrites),
            ("bpchar(3)", "text", Rewrites),
            ("bpchar(3)", "varchar(2)", Narrows),
            ("int4", "int8", Rewrites),
            ("int8", "int4", Narrows),
            ("int8", "float8", Narrows),
            ("int8", "numeric", Rewrites),
            ("int8", "numeric(5,0)", Narrows),
            ("int4", "text", Rewrites),
            ("text", "int4", Narrows),
            ("numeric(10,2)", "numeric(12,2)", Free),
            ("numeric(10,2)", "numeric(12,4)", Rewrites),
            ("numeric(10,2)", "numeric(10,4)", Narrows),
            ("numeric(10,2)", "numeric(10,1)", Narrows),
            ("numeric(10,2)", "numeric", Free),
            ("numeric", "numeric(10,2)", Narrows),
            ("timestamp(3)", "timestamp(6)", Free),
            ("timestamp(3)", "timestamp", Free),
            ("timestamp", "timestamp(3)", Narrows),
            ("timestamp", "timestamptz", Rewrites),
            ("timestamp", "date", Narrows),
            ("time", "timetz", Rewrites),
            ("time(6)", "timetz(3)", Narrows),
            ("date", "timestamp", Rewrites),
            ("json", "jsonb", Narrows),
            ("Colour", "text", Rewrites),
            ("text", "Colour", Narrows),
            ("text[]", "text", Rewrites),
            ("text", "text[]", Narrows),
            ("uuid", "uuid", Free),
        ] {
            assert_eq!(change(&of(old), &of(new)), expected, "{old} to {new}");
        }
    }

    #[test]
    fn a_modifier_is_read_as_the_catalog_keeps_it() {
        let read =
            |name: &str, modifier| Type::of_catalog("pg_catalog".into(), name.into(), modifier, false).to_string();
        assert_eq!(read("varchar", 259), "varchar(255)");
        assert_eq!(read("numeric", ((10 << 16) | 2) + 4), "numeric(10,2)");
        assert_eq!(read("timestamp", 3), "timestamp(3)");
        assert_eq!(read("text", -1), "text");
    }
}
