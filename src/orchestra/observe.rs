//! Looks things up for [`super::plan`]. It reads only, and stops at the first thing that decides.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use sqlx::postgres::PgConnection;

use super::plan::{Database, Notice, Seen, Supply, Work};
use super::{Newer, Pass, approval, claim, drift, migrating};
use crate::api::ORCHESTRA_FINALIZER;
use crate::api::OrchestraDatabase;
use crate::api::condition::{ConditionType, Reason};
use crate::class;
use crate::content;
use crate::content::Rows;
use crate::controller::background::{WorkKind, WorkProgress};
use crate::controller::conditions::{find, is_true};
use crate::controller::error::Error;
use crate::controller::write::namespaced;
use crate::credentials::connection;
use crate::migrate::guard;
use crate::migrate::{self, Source};
use crate::rollout::revisions::Revisions;
use crate::rollout::turns::Outcome;
use crate::rollout::{self, Kept, Verdict};

/// How long a pass waits for work that is under way before it lets others have their turn.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// What was looked up.
pub struct Observed {
    pub seen: Seen,
    /// What to tell people about the database.
    pub message: String,
}

pub async fn observe(pass: &mut Pass) -> Result<Observed, Error> {
    let finalizer = pass.object.finalizers().iter().any(|name| name == ORCHESTRA_FINALIZER);
    let mut seen = Seen {
        deleting: pass.object.metadata.deletion_timestamp.is_some(),
        finalizer,
        intended: false,
        database: Database::Provisioning,
        login: false,
        migrations: Work::Pending,
        notice: Notice::Told,
        seed: Work::Pending,
        published: false,
        serving: pass.is_serving(),
    };
    if !finalizer {
        return Ok(Observed {
            seen,
            message: String::new(),
        });
    }
    let (state, message) = observe_database(pass).await?;
    seen.database = state;
    let claiming = pass.object.status.as_ref().and_then(|status| status.claiming.as_ref());
    seen.intended = pass.candidate.is_some() && pass.candidate.as_ref() == claiming;
    if seen.deleting || state != Database::Usable {
        return Ok(Observed { seen, message });
    }
    let doing = observe_work(pass, &mut seen).await?;
    seen.notice = approval::notice(pass);
    let message = doing.or_else(|| approval::message(pass)).unwrap_or(message);
    Ok(Observed { seen, message })
}

async fn observe_database(pass: &mut Pass) -> Result<(Database, String), Error> {
    let recorded = pass
        .object
        .status
        .as_ref()
        .and_then(|status| status.database_name.clone());
    let deleting = pass.object.metadata.deletion_timestamp.is_some();
    let mut found = claim::known(pass);
    if found.is_none() && (deleting || recorded.is_some()) {
        found = claim::find(pass).await?;
    }
    if let Some(database) = found {
        return Ok(claimed(pass, database));
    }
    if let Some(name) = recorded {
        return Ok((
            Database::Lost,
            format!("OrchestraDatabase {name}, which this Orchestra claimed, is gone"),
        ));
    }
    if deleting {
        return Ok((Database::Lost, String::new()));
    }
    let class = class::resolve(&pass.ctx.class, pass.object.spec.class_name.as_deref())?;
    class::admission::admit(&pass.ctx.class, &class, pass.namespace())?;
    let (supply, message) = claim::supply(pass, &class).await?;
    if matches!(supply, Supply::Provider | Supply::Member)
        && let Some(database) = claim::find(pass).await?
    {
        return Ok(claimed(pass, database));
    }
    pass.class = Some(class);
    Ok((Database::None(supply), message))
}

fn claimed(pass: &mut Pass, database: OrchestraDatabase) -> (Database, String) {
    pass.class = class::resolve(&pass.ctx.class, database.spec.class_name.as_deref()).ok();
    let state = claim::state(pass, &database);
    pass.database = Some(database);
    state
}

