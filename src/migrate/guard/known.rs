//! The state of relations at one point of the pending scripts: what the catalog holds, changed by the earlier
//! statements that create, rename and drop relations.

use std::collections::{BTreeMap, BTreeSet};

use super::catalog::{Catalog, Column};
use super::known_code::Code;
use super::names::Name;

/// Whether a relation exists at one point of the scripts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The pending scripts create it, so it holds nothing that could be lost.
    New,
    /// No relation has this name.
    Absent,
    /// It exists already. `columns` is none if they are not known.
    There {
        filled: bool,
        columns: Option<BTreeMap<String, Column>>,
    },
}

#[derive(Clone, Debug)]
struct KnownRelation {
    schema: Option<String>,
    name: String,
    visible: bool,
    /// None if the pending scripts create it.
    found: Option<Existing>,
    /// It is a view, which shows rows of other relations.
    view: bool,
}

#[derive(Clone, Debug, Default)]
struct Existing {
    filled: bool,
    /// None if they are not known.
    columns: Option<BTreeMap<String, Column>>,
    /// It is the sequence of a column.
    owned: bool,
}

/// The relations, and other objects that the pending scripts create.
#[derive(Debug, Default)]
pub struct Known {
    entries: Vec<KnownRelation>,
    current: Option<String>,
    /// The script has set a search path: a name without a schema can mean a relation of any schema.
    pub elsewhere: bool,
    /// Keys of objects other than relations that the scripts created.
    made: BTreeSet<String>,
    /// Keys of objects that a script drops and creates again: the new object replaces an existing one.
    kept: BTreeSet<String>,
    /// Names of relations that statements refer to.
    asked: BTreeSet<String>,
    /// Grows with every change.
    pub version: u64,
    /// The role that runs the scripts.
    pub user: Option<String>,
    /// Functions, triggers and the like.
    pub code: Code,
}

impl Known {
    pub fn new(catalog: &Catalog) -> Self {
        let entries = catalog.relations.iter().map(|relation| KnownRelation {
            schema: Some(relation.schema.clone()),
            name: relation.name.clone(),
            visible: relation.visible,
            found: Some(Existing {
                filled: relation.filled,
                columns: Some(relation.columns.clone()),
                owned: relation.owned,
            }),
            view: false,
        });
        Self {
            entries: entries.collect(),
            current: catalog.current.clone(),
            user: catalog.user.clone(),
            code: Code::new(catalog),
            ..Self::default()
        }
    }

    /// The names of relations to read from the catalog.
    pub fn asked(&self) -> &BTreeSet<String> {
        &self.asked
    }

    /// Adds names to read from the catalog.
    pub fn ask(&mut self, relations: BTreeSet<String>, functions: BTreeSet<String>) {
        self.asked.extend(relations);
        self.code.ask(functions);
    }

    fn is(&self, entry: &KnownRelation, name: &Name) -> bool {
        entry.name == name.name
            && match (&name.schema, &entry.schema) {
                (Some(wanted), Some(schema)) => wanted == schema,
                (Some(_), None) => false,
                (None, _) => entry.visible || self.elsewhere,
            }
    }

    /// The state of a relation. If the name can mean several relations, the one with most to lose.
    pub fn standing(&mut self, name: &Name) -> Standing {
        self.asked.insert(name.name.clone());
        let meant: Vec<&KnownRelation> = self.entries.iter().filter(|entry| self.is(entry, name)).collect();
        if meant.is_empty() {
            return Standing::Absent;
        }
        let found: Vec<&Existing> = meant.iter().filter_map(|entry| entry.found.as_ref()).collect();
        match found.as_slice() {
            [] => Standing::New,
            [only] => Standing::There {
                filled: only.filled,
                columns: only.columns.clone(),
            },
            several => Standing::There {
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

    /// Adds a relation. With `unless_there`, an existing relation stays as it is.
    pub fn create(&mut self, name: &Name, unless_there: bool) {
        self.made_as(name, unless_there, false);
    }

    /// Adds a view. With `replaces`, an existing view stays as it is.
    pub fn create_view(&mut self, name: &Name, replaces: bool) {
        self.made_as(name, replaces, true);
    }

    fn made_as(&mut self, name: &Name, unless_there: bool, view: bool) {
        let there = matches!(self.standing(name), Standing::There { .. });
        if there && unless_there || name.name.is_empty() {
            return;
        }
        self.version += 1;
        let schema = match &name.schema {
            None if !self.elsewhere => self.current.clone(),
            schema => schema.clone(),
        };
        self.entries.push(KnownRelation {
            schema,
            name: name.name.clone(),
            visible: name.schema.is_none() || name.schema == self.current,
            found: None,
            view,
        });
    }

    /// Whether the name can mean a view that the pending scripts create.
    pub fn may_be_view(&self, name: &Name) -> bool {
        self.entries.iter().any(|entry| entry.view && self.is(entry, name))
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

    /// Removes a relation.
    pub fn drop(&mut self, name: &Name) {
        self.version += 1;
        let kept = self.entries.iter().filter(|entry| !self.is(entry, name)).cloned();
        self.entries = kept.collect();
    }

    /// Gives a relation another name or schema.
    pub fn rename(&mut self, from: &Name, to: &Name) {
        self.version += 1;
        self.asked.insert(from.name.clone());
        for at in self.meant(from) {
            let entry = &mut self.entries[at];
            entry.name.clone_from(&to.name);
            if to.schema.is_some() {
                entry.visible = to.schema == self.current;
                entry.schema.clone_from(&to.schema);
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

    /// Adds an object other than a relation.
    pub fn make(&mut self, key: String) {
        self.version += 1;
        if !self.kept.contains(&key) {
            self.made.insert(key);
        }
    }

    /// Records that the script drops an existing object and creates it again.
    pub fn keep(&mut self, key: String) {
        self.version += 1;
        self.kept.insert(key);
    }

    /// Whether the pending scripts created an object other than a relation.
    pub fn is_made(&self, key: &str) -> bool {
        self.made.contains(key)
    }

    /// Removes an object. Returns whether the pending scripts created it.
    pub fn unmake(&mut self, key: &str) -> bool {
        self.version += 1;
        self.made.remove(key)
    }
}
