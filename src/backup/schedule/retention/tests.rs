#![allow(clippy::unwrap_used)]
use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn made(taken: &str, state: BackupState, verified: bool) -> Made {
    Made {
        name: format!("b-{taken}").to_lowercase(),
        fired: at(taken),
        taken: at(taken),
        state,
        verified,
        in_use: false,
        prompt: true,
        timed: true,
    }
}

fn complete(taken: &str) -> Made {
    made(taken, BackupState::Complete, false)
}

fn keep(text: &str) -> Rules {
    rules(text, "null")
}

fn rules(own: &str, limits: &str) -> Rules {
    Rules {
        own: serde_saphyr::from_str(own).unwrap(),
        limits: serde_saphyr::from_str(limits).unwrap(),
    }
}

/// The times of those that are kept, the newest first, without the zeros at their ends.
fn kept(all: &[Made], retention: &str, zone: &str, now: &str) -> Vec<String> {
    let zone = TimeZone::get(zone).unwrap();
    let removed: Vec<_> = removals(all, &keep(retention), &zone, at(now))
        .iter()
        .map(|it| it.of)
        .collect();
    let mut left: Vec<_> = (0..all.len())
        .filter(|of| !removed.contains(of))
        .map(|of| all[of].taken)
        .collect();
    left.sort_by_key(|taken| Reverse(*taken));
    left.iter()
        .map(|taken| taken.strftime("%m-%dT%H").to_string())
        .collect()
}

/// Backups at two and at fourteen o'clock of each day of these months.
fn twice_a_day(months: std::ops::RangeInclusive<i8>) -> Vec<Made> {
    let mut all = Vec::new();
    for month in months {
        for day in 1..=Date::new(2026, month, 1).unwrap().days_in_month() {
            for hour in [2, 14] {
                all.push(complete(&format!("2026-{month:02}-{day:02}T{hour:02}:00:00Z")));
            }
        }
    }
    all
}

#[test]
fn counts_keep_the_last_of_each_period() {
    let all = twice_a_day(9..=11);
    let now = "2026-11-30T15:00:00Z";
    for (retention, left) in [
        ("{last: 1}", vec!["11-30T14"]),
        ("{last: 3}", vec!["11-30T14", "11-30T02", "11-29T14"]),
        ("{daily: 3}", vec!["11-30T14", "11-29T14", "11-28T14"]),
        // The 30th is a Monday: its week has one day so far, and the week before ends on the 29th.
        ("{weekly: 3}", vec!["11-30T14", "11-29T14", "11-22T14"]),
        ("{monthly: 3}", vec!["11-30T14", "10-31T14", "09-30T14"]),
        ("{monthly: 12}", vec!["11-30T14", "10-31T14", "09-30T14"]),
        (
            "{last: 2, daily: 2, weekly: 2, monthly: 2}",
            vec!["11-30T14", "11-30T02", "11-29T14", "10-31T14"],
        ),
    ] {
        assert_eq!(kept(&all, retention, "UTC", now), left, "{retention}");
    }
    assert_eq!(kept(&all, "{last: 1000}", "UTC", now).len(), all.len());
}

#[test]
fn days_begin_in_the_zone_of_the_schedule() {
    // Half past midnight in Stockholm is the day before in UTC.
    let all = [
        complete("2026-11-28T22:30:00Z"),
        complete("2026-11-28T23:30:00Z"),
        complete("2026-11-29T20:00:00Z"),
    ];
    let now = "2026-11-29T21:00:00Z";
    assert_eq!(kept(&all, "{daily: 2}", "UTC", now), ["11-29T20", "11-28T23"]);
    assert_eq!(
        kept(&all, "{daily: 2}", "Europe/Stockholm", now),
        ["11-29T20", "11-28T22"]
    );
}

#[test]
fn days_without_a_backup_do_not_count() {
    let all = [
        complete("2026-01-05T02:00:00Z"),
        complete("2026-03-09T02:00:00Z"),
        complete("2026-11-29T02:00:00Z"),
    ];
    assert_eq!(
        kept(&all, "{daily: 2}", "UTC", "2026-11-29T03:00:00Z"),
        ["11-29T02", "03-09T02"]
    );
}

