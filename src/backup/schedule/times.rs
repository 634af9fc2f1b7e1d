//! When a schedule asks for backups of one Orchestra. Each Orchestra has its own delay after the schedule fires, so that not
//! all are backed up at once.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};

use crate::cron::Schedule;

/// The longest delay of a backup after its schedule fires.
const SPREAD: Duration = Duration::from_hours(1);

/// The times of one Orchestra.
#[derive(Clone, Debug)]
pub struct Times {
    schedule: Schedule,
    later: SignedDuration,
}

impl Times {
    /// The times of the Orchestra with this UID.
    pub fn new(schedule: Schedule, uid: &str) -> Self {
        let later = later(uid, schedule.period().unwrap_or(SPREAD * 2));
        Self { schedule, later }
    }

    /// The schedule itself.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// The next time after another.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        self.put_off(self.schedule.next(self.fired(after)))
    }

    /// The recorded time, if it has passed and is one of these times; otherwise the next one.
    pub fn due_or_next(&self, known: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
        let known = known.map(|known| self.fired(known));
        self.put_off(self.schedule.due_or_next(known, self.fired(now)))
    }

    /// When the schedule fires for one of these times.
    pub fn fired(&self, due: Timestamp) -> Timestamp {
        due.saturating_sub(self.later).unwrap_or(Timestamp::MIN)
    }

    fn put_off(&self, fires: Option<Timestamp>) -> Option<Timestamp> {
        fires.and_then(|fires| fires.checked_add(self.later).ok())
    }
}

/// The delay of an Orchestra: whole seconds below an hour and below half of the period, evenly distributed over the UIDs, and
/// constant for each UID.
fn later(uid: &str, period: Duration) -> SignedDuration {
    let digest = Sha256::digest(uid);
    let number = digest
        .iter()
        .take(8)
        .fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
    let seconds = number % SPREAD.min(period / 2).as_secs().max(1);
    SignedDuration::from_secs(i64::try_from(seconds).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn times(schedule: &str, uid: &str) -> Times {
        Times::new(Schedule::read("spec.backup", schedule, None).unwrap(), uid)
    }

    #[test]
    fn a_fleet_is_spread_and_each_of_it_keeps_its_place() {
        let hour = SignedDuration::from_hours(1);
        let of = |number: i32, period| later(&format!("uid-{number}"), period);
        let (day, quarter) = (Duration::from_hours(24), Duration::from_mins(15));
        let nightly: Vec<_> = (0..1000).map(|number| of(number, day)).collect();
        assert!(
            nightly
                .iter()
                .all(|later| *later >= SignedDuration::ZERO && *later < hour)
        );
        for part in 0..4 {
            let from = SignedDuration::from_mins(15 * part);
            let there = nightly
                .iter()
                .filter(|later| **later >= from && **later < from + SignedDuration::from_mins(15));
            let there = there.count();
            assert!((200..300).contains(&there), "{part}: {there}");
        }
        assert_eq!(
            times("30 4 * * *", "uid-7").later,
            nightly[7],
            "it is the same for each schedule of that length"
        );
        let half = SignedDuration::from_secs(450);
        assert!((0..1000).all(|number| of(number, quarter) < half));
    }

    #[test]
    fn times_are_those_of_the_schedule_and_later() {
        let times = times("0 2 * * *", "uid-1");
        let later = times.later;
        let (first, second) = (at("2026-11-29T02:00:00Z") + later, at("2026-11-30T02:00:00Z") + later);
        assert_eq!(times.next(at("2026-11-29T00:00:00Z")), Some(first));
        assert_eq!(times.next(first), Some(second), "each time comes once");
        assert_eq!(times.next(first - SignedDuration::from_secs(1)), Some(first));
        assert_eq!(times.fired(first), at("2026-11-29T02:00:00Z"));
        let long = at("2026-12-05T12:00:00Z");
        assert_eq!(times.due_or_next(Some(first), long), Some(first), "it is made up for");
        // A time that this schedule does not have is no longer due.
        assert_eq!(
            times.due_or_next(Some(first + SignedDuration::from_secs(1)), long),
            Some(at("2026-12-06T02:00:00Z") + later)
        );
    }
}
