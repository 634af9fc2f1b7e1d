//! The guard: what the pending migrations would destroy, break or hold up, read with PostgreSQL's own
//! grammar, and whether they may be applied without a person's word: scripts → findings → plan → verdict.
//!
//! It looks at statements, not at what they call: what a function or a trigger does is not seen.

mod catalog;
mod drops;
mod finding;
mod judge;
mod known;
pub(super) mod names;
mod plan;
mod rows;
mod tables;
mod types;

pub use finding::{Effect, Finding, Kind};
pub use plan::{Head, Pending, Plan};

use std::collections::BTreeSet;

use sqlx::PgConnection;

use super::history::History;
use super::source::{Migration, Source};
use super::{Error, Options, Result, parse};
use crate::api::Approval;
use catalog::Catalog;
use judge::Script;
use known::Known;

/// What is asked of the guard for one tenant.
#[derive(Clone, Debug)]
pub struct Consent {
    /// When a plan needs a person's word.
    pub policy: Approval,
    /// The digest that the Orchestra's annotation approves.
    pub approved: Option<String>,
    /// The database was handed over to its tenant before.
    pub handed_over: bool,
    /// The operator prepared it from a template before anybody had it: what is in it comes from scripts.
    pub prepared: bool,
}

/// Whether the pending migrations may be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// They may: nothing in them needs approval.
    Free,
    /// They may: this very plan is approved.
    Approved,
    /// They wait for approval.
    Waits,
}

/// The verdict. `untouched`: nobody has anything to lose in the database.
pub fn decide(consent: &Consent, plan: &Plan, untouched: bool) -> Verdict {
    let approved = consent.approved.as_deref() == Some(plan.digest.as_str());
    match consent.policy {
        Approval::Automatic => Verdict::Free,
        _ if approved => Verdict::Approved,
        Approval::OnDestructive if untouched || plan.destructive() == 0 => Verdict::Free,
        Approval::OnDestructive | Approval::Always => Verdict::Waits,
    }
}

/// What the guard found.
#[derive(Clone, Debug)]
pub struct Review {
    /// The plan.
    pub plan: Plan,
    /// What is to be made of it.
    pub verdict: Verdict,
}

/// Looks at what would be applied once the history is settled. Writes nothing and takes no lock. None
/// where nothing is asked: nothing is pending, there is no consent to be had, or the policy is `Automatic`.
///
/// # Errors
/// As [`super::pending`].
pub async fn review(conn: &mut PgConnection, source: &Source, options: &Options) -> Result<Option<Review>> {
    let Some(consent) = options.consent.as_ref().filter(|_| !source.is_empty()) else {
        return Ok(None);
    };
    let mut history = History::read(conn, source.format()).await?;
    history.foresee(source, options)?;
    look(conn, &history, source, consent).await
}

/// [`review`], with a history that is read and foreseen already.
pub(super) async fn look(
    conn: &mut PgConnection,
    history: &History,
    source: &Source,
    consent: &Consent,
) -> Result<Option<Review>> {
    let pending = source.migrations().iter().filter(|migration| !history.has(migration));
    let pending: Vec<(Migration, usize)> = pending
        .map(|migration| (migration.clone(), history.statements_committed(migration)))
        .collect();
    if pending.is_empty() || consent.policy == Approval::Automatic {
        return Ok(None);
    }
    let listed = pending.iter().map(|(migration, _)| Pending::from(migration)).collect();
    // Large scripts take a while.
    let parsed = tokio::task::spawn_blocking(move || scripts(&pending));
    let (scripts, names) = parsed.await.map_err(|_| Error::Unreadable)?;
    let catalog = Catalog::read(conn, &names).await?;
    let (findings, _) = judge::judge(&scripts, Known::new(&catalog));
    let plan = Plan::new(history.head(), listed, findings);
    let untouched = if consent.handed_over {
        catalog.empty && plan.head.count == 0
    } else {
        catalog.empty || consent.prepared
    };
    let verdict = decide(consent, &plan, untouched);
    Ok(Some(Review { plan, verdict }))
}

/// The scripts, each from the first statement that is not committed yet, and the names that the catalog
/// must be asked for: those that a first look comes upon when nothing is known yet.
fn scripts(pending: &[(Migration, usize)]) -> (Vec<Script>, BTreeSet<String>) {
    let script = |(migration, committed): &(Migration, usize)| Script {
        migration: migration.name.clone(),
        statements: parse::statements(&migration.script, *committed),
    };
    let scripts: Vec<Script> = pending.iter().map(script).collect();
    let (_, asked) = judge::judge(&scripts, Known::default());
    (scripts, asked.into_asked())
}

#[cfg(test)]
mod loss_tests;
#[cfg(test)]
mod plan_tests;
#[cfg(test)]
mod tests;
