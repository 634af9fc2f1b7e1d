//! The rate limit: so many requests a window, counted per user, scope and endpoint.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::Operation;

/// Requests allowed per window.
#[derive(Clone, Copy, Debug)]
pub struct RateLimit {
    /// Requests in a window.
    pub limit: u32,
    /// Length of a window. The real one is a minute.
    pub window: Duration,
}

impl Default for RateLimit {
    fn default() -> Self {
        Self {
            limit: 120,
            window: Duration::from_mins(1),
        }
    }
}

/// What the three headers of an answer say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance {
    pub(super) limit: u32,
    pub(super) remaining: u32,
    /// Whole seconds until the window ends.
    pub(super) reset: u64,
    pub(super) exceeded: bool,
}

/// What has a counter of its own: an operation on a scope.
type Endpoint = (String, Option<Operation>);

/// The counters of one stand-in, which has one user.
#[derive(Debug)]
pub(super) struct Limiter {
    rule: Mutex<RateLimit>,
    windows: Mutex<HashMap<Endpoint, (Instant, u32)>>,
}

impl Limiter {
    pub(super) fn new(rule: RateLimit) -> Self {
        Self {
            rule: Mutex::new(rule),
            windows: Mutex::default(),
        }
    }

    pub(super) fn set(&self, rule: RateLimit) {
        *self.rule.lock() = rule;
        self.windows.lock().clear();
    }

    /// Counts a request of `endpoint` on `scope`: a project, an organization, the user or an address.
    pub(super) fn count(&self, scope: &str, endpoint: Option<Operation>) -> Allowance {
        let rule = *self.rule.lock();
        let now = Instant::now();
        let mut windows = self.windows.lock();
        let (start, used) = windows.entry((scope.to_owned(), endpoint)).or_insert((now, 0));
        if now.duration_since(*start) >= rule.window {
            (*start, *used) = (now, 0);
        }
        *used = used.saturating_add(1);
        let left = rule.window.saturating_sub(now.duration_since(*start));
        Allowance {
            limit: rule.limit,
            remaining: rule.limit.saturating_sub(*used),
            reset: u64::try_from(left.as_millis().div_ceil(1000))
                .unwrap_or(u64::MAX)
                .max(1),
            exceeded: *used > rule.limit,
        }
    }
}
