//! The rate limiter: how many requests a token may send.
//!
//! The API counts 120 requests in 60 s for each endpoint and scope (a project, an organization or the token's user)
//! and reports its count in `x-ratelimit-*` headers; the product's own guide names 60 a minute for the whole token.
//! So the limiter starts with the lower number, and uses the headers of an endpoint once they are known.
//!
//! Creations are queued: the Orchestra that is oldest sends first, in whatever order they ask.
//!
//! No crate serves: a limiter such as `governor` has one fixed quota, cannot be corrected by the server's counts, and has
//! neither priorities nor a queue.
//!
//! `core` is pure: it is given the time.

mod core;
mod headers;
mod queue;
mod reports;
mod window;

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use reqwest::header::HeaderMap;
use tokio::sync::{Notify, Semaphore};

use super::error::Error;
use super::operation::{ApiCall, Operation};
pub use core::RequestsLeft;
use core::{LimitKey, LimiterCore};
use headers::LimitHeaders;
pub use queue::QueuePlace;
use window::WindowSlot;

/// The longest that a caller is kept waiting; a longer wait is returned to it as the time at which to ask again.
const MAX_WAIT: Duration = Duration::from_secs(2);
/// Queued callers that are kept waiting at the same time; further ones at once get the time at which to ask again. A caller
/// that is kept waiting occupies a worker, which Orchestras need whose first pass is due.
const MAX_KEPT: usize = 4;
/// A wait that is reported to people.
const LONG_WAIT: Duration = Duration::from_mins(1);

/// The rate limiter of one token.
#[derive(Debug)]
pub struct RateLimiter {
    core: Mutex<LimiterCore>,
    /// Wakes the callers that are kept waiting when a request ends: its answer may report room.
    answered: Notify,
    /// A queued caller that is kept waiting holds one permit of it.
    seats: Semaphore,
}

impl Default for RateLimiter {
    fn default() -> Self {
        Self {
            core: Mutex::new(LimiterCore::new(Instant::now())),
            answered: Notify::new(),
            seats: Semaphore::new(MAX_KEPT),
        }
    }
}

/// The right to send one request. When it is dropped unused, the limiter takes it back.
#[derive(Debug)]
pub struct Permit {
    limiter: Arc<RateLimiter>,
    key: LimitKey,
    slot: WindowSlot,
    state: PermitState,
    /// How long its Orchestra was in the queue; none where there is no queue.
    waited: Option<Duration>,
}

/// The use of a permit so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PermitState {
    Unused,
    Sent,
    Answered,
}

impl Permit {
    /// How long its Orchestra was in the queue; none where there is no queue.
    pub(super) fn waited(&self) -> Option<Duration> {
        self.waited
    }

    /// Records that the request is sent now.
    pub(super) fn send(&mut self) {
        self.state = PermitState::Sent;
    }

    /// Learns from the answer. After a 429, returns when its sender may ask again.
    pub(super) fn learn(&mut self, status: u16, headers: &HeaderMap) -> Option<Duration> {
        let headers = LimitHeaders::read(headers);
        self.state = PermitState::Answered;
        self.limiter.with(|core| {
            let now = Instant::now();
            core.learn(&self.key, self.slot, headers, now);
            (status == 429).then(|| {
                core.pause(&self.key, headers.pause(), now);
                jittered(headers.pause())
            })
        })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.limiter.with(|core| {
            match self.state {
                PermitState::Unused => core.give_back(&self.key, self.slot, Instant::now()),
                PermitState::Sent => core.lose(&self.key, self.slot, Instant::now()),
                PermitState::Answered => {}
            }
            core.done(&self.key);
        });
        self.limiter.answered.notify_waiters();
    }
}

impl RateLimiter {
    /// Takes the right to send one request of an operation for a scope (a project's reference, an organization's
    /// slug, or empty for the user). Waits 2 s at most.
    ///
    /// # Errors
    /// [`Error::Throttled`] when it would take longer; [`Error::Queued`] when the caller has a place in the queue.
    pub async fn acquire(
        self: &Arc<Self>,
        call: impl Into<ApiCall>,
        scope: &str,
        place: Option<&QueuePlace>,
    ) -> Result<Permit, Error> {
        let ApiCall { operation, priority } = call.into();
        let key = (operation, scope.to_owned());
        let give_up = Instant::now() + MAX_WAIT;
        let mut seat = None;
        loop {
            // Enabled before the limiter is asked, so that no answer is missed in between.
            let mut answered = pin!(self.answered.notified());
            answered.as_mut().enable();
            let (waited, taken) = self.with(|core| {
                let now = Instant::now();
                let waited = place.map(|place| core.waited(&key, place, now));
                (waited, core.take(priority, &key, place, now))
            });
            let not_yet = match taken {
                Ok(slot) => {
                    return Ok(Permit {
                        limiter: Arc::clone(self),
                        key,
                        slot,
                        state: PermitState::Unused,
                        waited,
                    });
                }
                Err(not_yet) => not_yet,
            };
            seat = seat.or_else(|| self.seats.try_acquire().ok().filter(|_| place.is_some()));
            let kept = place.is_none() || seat.is_some();
            if !kept || Instant::now() + not_yet.after > give_up {
                return Err(match place {
                    Some(_) => Error::Queued {
                        after: not_yet.after,
                        long: not_yet.waited >= LONG_WAIT,
                    },
                    None => Error::Throttled {
                        after: jittered(not_yet.after),
                    },
                });
            }
            // After either of the two, the limiter is asked again.
            let _ = tokio::time::timeout(not_yet.after, answered).await;
        }
    }

    /// The Orchestras that wait, by operation, the first one first.
    pub fn queues(&self) -> Vec<(Operation, Vec<QueuePlace>)> {
        self.with(|core| core.queues(Instant::now()))
    }

    /// The remaining requests of each limit that the API has reported.
    pub fn requests_left(&self) -> Vec<RequestsLeft> {
        self.with(|core| core.requests_left(Instant::now()))
    }

    fn with<T>(&self, work: impl FnOnce(&mut LimiterCore) -> T) -> T {
        work(&mut self.core.lock())
    }
}

/// A little later, so that waiting callers do not all ask again at the same moment.
fn jittered(wait: Duration) -> Duration {
    let spread = wait.as_secs_f64().mul_add(0.1, 1.0);
    wait + Duration::from_secs_f64(rand::random_range(0.0..spread))
}

#[cfg(test)]
mod queue_tests;
#[cfg(test)]
mod tests;
