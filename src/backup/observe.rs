//! Reads the state of a backup, its Jobs and its class.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt as _;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::ObjectRef;
use sha2::{Digest as _, Sha256};

use super::drill;
use super::job::{self, JobPod, JobState};
use super::needs::{self, Needs};
use super::outcome::JobEnd;
use super::plan::{self, Due, Facts, Removal, Task};
use super::queue::{Asker, JobLimits};
use super::{Context, Pass, progress};
use crate::api::names::{
    BACKUP_CLASS_LABEL, BACKUP_DATABASE_LABEL, BACKUP_LABEL, BACKUP_SERVER_LABEL, RETRY_ANNOTATION, label_of, request,
};
use crate::api::{
    BACKUP_FINALIZER, BackupFailure, BackupProgress, ClassBackup, DeletionPolicy, OrchestraBackup, OrchestraDatabase,
};
use crate::archive::{Outcome, OutcomeReason};
use crate::controller::error::Error;
use crate::credentials::servers;

/// The wait after the first failure. Each further failure triples it.
const FIRST: Duration = Duration::from_secs(5);

/// The longest wait after a failure. A removal that needs a person is retried at this interval.
const LONGEST: Duration = Duration::from_hours(1);

/// How far another node's clock may be ahead.
const AHEAD: SignedDuration = SignedDuration::from_mins(1);

/// What was observed.
pub struct Observed {
    /// The time of this look.
    pub now: Timestamp,
    /// The facts of the plan.
    pub facts: Facts,
    /// How the Job of the last attempt ended; none while it runs.
    pub end: Option<JobEnd>,
    /// Why the Job's pod does not start.
    pub waits: Option<String>,
    /// How far the Job is that makes or verifies the backup.
    pub progress: Option<BackupProgress>,
    /// What was looked up for the next Job.
    pub needs: Needs,
    /// The drills.
    pub drill: drill::Observed,
}

/// The state of a Job, whose end is an `E`.
pub struct JobLook<E> {
    /// The fact for the plan.
    pub job: plan::Job,
    /// How it ended; none while it runs.
    pub end: Option<E>,
    /// The Job's pod, while it has not ended.
    pub pod: JobPod,
}

impl<E> JobLook<E> {
    /// The state of a Job that was never announced, or whose end is recorded.
    pub const NONE: Self = Self {
        job: plan::Job::None,
        end: None,
        pod: JobPod {
            name: None,
            waits: None,
        },
    };

    /// What the state of a Job means. `end`: what its outcome says, or that it left none for this cause.
    pub fn of(state: JobState, end: impl FnOnce(Result<Box<Outcome>, String>) -> E) -> Self {
        match state {
            JobState::None => Self::NONE,
            JobState::Runs(pod) => Self {
                job: plan::Job::Runs,
                pod,
                ..Self::NONE
            },
            JobState::Ended(outcome) => {
                let is_done = outcome
                    .as_ref()
                    .is_ok_and(|outcome| outcome.reason == OutcomeReason::Done);
                Self {
                    job: if is_done { plan::Job::Done } else { plan::Job::Failed },
                    end: Some(end(outcome)),
                    ..Self::NONE
                }
            }
        }
    }
}

