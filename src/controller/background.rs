//! Background work inside databases, so that a long migration occupies no worker of a controller.

use std::collections::HashMap;
use std::time::Duration;

use kube::Resource;
use kube::runtime::reflector::ObjectRef;
use parking_lot::Mutex;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::Instrument as _;

use super::error::{Error, caught};
use crate::api::condition::Reason;
use crate::migrate::Watch;

/// The kind of a piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkKind {
    /// Applies migrations.
    Migrate,
    /// Applies the seed.
    Seed,
    /// Probes an entry of a pool's inventory, or the database of an Orchestra.
    Probe,
    /// Drops everything in a released database.
    Reset,
}

/// The state of a piece of work.
pub enum WorkProgress<T> {
    /// No work was started.
    None,
    /// The work is running; with what it does, for people.
    Running(WorkKind, Option<String>),
    /// The work has ended, with this result.
    Done(T),
}

struct BackgroundWork<T> {
    kind: WorkKind,
    watch: Watch,
    task: JoinHandle<Result<T, Error>>,
}

/// Work by the UID of its object, one piece at a time for each. A piece of work results in a `T`, and its end
/// triggers its `K`.
pub struct Works<K: Resource, T> {
    running: Mutex<HashMap<String, BackgroundWork<T>>>,
    ended: UnboundedSender<ObjectRef<K>>,
    stopping: watch::Receiver<bool>,
}

impl<K: Resource<DynamicType = ()> + 'static, T: Send + 'static> Works<K, T> {
    /// No work yet. The end of each piece of work is sent to `ended`. `stopping` becomes true when the operator is
    /// told to stop.
    pub fn new(ended: UnboundedSender<ObjectRef<K>>, stopping: watch::Receiver<bool>) -> Self {
        Self {
            running: Mutex::default(),
            ended,
            stopping,
        }
    }

    /// Becomes true when the operator is told to stop.
    pub fn stopping(&self) -> watch::Receiver<bool> {
        self.stopping.clone()
    }

    /// Starts a piece of work. Its log lines are in the caller's span, which names its object.
    pub fn start(
        &self,
        (uid, object): (&str, ObjectRef<K>),
        kind: WorkKind,
        watch: Watch,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) {
        let ended = self.ended.clone();
        // In memory of its own: each layer around a future would hold it once more, on the stack as well.
        let work = Box::pin(work);
        let work = async move {
            let outcome = caught(work).await;
            // The channel is closed only while the operator is shutting down.
            let _ = ended.send(object);
            outcome
        };
        let task = tokio::spawn(work.in_current_span());
        self.lock().insert(uid.into(), BackgroundWork { kind, watch, task });
    }

    /// The work of an object, until its outcome is taken by [`Works::progress`]: its kind, and what it does.
    pub fn under_way_of(&self, uid: &str) -> Option<(WorkKind, Option<String>)> {
        let running = self.lock();
        let work = running.get(uid)?;
        Some((work.kind, work.watch.describe()))
    }

    /// Waits for the work to end, at most `patience`, so that short work is done in one pass.
    pub async fn progress(&self, uid: &str, patience: Duration) -> Result<WorkProgress<T>, Error> {
        let Some(mut work) = self.lock().remove(uid) else {
            return Ok(WorkProgress::None);
        };
        match tokio::time::timeout(patience, &mut work.task).await {
            Err(_) => {
                let progress = WorkProgress::Running(work.kind, work.watch.describe());
                self.lock().insert(uid.into(), work);
                Ok(progress)
            }
            Ok(Ok(outcome)) => outcome.map(WorkProgress::Done),
            Ok(Err(_)) => Err(Error::transient(
                Reason::DatabaseUnreachable,
                "the work was interrupted; it starts again",
            )),
        }
    }

    /// Aborts the work. Its session closes, and the server ends the script within seconds
    /// (`client_connection_check_interval`).
    pub fn stop(&self, uid: &str) {
        if let Some(work) = self.lock().remove(uid) {
            work.task.abort();
        }
    }

    /// Waits until all running work has ended, and logs what it waits for every two seconds.
    pub async fn finished(&self) {
        loop {
            let next = {
                let running = self.lock();
                let mut under_way = running.values().filter(|work| !work.task.is_finished());
                under_way
                    .next()
                    .map(|work| (under_way.count() + 1, work.watch.describe()))
            };
            let Some((count, doing)) = next else { return };
            tracing::info!(count, doing, "waiting for work in databases to end");
            for _ in 0..20 {
                tokio::time::sleep(Duration::from_millis(100)).await;
                if self.lock().values().all(|work| work.task.is_finished()) {
                    return;
                }
            }
        }
    }

    /// Drops work that has ended and whose result nobody takes.
    pub fn drop_ended(&self) {
        self.lock().retain(|_, work| !work.task.is_finished());
    }

    /// The number of running pieces of work.
    pub fn under_way(&self) -> usize {
        self.lock().values().filter(|work| !work.task.is_finished()).count()
    }

    fn lock(&self) -> parking_lot::MutexGuard<'_, HashMap<String, BackgroundWork<T>>> {
        self.running.lock()
    }
}
