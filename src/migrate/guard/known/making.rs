//! What the pending scripts create and drop of objects other than relations.

use super::KnownObjects;
use super::made::table;
use crate::migrate::guard::objects::ObjectKey;

impl KnownObjects {
    /// Adds an object other than a relation. `certain`: the statement runs, and fails if the object exists.
    pub fn make(&mut self, key: ObjectKey, certain: bool) {
        self.version += 1;
        if self.made.kept.contains(&key) {
            return;
        }
        let sure = certain && self.is_certain(&key);
        self.made.add(key, sure, &self.code.allowance);
    }

    /// Records that the scripts created a cast.
    pub fn add_cast(&mut self) {
        if !self.cast {
            self.cast = true;
            self.version += 1;
        }
    }

    /// Whether the scripts created a cast.
    pub fn has_cast(&self) -> bool {
        self.cast
    }

    /// Whether a key can mean one object only.
    pub fn is_certain(&self, key: &ObjectKey) -> bool {
        let one = key.table.as_ref().is_none_or(|table| {
            let mut new = self.meant(table).map(|(_, entry)| entry.found.is_none());
            // A temporary table hides another one.
            let first = new.next();
            Self::are_one(self.meant(table)) && new.all(|new| Some(new) == first)
        });
        one && (key.qualified || !self.elsewhere)
    }

    /// From now on, treats the objects of tables of this name as objects that may have existed before the scripts.
    pub fn forget(&mut self, table: &str) {
        self.made.sure.remove(&Some(table.to_owned()));
    }

    /// Records that the script drops an existing object and creates it again.
    pub fn keep(&mut self, key: ObjectKey) {
        self.version += 1;
        if !self.made.kept.contains(&key) && self.code.allowance.remember(key.bytes()) {
            self.made.kept.insert(key);
        }
    }

    /// Whether the pending scripts created an object other than a relation.
    pub fn is_made(&self, key: &ObjectKey) -> bool {
        self.made.contains(key)
    }

    /// The complete key of a function that a statement names without its arguments, if the scripts created one function of that name.
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
            && self.code.allowance.work(sure.len())
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
