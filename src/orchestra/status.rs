//! What a step means for people and machines: phase, conditions, events.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;

use super::Context;
use super::inside::Facts;
use super::news::news;
use super::observe::Observed;
use super::plan::{Database, Power, Step};
use super::wait::{Description, SHORT_QUEUE, Wait, describe};
use super::wanted::Newer;
use super::{
    Pass, claim, drift, existing, failure, foreign, former, parts, placed, power, reach, rotation, serving, unavailable,
};
use crate::api::condition::{ConditionType as Is, Reason};
use crate::api::{
    AppliedTemplate, MigrationStatus, Orchestra, OrchestraStatus, PowerStatus, ProjectReference, PublishedSecret,
};
use crate::controller;
use crate::controller::conditions::{Conditions, Standing, find, is_true};
use crate::controller::error::Error;
use crate::controller::status::{News, tell};
use crate::migrate::guard::Clearance;

/// Writes the status for a step, when it differs from what is there.
pub async fn write(pass: &mut Pass, step: Step, observed: &Observed) -> Result<(), Error> {
    if !is_written(pass, step) {
        return Ok(());
    }
    let (description, message) = described(pass, step, observed);
    let message = message.as_str();
    let Description {
        phase,
        standing,
        reason,
        ..
    } = description;
    let old = pass.object.status.clone().unwrap_or_default();
    let lost = drift::lost(pass, observed.inside.migrations());
    let mut conditions = Conditions::new(&old.conditions, pass.object.metadata.generation);
    let usable = matches!(observed.seen.database, Database::Usable(_));
    // A published Secret says that it was used: what was wrong with its database is over.
    let served = is_true(&old.conditions, Is::Available) || (usable && old.secret_ref.is_some());
    // Nothing is begun, and nobody may think so after a restart.
    let waits = matches!(
        reason,
        Reason::ApprovalPending | Reason::RolloutPending | Reason::Pausing
    );
    let leaving = pass.is_deleting();
    let updating = served && standing == Standing::Reconciling && !leaving && !waits;
    let summary = if updating { Reason::Updating } else { reason };
    let paused = matches!(step, Step::Sleep | Step::GiveBack);
    let ready = paused || rests(step);
    // Nobody uses it before its logins are open again.
    let closed = paused || step == Step::Resume;
    // What cannot be paused serves on.
    let in_use = ready || (matches!(step, Step::Stop(_)) && matches!(observed.seen.power, Power::Refused(_)) && usable);
    conditions.set(Is::Ready, ready, summary, message);
    let elsewhere = claim::elsewhere(&pass.object, observed.database.as_ref());
    let earlier = existing::told(pass).map(|earlier| format!("proven usable by a login. But {earlier}"));
    let proven = elsewhere.or(earlier);
    let proven = proven.as_deref().unwrap_or("proven usable by a login");
    let runs = !closed && (in_use || (served && usable && !leaving));
    serving::condition(pass, &mut conditions, (runs, ready), (reason, message));
    let is_usable = usable && !closed;
    let (why, told) = if is_usable {
        (Reason::Ready, proven)
    } else {
        (reason, message)
    };
    conditions.set(Is::DatabaseReady, is_usable, why, told);
    parts::parts(pass, observed, &mut conditions, reason);
    reach::keys(observed, &mut conditions);
    let gone = sources(observed, &mut conditions).filter(|_| find(&old.conditions, Is::SourceAvailable).is_none());
    conditions.stand(standing, summary, message);
    tell_approved(pass, &old, observed).await;
    let conditions = conditions.finish();
    let warnings = controller::status::warnings(&old.conditions, &conditions, &reach::WARNED);
    let was = old.health.clone();
    let new = facts(pass, step, observed, old, phase, conditions);
    let health = serving::news(was.as_ref(), new.health.as_ref()).filter(|_| !paused);
    let progress = matches!(step, Step::Wait(Wait::Turn)) || matches!(reason, Reason::Claiming | Reason::Migrating);
    let news = news(pass, &new, (standing, reason, message), progress);
    pass.object = controller::status::write(&pass.ctx.core, &pass.object, new, news).await?;
    let lost = lost.map(|lost| News::warning(Reason::HistoryLost, lost));
    for warning in warnings.into_iter().chain([gone, lost, health].into_iter().flatten()) {
        tell(&pass.ctx.core, &pass.object, &warning).await;
    }
    Ok(())
}

