//! How much of an Orchestra's data a recovery from its backups would lose (the recovery point): the time of the newest data
//! in a backup, and until when the schedule should have made a newer backup.

use jiff::Timestamp;

use super::times::Times;

/// What one pass has observed.
#[derive(Clone, Debug, Default)]
pub struct RecoveryFacts {
    /// The times of the schedule that makes backups; none where there is none, or it is suspended or invalid, or the database
    /// is not in use.
    pub times: Option<Times>,
    /// Whether a schedule is invalid or too expensive, of a database in use.
    pub is_wrong: bool,
    /// Time of the snapshot of the newest good backup, whoever has made it.
    pub point: Option<Timestamp>,
    /// Until when newer data should be in a backup, as recorded.
    pub deadline: Option<Timestamp>,
}

impl RecoveryFacts {
    /// Until when a backup should have newer data: the second time of the schedule after the newest data; where there is
    /// none, or the schedule starts again, after now. While the schedule is wrong, the deadline stays.
    pub fn deadline(&self, now: Timestamp) -> Option<Timestamp> {
        let Some(times) = &self.times else {
            return self.deadline.filter(|_| self.is_wrong);
        };
        let second = |after: Timestamp| times.next(times.next(after)?);
        let latest = second(now)?;
        let known = self.deadline.unwrap_or(latest);
        let due = self.point.and_then(second).unwrap_or(known);
        Some(due.max(known).min(latest))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use jiff::SignedDuration;

    use super::*;
    use crate::cron::Schedule;

    fn times(schedule: &str) -> Times {
        Times::new(Schedule::read("spec.backup", schedule, None).unwrap(), "uid-1")
    }

    #[test]
    fn newer_data_is_due_at_the_second_time_of_the_schedule() {
        let now: Timestamp = "2026-11-29T12:00:00Z".parse().unwrap();
        let day = SignedDuration::from_hours(24);
        let daily = times("0 2 * * *");
        let next = daily.next(now).unwrap();
        let of = |point: Option<Timestamp>, deadline: Option<Timestamp>| RecoveryFacts {
            times: Some(daily.clone()),
            is_wrong: false,
            point,
            deadline,
        };
        let (last, latest) = (next - day, next + day);
        for (point, deadline, is) in [
            // A new schedule, and one that starts again after a pause.
            (None, None, latest),
            (Some(last - day), None, latest),
            // The deadline stays while nothing newer is there.
            (None, Some(last), last),
            (Some(last - day - day), Some(last), last),
            (Some(last), Some(last), latest),
            // A backup by hand counts.
            (Some(now), Some(last), latest),
            // The times came from a schedule that fires more seldom, or were forged.
            (Some(last), Some(latest + day), latest),
            (Some(latest + day), Some(last), latest),
        ] {
            assert_eq!(of(point, deadline).deadline(now), Some(is), "{point:?} {deadline:?}");
        }
    }

    #[test]
    fn without_a_schedule_that_runs_nothing_is_due() {
        let now: Timestamp = "2026-11-29T12:00:00Z".parse().unwrap();
        let known = RecoveryFacts {
            point: Some(now),
            deadline: Some(now),
            ..RecoveryFacts::default()
        };
        assert_eq!(known.deadline(now), None);
        let wrong = RecoveryFacts {
            is_wrong: true,
            ..known
        };
        assert_eq!(wrong.deadline(now), Some(now));
    }
}
