//! The guard's state while it goes through the pending scripts.

use std::fmt::Display;

use super::finding::{Finding, FindingKind};
use super::known::{Known, Standing};
use super::names::Name;
use super::objects;
use crate::migrate::parse::Statement;

/// The parsed script of a pending migration.
#[derive(Debug)]
pub struct PendingScript {
    pub migration: String,
    pub statements: Vec<Statement>,
}

/// Goes through the scripts and collects findings.
pub struct Judge<'a> {
    pub known: Known,
    pub findings: Vec<Finding>,
    script: Option<&'a PendingScript>,
    /// Index of the statement in its script.
    at: usize,
}

impl<'a> Judge<'a> {
    /// Starts before the first script.
    pub fn new(known: Known) -> Self {
        Self {
            known,
            findings: Vec::new(),
            script: None,
            at: 0,
        }
    }

    /// Goes to the beginning of a script.
    pub fn enter(&mut self, script: &'a PendingScript) {
        self.script = Some(script);
        self.known.elsewhere = false;
    }

    /// Goes to a statement of the script, by its index.
    pub fn go_to(&mut self, at: usize) {
        self.at = at;
    }

    /// Adds a finding for the current statement.
    pub fn find(&mut self, kind: FindingKind, object: impl Display, statement: String) {
        let Some(script) = self.script else { return };
        self.findings.push(Finding {
            migration: script.migration.clone(),
            line: script.statements[self.at].line,
            kind,
            effect: kind.effect(),
            object: object.to_string(),
            statement,
        });
    }

    /// Whether a later statement of the same script creates the object again.
    pub fn made_later(&self, key: &str) -> bool {
        let later = self.script.map(|script| &script.statements[self.at + 1..]);
        let trees = later
            .unwrap_or_default()
            .iter()
            .filter_map(|statement| statement.tree.as_ref());
        trees.flat_map(objects::made_by).any(|made| made == key)
    }

    /// Whether a table holds rows. An unknown table is assumed to hold rows.
    pub fn is_filled(&mut self, name: &Name) -> bool {
        match self.known.standing(name) {
            Standing::New => self.known.may_be_view(name),
            Standing::Absent => true,
            Standing::There { filled, .. } => filled,
        }
    }
}
