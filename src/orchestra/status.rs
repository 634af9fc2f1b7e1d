//! The status of an Orchestra: phase, conditions and events of a step.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;

use super::Context;
use super::describe::{begins_nothing, describe, is_progress, rests};
use super::inside::InsideFacts;
use super::news::{approved, news};
use super::observe::Observed;
use super::plan::{DatabaseState, Power, Step, WorkState};
use super::wait::{Description, Stop, WILL_QUEUE, Wait};
use super::wanted::Newer;
use super::{
    Pass, claim, drift, existing, failure, foreign, former, long_pause, parts, placed, power, reach, restore, rotation,
    serving, telling, unavailable,
};
use crate::api::condition::{ConditionType as Is, Reason};
use crate::api::{
    AppliedTemplate, MigrationPlan, MigrationStatus, Orchestra, OrchestraDatabaseStatus, OrchestraStatus, PowerStatus,
    ProjectReference, PublishedSecret,
};
use crate::controller;
use crate::controller::conditions::{Conditions, Standing, find, is_true};
use crate::controller::error::Error;
use crate::controller::status::{News, tell};

/// Writes the status for a step, when it differs from what is there.
pub async fn write(pass: &mut Pass, step: Step, observed: &Observed) -> Result<(), Error> {
    if !telling::is_told(pass, step) {
        return Ok(());
    }
    let (description, message) = described(pass, step, observed);
    let (standing, reason) = (description.standing, description.reason);
    let old = pass.object.status.clone().unwrap_or_default();
    let lost = drift::lost(pass, observed.inside.migrations());
    let mut conditions = Conditions::new(&old.conditions, pass.object.metadata.generation);
    let gone = set_conditions(pass, step, observed, &old, (&description, &message), &mut conditions);
    let approved = approved(&old, observed);
    let conditions = conditions.finish();
    let warnings = controller::status::warnings(&old.conditions, &conditions, &reach::WARNED);
    let was = old.health.clone();
    let long = long_pause::news(pass, observed).filter(|_| step == Step::Sleep);
    let new = facts(pass, step, observed, old, description.phase, conditions);
    let paused = matches!(step, Step::Sleep | Step::GiveBack);
    let health = serving::news(was.as_ref(), new.health.as_ref()).filter(|_| !paused);
    let news = news(pass, &new, (standing, reason, &message), is_progress(step));
    pass.write_status(new, news).await?;
    pass.ctx.works.told(pass.uid());
    let lost = lost.map(|lost| News::warning(Reason::HistoryLost, lost));
    for news in warnings
        .into_iter()
        .chain([approved, gone, lost, health, long].into_iter().flatten())
    {
        tell(&pass.ctx.core, &pass.object, &news).await;
    }
    Ok(())
}

/// The step that an Orchestra is at, for the metrics of durations: the reason for which it waits or is worked on.
pub fn under_way(pass: &Pass, step: Step) -> Option<Reason> {
    let description = describe(step);
    let counts = description.standing == Standing::Reconciling && !pass.is_deleting();
    counts.then_some(description.reason)
}

/// Sets the conditions. Returns the warning of sources that cannot be read, when the condition of them is new.
fn set_conditions(
    pass: &Pass,
    step: Step,
    observed: &Observed,
    old: &OrchestraStatus,
    (description, message): (&Description, &str),
    conditions: &mut Conditions<'_>,
) -> Option<News> {
    let (standing, reason) = (description.standing, description.reason);
    let usable = matches!(observed.facts.database, DatabaseState::Usable(_));
    // A tenant with a published Secret used the database before, and the database is usable again.
    let served = is_true(&old.conditions, Is::Available) || (usable && old.secret_ref.is_some());
    let leaving = pass.is_deleting();
    let updating = served && standing == Standing::Reconciling && !leaving && !begins_nothing(step);
    let summary = if updating { Reason::Updating } else { reason };
    let paused = matches!(step, Step::Sleep | Step::GiveBack);
    let ready = paused || rests(step);
    // Nobody can use the database before its logins are enabled again.
    let closed = paused || step == Step::Resume;
    // A database that cannot be paused stays available.
    let in_use =
        ready || (matches!(step, Step::Stop(_)) && matches!(observed.facts.power, Power::Refused(_)) && usable);
    conditions.set(Is::Ready, ready, summary, message);
    let runs = !closed && (in_use || (served && usable && !leaving));
    serving::condition(pass, conditions, (runs, ready), (reason, message));
    if usable && !closed {
        conditions.set(Is::DatabaseReady, true, Reason::Ready, &proven(pass, observed));
    } else {
        conditions.set(Is::DatabaseReady, false, reason, message);
    }
    parts::parts(pass, observed, conditions, reason);
    reach::keys(observed, conditions);
    let gone = sources(observed, conditions).filter(|_| find(&old.conditions, Is::SourceAvailable).is_none());
    conditions.keep_shown(Is::BackedUp);
    conditions.stand(standing, summary, message);
    gone
}

