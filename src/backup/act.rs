//! Carries a step out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;
use kube::runtime::reflector::ObjectRef;

use super::observe::{self, Observed};
use super::outcome::End;
use super::plan::{Step, Task};
use super::{Pass, drill, job, order};
use crate::api::condition::Reason;
use crate::api::names::{BACKUP_CLASS_LABEL, BACKUP_LABEL, RETRY_ANNOTATION, label_of, request};
use crate::api::{BACKUP_FINALIZER, BackupFailure, Orchestra, OrchestraBackupStatus};
use crate::archive::outcome::BackupFacts;
use crate::class;
use crate::controller::clock;
use crate::controller::error::Error;
use crate::controller::reconcile::Next;
use crate::controller::status;
use crate::controller::write::set_finalizer;

/// Most attempts to make a backup.
pub const ATTEMPTS: i32 = 6;

/// What else helps against a store that is not there: an object that goes without its data.
const KEPT: &str = ", or set deletionPolicy: Retain";

/// How often a running Job is looked at, where no watch tells of its end.
pub const LOOK: Duration = Duration::from_secs(30);

/// How often it is looked whether there is room for another Job.
pub const ROOM: Duration = Duration::from_secs(10);

/// How soon it is looked whether a deleted Job is gone.
pub const GONE: Duration = Duration::from_secs(1);

/// Carries a step out. None when the pass goes on.
pub async fn act(pass: &mut Pass, step: Step, observed: &Observed) -> Result<Option<Next>, Error> {
    match step {
        Step::Hold => {
            let held = set_finalizer(pass.core(), &pass.object, BACKUP_FINALIZER, true).await?;
            return Ok(replace(pass, held));
        }
        Step::Record => record(pass).await?,
        Step::Announce(_) => {
            let mut new = pass.status();
            new.attempts += 1;
            write(pass, new).await?;
        }
        Step::Start(task) => start(pass, task, observed).await?,
        Step::Conclude(_) => conclude(pass, observed).await?,
        Step::CleanUp => return Ok((!clean_up(pass).await?).then_some(Next::After(GONE))),
        Step::Queue(task) => {
            pass.ctx.queue.join(observe::asker(pass, task));
            return Ok(Some(Next::After(ROOM)));
        }
        Step::Await(_) => return Ok(Some(Next::After(LOOK))),
        Step::Retry(_, wait) => return Ok(Some(Next::After(wait))),
        Step::Drill(step) => {
            return Box::pin(drill::act(pass, step, &observed.drill, observed.class.as_ref())).await;
        }
        Step::Release => {
            clean_up(pass).await?;
            set_finalizer(pass.core(), &pass.object, BACKUP_FINALIZER, false).await?;
            return Ok(Some(Next::Gone));
        }
        Step::Fail | Step::Rest => return Ok(Some(Next::Rest)),
    }
    Ok(None)
}

fn replace(pass: &mut Pass, object: Option<crate::api::OrchestraBackup>) -> Option<Next> {
    match object {
        Some(object) => {
            pass.object = object;
            None
        }
        None => Some(Next::Gone),
    }
}

async fn write(pass: &mut Pass, new: OrchestraBackupStatus) -> Result<(), Error> {
    pass.object = status::write(&pass.ctx.core, &pass.object, new, None).await?;
    Ok(())
}

/// Writes down whose database it is and where the backup will be, before anything is made. Later changes of the
/// Orchestra and its class change neither.
async fn record(pass: &mut Pass) -> Result<(), Error> {
    let (claim, class, database) = if let Some(database) = order::last_of(pass) {
        (
            database.spec.claim_ref.clone().unwrap_or_default(),
            database.spec.class_name.clone(),
            Some(database.name_any()),
        )
    } else {
        let orchestra = orchestra(pass)?;
        let given = orchestra.status.clone().unwrap_or_default();
        (order::claim_of(&orchestra), given.class_name, given.database_name)
    };
    let class = class::resolve(&pass.ctx.class, class.as_deref())?;
    let settings = order::of_class(&class)?;
    let now = clock::own();
    let path = order::path(&pass.ctx.class.cluster, &claim, &pass.object, now);
    let mut new = pass.status();
    new.location = Some(order::location(settings, &path));
    new.class_name = Some(class.name_any());
    new.database_name = database;
    new.orchestra_uid = Some(claim.uid);
    new.path = Some(path);
    new.start_time = Some(Time(clock::whole(now)));
    write(pass, new).await
}

