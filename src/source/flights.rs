//! Work that is done once for all callers that ask for it at the same time, and whose outcome is kept for a while.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use parking_lot::Mutex;
use tracing::Instrument as _;

use super::error::Error;

/// How long a caller waits for work in progress before it has to ask again later.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long a failure is kept, so that hundreds of tenants do not each try again.
const AFTER_FAILURE: Duration = Duration::from_secs(5);

/// Outcomes by key. Those that are no longer asked for are dropped.
pub struct Flights<K, V> {
    entries: Mutex<HashMap<K, Flight<V>>>,
    idle: Duration,
    patience: Duration,
    /// How many bytes an outcome holds, and the most bytes that are kept.
    weight: fn(&V) -> usize,
    most: usize,
}

struct Flight<V> {
    job: Shared<BoxFuture<'static, Result<V, Error>>>,
    began: Instant,
    used: Instant,
    /// The outcome of the last job that succeeded before this one.
    last: Option<V>,
}

impl<V: Clone> Flight<V> {
    fn is_over(&self, fresh: Duration) -> bool {
        match self.job.peek() {
            None => false,
            Some(Ok(_)) => self.began.elapsed() >= fresh,
            Some(Err(_)) => self.began.elapsed() >= AFTER_FAILURE,
        }
    }

    /// The bytes of the outcome and of the last one, which is kept until the next one.
    fn weight(&self, of: fn(&V) -> usize) -> usize {
        let made = self.job.peek().and_then(|made| made.as_ref().ok());
        made.map_or(0, of) + self.last.as_ref().map_or(0, of)
    }

    fn made(&self) -> Option<V> {
        match self.job.peek() {
            Some(Ok(value)) => Some(value.clone()),
            _ => self.last.clone(),
        }
    }
}

impl<K, V> Flights<K, V>
where
    K: Clone + Eq + Hash,
    V: Clone + Send + Sync + 'static,
{
    /// An empty cache. An outcome is dropped when it was not asked for during `idle`.
    pub fn new(idle: Duration) -> Self {
        Self {
            entries: Mutex::default(),
            idle,
            patience: PATIENCE,
            weight: |_| 0,
            most: usize::MAX,
        }
    }

    /// Bounds the bytes of the outcomes that are kept. The one that was asked for last stays in any case.
    #[must_use]
    pub fn weighed(self, weight: fn(&V) -> usize, most: usize) -> Self {
        Self { weight, most, ..self }
    }

    /// Drops the outcomes of this kind that were not asked for during `unused`.
    pub fn forget(&self, unused: Duration, kind: impl Fn(&V) -> bool) {
        let is = |entry: &Flight<V>| entry.used.elapsed() >= unused && entry.made().is_some_and(|made| kind(&made));
        self.entries.lock().retain(|_, entry| !is(entry));
    }

    /// Drops the least recently used outcomes, until the others are within the bound.
    fn fit(&self, entries: &mut HashMap<K, Flight<V>>) {
        let mut kept: Vec<_> = entries
            .iter()
            .map(|(key, entry)| (entry.used, entry.weight(self.weight), key.clone()))
            .filter(|(_, weight, _)| *weight > 0)
            .collect();
        kept.sort_by_key(|(used, ..)| Reverse(*used));
        let mut bytes: usize = 0;
        for (at, (_, weight, key)) in kept.into_iter().enumerate() {
            bytes = bytes.saturating_add(weight);
            if at > 0 && bytes > self.most {
                entries.remove(&key);
            }
        }
    }

    /// The outcome of the work, which is started unless it is in progress or has an outcome that is younger than
    /// `fresh`. While the work fails or is in progress, its last outcome is returned.
    ///
    /// # Errors
    /// The error of the work, or [`Error::Unavailable`] while it is in progress for the first time.
    pub async fn get<F>(&self, key: &K, place: &str, fresh: Duration, work: impl FnOnce() -> F) -> Result<V, Error>
    where
        F: Future<Output = Result<V, Error>> + Send + 'static,
    {
        let (job, last) = self.join(key, place, fresh, work);
        match (tokio::time::timeout(self.patience, job).await, last) {
            (Ok(Ok(value)), _) => Ok(value),
            (Ok(Err(error)), Some(last)) => {
                tracing::warn!(%error, "the source cannot be read; the version that was read before is still used");
                Ok(last)
            }
            (Ok(Err(error)), None) => Err(error),
            (Err(_), Some(last)) => Ok(last),
            (Err(_), None) => Err(Error::Unavailable {
                place: place.to_owned(),
                what: "it is still being fetched".into(),
                after: Some(Duration::from_secs(1)),
            }),
        }
    }

    #[allow(clippy::type_complexity, reason = "returned to one caller")]
    fn join<F>(
        &self,
        key: &K,
        place: &str,
        fresh: Duration,
        work: impl FnOnce() -> F,
    ) -> (Shared<BoxFuture<'static, Result<V, Error>>>, Option<V>)
    where
        F: Future<Output = Result<V, Error>> + Send + 'static,
    {
        let mut entries = self.entries.lock();
        entries.retain(|_, entry| entry.used.elapsed() < self.idle);
        self.fit(&mut entries);
        if let Some(entry) = entries.get_mut(key).filter(|entry| !entry.is_over(fresh)) {
            entry.used = Instant::now();
            return (entry.job.clone(), entry.last.clone());
        }
        let last = entries.get(key).and_then(Flight::made);
        let (task, place) = (tokio::spawn(work().in_current_span()), place.to_owned());
        let job = async move {
            // The task panicked, or the operator is shutting down.
            task.await
                .unwrap_or_else(|_| Err(Error::unavailable(&place, "the work was interrupted")))
        };
        let job = job.boxed().shared();
        let entry = Flight {
            job: job.clone(),
            began: Instant::now(),
            used: Instant::now(),
            last: last.clone(),
        };
        entries.insert(key.clone(), entry);
        (job, last)
    }
}

#[cfg(test)]
#[path = "flights_tests.rs"]
mod tests;