/// The message of a database that is usable.
fn proven(pass: &Pass, observed: &Observed) -> String {
    let elsewhere = claim::elsewhere(&pass.object, observed.database.as_ref());
    let earlier = || existing::told(pass).map(|earlier| format!("a login succeeded. However: {earlier}"));
    elsewhere
        .or_else(earlier)
        .unwrap_or_else(|| "proven usable by a login".to_owned())
}

/// The description of a step, and the message for people.
fn described(pass: &Pass, step: Step, observed: &Observed) -> (Description, String) {
    if step == Step::Intend && telling::will_queue(pass, observed) {
        return (Wait::Turn.describe(), WILL_QUEUE.to_owned());
    }
    let mut description = describe(step);
    let mut message = if observed.message.is_empty() && rests(step) {
        parts::handed_over(pass, observed, description.message).to_owned()
    } else if observed.message.is_empty() {
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
    if step == Step::Stop(Stop::Connection)
        && let Some(wrong) = &observed.inside.invalid
    {
        message.clone_from(wrong);
    }
    let life = &observed.life;
    for told in life
        .ignored()
        .into_iter()
        .chain(life.refusal())
        .filter(|_| step == Step::Rest)
    {
        message = format!("{message}. {told}");
    }
    (description, message)
}

/// The warning of sources that cannot be read while everything that was read from them earlier is applied, and its event.
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
fn migrations(inside: &InsideFacts, old: Option<MigrationStatus>) -> Option<MigrationStatus> {
    let mut now = inside.migrations().cloned().or(old)?;
    // An Orchestra that keeps its older source has no plan to approve.
    now.plan = now.plan.filter(|_| inside.wanted.kept.is_none());
    match &inside.wanted.newer {
        Newer::Unknown => {}
        Newer::Nothing => now.available = None,
        Newer::Source(newer) => now.available = Some(newer.clone()).filter(|newer| *newer != now.source),
    }
    Some(now)
}

/// The plan of a seed that waits; the one of the last status while nothing was found out about the seed.
fn seed_plan(inside: &InsideFacts, old: Option<MigrationPlan>) -> Option<MigrationPlan> {
    match inside.inside.seed {
        WorkState::AwaitsApproval => inside.seed_plan.clone(),
        WorkState::Done | WorkState::Running => None,
        _ => old,
    }
}

/// The new status: the facts of this pass, and else the values of the last status. A check that was asked for counts as
/// done when the pass has nothing left to do.
fn facts(
    pass: &Pass,
    step: Step,
    observed: &Observed,
    old: OrchestraStatus,
    phase: &str,
    conditions: Vec<Condition>,
) -> OrchestraStatus {
    let (settled, now) = (rests(step), observed.now);
    let database = observed.database.as_ref();
    let known = database.and_then(|database| database.status.as_ref());
    let class_name = observed.class.as_ref().map(|class| class.name_any());
    let published = published(pass, observed);
    let template = applied_template(pass, observed, class_name.clone()).filter(|_| settled);
    let mut new = OrchestraStatus {
        observed_generation: pass.object.metadata.generation.unwrap_or_default(),
        phase: Some(phase.into()),
        conditions,
        class_name: class_name.or(old.class_name),
        // The OrchestraDatabase names its Orchestra from now on.
        claiming: if database.is_some() {
            None
        } else {
            pass.reserved.clone().or(old.claiming)
        },
        cost: known.and_then(|known| known.cost.clone()).or(old.cost),
        database_name: database.map(ResourceExt::name_any).or(old.database_name),
        project: known.and_then(project).or(old.project),
        placement: database
            .and_then(|database| placed::chosen(&pass.object, observed.class.as_deref(), database))
            .or(old.placement),
        former_secrets: former::after(&pass.object, published.as_ref(), now),
        binding: former::binding(&pass.object, published.as_ref()),
        restore: restore::told(old.restore, &observed.inside.restoring),
        secret_ref: published.or(old.secret_ref),
        health: serving::health(pass, settled, old.health.as_ref(), now).filter(|_| step != Step::Sleep),
        credentials: rotation::status(pass, database, old.credentials, now),
        power: power::status(pass, step, observed, old.power),
        migrations: migrations(&observed.inside, old.migrations),
        handled_check: drift::asked(pass).filter(|_| settled).or(old.handled_check),
        template: template.or(old.template),
        seed: observed.inside.seed().or(old.seed),
        seed_plan: seed_plan(&observed.inside, old.seed_plan),
        applied_sources: unavailable::applied(pass, observed),
        backup: old.backup,
        expires_at: old.expires_at,
        ttl_since: old.ttl_since,
        expiry_notice: old.expiry_notice,
    };
    observed.life.note(pass, &mut new);
    new
}

/// The project of a hosted database.
fn project(known: &OrchestraDatabaseStatus) -> Option<ProjectReference> {
    let project = known.project.as_ref()?;
    Some(ProjectReference {
        reference: project.reference.clone(),
        region: project.region.clone(),
    })
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

/// The connection Secret that this pass has found correct or written.
fn published(pass: &Pass, observed: &Observed) -> Option<PublishedSecret> {
    let right = &observed.inside.secret.right;
    pass.published.clone().or_else(|| right.clone())
}

/// Records which connection Secret was given back.
pub async fn note_secret(pass: &mut Pass, now: Timestamp) -> Result<(), Error> {
    let published = pass.published.clone();
    let former = former::after(&pass.object, published.as_ref(), now);
    let change = |new: &mut OrchestraStatus| (new.former_secrets, new.secret_ref) = (former, published);
    pass.change_status(change).await
}

/// Records that the database runs again.
pub async fn note_power(pass: &mut Pass, power: PowerStatus) -> Result<(), Error> {
    // An empty state is omitted.
    let power = Some(power).filter(|power| *power != PowerStatus::default());
    pass.change_status(|new| new.power = power).await
}

/// Writes the error that stopped a pass. A tenant in use stays Ready during a transient error.
pub async fn report(orchestra: Arc<Orchestra>, ctx: Arc<Context>, error: Arc<Error>) -> Result<(), Error> {
    let Some(object) = controller::status::current(&ctx.core, &*orchestra).await? else {
        return Ok(());
    };
    let mut pass = Pass::new(object, ctx);
    pass.ctx.rollout.turns.leave(pass.uid());
    let old = pass.object.status.clone().unwrap_or_default();
    let (reason, message) = (error.reason(), failure::named(&old, &error));
    foreign::watch(&pass, reason);
    let passing = error.is_passing();
    let standing = if passing {
        Standing::Reconciling
    } else {
        Standing::Stalled
    };
    if !passing {
        pass.ctx.core.metrics.provisioning().leave(pass.uid());
    }
    let conditions = conditions_of_error(&pass, &old, (standing, reason, &message));
    let before = old.phase.clone().unwrap_or_else(|| "Pending".into());
    let phase = match (pass.is_deleting(), passing) {
        (true, _) => "Deleting",
        (false, true) => before.as_str(),
        (false, false) => "Failed",
    };
    let was = old.health.clone();
    // What such a source holds is not what was applied.
    let unusable = reason == Reason::SourceInvalid;
    let mut new = OrchestraStatus {
        observed_generation: pass.object.metadata.generation.unwrap_or_default(),
        phase: Some(phase.into()),
        conditions,
        health: serving::health(&pass, false, was.as_ref(), Timestamp::now()),
        applied_sources: old.applied_sources.filter(|_| !unusable),
        ..old
    };
    if let Some(source) = pass.ctx.rollout.turns.failed(pass.uid()) {
        let migrations = new.migrations.get_or_insert_default();
        (migrations.source, migrations.failed, migrations.plan) = (source, true, None);
        let attempt = failure::attempt(&pass.object, &migrations.source);
        migrations.failure = Some(failure::remembered(migrations.failure.take(), &error, attempt));
    }
    let news = news(&pass, &new, (standing, reason, &message), false);
    let health = serving::news(was.as_ref(), new.health.as_ref());
    pass.write_status(new, news).await?;
    if let Some(health) = health {
        tell(&pass.ctx.core, &pass.object, &health).await;
    }
    Ok(())
}

/// The conditions after an error: False for the part that failed, and all others as they were.
fn conditions_of_error(
    pass: &Pass,
    old: &OrchestraStatus,
    (standing, reason, message): (Standing, Reason, &str),
) -> Vec<Condition> {
    let same = Some(old.observed_generation) == pass.object.metadata.generation;
    let mut conditions = Conditions::new(&old.conditions, pass.object.metadata.generation);
    if standing == Standing::Reconciling && same && is_true(&old.conditions, Is::Ready) {
        conditions.keep(Is::Ready, reason);
    } else {
        conditions.set(Is::Ready, false, reason, message);
    }
    serving::kept(pass, &mut conditions, old);
    for part in [
        Is::DatabaseReady,
        Is::CredentialsReady,
        Is::Migrated,
        Is::HistoryAgrees,
        Is::Seeded,
    ] {
        if Some(part) == failed_part(reason) {
            conditions.set(part, false, reason, message);
        } else if standing == Standing::Reconciling && same {
            // A transient failure changes no message.
            conditions.keep_stale(part, Reason::Pending);
        } else {
            conditions.keep_stale(part, reason);
        }
    }
    for warning in [Is::SourceAvailable, Is::TablesReadable, Is::KeysUsable, Is::BackedUp] {
        conditions.keep_shown(warning);
    }
    conditions.stand(standing, reason, message);
    conditions.finish()
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
