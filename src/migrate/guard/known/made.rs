//! Objects other than relations that the pending scripts create.

use std::collections::{HashMap, HashSet};

use crate::migrate::guard::allowance::Allowance;
use crate::migrate::guard::objects::{ObjectKey, is_type};

/// Objects that the scripts created.
#[derive(Debug, Default)]
pub(super) struct MadeObjects {
    /// Their keys, by kind and name.
    pub(super) all: HashMap<String, HashSet<ObjectKey>>,
    /// The objects that the scripts certainly created, and that are the only ones with their key; by the name of their table.
    pub(super) sure: HashMap<Option<String>, HashSet<ObjectKey>>,
    /// The existing objects that a script drops and creates again.
    pub(super) kept: HashSet<ObjectKey>,
}

pub(super) fn table(key: &ObjectKey) -> Option<String> {
    key.table.as_ref().map(|table| table.name.clone())
}

impl MadeObjects {
    pub(super) fn add(&mut self, key: ObjectKey, sure: bool, allowance: &Allowance) {
        if sure && !self.is_sure(&key) && allowance.remember(key.bytes()) {
            self.sure.entry(table(&key)).or_default().insert(key.clone());
        }
        if !self.contains(&key) && allowance.remember(key.bytes() + key.name().len()) {
            self.all.entry(key.name().to_owned()).or_default().insert(key);
        }
    }

    pub(super) fn contains(&self, key: &ObjectKey) -> bool {
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

    /// From now on, treats all of them as objects that may have existed before the scripts.
    pub(super) fn doubt(&mut self) {
        self.sure.clear();
    }
}
