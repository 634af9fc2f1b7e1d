//! Computes when a cron expression fires, in its time zone.

use std::time::Duration;

use croner::Cron;
use croner::errors::CronError;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};

use crate::text;

/// Number of periods that are examined for the shortest one.
const PERIODS: usize = 100;

/// The first of the examined periods, and the span of them: it has two leap years. Both are constants, so that a schedule that
/// is accepted once stays accepted.
const FROM: Timestamp = Timestamp::constant(1_767_225_600, 0); // 2026-01-01
const SPAN: SignedDuration = SignedDuration::from_hours(8 * 366 * 24);

/// The span in which times are counted, and the most of them.
const YEAR: SignedDuration = SignedDuration::from_hours(365 * 24);
const COUNTED: u32 = 400;

/// A zone of the IANA time zone database; UTC without a name; none where the zone does not exist.
pub fn zone(name: Option<&str>) -> Option<TimeZone> {
    TimeZone::get(name.unwrap_or("UTC")).ok()
}

/// A schedule that fires.
#[derive(Clone, Debug)]
pub struct Schedule {
    cron: Cron,
    zone: TimeZone,
}

impl Schedule {
    /// Reads a cron expression of five fields, in a zone of the IANA time zone database, or in UTC. `at` is the path of the
    /// object with the fields `schedule` and `timeZone`, for messages.
    ///
    /// # Errors
    /// A message: what is wrong, and what to do.
    pub fn read(at: &str, schedule: &str, zone: Option<&str>) -> Result<Self, String> {
        let mut parser = CronParser::builder();
        parser = parser.seconds(Seconds::Disallowed).year(Year::Disallowed);
        let cron = parser.build().parse(schedule).map_err(|error| {
            format!(
                "{at}.schedule {:?} is not a cron expression of five fields ({}): write it as in 0 3 1 * *",
                text::line(schedule, 128),
                text::line(&error.to_string(), 200)
            )
        })?;
        let found = self::zone(zone).ok_or_else(|| {
            format!(
                "{at}.timeZone {:?} does not exist: use a name from the IANA time zone database, such as Europe/Stockholm",
                text::line(zone.unwrap_or_default(), 64)
            )
        })?;
        Ok(Self { cron, zone: found })
    }

    /// Reads a cron expression that must fire after a time.
    ///
    /// # Errors
    /// A message: what is wrong, and what to do.
    pub fn that_fires(at: &str, schedule: &str, zone: Option<&str>, now: Timestamp) -> Result<Self, String> {
        let read = Self::read(at, schedule, zone)?;
        match read.next(now) {
            Some(_) => Ok(read),
            None => Err(format!(
                "{at}.schedule {:?} never fires: use a date that exists",
                text::line(schedule, 128)
            )),
        }
    }

