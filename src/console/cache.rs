//! The cache of what a page reads from whole lists: for some seconds it serves the visitor who asked for it, and nobody else.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use tokio::sync::{Mutex as AsyncMutex, Semaphore};

/// How long a reading is shown again: while its visitor turns pages and changes filters.
const FRESH: Duration = Duration::from_secs(5);

/// The most readings that are kept of a kind.
const MOST: usize = 16;

/// Whole lists that are read at once for all visitors: each is held in memory while it is read.
pub const READERS: usize = 4;

/// Whose token it is, by the token's digest. Two tokens of one user are two bearers, because their rights may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bearer([u8; 32]);

impl Bearer {
    /// The bearer of a token.
    pub fn of(token: &SecretString) -> Self {
        Self(Sha256::digest(token.expose_secret()).into())
    }
}

/// A reading and its time. Whoever locks it reads; others with the same token wait for that reading.
type Slot<T> = Arc<AsyncMutex<Option<(Instant, Arc<T>)>>>;

/// The cached readings of one kind, by bearer and namespace; that of all namespaces has the empty one.
pub struct VisitorCache<T> {
    slots: Mutex<HashMap<(Bearer, String), Slot<T>>>,
    readers: Arc<Semaphore>,
}

fn fresh<T>(kept: Option<&(Instant, Arc<T>)>) -> Option<&Arc<T>> {
    kept.filter(|(at, _)| at.elapsed() < FRESH).map(|(_, value)| value)
}

impl<T> VisitorCache<T> {
    /// Nothing is kept yet. All kinds share the readers.
    pub fn new(readers: Arc<Semaphore>) -> Self {
        Self {
            slots: Mutex::default(),
            readers,
        }
    }

    /// What this bearer has read a moment ago, or else reads now.
    ///
    /// # Errors
    /// Those of the reading, which are not kept.
    pub async fn of<E>(
        &self,
        bearer: Bearer,
        namespace: &str,
        read: impl Future<Output = Result<T, E>>,
    ) -> Result<Arc<T>, E> {
        let slot = self.slot(bearer, namespace);
        let mut kept = slot.lock().await;
        if let Some(value) = fresh(kept.as_ref()) {
            return Ok(value.clone());
        }
        // What is not shown any more is not held beside what is read now.
        *kept = None;
        // Nobody closes it.
        let _reader = self.readers.acquire().await;
        let value = Arc::new(read.await?);
        *kept = Some((Instant::now(), value.clone()));
        Ok(value)
    }

    fn slot(&self, bearer: Bearer, namespace: &str) -> Slot<T> {
        let mut slots = self.slots.lock();
        // One that is locked is being read.
        slots.retain(|_, slot| slot.try_lock().map_or(true, |kept| fresh(kept.as_ref()).is_some()));
        if slots.len() >= MOST {
            slots.clear();
        }
        slots.entry((bearer, namespace.to_owned())).or_default().clone()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::future::join_all;

    use super::*;

    fn cache() -> VisitorCache<usize> {
        VisitorCache::new(Arc::new(Semaphore::new(READERS)))
    }

    fn bearer(token: &str) -> Bearer {
        Bearer::of(&token.into())
    }

    #[tokio::test]
    async fn nobody_is_shown_what_another_has_read() {
        let (cache, reads) = (cache(), AtomicUsize::new(0));
        let read = async |token: &str, namespace: &str| {
            let next = async { Ok::<_, Infallible>(reads.fetch_add(1, Ordering::SeqCst)) };
            *cache.of(bearer(token), namespace, next).await.unwrap()
        };
        assert_eq!(read("ada", "").await, 0);
        assert_eq!(read("ada", "").await, 0, "it is kept for her");
        assert_eq!(read("bob", "").await, 1, "and not for him");
        assert_eq!(read("ada", "shop").await, 2);
        assert_eq!(read("bob", "").await, 1);
    }

    #[tokio::test]
    async fn a_failed_reading_is_made_again() {
        let cache = cache();
        assert_eq!(cache.of(bearer("ada"), "", async { Err("away") }).await, Err("away"));
        assert_eq!(
            cache.of(bearer("ada"), "", async { Ok::<_, &str>(7) }).await,
            Ok(Arc::new(7))
        );
    }

    /// Reads a number; counts those that read now, and the most at once.
    async fn numbered(cache: &VisitorCache<usize>, [now, most]: &[AtomicUsize; 2], index: usize) -> usize {
        let reading = async {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            now.fetch_sub(1, Ordering::SeqCst);
            Ok::<_, Infallible>(index)
        };
        *cache.of(bearer(&format!("token {index}")), "", reading).await.unwrap()
    }

    #[tokio::test]
    async fn few_lists_are_read_at_once_and_few_are_kept() {
        let (cache, counts) = (cache(), [AtomicUsize::new(0), AtomicUsize::new(0)]);
        let all = join_all((0..100).map(|index| numbered(&cache, &counts, index))).await;
        assert_eq!(all, (0..100).collect::<Vec<_>>());
        assert_eq!(counts[1].load(Ordering::SeqCst), READERS);
        assert_eq!(numbered(&cache, &counts, 100).await, 100);
        assert!(cache.slots.lock().len() <= MOST);
    }
}
