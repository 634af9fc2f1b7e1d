//! The guard's state while it goes through the pending scripts.

use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::sync::Arc;

use pg_query::NodeEnum;

use super::allowance::{ENTRY, OBJECT, STATEMENT};
use super::finding::{Finding, FindingKind};
use super::known::{Existence, KnownObjects};
use super::makes::Makes;
use super::names::Name;
use super::objects::ObjectKey;
use crate::api::Effect;
use crate::migrate::parse;
use crate::migrate::run_mode::Kept;

/// The script of a pending migration.
#[derive(Debug)]
pub struct PendingScript {
    /// Name of the migration.
    pub migration: String,
    /// Its text.
    pub text: Arc<String>,
    /// Number of statements that an earlier attempt committed.
    pub committed: usize,
    /// The statements that stay after a failure.
    pub kept: Kept,
    /// The objects that its statements create, once the script was gone through.
    pub makes: Makes,
}

/// The most bytes of code that are read in total.
const CODE: usize = 2 << 20;

/// The most findings; more are not judged.
const MOST: usize = 20_000;

/// Which findings are reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReportedFindings {
    /// Losses only.
    Losses,
    /// Losses, and code that cannot be analysed.
    Unknown,
    /// All.
    All,
}

impl ReportedFindings {
    fn has(self, effect: Effect) -> bool {
        match self {
            Self::Losses => effect == Effect::Destructive,
            Self::Unknown => matches!(effect, Effect::Destructive | Effect::Unknown),
            Self::All => true,
        }
    }
}

/// Goes through the scripts and collects findings.
pub struct Judge<'a> {
    pub known: KnownObjects,
    pub findings: Vec<Finding>,
    /// Those of the current line: code that is run twice tells nothing twice.
    of_line: HashSet<Finding>,
    /// The code that is being judged, from the outermost on.
    pub active: Vec<Arc<str>>,
    /// Judges one statement of a text.
    each: fn(&mut Judge<'a>, &NodeEnum, &str),
    /// The script or function that runs it.
    pub label: Option<String>,
    /// Code that was judged, with the state before it.
    judged: HashMap<Arc<str>, (u64, bool, ReportedFindings)>,
    script: Option<&'a PendingScript>,
    /// Index of the statement in its script, and its line.
    at: (usize, usize),
    told: ReportedFindings,
    code: usize,
    /// The setting of a login or a database lets names mean other objects in later sessions, which later scripts may run in.
    unsettled: bool,
    /// The script adds a value to an enum type.
    pub adds_enum_value: bool,
}

