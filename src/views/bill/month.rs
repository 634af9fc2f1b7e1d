//! The cost of a project in the current calendar month. Each started hour counts in full, as the provider
//! bills it.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rust_decimal::Decimal;

const HOUR: i64 = 3600;

/// Start of the calendar month of `now`, in UTC.
fn beginning(now: Timestamp) -> Timestamp {
    let day = now.to_zoned(TimeZone::UTC).date().first_of_month();
    day.to_zoned(TimeZone::UTC).map_or(now, |zoned| zoned.timestamp())
}

/// Hours of the current month that were started between `since` and `now`.
fn started_hours(since: Timestamp, now: Timestamp) -> u32 {
    let seconds = now.as_second() - since.max(beginning(now)).as_second();
    if seconds < 0 {
        return 0;
    }
    // An hour that begins exactly at `now` has not started, except the first one.
    u32::try_from(((seconds + HOUR - 1) / HOUR).max(1)).unwrap_or(u32::MAX)
}

/// Cost in the current month of a project that exists since `since`.
pub fn to_date(hourly: Decimal, since: Timestamp, now: Timestamp) -> Decimal {
    hourly.saturating_mul(Decimal::from(started_hours(since, now)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn each_started_hour_of_this_month_counts() {
        for (since, now, hours) in [
            ("2026-11-10T10:00:00Z", "2026-11-10T10:00:00Z", 1),
            ("2026-11-10T10:00:00Z", "2026-11-10T10:00:01Z", 1),
            ("2026-11-10T10:00:00Z", "2026-11-10T11:00:00Z", 1),
            ("2026-11-10T10:00:00Z", "2026-11-10T11:00:01Z", 2),
            ("2026-11-10T10:30:00Z", "2026-11-10T11:00:00Z", 1),
            // Hours of earlier months do not count.
            ("2026-01-01T00:00:00Z", "2026-11-01T00:30:00Z", 1),
            ("2026-10-31T23:59:00Z", "2026-11-02T00:00:00Z", 24),
            ("2026-02-01T00:00:00Z", "2026-02-28T23:59:59Z", 28 * 24),
            ("2028-02-01T00:00:00Z", "2028-02-29T23:59:59Z", 29 * 24),
            // The provider's clock may be ahead.
            ("2026-11-10T10:00:01Z", "2026-11-10T10:00:00Z", 0),
        ] {
            assert_eq!(started_hours(at(since), at(now)), hours, "{since} to {now}");
        }
    }

    #[test]
    fn amounts_are_exact() {
        let hourly: Decimal = "0.01344".parse().unwrap();
        let cost = to_date(hourly, at("2026-11-01T00:00:00Z"), at("2026-11-23T08:00:00Z"));
        assert_eq!(cost, "7.20384".parse().unwrap(), "536 hours");
    }
}
