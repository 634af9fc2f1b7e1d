//! Describes a backup.

use std::sync::Arc;

use kube::ResourceExt as _;

use super::drill::plan::Step as Drill;
use super::observe::Observed;
use super::plan::{Step, Task};
use super::{Context, Pass, drill, job};
use crate::api::condition::{ConditionType, Reason};
use crate::api::names::RETRY_ANNOTATION;
use crate::api::{BackupProgress, OrchestraBackup, OrchestraBackupStatus};
use crate::controller::conditions::{Conditions, Standing};
use crate::controller::error::Error;
use crate::controller::status::{self, News, current};

/// What the status says at a step.
struct Description {
    phase: &'static str,
    standing: Standing,
    reason: Reason,
    message: String,
}

/// Writes the status at a step; nothing where the next step writes it.
pub async fn write(pass: &mut Pass, step: Step, observed: &Observed) -> Result<(), Error> {
    let stored = pass.object.spec.stored.is_some();
    let Some(described) = describe(&pass.status(), step, observed, stored) else {
        return Ok(());
    };
    let (new, news) = described.fill(&pass.object, observed.progress.clone());
    pass.write_status(new, news).await
}

#[allow(clippy::too_many_lines, reason = "one table of the steps")]
fn describe(of: &OrchestraBackupStatus, step: Step, observed: &Observed, stored: bool) -> Option<Description> {
    use Standing::{Reconciling, Settled, Stalled};
    let failed = of.failure.as_ref();
    let is_waiting = || match &observed.waits {
        Some(why) => format!("; its pod does not start: {why}"),
        None => String::new(),
    };
    let (phase, standing, reason, message) = match step {
        Step::AddFinalizer | Step::Conclude(_) | Step::CleanUp | Step::Release => return None,
        Step::Record => (
            "Pending",
            Reconciling,
            Reason::Pending,
            if stored {
                "recording which stored backup this is".into()
            } else {
                "recording the source and destination of the backup".into()
            },
        ),
        Step::Announce(Task::Make) | Step::Start(Task::Make) | Step::Await(Task::Make) => (
            "Running",
            Reconciling,
            Reason::BackingUp,
            if stored {
                format!("a Job is reading the manifest of the stored backup{}", is_waiting())
            } else {
                format!("a Job is making the backup{}", is_waiting())
            },
        ),
        Step::Announce(Task::Remove) | Step::Start(Task::Remove) | Step::Await(Task::Remove) => (
            "Deleting",
            Reconciling,
            Reason::Deleting,
            format!("a Job is removing the stored data{}", is_waiting()),
        ),
        Step::Queue(task) => (
            if task == Task::Make { "Queued" } else { "Deleting" },
            Reconciling,
            Reason::Queued,
            "the class or the database server runs as many Jobs as are allowed (backup.maxConcurrent, \
             backup.maxConcurrentPerServer), or another backup of this Orchestra is running: this one starts when a Job ends; \
             namespaces take turns"
                .into(),
        ),
        Step::Wait(task, reason) | Step::Stop(task, reason) => (
            if task == Task::Make { "Pending" } else { "Deleting" },
            if matches!(step, Step::Stop(..)) {
                Stalled
            } else {
                Reconciling
            },
            reason,
            observed.needs.message(reason),
        ),
        Step::Retry(task, _) => {
            let failure = failed?;
            let reason = failure.known_reason().unwrap_or(Reason::BackupFailed);
            let phase = if task == Task::Make { "Running" } else { "Deleting" };
            let standing = if failure.last { Stalled } else { Reconciling };
            (
                phase,
                standing,
                reason,
                format!(
                    "attempt {} failed, the operator tries again: {}",
                    of.attempts, failure.message
                ),
            )
        }
        Step::Drill(step) => return describe_drill(of, step, observed),
        Step::Fail => {
            let failure = failed?;
            let reason = failure.known_reason().unwrap_or(Reason::BackupFailed);
            let message = format!(
                "{} (attempt {}). Fix the cause, then annotate this OrchestraBackup with {RETRY_ANNOTATION}, or \
                 create another one",
                failure.message, of.attempts
            );
            ("Failed", Stalled, reason, message)
        }
        Step::Rest => ("Completed", Settled, Reason::BackedUp, "the backup is complete".into()),
    };
    Some(Description {
        phase,
        standing,
        reason,
        message,
    })
}

/// What the status says at a step of a drill; none where the next step writes it.
fn describe_drill(of: &OrchestraBackupStatus, step: Drill, observed: &Observed) -> Option<Description> {
    let is_waiting = || match &observed.drill.pod.waits {
        Some(why) => format!("; its pod does not start: {why}"),
        None => String::new(),
    };
    let (reason, message) = match step {
        Drill::Refuse | Drill::Conclude | Drill::Pause(_) => return None,
        Drill::Announce | Drill::Start | Drill::Await => (
            Reason::Verifying,
            format!(
                "a Job restores the backup into a scratch database for a drill, and compares it{}",
                is_waiting()
            ),
        ),
        Drill::CleanUp | Drill::Drop => (
            Reason::Verifying,
            "the drill has ended, and its scratch database is being dropped".into(),
        ),
        Drill::Queue => (
            Reason::Queued,
            "the class or the server of the scratch database runs as many Jobs as are allowed (backup.maxConcurrent, \
             backup.maxConcurrentPerServer): the drill starts when a Job ends; namespaces take turns"
                .into(),
        ),
        Drill::Retry(_) => {
            let drill = of.verification.as_ref()?;
            let failure = drill.failure.as_ref()?;
            (
                Reason::Verifying,
                format!(
                    "attempt {} of the drill failed, the operator tries again: {}",
                    drill.failures, failure.message
                ),
            )
        }
    };
    let (phase, reason) = match observed.facts.removal {
        Some(_) => ("Deleting", Reason::Deleting),
        None => ("Verifying", reason),
    };
    Some(Description {
        phase,
        standing: Standing::Reconciling,
        reason,
        message,
    })
}

