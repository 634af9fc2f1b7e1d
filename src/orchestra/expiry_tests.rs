#![allow(clippy::unwrap_used)]
use super::*;
use crate::api::{Deletion, InventoryEntry, OrchestraClassSpec, OrchestraDatabaseSpec, OrchestraSpec, SupabaseProject};

fn at(text: &str) -> Timestamp {
    format!("2026-12-{text}Z").parse().unwrap()
}

fn notice(expires: &str, given: &str, last: bool) -> ExpiryNotice {
    ExpiryNotice {
        expires_at: Time(at(expires)),
        given_at: Time(at(given)),
        last,
    }
}

#[test]
fn warnings_come_a_day_and_an_hour_before_and_the_end_never_without() {
    let (end, ttl) = (at("04T12:00:00"), Duration::from_hours(72));
    let next = |notice: Option<&ExpiryNotice>, now| super::next(end, ttl, notice, at(now));
    let (first, last) = (
        ExpiryEvent::Warning { last: false },
        ExpiryEvent::Warning { last: true },
    );
    assert_eq!(next(None, "01T12:00:00"), (first, at("03T12:00:00")));
    assert_eq!(next(None, "03T12:00:01"), (first, at("03T12:00:00")));
    let given = notice("04T12:00:00", "03T12:00:00", false);
    assert_eq!(next(Some(&given), "03T12:00:01"), (last, at("04T11:00:00")));
    let given = notice("04T12:00:00", "04T11:00:00", true);
    assert_eq!(next(Some(&given), "04T11:00:01"), (ExpiryEvent::End, end));
    // No operator ran for days: one warning, and the end an hour later.
    assert_eq!(next(None, "20T08:00:00"), (last, at("04T11:00:00")));
    let late = notice("04T12:00:00", "20T08:00:00", true);
    assert_eq!(next(Some(&late), "20T08:00:01"), (ExpiryEvent::End, at("20T09:00:00")));
    // It was extended: the warning was about another end.
    let of_another = notice("03T12:00:00", "03T11:00:00", true);
    assert_eq!(next(Some(&of_another), "03T11:30:00"), (first, at("03T12:00:00")));
}

#[test]
fn a_short_ttl_has_short_warnings() {
    let end = at("01T12:00:30");
    let ttl = Duration::from_secs(30);
    let now = at("01T12:00:00");
    assert_eq!(
        super::next(end, ttl, None, now),
        (ExpiryEvent::Warning { last: false }, at("01T12:00:20"))
    );
    let given = notice("01T12:00:30", "01T12:00:20", false);
    assert_eq!(super::next(end, ttl, Some(&given), now).1, at("01T12:00:27"));
}

#[test]
fn nothing_ends_that_is_retained() {
    let mut object = Orchestra::new("demo", OrchestraSpec::default());
    let mut class = OrchestraClass::new("demos", OrchestraClassSpec::default());
    assert_eq!(ttl(&object, Some(&class)), None);
    class.spec.ttl = Some(GoDuration::from_mins(60));
    class.spec.deletion = Deletion {
        policy: DeletionPolicy::Delete,
        ..Deletion::default()
    };
    assert_eq!(ttl(&object, Some(&class)), class.spec.ttl);
    assert_eq!(ttl(&object, None), None, "the class is not known");
    object.spec.deletion_policy = Some(DeletionPolicy::Retain);
    assert_eq!(ttl(&object, Some(&class)), None);
    object.spec.deletion_policy = Some(DeletionPolicy::Delete);
    object.spec.ttl = Some(GoDuration::from_mins(5));
    assert_eq!(ttl(&object, None), object.spec.ttl);
    assert_eq!(ttl(&object, Some(&class)), object.spec.ttl, "its own counts");
}

#[test]
fn the_annotation_is_a_timestamp() {
    let mut object = Orchestra::new("demo", OrchestraSpec::default());
    assert_eq!(extended(&object), Ok(None));
    for (text, read) in [
        ("2026-12-01T00:00:00Z", Ok(Some(at("01T00:00:00")))),
        ("2026-12-01T00:00:00.123Z", Ok(Some(at("01T00:00:00")))),
        ("tomorrow", Err(IgnoredExtension::Unreadable)),
    ] {
        object.annotations_mut().insert(EXTENDED_ANNOTATION.into(), text.into());
        assert_eq!(extended(&object), read);
    }
}

#[test]
fn a_pass_comes_back_in_time() {
    let (wait, resync) = (Some(Duration::from_secs(5)), Duration::from_mins(1));
    let in_time = |wait, next| Life::in_time(wait, next, resync);
    assert_eq!(in_time(wait, Next::Rest), Next::After(Duration::from_secs(5)));
    assert_eq!(in_time(Some(resync), Next::Rest), Next::Rest);
    assert_eq!(
        in_time(wait, Next::After(Duration::from_secs(9))),
        Next::After(Duration::from_secs(5))
    );
    assert_eq!(in_time(wait, Next::Gone), Next::Gone);
    assert_eq!(in_time(None, Next::Rest), Next::Rest);
}