    /// When it fires next after a time; none where it never does.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let found: Result<Zoned, CronError> = self
            .cron
            .find_next_occurrence(&after.to_zoned(self.zone.clone()), false);
        // When clocks are set back, the search may find the hour that has just ended.
        found.ok().map(|next| next.timestamp()).filter(|next| *next > after)
    }

    /// Whether it fires at this very time.
    pub fn fires_at(&self, time: Timestamp) -> bool {
        // When clocks are set back, the search from shortly before may find another hour.
        [SignedDuration::from_secs(1), SignedDuration::from_hours(3)]
            .into_iter()
            .filter_map(|before| time.checked_sub(before).ok())
            .any(|before| self.next(before) == Some(time))
    }

    /// The recorded time, where it has come and belongs to this schedule, so that a missed time is made up for; otherwise the
    /// next one.
    pub fn due_or_next(&self, known: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
        let due = known.filter(|known| *known <= now && self.fires_at(*known));
        due.or_else(|| self.next(now))
    }

    /// How often it fires in a span on average, rounded up; at least once. The times of a year are counted, or the first of
    /// many in it.
    pub fn times_in(&self, span: Duration) -> u32 {
        let wall = Self {
            cron: self.cron.clone(),
            zone: TimeZone::UTC,
        };
        let end = FROM.saturating_add(YEAR).unwrap_or(Timestamp::MAX);
        let (mut count, mut last) = (0_u32, FROM);
        while let Some(next) = wall.next(last).filter(|next| *next < end) {
            (count, last) = (count + 1, next);
            if count == COUNTED {
                break;
            }
        }
        let looked = if count == COUNTED {
            last.duration_since(FROM)
        } else {
            YEAR
        };
        let looked = looked.unsigned_abs().as_secs().max(1);
        let times = u64::from(count).saturating_mul(span.as_secs()).div_ceil(looked);
        u32::try_from(times).unwrap_or(u32::MAX).max(1)
    }

    /// The shortest of its periods by wall time, without changes of the clock; none where it fires once at most.
    pub fn period(&self) -> Option<Duration> {
        let wall = Self {
            cron: self.cron.clone(),
            zone: TimeZone::UTC,
        };
        let end = FROM.saturating_add(SPAN).unwrap_or(Timestamp::MAX);
        let mut times = std::iter::successors(wall.next(FROM), |last| wall.next(*last).filter(|_| *last < end));
        let mut last = times.next()?;
        let periods = times.take(PERIODS).map(|next| {
            let period = next.duration_since(last);
            last = next;
            period.unsigned_abs()
        });
        periods.min()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(schedule: &str, zone: Option<&str>) -> Schedule {
        Schedule::read("spec", schedule, zone).unwrap()
    }

    #[test]
    fn the_times_in_a_span_are_those_of_a_year_on_average() {
        let day = Duration::from_hours(24);
        for (schedule, days, times) in [
            ("0 2 * * *", 30, 30),
            ("*/15 * * * *", 1, 96),
            ("0 2,3 1 * *", 365, 24),
            ("0 2 1 6 *", 30, 1),
            ("0 2 * * 1-5", 7, 6),
            ("0 0 30 2 *", 30, 1),
        ] {
            assert_eq!(read(schedule, None).times_in(day * days), times, "{schedule}");
        }
    }

    #[test]
    fn the_next_time_is_the_zones() {
        for (schedule, zone, after, next) in [
            ("0 3 1 * *", None, "2026-03-01T03:00:00Z", "2026-04-01T03:00:00Z"),
            (
                "0 3 1 * *",
                Some("Europe/Stockholm"),
                "2026-03-31T22:00:00Z",
                "2026-04-01T01:00:00Z",
            ),
            (
                "0 3 1 * *",
                Some("Europe/Stockholm"),
                "2026-10-31T22:00:00Z",
                "2026-11-01T02:00:00Z",
            ),
            ("*/5 * * * *", None, "2026-03-01T03:01:07Z", "2026-03-01T03:05:00Z"),
            ("0 0 29 2 *", None, "2026-03-01T00:00:00Z", "2028-02-29T00:00:00Z"),
        ] {
            let found = read(schedule, zone).next(after.parse().unwrap());
            assert_eq!(found, Some(next.parse().unwrap()), "{schedule} {zone:?}");
        }
    }

    #[test]
    fn every_time_is_later_also_where_clocks_are_set() {
        let schedule = read("*/30 * * * *", Some("Europe/Stockholm"));
        for start in ["2026-03-28T20:00:00Z", "2026-10-24T20:00:00Z"] {
            let mut time: Timestamp = start.parse().unwrap();
            for _ in 0..20 {
                let next = schedule.next(time).unwrap_or_else(|| panic!("none after {time}"));
                let late = next.saturating_add(SignedDuration::from_hours(48)).unwrap();
                assert_eq!(schedule.due_or_next(Some(next), late), Some(next), "it stays due");
                assert!(
                    next > time && next.duration_since(time).as_secs() <= 2 * 3600,
                    "{time} {next}"
                );
                time = next;
            }
        }
    }

    #[test]
    fn what_is_due_is_made_up_for_as_long_as_the_schedule_has_that_time() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let now = "2026-03-05T12:00:00Z";
        for (schedule, zone, known, is) in [
            ("0 3 1 * *", None, None, "2026-04-01T03:00:00Z"),
            ("0 3 1 * *", None, Some("2026-03-01T03:00:00Z"), "2026-03-01T03:00:00Z"),
            ("0 3 1 * *", None, Some("2026-04-01T03:00:00Z"), "2026-04-01T03:00:00Z"),
            // Of another schedule, or in another zone, there is no such time.
            ("0 3 2 * *", None, Some("2026-03-01T03:00:00Z"), "2026-04-02T03:00:00Z"),
            (
                "0 3 1 * *",
                Some("Europe/Stockholm"),
                Some("2026-03-01T03:00:00Z"),
                "2026-04-01T01:00:00Z",
            ),
            ("0 3 * * *", None, Some("2026-04-01T03:00:00Z"), "2026-03-06T03:00:00Z"),
        ] {
            let found = read(schedule, zone);
            assert_eq!(
                found.due_or_next(known.map(at), at(now)),
                Some(at(is)),
                "{schedule} {zone:?} {known:?}"
            );
        }
    }
}
