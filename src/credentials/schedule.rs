//! When a login is rotated.

use jiff::Timestamp;

use crate::api::{Connection, Rotation};
use crate::cron::Schedule;

/// The path of the field in a spec.
const AT: &str = "spec.connection.rotation";

/// The schedule of a rotation; none where it has none.
///
/// # Errors
/// What is wrong with it, and what to do.
pub fn of(rotation: &Rotation) -> Result<Option<Schedule>, String> {
    let schedule = rotation.schedule.as_deref();
    schedule
        .map(|schedule| Schedule::read(AT, schedule, rotation.time_zone.as_deref()))
        .transpose()
}

/// Checks what a spec says of rotation.
///
/// # Errors
/// What is wrong with it, and what to do.
pub fn check(connection: &Connection, now: Timestamp) -> Result<Option<Schedule>, String> {
    let rotation = connection.rotation.as_ref();
    let Some((rotation, schedule)) = rotation.and_then(|it| Some((it, it.schedule.as_deref()?))) else {
        return Ok(None);
    };
    let schedule = Schedule::that_fires(AT, schedule, rotation.time_zone.as_deref(), now)?;
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
    use std::time::Duration;

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
            ("61 * * * *", None, "1h", "is not a cron expression"),
            ("* * * *", None, "1h", "is not a cron expression"),
            ("0 0 3 1 * *", None, "1h", "is not a cron expression"),
            ("banana", None, "1h", "is not a cron expression"),
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
