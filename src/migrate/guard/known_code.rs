//! The code that is known at one point of the pending scripts: what the catalog holds, and what earlier statements
//! create.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::catalog::Catalog;
use super::names::Name;

/// Bits of a trigger's events, as `pg_trigger.tgtype` and the parser have them.
pub const INSERT: i32 = 4;
pub const DELETE: i32 = 8;
pub const UPDATE: i32 = 16;
pub const TRUNCATE: i32 = 32;

/// A function or procedure.
#[derive(Clone, Debug)]
pub struct Routine {
    pub name: Name,
    /// Its `CREATE FUNCTION`; none if it is too long to be read.
    pub definition: Option<Arc<str>>,
}

/// A trigger.
#[derive(Clone, Debug)]
pub struct Trigger {
    pub table: Name,
    pub events: i32,
    pub function: Name,
}

/// The code that is known at one point of the pending scripts.
#[derive(Debug, Default)]
pub struct Code {
    pub routines: Vec<Routine>,
    pub triggers: Vec<Trigger>,
    /// `CREATE RULE` of the rules that the database has on a table.
    pub rules: Vec<(Name, Arc<str>)>,
    /// `PREPARE` of each prepared statement.
    pub prepared: BTreeMap<String, Arc<str>>,
    /// Names of functions that are called.
    asked: BTreeSet<String>,
}

/// Whether two names can mean the same object.
pub fn are_one(one: &Name, other: &Name) -> bool {
    one.name == other.name && (one.schema == other.schema || one.schema.is_none() || other.schema.is_none())
}

impl Code {
    pub fn new(catalog: &Catalog) -> Self {
        let routines = catalog.routines.iter().map(|routine| Routine {
            name: routine.name.clone(),
            definition: routine.definition.as_deref().map(Arc::from),
        });
        let triggers = catalog.triggers.iter().map(|trigger| Trigger {
            table: trigger.table.clone(),
            events: trigger.events,
            function: trigger.function.clone(),
        });
        let rules = catalog
            .rules
            .iter()
            .map(|(table, rule)| (table.clone(), Arc::from(rule.as_str())));
        Self {
            routines: routines.collect(),
            triggers: triggers.collect(),
            rules: rules.collect(),
            ..Self::default()
        }
    }

    /// The names of functions to read from the catalog.
    pub fn asked(&self) -> &BTreeSet<String> {
        &self.asked
    }

    /// Adds names to read from the catalog.
    pub fn ask(&mut self, functions: BTreeSet<String>) {
        self.asked.extend(functions);
    }

    /// The functions that a name can mean.
    pub fn routines(&mut self, name: &Name) -> Vec<Routine> {
        self.asked.insert(name.name.clone());
        let meant = self.routines.iter().filter(|routine| are_one(&routine.name, name));
        meant.cloned().collect()
    }
}
