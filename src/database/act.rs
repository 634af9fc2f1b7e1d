//! Executes one step. Each step has one effect, and may be interrupted and repeated at any point.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::observe::{Observed, too_early};
use super::plan::Step;
use super::published_keys::PublishedKeys;
use super::{
    Pass, adopted, create, deadline, entry, final_backup, former, grace, identity, key_rotation, keys, leaving, power,
    provider_backups, region, status,
};
use crate::api::ProjectStatus;
use crate::api::condition::Reason;
use crate::controller::backoff::SLOWEST;
use crate::controller::error::Error;
use crate::controller::reconcile::Next;
use crate::credentials::{owner, password};
use crate::supabase::Account;
use crate::supabase::health::{Service, health_ready};
use crate::supabase::pooler::PoolerEndpoint;

/// How many times slower a project past its deadline is polled.
const LATE: u32 = 12;

/// The wait before the owner's Secret is read again, when it has no login although the watch has shown one.
const UNSTORED: Duration = Duration::from_millis(50);

/// Services that every tenant uses.
const SERVICES: [Service; 2] = [Service::Db, Service::Pooler];

/// Executes a step; `None` when the next step follows at once.
#[allow(clippy::too_many_lines, reason = "one line for each step")]
pub async fn act(pass: &mut Pass, step: Step, mut observed: Observed) -> Result<Option<Next>, Error> {
    let observed = &mut observed;
    let poll = Some(Next::After(pace(pass, observed)));
    if matches!(step, Step::DecideReset | Step::DeleteSelf | Step::Destroy) {
        final_backup::tell_waived(pass, observed).await;
    }
    match step {
        Step::AddFinalizer => {
            pass.set_finalizer(true).await?;
            Ok(None)
        }
        Step::StorePassword => store_password(pass).await,
        Step::Announce => create::announce(pass, account(observed)?, observed).await,
        Step::Create => create::create(pass, account(observed)?, observed).await,
        Step::Record => record(pass, observed).await,
        Step::AwaitOutcome => Ok(Some(create::await_outcome(pass, observed.now))),
        Step::TellRefusal => create::refused_meanwhile(pass, account(observed)?).map_or(Ok(poll), Err),
        Step::AwaitHealthy => {
            let early = too_early(pass, account(observed)?, observed.now);
            Ok(Some(Next::After(pace(pass, observed).max(early))))
        }
        Step::AwaitGone | Step::AwaitRestore | Step::AwaitPause | Step::AwaitRequest => Ok(poll),
        Step::Replace => replace(pass, observed).await,
        Step::Renew => renew(pass, observed).await,
        Step::Pause | Step::Restore => {
            let reference = reference(pass, observed)?.to_owned();
            power::change(pass, step, observed, (account(observed)?, &reference)).await
        }
        Step::Connect => connect(pass, observed).await,
        Step::Probe => probe(pass, observed).await,
        Step::ResetPassword => reset_password(pass, observed).await,
        Step::ReadKeys => read_keys(pass, observed).await,
        // The pool checks the entry again, and its result triggers the database.
        Step::AwaitEntry { .. } => Ok(Some(Next::Rest)),
        Step::MakeFinalBackup => final_backup::make(pass, observed).await.map(|()| None),
        Step::DecideReset => entry::decide(pass, observed).await.map(|()| None),
        Step::Reset => entry::drop_everything(pass).await,
        Step::BeginPassword => super::password::begin(pass).await,
        Step::ChangePassword => {
            let reference = reference(pass, observed)?.to_owned();
            super::password::change(pass, observed.now, (account(observed)?, &reference)).await
        }
        Step::RevokeLogins => former::revoke(pass).await,
        Step::RotateKeys(work) => {
            let reference = reference(pass, observed)?.to_owned();
            let project = (account(observed)?, &*reference);
            key_rotation::act(pass, (work, observed.facts.claim), observed.now, project).await?;
            Ok(None)
        }
        // A paused project must also be destroyed in time.
        Step::Rest | Step::Sleep => {
            come_to_rest(pass, step, observed).await?;
            let keys = key_rotation::due_in(pass, observed.facts.claim, observed.now).filter(|_| step == Step::Rest);
            let wait = observed.wait.into_iter().chain(pass.again).chain(keys).min();
            Ok(Some(wait.map_or(Next::Rest, Next::After)))
        }
        Step::Schedule => grace::schedule(pass).await.map(|()| None),
        Step::Hold => {
            come_to_rest(pass, step, observed).await?;
            Ok(Some(Next::After(SLOWEST)))
        }
        // A person may fix it at the provider, which the operator does not watch.
        Step::Stop(_) | Step::RunOn | Step::AwaitFinalBackup => {
            Ok(Some(Next::After(pass.ctx.core.settings.poll_interval * LATE)))
        }
        Step::DeleteSelf => delete_self(pass).await,
        Step::Destroy => destroy(pass, observed).await,
        Step::Forget => leaving::forget(pass, observed).await,
        Step::Abandon => leaving::abandon(pass).await,
    }
}

