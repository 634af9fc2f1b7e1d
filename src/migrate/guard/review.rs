//! The guard's way for one database: scripts → findings → plan → verdict.

use std::collections::BTreeSet;

use sqlx::PgConnection;

use super::catalog::Catalog;
use super::consent::Consent;
use super::judge::PendingScript;
use super::known::Known;
use super::plan::{Pending, Plan};
use super::statements;
use super::verdict::{Verdict, decide};
use crate::api::Approval;
use crate::migrate::error::{Error, Result};
use crate::migrate::history::History;
use crate::migrate::options::Options;
use crate::migrate::parse;
use crate::migrate::source::{Migration, Source};

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
/// As [`crate::migrate::pending`].
pub async fn review(conn: &mut PgConnection, source: &Source, options: &Options) -> Result<Option<Review>> {
    let Some(consent) = options.consent.as_ref().filter(|_| !source.is_empty()) else {
        return Ok(None);
    };
    let mut history = History::read(conn, source.format()).await?;
    history.foresee(source, options)?;
    look(conn, &history, source, consent).await
}

/// [`review`], with a history that is read and foreseen already.
pub async fn look(
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
    let (findings, _) = statements::judge(&scripts, Known::new(&catalog));
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
fn scripts(pending: &[(Migration, usize)]) -> (Vec<PendingScript>, BTreeSet<String>) {
    let script = |(migration, committed): &(Migration, usize)| PendingScript {
        migration: migration.name.clone(),
        statements: parse::statements(&migration.script, *committed),
    };
    let scripts: Vec<PendingScript> = pending.iter().map(script).collect();
    let (_, asked) = statements::judge(&scripts, Known::default());
    (scripts, asked.into_asked())
}
