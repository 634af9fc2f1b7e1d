//! What the guard knows of relations while it follows the pending scripts: what the catalog tells,
//! and what the statements before have made, renamed and dropped.

use std::collections::{BTreeMap, BTreeSet};

use super::catalog::{Catalog, Column};
use super::names::Name;

/// What is known of a relation at one point of the scripts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The pending scripts make it: nothing of it can be lost.
    New,
    /// There is none of this name.
    Absent,
    /// It is there. Without columns nobody can say which ones it has.
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
    /// None: made by the pending scripts.
    found: Option<Existing>,
    /// It is a view, which shows rows of others.
    view: bool,
}

#[derive(Clone, Debug, Default)]
struct Existing {
    filled: bool,
    /// None: nobody can say.
    columns: Option<BTreeMap<String, Column>>,
}

/// Relations, and other things that the pending scripts made.
#[derive(Debug, Default)]
pub struct Known {
    entries: Vec<KnownRelation>,
    current: Option<String>,
    /// The script has set a search path: a name without a schema may mean any.
    pub elsewhere: bool,
    /// Things that are no relations, by kind and name.
    made: BTreeSet<String>,
    /// Those that are dropped only to be made anew: what is made then is what was there before.
    kept: BTreeSet<String>,
    /// Names that were asked for.
    asked: BTreeSet<String>,
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
            }),
            view: false,
        });
        Self {
            entries: entries.collect(),
            current: catalog.current.clone(),
            ..Self::default()
        }
    }

    /// The names whose relations the catalog must tell of.
    pub fn into_asked(self) -> BTreeSet<String> {
        self.asked
    }

    fn is(&self, entry: &KnownRelation, name: &Name) -> bool {
        entry.name == name.name
            && match (&name.schema, &entry.schema) {
                (Some(wanted), Some(schema)) => wanted == schema,
                (Some(_), None) => false,
                (None, _) => entry.visible || self.elsewhere,
            }
    }

    /// What is known of a relation. Of several that a name may mean, the worst.
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

    /// A relation is made, unless it is there and the statement leaves it alone then.
    pub fn create(&mut self, name: &Name, unless_there: bool) {
        self.made_as(name, unless_there, false);
    }

    /// A view is made, or one that was there replaced.
    pub fn create_view(&mut self, name: &Name, replaces: bool) {
        self.made_as(name, replaces, true);
    }

    fn made_as(&mut self, name: &Name, unless_there: bool, view: bool) {
        let there = matches!(self.standing(name), Standing::There { .. });
        if there && unless_there || name.name.is_empty() {
            return;
        }
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

    /// Whether the name may mean a view that the pending scripts make.
    pub fn may_be_view(&self, name: &Name) -> bool {
        self.entries.iter().any(|entry| entry.view && self.is(entry, name))
    }

    /// A table that the pending scripts make gets the rows of one that was there.
    pub fn fill(&mut self, name: &Name) {
        for at in self.meant(name) {
            let found = self.entries[at].found.get_or_insert_default();
            found.filled = true;
        }
    }

    /// Places of the entries that the name may mean.
    fn meant(&self, name: &Name) -> Vec<usize> {
        let all = 0..self.entries.len();
        all.filter(|at| self.is(&self.entries[*at], name)).collect()
    }

    /// A relation is dropped.
    pub fn drop(&mut self, name: &Name) {
        let kept = self.entries.iter().filter(|entry| !self.is(entry, name)).cloned();
        self.entries = kept.collect();
    }

    /// A relation gets another name or schema, with all that is in it.
    pub fn rename(&mut self, from: &Name, to: &Name) {
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

    /// The columns of a relation, to be changed as a statement changes them.
    pub fn columns(&mut self, name: &Name, change: impl Fn(&mut BTreeMap<String, Column>)) {
        for at in self.meant(name) {
            if let Some(columns) = self.entries[at].found.as_mut().and_then(|found| found.columns.as_mut()) {
                change(columns);
            }
        }
    }

    /// Something else is made.
    pub fn make(&mut self, key: String) {
        if !self.kept.contains(&key) {
            self.made.insert(key);
        }
    }

    /// Something that was there is dropped, and the same script makes it anew.
    pub fn keep(&mut self, key: String) {
        self.kept.insert(key);
    }

    /// Whether the pending scripts made it; it is gone afterwards.
    pub fn unmake(&mut self, key: &str) -> bool {
        self.made.remove(key)
    }
}
