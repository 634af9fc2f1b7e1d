//! What a step means for people and machines: phase, conditions, events.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::Api;
use kube::runtime::events::EventType;
use kube::{Resource, ResourceExt};

use super::Context;
use super::observe::Observed;
use super::phase::describe;
use super::plan::{Database, Step, Work};
use super::{Newer, Pass, drift, migrating};
use crate::api::condition::{ConditionType as Is, Reason};
use crate::api::{AppliedTemplate, MigrationStatus, Orchestra, OrchestraStatus, ProjectReference, PublishedSecret};
use crate::controller::conditions::{Conditions, Standing, find, is_true};
use crate::controller::error::Error;
use crate::controller::write::{namespaced, publish, write_status};
use crate::migrate::guard::Verdict;
use crate::rollout::Kept;

/// Writes the status for a step, when it differs from what is there.
pub async fn write(pass: &mut Pass, step: Step, observed: &Observed) -> Result<(), Error> {
    // The finalizer is the first thing on a new object, and the last; no status goes with it.
    let leaving = pass.object.metadata.deletion_timestamp.is_some();
    if matches!(step, Step::AddFinalizer | Step::Forget) || (leaving && step == Step::Rest) {
        return Ok(());
    }
    // What is quick goes into the next write: each write is a request, and wakes others. A new
    // generation is observed at once all the same.
    let quick = matches!(
        step,
        Step::Create | Step::Take | Step::PrepareLogin | Step::ClearPlan | Step::Publish
    );
    let observed_before = pass.object.status.as_ref().map(|status| status.observed_generation);
    if quick && (observed_before == pass.object.metadata.generation || observed_before == Some(-1)) {
        return Ok(());
    }
    let (phase, progress, reason, words) = describe(step);
    let message = if observed.message.is_empty() {
        words
    } else {
        &observed.message
    };
    let old = pass.object.status.clone().unwrap_or_default();
    let mut conditions = Conditions::new(&old.conditions, pass.object.metadata.generation);
    let ready = step == Step::Rest;
    let usable = observed.seen.database == Database::Usable;
    // It has its Secret: what was wrong with its database is over.
    let served = is_true(&old.conditions, Is::Available) || (usable && old.secret_ref.is_some());
    // Nothing is begun, and nobody may think so after a restart.
    let waits = matches!(reason, Reason::ApprovalPending | Reason::RolloutPending);
    let updating = served && progress == Standing::Reconciling && !leaving && !waits;
    let summary = if updating { Reason::Updating } else { reason };
    conditions.set(Is::Ready, ready, summary, message);
    let available = ready || (served && usable && !leaving);
    let (why, told) = if available {
        (Reason::Ready, "applications can use it")
    } else {
        (reason, message)
    };
    conditions.set(Is::Available, available, why, told);
    let (why, told) = if usable {
        (Reason::Ready, "proven usable by a login")
    } else {
        (reason, message)
    };
    conditions.set(Is::DatabaseReady, usable, why, told);
    parts(pass, observed, &mut conditions, reason);
    conditions.stand(progress, summary, message);
    let conditions = conditions.finish();
    tell_approved(pass, &old).await;
    let new = facts(pass, old, phase, conditions);
    store(pass, new, progress, reason, message).await?;
    if let Some(lost) = pass.restored.take() {
        let subject = pass.object.object_ref(&());
        publish(
            &pass.ctx.core.recorder,
            &subject,
            EventType::Warning,
            Reason::HistoryLost,
            &lost,
        )
        .await;
    }
    Ok(())
}

/// An event for the approval that was waited for. Who gave it, the annotation does not say.
async fn tell_approved(pass: &Pass, old: &OrchestraStatus) {
    let waited = old.migrations.as_ref().and_then(|migrations| migrations.plan.as_ref());
    let approved = pass
        .review
        .as_ref()
        .filter(|review| review.verdict == Verdict::Approved);
    if let Some(review) = approved.filter(|review| waited.is_some_and(|plan| plan.digest == review.plan.digest)) {
        let note = format!("plan {} is approved, its migrations are applied", review.plan.digest);
        let subject = pass.object.object_ref(&());
        publish(
            &pass.ctx.core.recorder,
            &subject,
            EventType::Normal,
            Reason::Approved,
            &note,
        )
        .await;
    }
}

