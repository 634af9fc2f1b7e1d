//! What a step means for people and machines: phase, conditions, events.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Resource;
use kube::api::Api;
use kube::runtime::events::EventType;

use super::Pass;
use super::plan::{Claim, Step};
use crate::api::condition::{ConditionType, Reason};
use crate::api::{OrchestraDatabase, OrchestraDatabaseStatus};
use crate::controller::Context;
use crate::controller::conditions::{Conditions, Progress, find};
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
            | Step::Connect
            | Step::Probe
            | Step::DeleteSelf
            | Step::Forget
    );
    if quick {
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
    let (phase, ready, progress, reason, message) = describe(step, pass.claim());
    let (progress, reason, message) = match past_deadline(pass, progress) {
        Some(late) => (
            Progress::Stalled,
            Reason::DeadlineExceeded,
            format!("{late}; {message}"),
        ),
        None => (progress, reason, message.to_string()),
    };
    let mut conditions = Conditions::new(&new.conditions, pass.object.metadata.generation);
    conditions.set(ConditionType::Ready, ready, reason, &message);
    conditions.progress(progress, reason, &message);
    let conditions = conditions.finish();
    new.conditions = conditions;
    new.phase = Some(phase.into());
    new.cost = crate::class::price::of_database(&pass.ctx, &pass.object);
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
    let api: Api<OrchestraDatabase> = Api::all(ctx.client.clone());
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
    if new.usable_since.is_some() {
        // What stops us from looking does not stop the database from serving.
        conditions.keep(ConditionType::Ready, reason);
    } else {
        conditions.set(ConditionType::Ready, false, reason, &message);
    }
    let progress = if passing {
        Progress::Reconciling
    } else {
        Progress::Stalled
    };
    conditions.progress(progress, reason, &message);
    let conditions = conditions.finish();
    new.conditions = conditions;
    new.observed_generation = pass.object.metadata.generation.unwrap_or_default();
    if !passing && new.usable_since.is_none() {
        new.phase = Some("Failed".into());
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
    if let Some(object) = write_status(&pass.api(), &pass.object, pass.object.status.as_ref(), &new).await? {
        pass.object = object;
    }
    if before.is_none_or(|before| before.reason != reason.as_str()) {
        let kind = if progress == Progress::Stalled {
            EventType::Warning
        } else {
            EventType::Normal
        };
        publish(&pass.ctx.recorder, &pass.object.object_ref(&()), kind, reason, &message).await;
    }
    Ok(())
}

/// Phase, Ready, progress, reason and message of a step.
fn describe(step: Step, claim: Claim) -> (&'static str, bool, Progress, Reason, &'static str) {
    use Progress::{Reconciling, Settled, Stalled};
    match step {
        Step::AddFinalizer | Step::StorePassword | Step::Announce => (
            "Pending",
            false,
            Reconciling,
            Reason::Pending,
            "preparing the creation of the project",
        ),
        Step::Create | Step::Record => (
            "Provisioning",
            false,
            Reconciling,
            Reason::Provisioning,
            "creating the project",
        ),
        Step::AwaitOutcome => (
            "Provisioning",
            false,
            Reconciling,
            Reason::OutcomeUnknown,
            "the outcome of the create request is unknown; it is looked up before another one is sent",
        ),
        Step::AwaitHealthy => (
            "Provisioning",
            false,
            Reconciling,
            Reason::Provisioning,
            "waiting for the provider: the project is being set up",
        ),
        Step::Connect => (
            "Provisioning",
            false,
            Reconciling,
            Reason::Provisioning,
            "waiting for the project's services, pooler and keys",
        ),
        Step::Probe => (
            "Provisioning",
            false,
            Reconciling,
            Reason::Provisioning,
            "waiting for the first login to succeed",
        ),
        Step::ResetPassword => (
            "Provisioning",
            false,
            Reconciling,
            Reason::LoginFailed,
            "the project has another password; setting the one that is stored",
        ),
        Step::Rest => match claim {
            Claim::None => ("Available", true, Settled, Reason::Available, "waits for a claim"),
            Claim::Held => (
                "Bound",
                true,
                Settled,
                Reason::Bound,
                "claimed, and proven usable by a login",
            ),
            Claim::Released => (
                "Released",
                true,
                Settled,
                Reason::Released,
                "the claim is gone; the database and its data are kept",
            ),
        },
        Step::Hold => (
            "Bound",
            true,
            Stalled,
            Reason::InUse,
            "deletion was asked for, but an Orchestra holds the claim: delete the Orchestra first",
        ),
        Step::DeleteSelf | Step::Destroy | Step::AwaitGone | Step::Forget => (
            "Deleting",
            false,
            Reconciling,
            Reason::Deleting,
            "the project is being destroyed",
        ),
        Step::Stop(reason) => ("Failed", false, Stalled, reason, advice(reason)),
    }
}

/// What a person should do about a stop.
fn advice(reason: Reason) -> &'static str {
    match reason {
        Reason::ProjectConflict => {
            "several projects carry this database's marker; nothing is created or deleted. Keep the one that holds the \
             data, and delete the others in the provider's dashboard"
        }
        Reason::DatabaseLost => {
            "the project was deleted at the provider; it is never silently replaced. Restore it with the provider's \
             support, or delete the Orchestra and create it anew"
        }
        Reason::ProjectPaused => {
            "the provider has paused the project. Restore it in the provider's dashboard; the operator goes on by itself"
        }
        Reason::ProviderFailed => {
            "the provider says that the project failed. Contact its support, or delete the Orchestra and create it anew"
        }
        _ => "a person must act",
    }
}

/// Says how long a database has been on its way when that is longer than its class allows.
fn past_deadline(pass: &Pass, progress: Progress) -> Option<String> {
    let status = pass.object.status.as_ref();
    if progress != Progress::Reconciling
        || pass.object.metadata.deletion_timestamp.is_some()
        || status.is_some_and(|status| status.usable_since.is_some())
    {
        return None;
    }
    let class = crate::class::resolve(&pass.ctx, pass.object.spec.class_name.as_deref()).ok()?;
    let deadline: jiff::SignedDuration = class.spec.progress_deadline.parse().ok()?;
    let taken = jiff::Timestamp::now().duration_since(pass.object.metadata.creation_timestamp.as_ref()?.0);
    (taken > deadline).then(|| {
        // The deadline, not the time taken: a status does not count seconds.
        format!("not usable {} after its creation", class.spec.progress_deadline)
    })
}