#[test]
fn the_age_removes_whatever_the_counts_say_and_tells_since_when() {
    let all = [
        complete("2026-11-01T02:00:00Z"),
        complete("2026-11-20T02:00:00Z"),
        complete("2026-11-29T02:00:00Z"),
    ];
    for (retention, now, left) in [
        (
            "{maxAge: 720h}",
            "2026-12-01T01:59:59Z",
            vec!["11-29T02", "11-20T02", "11-01T02"],
        ),
        ("{maxAge: 720h}", "2026-12-01T02:00:00Z", vec!["11-29T02", "11-20T02"]),
        (
            "{maxAge: 720h, last: 1000}",
            "2026-12-01T02:00:00Z",
            vec!["11-29T02", "11-20T02"],
        ),
        ("{maxAge: 720h, last: 1}", "2026-11-29T03:00:00Z", vec!["11-29T02"]),
        // The last one stays, however old it is.
        ("{maxAge: 1h}", "2030-01-01T00:00:00Z", vec!["11-29T02"]),
    ] {
        assert_eq!(kept(&all, retention, "UTC", now), left, "{retention} {now}");
    }
    let found = removals(&all, &keep("{maxAge: 24h}"), &TimeZone::UTC, at("2026-11-29T03:00:00Z"));
    let since = [at("2026-11-02T02:00:00Z"), at("2026-11-21T02:00:00Z")];
    let told: Vec<_> = found.iter().map(|removal| (removal.of, removal.since)).collect();
    assert_eq!(told, [(0, Some(since[0])), (1, Some(since[1]))], "the oldest is first");
}

#[test]
fn the_last_complete_and_the_last_verified_one_stay() {
    let failed = || BackupState::Failed(Reason::StoreFull, "no room".into());
    let all = [
        made("2026-11-01T02:00:00Z", BackupState::Complete, true),
        made("2026-11-02T02:00:00Z", BackupState::Complete, true),
        complete("2026-11-03T02:00:00Z"),
        complete("2026-11-04T02:00:00Z"),
        made("2026-11-05T02:00:00Z", failed(), false),
        made("2026-11-06T02:00:00Z", BackupState::UnderWay, false),
    ];
    for retention in ["{last: 1}", "{maxAge: 1h}", "{maxAge: 1h, daily: 1}"] {
        let left = kept(&all, retention, "UTC", "2027-11-06T03:00:00Z");
        assert_eq!(left, ["11-06T02", "11-05T02", "11-04T02", "11-02T02"], "{retention}");
    }
}

#[test]
fn one_that_is_being_restored_stays() {
    let mut all: Vec<_> = (1..=5)
        .map(|day| complete(&format!("2026-11-{day:02}T02:00:00Z")))
        .collect();
    all[1].in_use = true;
    for retention in ["{last: 1}", "{maxAge: 1h}"] {
        let left = kept(&all, retention, "UTC", "2027-11-06T03:00:00Z");
        assert_eq!(left, ["11-05T02", "11-02T02"], "{retention}");
    }
}

#[test]
fn failed_ones_are_bounded_and_what_is_under_way_or_leaves_is_let_alone() {
    let state = |number: usize| match number % 4 {
        0 => BackupState::UnderWay,
        1 => BackupState::Stalled(Reason::StoreRefused, "denied".into()),
        2 => BackupState::Leaving,
        _ => BackupState::Failed(Reason::StoreFull, "no room".into()),
    };
    let all: Vec<_> = (0..28)
        .map(|number| made(&format!("2026-11-{:02}T02:00:00Z", number + 1), state(number), false))
        .collect();
    for retention in [Rules::default(), keep("{maxAge: 1h, last: 1}")] {
        let found = removals(&all, &retention, &TimeZone::UTC, at("2027-01-01T00:00:00Z"));
        let removed: Vec<_> = found.iter().map(|removal| removal.of).collect();
        assert_eq!(removed, [3, 7, 11, 15], "of seven failed ones the last three stay");
    }
    let complete: Vec<_> = (1..=28)
        .map(|day| complete(&format!("2026-11-{day:02}T02:00:00Z")))
        .collect();
    assert_eq!(
        removals(&complete, &Rules::default(), &TimeZone::UTC, at("2030-01-01T00:00:00Z")),
        [],
        "without a retention"
    );
}

