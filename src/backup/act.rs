//! Executes a step.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;

use super::needs::BackupOrigin;
use super::observe::{self, Observed};
use super::outcome::JobEnd;
use super::plan::{Step, Task};
use super::{Pass, attempts, drill, final_backup, folder, job, key, order};
use crate::api::condition::Reason;
use crate::api::names::{BACKUP_CLASS_LABEL, BACKUP_LABEL, RETRY_ANNOTATION, label_of, request};
use crate::api::{BackupFailure, OrchestraBackupStatus};
use crate::archive::outcome::BackupFacts;
use crate::controller::clock;
use crate::controller::error::Error;
use crate::controller::reconcile::Next;

/// Most attempts to make a backup.
pub const ATTEMPTS: i32 = 6;

/// The interval of looks at a running Job and at what a Job needs, beside the watches.
pub const LOOK: Duration = Duration::from_secs(30);

/// The interval of looks for room for another Job.
pub const ROOM: Duration = Duration::from_secs(10);

/// The wait before the next look at a deleted Job.
pub const GONE: Duration = Duration::from_secs(1);

/// The message about a final backup whose Job stored it elsewhere than its status says.
const ELSEWHERE: &str = "the Job stored the backup in another folder than status.path names, because somebody other than the operator wrote \
    the status: find out who may write orchestrabackups/status";

/// Executes a step. Returns none when the pass continues.
pub async fn act(pass: &mut Pass, step: Step, observed: &Observed) -> Result<Option<Next>, Error> {
    match step {
        Step::AddFinalizer => pass.set_finalizer(true).await?,
        Step::Record => record(pass, observed).await?,
        Step::Announce(_) => {
            let mut new = pass.status();
            attempts::announce(&mut new.attempts, &mut new.concluded);
            pass.write_status(new, None).await?;
        }
        Step::Start(task) => start(pass, task, observed).await?,
        Step::Conclude(_) => conclude(pass, observed).await?,
        Step::CleanUp => return Ok((!clean_up(pass).await?).then_some(Next::After(GONE))),
        Step::Queue(task) => {
            pass.ctx.queue.join(observe::asker(pass, task));
            return Ok(Some(Next::After(ROOM)));
        }
        Step::Wait(..) | Step::Stop(..) => {
            pass.ctx.queue.leave(pass.uid());
            return Ok(Some(Next::After(LOOK)));
        }
        Step::Await(_) => return Ok(Some(Next::After(LOOK))),
        Step::Retry(_, wait) => return Ok(Some(Next::After(wait))),
        Step::Drill(step) => {
            return Box::pin(drill::act(pass, step, &observed.drill)).await;
        }
        Step::Release => {
            clean_up(pass).await?;
            pass.set_finalizer(false).await?;
            return Ok(Some(Next::Gone));
        }
        Step::Fail | Step::Rest => return Ok(Some(Next::Rest)),
    }
    Ok(None)
}

/// Records whose database is backed up and where to, before anything is made.
async fn record(pass: &mut Pass, observed: &Observed) -> Result<(), Error> {
    let Some(BackupOrigin {
        claim,
        class,
        database,
        stored,
    }) = &observed.needs.origin
    else {
        return Ok(());
    };
    let settings = order::of_class(class)?;
    let now = clock::whole(observed.now);
    let path = match stored {
        Some(path) => path.to_string(),
        None => folder::new(&pass.ctx.class.cluster, claim, &pass.object, now).to_string(),
    };
    let mut new = pass.status();
    new.location = Some(order::location(settings, &path));
    new.class_name = Some(class.name_any());
    new.database_name.clone_from(database);
    new.orchestra_uid = Some(claim.uid.clone());
    new.path = Some(path);
    new.start_time = Some(Time(now));
    pass.write_status(new, None).await
}

/// Makes the Job. A backup whose Job cannot be made leaves the queue, so that it delays no other backup.
async fn start(pass: &mut Pass, task: Task, observed: &Observed) -> Result<(), Error> {
    let started = try_start(pass, task, observed).await;
    if started.is_err() {
        pass.ctx.queue.leave(pass.uid());
    }
    started
}

