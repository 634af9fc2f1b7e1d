//! Carries out one step. Each has one effect, and may be cut off and repeated at any point.

use std::time::Duration;

use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;

use super::migrating::{self, Teller};
use super::observe::PATIENCE;
use super::plan::Step;
use super::{Pass, approval, claim, login, observe, status};
use crate::api::ORCHESTRA_FINALIZER;
use crate::api::condition::Reason;
use crate::content;
use crate::controller::background::{WorkKind, WorkProgress};
use crate::controller::backoff::SLOWEST;
use crate::controller::error::Error;
use crate::controller::reconcile::Next;
use crate::controller::write::{namespaced, set_finalizer};
use crate::credentials::connection;
use crate::credentials::tenant;
use crate::migrate::{self, Watch};
use crate::postgres;
use crate::postgres::APPLICATION;
use crate::rollout::turns::Outcome;
use crate::rollout::{self, Kept};

/// Pace at which the status tells how work goes that takes long.
const TELLING: Duration = Duration::from_secs(10);

/// As good as at once.
const SOON: Duration = Duration::from_millis(50);

/// A watch tells of what is waited for; this is for what it does not tell.
const UNWATCHED: Duration = Duration::from_secs(30);

/// Carries out a step; `None` when the pass goes on at once.
pub async fn act(pass: &mut Pass, step: Step) -> Result<Option<Next>, Error> {
    match step {
        Step::AddFinalizer => finalizer(pass, true).await.map(|()| None),
        // The status that says so is its effect, and is written by now.
        Step::Intend => Ok(None),
        Step::Create => claim::create(pass).await.map(|()| None),
        Step::Take => claim::take(pass).await.map(|()| None),
        Step::PrepareLogin => prepare(pass).await,
        Step::Migrate => migrate(pass).await,
        Step::TellPlan => approval::tell(pass).await.map(|()| None),
        Step::ClearPlan => approval::clear(pass).await.map(|()| None),
        Step::Seed => seed(pass).await,
        Step::Publish => publish(pass).await,
        Step::Rest if pass.object.metadata.deletion_timestamp.is_some() => Ok(Some(Next::Gone)),
        // Whoever waits for its server says so again and again, or loses its place.
        Step::Rest if pass.kept == Some(Kept::Queued) => Ok(Some(Next::After(UNWATCHED))),
        Step::Rest => Ok(Some(Next::Rest)),
        Step::Release => {
            pass.ctx.works.stop(pass.uid());
            pass.ctx.core.refusals.forget(pass.uid());
            pass.ctx.rollout.turns.forget(pass.uid());
            claim::release(pass).await.map(|()| None)
        }
        // The end of a deletion is an event that shared watches do not pass on.
        Step::AwaitRelease => Ok(Some(Next::After(Duration::from_millis(500)))),
        Step::Forget => {
            finalizer(pass, false).await?;
            Ok(Some(Next::Gone))
        }
        Step::Wait(Reason::Migrating | Reason::Seeding) => wait(pass).await,
        // The annotation and the source are watched; only another tool's work is not.
        Step::Wait(Reason::ApprovalPending) => Ok(Some(Next::After(SLOWEST))),
        // Asking a budget again costs no request.
        Step::AwaitDatabase | Step::Wait(_) | Step::Stop(Reason::BudgetExceeded | Reason::ProjectLimitReached) => {
            Ok(Some(Next::After(UNWATCHED)))
        }
        Step::Stop(_) => Ok(Some(Next::After(SLOWEST))),
    }
}

async fn finalizer(pass: &mut Pass, present: bool) -> Result<(), Error> {
    if let Some(object) = set_finalizer(&pass.ctx.core, &pass.object, ORCHESTRA_FINALIZER, present).await? {
        pass.object = object;
    }
    Ok(())
}

async fn prepare(pass: &mut Pass) -> Result<Option<Next>, Error> {
    let Some(database) = pass.database.clone() else {
        return Ok(Some(Next::After(UNWATCHED)));
    };
    if let Some(wait) = pass
        .ctx
        .database
        .logins
        .wait(pass.uid(), pass.ctx.core.settings.login_spacing)
    {
        return Ok(Some(Next::After(wait)));
    }
    match login::prepare(pass, &database).await {
        Ok(prepared) => {
            pass.session = Some(prepared.session);
            pass.owner = Some(prepared.owner);
            pass.handover = Some(prepared.handover);
        }
        Err(error) => {
            if error.reason() == Reason::LoginFailed {
                pass.ctx.database.logins.refused(pass.uid(), false);
            }
            return Err(error);
        }
    }
    Ok(None)
}

