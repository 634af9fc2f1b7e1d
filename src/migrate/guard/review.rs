//! Reviews the pending migrations of one database: scripts → findings → plan → clearance.

use std::sync::Arc;

use sqlx::PgConnection;

use super::catalog::Catalog;
use super::clearance::{Clearance, decide};
use super::consent::Consent;
use super::finding::{Finding, FindingKind};
use super::judge::PendingScript;
use super::known::KnownObjects;
use super::makes::Makes;
use super::plan::{PendingMigration, Plan};
use super::{allowance, statements};
use crate::api::Approval;
use crate::migrate::aside::aside;
use crate::migrate::error::{Error, Result};
use crate::migrate::history::History;
use crate::migrate::run_mode::{self, Kept};
use crate::migrate::source::{Migration, Source};

/// The result of a review.
#[derive(Clone, Debug)]
pub struct Review {
    /// The plan.
    pub plan: Plan,
    /// Whether it may be applied.
    pub clearance: Clearance,
}

/// Reviews the migrations that are not in this history, which is settled in memory. Writes nothing and takes no lock.
/// None if no review is needed: nothing is pending, or the policy is `Automatic`. `per_statement`: every script runs statement
/// by statement, as in [`Options`](crate::migrate::Options).
///
/// # Errors
/// [`Error::Database`], [`Error::Unreadable`].
pub async fn look(
    conn: &mut PgConnection,
    history: &History,
    source: &Source,
    (consent, per_statement): (&Consent, bool),
) -> Result<Option<Review>> {
    let pending = source.migrations().iter().filter(|migration| !history.has(migration));
    let pending: Vec<(Migration, usize)> = pending
        .map(|migration| (migration.clone(), history.statements_committed(migration)))
        .collect();
    if pending.is_empty() || consent.policy == Approval::Automatic {
        return Ok(None);
    }
    let listed = pending
        .iter()
        .map(|(migration, _)| PendingMigration::from(migration))
        .collect();
    let scripts = pending.into_iter().map(|(migration, committed)| PendingScript {
        kept: run_mode::kept(
            run_mode::of(&migration, committed, per_statement),
            migration.unsure,
            source.format(),
        ),
        migration: migration.name,
        text: migration.script,
        committed,
        makes: Makes::default(),
    });
    let (findings, empty) = judge(conn, scripts.collect()).await?;
    let plan = Plan::new(history.head(), listed, findings);
    let untouched = if consent.handed_over {
        empty && plan.head.count == 0
    } else {
        empty || consent.prepared
    };
    let clearance = decide(consent, &plan, untouched);
    Ok(Some(Review { plan, clearance }))
}

/// A script of a seed, with its values.
pub struct SeedScript {
    /// Name of its file.
    pub file: String,
    /// The text that is sent to the server.
    pub text: Arc<String>,
}

/// Judges the scripts of a seed, which run in one transaction. `unread`: the first file whose text is too long to be judged.
pub async fn judge_seed(
    conn: &mut PgConnection,
    scripts: Vec<SeedScript>,
    unread: Option<String>,
) -> Result<Vec<Finding>> {
    let scripts = scripts.into_iter().map(|script| PendingScript {
        migration: script.file,
        text: script.text,
        committed: 0,
        kept: Kept::Nothing,
        makes: Makes::default(),
    });
    let (mut findings, _) = judge(conn, scripts.collect()).await?;
    findings.extend(unread.map(|file| Finding {
        migration: file,
        line: 1,
        kind: FindingKind::Unjudged,
        effect: FindingKind::Unjudged.effect(),
        object: String::new(),
        statement: "the scripts with variables are too long to be analysed".into(),
    }));
    Ok(findings)
}

impl Review {
    /// The review of a seed in a database that a tenant has used.
    pub fn of_seed(consent: &Consent, plan: Plan) -> Self {
        let clearance = decide(consent, &plan, false);
        Self { plan, clearance }
    }
}

/// How often the catalog is read again because the code in it names further objects.
const ROUNDS: usize = 16;

/// The most work of all rounds: after it, there is no further one.
const ALL_ROUNDS: usize = 3 * allowance::WORK;

/// Judges the scripts against the database. Also returns whether it holds no rows. A first judgement without a
/// catalog collects the names to read from it.
async fn judge(conn: &mut PgConnection, scripts: Vec<PendingScript>) -> Result<(Vec<Finding>, bool)> {
    let (mut scripts, _, known) = judged(scripts, KnownObjects::default()).await?;
    let mut work = known.code.allowance.done();
    let (mut relations, mut functions, mut replaced) = known.into_asked();
    for round in 1.. {
        let catalog = Catalog::read(conn, &relations, &functions, &replaced).await?;
        let (mut findings, known);
        (scripts, findings, known) = judged(scripts, KnownObjects::new(&catalog)).await?;
        findings.extend(
            catalog
                .code
                .cut
                .iter()
                .map(|what| unseen(&scripts, FindingKind::Opaque, what)),
        );
        work += known.code.allowance.done();
        let (named, called, again) = known.into_asked();
        let complete = named.is_subset(&relations) && called.is_subset(&functions) && again.is_subset(&replaced);
        let last = round == ROUNDS || work > ALL_ROUNDS;
        if !complete && last {
            findings.push(unseen(
                &scripts,
                FindingKind::Unjudged,
                "nested function calls beyond the depth that is analysed: their effects are not analysed",
            ));
        }
        if complete || last {
            return Ok((findings, catalog.empty));
        }
        relations.extend(named);
        functions.extend(called);
        replaced.extend(again);
    }
    Err(Error::Unreadable)
}

/// Code that was not read may do anything.
fn unseen(scripts: &[PendingScript], kind: FindingKind, what: &str) -> Finding {
    Finding {
        migration: scripts
            .first()
            .map(|script| script.migration.clone())
            .unwrap_or_default(),
        line: 1,
        kind,
        effect: kind.effect(),
        object: String::new(),
        statement: what.into(),
    }
}

/// Judges the scripts outside of the runtime's threads, those of one database at a time: parsing of large scripts takes
/// seconds, and a tree some two hundred times the memory of its text.
async fn judged(
    mut scripts: Vec<PendingScript>,
    known: KnownObjects,
) -> Result<(Vec<PendingScript>, Vec<Finding>, KnownObjects)> {
    let work = aside(move || {
        let (findings, known, makes) = statements::judge(&scripts, known);
        for (script, makes) in scripts.iter_mut().zip(makes) {
            script.makes = makes;
        }
        (scripts, findings, known)
    });
    work.await.ok_or(Error::Unreadable)
}