/// Reads everything.
pub async fn observe(pass: &Pass) -> Result<Observed, Error> {
    let now = Timestamp::now();
    let (core, object, status) = (pass.core(), &pass.object, pass.status());
    let removal = removal(object);
    let concluded = status.concluded >= status.attempts;
    let names = [Task::Make, Task::Remove].map(|task| pass.job_name(task, status.attempts));
    let left_over = names.iter().any(|name| job::is_there(core, name));
    let [mut making, mut removing] = [JobLook::NONE, JobLook::NONE];
    // While the end of a Job is not recorded, the API server is asked: the watch may be late.
    if status.attempts > 0 && (!concluded || left_over) {
        making = JobLook::of(job::look(core, &names[0]).await?, JobEnd::of);
        if removal.is_some() {
            removing = JobLook::of(job::look(core, &names[1]).await?, JobEnd::of);
        }
    }
    let (making_is, removing_is) = (making.job, removing.job);
    let left_over = left_over || making_is != plan::Job::None || removing_is != plan::Job::None;
    let current = if removal.is_some() { removing } else { making };
    let class = status
        .class_name
        .as_ref()
        .and_then(|name| core.stores.classes.get(&ObjectRef::new(name)));
    let has_room = class
        .as_ref()
        .and_then(|class| class.spec.backup.as_ref())
        .is_none_or(|settings| {
            let task = removal.map_or(Task::Make, |_| Task::Remove);
            is_next(&pass.ctx, &asker(pass, task), settings)
        });
    let (needs, source, store) = Needs::look(pass, class.as_ref(), removal.is_some());
    let drill = drill::observe(pass, class, now).await?;
    let pod = current.pod.name.as_ref().or(drill.pod.name.as_ref());
    let progress = progress::look(core, pod.map(String::as_str), status.progress.as_ref(), now).await;
    Ok(Observed {
        now,
        facts: Facts {
            finalizer: object.finalizers().iter().any(|name| name == BACKUP_FINALIZER),
            removal,
            recorded: status.path.is_some(),
            complete: status.manifest_digest.is_some(),
            attempts: status.attempts,
            concluded,
            making: making_is,
            removing: removing_is,
            left_over,
            due: due(pass, status.failure.as_ref(), status.attempts, now),
            source,
            store,
            has_room,
            drill: drill.facts,
        },
        drill,
        waits: current.pod.waits,
        progress,
        end: current.end,
        needs,
    })
}

/// What happens to the data, once the deletion of the object was requested.
fn removal(object: &OrchestraBackup) -> Option<Removal> {
    object.metadata.deletion_timestamp.as_ref()?;
    Some(match object.spec.deletion_policy {
        DeletionPolicy::Retain => Removal::Keep,
        DeletionPolicy::Delete => Removal::Remove,
    })
}

/// When the next attempt may be made. A failure from before the deletion request does not delay the removal.
fn due(pass: &Pass, failure: Option<&BackupFailure>, attempts: i32, now: Timestamp) -> Due {
    let deleted = pass.object.metadata.deletion_timestamp.as_ref().map(|at| at.0);
    let failure = failure.filter(|failure| deleted.is_none_or(|deleted| failure.time.0 >= deleted));
    let asked = request(&pass.object.metadata, RETRY_ANNOTATION);
    again(failure, (asked.as_ref(), deleted.is_some()), attempts, now)
}

/// When the next attempt may be made after `attempts` attempts. `asked`: the value of the retry annotation; `patient`: the
/// operator retries after the longest wait even where a person must act.
pub fn again(
    failure: Option<&BackupFailure>,
    (asked, patient): (Option<&String>, bool),
    attempts: i32,
    now: Timestamp,
) -> Due {
    let Some(failure) = failure else { return Due::Now };
    if failure.retry.as_ref() != asked {
        return Due::Now;
    }
    let wait = match (failure.last, patient) {
        (true, false) => return Due::Never,
        (true, true) => LONGEST,
        (false, _) => after(attempts),
    };
    rest(wait, failure.time.0, now)
}

/// The rest of a wait that began at a time. The time comes from a status, which others may have written: a time in the
/// future delays by no more than clocks may differ.
pub fn rest(wait: Duration, began: Timestamp, now: Timestamp) -> Due {
    let passed = now.duration_since(began);
    if passed < -AHEAD {
        return Due::Now;
    }
    match wait.saturating_sub(Duration::try_from(passed).unwrap_or_default()) {
        Duration::ZERO => Due::Now,
        left => Due::In(left),
    }
}

/// The wait after this number of attempts.
pub fn after(attempts: i32) -> Duration {
    let power = u32::try_from(attempts.clamp(1, 8) - 1).unwrap_or_default();
    FIRST.saturating_mul(3_u32.pow(power)).min(LONGEST)
}

/// The labels of a Job that reads or fills a database: its server, and itself.
pub fn labels_of_database(ctx: &Context, database: &OrchestraDatabase) -> [(String, String); 2] {
    [
        (BACKUP_SERVER_LABEL.to_owned(), server_label(ctx, database)),
        (BACKUP_DATABASE_LABEL.to_owned(), label_of(&database.name_any())),
    ]
}