async fn migrate(pass: &mut Pass) -> Result<Option<Next>, Error> {
    let (Some(session), Some(source)) = (pass.session.take(), observe::migrations(pass).await?) else {
        return Ok(None);
    };
    let (options, watch) = (migrating::options(pass), Watch::default());
    let teller = Teller::new(pass, watch.clone());
    let (ctx, uid) = (pass.ctx.clone(), pass.uid().to_string());
    let role = tenant::role_name(&uid);
    let (turn, rolled) = (pass.turn.take(), pass.rolled.clone());
    let work = async move {
        let digest = source.digest();
        let work = async {
            let tell = &mut |progress: migrate::Progress<'_>| teller.tell(&progress);
            let (mut session, status) = migrate::apply(session, &source, &options, tell).await?;
            // Default privileges cover what the owner creates; this covers what a script gave away.
            postgres::grant_existing(&mut session, &role).await?;
            Ok::<_, Error>((session, status))
        };
        let outcome = work.await;
        if let Err(error) = &outcome {
            ctx.core.refusals.refuse(&uid, &digest, error);
        }
        if let Some(turn) = turn {
            let ended = match &outcome {
                // Something has changed since it was approved: the next pass looks at it.
                Ok((_, status)) if !status.is_done() => Outcome::Cut,
                other => Outcome::of(other.as_ref().map(drop)),
            };
            rollout::end(&ctx.rollout, turn, rolled.as_ref(), ended);
        }
        outcome.map(|(session, _)| session)
    };
    start(pass, WorkKind::Migrate, watch, work);
    wait(pass).await
}

async fn seed(pass: &mut Pass) -> Result<Option<Next>, Error> {
    let (Some(session), Some(seed)) = (
        pass.session.take(),
        content::seed_of(&pass.ctx.content, &pass.tenant()).await?,
    ) else {
        return Ok(None);
    };
    let limit = pass.ctx.core.settings.migration_limit;
    let (ctx, uid) = (pass.ctx.clone(), pass.uid().to_string());
    let attempt = pass.attempt.clone().unwrap_or_default();
    let format = migrating::format(pass);
    let work = async move {
        let outcome = migrate::seed(session, &seed.source, &seed.variables, seed.policy, format, limit)
            .await
            .map_err(Error::from);
        let (session, _) = outcome.inspect_err(|error| ctx.core.refusals.refuse(&uid, &attempt, error))?;
        Ok(session)
    };
    start(pass, WorkKind::Seed, Watch::default(), work);
    wait(pass).await
}

fn start(
    pass: &Pass,
    kind: WorkKind,
    watch: Watch,
    work: impl Future<Output = Result<sqlx::postgres::PgConnection, Error>> + Send + 'static,
) {
    let object = ObjectRef::new(pass.name()).within(pass.namespace());
    pass.ctx.works.start((pass.uid(), object), kind, watch, work);
}

/// Waits a moment; what takes longer brings the Orchestra back when it ends.
async fn wait(pass: &mut Pass) -> Result<Option<Next>, Error> {
    match pass.ctx.works.progress(pass.uid(), PATIENCE).await? {
        // What it does is told by the next pass, and then from time to time.
        WorkProgress::Running(_, doing) if doing.is_some() && !pass.told => Ok(Some(Next::After(SOON))),
        WorkProgress::Running(..) => Ok(Some(Next::After(TELLING))),
        WorkProgress::Done(session) => {
            pass.session = Some(session);
            Ok(None)
        }
        WorkProgress::None => Ok(None),
    }
}

/// Publishes the login only after it has worked, through the very address that is published.
async fn publish(pass: &mut Pass) -> Result<Option<Next>, Error> {
    let Some(handover) = &pass.handover else {
        return Ok(Some(Next::After(UNWATCHED)));
    };
    if let Some(wait) = pass
        .ctx
        .database
        .logins
        .wait(pass.uid(), pass.ctx.core.settings.login_spacing)
    {
        return Ok(Some(Next::After(wait)));
    }
    let mode = pass.object.spec.connection.mode;
    let login = handover.primary(mode);
    let proven = if handover.is_pooled(mode) {
        postgres::connect_through_transaction_pooler(login, APPLICATION).await
    } else {
        postgres::connect(login, APPLICATION).await
    };
    if let Err(error) = proven {
        pass.ctx.database.logins.refused(pass.uid(), error.is_wrong_password());
        return Err(error.into());
    }
    pass.ctx.database.logins.forget(pass.uid());
    let wanted = connection::render(&pass.object, handover);
    let api = namespaced(&pass.ctx.core.client, &pass.object);
    let secret = connection::publish(&api, &wanted, pass.secret_exists).await?;
    tracing::info!(secret = secret.name_any(), "the connection Secret is published");
    pass.secret_version = secret.metadata.resource_version;
    if pass.is_serving() {
        // What the pass goes on to do may fail, and would have the Secret looked at again and again.
        status::note_secret(pass).await?;
    }
    Ok(None)
}
