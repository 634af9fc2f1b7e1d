//! Background work inside databases, so that a long migration does not occupy a worker of a controller.

use std::collections::HashMap;
use std::time::{Duration, Instant};

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

/// How long a pass waits for work that has just begun, so that what is quick is done in one pass. When longer
/// work ends, it triggers the object.
pub const PATIENCE: Duration = Duration::from_secs(2);

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
    began: Instant,
    /// When its progress was last reported.
    told: Option<Instant>,
}

/// Work by the UID of its object, one piece at a time for each. A piece of work results in a `T`, and its end
/// triggers its `K`.
pub struct Works<K: Resource, T> {
    running: Mutex<HashMap<String, BackgroundWork<T>>>,
    ended: UnboundedSender<ObjectRef<K>>,
    stopping: watch::Receiver<bool>,
}

impl<K: Resource<DynamicType = ()> + 'static, T: Send + 'static> Works<K, T> {
    /// No work yet. The end of each piece of work is sent to `ended`. `stopping` becomes true when the operator is to stop.
    pub fn new(ended: UnboundedSender<ObjectRef<K>>, stopping: watch::Receiver<bool>) -> Self {
        Self {
            running: Mutex::default(),
            ended,
            stopping,
        }
    }

    /// Becomes true when the operator is to stop.
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
        // Boxed: each layer around a future would hold it once more, on the stack as well.
        let work = Box::pin(work);
        let work = async move {
            let outcome = caught(work).await;
            // The channel is closed only while the operator is shutting down.
            let _ = ended.send(object);
            outcome
        };
        let task = tokio::spawn(work.in_current_span());
        let work = BackgroundWork {
            kind,
            watch,
            task,
            began: Instant::now(),
            told: None,
        };
        self.lock().insert(uid.into(), work);
    }

    /// Whether the progress of an object's work is to be reported: once when a part of it takes long, and then at this
    /// interval. Ended work is not reported, because the next status says it.
    pub fn is_to_be_told(&self, uid: &str, pace: Duration) -> bool {
        let running = self.lock();
        let work = running.get(uid).filter(|work| !work.task.is_finished());
        work.is_some_and(|work| match work.told {
            None => work.watch.is_slow() || work.began.elapsed() >= pace,
            Some(at) => at.elapsed() >= pace,
        })
    }

    /// Whether the progress of the work was reported.
    pub fn was_told(&self, uid: &str) -> bool {
        self.lock().get(uid).is_some_and(|work| work.told.is_some())
    }

    /// Records that the progress of the work is reported, if there is work.
    pub fn told(&self, uid: &str) {
        if let Some(work) = self.lock().get_mut(uid) {
            work.told = Some(Instant::now());
        }
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tokio::sync::mpsc::unbounded_channel;

    use super::*;
    use crate::api::Orchestra;

    const PACE: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn work_that_takes_long_is_told_of_from_time_to_time_and_not_when_it_has_ended() {
        let (ended, mut told) = unbounded_channel();
        let works = Works::<Orchestra, ()>::new(ended, watch::channel(false).1);
        let (end, ends) = tokio::sync::oneshot::channel();
        let work = async {
            ends.await
                .map_err(|_| Error::transient(Reason::Pending, "the test has ended"))
        };
        let object = ObjectRef::new("one").within("tenants");
        works.start(("one", object), WorkKind::Migrate, Watch::default(), work);
        let ages = |began: Duration, told: Option<Duration>| {
            let ago = |age: Duration| Instant::now().checked_sub(age).unwrap();
            let mut running = works.lock();
            let work = running.get_mut("one").unwrap();
            (work.began, work.told) = (ago(began), told.map(ago));
        };
        for (began, told, is) in [
            (Duration::ZERO, None, false),
            (PACE, None, true),
            (PACE, Some(Duration::ZERO), false),
            (PACE * 3, Some(PACE / 2), false),
            (PACE * 3, Some(PACE), true),
        ] {
            ages(began, told);
            assert_eq!(works.is_to_be_told("one", PACE), is, "{began:?} {told:?}");
            assert_eq!(works.was_told("one"), told.is_some());
        }
        works.told("one");
        assert!(works.was_told("one") && !works.is_to_be_told("one", PACE));
        assert!(!works.is_to_be_told("another", PACE) && !works.was_told("another"));

        ages(PACE * 3, Some(PACE));
        end.send(()).unwrap();
        told.recv().await.unwrap();
        while !works.lock()["one"].task.is_finished() {
            tokio::task::yield_now().await;
        }
        assert!(
            !works.is_to_be_told("one", PACE),
            "the next status says that it has ended"
        );
    }
}
