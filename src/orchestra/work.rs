//! Migrations and seeds, applied in the background: a long script holds up no other Orchestra.

use std::time::Duration;

use kube::Resource as _;
use kube::runtime::events::EventType;
use kube::runtime::reflector::ObjectRef;
use sqlx::postgres::PgConnection;

use super::migrating;
use super::observe::Observed;
use super::wait::{SOON, Wait};
use super::{Pass, login};
use crate::api::condition::Reason;
use crate::controller::background::{WorkKind, WorkProgress};
use crate::controller::error::Error;
use crate::controller::reconcile::Next;
use crate::controller::write::publish;
use crate::credentials::tenant;
use crate::migrate::{self, Watch};
use crate::postgres;
use crate::rollout;
use crate::rollout::turns::Outcome;

/// How long a pass waits for work that is under way before others are reconciled.
const PATIENCE: Duration = Duration::from_secs(2);

/// Begins to apply the pending migrations.
pub async fn migrate(pass: &mut Pass, observed: &Observed) -> Result<Option<Next>, Error> {
    let wanted = &observed.inside.wanted;
    let (Some(session), Some(source)) = (pass.session.take(), wanted.source.clone()) else {
        return Ok(None);
    };
    let options = migrating::options(pass, &observed.tenant(&pass.object));
    let (watch, notes) = Watch::with_notes();
    let subject = pass.object.object_ref(&());
    tokio::spawn(migrating::publish_notes(pass.ctx.core.clone(), subject.clone(), notes));
    let run = watch.clone();
    let (ctx, uid) = (pass.ctx.clone(), pass.uid().to_string());
    let (role, rights) = (
        tenant::role_name(&uid),
        login::rights(&pass.object, observed.class.as_deref()),
    );
    let turn = pass.turn.take();
    let keys = pass
        .way_in
        .as_ref()
        .is_some_and(|way_in| way_in.handover.address.is_some());
    // Who says what is exposed needs no hint.
    let hints = keys && rights.expose_new_tables.is_none();
    let work = async move {
        let apply = async {
            let tell = &mut |event: migrate::RunEvent<'_>| run.tell(&event);
            let (mut session, status) = migrate::apply(session, &source, &options, tell).await?;
            // Default privileges cover what the owner creates; this covers what a script gave away.
            postgres::grant_existing(&mut session, &role, &rights).await?;
            if hints && let Some(note) = postgres::unexposed(&mut session).await? {
                publish(
                    &ctx.core.recorder,
                    &subject,
                    EventType::Normal,
                    Reason::NothingExposed,
                    &note,
                )
                .await;
            }
            Ok::<_, Error>((session, status))
        };
        let outcome = apply.await;
        run.close();
        if let Err(error) = &outcome {
            ctx.core.refusals.refuse(&uid, &source.digest(), error);
        }
        if let Some((turn, rolled)) = turn {
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
    wait(pass, false).await
}

/// Begins to apply the seed.
pub async fn seed(pass: &mut Pass, observed: &Observed) -> Result<Option<Next>, Error> {
    let seed = crate::content::seed_of(&pass.ctx.content, &observed.tenant(&pass.object)).await?;
    let (Some(session), Some(seed)) = (pass.session.take(), seed) else {
        return Ok(None);
    };
    let limit = pass.ctx.core.settings.migration_limit;
    let (ctx, uid) = (pass.ctx.clone(), pass.uid().to_string());
    let attempt = observed.inside.attempt().unwrap_or_default();
    let format = migrating::format(pass, observed);
    let work = async move {
        let outcome = migrate::seed(session, &seed.source, &seed.variables, seed.policy, format, limit).await;
        let outcome = outcome.map_err(Error::from);
        let (session, _) = outcome.inspect_err(|error| ctx.core.refusals.refuse(&uid, &attempt, error))?;
        Ok(session)
    };
    start(pass, WorkKind::Seed, Watch::default(), work);
    wait(pass, false).await
}

fn start(
    pass: &mut Pass,
    kind: WorkKind,
    watch: Watch,
    work: impl Future<Output = Result<PgConnection, Error>> + Send + 'static,
) {
    // What the work changes is looked at anew.
    pass.found = None;
    let object = ObjectRef::new(pass.name()).within(pass.namespace());
    pass.ctx.works.start((pass.uid(), object), kind, watch, work);
}

/// Waits a moment; what takes longer brings the Orchestra back when it ends.
///
/// `told`: the status says already what the work does.
pub async fn wait(pass: &mut Pass, told: bool) -> Result<Option<Next>, Error> {
    pass.found = None;
    match pass.ctx.works.progress(pass.uid(), PATIENCE).await? {
        // What it does is told by the next pass, and then from time to time.
        WorkProgress::Running(_, doing) if doing.is_some() && !told => Ok(Some(Next::After(SOON))),
        WorkProgress::Running(..) => Ok(Some(Next::After(Wait::Migrations.pace()))),
        WorkProgress::Done(session) => {
            // Work that ended between two passes leaves a session without the tenant's login beside it.
            pass.session = Some(session).filter(|_| pass.way_in.is_some());
            Ok(None)
        }
        WorkProgress::None => Ok(None),
    }
}
