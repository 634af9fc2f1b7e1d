//! The state of relations at one point of the pending scripts: what the catalog holds, changed by the earlier
//! statements that create, rename and drop relations.

use std::collections::{BTreeMap, BTreeSet};

use super::catalog::{Catalog, Column, Readers, Sort};
use super::known_code::KnownCode;
use super::names::Name;
use super::objects::ObjectKey;
use super::standing::Marks;
pub use super::standing::{Existence, KnownConstraint};

mod readers;

#[derive(Clone, Debug)]
struct KnownRelation {
    schema: Option<String>,
    name: String,
    visible: bool,
    /// None if the pending scripts create it.
    found: Option<Existing>,
    sort: Sort,
    marks: Marks,
}

#[derive(Clone, Debug, Default)]
struct Existing {
    filled: bool,
    /// None if they are not known.
    columns: Option<BTreeMap<String, Column>>,
    /// It is the sequence of a column.
    owned: bool,
    /// It is a unique index.
    unique: bool,
    /// With their kinds; none if they are not known.
    constraints: Option<BTreeMap<String, char>>,
    readers: Readers,
}

/// The relations, and other objects that the pending scripts create.
#[derive(Debug, Default)]
pub struct KnownObjects {
    entries: Vec<KnownRelation>,
    current: Option<String>,
    /// The script has set a search path: a name without a schema can mean a relation of any schema.
    pub elsewhere: bool,
    /// Keys of objects other than relations that the scripts created.
    made: BTreeSet<ObjectKey>,
    /// Those whose key certainly belongs to no other object.
    sure: BTreeSet<ObjectKey>,
    /// Keys of objects that a script drops and creates again: the new object replaces an existing one.
    kept: BTreeSet<ObjectKey>,
    /// Names of relations that statements refer to.
    asked: BTreeSet<String>,
    /// Grows with every change.
    pub version: u64,
    /// The role that runs the scripts.
    pub user: Option<String>,
    /// Functions, triggers and the like.
    pub code: KnownCode,
    /// The schemas in which everybody may read new tables by default; none means all.
    pub open_defaults: Vec<Option<String>>,
}

impl KnownObjects {
    pub fn new(catalog: &Catalog) -> Self {
        let entries = catalog.relations.iter().map(|relation| KnownRelation {
            schema: Some(relation.schema.clone()),
            name: relation.name.clone(),
            visible: relation.visible,
            found: Some(Existing {
                filled: relation.filled,
                columns: Some(relation.columns.clone()),
                owned: relation.owned,
                unique: relation.unique,
                constraints: Some(relation.constraints.clone()),
                readers: relation.readers,
            }),
            sort: relation.sort,
            marks: Marks::default(),
        });
        Self {
            entries: entries.collect(),
            current: catalog.current.clone(),
            user: catalog.user.clone(),
            code: KnownCode::new(catalog),
            open_defaults: catalog.code.open_defaults.clone(),
            ..Self::default()
        }
    }

    /// The names of relations to read from the catalog.
    pub fn asked(&self) -> &BTreeSet<String> {
        &self.asked
    }

    /// Adds names to read from the catalog.
    pub fn ask(&mut self, relations: BTreeSet<String>, functions: BTreeSet<String>, replaced: BTreeSet<String>) {
        self.asked.extend(relations);
        self.code.ask(functions, replaced);
    }

    fn is(&self, entry: &KnownRelation, name: &Name) -> bool {
        entry.name == name.name
            && match (&name.schema, &entry.schema) {
                (Some(wanted), Some(schema)) => wanted == schema,
                (Some(_), None) => false,
                (None, _) => entry.visible || self.elsewhere,
            }
    }

    /// The state of a relation. If the name can refer to several relations, the one with most to lose.
    pub fn standing(&mut self, name: &Name) -> Existence {
        self.asked.insert(name.name.clone());
        let meant: Vec<&KnownRelation> = self.entries.iter().filter(|entry| self.is(entry, name)).collect();
        if meant.is_empty() {
            return Existence::Absent;
        }
        let found: Vec<&Existing> = meant.iter().filter_map(|entry| entry.found.as_ref()).collect();
        match found.as_slice() {
            [] => Existence::New,
            [only] => Existence::There {
                filled: only.filled,
                columns: only.columns.clone(),
            },
            several => Existence::There {
                filled: several.iter().any(|found| found.filled),
                columns: None,
            },
        }
    }

