//! The queue of the Orchestras that wait to send a request.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;

/// How long an Orchestra keeps its place after the time at which it had to ask again. One that was deleted
/// never asks again, and then blocks the queue for no longer than this.
const GRACE: Duration = Duration::from_secs(30);

/// An Orchestra's place in the queue: the order is by age, the oldest first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct QueuePlace {
    /// When the Orchestra was created.
    pub since: Timestamp,
    /// `namespace/name` of the Orchestra; orders Orchestras that were created in the same second.
    pub name: String,
}

#[derive(Debug)]
struct Waiter {
    /// When it asked for the first time.
    asked: Instant,
    /// When it loses its place.
    until: Instant,
}

/// The Orchestras that wait for one endpoint and scope.
#[derive(Debug, Default)]
pub(super) struct EndpointQueue(BTreeMap<QueuePlace, Waiter>);

impl EndpointQueue {
    /// How many Orchestras are before this place.
    pub(super) fn rank(&mut self, place: &QueuePlace, now: Instant) -> usize {
        self.0.retain(|_, waiter| waiter.until > now);
        self.0.range(..place).count()
    }

    /// Keeps a place for an Orchestra that is to ask again after `wait`. Returns how long it has waited so far.
    pub(super) fn wait(&mut self, place: &QueuePlace, wait: Duration, now: Instant) -> Duration {
        let until = now + wait + GRACE;
        let waiter = self
            .0
            .entry(place.clone())
            .and_modify(|waiter| waiter.until = until)
            .or_insert(Waiter { asked: now, until });
        now.saturating_duration_since(waiter.asked)
    }

    /// How long an Orchestra has waited so far.
    pub(super) fn waited(&self, place: &QueuePlace, now: Instant) -> Duration {
        let waiter = self.0.get(place);
        waiter.map_or(Duration::ZERO, |waiter| now.saturating_duration_since(waiter.asked))
    }

    /// Removes an Orchestra that may send its request.
    pub(super) fn leave(&mut self, place: &QueuePlace) {
        self.0.remove(place);
    }

    /// All places that are kept, the first one first.
    pub(super) fn places(&self, now: Instant) -> Vec<QueuePlace> {
        let waiting = self.0.iter().filter(|(_, waiter)| waiter.until > now);
        waiting.map(|(place, _)| place.clone()).collect()
    }
}