/// Writes the error that ended a pass. A complete backup stays Ready.
pub async fn report(backup: Arc<OrchestraBackup>, ctx: Arc<Context>, error: Arc<Error>) -> Result<(), Error> {
    let Some(backup) = current(&ctx.core, &*backup).await? else {
        return Ok(());
    };
    let attempts = backup.status.as_ref().map_or(0, |status| status.attempts);
    let name = super::job_name(Task::Make, backup.uid().as_deref().unwrap_or_default(), attempts);
    let has_job = attempts > 0 && job::is_there(&ctx.core, &name);
    let phase = phase_at_error(&backup, has_job, error.is_passing());
    let described = Description {
        phase,
        standing: if error.is_passing() {
            Standing::Reconciling
        } else {
            Standing::Stalled
        },
        reason: error.reason(),
        message: error.to_string(),
    };
    let progress = backup.status.as_ref().and_then(|status| status.progress.clone());
    let (new, news) = described.fill(&backup, progress);
    status::write(&ctx.core, &backup, new, news).await.map(drop)
}

/// The phase of a backup whose pass ended in an error. The phase that the backup has reached stays, whatever the error is;
/// without a Job, a backup that waits for a person is Pending.
fn phase_at_error(backup: &OrchestraBackup, has_job: bool, is_passing: bool) -> &'static str {
    let status = backup.status.as_ref();
    if backup.metadata.deletion_timestamp.is_some() {
        "Deleting"
    } else if backup.is_complete() {
        "Completed"
    } else if backup.has_failed() {
        "Failed"
    } else if has_job || (is_passing && status.is_some_and(|status| status.attempts > 0)) {
        "Running"
    } else {
        "Pending"
    }
}

impl Description {
    /// The status of the backup that says this, and the event, if it is news.
    fn fill(self, backup: &OrchestraBackup, progress: Option<BackupProgress>) -> (OrchestraBackupStatus, Option<News>) {
        let Self {
            phase,
            standing,
            reason,
            message,
        } = self;
        let mut new = backup.status.clone().unwrap_or_default();
        let old = new.conditions.clone();
        let mut conditions = Conditions::new(&old, backup.metadata.generation);
        if backup.is_complete() && standing != Standing::Settled {
            conditions.keep(ConditionType::Ready, reason);
        } else {
            conditions.set(ConditionType::Ready, standing == Standing::Settled, reason, &message);
        }
        drill::condition(&mut conditions, new.verification.as_ref());
        conditions.stand(standing, reason, &message);
        new.conditions = conditions.finish();
        new.phase = Some(phase.into());
        new.progress = progress;
        new.observed_generation = backup.metadata.generation.unwrap_or_default();
        let news = status::is_news(&old, &new.conditions).then(|| News::of(standing, reason, message));
        (new, news)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn an_error_does_not_take_back_what_a_backup_has_reached() {
        let backup = |meta: &serde_json::Value, status: &serde_json::Value| -> OrchestraBackup {
            serde_json::from_value(json!({
                "apiVersion": "stagesub.io/v1alpha1", "kind": "OrchestraBackup", "metadata": meta,
                "spec": {"orchestraRef": {"name": "acme"}}, "status": status,
            }))
            .unwrap()
        };
        let own = json!({"name": "b", "namespace": "tenants"});
        let deleted = json!({"name": "b", "namespace": "tenants", "deletionTimestamp": "2026-11-29T02:00:00Z"});
        let failure = json!({"reason": "StoreFull", "message": "m", "time": "2026-11-29T02:00:00Z", "last": true});
        let failed = json!({"attempts": 6, "concluded": 6, "failure": failure});
        let (new, running) = (json!({}), json!({"attempts": 1}));
        let complete = json!({"attempts": 1, "concluded": 1, "manifestDigest": "d"});
        for (meta, status, has_job, is_passing, phase) in [
            (&own, &new, false, true, "Pending"),
            (&own, &new, false, false, "Pending"),
            // The Kubernetes API fails while the Job runs, or refuses to say how it is.
            (&own, &running, true, true, "Running"),
            (&own, &running, true, false, "Running"),
            (&own, &running, false, true, "Running"),
            // The Job cannot be made until a person acts.
            (&own, &running, false, false, "Pending"),
            (&own, &failed, false, true, "Failed"),
            (&own, &failed, false, false, "Failed"),
            (&own, &complete, false, false, "Completed"),
            (&deleted, &complete, true, false, "Deleting"),
        ] {
            let backup = backup(meta, status);
            assert_eq!(
                phase_at_error(&backup, has_job, is_passing),
                phase,
                "{status} {has_job} {is_passing}"
            );
        }
    }
}
