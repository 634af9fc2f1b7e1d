//! The restore of a backup into the new database of an Orchestra, before its migrations. A Job does it, which is recorded
//! before it is made. The Job restores into an empty database with this Orchestra's claim record, and writes a record of its
//! own there: an interrupted restore starts again in a database that holds nothing else.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;

use super::claim::Offer;
use super::inside::InsideFacts;
use super::observe::Observed;
use super::plan::{RestoreState, Supply};
use super::wait::{Stop, UNWATCHED, Wait};
use super::{Pass, act, login, record};
use crate::api::condition::Reason;
use crate::api::names::request;
use crate::api::{
    BackupFailure, BackupProgress, BackupReference, OrchestraBackup, OrchestraClass, OrchestraDatabase,
    RETRY_ANNOTATION, RestoreStatus,
};
use crate::backup::attempts;
use crate::backup::job;
use crate::backup::outcome::JobEnd;
use crate::backup::plan::{Due, Job};
use crate::backup::restore::{self, ATTEMPTS, FoundBackup};
use crate::controller::clock;
use crate::controller::error::Error;
use crate::controller::reconcile::Next;
use crate::controller::status::{News, tell};
use crate::text;

/// The wait before the next look at a deleted Job.
const GONE: Duration = Duration::from_secs(1);

/// The most parts that an event names.
const NAMED: usize = 8;

/// How the Job of the last attempt ended, and when the next attempt may be made.
#[derive(Default)]
pub struct RestoreLook {
    /// How it ended; none while it runs.
    pub end: Option<JobEnd>,
    /// The wait before the next attempt.
    pub again: Option<Duration>,
    /// How far it is.
    pub progress: Option<BackupProgress>,
}

fn status(pass: &Pass) -> Option<&RestoreStatus> {
    pass.object.status.as_ref()?.restore.as_ref()
}

/// The state of the restore, with how far its Job is.
pub fn told(old: Option<RestoreStatus>, look: &RestoreLook) -> Option<RestoreStatus> {
    let known = old?;
    Some(RestoreStatus {
        progress: look.progress.clone().or(known.progress),
        ..known
    })
}

/// Why an Orchestra that is restored from a backup claims no database yet: the backup must exist and be complete before
/// anything is paid for.
pub fn offer(pass: &Pass, class: &OrchestraClass) -> Option<Offer> {
    pass.object.spec.backup()?;
    match restore::offered(&pass.ctx.backup, &pass.object, class) {
        Ok(FoundBackup::Complete(_)) => None,
        Ok(FoundBackup::UnderWay(message)) => Some(Offer::none(Supply::Awaited(Wait::Backup), message)),
        Err(error) => {
            let stop = Supply::Blocked(Stop::Claim(error.reason()));
            Some(Offer::none(stop, error.to_string()))
        }
    }
}

/// The backup that is restored; its UID must be the recorded one.
fn backup(pass: &Pass) -> Result<Arc<OrchestraBackup>, Error> {
    let name = &pass
        .object
        .spec
        .backup()
        .map(BackupReference::backup_name)
        .unwrap_or_default();
    let found = match restore::find(&pass.ctx.backup, pass.namespace(), name)? {
        FoundBackup::Complete(backup) => backup,
        FoundBackup::UnderWay(message) => return Err(Error::transient(Reason::BackupIncomplete, message)),
    };
    match status(pass) {
        Some(known) if Some(&known.backup_uid) != found.metadata.uid.as_ref() => Err(Error::blocked(
            Reason::BackupNotFound,
            format!(
                "this restore started from an earlier OrchestraBackup {name}, which no longer exists: delete this Orchestra, and \
                 create it again"
            ),
        )),
        _ => Ok(found),
    }
}

