//! The wanted contents of an Orchestra's database, resolved once a look from the Orchestra, its template, its class and
//! the class's rollout. This file reads only.

use std::sync::Arc;

use kube::ResourceExt;

use super::plan::WorkState;
use super::unavailable::{self, Purpose, Unavailable};
use super::wait::Wait;
use super::{Pass, failure, migrating};
use crate::api::condition::Reason;
use crate::api::retry_wish;
use crate::content::{self, SeedRows, TenantContext};
use crate::controller::error::Error;
use crate::migrate::Source;
use crate::rollout::revisions::Revisions;
use crate::rollout::{self, Gate, NoTurn, Rolled};

/// The wanted contents of the database, resolved once a look.
#[derive(Default)]
pub struct WantedContents {
    /// The migrations; none while it keeps what it has.
    pub source: Option<Arc<Source>>,
    /// The seed.
    pub rows: Option<SeedRows>,
    /// Why it keeps what it has instead of the class's source.
    pub kept: Option<NoTurn>,
    /// Whether the class has a newer source.
    pub newer: Newer,
    /// The rollout that it is in.
    pub rolled: Option<Rolled>,
    /// The sources that cannot be read, and whose content is applied; none when they were not read.
    pub unavailable: Option<Vec<Unavailable>>,
    /// It needs a turn of the rollout before a look into its database.
    due: bool,
}

/// Whether the class has a newer source than the Orchestra is to have now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Newer {
    /// The class was not read.
    #[default]
    Unknown,
    /// The class has no newer source.
    Nothing,
    /// The class has one, with this digest.
    Source(String),
}

impl WantedContents {
    /// For a database that keeps its contents, because its template is gone.
    pub fn without_template(warning: Unavailable) -> Self {
        Self {
            rows: Some(SeedRows::None),
            unavailable: Some(vec![warning]),
            ..Self::default()
        }
    }

    /// Whether its template is gone, so that the wanted contents are not known.
    pub fn is_without_template(&self) -> bool {
        let mut unavailable = self.unavailable.iter().flatten();
        unavailable.any(|source| source.reason == Reason::TemplateNotFound)
    }
}

/// Resolves the wanted contents of the database.
pub async fn wanted(pass: &Pass, tenant: &TenantContext<'_>) -> Result<WantedContents, Error> {
    let mut wanted = wanted_source(pass, tenant).await?;
    let unavailable = wanted.unavailable.get_or_insert_default();
    if !wanted.due {
        let rows = SeedRows::of(&pass.ctx.content, tenant, wanted.kept.is_some()).await;
        let rows = match (rows, content::seed_place(&pass.ctx.content, tenant)) {
            (Err(error), Some(place)) => {
                unavailable.push(unavailable::excuse(pass, Purpose::Seed, &place, error)?);
                SeedRows::Applied
            }
            (rows, _) => rows?,
        };
        wanted.rows = Some(rows);
    }
    Ok(wanted)
}

/// The source that the database is to have now: none while it keeps what it has.
async fn wanted_source(pass: &Pass, tenant: &TenantContext<'_>) -> Result<WantedContents, Error> {
    let mut wanted = WantedContents::default();
    let found = migrations(pass, tenant).await;
    let Some(class) = tenant.class.filter(|_| rollout::takes_part(&pass.object)) else {
        wanted.source = own_source(pass, tenant, found, wanted.unavailable.get_or_insert_default())?;
        let digest = wanted.source.as_ref().map(|source| source.digest());
        // A tenant that was never migrated asks for its turn first, and logs in once.
        if let Some(digest) = digest
            .filter(|digest| pass.turn.is_none() && pass.object.migrations().is_none() && !is_applied(pass, digest))
        {
            refused(pass, &digest)?;
            wanted.due = true;
        }
        return Ok(wanted);
    };
    let source = match found {
        // The status of the class reports that its source cannot be used. That stops no Orchestra.
        Err(error) if !error.is_passing() => {
            wanted.kept = Some(NoTurn::Waits);
            return Ok(wanted);
        }
        found => found?,
    };
    let Some(source) = source else { return Ok(wanted) };
    if let Some(spec) = migrating::spec(pass, tenant).filter(|_| source.is_empty()) {
        let unavailable = wanted.unavailable.get_or_insert_default();
        unavailable.push(unavailable::empty(&spec.place));
    }
    let digest = source.digest();
    let revisions = Arc::new(Revisions::of(&pass.ctx.content, class).await?);
    refused(pass, &digest)?;
    let gate = match (&pass.turn, pass.denied) {
        (Some(_), _) => Gate::Open,
        (None, _) if is_applied(pass, &digest) => Gate::Open,
        (None, denied) => match rollout::gate(&pass.ctx.rollout, &pass.object, &digest) {
            Gate::Closed => denied.map_or(Gate::Closed, Gate::Kept),
            gate => gate,
        },
    };
    wanted.rolled = Some((class.name_any(), revisions));
    match gate {
        Gate::Open => (wanted.newer, wanted.source) = (Newer::Nothing, Some(source)),
        Gate::Kept(kept) => (wanted.newer, wanted.kept) = (Newer::Source(digest), Some(kept)),
        Gate::Closed => (wanted.due, wanted.source) = (true, Some(source)),
    }
    Ok(wanted)
}