/// The pace of polling; slower for a project past its deadline.
fn pace(pass: &Pass, observed: &Observed) -> Duration {
    let pace = pass.ctx.core.settings.poll_interval;
    if deadline::passed(pass, observed.now).is_some() {
        pace * LATE
    } else {
        pace
    }
}

/// Writes the fields for a database at rest, together with the status of the step.
async fn come_to_rest(pass: &mut Pass, step: Step, observed: &Observed) -> Result<(), Error> {
    let now = Time(observed.now);
    let may_still_pause = power::may_still_pause(pass, observed.now);
    let backups = pass.provider_backups.take();
    status::change(pass, step, observed, |status| {
        if step != Step::Sleep && !may_still_pause {
            // It runs, and a login succeeded: a later pause is a new one.
            status.pause_issued_at = None;
        }
        status.pause_first_issued_at = None;
        if backups.is_some() {
            status.provider_backups = backups;
        }
        if step == Step::Sleep {
            // Whoever paused it, the spec wants it paused: it is restored when the spec wants it to run.
            status.pause_issued_at.get_or_insert(now);
        } else if step == Step::Rest {
            status.usable_since.get_or_insert(now);
        }
    })
    .await
}

fn account(observed: &Observed) -> Result<&Account, Error> {
    let missing = || {
        Error::transient(
            Reason::ProviderUnavailable,
            "the provider's account has not been looked up",
        )
    };
    observed.account.as_deref().ok_or_else(missing)
}

fn reference<'a>(pass: &'a Pass, observed: &'a Observed) -> Result<&'a str, Error> {
    identity::reference(&pass.object, observed.project.as_ref())
}

async fn store_password(pass: &mut Pass) -> Result<Option<Next>, Error> {
    let secrets = owner::secrets(&pass.ctx.core);
    match adopted::given_password(pass).await? {
        Some(given) => {
            owner::replace_password(&secrets, pass.name(), &given).await?;
            if pass.ctx.logins.wrong_password(pass.name()) {
                // A new password may be tried at the same interval as the old one.
                pass.ctx.logins.refused(pass.name(), false);
            }
        }
        None => owner::store_password(&secrets, pass.name(), &password::generate()).await?,
    }
    Ok(None)
}

async fn record(pass: &mut Pass, observed: &Observed) -> Result<Option<Next>, Error> {
    let Some(found) = &observed.project else {
        return Ok(Some(Next::After(pass.ctx.core.settings.poll_interval)));
    };
    let organization = account(observed)?.organization().to_string();
    let project = ProjectStatus {
        reference: found.reference.clone(),
        region: found.region.clone().unwrap_or_else(|| region::last(pass)),
    };
    status::change(pass, Step::AwaitHealthy, observed, |status| {
        status.project = Some(project);
        status.organization = Some(organization);
        status.unclear_before.clear();
    })
    .await?;
    Ok(None)
}

/// The decision is written before anything is deleted: the project is never used afterwards.
async fn replace(pass: &mut Pass, observed: &Observed) -> Result<Option<Next>, Error> {
    let reference = reference(pass, observed)?.to_owned();
    tracing::warn!(project = reference, "the project never became usable, and is replaced");
    status::change(pass, Step::Replace, observed, |status| status.replaced.push(reference)).await?;
    Ok(None)
}

async fn renew(pass: &mut Pass, observed: &Observed) -> Result<Option<Next>, Error> {
    status::change(pass, Step::Renew, observed, |status| {
        status.project = None;
        status.create_issued_at = None;
        status.unclear_before.clear();
    })
    .await?;
    Ok(None)
}

