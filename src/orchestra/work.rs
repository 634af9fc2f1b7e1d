//! Migrations and seeds, applied in the background: a long script delays no other Orchestra.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource as _, ResourceExt};
use sqlx::postgres::PgConnection;
use tracing::Instrument as _;

use super::access::WorkLeft;
use super::migrating;
use super::observe::Observed;
use super::wait::{SOON, TELLING, Wait};
use super::{Pass, login, reach, turn};
use crate::api::OrchestraDatabase;
use crate::api::condition::Reason;
use crate::api::retry_wish;
use crate::content::SeedRows;
use crate::controller::Core;
use crate::controller::background::{PATIENCE, WorkKind, WorkProgress};
use crate::controller::error::{Error, caught};
use crate::controller::reconcile::Next;
use crate::controller::status::{News, tell_of};
use crate::credentials::rights;
use crate::migrate::{self, Options, SeedOutcome, Watch};
use crate::postgres;
use crate::rollout;
use crate::rollout::turns::TurnOutcome;
use crate::telemetry::traces::{self, Trace};
use crate::text;

/// The interval of passes until the status has reported running work.
const UNTOLD: Duration = Duration::from_secs(1);

/// Begins to apply the pending migrations.
pub async fn migrate(pass: &mut Pass, observed: &Observed) -> Result<Option<Next>, Error> {
    let wanted = &observed.inside.wanted;
    let (Some(session), Some(source)) = (pass.access.take_session(), wanted.source.clone()) else {
        return Ok(None);
    };
    let options = Options {
        login: migrating::second_login(pass, observed.database.as_ref()),
        ..migrating::options(pass, &observed.tenant(&pass.object))
    };
    let (watch, notes) = Watch::with_notes();
    let subject = pass.object.object_ref(&());
    tokio::spawn(migrating::publish_notes(pass.ctx.core.clone(), subject.clone(), notes).in_current_span());
    let run = watch.clone();
    let (ctx, uid) = (pass.ctx.clone(), pass.uid().to_string());
    let wish = retry_wish(&pass.object);
    let role = postgres::role_name(&uid);
    let database = observed.database.as_ref();
    let published = database.map_or_else(|| role.clone(), |database| login::published_role(pass, database));
    let rights = rights::of(&pass.object, observed.class.as_deref());
    let turn = turn::hand_over(pass);
    let hints = reach::hints(pass, &rights);
    let work = async move {
        let apply = async {
            let tell = &mut |event: migrate::RunEvent<'_>| run.tell(&event);
            let login = options.login.as_ref().map(|counted| &counted.login);
            let apply = async |session| migrate::apply(session, &source, &options, tell).await;
            let (mut session, status) = migrate::supervised(session, login, apply).await?;
            // Default privileges cover what the owner creates; this covers objects that a script gave to other roles.
            postgres::grant_existing(&mut session, &role, &rights).await?;
            reach::tell(&ctx.core, &subject, &mut session, &published, hints).await?;
            Ok::<_, Error>((session, status))
        };
        let outcome = caught(Box::pin(apply)).await.map_err(|error| error.of_run(&run));
        run.close();
        if let Err(error) = &outcome {
            ctx.core.refusals.refuse(&uid, (&source.digest(), &wish), error);
        }
        if let Some((turn, rolled)) = turn {
            let ended = match &outcome {
                // Something has changed since it was approved: the next pass looks at it.
                Ok((_, status)) if !status.is_done() => TurnOutcome::Cut,
                other => TurnOutcome::of(other.as_ref().map(drop)),
            };
            rollout::end(&ctx.rollout, turn, rolled.as_ref(), ended);
        }
        outcome.map(|(session, _)| session)
    };
    start(pass, WorkKind::Migrate, watch, Box::pin(work));
    wait(pass, observed.database.as_ref()).await
}

/// Begins to apply the seed.
pub async fn seed(pass: &mut Pass, mut observed: Observed) -> Result<Option<Next>, Error> {
    let attempt = observed.inside.attempt().unwrap_or_default();
    let (Some(session), Some(SeedRows::Wanted(seed))) =
        (pass.access.take_session(), observed.inside.wanted.rows.take())
    else {
        return Ok(None);
    };
    let limit = pass.ctx.core.settings.migration_limit;
    let (ctx, uid) = (pass.ctx.clone(), pass.uid().to_string());
    let wish = retry_wish(&pass.object);
    let format = migrating::format(pass, &observed);
    let subject = pass.object.object_ref(&());
    let login = pass.access.way_in().map(|way_in| way_in.owner.clone());
    let work = async move {
        let run =
            async |session| migrate::seed(session, &seed.source, &seed.variables, seed.policy, format, limit).await;
        let outcome = migrate::supervised(session, login.as_ref(), run).await;
        let outcome = outcome.map_err(Error::from);
        let refused = |error: &Error| ctx.core.refusals.refuse(&uid, (&attempt, &wish), error);
        let (mut session, seeded) = outcome.inspect_err(refused)?;
        if seeded == SeedOutcome::Applied {
            tell_of_sequences(&ctx.core, &subject, &mut session).await?;
        }
        Ok(session)
    };
    start(pass, WorkKind::Seed, Watch::default(), Box::pin(work));
    wait(pass, observed.database.as_ref()).await
}

