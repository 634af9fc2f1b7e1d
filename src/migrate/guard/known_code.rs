//! The code that is known at one point of the pending scripts: what the catalog holds, and what earlier statements
//! create.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::allowance::{Allowance, ENTRY, OBJECT};
use super::catalog::Catalog;
use super::catalog_code::Use;
use super::definitions::Definition;
use super::names::Name;

/// Bits of a trigger's events, as `pg_trigger.tgtype` and the parser have them.
pub const INSERT: i32 = 4;
pub const DELETE: i32 = 8;
pub const UPDATE: i32 = 16;
pub const TRUNCATE: i32 = 32;

/// A function or procedure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownRoutine {
    pub name: Name,
    /// Its `CREATE FUNCTION`; none if it is too long to be read.
    pub definition: Option<Arc<str>>,
    /// It was altered so that names in it may mean objects of any schema.
    pub elsewhere: bool,
    /// The extension that it belongs to.
    pub extension: Option<Arc<str>>,
    /// It is declared VOLATILE: it may change something.
    pub acts: bool,
    /// The role `anon` of the Data API may execute it, by a grant of its own.
    pub anon: bool,
}

/// A trigger.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// The text of its finding.
    pub statement: String,
    /// PUBLIC may execute it.
    pub public: bool,
    /// The role `anon` of the Data API may execute it, by a grant of its own.
    pub anon: bool,
}

/// `CREATE RULE` of the rules on a table.
type Rules = HashMap<String, Vec<(Name, Arc<str>)>>;

/// The code that is known at one point of the pending scripts. Functions, triggers and rules are found by their names without
/// the schema.
#[derive(Debug, Default)]
pub struct KnownCode {
    /// The limits of memory and work of the whole judgement.
    pub allowance: Allowance,
    routines: HashMap<String, Vec<KnownRoutine>>,
    triggers: HashMap<String, Vec<KnownTrigger>>,
    /// Rules that the database has on a table.
    rules: Rules,
    /// Rules of other relations that a change of the table reaches. Each counts for every kind of change.
    reached_rules: Rules,
    /// The `PREPARE` statements by the name that they use; one of them is in effect.
    pub prepared: BTreeMap<String, Vec<Arc<str>>>,
    /// Functions of the scripts that show rows with the rights of their owner.
    pub leaks: Vec<Leak>,
    /// Default privileges let the role `anon` of the Data API execute new functions.
    pub anon_executes: bool,
    /// The scripts let the role `anon` execute a function.
    pub anon_granted: bool,
    /// Schemas whose relations or functions everybody may use as soon as everybody may use the schema.
    pub shut_schemas: BTreeSet<String>,
    /// Schemas with `SECURITY DEFINER` functions that not everybody may execute.
    pub shut_functions: BTreeSet<String>,
    /// The names of the functions that statements have called so far. True: all findings in the function were reported.
    called: BTreeMap<String, bool>,
    /// The definitions of functions that were read so far.
    pub definitions: HashMap<Arc<str>, Arc<[Definition]>>,
    /// Names of functions that are called.
    asked: BTreeSet<String>,
    /// Names of functions and views that are replaced.
    replaced: BTreeSet<String>,
    /// Extensions that the scripts create and whose functions may do anything.
    pub new_extensions: BTreeSet<Arc<str>>,
    /// The names among those that are called which functions of PostgreSQL have.
    builtin: BTreeSet<String>,
    /// What uses them.
    uses: BTreeMap<String, Vec<Use>>,
}

impl KnownCode {
    pub fn new(catalog: &Catalog) -> Self {
        let catalog = &catalog.code;
        let mut routines = HashMap::<_, Vec<_>>::new();
        for routine in &catalog.routines {
            let known = KnownRoutine {
                name: routine.name.clone(),
                definition: routine.definition.as_deref().map(Arc::from),
                elsewhere: false,
                extension: routine.extension.as_deref().map(Arc::from),
                acts: routine.acts,
                anon: routine.anon,
            };
            routines.entry(known.name.name.clone()).or_default().push(known);
        }
        let mut triggers = HashMap::<_, Vec<_>>::new();
        for trigger in &catalog.triggers {
            let known = KnownTrigger {
                table: trigger.table.clone(),
                events: trigger.events,
                function: trigger.function.clone(),
            };
            triggers.entry(known.table.name.clone()).or_default().push(known);
        }
        let rules = |rules: &[(Name, String)]| {
            let mut known = Rules::new();
            for (table, rule) in rules {
                let rule = (table.clone(), Arc::from(rule.as_str()));
                known.entry(table.name.clone()).or_default().push(rule);
            }
            known
        };
        let mut uses = BTreeMap::<_, Vec<_>>::new();
        for (name, used) in &catalog.uses {
            uses.entry(name.clone()).or_default().push(*used);
        }
        Self {
            routines,
            triggers,
            rules: rules(&catalog.rules),
            reached_rules: rules(&catalog.reached_rules),
            uses,
            builtin: catalog.builtin.clone(),
            anon_executes: catalog.anon_executes,
            shut_schemas: catalog.shut_schemas.clone(),
            shut_functions: catalog.shut_functions.clone(),
            ..Self::default()
        }
    }