/// Reads health, pooler and keys, once for each project, and stores the address.
async fn connect(pass: &mut Pass, observed: &mut Observed) -> Result<Option<Next>, Error> {
    let (account, reference) = (account(observed)?, reference(pass, observed)?);
    let client = account.client();
    if let Some(took) = deadline::age(pass, observed.now).filter(|_| observed.said.is_some()) {
        account.poll().took(took);
    }
    if let Err(unhealthy) = health_ready(&client.services_health(reference, &SERVICES).await?) {
        tracing::debug!(?unhealthy, "services are not healthy yet");
        let unhealthy = unhealthy.iter().map(|(service, why)| format!("{service} is {why}"));
        observed.said = Some(unhealthy.collect::<Vec<_>>().join(", "));
        status::change(pass, Step::Connect, observed, |_| {}).await?;
        return Ok(Some(Next::After(pace(pass, observed))));
    }
    let settings = pass.ctx.class.accounts.settings();
    let endpoint = PoolerEndpoint::choose(&client.pooler_config(reference).await?, reference, settings)?;
    let keys = client.chosen_keys(reference, &keys::made(pass).await?).await?;
    pass.ctx.keys.were_read(pass.name(), pass.ctx.core.settings.resync);
    let address = owner::Address {
        host: endpoint.host,
        user: endpoint.user,
        database: endpoint.database,
        session_port: endpoint.session_port,
        transaction_port: endpoint.transaction_port,
        project_url: settings.project_url(reference),
        anon_key: keys.anon,
        service_role_key: keys.service_role,
        keys: None,
    };
    owner::store_address(&owner::secrets(&pass.ctx.core), pass.name(), &address, keys.legacy).await?;
    pass.keys_work = Some(PublishedKeys::Usable);
    Ok(None)
}

/// Reads the keys again, and reports when no working key is left.
async fn read_keys(pass: &mut Pass, observed: &Observed) -> Result<Option<Next>, Error> {
    let (account, reference) = (account(observed)?, reference(pass, observed)?.to_owned());
    pass.keys_work = keys::read_again(pass, account, &reference).await;
    pass.provider_backups = provider_backups::read(pass, account, &reference).await;
    Ok(None)
}

async fn probe(pass: &mut Pass, observed: &mut Observed) -> Result<Option<Next>, Error> {
    if let Some(wait) = pass.ctx.logins.wait(pass.name(), pass.ctx.core.settings.login_spacing) {
        return Ok(Some(Next::After(wait)));
    }
    let owner = owner::read(&owner::secrets(&pass.ctx.core), pass.name())
        .await?
        .unwrap_or_default();
    let Some(login) = owner.login(&pass.ctx.core.settings.database_roots) else {
        return Ok(Some(Next::After(UNSTORED)));
    };
    let spacing = pass.ctx.core.settings.login_spacing;
    match pass.ctx.logins.connect(pass.name(), &login, spacing).await {
        Ok(connection) => {
            drop(connection);
            pass.ctx.logins.forget(pass.name());
            pass.prove();
            Ok(None)
        }
        // This state lasts until a person acts.
        Err(error) if error.reason() == Reason::UntrustedHost => Err(error.into()),
        Err(error) => {
            tracing::info!(%error, "the database does not accept the login yet");
            if error.reason() != Reason::LoginFailed {
                // The next login has to wait even when there was no answer.
                pass.ctx.logins.refused(pass.name(), false);
            }
            observed.said = Some(format!(
                "the provider reports the project healthy, but the database refuses the login ({error})"
            ));
            if error.is_wrong_password() && pass.object.adopted().is_some() {
                // The next step reports it, or sets another password.
                return Ok(None);
            }
            status::change(pass, Step::Probe, observed, |_| {}).await?;
            if error.is_wrong_password() {
                return Ok(None);
            }
            Ok(Some(Next::After(spacing)))
        }
    }
}

/// Sets the stored password on a project that has another one, as after the Secret was deleted since the create
/// request, or after the provider restored an older state.
async fn reset_password(pass: &mut Pass, observed: &Observed) -> Result<Option<Next>, Error> {
    let (account, reference) = (account(observed)?, reference(pass, observed)?);
    let owner = owner::read(&owner::secrets(&pass.ctx.core), pass.name())
        .await?
        .unwrap_or_default();
    if let Some(password) = &owner.password {
        adopted::check_claim(pass, account, reference).await?;
        account.client().update_database_password(reference, password).await?;
        tracing::info!(project = reference, "the stored password was set on the project");
        // The refusal does not count as a wrong password: the pooler may accept the new one only after a while.
        pass.ctx.logins.refused(pass.name(), false);
    }
    Ok(Some(Next::After(pass.ctx.core.settings.login_spacing)))
}

async fn delete_self(pass: &mut Pass) -> Result<Option<Next>, Error> {
    let exists = pass.delete().await?;
    Ok((!exists).then_some(Next::Gone))
}

async fn destroy(pass: &mut Pass, observed: &Observed) -> Result<Option<Next>, Error> {
    let account = account(observed)?;
    let reference = identity::to_be_destroyed(&pass.object, account, observed.project.as_ref()).await?;
    let Some(reference) = reference else {
        return Ok(Some(Next::After(pass.ctx.core.settings.poll_interval)));
    };
    match account.client().delete_project(&reference).await {
        Ok(()) => tracing::info!(project = reference, "the project is deleted"),
        Err(error) if error.is_gone() => {}
        Err(error) => return Err(error.into()),
    }
    Ok(Some(Next::After(pass.ctx.core.settings.poll_interval)))
}