/// Notes whether [`tell_of_preparation`] is to come, when the connection Secret is written: it is the first one.
pub fn owe_preparation(pass: &mut Pass, secret_exists: bool) {
    pass.untold = !pass.is_serving() && !secret_exists;
}

/// Sends the events after migrations and a seed that the pool of the database ran before the claim: there was no Orchestra
/// to publish them for. These lookups use the session, and wait until earlier claims have been met.
pub fn tell_of_preparation(pass: &mut Pass, observed: &Observed) {
    // The status already says that the login is published.
    if !std::mem::take(&mut pass.untold) {
        return;
    }
    let status = observed.database.as_ref().and_then(|database| database.status.as_ref());
    let was_prepared = status.is_some_and(|status| status.template.is_some() || status.prepared.is_some());
    let rights = rights::of(&pass.object, observed.class.as_deref());
    let hints = reach::hints(pass, &rights);
    let (ctx, subject) = (pass.ctx.clone(), pass.object.object_ref(&()));
    let database = observed.database.as_ref().filter(|_| was_prepared);
    let Some((database, mut session)) = database.and_then(|database| Some((database, pass.access.take_session()?)))
    else {
        return;
    };
    let role = login::published_role(pass, database);
    let work = async move {
        let _permit = ctx.pass_limit.take().await;
        let told = login::within(login::LOGIN_LIMIT, async {
            reach::tell(&ctx.core, &subject, &mut session, &role, hints).await?;
            tell_of_sequences(&ctx.core, &subject, &mut session).await
        });
        if let Err(error) = told.await {
            tracing::debug!(%error, "cannot publish the warnings of the pool's preparation");
        }
    };
    tokio::spawn(work.in_current_span());
}

/// Reports sequences whose next number is already taken by rows with ids of their own: the next row without an id would
/// fail.
async fn tell_of_sequences(core: &Core, subject: &ObjectReference, session: &mut PgConnection) -> Result<(), Error> {
    let behind = migrate::sequences_behind(session).await?;
    if behind.is_empty() {
        return Ok(());
    }
    let named: Vec<_> = behind.iter().map(ToString::to_string).collect();
    let note = format!(
        "the next ids of these sequences are already used by rows: add setval to the end of the seed for {}",
        text::names(&named, 2, named.len())
    );
    tell_of(core, subject, &News::warning(Reason::SequenceBehind, note)).await;
    Ok(())
}

fn start(
    pass: &mut Pass,
    kind: WorkKind,
    watch: Watch,
    work: impl Future<Output = Result<PgConnection, Error>> + Send + 'static,
) {
    // The work changes the database: the last look no longer holds.
    pass.see(None);
    let object = ObjectRef::new(pass.name()).within(pass.namespace());
    let name = match kind {
        WorkKind::Migrate => "migrations",
        WorkKind::Seed => "seed",
        WorkKind::Probe => "probe",
        WorkKind::Reset => "reset",
    };
    let logins = pass.access.logins().cloned();
    let work = async {
        let session = work.await.inspect_err(|error| traces::fail(error.reason()))?;
        Ok(WorkLeft { session, logins })
    };
    let work = pass.ctx.core.traces.clone().work(name, Trace::of(&pass.object), work);
    pass.ctx.works.start((pass.uid(), object), kind, watch, work);
}

/// Waits a moment; longer work triggers the Orchestra when it ends. The next pass then need not read the
/// Secret of the tenant's logins again while nobody has changed it.
pub async fn wait(pass: &mut Pass, database: Option<&OrchestraDatabase>) -> Result<Option<Next>, Error> {
    pass.see(None);
    let works = &pass.ctx.works;
    match works.progress(pass.uid(), PATIENCE).await? {
        // The next pass reports the progress of the work, and later passes do so from time to time.
        WorkProgress::Running(..) if works.is_to_be_told(pass.uid(), TELLING) => Ok(Some(Next::After(SOON))),
        WorkProgress::Running(..) if !works.was_told(pass.uid()) => Ok(Some(Next::After(UNTOLD))),
        WorkProgress::Running(..) => Ok(Some(Next::After(Wait::Migrations.pace()))),
        WorkProgress::Done(left) => {
            let name = database.map(ResourceExt::name_any);
            pass.access.take_over(&pass.ctx.core, name.as_deref(), left);
            Ok(None)
        }
        WorkProgress::None => Ok(None),
    }
}
