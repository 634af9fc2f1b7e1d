//! Memory for large sources: one at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;

use super::flaw::Flaw;
use super::limits::SMALL_BYTES;
use crate::migrate::MemoryPermit;

/// The place for one source of more than [`SMALL_BYTES`]. It is taken while the source is read, and as long as any
/// copy of its files or scripts is in memory.
#[derive(Clone, Debug)]
pub struct SourceRoom {
    one: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
}

impl Default for SourceRoom {
    fn default() -> Self {
        Self {
            one: Arc::new(Semaphore::new(1)),
            waiting: Arc::default(),
        }
    }
}

impl SourceRoom {
    /// Whether a source waits for the room.
    pub fn is_wanted(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Waits for the room, first come, first served, and takes it.
    pub async fn wait(&self) -> Share {
        let _waiting = WaitingSource::begin(&self.waiting);
        let permit = self.one.clone().acquire_owned().await;
        Share {
            room: Some(self.clone()),
            permit: permit.ok().map(Arc::new),
        }
    }
}

/// A waiting caller; removed also when the wait is cancelled.
struct WaitingSource<'a>(&'a AtomicUsize);

impl<'a> WaitingSource<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for WaitingSource<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The part of a room that a set of files occupies. It is no part of the set's identity.
#[derive(Clone, Debug, Default)]
pub struct Share {
    room: Option<SourceRoom>,
    permit: MemoryPermit,
}

impl PartialEq for Share {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Share {}

impl Share {
    /// A share of this room.
    pub fn of(room: &SourceRoom) -> Self {
        Self {
            room: Some(room.clone()),
            permit: None,
        }
    }

    /// Takes the room if a set of this many bytes needs it.
    ///
    /// # Errors
    /// [`Flaw::Busy`].
    pub fn cover(&mut self, bytes: usize) -> Result<(), Flaw> {
        match &self.room {
            Some(room) if bytes > SMALL_BYTES && self.permit.is_none() => {
                let permit = room.one.clone().try_acquire_owned().map_err(|_| Flaw::Busy)?;
                self.permit = Some(Arc::new(permit));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The part of the room that stays occupied.
    pub fn permit(&self) -> &MemoryPermit {
        &self.permit
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn one_large_source_is_in_memory_at_a_time() {
        let room = SourceRoom::default();
        let (mut one, mut other) = (Share::of(&room), Share::of(&room));
        one.cover(SMALL_BYTES + 1).unwrap();
        one.cover(SMALL_BYTES * 2).unwrap();
        other.cover(SMALL_BYTES).unwrap();
        assert_eq!(other.cover(SMALL_BYTES + 1), Err(Flaw::Busy));
        let permit = one.permit().clone();
        drop(one);
        assert_eq!(
            other.cover(SMALL_BYTES + 1),
            Err(Flaw::Busy),
            "its scripts are still in use"
        );
        let next = async {
            let mut next = room.wait().await;
            next.cover(SMALL_BYTES + 1)
        };
        let free = async {
            tokio::task::yield_now().await;
            assert!(room.is_wanted());
            drop(permit);
        };
        assert_eq!(tokio::join!(next, free).0, Ok(()));
        assert!(!room.is_wanted());
        other.cover(SMALL_BYTES + 1).unwrap();
    }
}