#[test]
fn a_warning_by_a_clock_that_was_ahead_puts_the_end_off_and_never_forward() {
    let (end, ttl) = (at("04T12:00:00"), Duration::from_hours(72));
    let next = |notice: &ExpiryNotice, now| super::next(end, ttl, Some(notice), at(now));
    // Recorded by a clock that was a day ahead: the end comes an hour after that time, later than it should.
    let ahead = notice("04T12:00:00", "05T11:00:00", true);
    assert_eq!(next(&ahead, "04T12:00:01"), (ExpiryEvent::End, at("05T12:00:00")));
    // Recorded by a clock that was days behind: no earlier than its own time.
    let behind = notice("04T12:00:00", "01T11:00:00", true);
    assert_eq!(next(&behind, "01T11:00:01"), (ExpiryEvent::End, end));
}

#[test]
fn an_extension_counts_once_its_time_has_come() {
    let now = at("01T12:00:00");
    for (extended, counts) in [
        (at("01T11:00:00"), true),
        // Recorded by a clock that is a little ahead.
        (at("01T12:05:00"), true),
        (at("01T12:05:01"), false),
        ("9999-12-01T00:00:00Z".parse().unwrap(), false),
    ] {
        let is = counted(extended, now);
        let wanted = if counts {
            Ok(extended)
        } else {
            Err(IgnoredExtension::Ahead)
        };
        assert_eq!(is, wanted, "{extended}");
    }
    let life = |ignored| Life {
        ends: Some(Ends {
            ignored,
            ..ending(at("04T12:00:00"), now, false)
        }),
        ..Life::default()
    };
    let told = life(Some(IgnoredExtension::Ahead)).ignored().unwrap();
    assert!(
        told.contains("is in the future") && told.ends_with("expires at 2026-12-04T12:00:00Z"),
        "{told}"
    );
    let told = life(Some(IgnoredExtension::Unreadable)).ignored().unwrap();
    assert!(told.contains("is not a timestamp"), "{told}");
    assert_eq!(life(None).ignored(), None);
}

fn ending(at: Timestamp, now: Timestamp, last: bool) -> Ends {
    Ends {
        at,
        ttl: GoDuration::from_mins(72 * 60),
        since: None,
        ignored: None,
        now,
        last,
    }
}

#[test]
fn a_warning_tells_the_end_that_follows_it() {
    let end = at("04T12:00:00");
    for (now, last, told) in [
        ("03T12:00:00", false, end),
        ("04T11:00:00", true, end),
        // No operator ran for days: the end comes an hour after the warning.
        ("20T08:00:00", true, at("20T09:00:00")),
    ] {
        let ends = ending(end, at(now), last);
        assert_eq!(ends.after_warning(), told, "{now}");
        let given = ExpiryNotice {
            expires_at: Time(end),
            given_at: Time(ends.now),
            last,
        };
        let planned = next(end, ends.ttl.as_std(), Some(&given), ends.now);
        assert!(
            !last || planned == (ExpiryEvent::End, told),
            "as it is planned: {planned:?}"
        );
    }
}

#[test]
fn the_last_event_says_what_becomes_of_the_database() {
    let grace = Some(GoDuration::from_mins(60));
    let entry = |recycle, reclaim_policy| OrchestraDatabaseSpec {
        inventory: Some(InventoryEntry::default()),
        recycle,
        reclaim_policy,
        ..OrchestraDatabaseSpec::default()
    };
    let project = OrchestraDatabaseSpec {
        supabase: Some(SupabaseProject::default()),
        reclaim_policy: DeletionPolicy::Delete,
        ..OrchestraDatabaseSpec::default()
    };
    let (delete, retain) = (DeletionPolicy::Delete, DeletionPolicy::Retain);
    for (spec, grace, part) in [
        (entry(None, delete), grace, "an entry of a pool, is released and kept"),
        (
            entry(Some(Recycle::Reset), retain),
            None,
            "an entry of a pool, is released and kept",
        ),
        (
            entry(Some(Recycle::Reset), delete),
            None,
            "everything in OrchestraDatabase one",
        ),
        (entry(Some(Recycle::Reset), delete), grace, "is kept for another 1h"),
        (project.clone(), None, "is destroyed with its project"),
        (project, grace, "is kept for another 1h"),
    ] {
        let told = fate(&OrchestraDatabase::new("one", spec), grace);
        assert!(told.contains(part), "{told}");
    }
}
