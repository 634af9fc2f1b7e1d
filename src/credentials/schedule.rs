//! When a login is rotated: the cron expression of a spec, in its time zone.

use std::time::Duration;

use croner::Cron;
use croner::errors::CronError;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};

use crate::api::{Connection, Rotation};
use crate::text;

/// How many periods are looked at for the shortest one.
const PERIODS: usize = 100;

/// Where those periods begin, and how long they are looked at: with two leap years among them. It is the same at all times,
/// so that a schedule that is right stays right.
const FROM: Timestamp = Timestamp::constant(1_767_225_600, 0); // 2026-01-01
const SPAN: SignedDuration = SignedDuration::from_hours(8 * 366 * 24);

/// A schedule that fires.
#[derive(Clone, Debug)]
pub struct Schedule {
    cron: Cron,
    zone: TimeZone,
}

impl Schedule {
    /// The schedule of a rotation; none where it has none.
    ///
    /// # Errors
    /// What is wrong with it, and what to do.
    pub fn of(rotation: &Rotation) -> Result<Option<Self>, String> {
        let Some(schedule) = &rotation.schedule else {
            return Ok(None);
        };
        let mut parser = CronParser::builder();
        parser = parser.seconds(Seconds::Disallowed).year(Year::Disallowed);
        let shown = text::line(schedule, 128);
        let cron = parser.build().parse(schedule).map_err(|error| {
            format!(
                "spec.connection.rotation.schedule {shown:?} is no cron expression of five fields ({}): write it as \
                 0 3 1 * *",
                text::line(&error.to_string(), 200)
            )
        })?;
        let name = rotation.time_zone.as_deref().unwrap_or("UTC");
        let zone = TimeZone::get(name).map_err(|_| {
            format!(
                "spec.connection.rotation.timeZone {:?} does not exist: give a name of the IANA time zone database, such \
                 as Europe/Stockholm",
                text::line(name, 64)
            )
        })?;
        Ok(Some(Self { cron, zone }))
    }