/// Makes the Job if the queue still gives the backup its slot. One Job is made at a time, so that the count of Jobs is right.
async fn try_start(pass: &mut Pass, task: Task, observed: &Observed) -> Result<(), Error> {
    let status = pass.status();
    let Some(class) = &observed.needs.class else {
        return Ok(());
    };
    let settings = order::of_class(class)?.clone();
    let mut files = order::files_of_store(pass.core(), &settings).await?;
    let uid = pass.uid().to_owned();
    let mut labels = BTreeMap::from([
        (BACKUP_LABEL.to_owned(), uid.clone()),
        (BACKUP_CLASS_LABEL.to_owned(), label_of(&class.name_any())),
    ]);
    let order = match task {
        Task::Make if pass.object.spec.stored.is_some() => order::read(pass, class)?,
        Task::Make => {
            let Some(database) = &observed.needs.database else {
                return Ok(());
            };
            files.extend(order::files_of_login(&order::login(&pass.ctx, database).await?));
            files.push(key::file(pass.core(), &uid).await?);
            // The server is known once the login was read.
            labels.extend(observe::labels_of_database(&pass.ctx, database));
            order::make(pass, class, database)?
        }
        Task::Remove => order::remove(pass, class)?,
    };
    let name = pass.job_name(task, status.attempts);
    let new = job::NewJob::of(pass.core(), &settings, (name, labels), (order, files));
    let _one_at_a_time = pass.ctx.starting.lock().await;
    let asker = observe::asker(pass, task);
    if observe::is_next(&pass.ctx, &asker, &settings) {
        job::start(pass.core(), &new).await?;
        pass.ctx.queue.was_given(&asker);
    }
    Ok(())
}

/// Records how the Job of the last attempt ended.
async fn conclude(pass: &mut Pass, observed: &Observed) -> Result<(), Error> {
    let mut new = pass.status();
    new.concluded = new.attempts;
    new.progress = None;
    let now = clock::whole(observed.now);
    match &observed.end {
        Some(JobEnd::Done(outcome)) => {
            new.failure = None;
            let known = new.manifest_digest.clone();
            let is_it = |facts: &&BackupFacts| known.as_ref().is_none_or(|known| *known == facts.manifest_digest);
            let facts = outcome.backup.as_ref().filter(is_it);
            if let Some(facts) = facts {
                if final_backup::record(pass, facts).await? {
                    tell(&mut new, facts);
                    new.completion_time = Some(Time(now));
                } else {
                    new.failure = Some(failure(pass, now, Reason::BackupFailed, ELSEWHERE, false));
                }
            }
            if new.manifest_digest.is_none() && facts.is_none() {
                new.failure = Some(failure(
                    pass,
                    now,
                    Reason::BackupFailed,
                    "the Job succeeded, but its outcome names no manifest: use the image of this operator's version (backup.image of the \
                     class, --backup-image)",
                    true,
                ));
            }
        }
        Some(JobEnd::Failed { reason, message, retry }) => {
            let last = !retry || new.attempts >= ATTEMPTS;
            new.failure = Some(failure(pass, now, *reason, message, last));
        }
        None => return Ok(()),
    }
    pass.write_status(new, None).await?;
    if pass.object.metadata.deletion_timestamp.is_none() && pass.object.spec.stored.is_none() {
        count(pass, now);
    }
    Ok(())
}

/// Counts the end of a Job that was to make the backup.
fn count(pass: &Pass, now: jiff::Timestamp) {
    let (status, metrics) = (pass.status(), pass.core().metrics.backups());
    if let Some(failure) = &status.failure {
        return metrics.attempted(failure.known_reason().unwrap_or(Reason::BackupFailed));
    }
    metrics.attempted(Reason::BackedUp);
    if let Some(start) = status.start_time {
        metrics.made(Duration::try_from(now.duration_since(start.0)).unwrap_or_default());
    }
}

fn failure(pass: &Pass, now: jiff::Timestamp, reason: Reason, message: &str, last: bool) -> BackupFailure {
    BackupFailure {
        reason: reason.as_str().into(),
        message: message.to_owned(),
        time: Time(now),
        last,
        retry: request(&pass.object.metadata, RETRY_ANNOTATION),
    }
}

fn tell(status: &mut OrchestraBackupStatus, facts: &BackupFacts) {
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    status.snapshot_time = Some(Time(facts.snapshot_time));
    status.bytes = Some(number(facts.bytes));
    status.raw_bytes = Some(number(facts.raw_bytes));
    status.manifest_digest = Some(facts.manifest_digest.clone());
    status.server_major = i32::try_from(facts.server_major).ok();
    status.migration.clone_from(&facts.migration_head);
    status.tables = Some(number(facts.tables));
    status.not_covered.clone_from(&facts.not_covered);
}

/// Deletes what is left of the Jobs of the last attempt, and the key once no Job needs it any more; false while one of the Jobs is
/// still ending.
async fn clean_up(pass: &Pass) -> Result<bool, Error> {
    if pass.status().manifest_digest.is_some() || pass.object.metadata.deletion_timestamp.is_some() {
        key::forget(pass.core(), pass.uid()).await?;
    }
    let mut gone = true;
    for task in [Task::Make, Task::Remove] {
        let name = pass.job_name(task, pass.status().attempts);
        gone &= job::clear(pass.core(), &name).await?;
    }
    Ok(gone)
}