/// What a step is called, and what people are told.
fn described(pass: &Pass, step: Step, observed: &Observed) -> (Description, String) {
    let mut description = describe(step);
    let mut message = if observed.message.is_empty() {
        description.message.to_owned()
    } else {
        observed.message.clone()
    };
    if let Some(failure) = failure::uncured(&pass.object, observed)
        && description.reason == Reason::ApprovalPending
    {
        let same = observed.inside.migrations().is_some_and(|now| now.failed);
        message = failure::beside_approval(&mut description, &message, failure, same);
    }
    if let Some(ignored) = observed.life.ignored().filter(|_| step == Step::Rest) {
        message = format!("{message}. {ignored}");
    }
    (description, message)
}

/// Whether a step has a status of its own. What is quick goes into the next write: each write is a request,
/// and wakes others. A new generation is observed at once all the same.
fn is_written(pass: &Pass, step: Step) -> bool {
    // The finalizer is the first thing on a new object, and the last; no status goes with it.
    // What the end of a ttl writes is its effect.
    let own = matches!(
        step,
        Step::AddFinalizer | Step::Forget | Step::BeginTtl | Step::WarnOfExpiry | Step::Expire
    );
    if own || (pass.is_deleting() && step == Step::Rest) {
        return false;
    }
    let quick = matches!(
        step,
        Step::Reserve
            | Step::Create
            | Step::Take
            | Step::PrepareLogin
            | Step::TakeTurn
            | Step::ClearPlan
            | Step::Publish
            | Step::BeginRotation
            | Step::EndRotation
            | Step::RevokeFormer
            | Step::DropFormer
            | Step::RemoveSecret
            | Step::Pause
            | Step::GiveBack
            | Step::Resume
    );
    let waited = pass.ctx.rollout.turns.waited(pass.uid());
    let quick = quick || (step == Step::Wait(Wait::Turn) && waited.is_some_and(|waited| waited < SHORT_QUEUE));
    let observed = pass.object.status.as_ref().map(|status| status.observed_generation);
    !quick || (observed != pass.object.metadata.generation && observed != Some(-1))
}

/// An event for the approval that was waited for. Who gave it, the annotation does not say.
async fn tell_approved(pass: &Pass, old: &OrchestraStatus, observed: &Observed) {
    let waited = old.migrations.as_ref().and_then(|migrations| migrations.plan.as_ref());
    let review = observed.inside.review();
    let approved = review.filter(|review| review.clearance == Clearance::Approved);
    if let Some(review) = approved.filter(|review| waited.is_some_and(|plan| plan.digest == review.plan.digest)) {
        let note = format!("plan {} is approved, its migrations are applied", review.plan.digest);
        tell(&pass.ctx.core, &pass.object, &News::normal(Reason::Approved, note)).await;
    }
}

/// Whether nothing is to be done for a database that runs.
fn rests(step: Step) -> bool {
    matches!(step, Step::Rest | Step::NoteUse | Step::WarnIdle)
}

/// The warning of sources that cannot be read while everything that they had is applied, and its event.
fn sources(observed: &Observed, conditions: &mut Conditions<'_>) -> Option<News> {
    let Some(sources) = &observed.inside.wanted.unavailable else {
        conditions.keep_shown(Is::SourceAvailable);
        return None;
    };
    let (reason, message) = unavailable::told(sources)?;
    conditions.set(Is::SourceAvailable, false, reason, &message);
    Some(News::warning(reason, message))
}