    /// When it fires next after a time; never, where there is no such date.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let found: Result<Zoned, CronError> = self
            .cron
            .find_next_occurrence(&after.to_zoned(self.zone.clone()), false);
        // Where clocks are set back, the search may find the hour that is just over.
        found.ok().map(|next| next.timestamp()).filter(|next| *next > after)
    }

    /// Whether it fires at this very time.
    fn fires_at(&self, time: Timestamp) -> bool {
        // Where clocks are set back, the search from shortly before may find another hour.
        [SignedDuration::from_secs(1), SignedDuration::from_hours(3)]
            .into_iter()
            .filter_map(|before| time.checked_sub(before).ok())
            .any(|before| self.next(before) == Some(time))
    }

    /// The time that is known, where it has come and is one of this schedule, or else the next one: whoever was kept from
    /// what was due makes up for it.
    pub fn due_or_next(&self, known: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
        let due = known.filter(|known| *known <= now && self.fires_at(*known));
        due.or_else(|| self.next(now))
    }

    /// The shortest of its periods by the clock on the wall, where none is shorter because clocks are set; none where it
    /// fires once at most.
    fn period(&self) -> Option<Duration> {
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

/// Checks what a spec says of rotation.
///
/// # Errors
/// What is wrong with it, and what to do.
pub fn check(connection: &Connection, now: Timestamp) -> Result<Option<Schedule>, String> {
    let Some(rotation) = &connection.rotation else {
        return Ok(None);
    };
    let Some(schedule) = Schedule::of(rotation)? else {
        return Ok(None);
    };
    if schedule.next(now).is_none() {
        return Err(format!(
            "spec.connection.rotation.schedule {:?} never fires: there is no such date",
            text::line(rotation.schedule.as_deref().unwrap_or_default(), 128)
        ));
    }
    let overlap = connection.overlap();
    match schedule.period() {
        Some(period) if overlap.as_std() >= period => Err(format!(
            "spec.connection.rotation.overlap ({overlap}) is not shorter than the shortest period of the schedule ({} \
             s): set a shorter overlap, or a schedule that fires less often",
            period.as_secs()
        )),
        _ => Ok(Some(schedule)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn checked(schedule: &str, zone: Option<&str>, overlap: &str) -> Result<Option<Schedule>, String> {
        checked_at("2026-03-01T00:00:00Z", schedule, zone, overlap)
    }

    fn checked_at(now: &str, schedule: &str, zone: Option<&str>, overlap: &str) -> Result<Option<Schedule>, String> {
        let connection = Connection {
            rotation: Some(Rotation {
                schedule: Some(schedule.into()),
                time_zone: zone.map(Into::into),
                overlap: Some(overlap.parse().unwrap()),
                ..Rotation::default()
            }),
            ..Connection::default()
        };
        check(&connection, now.parse().unwrap())
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
            let found = checked(schedule, zone, "1m")
                .unwrap()
                .unwrap()
                .next(after.parse().unwrap());
            assert_eq!(found, Some(next.parse().unwrap()), "{schedule} {zone:?}");
        }
    }

    #[test]
    fn every_time_is_later_also_where_clocks_are_set() {
        let schedule = checked("*/30 * * * *", Some("Europe/Stockholm"), "1m")
            .unwrap()
            .unwrap();
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
            let found = checked(schedule, zone, "1m").unwrap().unwrap();
            assert_eq!(
                found.due_or_next(known.map(at), at(now)),
                Some(at(is)),
                "{schedule} {zone:?} {known:?}"
            );
        }
    }

    #[test]
    fn an_overlap_is_right_or_wrong_at_all_times() {
        let stockholm = Some("Europe/Stockholm");
        // Clocks are set in March and in October, and a day in March has 23 hours.
        for now in ["2026-01-15", "2026-03-28", "2026-07-01", "2026-10-24", "2030-12-31"] {
            let now = format!("{now}T12:00:00Z");
            for (schedule, overlap, right) in [
                ("0 3 * * *", "23h", true),
                ("0 3 * * *", "23h59m", true),
                ("0 3 * * *", "24h", false),
                ("0 3 1 * *", "671h", true),
                ("0 3 1 * *", "672h", false),
                ("0 0 29 2,3 *", "671h", true),
                ("0 0 29 2,3 *", "697h", false),
                ("0 3,15 * * 1-5", "11h59m", true),
                ("0 3,15 * * 1-5", "12h", false),
            ] {
                let is = checked_at(&now, schedule, stockholm, overlap);
                assert_eq!(is.is_ok(), right, "{now} {schedule} {overlap}");
            }
        }
    }

    #[test]
    fn what_never_fires_and_what_does_not_exist_is_told() {
        let began = std::time::Instant::now();
        for (schedule, zone, overlap, says) in [
            ("0 0 30 2 *", None, "1h", "never fires"),
            ("0 0 31 4,6,9,11 *", None, "1h", "never fires"),
            ("61 * * * *", None, "1h", "is no cron expression"),
            ("* * * *", None, "1h", "is no cron expression"),
            ("0 0 3 1 * *", None, "1h", "is no cron expression"),
            ("banana", None, "1h", "is no cron expression"),
            (
                "0 3 * * *",
                Some("Europe/Atlantis"),
                "1h",
                "\"Europe/Atlantis\" does not exist",
            ),
            (
                "0 3 * * *",
                None,
                "24h",
                "overlap (24h) is not shorter than the shortest period of the schedule (86400 s)",
            ),
            ("0 0,1 * * *", None, "2h", "(3600 s)"),
            ("* * * * *", None, "1h", "(60 s)"),
        ] {
            let told = checked(schedule, zone, overlap).unwrap_err();
            assert!(told.contains(says), "{schedule}: {told}");
        }
        assert!(checked("0 3 * * *", Some("Europe/Stockholm"), "22h").is_ok());
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
}
