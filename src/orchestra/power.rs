//! Whether the database of an Orchestra is to run, its state on the way, and the steps of a pause.
//!
//! A pause is wanted by `spec.powerState`, or by the status because nobody has used the database. The status holds an idle
//! pause, so that no controller of the spec has anything to undo. The wanted state is written into the OrchestraDatabase
//! before anything is changed.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use rust_decimal::Decimal;

use super::long_pause::{self, RESTORABLE};
use super::observe::Observed;
use super::plan::{DatabaseState, Power, Step};
use super::wait::{Stop, UNWATCHED, Wait};
use super::{Pass, act, claim, found, idle, login, reclaim, status};
use crate::api::condition::Reason;
use crate::api::names::request;
use crate::api::{
    DeletionPolicy, FinalBackup, Orchestra, OrchestraClass, OrchestraDatabase, OrchestraDatabaseStatus, PausedBy,
    PowerState, PowerStatus, WAKE_ANNOTATION,
};
use crate::controller::error::Error;
use crate::controller::reconcile::Next;
use crate::controller::status::{News, tell};
use crate::money;

/// Why the database is to be paused; none when it is to run.
pub fn wanted(object: &Orchestra, class: Option<&OrchestraClass>) -> Option<PausedBy> {
    if object.spec.power_state == Some(PowerState::Paused) {
        return Some(PausedBy::Spec);
    }
    let power = object.status.as_ref()?.power.as_ref()?;
    let applies = class.is_none() || idle::policy(object, class).is_some();
    let idle = power.paused_by == Some(PausedBy::Idle) && applies && !is_woken(object, power);
    idle.then_some(PausedBy::Idle)
}

/// Whether somebody has asked for the database since it was paused for idleness.
fn is_woken(object: &Orchestra, power: &PowerStatus) -> bool {
    let declared = object.spec.power_state == Some(PowerState::Running) && power.declared != Some(PowerState::Running);
    declared || asked(object).is_some_and(|asked| power.wake.as_ref() != Some(&asked))
}

/// The value of the annotation that asks for the database.
fn asked(object: &Orchestra) -> Option<String> {
    request(&object.metadata, WAKE_ANNOTATION).filter(|asked| !asked.is_empty())
}

/// Whether the plan of the class's organization is known to forbid pauses.
pub fn is_forbidden(class: Option<&OrchestraClass>, database: &OrchestraDatabase) -> bool {
    let account = class
        .and_then(|class| class.status.as_ref())
        .and_then(|status| status.account.as_ref());
    database.spec.supabase.is_some() && account.is_some_and(|account| account.pausing == Some(false))
}

/// The state of a claimed database on the way to the wanted power state.
pub fn observe(pass: &Pass, observed: &Observed) -> Power {
    let (class, Some(database)) = (observed.class.as_deref(), &observed.database) else {
        return Power::Running;
    };
    let intended = database.spec.power_state == Some(PowerState::Paused);
    let hosted = database.spec.supabase.is_some();
    let usable = matches!(observed.facts.database, DatabaseState::Usable(_));
    let stalled = database.stalled_reason();
    let wanted = wanted(&pass.object, class);
    if wanted == Some(PausedBy::Idle) && usable && is_forbidden(class, database) {
        // Nobody has asked for it: there is nothing to correct.
        return Power::ToResume;
    }
    if wanted.is_none() {
        // The owner enables the disabled logins of a pool's database.
        let resumes = (intended || pass.object.is_paused()) && (hosted || usable);
        return if resumes { Power::ToResume } else { Power::Running };
    }
    match (intended, hosted) {
        (false, _) if is_forbidden(class, database) => Power::Refused(Stop::PauseForbidden),
        // Work that is under way ends first.
        (false, _) if may_pause(pass, database, usable) && pass.ctx.works.under_way_of(pass.uid()).is_none() => {
            Power::ToPause
        }
        (false, _) => Power::Running,
        (true, true) if database.is_paused() => asleep(pass),
        (true, true) => match stalled {
            // The provider refuses, and the project keeps running.
            Some(reason) if usable => Power::Refused(Stop::PauseRefused(reason)),
            Some(_) => Power::Running,
            None => Power::Pausing,
        },
        (true, false) if !usable => Power::Running,
        (true, false) if pass.shut || since(&pass.object).is_some() => asleep(pass),
        (true, false) => Power::ToShut,
    }
}

