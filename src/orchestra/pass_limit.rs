//! Limits how many passes claim databases and work inside them at once, so that of many claims the first ones are
//! finished first, instead of all of them late.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Passes at the same time.
const AT_ONCE: usize = 8;

/// How long a pass waits for a permit: databases that stall delay the others no longer than this.
const LONGEST: Duration = Duration::from_secs(2);

/// The permits of passes.
pub struct PassLimit {
    free: Arc<Semaphore>,
    longest: Duration,
}

impl Default for PassLimit {
    fn default() -> Self {
        Self {
            free: Arc::new(Semaphore::new(AT_ONCE)),
            longest: LONGEST,
        }
    }
}

impl PassLimit {
    /// Waits for a permit, which is free again once the returned value is dropped; none when all stay taken for too long.
    pub async fn take(&self) -> Option<OwnedSemaphorePermit> {
        let permit = tokio::time::timeout(self.longest, self.free.clone().acquire_owned()).await;
        permit.ok().and_then(Result::ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_pass_waits_for_a_permit_and_not_for_ever() {
        let limit = PassLimit {
            longest: Duration::from_millis(10),
            ..PassLimit::default()
        };
        let mut taken = Vec::new();
        for _ in 0..AT_ONCE {
            taken.push(limit.take().await);
        }
        assert!(taken.iter().all(Option::is_some));
        assert!(limit.take().await.is_none());
        drop(taken.pop());
        assert!(limit.take().await.is_some());
    }
}