/// What a class allows applies whatever the Orchestra says, and to one that says nothing.
#[test]
fn a_class_bounds_what_is_kept() {
    let all: Vec<_> = (1..=10)
        .map(|day| complete(&format!("2026-11-{day:02}T02:00:00Z")))
        .collect();
    let kept = |own: &str, limits: &str, now: &str| {
        let rules = rules(own, limits);
        let removed = removals(&all, &rules, &TimeZone::UTC, at(now));
        assert!(removed.iter().all(|one| one.since.is_none_or(|since| since <= at(now))));
        all.len() - removed.len()
    };
    let (then, later) = ("2026-11-10T03:00:00Z", "2027-11-10T03:00:00Z");
    for (own, limits, now, left) in [
        // No retention, and one that keeps more than it may.
        ("null", "{maxCount: 3}", then, 3),
        ("{last: 8}", "{maxCount: 3}", then, 3),
        ("{last: 8, maxAge: 9600h}", "{maxAge: 100h}", then, 5),
        ("null", "{maxAge: 100h}", later, 1),
        // One that keeps less.
        ("{last: 1}", "{minCount: 4}", then, 4),
        ("{maxAge: 1h}", "{minCount: 4}", later, 4),
        ("{last: 1}", "{minAge: 74h}", then, 4),
        ("{last: 1}", "{minAge: 74h}", later, 1),
        // The least is kept before the most is removed.
        ("null", "{minCount: 4, maxAge: 1h}", later, 4),
        ("null", "{minAge: 74h, maxCount: 1}", then, 4),
        // And what lies within is as the Orchestra says.
        (
            "{last: 5}",
            "{minCount: 2, maxCount: 8, minAge: 1h, maxAge: 9600h}",
            then,
            5,
        ),
        ("null", "{minCount: 2}", later, 10),
    ] {
        assert_eq!(kept(own, limits, now), left, "{own} {limits} {now}");
    }
}

/// Whoever may create OrchestraBackups may give some the name and the labels of the schedule's, for times that have passed, or
/// for times that the schedule does not have.
#[test]
fn forged_backups_displace_none_that_the_schedule_has_made() {
    let mut all: Vec<_> = (1..=5)
        .map(|day| complete(&format!("2026-11-{day:02}T02:00:00Z")))
        .collect();
    all[3].verified = true;
    for minute in 10..30 {
        let mut late = complete(&format!("2026-11-05T05:{minute}:00Z"));
        (late.fired, late.prompt, late.verified) = (at("2026-10-01T02:00:00Z"), false, true);
        let mut untimed = complete(&format!("2026-11-05T06:{minute}:00Z"));
        untimed.timed = false;
        all.extend([late, untimed]);
    }
    let now = at("2026-11-05T07:00:00Z");
    let kept = |own: &str, limits: &str| {
        let rules = rules(own, limits);
        let removed = removals(&all, &rules, &TimeZone::UTC, now);
        let is_kept = |of: &usize| !removed.iter().any(|removal| removal.of == *of);
        (0..5).filter(is_kept).collect::<Vec<_>>()
    };
    for (own, limits, left) in [
        ("{last: 3}", "null", vec![2, 3, 4]),
        ("{daily: 3}", "null", vec![2, 3, 4]),
        ("{last: 1}", "{minCount: 4}", vec![1, 2, 3, 4]),
        ("{maxAge: 1h}", "{minCount: 3}", vec![2, 3, 4]),
        // The most that the class allows counts forged ones as well, beyond the least.
        ("null", "{maxCount: 3}", vec![3, 4]),
        ("null", "{minCount: 3, maxCount: 3}", vec![2, 3, 4]),
        ("null", "{minCount: 4, maxCount: 10}", vec![1, 2, 3, 4]),
        ("null", "{minAge: 54h, maxCount: 3}", vec![2, 3, 4]),
        // The last verified one that the schedule has made stays, beside a forged one.
        ("{last: 1}", "null", vec![3, 4]),
    ] {
        assert_eq!(kept(own, limits), left, "{own} {limits}");
    }
}

/// Those that make up for missed times, and those of the schedule before it was changed.
#[test]
fn late_backups_and_those_of_an_earlier_schedule_go_as_well() {
    let mut all: Vec<_> = (1..=6)
        .map(|day| complete(&format!("2026-11-{day:02}T02:00:00Z")))
        .collect();
    let now = "2026-11-06T07:00:00Z";
    for late in &mut all[..5] {
        late.prompt = false;
    }
    assert_eq!(kept(&all, "{last: 2}", "UTC", now), ["11-06T02", "11-05T02"]);
    all[5].prompt = false;
    assert_eq!(kept(&all, "{last: 2}", "UTC", now), ["11-06T02", "11-05T02"]);
    // Of an earlier schedule the newest stay, beside those of the schedule as it is now.
    for made in &mut all {
        (made.prompt, made.timed) = (true, false);
    }
    assert_eq!(kept(&all, "{last: 2}", "UTC", now), ["11-06T02", "11-05T02"]);
    all[5].timed = true;
    assert_eq!(kept(&all, "{last: 2}", "UTC", now), ["11-06T02", "11-05T02"]);
    all[1].timed = true;
    assert_eq!(kept(&all, "{last: 2}", "UTC", now).len(), 3);
}