/// The label with the server of a database.
pub fn server_label(ctx: &Context, database: &OrchestraDatabase) -> String {
    digest_of(&servers::of_database(&ctx.credentials, database).unwrap_or_else(|| database.name_any()))
}

/// A server as the value of a label.
pub fn digest_of(server: &str) -> String {
    hex::encode(Sha256::digest(server)).chars().take(32).collect()
}

/// The place in the queue that a backup asks for.
pub fn asker(pass: &Pass, task: Task) -> Asker {
    let (object, status) = (&pass.object, pass.object.status.as_ref());
    let class = status.and_then(|status| status.class_name.as_deref());
    let makes = task == Task::Make;
    let database = needs::database(pass).filter(|_| makes);
    Asker {
        uid: pass.uid().to_owned(),
        namespace: object.namespace().unwrap_or_default(),
        orchestra: makes.then(|| object.spec.orchestra_ref.name.clone()),
        class: label_of(class.unwrap_or_default()),
        server: database.map(|database| server_label(&pass.ctx, &database)),
    }
}

/// Whether the Job of a backup may be made: the class and the server have room, no other backup has the slot, and no other
/// Job of the same Orchestra runs.
pub fn is_next(ctx: &Context, asker: &Asker, settings: &ClassBackup) -> bool {
    let of_class = |job: &PartialObjectMeta<Job>| job.labels().get(BACKUP_CLASS_LABEL) == Some(&asker.class);
    let jobs = ctx.core.stores.jobs.state_filter(of_class);
    let running: Vec<_> = jobs.iter().map(|job| running(ctx, job)).collect();
    let limits = JobLimits {
        class: settings.max_concurrent(),
        server: settings.max_concurrent_per_server(),
    };
    ctx.queue.is_next(asker, &running, limits)
}

/// The backup of a running Job.
fn running(ctx: &Context, job: &PartialObjectMeta<Job>) -> Asker {
    let label = |name: &str| job.labels().get(name).cloned();
    let uid = label(BACKUP_LABEL).unwrap_or_default();
    let backup = ctx
        .core
        .stores
        .backups
        .find(|backup| backup.metadata.uid.as_ref() == Some(&uid));
    let makes = job.name_any().starts_with(&super::job_prefix(Task::Make, &uid));
    Asker {
        namespace: backup
            .as_ref()
            .and_then(|backup| backup.namespace())
            .unwrap_or_default(),
        orchestra: backup
            .filter(|_| makes)
            .map(|backup| backup.spec.orchestra_ref.name.clone()),
        class: label(BACKUP_CLASS_LABEL).unwrap_or_default(),
        server: label(BACKUP_SERVER_LABEL),
        uid,
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;

    #[test]
    fn waits_grow_and_are_bounded() {
        let waits = [1, 2, 3, 7, i32::MAX].map(|attempts| after(attempts).as_secs());
        assert_eq!(waits, [5, 15, 45, 3600, 3600]);
    }

    #[test]
    fn a_failure_in_the_future_delays_nothing() {
        let (now, wait) = (Timestamp::UNIX_EPOCH, Duration::from_secs(45));
        for (age, due) in [
            (SignedDuration::from_secs(45), Due::Now),
            (SignedDuration::from_secs(5), Due::In(Duration::from_secs(40))),
            (SignedDuration::ZERO, Due::In(wait)),
            (-AHEAD, Due::In(wait)),
            (-AHEAD - SignedDuration::from_secs(1), Due::Now),
            (now.duration_since(Timestamp::MAX), Due::Now),
            (now.duration_since(Timestamp::MIN), Due::Now),
        ] {
            assert_eq!(rest(wait, now - age, now), due, "{age}");
            let failure = BackupFailure {
                reason: "BackupFailed".into(),
                message: String::new(),
                time: Time(now - age),
                last: false,
                retry: None,
            };
            assert_eq!(again(Some(&failure), (None, false), 3, now), due, "{age}");
            // One that needs a person is retried while its object is being deleted.
            let failure = BackupFailure { last: true, ..failure };
            assert_eq!(again(Some(&failure), (None, false), 3, now), Due::Never);
            let patient = again(Some(&failure), (None, true), 3, now);
            assert_eq!(patient, rest(LONGEST, now - age, now), "{age}");
        }
    }
}