/// The migrations, with what waits to be applied instead of them.
fn migrations(inside: &Facts, old: Option<MigrationStatus>) -> Option<MigrationStatus> {
    let mut now = inside.migrations().cloned().or(old)?;
    // What it keeps is not what the plan would change.
    now.plan = now.plan.filter(|_| inside.wanted.kept.is_none());
    match &inside.wanted.newer {
        Newer::Unknown => {}
        Newer::Nothing => now.available = None,
        Newer::Source(newer) => now.available = Some(newer.clone()).filter(|newer| *newer != now.source),
    }
    Some(now)
}

/// What was learned in this pass, over what the last status said.
///
/// A look that was asked for is done when the pass ends at rest.
fn facts(
    pass: &Pass,
    step: Step,
    observed: &Observed,
    old: OrchestraStatus,
    phase: &str,
    conditions: Vec<Condition>,
) -> OrchestraStatus {
    let settled = rests(step);
    let database = observed.database.as_ref();
    let class_name = observed.class.as_ref().map(|class| class.name_any());
    let project = database
        .and_then(|database| database.status.as_ref())
        .and_then(|status| status.project.as_ref());
    let mut new = OrchestraStatus {
        observed_generation: pass.object.metadata.generation.unwrap_or_default(),
        phase: Some(phase.into()),
        conditions,
        class_name: class_name.clone().or(old.class_name),
        // The claim itself says the rest.
        claiming: if database.is_some() {
            None
        } else {
            pass.reserved.clone().or(old.claiming)
        },
        cost: database
            .and_then(|database| database.status.as_ref())
            .and_then(|status| status.cost.clone())
            .or(old.cost),
        database_name: database.map(ResourceExt::name_any).or(old.database_name),
        project: project
            .map(|project| ProjectReference {
                reference: project.reference.clone(),
                region: project.region.clone(),
            })
            .or(old.project),
        placement: database
            .and_then(|database| placed::chosen(&pass.object, observed.class.as_deref(), database))
            .or(old.placement),
        secret_ref: published(pass, observed).or(old.secret_ref),
        former_secrets: former::after(&pass.object, published(pass, observed).as_ref(), Timestamp::now()),
        binding: former::binding(&pass.object, published(pass, observed).as_ref()),
        health: serving::health(pass, rests(step), old.health.as_ref()).filter(|_| step != Step::Sleep),
        credentials: rotation::status(pass, database, old.credentials),
        power: power::status(pass, step, observed, old.power),
        migrations: migrations(&observed.inside, old.migrations),
        handled_check: drift::asked(pass).cloned().filter(|_| settled).or(old.handled_check),
        template: applied_template(pass, observed, class_name)
            .filter(|_| settled)
            .or(old.template),
        seed: observed.inside.seed().or(old.seed),
        unavailable_sources: match &observed.inside.wanted.unavailable {
            None => old.unavailable_sources,
            Some(sources) => Some(sources.iter().map(|source| source.place.clone()).collect())
                .filter(|places: &Vec<_>| !places.is_empty()),
        },
        expires_at: old.expires_at,
        ttl_since: old.ttl_since,
        expiry_notice: old.expiry_notice,
    };
    observed.life.note(pass, &mut new);
    new
}

/// The template whose migrations and seed are those that apply.
fn applied_template(pass: &Pass, observed: &Observed, class_name: Option<String>) -> Option<AppliedTemplate> {
    let tenant = observed.tenant(&pass.object);
    let template = tenant.template();
    let template = template.filter(|_| observed.inside.wanted.kept.is_none())?;
    Some(AppliedTemplate {
        class_name: class_name.unwrap_or_default(),
        name: template.name.clone(),
        version: template.version.clone(),
    })
}

/// The connection Secret that this pass has found right or written.
fn published(pass: &Pass, observed: &Observed) -> Option<PublishedSecret> {
    let right = &observed.inside.secret.right;
    pass.published.clone().or_else(|| right.clone())
}

/// Writes down which connection Secret was given back.
pub async fn note_secret(pass: &mut Pass) -> Result<(), Error> {
    let new = OrchestraStatus {
        former_secrets: former::after(&pass.object, pass.published.as_ref(), Timestamp::now()),
        secret_ref: pass.published.clone(),
        ..pass.object.status.clone().unwrap_or_default()
    };
    pass.object = controller::status::write(&pass.ctx.core, &pass.object, new, None).await?;
    Ok(())
}