/// The conditions of the parts inside the database.
fn parts(pass: &Pass, observed: &Observed, conditions: &mut Conditions<'_>, reason: Reason) {
    let seen = &observed.seen;
    if seen.database != Database::Usable {
        for part in [Is::CredentialsReady, Is::Migrated, Is::Seeded] {
            conditions.keep(part, Reason::Pending);
        }
        return;
    }
    let (why, told) = if seen.published {
        (Reason::Ready, "the connection Secret is published")
    } else {
        (
            reason,
            "the connection Secret follows when the database is migrated and seeded",
        )
    };
    conditions.set(Is::CredentialsReady, seen.published, why, told);
    let template = migrating::template(pass);
    let migrates = migrating::wanted(pass).is_some();
    let seeds = pass.object.spec.seed.is_some() || template.is_some_and(|template| template.seed.is_some());
    for (part, work, asked) in [
        (Is::Migrated, seen.migrations, migrates),
        (Is::Seeded, seen.seed, seeds),
    ] {
        match (asked, work) {
            (false, _) => conditions.set(part, true, Reason::NotRequested, "nothing is asked for"),
            (true, Work::Done) => {
                let (why, told) = done(pass.kept.filter(|_| part == Is::Migrated));
                conditions.set(part, true, why, told);
            }
            (true, _) => conditions.set(part, false, reason, "not applied yet"),
        }
    }
    let old = pass
        .object
        .status
        .as_ref()
        .and_then(|status| status.migrations.as_ref());
    if let Some(migrations) = pass.migrations.as_ref().or(old) {
        match &migrations.divergence {
            None => conditions.set(
                Is::HistoryAgrees,
                true,
                Reason::Ready,
                "the history and the source agree",
            ),
            Some(what) => conditions.set(Is::HistoryAgrees, false, Reason::HistoryDiverged, what),
        }
    }
}

/// What is said of a part that is done.
fn done(kept: Option<Kept>) -> (Reason, &'static str) {
    match kept {
        None => (Reason::Ready, "everything is applied"),
        Some(Kept::Pinned) => (Reason::Pinned, "what is applied is kept, as spec.pinMigrations says"),
        Some(Kept::Waits | Kept::Queued) => (
            Reason::RolloutPending,
            "everything of the older source is applied; the class's rollout has not come here",
        ),
    }
}

/// The migrations, with what waits to be applied instead of them.
fn migrations(pass: &Pass, old: Option<MigrationStatus>) -> Option<MigrationStatus> {
    let mut now = pass.migrations.clone().or(old)?;
    // What it keeps is not what the plan would change.
    now.plan = now.plan.filter(|_| pass.kept.is_none());
    match &pass.newer {
        Newer::Unknown => {}
        Newer::Nothing => now.available = None,
        Newer::Source(newer) => now.available = Some(newer.clone()).filter(|newer| *newer != now.source),
    }
    Some(now)
}

