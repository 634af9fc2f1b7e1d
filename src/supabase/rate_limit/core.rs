//! The state of a rate limiter, without clock and waiting.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::headers::LimitHeaders;
use super::queue::{EndpointQueue, QueuePlace};
use super::reports::Reports;
use super::window::{Window, WindowReport, WindowSlot};
use crate::supabase::operation::{Operation, Priority};

/// Requests that may be sent at once before any limit is known.
const BURST: f64 = 10.0;
/// Requests a second before any limit is known.
const RATE: f64 = 1.0;
/// Windows that are kept before those that have ended are dropped.
const MANY: usize = 4096;
/// Time between two callers that wait for the same window, so that they do not ask at the same moment.
const SPREAD: Duration = Duration::from_millis(5);
/// The longest time after which a caller is to ask again: callers before it may no longer exist.
const LONGEST: Duration = Duration::from_mins(5);
/// The longest wait while a limit is not known: the first answer reports it.
const UNKNOWN: Duration = Duration::from_secs(1);
/// When a caller is to ask again that waits for the answers to requests in flight.
const SOON: Duration = Duration::from_millis(200);

/// The unit of a limit: an endpoint for a scope.
pub(super) type LimitKey = (Operation, String);

/// A request may not be sent yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotYet {
    /// When to ask again.
    pub after: Duration,
    /// How long the Orchestra has been in the queue.
    pub waited: Duration,
}

/// The limit of an endpoint, as its answers have reported it.
#[derive(Clone, Copy, Debug)]
struct EndpointLimit {
    count: u32,
    /// Length of a window.
    length: Duration,
}

/// The remaining requests of an operation's limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestsLeft {
    /// The operation.
    pub operation: Operation,
    /// Requests in a window, as the API has reported it.
    pub limit: u32,
    /// Requests that are left in the current window, of the scope that has the fewest.
    pub left: u32,
}

#[derive(Debug)]
pub(super) struct LimiterCore {
    /// Tokens of the bucket that serves endpoints whose limit is not known, as of `refilled`.
    tokens: f64,
    refilled: Instant,
    limits: HashMap<Operation, EndpointLimit>,
    pub(super) windows: HashMap<LimitKey, Window>,
    reports: HashMap<LimitKey, Reports>,
    queues: HashMap<LimitKey, EndpointQueue>,
    /// Requests that were taken and are not finished.
    in_flight: HashMap<LimitKey, u32>,
    numbers: u64,
}

