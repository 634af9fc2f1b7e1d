//! What a step means for people and machines: phase, conditions, events.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::Resource;
use kube::api::Api;
use kube::runtime::events::EventType;

use super::Context;
use super::Pass;
use super::deadline::{self, REPLACEMENTS};
use super::describe::describe;
use super::plan::Step;
use crate::api::condition::{ConditionType, Reason};
use crate::api::{OrchestraDatabase, OrchestraDatabaseStatus};
use crate::controller::conditions::{Conditions, Progress, find, is_true};
use crate::controller::error::Error;
use crate::controller::write::{publish, write_status};

/// Writes the status for a step that something is waited for at, when it differs from what is there.
/// What is quick goes into the next write: each write is a request, and wakes others.
pub async fn write(pass: &mut Pass, step: Step) -> Result<(), Error> {
    let quick = matches!(
        step,
        Step::AddFinalizer
            | Step::StorePassword
            | Step::Announce
            | Step::Create
            | Step::Record
            | Step::Replace
            | Step::Renew
            | Step::Restore
            | Step::Connect
            | Step::Probe
            | Step::DeleteSelf
            | Step::Forget
    );
    // What was proven with a password that is lost is not proven: this is written before another one is
    // stored, or nobody would know any more that the project has still the old one.
    let status = pass.object.status.as_ref();
    let loses_proof =
        step == Step::StorePassword && status.is_some_and(|status| is_true(&status.conditions, ConditionType::Ready));
    if quick && !loses_proof {
        return Ok(());
    }
    let mut new = pass.object.status.clone().unwrap_or_default();
    let told = describe_into(pass, step, &mut new);
    if step == Step::Rest && new.usable_since.is_none() {
        new.usable_since = Some(Time(jiff::Timestamp::now()));
    }
    store(pass, new, told).await
}

/// Changes the journal in the status, by compare-and-swap, together with what the step means.
pub async fn change(
    pass: &mut Pass,
    step: Step,
    change: impl FnOnce(&mut OrchestraDatabaseStatus),
) -> Result<(), Error> {
    let mut new = pass.object.status.clone().unwrap_or_default();
    let told = describe_into(pass, step, &mut new);
    change(&mut new);
    store(pass, new, told).await
}

/// What a status says, for the event that tells of it.
struct Told {
    reason: Reason,
    message: String,
    progress: Progress,
}

fn describe_into(pass: &Pass, step: Step, new: &mut OrchestraDatabaseStatus) -> Told {
    let (phase, ready, progress, reason, message) = describe(step, pass.claim(), is_replacement(pass));
    let late = (progress == Progress::Reconciling && reason != Reason::Replacing)
        .then(|| too_late(pass, message))
        .flatten();
    let (progress, reason, message) = match late {
        Some(late) => (Progress::Stalled, Reason::DeadlineExceeded, late),
        None => (progress, reason, message.to_string()),
    };
    let mut conditions = Conditions::new(&new.conditions, pass.object.metadata.generation);
    conditions.set(ConditionType::Ready, ready, reason, &message);
    conditions.progress(progress, reason, &message);
    let conditions = conditions.finish();
    new.conditions = conditions;
    new.phase = Some(phase.into());
    new.cost = crate::class::price::of_database(&pass.ctx.class, &pass.object);
    new.observed_generation = pass.object.metadata.generation.unwrap_or_default();
    new.claim = pass
        .object
        .spec
        .claim_ref
        .as_ref()
        .map(|claim| format!("{}/{}", claim.namespace, claim.name));
    Told {
        reason,
        message,
        progress,
    }
}

