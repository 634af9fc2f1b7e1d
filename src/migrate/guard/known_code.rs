//! The code that is known at one point of the pending scripts: what the catalog holds, and what earlier statements
//! create.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::catalog::Catalog;
use super::catalog_code::Use;
use super::names::Name;

/// Bits of a trigger's events, as `pg_trigger.tgtype` and the parser have them.
pub const INSERT: i32 = 4;
pub const DELETE: i32 = 8;
pub const UPDATE: i32 = 16;
pub const TRUNCATE: i32 = 32;

/// A function or procedure.
#[derive(Clone, Debug)]
pub struct KnownRoutine {
    pub name: Name,
    /// Its `CREATE FUNCTION`; none if it is too long to be read.
    pub definition: Option<Arc<str>>,
}

/// A trigger.
#[derive(Clone, Debug)]
pub struct KnownTrigger {
    pub table: Name,
    pub events: i32,
    pub function: Name,
}

/// A function of the pending scripts that shows rows with the rights of its owner.
#[derive(Clone, Debug)]
pub struct Leak {
    pub name: Name,
    /// The types of its arguments.
    pub arguments: String,
    /// Its finding.
    pub statement: String,
    /// PUBLIC may execute it.
    pub public: bool,
    /// The role of the Data API may, by its own name.
    pub anon: bool,
}

/// The code that is known at one point of the pending scripts.
#[derive(Debug, Default)]
pub struct KnownCode {
    pub routines: Vec<KnownRoutine>,
    pub triggers: Vec<KnownTrigger>,
    /// `CREATE RULE` of the rules that the database has on a table.
    pub rules: Vec<(Name, Arc<str>)>,
    /// The same for rules on relations that a change of the table reaches: each acts on every change.
    pub reached_rules: Vec<(Name, Arc<str>)>,
    /// `PREPARE` of each prepared statement.
    pub prepared: BTreeMap<String, Arc<str>>,
    /// Functions of the scripts that show rows with the rights of their owner.
    pub leaks: Vec<Leak>,
    /// The role of the Data API may execute new functions by default.
    pub anon_executes: bool,
    /// Names of functions that were called so far, each with whether all findings in it were reported.
    pub called: BTreeMap<String, bool>,
    /// Names of functions that are called.
    asked: BTreeSet<String>,
    /// Names of functions and views that are replaced.
    replaced: BTreeSet<String>,
    /// What uses them.
    uses: BTreeMap<String, Vec<Use>>,
}

impl KnownCode {
    pub fn new(catalog: &Catalog) -> Self {
        let catalog = &catalog.code;
        let routines = catalog.routines.iter().map(|routine| KnownRoutine {
            name: routine.name.clone(),
            definition: routine.definition.as_deref().map(Arc::from),
        });
        let triggers = catalog.triggers.iter().map(|trigger| KnownTrigger {
            table: trigger.table.clone(),
            events: trigger.events,
            function: trigger.function.clone(),
        });
        let rules = |rules: &[(Name, String)]| {
            let rules = rules.iter();
            rules
                .map(|(table, rule)| (table.clone(), Arc::from(rule.as_str())))
                .collect()
        };
        let mut uses = BTreeMap::<_, Vec<_>>::new();
        for (name, used) in &catalog.uses {
            uses.entry(name.clone()).or_default().push(*used);
        }
        Self {
            routines: routines.collect(),
            triggers: triggers.collect(),
            rules: rules(&catalog.rules),
            reached_rules: rules(&catalog.reached_rules),
            uses,
            anon_executes: catalog.anon_executes,
            ..Self::default()
        }
    }

    /// The names of functions to read from the catalog.
    pub fn asked(&self) -> &BTreeSet<String> {
        &self.asked
    }

    /// The names of functions and views whose uses are to be read from the catalog.
    pub fn replaced(&self) -> &BTreeSet<String> {
        &self.replaced
    }

    /// Adds names to read from the catalog.
    pub fn ask(&mut self, functions: BTreeSet<String>, replaced: BTreeSet<String>) {
        self.asked.extend(functions);
        self.replaced.extend(replaced);
    }

    /// What uses a function or view of this name, which is replaced.
    pub fn uses(&mut self, name: &str) -> Vec<Use> {
        self.replaced.insert(name.to_owned());
        self.uses.get(name).cloned().unwrap_or_default()
    }

    /// The functions that a name can mean.
    pub fn routines(&mut self, name: &Name) -> Vec<KnownRoutine> {
        self.asked.insert(name.name.clone());
        let meant = self.routines.iter().filter(|routine| routine.name.can_be(name));
        meant.cloned().collect()
    }
}