    /// Whether all that the name can mean are sequences of columns.
    pub fn is_owned(&self, name: &Name) -> bool {
        let meant = self.entries.iter().filter(|entry| self.is(entry, name));
        let mut found = meant.filter_map(|entry| entry.found.as_ref());
        found.all(|found| found.owned)
    }

    /// Whether the name can mean a unique index that was there before.
    pub fn is_unique(&self, name: &Name) -> bool {
        let meant = self.entries.iter().filter(|entry| self.is(entry, name));
        let mut found = meant.filter_map(|entry| entry.found.as_ref());
        found.any(|found| found.unique)
    }

    /// Whether all that the name can mean are relations of this sort.
    pub fn are_all(&self, name: &Name, sort: Sort) -> bool {
        self.meant(name).iter().all(|at| self.entries[*at].sort == sort)
    }

    /// Adds a relation. With `unless_there`, an existing relation stays as it is.
    pub fn create(&mut self, name: &Name, sort: Sort, unless_there: bool) {
        let there = matches!(self.standing(name), Existence::There { .. });
        if there && unless_there || name.name.is_empty() {
            return;
        }
        self.version += 1;
        self.forget(&name.name);
        let schema = match &name.schema {
            None if !self.elsewhere => self.current.clone(),
            schema => schema.clone(),
        };
        let by_default = |of: &Option<String>| of.is_none() || schema.is_none() || *of == schema;
        let open = self.open_defaults.iter().any(by_default);
        self.entries.push(KnownRelation {
            schema,
            name: name.name.clone(),
            visible: name.schema.is_none() || name.schema == self.current,
            found: None,
            sort,
            marks: Marks {
                open,
                ..Marks::default()
            },
        });
    }

    /// Whether the name can mean a view that the pending scripts create.
    pub fn may_be_view(&self, name: &Name) -> bool {
        self.entries
            .iter()
            .any(|entry| entry.sort == Sort::View && self.is(entry, name))
    }

    /// Marks a table that the pending scripts create as filled: it gets the rows of an existing table.
    pub fn fill(&mut self, name: &Name) {
        self.version += 1;
        for at in self.meant(name) {
            let found = self.entries[at].found.get_or_insert_default();
            found.filled = true;
        }
    }

    /// Indices of the entries that the name can mean.
    fn meant(&self, name: &Name) -> Vec<usize> {
        let all = 0..self.entries.len();
        all.filter(|at| self.is(&self.entries[*at], name)).collect()
    }

    /// Whether all of the entries are one relation.
    fn are_one(&self, entries: &[usize]) -> bool {
        let mut schemas = entries.iter().map(|at| &self.entries[*at].schema);
        schemas
            .next()
            .is_none_or(|first| entries.len() == 1 || first.is_some() && schemas.all(|schema| schema == first))
    }

    /// Removes a relation of this sort, unless the name can mean several.
    pub fn drop(&mut self, name: &Name, sort: Sort) {
        self.version += 1;
        self.forget(&name.name);
        let mut meant = self.meant(name);
        meant.retain(|at| self.entries[*at].sort == sort);
        if self.are_one(&meant) {
            for at in meant.into_iter().rev() {
                self.entries.remove(at);
            }
        }
    }

    /// Gives a relation another name or schema. If it is not `certain` that it gets it, or the name can mean several
    /// relations, both names mean it.
    pub fn rename(&mut self, from: &Name, to: &Name, certain: bool) {
        self.version += 1;
        self.asked.insert(from.name.clone());
        self.forget(&from.name);
        self.forget(&to.name);
        // The constraint of an index gets its name.
        let found = self.entries.iter_mut().filter_map(|entry| entry.found.as_mut());
        for constraints in found.filter_map(|found| found.constraints.as_mut()) {
            let kind = constraints.get(&from.name).copied();
            constraints.extend(kind.map(|kind| (to.name.clone(), kind)));
        }
        let meant = self.meant(from);
        if !certain || !self.are_one(&meant) {
            let both: Vec<_> = meant.iter().map(|at| self.entries[*at].clone()).collect();
            self.entries.extend(both);
        }
        for at in meant {
            let entry = &mut self.entries[at];
            entry.name.clone_from(&to.name);
            if to.schema.is_some() {
                entry.visible = to.schema == self.current;
                entry.schema.clone_from(&to.schema);
            }
        }
    }