/// Whether a pause may begin: a tenant whose Secret was never published gets it first. A project that was paused, and
/// whose restore has not ended or is refused, is paused again.
fn may_pause(pass: &Pass, database: &OrchestraDatabase, usable: bool) -> bool {
    pass.is_serving() && (usable || database.was_paused())
}

/// Whether a released project stays paused: one that is being paused or restored, in which the tenant's login could not be
/// revoked. It is restored when an Orchestra takes it back. A project that is to be kept has no such end, and the provider
/// deletes a paused project after a while.
pub fn sleeps_on(pass: &Pass, observed: &Observed, database: &OrchestraDatabase) -> bool {
    let class = observed.class.as_deref();
    let policy = reclaim::at_release(&pass.object, class, database, pass.recorded);
    let unrevoked = pass.is_serving() && !pass.revoked && !matches!(observed.facts.database, DatabaseState::Usable(_));
    unrevoked && may_sleep_on(database, policy) && !is_forbidden(class, database)
}

/// Whether a released project whose login is open is paused, provided that the plan allows it.
fn may_sleep_on(database: &OrchestraDatabase, policy: DeletionPolicy) -> bool {
    policy == DeletionPolicy::Delete && is_unsettled(database)
}

/// Whether a project that is released is paused until its grace period is over: it costs nothing then, and is restored when
/// an Orchestra takes it back. Not where the provider might refuse, or where it would not restore a project that was paused
/// for so long. The owner of an adopted project may be using it.
pub fn sleeps_in_grace(class: Option<&OrchestraClass>, database: &OrchestraDatabase, policy: DeletionPolicy) -> bool {
    let grace = class.and_then(|class| class.spec.deletion.grace_period);
    // A backup can only be made of a running project.
    let is_backed_up = class.is_some_and(|class| class.spec.deletion.final_backup != FinalBackup::None);
    let account = class.and_then(|class| class.status.as_ref()?.account.as_ref());
    policy == DeletionPolicy::Delete
        && !is_backed_up
        && grace.is_some_and(|period| period.as_std() <= RESTORABLE)
        && account.is_some_and(|account| account.pausing == Some(true))
        && database.spec.supabase.is_some()
        && database.adopted().is_none()
        && database.was_usable()
        && !database.is_lost()
}

/// Whether the project was paused or restored, and may still be so.
fn is_unsettled(database: &OrchestraDatabase) -> bool {
    let restored = |status: &OrchestraDatabaseStatus| status.restore_issued_at.is_some();
    let changed = database.was_paused() || database.status.as_ref().is_some_and(restored);
    database.spec.supabase.is_some() && changed && !database.is_lost()
}

/// A paused database, whose connection Secret is kept as any other.
fn asleep(pass: &Pass) -> Power {
    if found::is_untouched(pass) {
        Power::Paused
    } else {
        Power::ToGiveBack
    }
}

/// Since when the database is paused.
fn since(object: &Orchestra) -> Option<&Time> {
    object.status.as_ref()?.power.as_ref()?.paused_since.as_ref()
}

/// The message of a pause; none when the step's own text is sufficient.
pub fn message(pass: &Pass, observed: &Observed) -> Option<String> {
    let class = observed.class.as_deref();
    let paused = match observed.facts.power {
        Power::Paused | Power::ToGiveBack => match wanted(&pass.object, class)? {
            PausedBy::Spec => {
                "the database is paused, as spec.powerState says: its data is kept, and migrations and seeds \
                               wait until it runs again"
                    .to_owned()
            }
            PausedBy::Idle => format!(
                "the database is paused, because nobody has used it for {}: its data is kept, and migrations and seeds wait \
                 until it runs again. To wake it, set the annotation {WAKE_ANNOTATION} to the current time",
                idle::policy(&pass.object, class)
                    .map(|policy| policy.to_string())
                    .unwrap_or_default()
            ),
        },
        Power::Refused(Stop::PauseRefused(_)) => {
            let message = observed.database.as_ref()?.message()?;
            return Some(format!(
                "the provider does not pause the project, which still runs: {message}"
            ));
        }
        _ => return None,
    };
    Some(match long_pause::warning(pass, observed) {
        Some(warning) => format!("{paused}. {warning}"),
        None => paused,
    })
}