impl LimiterCore {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            tokens: BURST,
            refilled: now,
            limits: HashMap::new(),
            windows: HashMap::new(),
            reports: HashMap::new(),
            queues: HashMap::new(),
            in_flight: HashMap::new(),
            numbers: 0,
        }
    }

    /// Takes one request, or says when to ask again. Of the Orchestras in a queue, the first ones may send as many
    /// requests as are left.
    pub(super) fn take(
        &mut self,
        priority: Priority,
        key: &LimitKey,
        place: Option<&QueuePlace>,
        now: Instant,
    ) -> Result<WindowSlot, NotYet> {
        let rank = place.map_or(0, |place| self.queues.entry(key.clone()).or_default().rank(place, now));
        let rank = u32::try_from(rank).unwrap_or(u32::MAX);
        let taken = self
            .take_ranked(priority, key, rank, now)
            .map_err(|wait| wait.min(LONGEST) + SPREAD * (rank % 100));
        let Some(place) = place else {
            return taken.map_err(|after| NotYet {
                after,
                waited: Duration::ZERO,
            });
        };
        let queue = self.queues.entry(key.clone()).or_default();
        match taken {
            Ok(slot) => {
                queue.leave(place);
                Ok(slot)
            }
            Err(after) => Err(NotYet {
                after,
                waited: queue.wait(place, after, now),
            }),
        }
    }

    fn take_ranked(
        &mut self,
        priority: Priority,
        key: &LimitKey,
        rank: u32,
        now: Instant,
    ) -> Result<WindowSlot, Duration> {
        let limit = self.limits.get(&key.0).copied();
        let live = self.windows.get_mut(key).filter(|window| window.resets > now);
        let in_flight = self.in_flight.get(key).copied().unwrap_or_default();
        let reports = self.reports.get_mut(key).filter(|_| live.is_none());
        let unclear = reports
            .zip(limit)
            .map(|(reports, limit)| reports.may_count(0, limit.length, now));
        let unclear = unclear.unwrap_or_default();
        let taken = in_flight.saturating_add(unclear);
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
            (None, Some(limit)) if rank < limit.count.saturating_sub(taken) => {
                self.numbers += 1;
                let mut window = Window::guess(self.numbers, in_flight, unclear, limit.length, now);
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
        Ok(WindowSlot { number, at: now })
    }

    fn keep(&mut self, key: &LimitKey, window: Window, now: Instant) -> u64 {
        if self.windows.len() >= MANY {
            self.windows.retain(|_, window| window.resets > now);
            self.reports.retain(|_, reports| !reports.is_over(now));
        }
        let number = window.number;
        self.windows.insert(key.clone(), window);
        number
    }

    fn take_token(&mut self, priority: Priority, rank: u32, now: Instant) -> Result<(), Duration> {
        let passed = now.saturating_duration_since(self.refilled).as_secs_f64();
        self.tokens = (self.tokens + passed * RATE).min(BURST);
        self.refilled = now;
        let needed = 1.0 + kept_back(priority) * BURST;
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

    /// Corrects the estimate with the server's report.
    pub(super) fn learn(&mut self, key: &LimitKey, slot: WindowSlot, headers: LimitHeaders, now: Instant) {
        let (Some(count), Some(remaining), Some(reset)) = (headers.limit, headers.remaining, headers.reset) else {
            self.lose(key, slot, now);
            return;
        };
        let report = WindowReport::new(slot, count.saturating_sub(remaining), reset, now);
        let limit = self
            .limits
            .entry(key.0)
            .or_insert(EndpointLimit { count, length: reset });
        limit.count = count;
        // The answer to the first request of a window reports its full length.
        limit.length = if report.counted == 1 {
            reset
        } else {
            limit.length.max(reset)
        };
        let length = limit.length;
        let others = self.in_flight.get(key).map_or(0, |all| all.saturating_sub(1));
        let reports = self.reports.entry(key.clone()).or_default();
        reports.note(report, now);
        let unclear = reports.may_count(report.counted, length, now);
        match self.windows.get_mut(key) {
            Some(window) if window.resets > now && !window.is_over(slot, report) => {
                let about = reports.about(report, window.begun, length);
                window.answer(slot, report, about);
            }
            // The answer is late and reports a window that has ended.
            Some(window) if !report.ends_after(window.resets) => {}
            _ => {
                self.numbers += 1;
                let window = Window::reported(self.numbers, slot, others, unclear, report);
                self.keep(key, window, now);
            }
        }
    }

    /// Sends no request of this endpoint and scope for a while.
    pub(super) fn pause(&mut self, key: &LimitKey, pause: Duration, now: Instant) {
        self.numbers += 1;
        self.keep(key, Window::closed(self.numbers, pause, now), now);
    }

    /// Counts a request that got no answer, or one without the headers.
    pub(super) fn lose(&mut self, key: &LimitKey, slot: WindowSlot, now: Instant) {
        if let Some(window) = self.windows.get_mut(key).filter(|window| window.resets > now) {
            window.lose(slot);
        }
    }

    /// Takes back a request that was not sent.
    pub(super) fn give_back(&mut self, key: &LimitKey, slot: WindowSlot, now: Instant) {
        if slot.number == 0 {
            self.tokens = (self.tokens + 1.0).min(BURST);
        }
        if let Some(window) = self.windows.get_mut(key).filter(|window| window.resets > now) {
            window.give_back(slot);
        }
    }

    /// Ends a request, whatever its outcome.
    pub(super) fn done(&mut self, key: &LimitKey) {
        if let Some(in_flight) = self.in_flight.get_mut(key) {
            *in_flight = in_flight.saturating_sub(1);
            if *in_flight == 0 {
                self.in_flight.remove(key);
            }
        }
    }

    /// How long an Orchestra has been in the queue.
    pub(super) fn waited(&self, key: &LimitKey, place: &QueuePlace, now: Instant) -> Duration {
        let queue = self.queues.get(key);
        queue.map_or(Duration::ZERO, |queue| queue.waited(place, now))
    }

    /// The remaining requests of each known limit.
    pub(super) fn requests_left(&self, now: Instant) -> Vec<RequestsLeft> {
        let mut left: HashMap<Operation, u32> = HashMap::new();
        for ((operation, _), window) in &self.windows {
            let Some(limit) = self.limits.get(operation).filter(|_| window.resets > now) else {
                continue;
            };
            let free = window.free(limit.count);
            let least = left.entry(*operation).or_insert(free);
            *least = (*least).min(free);
        }
        let of = |(operation, limit): (&Operation, &EndpointLimit)| RequestsLeft {
            operation: *operation,
            limit: limit.count,
            left: left.get(operation).copied().unwrap_or(limit.count),
        };
        self.limits.iter().map(of).collect()
    }

    /// The Orchestras that wait, by operation, the first one first.
    pub(super) fn queues(&self, now: Instant) -> Vec<(Operation, Vec<QueuePlace>)> {
        let waiting = self
            .queues
            .iter()
            .map(|((operation, _), queue)| (*operation, queue.places(now)));
        waiting.filter(|(_, places)| !places.is_empty()).collect()
    }
}

impl EndpointLimit {
    /// How much later than the next window that window begins which serves a caller with this many before it.
    fn windows_later(self, before: u32) -> Duration {
        let count = self.count.max(1);
        self.length * (before / count) + SPREAD * (before % count)
    }
}

/// The share of the bucket that is kept for requests of a higher priority. An endpoint whose limit is known needs
/// none: requests of other endpoints do not count against it.
fn kept_back(priority: Priority) -> f64 {
    match priority {
        Priority::Create => 0.0,
        Priority::Readiness => 0.2,
        Priority::Drift => 0.5,
    }
}