/// Each change makes the backups of the schedule before it ones of an earlier schedule, and those of the one before that again
/// ones of the schedule.
#[test]
fn a_schedule_that_changes_all_the_time_keeps_no_more_than_its_bounds() {
    for (own, limits, most) in [
        ("null", "{maxCount: 6}", 6),
        ("null", "{minCount: 2, maxCount: 6}", 6),
        ("{last: 20}", "{minCount: 5, maxCount: 6}", 6),
        ("{maxAge: 9600h}", "{minCount: 1, maxCount: 2}", 2),
        // Without a bound of the class: as many of the schedule, and as many of an earlier one.
        ("{last: 3}", "null", 6),
        ("{daily: 2, weekly: 1}", "null", 6),
    ] {
        let rules = rules(own, limits);
        // How many backups each schedule makes.
        for each in 1..=5 {
            let mut all: Vec<(usize, Made)> = Vec::new();
            for number in 0..60 {
                let schedule = number / each % 2;
                let taken = format!("2026-{:02}-{:02}T02:00:00Z", 1 + number / 28, 1 + number % 28);
                all.push((schedule, complete(&taken)));
                for (by, made) in &mut all {
                    made.timed = *by == schedule;
                }
                let facts: Vec<_> = all.iter().map(|(_, made)| made.clone()).collect();
                let removed = removals(&facts, &rules, &TimeZone::UTC, at(&taken));
                let removed: BTreeSet<_> = removed.iter().map(|removal| removal.of).collect();
                let left = all.into_iter().enumerate().filter(|(of, _)| !removed.contains(of));
                all = left.map(|(_, one)| one).collect();
                assert!(all.len() <= most, "{own} {limits} {each} {number}: {}", all.len());
            }
            assert!(all.len() * 3 >= most, "{own} {limits} {each}: {}", all.len());
        }
    }
}

/// Every combination of counts and ages over every combination of four backups' states: the guarantees hold in all of them.
#[test]
fn what_is_promised_holds_in_every_case() {
    let states = [
        BackupState::Complete,
        BackupState::UnderWay,
        BackupState::Failed(Reason::BackupFailed, "f".into()),
        BackupState::Leaving,
    ];
    let now = at("2026-11-29T00:00:00Z");
    let options = [None, Some(1), Some(2)];
    let mut cases = 0;
    for number in 0..8_usize.pow(4) {
        let all: Vec<_> = (0..4)
            .map(|of| {
                let digit = number / 8_usize.pow(of) % 8;
                let taken = format!("2026-11-{:02}T02:00:00Z", 25 + of);
                made(&taken, states[digit % 4].clone(), digit >= 4)
            })
            .collect();
        let last = |is: &dyn Fn(&Made) -> bool| {
            (0..4)
                .rev()
                .find(|of| all[*of].state == BackupState::Complete && is(&all[*of]))
        };
        let kept = [last(&|_| true), last(&|made| made.verified)];
        for age in [None, Some("25h"), Some("49h")] {
            for (last, daily) in options.iter().flat_map(|last| options.map(|daily| (*last, daily))) {
                let retention = BackupRetention {
                    max_age: age.map(|age| age.parse().unwrap()),
                    last,
                    daily,
                    ..BackupRetention::default()
                };
                let rules = Rules {
                    own: Some(retention.clone()),
                    limits: None,
                };
                for removal in removals(&all, &rules, &TimeZone::UTC, now) {
                    let of = &all[removal.of];
                    assert!(
                        !kept.contains(&Some(removal.of)),
                        "{all:?} {retention:?} removes {of:?}"
                    );
                    let all_failed = all.iter().all(|made| matches!(made.state, BackupState::Failed(..)));
                    let is_failed = matches!(of.state, BackupState::Failed(..));
                    assert!(
                        of.state == BackupState::Complete || is_failed && all_failed,
                        "{all:?} removes {of:?}"
                    );
                    assert!(removal.since.is_none_or(|since| since <= now));
                }
                cases += 1;
            }
        }
    }
    assert_eq!(cases, 4096 * 27);
}
