#![allow(clippy::unwrap_used)]
use super::*;

const NOW: &str = "2026-11-23T08:00:00Z";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A period of a size; without an end, it lasts.
fn period(size: &str, begin: &str, end: &str) -> ChargedPeriod {
    ChargedPeriod {
        end: (!end.is_empty()).then(|| Time(at(end))),
        ..running(at(begin), size)
    }
}

fn charges(periods: &[(&str, &str, &str)]) -> Charges {
    Charges {
        periods: periods
            .iter()
            .map(|(size, begin, end)| period(size, begin, end))
            .collect(),
        months: Vec::new(),
    }
}

/// The hours of the month of `now`.
fn hours_at(charges: &Charges, now: &str) -> i32 {
    in_month(charges, Month::of(at(now)), Decimal::ONE, at(now)).hours
}

#[test]
fn each_started_hour_of_this_month_counts() {
    for (begin, now, hours) in [
        ("2026-11-10T10:00:00Z", "2026-11-10T10:00:00Z", 1),
        ("2026-11-10T10:00:00Z", "2026-11-10T10:00:01Z", 1),
        ("2026-11-10T10:00:00Z", "2026-11-10T11:00:00Z", 1),
        ("2026-11-10T10:00:00Z", "2026-11-10T11:00:01Z", 2),
        ("2026-11-10T10:30:00Z", "2026-11-10T11:00:00Z", 1),
        // Hours of the clock.
        ("2026-11-10T10:30:00Z", "2026-11-10T11:10:00Z", 2),
        // Hours of earlier months do not count.
        ("2026-01-01T00:00:00Z", "2026-11-01T00:00:00Z", 0),
        ("2026-01-01T00:00:00Z", "2026-11-01T00:30:00Z", 1),
        ("2026-10-31T23:59:00Z", "2026-11-02T00:00:00Z", 24),
        ("2026-02-01T00:00:00Z", "2026-02-28T23:59:59Z", 28 * 24),
        ("2028-02-01T00:00:00Z", "2028-02-29T23:59:59Z", 29 * 24),
        // The provider's clock may be ahead.
        ("2026-11-10T10:00:01Z", "2026-11-10T10:00:00Z", 0),
    ] {
        assert_eq!(hours_at(&since(at(begin), "micro"), now), hours, "{begin} to {now}");
    }
}

#[test]
fn amounts_are_exact() {
    let hourly: Decimal = "0.01344".parse().unwrap();
    let now = at("2026-11-23T08:00:00Z");
    let charged = in_month(&since(at("2026-11-01T00:00:00Z"), "micro"), Month::of(now), hourly, now);
    assert_eq!((charged.hours, charged.amount), (536, "7.20384".parse().unwrap()));
}

/// From when until when a project was paused.
type Pauses = &'static [(&'static str, &'static str)];

#[test]
fn a_pause_costs_nothing() {
    let cases: [(Pauses, i32, &str); 7] = [
        (
            &[("2026-10-01T00:00:00Z", "2026-10-20T00:00:00Z")],
            0,
            "paused since last month",
        ),
        (
            &[
                ("2026-10-01T00:00:00Z", "2026-10-20T00:00:00Z"),
                ("2026-11-02T12:00:00Z", ""),
            ],
            20 * 24 + 20,
            "a pause over the month's beginning",
        ),
        (
            &[("2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z")],
            0,
            "paused as the month began",
        ),
        (
            &[("2026-10-01T00:00:00Z", "2026-11-01T00:00:01Z")],
            1,
            "paused a second later",
        ),
        (
            &[
                ("2026-11-20T10:10:00Z", "2026-11-20T10:20:00Z"),
                ("2026-11-20T10:30:00Z", "2026-11-20T10:40:00Z"),
                ("2026-11-20T10:50:00Z", "2026-11-20T11:10:00Z"),
            ],
            2,
            "an hour is charged once",
        ),
        (
            &[("2026-11-20T10:10:00Z", "2026-11-20T10:10:00Z")],
            0,
            "it was found paused",
        ),
        (&[], 0, "it was never found running"),
    ];
    for (periods, hours, why) in cases {
        let periods: Vec<_> = periods.iter().map(|(begin, end)| ("micro", *begin, *end)).collect();
        assert_eq!(hours_at(&charges(&periods), NOW), hours, "{why}");
    }
}