/// The state of the restore of an Orchestra with a usable database.
///
/// # Errors
/// When the backup can no longer be restored, or the Kubernetes API fails.
pub async fn observe(
    pass: &Pass,
    database: Option<&OrchestraDatabase>,
    facts: &mut InsideFacts,
) -> Result<RestoreState, Error> {
    let known = status(pass);
    let is_done = known.is_some_and(|known| known.completion_time.is_some());
    let Some(database) = database.filter(|_| pass.object.spec.backup().is_some() && !pass.is_serving()) else {
        return Ok(RestoreState::Settled);
    };
    let (attempts, concluded) = known.map_or((0, true), |known| (known.attempts, known.concluded >= known.attempts));
    if attempts > 0 && concluded {
        let name = restore::job_name(pass.uid(), attempts);
        if job::is_there(&pass.ctx.core, &name) {
            return Ok(RestoreState::Leftover);
        }
    }
    if is_done {
        return Ok(RestoreState::Settled);
    }
    if let Some(known) = known.filter(|_| attempts > 0 && !concluded) {
        let (look, progress) = restore::look(&pass.ctx.backup, pass.uid(), known, facts.now).await?;
        facts.restoring.progress = progress;
        let waits = look.pod.waits;
        facts.message =
            waits.map(|why| format!("a Job is restoring the backup into the database; its pod does not start: {why}"));
        facts.restoring.end = look.end;
        return Ok(match look.job {
            Job::None => {
                let backup = backup(pass)?;
                if restore::is_next(&pass.ctx.backup, &backup, (pass.uid(), database)) {
                    RestoreState::Announced
                } else {
                    RestoreState::Queued
                }
            }
            Job::Runs => RestoreState::Runs,
            Job::Done | Job::Failed => RestoreState::Ended,
        });
    }
    backup(pass)?;
    let failure = known.and_then(|known| known.failure.as_ref());
    let asked = request(&pass.object.metadata, RETRY_ANNOTATION);
    let told =
        |follows: &str| failure.map(|failure| format!("attempt {attempts} failed{follows}: {}", failure.message));
    Ok(match restore::due(failure, asked.as_ref(), attempts, facts.now) {
        Due::Now => RestoreState::Due,
        Due::In(wait) => {
            facts.message = told(", the operator tries again");
            facts.restoring.again = Some(wait);
            RestoreState::Again
        }
        Due::Never => {
            facts.message = failure.map(|failure| needs_a_person(failure, attempts));
            let reason = failure.and_then(BackupFailure::known_reason);
            RestoreState::Failed(reason.unwrap_or(Reason::RestoreFailed))
        }
    })
}

/// Says that a restore is not tried again, and what to do.
fn needs_a_person(failure: &BackupFailure, attempts: i32) -> String {
    format!(
        "{} (attempt {attempts}). Fix the cause, then annotate this Orchestra with {RETRY_ANNOTATION}, or delete it and \
         create it again",
        failure.message
    )
}

/// Writes the claim record into the database, and records in the status that a Job is about to be made. A database with
/// another claim record gets no Job.
pub async fn announce(pass: &mut Pass, observed: &Observed) -> Result<Option<Next>, Error> {
    let Some(database) = &observed.database else {
        return Ok(Some(Next::After(UNWATCHED)));
    };
    let backup = backup(pass)?;
    let (ctx, name) = (pass.ctx.clone(), database.name_any());
    if let Some(wait) = ctx.database.logins.wait(&name, ctx.core.settings.login_spacing) {
        return Ok(Some(Next::After(wait)));
    }
    let claimed = login::within(login::LOGIN_LIMIT, async {
        let mut session = login::open(pass, database).await?;
        record::claim(&mut session, pass, database).await
    });
    claimed.await?;
    let given = backup.status.clone().unwrap_or_default();
    let now = Time(clock::whole(observed.now));
    pass.change_status(|new| {
        let restore = new.restore.get_or_insert_with(|| RestoreStatus {
            backup_name: backup.name_any(),
            backup_uid: backup.uid().unwrap_or_default(),
            manifest_digest: given.manifest_digest.unwrap_or_default(),
            database_name: name.clone(),
            start_time: Some(now),
            ..RestoreStatus::default()
        });
        attempts::announce(&mut restore.attempts, &mut restore.concluded);
    })
    .await?;
    Ok(None)
}

/// Makes the announced Job.
pub async fn start(pass: &Pass, observed: &Observed) -> Result<Option<Next>, Error> {
    let (Some(database), Some(known)) = (&observed.database, status(pass)) else {
        return Ok(Some(Next::After(UNWATCHED)));
    };
    if known.database_name != database.name_any() {
        return Err(Error::blocked(
            Reason::ClaimConflict,
            format!(
                "the restore started in OrchestraDatabase {}, but this Orchestra claims {}: delete this Orchestra, and create it \
                 again",
                known.database_name,
                database.name_any()
            ),
        ));
    }
    let (backup, digest, attempt) = (backup(pass)?, known.manifest_digest.clone(), known.attempts);
    let is_made = restore::start(&pass.ctx.backup, &backup, &digest, attempt, (pass.uid(), database)).await?;
    Ok((!is_made).then_some(Next::After(Wait::RestoreRoom.pace())))
}