/// The Orchestra's own source of migrations, which no class reports; none where it has none, or where the source is gone and
/// all its migrations are applied.
fn own_source(
    pass: &Pass,
    tenant: &TenantContext<'_>,
    found: Result<Option<Arc<Source>>, Error>,
    unavailable: &mut Vec<Unavailable>,
) -> Result<Option<Arc<Source>>, Error> {
    let Some(place) = migrating::spec(pass, tenant).map(|spec| spec.place) else {
        return found;
    };
    let warning = match found {
        Err(error) => unavailable::excuse(pass, Purpose::Migrations, &place, error)?,
        Ok(Some(source)) if source.is_empty() => {
            let Some(warning) = unavailable::emptied(pass, &place) else {
                unavailable.push(unavailable::empty(&place));
                return Ok(Some(source));
            };
            warning
        }
        Ok(source) => return Ok(source),
    };
    unavailable.push(warning);
    Ok(None)
}

/// Whether this pass has seen in the database that the source of this digest is applied.
fn is_applied(pass: &Pass, digest: &str) -> bool {
    let found = pass.found.as_ref().filter(|found| found.migrated);
    let migrations = found.and_then(|found| found.migrations.as_ref());
    migrations.is_some_and(|migrations| migrations.source == digest)
}

/// A remembered refusal of these contents, until they are tried again; and a failure that must not be repeated.
pub fn refused(pass: &Pass, digest: &str) -> Result<(), Error> {
    let wish = retry_wish(&pass.object);
    let refusal = pass.ctx.core.refusals.refusal(pass.uid(), (digest, &wish));
    refusal.map_or_else(|| failure::stop_repetition(&pass.object, digest), Err)
}

/// The state of pending migrations that have no turn.
pub fn without_a_turn(denied: Option<NoTurn>) -> WorkState {
    match denied {
        None => WorkState::Due,
        Some(NoTurn::Waits | NoTurn::Pinned) => WorkState::Waiting(Wait::Rollout),
        Some(NoTurn::Queued) => WorkState::Waiting(Wait::Turn),
    }
}

/// The migrations that apply: the Orchestra's own, or else the template's or the class's.
async fn migrations(pass: &Pass, tenant: &TenantContext<'_>) -> Result<Option<Arc<Source>>, Error> {
    let Some(spec) = migrating::spec(pass, tenant) else {
        return Ok(None);
    };
    let read = content::migrations(&pass.ctx.content, spec.place, spec.format);
    read.await.map(Some)
}

/// The state of the migrations where it is known without a look into the database: an Orchestra that needs a turn first,
/// and one that keeps an older source whose migrations are incomplete. The error of a failed migration is returned again.
pub fn without_a_look(pass: &Pass, wanted: &WantedContents) -> Result<Option<WorkState>, Error> {
    if wanted.due {
        return Ok(Some(without_a_turn(pass.denied)));
    }
    let Some(kept) = wanted.kept else { return Ok(None) };
    let Some(migrations) = pass.object.migrations() else {
        return Ok(None);
    };
    if kept == NoTurn::Pinned || (migrations.pending == 0 && !migrations.failed) {
        return Ok(None);
    }
    let same = matches!(&wanted.newer, Newer::Source(digest) if *digest == migrations.source);
    match pass.object.migration_failure().filter(|_| migrations.failed && same) {
        Some((reason, message)) => Err(Error::blocked(reason, message)),
        None => Ok(Some(WorkState::Waiting(Wait::Rollout))),
    }
}
