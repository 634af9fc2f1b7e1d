//! Describes a backup.

use std::sync::Arc;

use super::drill::plan::Step as Drill;
use super::observe::Observed;
use super::plan::{Step, Task};
use super::{Context, Pass, drill};
use crate::api::condition::{ConditionType, Reason};
use crate::api::{OrchestraBackup, OrchestraBackupStatus};
use crate::controller::conditions::{Conditions, Standing};
use crate::controller::error::Error;
use crate::controller::status::{self, News, current};

/// What the status says at a step.
struct Described {
    phase: &'static str,
    standing: Standing,
    reason: Reason,
    message: String,
}

/// Writes the status at a step; nothing where the next one tells.
pub async fn write(pass: &mut Pass, step: Step, observed: &Observed) -> Result<(), Error> {
    let Some(described) = describe(&pass.status(), step, observed) else {
        return Ok(());
    };
    pass.object = tell(&pass.ctx, &pass.object, described).await?;
    Ok(())
}

#[allow(clippy::too_many_lines, reason = "one table of the steps")]
fn describe(of: &OrchestraBackupStatus, step: Step, observed: &Observed) -> Option<Described> {
    use Standing::{Reconciling, Settled, Stalled};
    let failed = of.failure.as_ref();
    let is_waiting = || match &observed.waits {
        Some(why) => format!("; its pod does not start: {why}"),
        None => String::new(),
    };
    let (phase, standing, reason, message) = match step {
        Step::Hold | Step::Conclude(_) | Step::CleanUp | Step::Release => return None,
        Step::Record => (
            "Pending",
            Reconciling,
            Reason::Pending,
            "the backup has not begun".into(),
        ),
        Step::Announce(Task::Make) | Step::Start(Task::Make) | Step::Await(Task::Make) => (
            "Running",
            Reconciling,
            Reason::BackingUp,
            format!("a Job backs the database up{}", is_waiting()),
        ),
        Step::Announce(Task::Remove) | Step::Start(Task::Remove) | Step::Await(Task::Remove) => (
            "Deleting",
            Reconciling,
            Reason::Deleting,
            format!("a Job removes the stored data{}", is_waiting()),
        ),
        Step::Queue(task) => (
            if task == Task::Make { "Queued" } else { "Deleting" },
            Reconciling,
            Reason::Queued,
            "the class, or the database server, has as many Jobs as it may (backup.maxConcurrent, \
             backup.maxConcurrentPerServer), or another backup of this Orchestra is under way: the next one begins when one of \
             them has ended, and namespaces take turns"
                .into(),
        ),
        Step::Retry(task, _) => {
            let failure = failed?;
            let reason = failure.reason.parse().unwrap_or(Reason::BackupFailed);
            let phase = if task == Task::Make { "Running" } else { "Deleting" };
            let standing = if failure.last { Stalled } else { Reconciling };
            (
                phase,
                standing,
                reason,
                format!(
                    "attempt {} failed, and another one follows: {}",
                    of.attempts, failure.message
                ),
            )
        }
        Step::Drill(step) => return of_drill(of, step, observed),
        Step::Fail => {
            let failure = failed?;
            let reason = failure.reason.parse().unwrap_or(Reason::BackupFailed);
            let message = format!(
                "{} (attempt {}). Put that right, and create another OrchestraBackup, or annotate this one with \
                 stagesub.io/retry-requested-at",
                failure.message, of.attempts
            );
            ("Failed", Stalled, reason, message)
        }
        Step::Rest => ("Completed", Settled, Reason::BackedUp, "the backup is complete".into()),
    };
    Some(Described {
        phase,
        standing,
        reason,
        message,
    })
}

/// What the status says at a step of a drill; none where the next one tells.
fn of_drill(of: &OrchestraBackupStatus, step: Drill, observed: &Observed) -> Option<Described> {
    let is_waiting = || match &observed.drill.waits {
        Some(why) => format!("; its pod does not start: {why}"),
        None => String::new(),
    };
    let (reason, message) = match step {
        Drill::Refuse | Drill::Conclude => return None,
        Drill::Announce | Drill::Start | Drill::Await => (
            Reason::Verifying,
            format!(
                "a drill: a Job restores the backup into a scratch database and compares it{}",
                is_waiting()
            ),
        ),
        Drill::CleanUp | Drill::Drop => (
            Reason::Verifying,
            "the drill has ended, and its scratch database is being dropped".into(),
        ),
        Drill::Queue => (
            Reason::Queued,
            "the drill waits: the class, or the server of the scratch database, has as many Jobs as it may \
             (backup.maxConcurrent, backup.maxConcurrentPerServer), and namespaces take turns"
                .into(),
        ),
        Drill::Retry(_) => {
            let drill = of.verification.as_ref()?;
            let failure = drill.failure.as_ref()?;
            (
                Reason::Verifying,
                format!(
                    "attempt {} of the drill failed, and another one follows: {}",
                    drill.failures, failure.message
                ),
            )
        }
    };
    let (phase, reason) = match observed.seen.removal {
        Some(_) => ("Deleting", Reason::Deleting),
        None => ("Verifying", reason),
    };
    Some(Described {
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
    let phase = if backup.metadata.deletion_timestamp.is_some() {
        "Deleting"
    } else if backup.is_complete() {
        "Completed"
    } else {
        "Pending"
    };
    let described = Described {
        phase,
        standing: if error.is_passing() {
            Standing::Reconciling
        } else {
            Standing::Stalled
        },
        reason: error.reason(),
        message: error.to_string(),
    };
    tell(&ctx, &backup, described).await.map(drop)
}

async fn tell(ctx: &Context, backup: &OrchestraBackup, described: Described) -> Result<OrchestraBackup, Error> {
    let Described {
        phase,
        standing,
        reason,
        message,
    } = described;
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
    new.observed_generation = backup.metadata.generation.unwrap_or_default();
    let news = status::is_news(&old, &new.conditions).then(|| News::of(standing, reason, message));
    status::write(&ctx.core, backup, new, news).await
}