    /// Gives a schema another name. From then on, both names can mean each of its relations.
    pub fn rename_schema(&mut self, from: &str, to: &str) {
        self.version += 1;
        self.sure.clear();
        let both = self
            .entries
            .iter()
            .filter(|entry| entry.schema.as_deref() == Some(from));
        let both: Vec<_> = both
            .cloned()
            .map(|entry| KnownRelation {
                schema: Some(to.to_owned()),
                visible: true,
                ..entry
            })
            .collect();
        self.entries.extend(both);
    }

    /// The state of a table's constraint.
    pub fn constraint(&self, table: &Name, name: &str) -> KnownConstraint {
        let [at] = self.meant(table)[..] else {
            return KnownConstraint::Unknown;
        };
        let found = self.entries[at].found.as_ref();
        match found.and_then(|found| found.constraints.as_ref()) {
            None => KnownConstraint::Unknown,
            Some(constraints) => constraints
                .get(name)
                .map_or(KnownConstraint::Absent, |kind| KnownConstraint::OfKind(*kind)),
        }
    }

    /// Adds a constraint to a table, made of what was there before.
    pub fn add_constraint(&mut self, table: &Name, name: &str, kind: char) {
        self.version += 1;
        for at in self.meant(table) {
            let found = self.entries[at].found.as_mut();
            if let Some(constraints) = found.and_then(|found| found.constraints.as_mut()) {
                constraints.insert(name.to_owned(), kind);
            }
        }
    }

    /// Renames a constraint of a table.
    pub fn rename_constraint(&mut self, table: &Name, from: &str, to: &str) {
        self.version += 1;
        let table = self.meant(table);
        for at in table {
            if let Some(found) = self.entries[at].found.as_mut()
                && let Some(constraints) = &mut found.constraints
            {
                match constraints.get(from).copied() {
                    Some(kind) => _ = constraints.insert(to.to_owned(), kind),
                    None => found.constraints = None,
                }
            }
        }
    }

    /// Changes the columns of a relation.
    pub fn columns(&mut self, name: &Name, change: impl Fn(&mut BTreeMap<String, Column>)) {
        self.version += 1;
        for at in self.meant(name) {
            if let Some(columns) = self.entries[at].found.as_mut().and_then(|found| found.columns.as_mut()) {
                change(columns);
            }
        }
    }

    /// Adds an object other than a relation. `certain`: the statement runs, and fails if the object exists.
    pub fn make(&mut self, key: ObjectKey, certain: bool) {
        self.version += 1;
        if self.kept.contains(&key) {
            return;
        }
        if certain && self.is_certain(&key) {
            self.sure.insert(key.clone());
        }
        self.made.insert(key);
    }

    /// Whether a key means one object only.
    pub fn is_certain(&self, key: &ObjectKey) -> bool {
        let one = key.table.as_ref().is_none_or(|table| {
            let meant = self.meant(table);
            let mut new = meant.iter().map(|at| self.entries[*at].found.is_none());
            // A temporary table hides another one.
            let first = new.next();
            self.are_one(&meant) && new.all(|new| Some(new) == first)
        });
        one && (key.qualified || !self.elsewhere)
    }

    /// Treats the objects of tables of this name as objects that existed before.
    pub fn forget(&mut self, table: &str) {
        self.sure
            .retain(|key| key.table.as_ref().is_none_or(|of| of.name != table));
    }

    /// Records that the script drops an existing object and creates it again.
    pub fn keep(&mut self, key: ObjectKey) {
        self.version += 1;
        self.kept.insert(key);
    }

    /// Whether the pending scripts created an object other than a relation.
    pub fn is_made(&self, key: &ObjectKey) -> bool {
        self.made.contains(key)
    }

    /// The key of a function without arguments in the statement, if the scripts created one function of its name.
    pub fn resolve(&self, key: ObjectKey) -> ObjectKey {
        if !key.is_open() {
            return key;
        }
        let mut made = self.made.iter().filter(|made| made.is_namesake(&key));
        match (made.next(), made.next()) {
            (Some(only), None) => only.clone(),
            _ => key,
        }
    }

    /// Removes all functions of a key's name.
    pub fn unmake_namesakes(&mut self, key: &ObjectKey) {
        self.made.retain(|made| !made.is_namesake(key));
        self.sure.retain(|made| !made.is_namesake(key));
    }

    /// Removes an object. Returns whether the pending scripts certainly created it.
    pub fn unmake(&mut self, key: &ObjectKey) -> bool {
        self.version += 1;
        self.made.remove(key);
        let certain = self.is_certain(key);
        self.sure.remove(key) && certain
    }
}
