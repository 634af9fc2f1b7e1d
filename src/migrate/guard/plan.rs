//! The plan: which migrations would be applied to which history, with the findings in them.

use std::fmt::Write as _;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::finding::Finding;
use crate::api::Effect;
use crate::migrate::history::Head;
use crate::migrate::source::Migration;
use crate::text;

/// The maximum number of migrations and findings that a plan lists; a ConfigMap holds 1 MiB.
const LISTED: usize = 500;

const DESTRUCTIVE: &[Effect] = &[Effect::Destructive, Effect::Breaking, Effect::Unknown];
const EXPOSING: &[Effect] = &[Effect::Exposing, Effect::Granting];
const LOCKING: &[Effect] = &[Effect::Locking, Effect::Rewriting];

/// A migration that would be applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PendingMigration {
    /// Its name.
    pub name: String,
    /// Digest of its script.
    pub checksum: String,
}

impl From<&Migration> for PendingMigration {
    fn from(migration: &Migration) -> Self {
        Self {
            name: migration.name.clone(),
            checksum: migration.checksum.clone(),
        }
    }
}

/// The migrations that would be applied, and the findings in them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Digest of all other fields, which an approval names: `sha256:` and 64 hexadecimal digits.
    pub digest: String,
    /// The history that the plan would be applied to.
    pub head: Head,
    /// Of a plan of a seed: the digest of its files and values. Its files are listed in place of migrations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<String>,
    /// The migrations, in order.
    pub pending: Vec<PendingMigration>,
    /// The findings, in the order of the scripts.
    pub findings: Vec<Finding>,
}

impl Plan {
    /// Makes a plan. The digest depends on the arguments only.
    pub fn new(head: Head, pending: Vec<PendingMigration>, findings: Vec<Finding>) -> Self {
        Self::of(head, None, pending, findings)
    }

    /// Makes the plan of a seed with this digest, whose files are pending.
    pub fn of_seed(seed: String, pending: Vec<PendingMigration>, findings: Vec<Finding>) -> Self {
        Self::of(Head::default(), Some(seed), pending, findings)
    }

    fn of(head: Head, seed: Option<String>, pending: Vec<PendingMigration>, findings: Vec<Finding>) -> Self {
        let mut hash = Sha256::new();
        let mut part = |text: &str| hash.update(format!("{}:{text}", text.len()));
        part("orchestra-migration-plan/1");
        if let Some(seed) = &seed {
            part("seed");
            part(seed);
        }
        part(&head.count.to_string());
        part(&head.digest);
        part(&pending.len().to_string());
        for migration in &pending {
            part(&migration.name);
            part(&migration.checksum);
        }
        for finding in &findings {
            part(&finding.migration);
            part(&finding.line.to_string());
            part(finding.kind.as_str());
            part(&finding.object);
            part(&finding.statement);
            if finding.effect != finding.kind.effect() {
                part(finding.effect.as_str());
            }
        }
        Self {
            digest: format!("sha256:{}", hex::encode(hash.finalize())),
            head,
            seed,
            pending,
            findings,
        }
    }

    fn count(&self, effects: &[Effect]) -> usize {
        self.findings.iter().filter(|it| effects.contains(&it.effect)).count()
    }

    /// Number of findings that destroy or break something, or cannot be analysed.
    pub fn destructive(&self) -> usize {
        self.count(DESTRUCTIVE)
    }

    /// Number of findings that expose data or give rights.
    pub fn exposing(&self) -> usize {
        self.count(EXPOSING)
    }

    /// Number of findings that only make other sessions wait.
    pub fn locking(&self) -> usize {
        self.count(LOCKING)
    }

    /// The plan as text. `approve`: the command that approves it.
    pub fn text(&self, approve: &str) -> String {
        let mut text = format!("Plan {}\n\n", self.digest);
        let heading = match (&self.seed, &self.head.last) {
            (Some(_), _) => {
                "The migrations are applied.\n\nFiles of the seed, which run in this order and in one transaction:"
                    .into()
            }
            (None, Some(last)) => format!(
                "Applied so far: {} migrations, the last of which is {last}.\n\nPending migrations, in this order:",
                self.head.count
            ),
            (None, None) => "Applied so far: no migrations.\n\nPending migrations, in this order:".into(),
        };
        let _ = writeln!(text, "{heading}");
        for migration in self.pending.iter().take(LISTED) {
            let _ = writeln!(text, "  {}", migration.name);
        }
        more(&mut text, self.pending.len(), LISTED);
        for (title, effects, listed) in [
            (
                "Statements that destroy or break something, or cannot be analysed:",
                DESTRUCTIVE,
                LISTED,
            ),
            ("Statements that expose data or give rights:", EXPOSING, LISTED / 2),
            ("Statements that make other sessions wait:", LOCKING, LISTED / 2),
        ] {
            let _ = writeln!(text, "\n{title}");
            let found = self.findings.iter().filter(|it| effects.contains(&it.effect));
            let found: Vec<_> = found.collect();
            for Finding {
                migration,
                line,
                kind,
                effect,
                statement,
                ..
            } in found.iter().take(listed)
            {
                let _ = write!(text, "  {migration}, line {line}: {statement} ({}", kind.as_str());
                // For the other effects the title is sufficient.
                let _ = match effect {
                    Effect::Exposing | Effect::Granting => writeln!(text, ", {})", effect.as_str()),
                    _ => writeln!(text, ")"),
                };
            }
            more(&mut text, found.len(), listed);
            if found.is_empty() {
                text.push_str("  none\n");
            }
        }
        let _ = writeln!(text, "\nTo approve exactly this plan:\n  {approve}");
        text
    }

    /// The plan as JSON, shortened like the text.
    ///
    /// # Errors
    /// When the plan cannot be serialized.
    pub fn json(&self) -> serde_json::Result<String> {
        let mut cut = self.clone();
        cut.pending.truncate(LISTED);
        cut.findings.truncate(LISTED);
        let mut value = serde_json::to_value(&cut)?;
        for (key, count) in [
            ("pendingCount", self.pending.len()),
            ("destructiveCount", self.destructive()),
            ("exposingCount", self.exposing()),
            ("lockingCount", self.locking()),
        ] {
            value[key] = count.into();
        }
        serde_json::to_string_pretty(&value)
    }
}

fn more(out: &mut String, count: usize, listed: usize) {
    if let Some(more) = text::more(count, listed) {
        let _ = writeln!(out, "  {more}");
    }
}