/// The pauses in the status, after a step.
pub fn status(pass: &Pass, step: Step, observed: &Observed, old: Option<PowerStatus>) -> Option<PowerStatus> {
    let mut power = old.clone().unwrap_or_default();
    match step {
        Step::NoteUse => {
            let Some(unused) = &observed.unused else { return old };
            (power.unused_since, power.uses, power.scans) =
                (unused.since.clone(), unused.uses.clone(), unused.scans.clone());
            power.warned_at = power.warned_at.filter(|_| unused.keeps_warning);
        }
        Step::FallAsleep => {
            power.paused_by = Some(PausedBy::Idle);
            power.declared = pass.object.spec.power_state;
            power.wake = asked(&pass.object);
        }
        // The database keeps running: rollouts, health and metrics must not treat it as paused.
        Step::Stop(_) if matches!(observed.facts.power, Power::Refused(_)) => return after_refusal(power),
        Step::Shut | Step::Wait(Wait::Pausing) => {
            power.paused_by = wanted(&pass.object, observed.class.as_deref());
        }
        Step::Sleep => {
            power.paused_by = wanted(&pass.object, observed.class.as_deref());
            power.paused_since = power.paused_since.or(Some(Time(observed.now)));
            if long_pause::is_news(pass, observed) {
                power.warned_at = Some(Time(observed.now));
            }
        }
        _ => return old,
    }
    Some(power).filter(|power| *power != PowerStatus::default())
}

/// The pauses in the status of a database whose pause by the spec is refused. An idle pause is only there.
fn after_refusal(mut power: PowerStatus) -> Option<PowerStatus> {
    if power.paused_by == Some(PausedBy::Spec) && power.paused_since.is_none() {
        power.paused_by = None;
    }
    Some(power).filter(|power| *power != PowerStatus::default())
}

/// Publishes the event of an idle pause and records it. It may be published twice, and is never left out.
pub async fn warn(pass: &mut Pass, observed: &Observed) -> Result<(), Error> {
    let warning = News::warning(Reason::PauseAnnounced, idle::warning(pass, observed));
    tell(&pass.ctx.core, &pass.object, &warning).await;
    let old = pass.object.status.as_ref().and_then(|status| status.power.clone());
    let new = PowerStatus {
        warned_at: Some(Time(observed.now)),
        ..old.unwrap_or_default()
    };
    status::note_power(pass, new).await
}

/// Writes into the OrchestraDatabase that it is to be paused.
pub async fn pause(pass: &Pass, observed: &Observed) -> Result<(), Error> {
    match &observed.database {
        Some(database) => claim::set_power(pass, database, PowerState::Paused).await,
        None => Ok(()),
    }
}

/// Disables the logins of a pool's database: only its owner can connect.
pub async fn shut(pass: &mut Pass, observed: &Observed) -> Result<Option<Next>, Error> {
    let Some(database) = &observed.database else {
        return Ok(Some(Next::After(UNWATCHED)));
    };
    let (ctx, name) = (pass.ctx.clone(), database.name_any());
    if let Some(wait) = ctx.database.logins.wait(&name, ctx.core.settings.login_spacing) {
        return Ok(Some(Next::After(wait)));
    }
    let shut = login::within(login::LOGIN_LIMIT, login::shut(pass, database)).await;
    shut.map_err(|error| unreached(error, "shut"))?;
    pass.shut = true;
    // A session that was opened before does not prove that the logins are enabled.
    pass.access.close();
    Ok(None)
}

/// Why the tenant's logins could not be disabled or enabled now.
fn unreached(error: Error, what: &str) -> Error {
    let reason = error.reason();
    if !error.is_passing() {
        return error;
    }
    let message = format!(
        "the tenant's logins cannot be {what} now, because the owner cannot work in the database: {error}. The operator \
         tries again"
    );
    Error::transient(reason, message)
}