/// The work inside the database. Who uses it has its Secret back first. When the last status says that
/// all of it was done for this very generation and these very sources, and the Secret is as we wrote it,
/// nothing is asked.
async fn observe_work(pass: &mut Pass, seen: &mut Seen) -> Result<Option<String>, Error> {
    seen.published = seen.serving && is_untouched(pass);
    match pass.ctx.works.progress(pass.uid(), Duration::ZERO).await? {
        // The session of work that ended between two passes is not used again: preparing the login
        // opens the next one.
        WorkProgress::None | WorkProgress::Done(_) => {}
        WorkProgress::Running(kind, doing) => {
            seen.login = true;
            (seen.migrations, seen.seed) = match kind {
                WorkKind::Migrate => (Work::Running, Work::Pending),
                WorkKind::Seed => (Work::Done, Work::Running),
            };
            pass.told = doing.is_some();
            return Ok(doing);
        }
    }
    if seen.serving && !seen.published {
        seen.login = pass.handover.is_some();
        if !seen.login || !observe_secret(pass).await? {
            return Ok(None);
        }
        (seen.login, seen.published) = (false, true);
    }
    pass.review = None;
    if let Some(class) = &pass.class {
        content::check_template(&pass.object, class)?;
    }
    let source = source(pass).await.map_err(|error| undisturbed(pass, error))?;
    let rows = Rows::of(&pass.ctx.content, &pass.tenant(), pass.kept.is_some())
        .await
        .map_err(|error| undisturbed(pass, error))?;
    if let Some(kept) = pass.kept
        && let Some(step) = unless_whole(pass, kept)?
    {
        (seen.login, seen.migrations) = (true, step);
        return Ok(None);
    }
    if is_settled(pass, source.as_deref(), &rows)
        && (!drift::is_due(pass, Timestamp::now()) || drift::look(pass, source.as_deref(), &rows).await?)
    {
        *seen = Seen {
            login: true,
            migrations: Work::Done,
            seed: Work::Done,
            published: true,
            ..*seen
        };
        return Ok(None);
    }
    pass.attempt = rows.attempt(source.as_deref());
    let sources = source.as_ref().map(|source| source.digest());
    for digest in sources.into_iter().chain(pass.attempt.clone()) {
        if let Some(error) = pass.ctx.core.refusals.refusal(pass.uid(), &digest) {
            return Err(error);
        }
    }
    let Some(session) = pass.session.take() else {
        // Who waits for its server logs in once it is its turn.
        let waits = |source: &Arc<Source>| pass.ctx.rollout.turns.still_waits(pass.uid(), &source.digest());
        if pass.turn.is_none() && source.as_ref().is_some_and(waits) {
            (seen.login, seen.migrations) = (true, Work::Waiting(Reason::Queued));
        }
        return Ok(pass.restored.clone());
    };
    seen.login = true;
    if let Some(source) = &source {
        seen.migrations = observe_migrations(pass, session, source).await?;
    } else {
        pass.session = Some(session);
        seen.migrations = Work::Done;
    }
    let Some(session) = &mut pass.session else {
        return Ok(pass.restored.clone());
    };
    if !matches!(rows, Rows::None) {
        pass.seed = migrate::seeded(session).await?.map(|seeded| seeded.digest);
    }
    seen.seed = if rows.are_met_by(pass.seed.as_deref()) {
        Work::Done
    } else {
        Work::Pending
    };
    let held = seen.migrations == Work::Held && seen.serving;
    if held || (seen.migrations == Work::Done && seen.seed == Work::Done) {
        seen.published = observe_secret(pass).await?;
    }
    Ok(pass.restored.clone())
}

