//! Looks into a usable database for [`super::observe`]: what is wanted there, and what is already done. It only reads.

use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt;
use sqlx::postgres::PgConnection;

use super::found::{InsideLook, SecretState, is_untouched};
use super::plan::{Inside, RestoreState, RotationState, WorkState};
use super::restore::RestoreLook;
use super::wait::Wait;
use super::wanted::{WantedContents, refused, wanted, without_a_look, without_a_turn};
use super::{
    Pass, approval, carried_out, drift, failure, former, former_login, login, migrating, restore, rotation, unavailable,
};
use crate::api::{MigrationPlan, MigrationStatus, PublishedSecret};
use crate::content::{self, SeedRows, TenantContext};
use crate::controller::background::WorkKind;
use crate::controller::error::Error;
use crate::credentials::{Secrets, connection};
use crate::migrate;
use crate::migrate::guard::Review;

/// The facts about the inside of a usable database, for the plan, the status and the effects.
pub struct InsideFacts {
    /// When the look began.
    pub now: Timestamp,
    /// The part that the plan decides by.
    pub inside: Inside,
    /// The message for people.
    pub message: Option<String>,
    /// The reason why the connection of the spec is invalid.
    pub invalid: Option<String>,
    /// The state of the Job that restores a backup into it.
    pub restoring: RestoreLook,
    /// The wanted contents of the database.
    pub wanted: WantedContents,
    /// The result of a look into the database, when one was taken.
    pub found: Option<Arc<InsideLook>>,
    /// The guard's review of the seed that is due.
    pub seed_review: Option<Review>,
    /// The plan of that seed, while it waits for approval.
    pub seed_plan: Option<MigrationPlan>,
    /// The connection Secret.
    pub secret: SecretState,
}

impl InsideFacts {
    /// Facts with only these set.
    pub fn new(inside: Inside, now: Timestamp) -> Self {
        Self {
            now,
            inside,
            message: None,
            invalid: None,
            restoring: RestoreLook::default(),
            wanted: WantedContents::default(),
            found: None,
            seed_review: None,
            seed_plan: None,
            secret: SecretState::default(),
        }
    }

    /// The guard's review of the pending migrations, or else of the seed after them.
    pub fn review(&self) -> Option<&Review> {
        let migrations = self.found.as_ref().and_then(|found| found.review.as_ref());
        migrations.or(self.seed_review.as_ref())
    }

    /// The state of the migrations.
    pub fn migrations(&self) -> Option<&MigrationStatus> {
        self.found.as_ref()?.migrations.as_ref()
    }

    /// Digest of the seed that is applied.
    pub fn seed(&self) -> Option<String> {
        self.found.as_ref()?.seed.clone()
    }

    /// The key by which a refusal of the seed is remembered.
    pub fn attempt(&self) -> Option<String> {
        self.wanted.rows.as_ref()?.attempt(self.wanted.source.as_deref())
    }
}

/// The work inside the database. A tenant that uses its database gets its Secret back first. When the last status says that
/// all work was done for this generation and these sources, and the Secret is as the operator wrote it, the database is not
/// read. While the connection of the spec is invalid, the one published last stays in effect.
///
/// # Errors
/// The error of a lookup, or a remembered refusal.
pub async fn observe(
    pass: &Pass,
    tenant: &TenantContext<'_>,
    session: Option<&mut PgConnection>,
    now: Timestamp,
) -> Result<InsideFacts, Error> {
    let serving = pass.is_serving();
    let rotating = tenant.database.filter(|_| serving).map(ResourceExt::name_any);
    let inside = Inside {
        serving,
        published: serving && is_untouched(pass),
        leftover: former::first(pass.object.status.as_ref()).is_some_and(|until| until <= now),
        rotation: match &rotating {
            Some(database) => rotation::observe(pass, database, now),
            None => RotationState::Settled,
        },
        overdue: rotating.is_some_and(|database| former_login::is_overdue(pass, &database, now)),
        invalid: pass.invalid.is_some(),
        ..Inside::UNSEEN
    };
    let mut facts = InsideFacts::new(inside, now);
    facts.invalid.clone_from(&pass.invalid);
    facts.inside.restore = restore::observe(pass, tenant.database, &mut facts).await?;
    // The contents of a restore do not exist yet.
    if facts.inside.restore != RestoreState::Settled {
        return Ok(facts);
    }
    look(pass, tenant, session, &mut facts).await?;
    facts.inside.notice = approval::notice(pass, facts.review()).await?;
    Ok(facts)
}