impl<'a> Judge<'a> {
    /// Starts before the first script. `each`: judges one statement, given with its text.
    pub fn new(known: KnownObjects, each: fn(&mut Judge<'a>, &NodeEnum, &str)) -> Self {
        Self {
            known,
            each,
            findings: Vec::new(),
            of_line: HashSet::new(),
            active: Vec::new(),
            label: None,
            judged: HashMap::new(),
            script: None,
            at: (0, 1),
            told: ReportedFindings::All,
            code: CODE,
            unsettled: false,
            adds_enum_value: false,
        }
    }

    /// Goes to the beginning of a script.
    pub fn enter(&mut self, script: &'a PendingScript) {
        self.script = Some(script);
        self.of_line.clear();
        self.known.elsewhere = self.unsettled;
        self.adds_enum_value = false;
    }

    /// Whether what the statements of the script do can stay although a later one fails, as far as it is known by now.
    pub fn keeps_parts(&self) -> bool {
        self.script.is_some_and(|script| {
            script.makes.parted
                || match script.kept {
                    Kept::Nothing => false,
                    Kept::StatementsOfNewEnumValue => self.adds_enum_value,
                    Kept::Statements => true,
                }
        })
    }

    /// The name of the migration whose script is judged.
    pub fn migration(&self) -> Option<&str> {
        self.script.map(|script| script.migration.as_str())
    }

    /// Records that names without a schema may mean other objects in later sessions.
    pub fn unsettle(&mut self) {
        self.unsettled = true;
    }

    /// Goes to a statement of the script, by its index.
    pub fn go_to(&mut self, at: usize, line: usize) {
        if self.at.1 != line {
            self.of_line.clear();
        }
        self.at = (at, line);
    }

    /// Adds a finding for the current statement, with the effect of its kind.
    pub fn find(&mut self, kind: FindingKind, object: impl Display, statement: String) {
        self.find_as(kind, kind.effect(), object, statement);
    }

    /// Adds a finding for the current statement.
    pub fn find_as(&mut self, kind: FindingKind, effect: Effect, object: impl Display, statement: String) {
        let Some(script) = self.script else { return };
        if !self.told.has(effect) || self.is_spent() {
            return;
        }
        let finding = Finding {
            migration: script.migration.clone(),
            line: self.at.1,
            kind,
            effect,
            object: object.to_string(),
            statement: match &self.label {
                Some(label) => format!("{label}: {statement}"),
                None => statement,
            },
        };
        if self.label.is_some() && self.of_line.contains(&finding) {
            return;
        }
        let bytes = OBJECT + finding.migration.len() + finding.object.len() + finding.statement.len();
        if self.findings.len() >= MOST || !self.known.code.allowance.remember(2 * bytes) {
            self.known.code.allowance.spend();
            return;
        }
        self.of_line.insert(finding.clone());
        self.findings.push(finding);
    }

    /// Takes back the findings for which this is so.
    pub fn take_back(&mut self, gone: impl Fn(&Finding) -> bool) {
        self.of_line.retain(|finding| !gone(finding));
        self.findings.retain(|finding| !gone(finding));
    }

    /// Whether nothing more is judged, because the scripts make too much of it.
    pub fn is_spent(&self) -> bool {
        self.known.code.allowance.is_spent()
    }

    /// Reports that nothing is analysed from the current statement on.
    pub fn give_up(&mut self) {
        let kind = FindingKind::Unjudged;
        self.findings.push(Finding {
            migration: self.script.map(|script| script.migration.clone()).unwrap_or_default(),
            line: self.at.1,
            kind,
            effect: kind.effect(),
            object: String::new(),
            statement: "the pending migrations do more than is analysed at a time: from here on, nothing is analysed"
                .into(),
        });
    }

    /// Judges a statement that another one runs. `text`: the statement, if it is known.
    pub fn statement(&mut self, tree: &NodeEnum, text: &str) {
        if self.known.code.allowance.work(STATEMENT) {
            (self.each)(self, tree, text);
        }
    }

    /// Judges statements that code runs.
    pub fn script(&mut self, text: &str) {
        for part in parse::statements(text, 0) {
            if !self.known.code.allowance.work(part.work()) {
                return;
            }
            match &part.tree {
                Some(tree) => self.statement(tree, &text[part.span.clone()]),
                None => self.find(
                    FindingKind::Opaque,
                    "",
                    "a statement that the parser cannot read".into(),
                ),
            }
        }
    }

    /// Judges something with only these findings reported.
    pub fn telling(&mut self, told: ReportedFindings, judges: impl FnOnce(&mut Self)) {
        let before = self.told;
        self.told = before.min(told);
        judges(self);
        self.told = before;
    }

    /// Whether findings other than losses are reported now.
    pub fn tells(&self) -> bool {
        self.told > ReportedFindings::Losses
    }

    /// Whether code was judged before in the present state, so that it would have the same findings. Records that it is
    /// judged now.
    pub fn was_judged(&mut self, text: &Arc<str>) -> bool {
        let state = self.state();
        if let Some(judged) = self.judged.get_mut(text) {
            return std::mem::replace(judged, state) == state;
        }
        if self.known.code.allowance.remember(ENTRY + text.len()) {
            self.judged.insert(text.clone(), state);
        }
        false
    }

    fn state(&self) -> (u64, bool, ReportedFindings) {
        (self.known.version, self.known.elsewhere, self.told)
    }

    /// Takes bytes from the limit of code that is read. Returns whether that many were left.
    pub fn spend(&mut self, bytes: usize) -> bool {
        let left = self.code.checked_sub(bytes);
        self.code = left.unwrap_or(0);
        left.is_some()
    }

    /// Whether what the current statement does surely stays: it is not part of code, which may skip it, nor of a script
    /// that takes something back.
    pub fn is_certain(&self) -> bool {
        self.active.is_empty() && self.script.is_none_or(|script| !script.makes.rolls_back)
    }

    /// Whether a later statement of the same script creates the object again, and stays with the current one.
    pub fn made_later(&self, key: &ObjectKey) -> bool {
        let makes = self.script.map(|script| &script.makes);
        let Some(makes) = makes.filter(|makes| !makes.rolls_back && !self.keeps_parts()) else {
            return false;
        };
        if !self.known.is_certain(key) {
            return false;
        }
        makes.after(self.at.0, key)
    }

    /// Whether a table holds rows. An unknown table is assumed to hold rows.
    pub fn is_filled(&mut self, name: &Name) -> bool {
        match self.known.presence(name) {
            Existence::New => self.known.may_be_view(name),
            Existence::Absent => true,
            Existence::There { filled, .. } => filled,
        }
    }
}