/// Writes the connection Secret of a paused database again: its login stays disabled, and is proven when the database runs.
pub async fn give_back(pass: &mut Pass, observed: &Observed) -> Result<(), Error> {
    let Some(database) = &observed.database else {
        return Ok(());
    };
    if pass.invalid.is_some() {
        // The templates that were published last are stored with them.
        pass.access.learn(login::logins(pass, database).await?);
    }
    let handover = login::handover(pass, database, observed.class.as_deref()).await?;
    let exists = pass.known_secret().is_some();
    let published = act::write_secret(pass, &handover, exists).await?;
    act::note_published(pass, published, observed.now).await
}

/// Makes the database run: the logins of a pool's database are enabled before any status says that it runs.
pub async fn resume(pass: &mut Pass, observed: &Observed) -> Result<Option<Next>, Error> {
    let Some(database) = &observed.database else {
        return Ok(Some(Next::After(UNWATCHED)));
    };
    let old = pass.object.status.as_ref().and_then(|status| status.power.clone());
    if database.spec.supabase.is_none() && !pass.access.is_open() {
        let (ctx, name) = (pass.ctx.clone(), database.name_any());
        if let Some(wait) = ctx.database.logins.wait(&name, ctx.core.settings.login_spacing) {
            return Ok(Some(Next::After(wait)));
        }
        if let Some(opening) = old.as_ref().and_then(opening) {
            status::note_power(pass, opening).await?;
        }
        let prepared = login::prepare(pass, database, observed.class.as_deref(), observed.now);
        let prepared = login::within(login::LOGIN_LIMIT, prepared).await;
        let opened = prepared.map_err(|error| unreached(error, "opened"))?;
        pass.access.open(opened);
    }
    pass.shut = false;
    if database.spec.power_state == Some(PowerState::Paused) {
        claim::set_power(pass, database, PowerState::Running).await?;
    }
    let Some(old) = old.filter(|old| old.paused_by.is_some()) else {
        return Ok(None);
    };
    let (new, told) = after_pause(&old, database, observed.now);
    status::note_power(pass, new).await?;
    tell(&pass.ctx.core, &pass.object, &News::normal(Reason::Resumed, told)).await;
    Ok(None)
}

/// The status of a pool's database whose logins are about to be enabled, if it says that they are disabled: a later pause
/// then disables them again.
fn opening(old: &PowerStatus) -> Option<PowerStatus> {
    old.paused_since.as_ref()?;
    Some(PowerStatus {
        paused_since: None,
        ..old.clone()
    })
}

/// The status of a database that runs again, and what its pause has saved: the price of each whole hour.
fn after_pause(old: &PowerStatus, database: &OrchestraDatabase, now: Timestamp) -> (PowerStatus, String) {
    let paused = old.paused_since.as_ref().map(|since| now.duration_since(since.0));
    let paused = paused.unwrap_or_default().max(SignedDuration::ZERO);
    let hours = paused.as_hours();
    let mut new = PowerStatus {
        saved: old.saved.clone(),
        currency: old.currency.clone(),
        ..PowerStatus::default()
    };
    let mut told = match old.paused_since {
        Some(_) => format!("the database is to run again, after a pause of {hours} whole hours"),
        None => "the database is to run again".to_owned(),
    };
    let cost = database.status.as_ref().and_then(|status| status.cost.as_ref());
    let hourly = cost.and_then(|cost| money::parse(&cost.hourly));
    if let (Some(cost), Some(hourly)) = (cost, hourly) {
        let saved = hourly.saturating_mul(Decimal::from(hours));
        let before = old.saved.as_deref().and_then(money::parse).unwrap_or_default();
        let before = if old.currency.as_ref() == Some(&cost.currency) {
            before
        } else {
            Decimal::ZERO
        };
        told.push_str(&[", which has saved ", &money::text(saved), " ", &cost.currency].concat());
        new.saved = Some(before.saturating_add(saved).normalize().to_string());
        new.currency = Some(cost.currency.clone());
    }
    (new, told)
}

#[cfg(test)]
mod tests;
