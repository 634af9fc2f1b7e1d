//! The pace at which scratch databases are dropped. The place of a scratch database is in a status, which others may write:
//! a name that is written again after each drop must not keep a server busy.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::controller::backoff::{REMEMBERED, SLOWEST};
use crate::recent::Recent;

/// The wait after a drop; each further one without a drill doubles it, up to [`SLOWEST`].
const FIRST: Duration = Duration::from_secs(5);

/// The last drop for each backup, by its UID.
pub struct Drops(Mutex<Recent<LastDrop>>);

#[derive(Clone, Copy)]
struct LastDrop {
    at: Instant,
    wait: Duration,
}

impl Default for Drops {
    fn default() -> Self {
        Self(Mutex::new(Recent::new(REMEMBERED)))
    }
}

impl Drops {
    /// How long the next drop has to wait.
    pub fn wait(&self, uid: &str) -> Duration {
        self.wait_at(uid, Instant::now())
    }

    fn wait_at(&self, uid: &str, now: Instant) -> Duration {
        let drops = self.0.lock();
        drops.get(uid).map_or(Duration::ZERO, |last| {
            last.wait.saturating_sub(now.saturating_duration_since(last.at))
        })
    }

    /// A scratch database was dropped, and the status says so.
    pub fn dropped(&self, uid: &str) {
        self.dropped_at(uid, Instant::now());
    }

    fn dropped_at(&self, uid: &str, at: Instant) {
        let mut drops = self.0.lock();
        let wait = drops
            .get(uid)
            .map_or(FIRST, |last| last.wait.saturating_mul(2).min(SLOWEST));
        drops.insert(uid, LastDrop { at, wait });
    }

    /// A drill was announced: its scratch database is to be dropped without a wait.
    pub fn announced(&self, uid: &str) {
        self.0.lock().remove(uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_never_announced_is_dropped_ever_more_seldom() {
        let drops = Drops::default();
        let mut now = Instant::now();
        let mut waits = Vec::new();
        for _ in 0..12 {
            drops.dropped_at("a", now);
            let wait = drops.wait_at("a", now);
            now += wait;
            assert_eq!(drops.wait_at("a", now), Duration::ZERO);
            waits.push(wait.as_secs());
        }
        assert_eq!((&waits[..4], waits[11]), (&[5, 10, 20, 40][..], SLOWEST.as_secs()));
        assert_eq!(drops.wait("b"), Duration::ZERO);
        drops.dropped_at("a", now);
        drops.announced("a");
        assert_eq!(drops.wait_at("a", now), Duration::ZERO);
    }
}
