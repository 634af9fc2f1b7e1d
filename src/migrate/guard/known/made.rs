//! Objects other than relations that the pending scripts create.

use std::collections::{HashMap, HashSet};

use super::KnownObjects;
use crate::migrate::guard::budget::Budget;
use crate::migrate::guard::objects::{ObjectKey, is_type};

/// Objects that the scripts created.
#[derive(Debug, Default)]
pub(super) struct MadeObjects {
    /// Their keys, by kind and name.
    all: HashMap<String, HashSet<ObjectKey>>,
    /// Those that nothing else can be that has the same key, by the name of the table that they belong to.
    sure: HashMap<Option<String>, HashSet<ObjectKey>>,
    /// Those that a script drops and creates again: the new object replaces an existing one.
    kept: HashSet<ObjectKey>,
}

fn table(key: &ObjectKey) -> Option<String> {
    key.table.as_ref().map(|table| table.name.clone())
}

impl MadeObjects {
    fn add(&mut self, key: ObjectKey, sure: bool, budget: &Budget) {
        if sure && !self.is_sure(&key) && budget.remember(key.bytes()) {
            self.sure.entry(table(&key)).or_default().insert(key.clone());
        }
        if !self.contains(&key) && budget.remember(key.bytes() + key.name().len()) {
            self.all.entry(key.name().to_owned()).or_default().insert(key);
        }
    }

    fn contains(&self, key: &ObjectKey) -> bool {
        self.all.get(key.name()).is_some_and(|keys| keys.contains(key))
    }

    fn is_sure(&self, key: &ObjectKey) -> bool {
        self.sure.get(&table(key)).is_some_and(|keys| keys.contains(key))
    }

    /// Whether one is a type of this name in any schema.
    pub(super) fn has_type(&self, name: &str) -> bool {
        let mut all = self.all.iter();
        all.any(|(object, keys)| !keys.is_empty() && is_type(object, name))
    }

    /// Takes all of them for objects that were there before.
    pub(super) fn doubt(&mut self) {
        self.sure.clear();
    }
}

impl KnownObjects {
    /// Adds an object other than a relation. `certain`: the statement runs, and fails if the object exists.
    pub fn make(&mut self, key: ObjectKey, certain: bool) {
        self.version += 1;
        if self.made.kept.contains(&key) {
            return;
        }
        let sure = certain && self.is_certain(&key);
        self.made.add(key, sure, &self.code.budget);
    }

    /// Whether a key means one object only.
    pub fn is_certain(&self, key: &ObjectKey) -> bool {
        let one = key.table.as_ref().is_none_or(|table| {
            let mut new = self.meant(table).map(|(_, entry)| entry.found.is_none());
            // A temporary table hides another one.
            let first = new.next();
            Self::are_one(self.meant(table)) && new.all(|new| Some(new) == first)
        });
        one && (key.qualified || !self.elsewhere)
    }

    /// Takes what belongs to tables of this name for objects that were there before.
    pub fn forget(&mut self, table: &str) {
        self.made.sure.remove(&Some(table.to_owned()));
    }

    /// Records that the script drops an existing object and creates it again.
    pub fn keep(&mut self, key: ObjectKey) {
        self.version += 1;
        if !self.made.kept.contains(&key) && self.code.budget.remember(key.bytes()) {
            self.made.kept.insert(key);
        }
    }

    /// Whether the pending scripts created an object other than a relation.
    pub fn is_made(&self, key: &ObjectKey) -> bool {
        self.made.contains(key)
    }

    /// The key of a function whose arguments are not said, if the scripts created one function of its name.
    pub fn resolve(&self, key: ObjectKey) -> ObjectKey {
        let namesakes = self.made.all.get(key.name()).filter(|_| key.is_open());
        match namesakes {
            Some(namesakes) if namesakes.len() == 1 => namesakes.iter().next().cloned().unwrap_or(key),
            _ => key,
        }
    }

    /// Removes all functions of a key's name.
    pub fn unmake_namesakes(&mut self, key: &ObjectKey) {
        self.made.all.remove(key.name());
        if let Some(sure) = self.made.sure.get_mut(&table(key))
            && self.code.budget.work(sure.len())
        {
            sure.retain(|made| made.name() != key.name());
        }
    }

    /// Removes an object. Returns whether the pending scripts certainly created it.
    pub fn unmake(&mut self, key: &ObjectKey) -> bool {
        self.version += 1;
        if let Some(namesakes) = self.made.all.get_mut(key.name()) {
            namesakes.remove(key);
        }
        let certain = self.is_certain(key);
        let sure = self.made.sure.get_mut(&table(key));
        sure.is_some_and(|sure| sure.remove(key)) && certain
    }
}