/// Writes what stopped a pass. A usable database stays Ready through a blip that passes by itself.
pub async fn report(database: Arc<OrchestraDatabase>, ctx: Arc<Context>, error: Arc<Error>) -> Result<(), Error> {
    let api: Api<OrchestraDatabase> = Api::all(ctx.core.client.clone());
    let Some(object) = api
        .get_opt(database.metadata.name.as_deref().unwrap_or_default())
        .await?
    else {
        return Ok(());
    };
    let passing = error.is_passing();
    let mut pass = Pass::new(object, ctx);
    let mut new = pass.object.status.clone().unwrap_or_default();
    let (reason, message) = (error.reason(), error.to_string());
    let mut conditions = Conditions::new(&new.conditions, pass.object.metadata.generation);
    let leaving = pass.object.metadata.deletion_timestamp.is_some();
    if new.usable_since.is_some() && !leaving && is_of_account(reason) {
        // One wrong token would otherwise stop all databases of its class that are in use.
        conditions.keep(ConditionType::Ready, reason);
        new.conditions = conditions.finish();
        new.observed_generation = pass.object.metadata.generation.unwrap_or_default();
        write_status(&pass.ctx.core, &pass.object, pass.object.status.as_ref(), &new).await?;
        return Ok(());
    }
    if new.usable_since.is_some() {
        // What stops us from looking does not stop the database from serving.
        conditions.keep(ConditionType::Ready, reason);
    } else {
        conditions.set(ConditionType::Ready, false, reason, &message);
    }
    let late = passing.then(|| too_late(&pass, &message)).flatten();
    let (progress, reason, message) = match (late, passing) {
        (Some(late), _) => (Progress::Stalled, Reason::DeadlineExceeded, late),
        (None, true) => (Progress::Reconciling, reason, message),
        (None, false) => (Progress::Stalled, reason, message),
    };
    conditions.progress(progress, reason, &message);
    let conditions = conditions.finish();
    new.conditions = conditions;
    new.observed_generation = pass.object.metadata.generation.unwrap_or_default();
    match (passing, new.usable_since.is_some()) {
        (false, false) => new.phase = Some("Failed".into()),
        (true, false) if reason == Reason::Queued => new.phase = Some("Queued".into()),
        _ => {}
    }
    store(
        &mut pass,
        new,
        Told {
            reason,
            message,
            progress,
        },
    )
    .await
}

/// Whether it is the provider's account that is in trouble, which the class tells of, and which stops
/// nothing but creations and deletions.
fn is_of_account(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::TokenMissing | Reason::TokenRejected | Reason::PermissionDenied | Reason::OrganizationNotFound
    )
}

async fn store(pass: &mut Pass, new: OrchestraDatabaseStatus, told: Told) -> Result<(), Error> {
    let Told {
        reason,
        message,
        progress,
    } = told;
    let type_ = if progress == Progress::Stalled {
        ConditionType::Stalled
    } else {
        ConditionType::Ready
    };
    let before = pass
        .object
        .status
        .as_ref()
        .and_then(|status| find(&status.conditions, type_).cloned());
    if let Some(object) = write_status(&pass.ctx.core, &pass.object, pass.object.status.as_ref(), &new).await? {
        pass.object = object;
    }
    // Whoever waits for long in the queue is told of it once more.
    let is_news = |before: &Condition| {
        before.reason != reason.as_str() || (reason == Reason::Queued && before.message != message)
    };
    if before.as_ref().is_none_or(is_news) {
        let kind = if progress == Progress::Stalled {
            EventType::Warning
        } else {
            EventType::Normal
        };
        publish(
            &pass.ctx.core.recorder,
            &pass.object.object_ref(&()),
            kind,
            reason,
            &message,
        )
        .await;
    }
    Ok(())
}

/// Says that the database is past its deadline, what the provider last said of it, and what to do.
fn too_late(pass: &Pass, message: &str) -> Option<String> {
    let late = deadline::passed(pass)?;
    let said = pass
        .said
        .as_ref()
        .map(|said| format!("; the project is {said}"))
        .unwrap_or_default();
    let replaced = pass.object.status.as_ref().map_or(0, |status| status.replaced.len());
    let replaced = match replaced {
        0 => String::new(),
        count => format!("; replaced {count} of {REPLACEMENTS} times"),
    };
    Some(format!(
        "{late}{said}{replaced}; {message}. It goes on by itself when the project becomes usable; else ask the \
         provider's support, or delete the Orchestra and create it anew"
    ))
}

/// A project is deleted because another one takes its place.
fn is_replacement(pass: &Pass) -> bool {
    let status = pass.object.status.as_ref();
    let recorded = status.and_then(|status| status.project.as_ref());
    let replaced =
        recorded.is_some_and(|project| status.is_some_and(|status| status.replaced.contains(&project.reference)));
    replaced && pass.object.metadata.deletion_timestamp.is_none()
}