/// Writes down that the database runs again.
pub async fn note_power(pass: &mut Pass, power: PowerStatus) -> Result<(), Error> {
    let new = OrchestraStatus {
        // A server-side apply cannot empty an object, but take it away.
        power: Some(power).filter(|power| *power != PowerStatus::default()),
        ..pass.object.status.clone().unwrap_or_default()
    };
    pass.object = controller::status::write(&pass.ctx.core, &pass.object, new, None).await?;
    Ok(())
}

/// Writes what stopped a pass. A tenant in use stays Ready through a blip that passes by itself.
pub async fn report(orchestra: Arc<Orchestra>, ctx: Arc<Context>, error: Arc<Error>) -> Result<(), Error> {
    let Some(object) = controller::status::current(&ctx.core, &*orchestra).await? else {
        return Ok(());
    };
    let pass = Pass::new(object, ctx);
    pass.ctx.rollout.turns.leave(pass.uid());
    let old = pass.object.status.clone().unwrap_or_default();
    let (reason, message) = (error.reason(), failure::named(&old, &error));
    foreign::watch(&pass, reason);
    let passing = error.is_passing();
    let same = Some(old.observed_generation) == pass.object.metadata.generation;
    let mut conditions = Conditions::new(&old.conditions, pass.object.metadata.generation);
    if passing && same && is_true(&old.conditions, Is::Ready) {
        conditions.keep(Is::Ready, reason);
    } else {
        conditions.set(Is::Ready, false, reason, &message);
    }
    serving::kept(&pass, &mut conditions, &old);
    for part in [
        Is::DatabaseReady,
        Is::CredentialsReady,
        Is::Migrated,
        Is::HistoryAgrees,
        Is::Seeded,
    ] {
        if Some(part) == failed_part(reason) {
            conditions.set(part, false, reason, &message);
        } else {
            conditions.keep(part, Reason::Pending);
        }
    }
    for warning in [Is::SourceAvailable, Is::TablesReadable, Is::KeysUsable] {
        conditions.keep_shown(warning);
    }
    let standing = if passing {
        Standing::Reconciling
    } else {
        Standing::Stalled
    };
    conditions.stand(standing, reason, &message);
    let deleting = pass.is_deleting();
    let before = old.phase.clone().unwrap_or_else(|| "Pending".into());
    let phase = match (deleting, passing) {
        (true, _) => "Deleting",
        (false, true) => before.as_str(),
        (false, false) => "Failed",
    };
    let was = old.health.clone();
    let mut new = OrchestraStatus {
        observed_generation: pass.object.metadata.generation.unwrap_or_default(),
        phase: Some(phase.into()),
        conditions: conditions.finish(),
        health: serving::health(&pass, false, was.as_ref()),
        ..old
    };
    if let Some(source) = pass.ctx.rollout.turns.failed(pass.uid()) {
        let migrations = new.migrations.get_or_insert_default();
        (migrations.source, migrations.failed, migrations.plan) = (source, true, None);
        migrations.failure = Some(failure::remembered(migrations.failure.take(), &error));
    }
    let news = news(&pass, &new, (standing, reason, &message), false);
    let health = serving::news(was.as_ref(), new.health.as_ref());
    let written = controller::status::write(&pass.ctx.core, &pass.object, new, news).await?;
    if let Some(health) = health {
        tell(&pass.ctx.core, &written, &health).await;
    }
    Ok(())
}

/// The part that a failure belongs to.
fn failed_part(reason: Reason) -> Option<Is> {
    match reason {
        Reason::MigrationFailed | Reason::MigrationUnfinished | Reason::MigrationLocked => Some(Is::Migrated),
        Reason::HistoryDiverged => Some(Is::HistoryAgrees),
        Reason::SeedFailed => Some(Is::Seeded),
        Reason::SecretConflict | Reason::ConnectionInvalid => Some(Is::CredentialsReady),
        _ => None,
    }
}