async fn look(
    pass: &Pass,
    tenant: &TenantContext<'_>,
    session: Option<&mut PgConnection>,
    facts: &mut InsideFacts,
) -> Result<(), Error> {
    if goes_on(pass, facts) || facts.inside.overdue {
        return Ok(());
    }
    let session = session.filter(|_| pass.access.way_in().is_some());
    if facts.inside.rotation == RotationState::Due && facts.inside.published {
        return Ok(());
    }
    let rotates = facts.inside.rotation == RotationState::Pending;
    if facts.inside.serving && (rotates || !facts.inside.published) {
        if session.is_some() {
            facts.secret = secret(pass).await?;
        }
        if session.is_some() || !facts.inside.published {
            facts.inside.published = facts.secret.right.is_some();
        }
        facts.inside.login = session.is_some();
        if rotates || !facts.inside.published {
            return Ok(());
        }
        facts.inside.login = false;
    }
    let template = tenant.class.map(|class| content::check_template(&pass.object, class));
    facts.wanted = match template {
        Some(Err(error)) => WantedContents::without_template(unavailable::without_template(pass, error)?),
        _ => wanted(pass, tenant).await.map_err(|error| undisturbed(pass, error))?,
    };
    if let Some(work) = without_a_look(pass, &facts.wanted)? {
        (facts.inside.login, facts.inside.migrations) = (true, work);
        return Ok(());
    }
    if is_settled(pass, tenant, &facts.wanted) && session.is_none() && is_whole(pass, tenant, facts).await? {
        settled(&mut facts.inside);
        return Ok(());
    }
    let source = facts.wanted.source.as_ref().map(|source| source.digest());
    for digest in source.into_iter().chain(facts.attempt()) {
        refused(pass, &digest)?;
    }
    match session {
        Some(session) => look_inside(pass, tenant, session, facts).await,
        // A tenant that waits for its server opens no session until it has a turn.
        None if pass.turn.is_none() && waits_for_turn(pass, &facts.wanted) => {
            (facts.inside.login, facts.inside.migrations) = (true, WorkState::Waiting(Wait::Turn));
            Ok(())
        }
        None => Ok(()),
    }
}

/// Whether background work is running in the database, which nothing else may disturb.
fn goes_on(pass: &Pass, facts: &mut InsideFacts) -> bool {
    let Some((kind, doing)) = pass.ctx.works.under_way_of(pass.uid()) else {
        return false;
    };
    let inside = &mut facts.inside;
    (inside.login, facts.message) = (true, doing);
    (inside.migrations, inside.seed) = match kind {
        WorkKind::Migrate | WorkKind::Probe | WorkKind::Reset => (WorkState::Running, WorkState::Pending),
        WorkKind::Seed => (WorkState::Done, WorkState::Running),
    };
    true
}

/// Whether a settled database still has what was applied, if it is time to look.
async fn is_whole(pass: &Pass, tenant: &TenantContext<'_>, facts: &mut InsideFacts) -> Result<bool, Error> {
    if let Some(found) = &pass.found {
        // Checked in this pass.
        facts.found = Some(found.clone());
        return Ok(true);
    }
    if pass.ctx.ungrouped.is_due(pass.uid()) {
        return Ok(false);
    }
    let check = if drift::is_due(pass, tenant, facts.now) {
        drift::check(pass, tenant, &facts.wanted, facts.now).await?
    } else {
        drift::Check::skipped()
    };
    if check.whole {
        facts.found = check.found.map(Arc::new);
    } else {
        facts.message = check.lost;
    }
    Ok(check.whole)
}

fn settled(inside: &mut Inside) {
    *inside = Inside {
        login: true,
        migrations: WorkState::Done,
        seed: WorkState::Done,
        published: true,
        ..*inside
    };
}

fn waits_for_turn(pass: &Pass, wanted: &WantedContents) -> bool {
    let turns = &pass.ctx.rollout.turns;
    let source = wanted.source.as_ref();
    source.is_some_and(|source| turns.still_waits(pass.uid(), &source.digest()))
}

