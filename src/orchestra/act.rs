//! Executes one step. Each has one effect, and may be interrupted and repeated at any point.

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use super::observe::Observed;
use super::plan::Step;
use super::wait::{SOON, UNWATCHED, Wait};
use super::{
    Looked, Pass, approval, carried_out, claim, direct, existing, expiry, former, former_login, idle, login, power,
    restore, revocation, rotation, status, telling, turn, work,
};
use crate::api::condition::Reason;
use crate::api::{ConnectionMode, PublishedSecret, is_abandoned};
use crate::controller::error::Error;
use crate::controller::reconcile::Next;
use crate::controller::status::{News, tell};
use crate::credentials::connection::{self, Handover};
use crate::credentials::secrets::Secrets;
use crate::postgres::{self, APPLICATION};
use crate::rollout::NoTurn;

/// How long a database that does not answer delays a deletion, so that the tenant's login can be revoked.
const REVOKE_WITHIN: SignedDuration = SignedDuration::from_mins(2);

/// Executes a step; `None` when the pass continues at once.
///
/// # Errors
/// The reason why the step could not be executed.
pub async fn act(pass: &mut Pass, step: Step, observed: Observed) -> Result<Option<Next>, Error> {
    pass.see(observed.inside.found.clone());
    turn::settle(pass, &observed);
    work::tell_of_preparation(pass, &observed);
    let done = match step {
        Step::AddFinalizer => pass.set_finalizer(true).await,
        Step::Reserve => {
            take_permit(pass).await;
            claim::reserve(pass, &observed);
            Ok(())
        }
        // Their only effect is the status, which is already written.
        Step::Intend => Ok(()),
        Step::LookForUse | Step::NoteUse | Step::WarnIdle | Step::FallAsleep => {
            look_for_use(pass, step, &observed).await
        }
        Step::Create | Step::Take => obtain(pass, step, &observed).await,
        Step::AnnounceRestore => return Box::pin(restore::announce(pass, &observed)).await,
        Step::StartRestore => return restore::start(pass, &observed).await,
        Step::ConcludeRestore => restore::conclude(pass, &observed).await,
        Step::ClearRestore => return restore::clean_up(pass).await,
        Step::EndRestore => return restore::end(pass, observed.now).await,
        Step::PrepareLogin => return prepare_login(pass, &observed).await,
        Step::TakeTurn => {
            turn::take(pass, &observed);
            Ok(())
        }
        Step::Migrate => return work::migrate(pass, &observed).await,
        Step::TellPlan => approval::tell(pass, observed.inside.review()).await,
        Step::ClearPlan => approval::clear(pass).await,
        Step::Seed => return work::seed(pass, observed).await,
        Step::Publish => return Box::pin(publish(pass, &observed)).await,
        Step::BeginRotation => rotation::begin(pass, &observed).await,
        Step::EndRotation => rotation::end(pass, &observed).await,
        Step::RevokeFormer => former_login::revoke(pass, &observed).await,
        Step::DropFormer => former_login::clean_up(pass, &observed).await,
        Step::RemoveSecret => former::remove(pass, observed.now).await,
        Step::Pause => power::pause(pass, &observed).await,
        Step::Shut => return power::shut(pass, &observed).await,
        Step::Resume => return Box::pin(power::resume(pass, &observed)).await,
        Step::Sleep => return Ok(Some(Next::Rest)),
        Step::GiveBack => Box::pin(power::give_back(pass, &observed)).await,
        Step::Rest => return Ok(Some(rest(pass, &observed))),
        Step::BeginTtl => expiry::begin(pass, &observed).await,
        Step::WarnOfExpiry => expiry::warn(pass, &observed).await,
        Step::Expire => return expiry::end(pass, &observed).await,
        Step::Revoke => return revoke(pass, &observed).await,
        Step::Release => release(pass, &observed).await,
        Step::Forget => return forget(pass, &observed).await,
        Step::Wait(wait) => return come_back(pass, wait, &observed).await,
        Step::Stop(cause) => return Ok(Some(Next::After(cause.pace()))),
    };
    done.map(|()| None)
}

/// Creates a new database, or takes one of a pool.
async fn obtain(pass: &Pass, step: Step, observed: &Observed) -> Result<(), Error> {
    if step == Step::Create {
        claim::create(pass, observed).await?;
    } else {
        claim::take(pass, observed).await?;
    }
    existing::tell_earlier(pass).await;
    Ok(())
}

/// Looks for use, or takes the step that the look of this pass leads to.
async fn look_for_use(pass: &mut Pass, step: Step, observed: &Observed) -> Result<(), Error> {
    pass.looked = match step {
        Step::LookForUse => idle::look(pass, observed).await,
        Step::WarnIdle => {
            power::warn(pass, observed).await?;
            Looked::Done
        }
        // The status is their only effect.
        _ => Looked::Done,
    };
    Ok(())
}

