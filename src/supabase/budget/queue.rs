//! Who waits for a request, and whose turn it is.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;

/// How long after the time that it was told a waiter keeps its place. One that does not come back, as
/// it was deleted, then holds up nobody.
const GRACE: Duration = Duration::from_secs(30);

/// A place in the queue: the older Orchestra goes first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Turn {
    /// When the Orchestra was created.
    pub since: Timestamp,
    /// `namespace/name` of the Orchestra; decides between two of the same second.
    pub name: String,
}

#[derive(Debug)]
struct Waiter {
    /// When it first asked.
    asked: Instant,
    /// When its place is given up.
    until: Instant,
}

/// Those who wait for one endpoint and scope.
#[derive(Debug, Default)]
pub(super) struct Queue(BTreeMap<Turn, Waiter>);

impl Queue {
    /// How many go before this turn.
    pub(super) fn rank(&mut self, turn: &Turn, now: Instant) -> usize {
        self.0.retain(|_, waiter| waiter.until > now);
        self.0.range(..turn).count()
    }

    /// Keeps a place for one who comes back after `wait`; how long it has waited so far.
    pub(super) fn wait(&mut self, turn: &Turn, wait: Duration, now: Instant) -> Duration {
        let until = now + wait + GRACE;
        let waiter = self
            .0
            .entry(turn.clone())
            .and_modify(|waiter| waiter.until = until)
            .or_insert(Waiter { asked: now, until });
        now.saturating_duration_since(waiter.asked)
    }

    /// Its turn has come.
    pub(super) fn leave(&mut self, turn: &Turn) {
        self.0.remove(turn);
    }

    pub(super) fn turns(&self, now: Instant) -> Vec<Turn> {
        let waiting = self.0.iter().filter(|(_, waiter)| waiter.until > now);
        waiting.map(|(turn, _)| turn.clone()).collect()
    }
}
