//! The state of a budget, without clock and waiting.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::queue::{Queue, Turn};
use super::window::{Grant, Told, Window};
use super::{BURST, Operation, Priority, RATE, Taught};

/// Windows kept before those that ran out are dropped.
const MANY: usize = 4096;
/// Between two who come back for the same window, so that they do not come at once.
const SPREAD: Duration = Duration::from_millis(5);
/// Whoever waits for longer asks in between: those before it may have gone.
const LONGEST: Duration = Duration::from_mins(5);
/// The longest wait while a limit is not known: the first answer tells it.
const UNKNOWN: Duration = Duration::from_secs(1);
/// How soon one is to ask again who waits for the answers of those on their way.
const SOON: Duration = Duration::from_millis(200);

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

#[derive(Debug)]
pub(super) struct Core {
    /// Tokens of the starting budget, as of `refilled`.
    tokens: f64,
    refilled: Instant,
    limits: HashMap<Operation, Limit>,
    pub(super) windows: HashMap<Key, Window>,
    queues: HashMap<Key, Queue>,
    /// Requests that are not answered yet.
    in_flight: HashMap<Key, u32>,
    numbers: u64,
}

impl Core {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            tokens: BURST,
            refilled: now,
            limits: HashMap::new(),
            windows: HashMap::new(),
            queues: HashMap::new(),
            in_flight: HashMap::new(),
            numbers: 0,
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
    ) -> Result<Grant, Wait> {
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
            Ok(grant) => {
                queue.leave(turn);
                Ok(grant)
            }
            Err(time) => Err(Wait {
                time,
                so_far: queue.wait(turn, time, now),
            }),
        }
    }

    fn take_ranked(&mut self, priority: Priority, key: &Key, rank: u32, now: Instant) -> Result<Grant, Duration> {
        let limit = self.limits.get(&key.0).copied();
        let live = self.windows.get_mut(key).filter(|window| window.resets > now);
        let in_flight = self.in_flight.get(key).copied().unwrap_or_default();
        let number = match (live, limit) {
            (Some(window), limit) => {
                let count = limit.map_or(0, |limit| limit.count);
                if rank >= window.free(count) {
                    let hoped = window.hoped(count);
                    if rank < hoped {
                        return Err(SOON + SPREAD * rank);
                    }
                    let later = limit.map_or(Duration::ZERO, |limit| limit.windows_later(rank - hoped));
                    return Err(window.resets - now + later);
                }
                window.grant();
                window.number
            }
            (None, Some(limit)) if rank < limit.count.saturating_sub(in_flight) => {
                self.numbers += 1;
                let mut window = Window::guess(self.numbers, in_flight, limit.length, now);
                window.grant();
                self.keep(key, window, now)
            }
            (None, Some(limit)) if rank < limit.count => return Err(SOON + SPREAD * rank),
            (None, Some(limit)) => return Err(limit.windows_later(rank)),
            (None, None) => {
                self.take_token(priority, rank, now)?;
                0
            }
        };
        *self.in_flight.entry(key.clone()).or_default() += 1;
        Ok(Grant { number, at: now })
    }

    fn keep(&mut self, key: &Key, window: Window, now: Instant) -> u64 {
        if self.windows.len() >= MANY {
            self.windows.retain(|_, window| window.resets > now);
        }
        let number = window.number;
        self.windows.insert(key.clone(), window);
        number
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

    /// Goes by what the server counts.
    pub(super) fn learn(&mut self, key: &Key, grant: Grant, taught: Taught, now: Instant) {
        let (Some(count), Some(remaining), Some(reset)) = (taught.limit, taught.remaining, taught.reset) else {
            self.lose(key, grant, now);
            return;
        };
        let told = Told::new(grant, count.saturating_sub(remaining), reset, now);
        let limit = self.limits.entry(key.0).or_insert(Limit { count, length: reset });
        limit.count = count;
        // The first request of a window is told its whole length.
        limit.length = if told.counted == 1 {
            reset
        } else {
            limit.length.max(reset)
        };
        let others = self.in_flight.get(key).map_or(0, |all| all.saturating_sub(1));
        match self.windows.get_mut(key) {
            Some(window) if window.resets > now && !window.is_over(grant, told) => window.answer(grant, told),
            // It came late, and tells of a window that is over.
            Some(window) if !told.ends_after(window.resets) => {}
            _ => {
                self.numbers += 1;
                self.keep(key, Window::told(self.numbers, grant, others, told), now);
            }
        }
    }

    /// Sends nothing more for this endpoint and scope for a while.
    pub(super) fn pause(&mut self, key: &Key, pause: Duration, now: Instant) {
        self.numbers += 1;
        self.keep(key, Window::closed(self.numbers, pause, now), now);
    }

    /// A request got no answer that tells anything.
    pub(super) fn lose(&mut self, key: &Key, grant: Grant, now: Instant) {
        if let Some(window) = self.windows.get_mut(key).filter(|window| window.resets > now) {
            window.lose(grant);
        }
    }

    /// A request was not sent.
    pub(super) fn give_back(&mut self, key: &Key, grant: Grant, now: Instant) {
        if grant.number == 0 {
            self.tokens = (self.tokens + 1.0).min(BURST);
        }
        if let Some(window) = self.windows.get_mut(key).filter(|window| window.resets > now) {
            window.give_back(grant);
        }
    }

    /// A request is not on its way any more, whatever became of it.
    pub(super) fn done(&mut self, key: &Key) {
        if let Some(in_flight) = self.in_flight.get_mut(key) {
            *in_flight = in_flight.saturating_sub(1);
            if *in_flight == 0 {
                self.in_flight.remove(key);
            }
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
