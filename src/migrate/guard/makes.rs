//! The objects that the statements of a script create, by the last statement that creates each.

use std::collections::HashMap;

use super::allowance::{Allowance, ENTRY};
use super::objects::ObjectKey;

/// Objects, each with the index of the last statement that creates it.
#[derive(Debug, Default)]
pub struct Makes {
    last: HashMap<ObjectKey, usize>,
    /// The same of functions, by their names.
    functions: HashMap<String, usize>,
    /// One of the statements takes others back.
    pub rolls_back: bool,
    /// They commit before the end of the script.
    pub parted: bool,
}

impl Makes {
    /// Adds an object that a statement creates, which comes after those of the objects before.
    pub fn add(&mut self, at: usize, key: ObjectKey, allowance: &Allowance) {
        if key.is_function() {
            match self.functions.get_mut(key.name()) {
                Some(last) => *last = at,
                None if allowance.remember(ENTRY + key.name().len()) => {
                    self.functions.insert(key.name().to_owned(), at);
                }
                None => {}
            }
        }
        match self.last.get_mut(&key) {
            Some(last) => *last = at,
            None if allowance.remember(key.bytes()) => {
                self.last.insert(key, at);
            }
            None => {}
        }
    }

    /// Whether a statement after this one creates the object. A function whose arguments are not said may be any of its
    /// name.
    pub fn after(&self, at: usize, key: &ObjectKey) -> bool {
        let function = || self.functions.get(key.name()).filter(|_| key.is_open());
        self.last.get(key).into_iter().chain(function()).any(|last| *last > at)
    }
}