    /// The names of functions, and of functions and views that are replaced, to read from the catalog.
    pub fn into_asked(self) -> (BTreeSet<String>, BTreeSet<String>) {
        (self.asked, self.replaced)
    }

    /// What uses a function or view of this name, which is replaced.
    pub fn uses(&mut self, name: &str) -> Vec<Use> {
        if !self.replaced.contains(name) && self.allowance.remember(ENTRY + name.len()) {
            self.replaced.insert(name.to_owned());
        }
        let uses = self.uses.get(name);
        uses.filter(|uses| self.allowance.work(uses.len()))
            .cloned()
            .unwrap_or_default()
    }

    /// Records that names in the functions which a name can mean may mean objects of any schema.
    pub fn unsettle(&mut self, name: &Name) {
        if !self.asked.contains(&name.name) && self.allowance.remember(ENTRY + name.name.len()) {
            self.asked.insert(name.name.clone());
        }
        for routine in self.routines.get_mut(&name.name).into_iter().flatten() {
            routine.elsewhere |= self.allowance.work(1) && routine.name.can_be(name);
        }
    }

    /// The functions that a name can mean.
    pub fn routines(&mut self, name: &Name) -> Vec<KnownRoutine> {
        if !self.asked.contains(&name.name) && self.allowance.remember(ENTRY + name.name.len()) {
            self.asked.insert(name.name.clone());
        }
        let namesakes = self.of(&self.routines, name);
        let meant = namesakes.iter().filter(|routine| routine.name.can_be(name));
        meant.cloned().collect()
    }

    /// Adds a function. One that is known is not added again.
    pub fn add_routine(&mut self, routine: KnownRoutine) {
        let namesakes = self.of(&self.routines, &routine.name);
        let bytes = routine.definition.as_ref().map_or(0, |text| text.len());
        let new = !namesakes.contains(&routine);
        if new && self.allowance.remember(OBJECT + 2 * routine.name.bytes() + bytes) {
            let name = routine.name.name.clone();
            self.routines.entry(name).or_default().push(routine);
        }
    }

    /// Adds a trigger. One that is known is not added again.
    pub fn add_trigger(&mut self, trigger: KnownTrigger) {
        let new = !self.of(&self.triggers, &trigger.table).contains(&trigger);
        let bytes = OBJECT + 2 * trigger.table.bytes() + trigger.function.bytes();
        if new && self.allowance.remember(bytes) {
            let name = trigger.table.name.clone();
            self.triggers.entry(name).or_default().push(trigger);
        }
    }

    /// The functions of the triggers that these events fire on a table.
    pub fn fired(&self, table: &Name, events: i32) -> BTreeSet<Name> {
        let namesakes = self.of(&self.triggers, table).iter();
        let on_it = namesakes.filter(|it| it.events & events != 0 && it.table.can_be(table));
        on_it.map(|trigger| trigger.function.clone()).collect()
    }

    /// The rules on a table, and those on what a change of it reaches.
    pub fn rules(&self, table: &Name) -> (Vec<Arc<str>>, Vec<Arc<str>>) {
        let of = |rules| {
            let namesakes: &[(Name, Arc<str>)] = self.of(rules, table);
            let on_it = namesakes.iter().filter(|(on, _)| on.can_be(table));
            on_it.map(|(_, rule)| rule.clone()).collect()
        };
        (of(&self.rules), of(&self.reached_rules))
    }

    /// Whether a name can mean a function of PostgreSQL.
    pub fn is_builtin(&self, name: &Name) -> bool {
        name.schema.as_deref().is_none_or(|schema| schema == "pg_catalog") && self.builtin.contains(&name.name)
    }

    /// Whether a function of this name was called, and all findings in it were told.
    pub fn was_called(&self, name: &str) -> Option<bool> {
        self.called.get(name).copied()
    }

    /// Records that a function of this name is called.
    pub fn call(&mut self, name: &str, told: bool) {
        match self.called.get_mut(name) {
            Some(all) => *all |= told,
            None if self.allowance.remember(ENTRY + name.len()) => {
                self.called.insert(name.to_owned(), told);
            }
            None => {}
        }
    }

    /// All that have the name in any schema.
    fn of<'a, T>(&self, all: &'a HashMap<String, Vec<T>>, name: &Name) -> &'a [T] {
        let namesakes = all.get(&name.name).map_or(&[][..], Vec::as_slice);
        if self.allowance.work(namesakes.len()) {
            namesakes
        } else {
            &[]
        }
    }
}

impl KnownCode {
    /// The functions that a text defines. It is read once.
    pub fn defined(&mut self, text: &Arc<str>) -> Arc<[Definition]> {
        // The work is the comparison with the key here, and below three times the text: two parsers and the walk of their trees.
        if !self.allowance.work(1 + text.len() / 64) {
            return Arc::default();
        }
        if let Some(read) = self.definitions.get(text) {
            return read.clone();
        }
        if !self.allowance.work(3 * text.len()) {
            return Arc::default();
        }
        let read = Definition::all(text);
        if self
            .allowance
            .remember(ENTRY + read.iter().map(Definition::bytes).sum::<usize>())
        {
            self.definitions.insert(text.clone(), read.clone());
        }
        read
    }
}