/// Reads the database itself.
async fn look_inside(
    pass: &Pass,
    tenant: &TenantContext<'_>,
    session: &mut PgConnection,
    facts: &mut InsideFacts,
) -> Result<(), Error> {
    facts.inside.login = true;
    let found = match &pass.found {
        Some(found) => found.clone(),
        None => Arc::new(ask(pass, tenant, session, facts).await?),
    };
    facts.message = drift::lost(pass, found.migrations.as_ref()).or(facts.message.take());
    let mut awaits_approval = found.migrations.as_ref().is_some_and(|is| is.plan.is_some());
    facts.inside.migrations = match (found.migrated, awaits_approval) {
        (true, _) => WorkState::Done,
        (false, true) => WorkState::AwaitsApproval,
        (false, false) if pass.turn.is_some() => WorkState::Pending,
        (false, false) => without_a_turn(pass.denied),
    };
    if let (Some(SeedRows::Applied), None, true) = (&facts.wanted.rows, &found.seed, found.migrated) {
        // The database has lost what was applied, as after a restore of an older state.
        facts.wanted.rows = Some(SeedRows::again(&pass.ctx.content, tenant).await?);
        if let Some(attempt) = facts.attempt() {
            refused(pass, &attempt)?;
        }
    }
    let rows = facts.wanted.rows.as_ref();
    facts.found = Some(found.clone());
    if rows.is_none_or(|rows| rows.are_met_by(found.seed.as_deref())) {
        facts.inside.seed = WorkState::Done;
    } else if found.migrated {
        facts.seed_review = approval::review_seed(pass, tenant, session, rows).await?;
        facts.seed_plan = approval::status(pass, facts.seed_review.as_ref())?;
        if facts.seed_plan.is_some() {
            (facts.inside.seed, awaits_approval) = (WorkState::AwaitsApproval, true);
        }
    }
    let done = (facts.inside.migrations, facts.inside.seed) == (WorkState::Done, WorkState::Done);
    // What was published stays as it is.
    let is_kept = facts.inside.invalid && (facts.inside.published || !facts.inside.serving);
    if !is_kept && (done || (awaits_approval && facts.inside.serving)) {
        facts.secret = secret(pass).await?;
        facts.inside.published = facts.secret.right.is_some();
    }
    Ok(())
}

async fn ask(
    pass: &Pass,
    tenant: &TenantContext<'_>,
    session: &mut PgConnection,
    facts: &InsideFacts,
) -> Result<InsideLook, Error> {
    let wanted = &facts.wanted;
    let mut found = InsideLook {
        migrations: None,
        migrated: true,
        review: None,
        seed: None,
        unreadable: login::unreadable(pass, tenant, session).await?,
    };
    if let Some(source) = &wanted.source {
        let options = migrating::options(pass, tenant);
        let look = migrate::HistoryLook::take(session, source, &options).await?;
        found.review = look.review(session).await?;
        found.migrated = look.status.is_done();
        let before = pass.object.migrations();
        let failure = failure::left(before, &look.status.waiting).filter(|_| !found.migrated);
        let mut now = drift::migration_status(pass, tenant, (session, facts.now), look).await?;
        let failed = before.filter(|before| !found.migrated && before.failed && before.source == now.source);
        now.failed = failed.is_some();
        now.failure = failure;
        now.plan = approval::status(pass, found.review.as_ref())?;
        found.migrations = Some(now);
    }
    if !matches!(wanted.rows, None | Some(SeedRows::None)) {
        found.seed = migrate::seeded(session).await?.map(|seeded| seeded.digest);
    }
    Ok(found)
}

/// The connection Secret. One that the watch does not show is not read: it is created.
async fn secret(pass: &Pass) -> Result<SecretState, Error> {
    if let Some(published) = &pass.published {
        return Ok(SecretState {
            exists: true,
            right: Some(published.clone()),
        });
    }
    let (Some(way_in), Some(_)) = (pass.access.way_in(), pass.known_secret()) else {
        return Ok(SecretState::default());
    };
    let object = carried_out::connection(pass);
    let wanted = connection::render(&object, &way_in.handover)?;
    let secrets = Secrets::connections(&pass.ctx.core, pass.namespace());
    let found = connection::find(&secrets, &object, &wanted).await?;
    let right = found.as_ref().filter(|(_, right)| *right);
    let right = right.map(|(secret, _)| PublishedSecret {
        name: object.secret_name(),
        resource_version: secret.resource_version(),
        keys: way_in.handover.keys(),
    });
    Ok(SecretState {
        exists: found.is_some(),
        right,
    })
}

/// Whether everything that is wanted was done for this generation.
fn is_settled(pass: &Pass, tenant: &TenantContext<'_>, wanted: &WantedContents) -> bool {
    let Some(status) = &pass.object.status else {
        return false;
    };
    let migrated = match (&wanted.source, &status.migrations) {
        (None, _) => true,
        (Some(source), Some(migrations)) => {
            migrations.source == source.digest()
                && migrations.revision.as_deref() == source.revision()
                && migrations.pending == 0
        }
        (Some(_), None) => false,
    };
    let seeded = wanted
        .rows
        .as_ref()
        .is_none_or(|rows| rows.are_met_by(status.seed.as_deref()));
    pass.object.is_settled()
        && status.database_name == tenant.database.map(ResourceExt::name_any)
        && is_untouched(pass)
        && migrated
        && seeded
}

/// A registry or a volume that fails, or refuses content that it served before, does not disturb a Ready tenant.
fn undisturbed(pass: &Pass, error: Error) -> Error {
    match &error {
        Error::Source(failed) if pass.object.is_settled() && failed.is_outside() && !error.is_passing() => {
            Error::transient(failed.reason(), failed.to_string())
        }
        _ => error,
    }
}
