//! The state of a budget, without clock and waiting.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::queue::{Queue, Turn};
use super::{BURST, Operation, Priority, RATE, Taught};

/// Windows kept before those that ran out are dropped.
const MANY: usize = 4096;
/// Between two who come back for the same window, so that they do not come at once.
const SPREAD: Duration = Duration::from_millis(5);
/// Whoever waits for longer asks in between: those before it may have gone.
const LONGEST: Duration = Duration::from_mins(5);
/// The longest wait while a limit is not known: the first answer tells it.
const UNKNOWN: Duration = Duration::from_secs(3);
/// An end of a window that is this much later than the one known is that of another window: ends are
/// told in whole seconds.
const SLACK: Duration = Duration::from_secs(2);

/// What is limited: an endpoint for a scope.
pub(super) type Key = (Operation, String);

/// How long to wait, and how long it has been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wait {
    pub time: Duration,
    pub so_far: Duration,
}

/// The limit that an endpoint has shown.
#[derive(Clone, Copy, Debug)]
struct Limit {
    count: u32,
    /// Length of a window.
    length: Duration,
}

/// What is left of an endpoint's limit for one scope.
#[derive(Debug)]
pub(super) struct Window {
    pub remaining: u32,
    pub resets: Instant,
    /// Tells it from the windows before it: an answer that comes late speaks of an older one.
    generation: u64,
    /// Whether an answer has told of it; before, it is our guess.
    confirmed: bool,
    /// Requests that are not answered yet.
    in_flight: u32,
}

#[derive(Debug)]
pub(super) struct Core {
    /// Tokens of the starting budget, as of `refilled`.
    tokens: f64,
    refilled: Instant,
    limits: HashMap<Operation, Limit>,
    pub(super) windows: HashMap<Key, Window>,
    queues: HashMap<Key, Queue>,
    /// Requests that went out before the limit was known and are not answered yet.
    early: HashMap<Key, u32>,
    generations: u64,
}

