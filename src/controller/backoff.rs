//! Backoff per object: 1 s to 10 min with jitter, reset on success.

use std::time::Duration;

use backon::BackoffBuilder;
use parking_lot::Mutex;

use crate::recent::Recent;

/// The longest wait, which is also the pace at which a Stalled object is reconciled again.
pub const SLOWEST: Duration = Duration::from_mins(10);

/// How long failed attempts are remembered after an object's last one: several times the longest wait.
pub const REMEMBERED: Duration = SLOWEST.saturating_mul(12);

/// Failed attempts of each object.
pub struct Backoff {
    pending: Mutex<Recent<backon::ExponentialBackoff>>,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            pending: Mutex::new(Recent::new(REMEMBERED)),
        }
    }
}

impl Backoff {
    /// How long to wait before the next attempt.
    pub fn next(&self, key: &str) -> Duration {
        let mut pending = self.pending.lock();
        let backoff = pending.get_or(key, || {
            backon::ExponentialBuilder::new()
                .with_min_delay(Duration::from_secs(1))
                // The jitter adds up to as much again.
                .with_max_delay(SLOWEST / 2)
                .with_jitter()
                .without_max_times()
                .build()
        });
        backoff.next().unwrap_or(SLOWEST)
    }

    /// Forgets an object's attempts.
    pub fn reset(&self, key: &str) {
        self.pending.lock().remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_ten_minutes_and_begin_anew_after_success() {
        let backoff = Backoff::default();
        let waits: Vec<_> = (0..20).map(|_| backoff.next("a")).collect();
        assert!(waits[0] >= Duration::from_secs(1) && waits[0] <= Duration::from_secs(2));
        assert!(waits[19] >= SLOWEST / 2 && waits[19] <= SLOWEST);
        backoff.reset("a");
        assert!(backoff.next("a") <= Duration::from_secs(2));
    }
}