/// The Orchestra, in use.
fn orchestra(pass: &Pass) -> Result<Arc<Orchestra>, Error> {
    let name = &pass.object.spec.orchestra_ref.name;
    let namespace = pass.object.namespace().unwrap_or_default();
    let key = ObjectRef::new(name).within(&namespace);
    let orchestra = pass.core().stores.orchestras.get(&key).ok_or_else(|| {
        Error::blocked(
            Reason::OrchestraNotFound,
            format!("Orchestra {name} does not exist in namespace {namespace}: name one that does in another OrchestraBackup"),
        )
    })?;
    if orchestra.is_asleep() {
        let message = format!("the database of Orchestra {name} is paused: the backup begins when it runs again");
        return Err(Error::transient(Reason::Paused, message));
    }
    if !orchestra.is_published() {
        let message = format!("Orchestra {name} has no usable database yet: the backup begins when it has one");
        return Err(Error::transient(Reason::Provisioning, message));
    }
    Ok(orchestra)
}

/// Makes the Job. A backup that cannot have one, until a person acts, loses its place, and holds up nobody.
async fn start(pass: &mut Pass, task: Task, observed: &Observed) -> Result<(), Error> {
    let started = try_start(pass, task, observed).await;
    if started.is_err() {
        pass.ctx.queue.leave(pass.uid());
    }
    started
}

/// Makes the Job, if it is still its turn: Jobs are counted and made one after the other.
async fn try_start(pass: &mut Pass, task: Task, observed: &Observed) -> Result<(), Error> {
    let status = pass.status();
    let class = order::class_of(&status, observed.class.clone(), KEPT)?;
    let settings = order::of_class(&class)?.clone();
    let mut files = order::files_of_store(pass.core(), &settings).await?;
    let uid = pass.uid().to_owned();
    let mut labels = BTreeMap::from([
        (BACKUP_LABEL.to_owned(), uid),
        (BACKUP_CLASS_LABEL.to_owned(), label_of(&class.name_any())),
    ]);
    let order = match task {
        Task::Make => {
            let database = observe::database(pass).ok_or_else(|| {
                let name = status.database_name.as_deref().unwrap_or_default();
                Error::blocked(
                    Reason::DatabaseGone,
                    format!("OrchestraDatabase {name} is gone, or is not this Orchestra's any more: delete this OrchestraBackup"),
                )
            })?;
            files.extend(order::files_of_login(&order::login(&pass.ctx, &database).await?));
            // The server is known once the login was read.
            labels.extend(observe::labels_of_database(&pass.ctx, &database));
            order::make(pass, &class, &database)?
        }
        Task::Remove => order::remove(pass, &class)?,
    };
    let name = pass.job_name(task, status.attempts);
    let wanted = job::Wanted::of(pass.core(), &settings, (name, labels), (order, files));
    let _one_at_a_time = pass.ctx.starting.lock().await;
    let asker = observe::asker(pass, task);
    if observe::is_next(&pass.ctx, &asker, &settings) {
        job::start(pass.core(), &wanted).await?;
        pass.ctx.queue.was_given(&asker);
    }
    Ok(())
}

/// Writes down how the Job of the last attempt ended.
async fn conclude(pass: &mut Pass, observed: &Observed) -> Result<(), Error> {
    let mut new = pass.status();
    new.concluded = new.attempts;
    let now = clock::whole(clock::own());
    match &observed.end {
        Some(End::Done(outcome)) => {
            new.failure = None;
            if let Some(facts) = outcome.backup.as_ref().filter(|_| new.manifest_digest.is_none()) {
                tell(&mut new, facts);
                new.completion_time = Some(Time(now));
            }
            if new.manifest_digest.is_none() {
                new.failure = Some(failure(
                    pass,
                    now,
                    Reason::BackupFailed,
                    "the Job has named no manifest",
                    true,
                ));
            }
        }
        Some(End::Failed { reason, message, retry }) => {
            let last = !retry || new.attempts >= ATTEMPTS;
            new.failure = Some(failure(pass, now, *reason, message, last));
        }
        None => return Ok(()),
    }
    write(pass, new).await?;
    if pass.object.metadata.deletion_timestamp.is_none() {
        count(pass, now);
    }
    Ok(())
}

/// Counts the end of a Job that was to make the backup.
fn count(pass: &Pass, now: jiff::Timestamp) {
    let (status, metrics) = (pass.status(), pass.core().metrics.backups());
    if let Some(failure) = &status.failure {
        return metrics.attempted(failure.reason.parse().unwrap_or(Reason::BackupFailed));
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
    status.manifest_digest = Some(facts.manifest_digest.clone());
    status.server_major = i32::try_from(facts.server_major).ok();
    status.migration.clone_from(&facts.migration_head);
    status.tables = Some(number(facts.tables));
    status.not_covered.clone_from(&facts.not_covered);
}

/// Deletes what is left of the Jobs of the last attempt; false while one of them is still ending.
async fn clean_up(pass: &Pass) -> Result<bool, Error> {
    let mut gone = true;
    for task in [Task::Make, Task::Remove] {
        let name = pass.job_name(task, pass.status().attempts);
        gone &= job::clear(pass.core(), &name).await?;
    }
    Ok(gone)
}