impl Core {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            tokens: BURST,
            refilled: now,
            limits: HashMap::new(),
            windows: HashMap::new(),
            queues: HashMap::new(),
            early: HashMap::new(),
            generations: 0,
        }
    }

    /// Takes one request, or says how long to wait. Of those who wait for their turn, as many get one
    /// as are left, the first ones first.
    pub(super) fn take(
        &mut self,
        priority: Priority,
        key: &Key,
        turn: Option<&Turn>,
        now: Instant,
    ) -> Result<u64, Wait> {
        let rank = turn.map_or(0, |turn| self.queues.entry(key.clone()).or_default().rank(turn, now));
        let rank = u32::try_from(rank).unwrap_or(u32::MAX);
        let taken = self
            .take_ranked(priority, key, rank, now)
            .map_err(|wait| wait.min(LONGEST) + SPREAD * (rank % 100));
        let Some(turn) = turn else {
            return taken.map_err(|time| Wait {
                time,
                so_far: Duration::ZERO,
            });
        };
        let queue = self.queues.entry(key.clone()).or_default();
        match taken {
            Ok(generation) => {
                queue.leave(turn);
                Ok(generation)
            }
            Err(time) => Err(Wait {
                time,
                so_far: queue.wait(turn, time, now),
            }),
        }
    }

    fn take_ranked(&mut self, priority: Priority, key: &Key, rank: u32, now: Instant) -> Result<u64, Duration> {
        let limit = self.limits.get(&key.0).copied();
        let live = self.windows.get_mut(key).filter(|window| window.resets > now);
        match (live, limit) {
            (Some(window), _) if rank < window.remaining => {
                window.remaining -= 1;
                window.in_flight += 1;
                Ok(window.generation)
            }
            (Some(window), limit) => {
                let later = rank - window.remaining;
                Err(window.resets - now + limit.map_or(Duration::ZERO, |limit| limit.windows_later(later)))
            }
            (None, Some(limit)) if rank < limit.count => {
                let window = self.open(key, limit.count, now + limit.length, now);
                window.remaining -= 1;
                window.in_flight = 1;
                Ok(window.generation)
            }
            (None, Some(limit)) => Err(limit.windows_later(rank)),
            (None, None) => {
                self.take_token(priority, rank, now)?;
                *self.early.entry(key.clone()).or_default() += 1;
                Ok(0)
            }
        }
    }

    fn open(&mut self, key: &Key, remaining: u32, resets: Instant, now: Instant) -> &mut Window {
        if self.windows.len() >= MANY {
            self.windows.retain(|_, window| window.resets > now);
        }
        self.generations += 1;
        let window = Window {
            remaining,
            resets,
            generation: self.generations,
            confirmed: false,
            in_flight: 0,
        };
        self.windows.entry(key.clone()).insert_entry(window).into_mut()
    }

    fn take_token(&mut self, priority: Priority, rank: u32, now: Instant) -> Result<(), Duration> {
        let passed = now.saturating_duration_since(self.refilled).as_secs_f64();
        self.tokens = (self.tokens + passed * RATE).min(BURST);
        self.refilled = now;
        let needed = 1.0 + priority.reserve() * BURST;
        let before = f64::from(rank);
        if self.tokens < needed + before {
            let wait = Duration::from_secs_f64((needed + before - self.tokens) / RATE);
            return Err(if rank == 0 {
                wait
            } else {
                wait.min(UNKNOWN) + SPREAD * rank
            });
        }
        self.tokens -= 1.0;
        Ok(())
    }

    /// Goes by what the server counts. Answers may overtake each other, so within a window the
    /// lower count holds, and the earlier end: ends are told in whole seconds, rounded up.
    pub(super) fn learn(&mut self, key: &Key, generation: u64, taught: Taught, now: Instant) {
        let (Some(count), Some(remaining), Some(reset)) = (taught.limit, taught.remaining, taught.reset) else {
            return;
        };
        let resets = now + reset;
        // The server has not counted yet those that went out before this one's answer.
        let early = self.early.get(key).map_or(0, |early| early.saturating_sub(1));
        let known = self.windows.get_mut(key).filter(|window| window.resets > now);
        let opened = known.as_ref().is_none_or(|window| !window.confirmed);
        match known {
            Some(window) if generation < window.generation && generation > 0 => return,
            Some(window) if window.confirmed && resets <= window.resets + SLACK => {
                window.remaining = window.remaining.min(remaining);
                window.resets = window.resets.min(resets);
            }
            // The server's window began later than we thought, and counts what is on its way anew.
            Some(window) => {
                let others = window.in_flight.saturating_sub(1);
                window.remaining = window.remaining.min(remaining.saturating_sub(others));
                if window.confirmed {
                    window.remaining = remaining.saturating_sub(others);
                }
                window.resets = resets;
                window.confirmed = true;
            }
            None => {
                let remaining = remaining.saturating_sub(early);
                self.open(key, remaining, resets, now).confirmed = true;
            }
        }
        let limit = self.limits.entry(key.0).or_insert(Limit { count, length: reset });
        limit.count = count;
        // Only the first answer of a window tells its length.
        if opened {
            limit.length = limit.length.max(reset);
        }
    }

    /// Sends nothing more for this endpoint and scope for a while.
    pub(super) fn pause(&mut self, key: &Key, pause: Duration, now: Instant) {
        self.open(key, 0, now + pause, now).confirmed = true;
    }

    /// A request was answered, or given up; one that was never sent is given back.
    pub(super) fn done(&mut self, key: &Key, generation: u64, sent: bool, now: Instant) {
        if generation == 0 {
            if let Some(early) = self.early.get_mut(key) {
                *early = early.saturating_sub(1);
                if *early == 0 {
                    self.early.remove(key);
                }
            }
            if !sent {
                self.tokens = (self.tokens + 1.0).min(BURST);
            }
            return;
        }
        let window = self.windows.get_mut(key).filter(|window| window.resets > now);
        if let Some(window) = window.filter(|window| window.generation == generation) {
            window.in_flight = window.in_flight.saturating_sub(1);
            window.remaining += u32::from(!sent);
        }
    }

    /// Those who wait, by operation.
    pub(super) fn queues(&self, now: Instant) -> Vec<(Operation, Vec<Turn>)> {
        let waiting = self
            .queues
            .iter()
            .map(|((operation, _), queue)| (*operation, queue.turns(now)));
        waiting.filter(|(_, turns)| !turns.is_empty()).collect()
    }
}

impl Limit {
    /// How much later than the next window the one comes that has room for this many before.
    fn windows_later(self, before: u32) -> Duration {
        let count = self.count.max(1);
        self.length * (before / count) + SPREAD * (before % count)
    }
}