/// When a waiting pass is repeated.
async fn come_back(pass: &mut Pass, wait: Wait, observed: &Observed) -> Result<Option<Next>, Error> {
    if matches!(wait, Wait::Migrations | Wait::Seed) {
        return work::wait(pass, observed.database.as_ref()).await;
    }
    pass.ctx.rollout.turns.stay(pass.uid());
    let pace = restore::pace(pass, observed, wait);
    let untold = telling::untold_queue(pass).filter(|_| wait == Wait::Turn);
    Ok(Some(Next::After(untold.map_or(pace, |left| pace.min(left + SOON)))))
}

/// When a pass with nothing to do is repeated.
fn rest(pass: &Pass, observed: &Observed) -> Next {
    if pass.is_deleting() {
        return Next::Gone;
    }
    // An Orchestra that waits for its server asks again and again, or loses its place in the queue.
    if observed.inside.wanted.kept == Some(NoTurn::Queued) {
        return Next::After(UNWATCHED);
    }
    next_look(pass, observed)
}

/// Releases the claim.
async fn release(pass: &mut Pass, observed: &Observed) -> Result<(), Error> {
    end_work(pass);
    tell_of_login(pass, observed).await;
    claim::release(pass, observed).await
}

/// Takes the finalizer off.
async fn forget(pass: &mut Pass, observed: &Observed) -> Result<Option<Next>, Error> {
    end_work(pass);
    expiry::tell_end(pass, observed).await;
    pass.set_finalizer(false).await?;
    Ok(Some(Next::Gone))
}

/// A source that cannot be read, and whose return no watch reports, is looked up again.
fn next_look(pass: &Pass, observed: &Observed) -> Next {
    let (backoff, key) = (&pass.ctx.core.backoff, source_key(pass));
    let mut unavailable = observed.inside.wanted.unavailable.iter().flatten();
    if unavailable.any(|source| source.unwatched) {
        return Next::After(backoff.next(&key));
    }
    if let Some(wait) = pass.kept_login.into_iter().chain(pass.kept_role).min() {
        return Next::After(wait);
    }
    backoff.reset(&key);
    let resync = pass.ctx.core.settings.resync;
    let due = rotation::due_in(pass.object.status.as_ref(), observed.now).map(|wait| wait + SOON);
    let later = pass.ctx.ungrouped.wait(pass.uid()).map(|wait| wait.max(UNWATCHED));
    let next = due
        .into_iter()
        .chain(idle::next_look(pass, observed))
        .chain(later)
        .min();
    next.filter(|wait| *wait < resync).map_or(Next::Rest, Next::After)
}

/// The key of attempts to read the sources of an Orchestra.
fn source_key(pass: &Pass) -> String {
    format!("source/{}", pass.uid())
}

/// Publishes an event about a login that is not revoked, because the database is paused or cannot be used.
async fn tell_of_login(pass: &Pass, observed: &Observed) {
    let Some(database) = &observed.database else {
        return;
    };
    let used = pass.is_serving() || database.is_paused();
    if pass.revoked || !used || database.is_lost() {
        return;
    }
    let (base, name) = (postgres::role_name(pass.uid()), database.name_any());
    let role = login::published_role(pass, database);
    let cure = format!("ALTER ROLE … NOLOGIN there for {role} and every role named {base}_<n>, to end it before");
    let (reason, note) = if database.is_paused() || power::sleeps_on(pass, observed, database) {
        let note = format!(
            "the project of database {name} is paused, so the tenant's login {role} was not revoked. If somebody restores \
             the project, the operator revokes it; or run {cure}"
        );
        (Reason::Paused, note)
    } else {
        let note = format!(
            "database {name} cannot be used now, so the tenant's login {role} was not revoked. The operator revokes it when the \
                     database answers; or run {cure}"
        );
        (database.stalled_reason().unwrap_or(Reason::DatabaseUnreachable), note)
    };
    tell(&pass.ctx.core, &pass.object, &News::warning(reason, note)).await;
}

/// Ends running work for an Orchestra that is being deleted.
fn end_work(pass: &Pass) {
    pass.ctx.works.stop(pass.uid());
    pass.ctx.core.refusals.forget(pass.uid());
    pass.ctx.core.backoff.reset(&source_key(pass));
    former_login::forget(pass);
    pass.ctx.rollout.turns.forget(pass.uid());
    pass.ctx.looks.forget(pass.uid());
    pass.ctx.ungrouped.forget(pass.uid());
}

/// Takes a permit from the first write of a claim on, so that the claims that came first are finished first.
async fn take_permit(pass: &mut Pass) {
    if pass.permit.is_none() {
        pass.permit = pass.ctx.pass_limit.take().await;
    }
}

async fn prepare_login(pass: &mut Pass, observed: &Observed) -> Result<Option<Next>, Error> {
    let Some(database) = &observed.database else {
        return Ok(Some(Next::After(UNWATCHED)));
    };
    let (ctx, name) = (pass.ctx.clone(), database.name_any());
    if let Some(wait) = ctx.database.logins.wait(&name, ctx.core.settings.login_spacing) {
        return Ok(Some(Next::After(wait)));
    }
    take_permit(pass).await;
    let prepared = login::within(
        login::LOGIN_LIMIT,
        login::prepare(pass, database, observed.class.as_deref(), observed.now),
    )
    .await;
    pass.access.open(prepared?);
    Ok(None)
}