/// What was learned in this pass, over what the last status said.
///
/// A look that was asked for is done when the pass ends at rest.
fn facts(pass: &Pass, old: OrchestraStatus, phase: &str, conditions: Vec<Condition>) -> OrchestraStatus {
    let settled = is_true(&conditions, Is::Ready);
    let database = pass.database.as_ref();
    let project = database
        .and_then(|database| database.status.as_ref())
        .and_then(|status| status.project.as_ref());
    OrchestraStatus {
        observed_generation: pass.object.metadata.generation.unwrap_or_default(),
        phase: Some(phase.into()),
        conditions,
        class_name: pass.class.as_ref().map(|class| class.name_any()).or(old.class_name),
        // The claim itself says the rest.
        claiming: if database.is_some() {
            None
        } else {
            pass.candidate.clone().or(old.claiming)
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
        secret_ref: published(pass).or(old.secret_ref),
        migrations: migrations(pass, old.migrations),
        handled_check: drift::asked(pass).cloned().filter(|_| settled).or(old.handled_check),
        template: migrating::template(pass)
            .filter(|_| settled && pass.kept.is_none())
            .map(|template| AppliedTemplate {
                class_name: pass.class.as_ref().map(|class| class.name_any()).unwrap_or_default(),
                name: template.name.clone(),
                version: template.version.clone(),
            })
            .or(old.template),
        seed: pass.seed.clone().or(old.seed),
    }
}

/// The connection Secret that this pass has found right or written.
fn published(pass: &Pass) -> Option<PublishedSecret> {
    pass.secret_version.clone().map(|version| PublishedSecret {
        name: pass.object.secret_name(),
        resource_version: Some(version),
    })
}

/// Writes down which connection Secret was given back.
pub async fn note_secret(pass: &mut Pass) -> Result<(), Error> {
    let old = pass.object.status.as_ref();
    let new = OrchestraStatus {
        secret_ref: published(pass),
        ..old.cloned().unwrap_or_default()
    };
    if let Some(object) = write_status(&pass.ctx.core, &pass.object, old, &new).await? {
        pass.object = object;
    }
    Ok(())
}

/// Writes what stopped a pass. A tenant in use stays Ready through a blip that passes by itself.
pub async fn report(orchestra: Arc<Orchestra>, ctx: Arc<Context>, error: Arc<Error>) -> Result<(), Error> {
    let api: Api<Orchestra> = namespaced(&ctx.core.client, &*orchestra);
    let Some(object) = api.get_opt(&orchestra.name_any()).await? else {
        return Ok(());
    };
    let mut pass = Pass::new(object, ctx);
    pass.ctx.rollout.turns.leave(pass.uid());
    let old = pass.object.status.clone().unwrap_or_default();
    let (reason, message) = (error.reason(), error.to_string());
    let passing = error.is_passing();
    let same = Some(old.observed_generation) == pass.object.metadata.generation;
    let mut conditions = Conditions::new(&old.conditions, pass.object.metadata.generation);
    if passing && same && is_true(&old.conditions, Is::Ready) {
        conditions.keep(Is::Ready, reason);
    } else {
        conditions.set(Is::Ready, false, reason, &message);
    }
    for part in [
        Is::Available,
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
    let progress = if passing {
        Standing::Reconciling
    } else {
        Standing::Stalled
    };
    conditions.stand(progress, reason, &message);
    let deleting = pass.object.metadata.deletion_timestamp.is_some();
    let before = old.phase.clone().unwrap_or_else(|| "Pending".into());
    let phase = match (deleting, passing) {
        (true, _) => "Deleting",
        (false, true) => before.as_str(),
        (false, false) => "Failed",
    };
    let conditions = conditions.finish();
    if let Some(failed) = pass.ctx.rollout.turns.failed(pass.uid()) {
        pass.migrations = Some(MigrationStatus {
            source: failed,
            failed: true,
            plan: None,
            ..old.migrations.clone().unwrap_or_default()
        });
    }
    let new = facts(&pass, old, phase, conditions);
    store(&mut pass, new, progress, reason, &message).await
}

/// The part that a failure belongs to.
fn failed_part(reason: Reason) -> Option<Is> {
    match reason {
        Reason::MigrationFailed | Reason::MigrationUnfinished | Reason::MigrationLocked => Some(Is::Migrated),
        Reason::HistoryDiverged => Some(Is::HistoryAgrees),
        Reason::SeedFailed => Some(Is::Seeded),
        Reason::SecretConflict => Some(Is::CredentialsReady),
        _ => None,
    }
}

async fn store(
    pass: &mut Pass,
    new: OrchestraStatus,
    progress: Standing,
    reason: Reason,
    message: &str,
) -> Result<(), Error> {
    let told = |status: Option<&OrchestraStatus>| {
        let conditions = status.map(|status| status.conditions.as_slice()).unwrap_or_default();
        let condition = find(conditions, Is::Stalled)
            .or_else(|| find(conditions, Is::Reconciling))
            .or_else(|| find(conditions, Is::Ready));
        // Whoever waits for long in the queue is told of it once more, and of each plan that waits.
        condition.map(|condition| {
            let again = [Reason::Queued.as_str(), Reason::ApprovalPending.as_str()];
            let again = again.contains(&condition.reason.as_str());
            (condition.reason.clone(), again.then(|| condition.message.clone()))
        })
    };
    let news = told(pass.object.status.as_ref()) != told(Some(&new));
    if let Some(object) = write_status(&pass.ctx.core, &pass.object, pass.object.status.as_ref(), &new).await? {
        pass.object = object;
    }
    // A claim is a moment on the way to what the next event tells.
    if news && reason != Reason::Claiming {
        let kind = if progress == Standing::Stalled {
            EventType::Warning
        } else {
            EventType::Normal
        };
        publish(
            &pass.ctx.core.recorder,
            &pass.object.object_ref(&()),
            kind,
            reason,
            message,
        )
        .await;
    }
    Ok(())
}