/// The source that the database is to have now: none while it keeps what it has.
async fn source(pass: &mut Pass) -> Result<Option<Arc<Source>>, Error> {
    pass.kept = None;
    let found = migrations(pass).await;
    let member = rollout::takes_part(&pass.object);
    let (Some(class), Some(database)) = (pass.class.as_ref().filter(|_| member), &pass.database) else {
        return found;
    };
    let source = match found {
        // What is wrong with the class's source is the class's to tell: nobody in use is touched.
        Err(error) if !error.is_passing() => {
            pass.kept = Some(Kept::Waits);
            return Ok(None);
        }
        Err(error) => return Err(error),
        Ok(None) => return Ok(None),
        Ok(Some(source)) => source,
    };
    let digest = source.digest();
    let revisions = Arc::new(Revisions::of(&pass.ctx.content, class).await?);
    if let Some(error) = pass.ctx.core.refusals.refusal(pass.uid(), &digest) {
        return Err(error);
    }
    let rolled = (class.name_any(), revisions.clone());
    if pass.turn.is_none() {
        match rollout::verdict(&pass.ctx.rollout, &pass.object, class, database, (&digest, &revisions)) {
            Verdict::Free => {}
            Verdict::Now(turn) => pass.turn = Some(turn),
            Verdict::Kept(kept) => {
                pass.kept = Some(kept);
                pass.newer = Newer::Source(digest);
                return Ok(None);
            }
        }
    }
    (pass.newer, pass.rolled) = (Newer::Nothing, Some(rolled));
    Ok(Some(source))
}

/// What an Orchestra does that keeps what it has: it goes on, when that is whole. Else it says again
/// why its migration failed, or that it waits.
fn unless_whole(pass: &Pass, kept: Kept) -> Result<Option<Work>, Error> {
    let status = pass.object.status.as_ref();
    let Some(migrations) = status.and_then(|status| status.migrations.as_ref()) else {
        return Ok(None);
    };
    if kept == Kept::Pinned || (migrations.pending == 0 && !migrations.failed) {
        return Ok(None);
    }
    let conditions = status.map(|status| status.conditions.as_slice()).unwrap_or_default();
    let same = matches!(&pass.newer, Newer::Source(digest) if *digest == migrations.source);
    let told = find(conditions, ConditionType::Stalled).filter(|_| migrations.failed && same);
    let reason = told.and_then(|told| Reason::all().find(|reason| reason.as_str() == told.reason));
    match told.zip(reason) {
        Some((told, reason)) => Err(Error::blocked(reason, &told.message)),
        None => Ok(Some(Work::Waiting(Reason::RolloutPending))),
    }
}

/// Where the migrations stand. What is pending needs a turn; who has to wait for it holds no session
/// meanwhile.
async fn observe_migrations(pass: &mut Pass, mut session: PgConnection, source: &Source) -> Result<Work, Error> {
    let options = migrating::options(pass);
    let status = migrate::pending(&mut session, source, &options)
        .await
        .map_err(Error::from);
    let status = status.inspect_err(|error| pass.end_turn(Outcome::of(Err(error))))?;
    let review = guard::review(&mut session, source, &options).await.map_err(Error::from);
    let review = review.inspect_err(|error| pass.end_turn(Outcome::of(Err(error))))?;
    let done = status.is_done();
    let mut now = drift::migration_status(pass, &mut session, source, status).await?;
    let before = pass
        .object
        .status
        .as_ref()
        .and_then(|status| status.migrations.as_ref());
    now.failed = !done && before.is_some_and(|before| before.failed && before.source == now.source);
    now.plan = review
        .as_ref()
        .and_then(|review| approval::status(&pass.object.plan_name(), review));
    let held = now.plan.is_some();
    (pass.migrations, pass.review) = (Some(now), review);
    if done || held {
        pass.ctx.rollout.turns.leave(pass.uid());
    }
    let work = if done {
        pass.end_turn(Outcome::Applied);
        Work::Done
    } else if held {
        pass.end_turn(Outcome::Held);
        Work::Held
    } else {
        take_turn(pass, &source.digest())
    };
    pass.session = Some(session).filter(|_| !matches!(work, Work::Waiting(_)));
    Ok(work)
}