/// Records how the Job of the last attempt ended, and publishes an event with what the backup did not contain.
pub async fn conclude(pass: &mut Pass, observed: &Observed) -> Result<(), Error> {
    let Some(end) = &observed.inside.restoring.end else {
        return Ok(());
    };
    let now = Time(clock::whole(observed.now));
    let retry = request(&pass.object.metadata, RETRY_ANNOTATION);
    let (mut done, attempts) = (None, status(pass).map_or(0, |known| known.attempts));
    let failure = match end {
        JobEnd::Done(outcome) => {
            done = Some(outcome.backup.clone());
            None
        }
        JobEnd::Failed {
            reason,
            message,
            retry: again,
        } => Some(BackupFailure {
            reason: of_restore(*reason).as_str().into(),
            message: message.clone(),
            time: now.clone(),
            last: !again || attempts >= ATTEMPTS,
            retry,
        }),
    };
    let is_done = done.is_some();
    // Before the status: an operator that dies in between publishes the event again, and not never.
    if let Some(facts) = done {
        let lacks = facts.map(|facts| facts.not_covered).unwrap_or_default();
        let lacks = if lacks.is_empty() {
            String::new()
        } else {
            format!(
                ". The backup did not contain, and the new database does not have: {}",
                text::names(&lacks, NAMED, lacks.len())
            )
        };
        let name = status(pass).map_or("", |known| known.backup_name.as_str());
        let note = format!("OrchestraBackup {name} is restored{lacks}");
        tell(
            &pass.ctx.core,
            &pass.object,
            &News::normal(Reason::BackupRestored, note),
        )
        .await;
    }
    pass.change_status(|new| {
        if let Some(restore) = &mut new.restore {
            restore.concluded = restore.attempts;
            restore.progress = None;
            restore.failure = failure;
            restore.completion_time = is_done.then_some(now);
        }
    })
    .await
}

/// The reason of a failed restore: never that of a failed backup.
fn of_restore(reason: Reason) -> Reason {
    match reason {
        Reason::BackupFailed => Reason::RestoreFailed,
        reason => reason,
    }
}

/// Deletes the Job of the last attempt, with its Secret.
pub async fn clean_up(pass: &Pass) -> Result<Option<Next>, Error> {
    let attempts = status(pass).map_or(0, |known| known.attempts);
    let name = restore::job_name(pass.uid(), attempts);
    Ok((!job::clear(&pass.ctx.core, &name).await?).then_some(Next::After(GONE)))
}

/// Whether a Job of an Orchestra that is being deleted may work in its database.
pub fn is_under_way(pass: &Pass) -> bool {
    let Some(known) = status(pass).filter(|_| !pass.restore_ended) else {
        return false;
    };
    known.concluded < known.attempts || job::is_there(&pass.ctx.core, &restore::job_name(pass.uid(), known.attempts))
}

/// Ends that Job. A pod that does not end delays the deletion only for a short time.
pub async fn end(pass: &mut Pass, now: Timestamp) -> Result<Option<Next>, Error> {
    let next = clean_up(pass).await?;
    let late = act::is_late(pass, now);
    pass.ctx.backup.queue.leave(pass.uid());
    pass.restore_ended = late || next.is_none();
    Ok(next.filter(|_| !late))
}

/// The wait before the next pass, while the restore is waited for. A restore that waits for room keeps its place in the
/// queue.
pub fn pace(pass: &Pass, observed: &Observed, wait: Wait) -> Duration {
    if wait == Wait::RestoreRoom
        && let (Ok(backup), Some(database)) = (backup(pass), &observed.database)
    {
        restore::join(&pass.ctx.backup, &backup, (pass.uid(), database));
    }
    observed.inside.restoring.again.unwrap_or(wait.pace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_restore_is_no_failed_backup() {
        assert_eq!(of_restore(Reason::BackupFailed), Reason::RestoreFailed);
        assert_eq!(of_restore(Reason::StoreMissing), Reason::StoreMissing);
    }
}