/// The example of the provider's documentation.
#[test]
fn both_sizes_of_an_hour_are_charged() {
    let mut charges = since(at("2026-01-01T00:00:00Z"), "micro");
    end(&mut charges, at("2026-01-10T16:30:00Z"), Some("0.01344"));
    begin(&mut charges, at("2026-01-10T16:30:00Z"), ("small", None));
    let last = at("2026-01-31T23:59:59Z");
    let small = "0.0206".parse().unwrap();
    let january = in_month(&charges, Month::of(last), small, last);
    assert_eq!(january.hours, 233 + 512);
    assert_eq!(
        january.amount,
        "13.67872".parse().unwrap(),
        "233 × 0.01344 + 512 × 0.0206"
    );
    // The month is over: it stays so.
    let later = in_month(&charges, Month::of(last), small, at("2026-03-01T00:00:00Z"));
    assert_eq!(later, january);
}

#[test]
fn a_size_that_returns_within_the_hour_is_charged_once() {
    let charges = charges(&[
        ("micro", "2026-11-20T09:00:00Z", "2026-11-20T10:10:00Z"),
        ("small", "2026-11-20T10:10:00Z", "2026-11-20T10:20:00Z"),
        ("micro", "2026-11-20T10:20:00Z", "2026-11-20T11:00:00Z"),
    ]);
    assert_eq!(hours_at(&charges, NOW), 3, "two of a micro, one of a small");
}

#[test]
fn a_period_ends_and_begins_in_order() {
    let mut charges = since(at("2026-11-20T10:00:00Z"), "micro");
    assert!(runs(&charges));
    end(&mut charges, at("2026-11-20T09:00:00Z"), None);
    assert_eq!(charges.periods[0].end, Some(Time(at("2026-11-20T10:00:00Z"))));
    end(&mut charges, at("2026-11-20T12:00:00Z"), Some("1"));
    assert_eq!(charges.periods[0].hourly, None, "it has ended already");
    assert!(!runs(&charges));
    begin(&mut charges, at("2026-11-20T08:00:00Z"), ("micro", None));
    assert_eq!(charges.periods[1].begin, Time(at("2026-11-20T10:00:00Z")));
}

/// Every day, the project runs from 06:30 to 08:10: three hours.
fn of_days(first: Timestamp, days: i64) -> Charges {
    let mut charges = Charges::default();
    for day in 0..days {
        let midnight = first.as_second() + day * 24 * HOUR;
        let at = |second: i64| Timestamp::from_second(midnight + second).unwrap();
        begin(&mut charges, at(6 * HOUR + 1800), ("micro", None));
        end(&mut charges, at(8 * HOUR + 600), Some("0.01344"));
    }
    charges
}

#[test]
fn old_periods_become_sums_and_change_no_month() {
    let charges = of_days(at("2026-09-01T00:00:00Z"), 83);
    assert_eq!(charges.periods.len(), PERIODS);
    let sums: Vec<_> = charges.months.iter().map(|sum| (&*sum.month, sum.hours)).collect();
    // Of 22 days in November, all are kept; so are the last two of October.
    assert_eq!(sums, [("2026-09", 90), ("2026-10", 29 * 3)]);
    let now = at(NOW);
    for (month, days) in [("2026-09-30T00:00:00Z", 30), ("2026-10-31T00:00:00Z", 31), (NOW, 22)] {
        let total = in_month(&charges, Month::of(at(month)), Decimal::ZERO, now);
        assert_eq!(total.hours, days * 3, "{month}");
        assert_eq!(total.amount, Decimal::new(1344, 5) * Decimal::from(days * 3), "{month}");
    }
}

#[test]
fn no_more_than_thirteen_months_are_summed() {
    let charges = of_days(at("2024-01-01T00:00:00Z"), 1000);
    assert_eq!((charges.periods.len(), charges.months.len()), (PERIODS, MONTHS));
    assert_eq!(charges.months[MONTHS - 1].month, "2026-09");

    // A long period reaches into each of its months, the oldest of which are not kept.
    let mut charges = since(at("2024-01-15T00:00:00Z"), "micro");
    for minute in 0..PERIODS {
        let paused = at("2026-11-03T00:00:00Z").as_second() + 120 * i64::try_from(minute).unwrap();
        end(&mut charges, Timestamp::from_second(paused).unwrap(), Some("1"));
        begin(
            &mut charges,
            Timestamp::from_second(paused + 60).unwrap(),
            ("micro", None),
        );
    }
    let sums: Vec<_> = charges.months.iter().map(|sum| (&*sum.month, sum.hours)).collect();
    assert_eq!((sums.len(), sums[0]), (MONTHS, ("2025-11", 30 * 24)));
    assert_eq!(sums[MONTHS - 1], ("2026-11", 48));
    assert_eq!(
        hours_at(&charges, "2026-11-03T00:59:00Z"),
        49,
        "the hour of all the pauses counts once"
    );
}