/// Publishes the login only after it has worked through the address that is published.
async fn publish(pass: &mut Pass, observed: &Observed) -> Result<Option<Next>, Error> {
    let (Some(way_in), Some(database)) = (pass.access.way_in(), &observed.database) else {
        return Ok(Some(Next::After(UNWATCHED)));
    };
    let (name, handover) = (database.name_any(), &way_in.handover);
    let logins = &pass.ctx.database.logins;
    if let Some(wait) = logins.wait(&name, pass.ctx.core.settings.login_spacing) {
        return Ok(Some(Next::After(wait)));
    }
    let mode = pass.object.spec.connection.mode;
    let proven = prove(handover, mode).await;
    // The tenant's password is wrong then, not the owner's.
    let proven = proven.inspect_err(|_| logins.refused(&name, false));
    proven.map_err(|error| direct::unreachable(handover, mode, error))?;
    logins.forget(&name);
    let handover = handover.clone();
    work::owe_preparation(pass, observed.inside.secret.exists);
    carried_out::remember(pass, &name).await?;
    let published = write_secret(pass, &handover, observed.inside.secret.exists).await?;
    pass.ctx
        .health
        .publish(&pass.object, database, &published, handover.primary(mode));
    note_published(pass, published, observed.now).await?;
    Ok(None)
}

/// Writes the connection Secret; `exists`: there is one of ours.
pub async fn write_secret(pass: &Pass, handover: &Handover, exists: bool) -> Result<PublishedSecret, Error> {
    let object = carried_out::connection(pass);
    let wanted = connection::render(&object, handover)?;
    let secrets = Secrets::connections(&pass.ctx.core, pass.namespace());
    let secret = connection::publish(&secrets, &object, &wanted, exists).await?;
    tracing::info!(secret = secret.name_any(), "the connection Secret is published");
    Ok(PublishedSecret {
        name: object.secret_name(),
        resource_version: secret.metadata.resource_version,
        keys: handover.keys(),
    })
}

/// Notes the connection Secret that was written.
pub async fn note_published(pass: &mut Pass, published: PublishedSecret, now: Timestamp) -> Result<(), Error> {
    pass.set_published(Some(published));
    if pass.is_serving() {
        // A later step of the pass may fail, and the Secret would be compared again and again.
        status::note_secret(pass, now).await?;
    }
    Ok(())
}

/// Logs in by each address that is published.
async fn prove(handover: &Handover, mode: ConnectionMode) -> Result<(), postgres::Error> {
    let login = handover.primary(mode);
    if !handover.is_pooled(mode) {
        return postgres::connect(login, APPLICATION).await.map(drop);
    }
    postgres::connect_through_transaction_pooler(login, APPLICATION).await?;
    postgres::connect(&handover.session, APPLICATION).await.map(drop)
}

/// Revokes the tenant's login before the claim is released. A database that does not answer delays a deletion only for a
/// short time, and one whose owner's login is refused does not delay it: it is not given to another tenant, and the
/// operator revokes the login later.
async fn revoke(pass: &mut Pass, observed: &Observed) -> Result<Option<Next>, Error> {
    end_work(pass);
    let Some(database) = &observed.database else {
        pass.revoked = true;
        return Ok(None);
    };
    let (ctx, name) = (pass.ctx.clone(), database.name_any());
    let late = is_late(pass, observed.now) || is_abandoned(&pass.object);
    if let Some(wait) = ctx.database.logins.wait(&name, ctx.core.settings.login_spacing)
        && !late
    {
        return Ok(Some(Next::After(wait)));
    }
    let revoked = login::within(login::LOGIN_LIMIT, revocation::revoke(pass, database)).await;
    pass.logins_end = matches!(revoked, Ok(true));
    if let Err(error) = revoked {
        if error.is_passing() && !late {
            return Err(error);
        }
        let role = postgres::role_name(pass.uid());
        // The objects that the login owns take long to drop, or are in use: shutting the login needs neither.
        let shut = login::within(login::LOGIN_LIMIT, revocation::shut(pass, database))
            .await
            .is_ok_and(|ended| ended);
        pass.logins_end = shut;
        let note = if shut {
            format!("database {name}: {}", postgres::undropped(&role, &error))
        } else {
            format!(
                "the tenant's login was not revoked ({error}): the operator revokes it when database {name} answers. To end it \
                 before, run ALTER ROLE … NOLOGIN on its server for {role} and every role named {role}_<n>"
            )
        };
        tracing::warn!(%error, database = name, role, "the tenant's login was not revoked");
        tell(&ctx.core, &pass.object, &News::warning(error.reason(), note)).await;
    }
    pass.revoked = true;
    Ok(None)
}

/// Whether the deletion was asked for long enough ago.
pub fn is_late(pass: &Pass, now: Timestamp) -> bool {
    let asked = pass.object.metadata.deletion_timestamp.as_ref();
    asked.is_some_and(|asked| now.duration_since(asked.0) > REVOKE_WITHIN)
}
