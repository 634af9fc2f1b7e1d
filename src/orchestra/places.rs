//! Passes that claim databases and work inside them at the same time. Of many claims at once, those that came first are
//! finished first, instead of all of them being late.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Passes at the same time.
const AT_ONCE: usize = 8;

/// How long a pass waits for its place: databases that stall delay the others no longer than this.
const LONGEST: Duration = Duration::from_secs(2);

/// The places of passes.
pub struct Places {
    free: Arc<Semaphore>,
    longest: Duration,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            free: Arc::new(Semaphore::new(AT_ONCE)),
            longest: LONGEST,
        }
    }
}

impl Places {
    /// Waits for a place, which is free again once the returned value is dropped; none when all stay taken for too long.
    pub async fn take(&self) -> Option<OwnedSemaphorePermit> {
        let place = tokio::time::timeout(self.longest, self.free.clone().acquire_owned()).await;
        place.ok().and_then(Result::ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_pass_waits_for_a_place_and_not_for_ever() {
        let places = Places {
            longest: Duration::from_millis(10),
            ..Places::default()
        };
        let mut taken = Vec::new();
        for _ in 0..AT_ONCE {
            taken.push(places.take().await);
        }
        assert!(taken.iter().all(Option::is_some));
        assert!(places.take().await.is_none());
        drop(taken.pop());
        assert!(places.take().await.is_some());
    }
}
