//! The state of relations at one point of the pending scripts: what the catalog holds, changed by the earlier
//! statements that create, rename and drop relations.

use std::collections::{BTreeMap, BTreeSet};

use super::allowance::{COLUMN, ENTRY};
use super::catalog::{Catalog, Column, Sort};
use super::known_code::KnownCode;
use super::names::Name;
use super::standing::Marks;
pub use super::standing::{Existence, KnownConstraint};
use made::MadeObjects;
use relations::{Existing, KnownRelation, Relations};

mod links;
mod made;
mod making;
mod readers;
mod relations;
mod tied;

/// The relations, and other objects that the pending scripts create.
#[allow(clippy::struct_excessive_bools, reason = "independent facts")]
#[derive(Debug, Default)]
pub struct KnownObjects {
    entries: Relations,
    current: Option<String>,
    /// Another schema comes before `pg_catalog` in the search path, so that the name of PostgreSQL's own type may mean another type.
    shadowed: bool,
    /// The script has set a search path: a name without a schema can mean a relation of any schema.
    pub elsewhere: bool,
    /// The database has another encoding than UTF-8.
    pub recoded: bool,
    /// Objects other than relations that the scripts created.
    made: MadeObjects,
    /// The scripts created a cast.
    cast: bool,
    /// What ties relations to others.
    links: links::Links,
    /// Names of relations in the statements, to be read from the catalog.
    asked: BTreeSet<String>,
    /// A number that each change of this state increases.
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
        Self {
            entries: catalog.relations.iter().map(KnownRelation::from).collect(),
            links: links::Links::new(catalog),
            current: catalog.current.clone(),
            shadowed: catalog.shadowed,
            recoded: catalog.recoded,
            user: catalog.user.clone(),
            code: KnownCode::new(catalog),
            open_defaults: catalog.code.open_defaults.clone(),
            ..Self::default()
        }
    }

    /// What to read from the catalog: the names of relations, of functions, and of functions and views that are replaced.
    pub fn into_asked(self) -> (BTreeSet<String>, BTreeSet<String>, BTreeSet<String>) {
        let (functions, replaced) = self.code.into_asked();
        (self.asked, functions, replaced)
    }

    fn ask_for(&mut self, name: &str) {
        if !self.asked.contains(name) && self.code.allowance.remember(ENTRY + name.len()) {
            self.asked.insert(name.to_owned());
        }
    }

    fn is(&self, entry: &KnownRelation, name: &Name) -> bool {
        entry.name == name.name
            && match (&name.schema, &entry.schema) {
                (Some(wanted), Some(schema)) => wanted == schema,
                (Some(_), None) => false,
                (None, _) => entry.visible || self.elsewhere,
            }
    }

    /// The relations that the name can mean, with their numbers.
    fn meant<'a>(&'a self, name: &'a Name) -> impl Iterator<Item = (usize, &'a KnownRelation)> {
        let namesakes = self.entries.named(&name.name);
        let namesakes = if self.code.allowance.work(1 + namesakes.len()) {
            namesakes
        } else {
            &[]
        };
        let namesakes = namesakes.iter().filter_map(|at| Some((*at, self.entries.get(*at)?)));
        namesakes.filter(|(_, entry)| self.is(entry, name))
    }

    /// Numbers of the relations that the name can mean.
    fn numbers(&self, name: &Name) -> Vec<usize> {
        self.meant(name).map(|(at, _)| at).collect()
    }

    /// The state of a relation, without its columns. If the name can mean several relations, one that existed before counts first,
    /// and among these one with rows.
    pub fn presence(&mut self, name: &Name) -> Existence {
        self.ask_for(&name.name);
        let (mut any, mut there, mut filled) = (false, false, false);
        for (_, entry) in self.meant(name) {
            any = true;
            there |= entry.found.is_some();
            filled |= entry.found.as_ref().is_some_and(|found| found.filled);
        }
        match (any, there) {
            (false, _) => Existence::Absent,
            (true, false) => Existence::New,
            (true, true) => Existence::There { filled, columns: None },
        }
    }

    /// As [`Self::presence`], with the columns if the name means one relation only.
    pub fn existence(&mut self, name: &Name) -> Existence {
        let filled = match self.presence(name) {
            Existence::There { filled, .. } => filled,
            other => return other,
        };
        let mut found = self.meant(name).filter_map(|(_, entry)| entry.found.as_ref());
        let columns = match (found.next(), found.next()) {
            (Some(only), None) => only.columns.as_ref(),
            _ => None,
        };
        let columns = columns.filter(|columns| self.code.allowance.work(columns.len()));
        Existence::There {
            filled,
            columns: columns.cloned(),
        }
    }

    /// Whether all relations that the name can mean are sequences that columns own.
    pub fn is_owned(&self, name: &Name) -> bool {
        let mut found = self.meant(name).filter_map(|(_, entry)| entry.found.as_ref());
        found.all(|found| found.owned)
    }

    /// Whether the name can mean a unique index that existed before the scripts.
    pub fn is_unique(&self, name: &Name) -> bool {
        let mut found = self.meant(name).filter_map(|(_, entry)| entry.found.as_ref());
        found.any(|found| found.unique)
    }

    /// Whether all relations that the name can mean are of this sort.
    pub fn are_all(&self, name: &Name, sort: Sort) -> bool {
        self.meant(name).all(|(_, entry)| entry.sort == sort)
    }

    /// Adds a relation. With `unless_there`, an existing relation stays as it is.
    pub fn create(&mut self, name: &Name, sort: Sort, unless_there: bool) {
        let there = matches!(self.presence(name), Existence::There { .. });
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
        let relation = KnownRelation {
            id: None,
            schema,
            name: name.name.clone(),
            visible: name.schema.is_none() || name.schema == self.current,
            found: None,
            sort,
            marks: Marks {
                open,
                ..Marks::default()
            },
        };
        self.add(relation);
    }

    fn add(&mut self, relation: KnownRelation) {
        if self.code.allowance.remember(relation.bytes()) {
            self.entries.push(relation);
        }
    }

    /// Everybody may read new tables from now on.
    pub fn open_by_default(&mut self) {
        // `None` stands for all schemas, and one such element is enough.
        if self.open_defaults.first().is_none_or(Option::is_some) {
            self.open_defaults.insert(0, None);
        }
    }

    /// Changes what is known of the relations that the name can mean.
    fn change(&mut self, name: &Name, change: impl Fn(&mut KnownRelation)) {
        self.version += 1;
        for at in self.numbers(name) {
            let Some(entry) = self.entries.get_mut(at) else {
                continue;
            };
            let before = entry.bytes();
            change(entry);
            self.code.allowance.remember(entry.bytes().saturating_sub(before));
        }
    }

    /// Changes the facts about the relations that the name can mean and that existed before the scripts.
    fn change_found(&mut self, name: &Name, change: impl Fn(&mut Existing)) {
        self.change(name, |entry| {
            if let Some(found) = &mut entry.found {
                change(found);
            }
        });
    }

    /// Whether all of the entries are one relation.
    fn are_one<'a>(mut entries: impl Iterator<Item = (usize, &'a KnownRelation)>) -> bool {
        let Some((_, first)) = entries.next() else { return true };
        let mut others = entries.peekable();
        others.peek().is_none() || first.schema.is_some() && others.all(|(_, other)| other.schema == first.schema)
    }

    /// Removes a relation of this sort, unless the name can mean several.
    pub fn drop(&mut self, name: &Name, sort: Sort) {
        self.version += 1;
        self.forget(&name.name);
        let of_sort = || self.meant(name).filter(|(_, entry)| entry.sort == sort);
        if Self::are_one(of_sort()) {
            let dropped: Vec<_> = of_sort().map(|(at, _)| at).collect();
            for at in dropped {
                self.entries.remove(at);
            }
        }
    }

    /// Gives a relation another name or schema. If the statement may not run (it is not `certain`), or the old name can mean
    /// several relations, the relation is then known by both names.
    pub fn rename(&mut self, from: &Name, to: &Name, certain: bool) {
        self.version += 1;
        self.ask_for(&from.name);
        self.forget(&from.name);
        self.forget(&to.name);
        if !self.code.allowance.work(self.entries.len()) {
            return;
        }
        // PostgreSQL also renames the constraint that an index belongs to.
        let found = self.entries.values_mut().filter_map(|entry| entry.found.as_mut());
        for constraints in found.filter_map(|found| found.constraints.as_mut()) {
            let kind = constraints.get(&from.name).copied();
            if let Some(kind) = kind.filter(|_| self.code.allowance.remember(COLUMN)) {
                constraints.insert(to.name.clone(), kind);
            }
        }
        let meant = self.numbers(from);
        if !certain || !Self::are_one(self.meant(from)) {
            for at in &meant {
                let Some(entry) = self.entries.get(*at) else { continue };
                if self.code.allowance.remember(entry.bytes()) {
                    let both = entry.clone();
                    self.entries.push(both);
                }
            }
        }
        for at in meant {
            self.entries.rename(at, &to.name);
            if let Some(entry) = self.entries.get_mut(at).filter(|_| to.schema.is_some()) {
                entry.visible = to.schema == self.current;
                entry.schema.clone_from(&to.schema);
            }
        }
    }

    /// Gives a schema another name. From then on, both names can mean each of its relations.
    pub fn rename_schema(&mut self, from: &str, to: &str) {
        self.version += 1;
        self.made.doubt();
        if !self.code.allowance.work(self.entries.len()) {
            return;
        }
        let both = self
            .entries
            .values()
            .filter(|entry| entry.schema.as_deref() == Some(from));
        let both = both.take_while(|entry| self.code.allowance.remember(entry.bytes()));
        let both: Vec<_> = both
            .cloned()
            .map(|entry| KnownRelation {
                schema: Some(to.to_owned()),
                visible: true,
                ..entry
            })
            .collect();
        for entry in both {
            self.entries.push(entry);
        }
    }

    /// The state of a table's constraint.
    pub fn constraint(&self, table: &Name, name: &str) -> KnownConstraint {
        let mut meant = self.meant(table);
        let (Some((_, entry)), None) = (meant.next(), meant.next()) else {
            return KnownConstraint::Unknown;
        };
        let found = entry.found.as_ref();
        match found.and_then(|found| found.constraints.as_ref()) {
            None => KnownConstraint::Unknown,
            Some(constraints) => constraints
                .get(name)
                .map_or(KnownConstraint::Absent, |kind| KnownConstraint::OfKind(*kind)),
        }
    }

    /// Adds a constraint, made of an existing index, to a table.
    pub fn add_constraint(&mut self, table: &Name, name: &str, kind: char) {
        self.change_found(table, |found| {
            if let Some(constraints) = &mut found.constraints {
                constraints.insert(name.to_owned(), kind);
            }
        });
    }

    /// Renames a constraint of a table.
    pub fn rename_constraint(&mut self, table: &Name, from: &str, to: &str) {
        self.change_found(table, |found| {
            if let Some(constraints) = &mut found.constraints {
                match constraints.get(from).copied() {
                    Some(kind) => _ = constraints.insert(to.to_owned(), kind),
                    None => found.constraints = None,
                }
            }
        });
    }

    /// Changes the columns of a relation.
    pub fn columns(&mut self, name: &Name, change: impl Fn(&mut BTreeMap<String, Column>)) {
        self.change_found(name, |found| {
            if let Some(columns) = &mut found.columns {
                change(columns);
            }
        });
    }
}
