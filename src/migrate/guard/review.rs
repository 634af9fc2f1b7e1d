//! Reviews the pending migrations of one database: scripts → findings → plan → verdict.

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

/// The result of a review.
#[derive(Clone, Debug)]
pub struct Review {
    /// The plan.
    pub plan: Plan,
    /// Whether it may be applied.
    pub verdict: Verdict,
}

/// Reviews the migrations that would be applied after the history is settled. Writes nothing and takes no lock.
/// None if no review is needed: nothing is pending, there is no consent, or the policy is `Automatic`.
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

/// As [`review`], with a history that is already read and settled in memory.
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
    // Parsing of large scripts takes seconds.
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

/// The parsed scripts, each from the first statement that is not committed yet, and the names of relations to read
/// from the catalog. A first judgement without a catalog collects these names.
fn scripts(pending: &[(Migration, usize)]) -> (Vec<PendingScript>, BTreeSet<String>) {
    let script = |(migration, committed): &(Migration, usize)| PendingScript {
        migration: migration.name.clone(),
        statements: parse::statements(&migration.script, *committed),
    };
    let scripts: Vec<PendingScript> = pending.iter().map(script).collect();
    let (_, asked) = statements::judge(&scripts, Known::default());
    (scripts, asked.into_asked())
}