/// Takes a turn for what is to be applied, unless it is there already. What a person has approved waits
/// for its place in the rollout.
fn take_turn(pass: &mut Pass, digest: &str) -> Work {
    let Some(database) = pass.database.as_ref().filter(|_| pass.turn.is_none()) else {
        return Work::Pending;
    };
    let (ctx, object) = (&pass.ctx.rollout, &pass.object);
    let turn = match (&pass.class, &pass.rolled) {
        (Some(class), Some((_, revisions))) if rollout::was_held(ctx, object, digest) => {
            match rollout::released(ctx, object, class, database, (digest, revisions)) {
                Verdict::Kept(Kept::Waits | Kept::Pinned) => return Work::Waiting(Reason::RolloutPending),
                Verdict::Now(turn) => Some(turn),
                Verdict::Free | Verdict::Kept(Kept::Queued) => None,
            }
        }
        _ => rollout::turn(ctx, object, database, digest),
    };
    pass.turn = turn;
    match pass.turn {
        Some(_) => Work::Pending,
        None => Work::Waiting(Reason::Queued),
    }
}

async fn observe_secret(pass: &mut Pass) -> Result<bool, Error> {
    if pass.secret_version.is_some() {
        return Ok(true);
    }
    let Some(handover) = &pass.handover else {
        return Ok(false);
    };
    let wanted = connection::render(&pass.object, handover);
    let found = connection::find(&namespaced(&pass.ctx.core.client, &pass.object), &pass.object, &wanted).await?;
    pass.secret_exists = found.is_some();
    let Some((secret, true)) = found else { return Ok(false) };
    pass.secret_version = secret.metadata.resource_version;
    Ok(true)
}

/// Whether the connection Secret is the very one that was written last.
fn is_untouched(pass: &Pass) -> bool {
    if pass.secret_version.is_some() {
        return true;
    }
    let name = pass.object.secret_name();
    let status = pass.object.status.as_ref();
    let written = status
        .and_then(|status| status.secret_ref.as_ref())
        .filter(|written| written.name == name);
    pass.known_secret().is_some_and(|secret| {
        written.is_some_and(|written| written.resource_version == secret.metadata.resource_version)
    })
}

fn is_settled(pass: &Pass, source: Option<&Source>, rows: &Rows) -> bool {
    let Some(status) = &pass.object.status else {
        return false;
    };
    let migrated = match (source, &status.migrations) {
        (None, _) => true,
        (Some(source), Some(migrations)) => {
            migrations.source == source.digest()
                && migrations.revision.as_deref() == source.revision()
                && migrations.pending == 0
        }
        (Some(_), None) => false,
    };
    Some(status.observed_generation) == pass.object.metadata.generation
        && status.database_name == pass.database.as_ref().map(ResourceExt::name_any)
        && is_true(&status.conditions, ConditionType::Ready)
        && is_untouched(pass)
        && migrated
        && rows.are_met_by(status.seed.as_deref())
}

/// A registry or a volume that fails, or refuses what it gave before, is no business of a tenant that is Ready.
fn undisturbed(pass: &Pass, error: Error) -> Error {
    let Error::Source(failed) = &error else {
        return error;
    };
    let settled = pass.object.status.as_ref().is_some_and(|status| {
        Some(status.observed_generation) == pass.object.metadata.generation
            && is_true(&status.conditions, ConditionType::Ready)
    });
    if settled && failed.is_outside() && !error.is_passing() {
        return Error::transient(failed.reason(), failed.to_string());
    }
    error
}

/// The migrations that apply: the Orchestra's own, or else the template's or the class's.
pub async fn migrations(pass: &Pass) -> Result<Option<Arc<Source>>, Error> {
    let Some(wanted) = migrating::wanted(pass) else {
        return Ok(None);
    };
    content::migrations(&pass.ctx.content, wanted.place, wanted.format)
        .await
        .map(Some)
}
