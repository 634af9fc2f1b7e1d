//! The memory of sources: bounded for all of them together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;

use super::flaw::Flaw;
use super::limits::SMALL_BYTES;
use crate::migrate::MemoryPermit;

/// Bytes of one permit for a small source.
const UNIT: usize = 1 << 10;

/// The least permits that a small source takes at a time.
const STEP: u32 = 16;

/// The permits for a small source of the largest size.
const SMALL: u32 = units(SMALL_BYTES);

/// The memory for one source of more than [`SMALL_BYTES`], and for smaller ones up to a bound. It is taken while a source is
/// read, and as long as any copy of its files or scripts is in memory: in a cache, or while its scripts are applied.
#[derive(Clone, Debug)]
pub struct SourceRoom {
    large: Arc<Semaphore>,
    small: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
}

impl SourceRoom {
    /// Room for one large source and for this many bytes of small ones.
    pub fn new(small: usize) -> Self {
        Self {
            large: Arc::new(Semaphore::new(1)),
            small: Arc::new(Semaphore::new(small / UNIT)),
            waiting: Arc::default(),
        }
    }

    /// Whether a large source waits for the room.
    pub fn is_wanted(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Whether the small sources in memory leave less than another one of the largest size needs.
    pub fn is_tight(&self) -> bool {
        self.small.available_permits() < SMALL as usize
    }

    /// Waits for the memory of a large source, or for that of a small one of the largest size, first come, first served, and
    /// takes it.
    pub async fn wait(&self, large: bool) -> Share {
        let mut permit = MemoryPermit::default();
        if large {
            let _waiting = WaitingSource::begin(&self.waiting);
            if let Ok(one) = self.large.clone().acquire_owned().await {
                permit = MemoryPermit::of_large(one);
            }
        } else if let Ok(part) = self.small.clone().acquire_many_owned(SMALL).await {
            permit.add(part);
        }
        Share {
            room: Some(self.clone()),
            permit,
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

/// The part of a room that a set of files takes. It is no part of the set's identity.
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
            permit: MemoryPermit::default(),
        }
    }

    /// Takes the memory for a set of this many bytes, as far as the set does not have it.
    ///
    /// # Errors
    /// [`Flaw::Busy`] for a large set, [`Flaw::Full`] for a small one.
    pub fn cover(&mut self, bytes: usize) -> Result<(), Flaw> {
        let Some(room) = self.room.as_ref().filter(|_| !self.permit.is_large()) else {
            return Ok(());
        };
        if bytes > SMALL_BYTES {
            let one = room.large.clone().try_acquire_owned().map_err(|_| Flaw::Busy)?;
            self.permit = MemoryPermit::of_large(one);
            return Ok(());
        }
        let held = u32::try_from(self.permit.size()).unwrap_or(u32::MAX);
        let missing = units(bytes).saturating_sub(held);
        if missing > 0 {
            let part = room.small.clone().try_acquire_many_owned(missing.max(STEP));
            self.permit.add(part.map_err(|_| Flaw::Full)?);
        }
        Ok(())
    }

    /// Returns the memory beyond that of a set of this many bytes. That of a large set is not divided.
    pub fn shrink(&mut self, bytes: usize) {
        if !self.permit.is_large() {
            self.permit.shrink(units(bytes) as usize);
        }
    }

    /// The memory that the set takes.
    pub fn permit(&self) -> &MemoryPermit {
        &self.permit
    }

    /// The memory of a part of the set, which outlives the rest: as many bytes where so much is free now, or else that of the
    /// whole set.
    pub fn part(&self, bytes: usize) -> MemoryPermit {
        let room = self.room.as_ref().filter(|_| !self.permit.is_large());
        let part = room.and_then(|room| room.small.clone().try_acquire_many_owned(units(bytes)).ok());
        part.map_or_else(
            || self.permit.clone(),
            |part| {
                let mut permit = MemoryPermit::default();
                permit.add(part);
                permit
            },
        )
    }
}

/// The bytes of small sources that a permit stands for.
pub fn bytes_of(permit: &MemoryPermit) -> usize {
    if permit.is_large() { 0 } else { permit.size() * UNIT }
}

/// The permits for this many bytes of a small source.
#[allow(
    clippy::cast_possible_truncation,
    reason = "a small source has at most 4,096 of them"
)]
const fn units(bytes: usize) -> u32 {
    bytes.div_ceil(UNIT) as u32
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn one_large_source_is_in_memory_at_a_time() {
        let room = SourceRoom::new(2 * SMALL_BYTES);
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
            let mut next = room.wait(true).await;
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
        assert_eq!(
            room.small.available_permits(),
            2 * SMALL as usize,
            "it is a large one now"
        );
    }

    #[tokio::test]
    async fn small_sources_are_bounded_together_as_long_as_they_are_used() {
        let room = SourceRoom::new(3 * SMALL_BYTES);
        let (mut one, mut two, mut other) = (Share::of(&room), Share::of(&room), Share::of(&room));
        for bytes in [1, UNIT, 1 << 20, SMALL_BYTES] {
            one.cover(bytes).unwrap();
            two.cover(bytes).unwrap();
        }
        assert!(!room.is_tight());
        other.cover(SMALL_BYTES / 2).unwrap();
        assert!(room.is_tight());
        let mut late = Share::of(&room);
        assert_eq!(late.cover(SMALL_BYTES), Err(Flaw::Full));
        let used = one.permit().clone();
        drop(one);
        assert_eq!(late.cover(SMALL_BYTES), Err(Flaw::Full), "its scripts are still in use");
        let next = async { room.wait(false).await };
        let free = async {
            tokio::task::yield_now().await;
            drop(used);
            drop(other);
        };
        let (mut next, ()) = tokio::join!(next, free);
        next.cover(SMALL_BYTES).unwrap();
        next.shrink(100 * UNIT);
        assert_eq!(room.small.available_permits(), 2 * SMALL as usize - 100);
        drop((next, two, late));
        assert_eq!(room.small.available_permits(), 3 * SMALL as usize);
    }

    #[test]
    fn a_part_takes_the_memory_of_the_part_where_it_can() {
        let room = SourceRoom::new(SMALL_BYTES);
        let mut whole = Share::of(&room);
        whole.cover(SMALL_BYTES / 2).unwrap();
        let part = whole.part(100 * UNIT);
        drop(whole);
        assert_eq!((part.size(), bytes_of(&part)), (100, 100 * UNIT));
        assert_eq!(room.small.available_permits(), SMALL as usize - 100);
        drop(part);
        let mut whole = Share::of(&room);
        whole.cover(SMALL_BYTES).unwrap();
        let part = whole.part(UNIT);
        drop(whole);
        assert_eq!(bytes_of(&part), SMALL_BYTES, "nothing else was free");
        drop(part);
        let mut large = Share::of(&room);
        large.cover(SMALL_BYTES + 1).unwrap();
        assert!(large.part(UNIT).is_large());
        assert!(Share::default().part(UNIT).size() == 0);
    }

    #[test]
    fn memory_that_a_copy_shares_is_not_returned() {
        let room = SourceRoom::new(SMALL_BYTES);
        let mut share = Share::of(&room);
        share.cover(SMALL_BYTES).unwrap();
        let copy = share.permit().clone();
        share.shrink(0);
        assert_eq!(room.small.available_permits(), 0);
        drop((share, copy));
        assert_eq!(room.small.available_permits(), SMALL as usize);
    }
}
