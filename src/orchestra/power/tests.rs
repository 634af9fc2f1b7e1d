use super::*;
use crate::api::{Cost, GoDuration, Idle, OrchestraDatabaseSpec, OrchestraSpec, OrchestraStatus, SupabaseProject};

fn asleep(declared: Option<PowerState>, now: Option<PowerState>) -> Orchestra {
    let spec = OrchestraSpec {
        power_state: now,
        idle: Some(Idle {
            pause_after: Some(GoDuration::from_mins(60)),
        }),
        ..OrchestraSpec::default()
    };
    let mut object = Orchestra::new("one", spec);
    object.status = Some(OrchestraStatus {
        power: Some(PowerStatus {
            paused_by: Some(PausedBy::Idle),
            declared,
            wake: None,
            ..PowerStatus::default()
        }),
        ..OrchestraStatus::default()
    });
    object
}

#[test]
fn an_idle_pause_ends_by_a_new_word_and_not_by_an_old_one() {
    use PowerState::{Paused, Running};
    for (declared, now, paused) in [
        (None, None, Some(PausedBy::Idle)),
        (Some(Running), Some(Running), Some(PausedBy::Idle)),
        (None, Some(Running), None),
        (Some(Paused), Some(Running), None),
        (Some(Running), None, Some(PausedBy::Idle)),
        (Some(Running), Some(Paused), Some(PausedBy::Spec)),
    ] {
        assert_eq!(wanted(&asleep(declared, now), None), paused, "{declared:?} {now:?}");
    }
    let mut object = asleep(None, None);
    object
        .annotations_mut()
        .insert(WAKE_ANNOTATION.into(), "2026-11-28T10:00:00Z".into());
    assert_eq!(wanted(&object, None), None, "a new annotation wakes it");
    if let Some(power) = object.status.as_mut().and_then(|status| status.power.as_mut()) {
        power.wake = Some("2026-11-28T10:00:00Z".into());
    }
    assert_eq!(
        wanted(&object, None),
        Some(PausedBy::Idle),
        "one that was there before does not"
    );
    for long in ["x".repeat(200), "x".repeat(100_000)] {
        object.annotations_mut().insert(WAKE_ANNOTATION.into(), long);
        assert_eq!(wanted(&object, None), None, "a long value wakes it");
        let noted = asked(&object);
        if let Some(power) = object.status.as_mut().and_then(|status| status.power.as_mut()) {
            power.wake = noted;
        }
        assert_eq!(wanted(&object, None), Some(PausedBy::Idle), "once");
    }
    object.annotations_mut().insert(WAKE_ANNOTATION.into(), String::new());
    assert_eq!(wanted(&object, None), Some(PausedBy::Idle), "nothing is no request");
    object.annotations_mut().remove(WAKE_ANNOTATION);
    assert_eq!(
        wanted(&object, None),
        Some(PausedBy::Idle),
        "the end of an old one is no request"
    );
    let mut object = asleep(None, None);
    object.spec.idle = Some(Idle::default());
    let class = OrchestraClass::new("standard", crate::api::OrchestraClassSpec::default());
    assert_eq!(wanted(&object, Some(&class)), None, "nothing is idle without a policy");
}

#[test]
fn a_pause_saves_its_whole_hours() {
    let mut database = OrchestraDatabase::new("one", OrchestraDatabaseSpec::default());
    database.status = Some(OrchestraDatabaseStatus {
        cost: Some(Cost {
            currency: "USD".into(),
            monthly: "9.81".into(),
            hourly: "0.01344".into(),
        }),
        ..OrchestraDatabaseStatus::default()
    });
    let now = Timestamp::UNIX_EPOCH + SignedDuration::from_mins(60 * 72 + 59);
    let old = PowerStatus {
        paused_by: Some(PausedBy::Idle),
        paused_since: Some(Time(Timestamp::UNIX_EPOCH)),
        saved: Some("1.5".into()),
        currency: Some("USD".into()),
        ..PowerStatus::default()
    };
    let (new, told) = after_pause(&old, &database, now);
    assert_eq!((new.saved.as_deref(), new.paused_by), (Some("2.46768"), None));
    assert!(
        told.ends_with("a pause of 72 whole hours, which has saved 0.97 USD"),
        "{told}"
    );
    database.status = None;
    let (new, told) = after_pause(&PowerStatus::default(), &database, now);
    assert_eq!((new.saved, told.contains("saved")), (None, false));
}

fn hosted(paused: bool, restored: bool) -> OrchestraDatabase {
    let at = |is: bool| is.then_some(Time(Timestamp::UNIX_EPOCH));
    let mut database = OrchestraDatabase::new("one", OrchestraDatabaseSpec::default());
    database.spec.supabase = Some(SupabaseProject::default());
    database.status = Some(OrchestraDatabaseStatus {
        pause_issued_at: at(paused),
        restore_issued_at: at(restored),
        ..OrchestraDatabaseStatus::default()
    });
    database
}

#[test]
#[allow(clippy::too_many_lines, reason = "every case, in its order")]
fn a_released_project_sleeps_in_its_grace_period_where_the_plan_allows_it() {
    use serde_json::json;
    let class = |grace: Option<&str>, pausing: Option<bool>| {
        let object = json!({
            "metadata": {"name": "standard"},
            "spec": {"deletion": {"policy": "Delete", "gracePeriod": grace}},
            "status": {"account": {"organization": "acme-org", "pausing": pausing}},
        });
        serde_json::from_value::<OrchestraClass>(object).ok()
    };
    let database = |adopted: bool, used: bool, lost: bool| {
        let mut database = hosted(false, false);
        let status = database.status.get_or_insert_default();
        status.usable_since = used.then_some(Time(Timestamp::UNIX_EPOCH));
        let stalled = json!({"type": "Stalled", "status": "True", "reason": "DatabaseLost", "message": "",
            "lastTransitionTime": "2026-11-28T12:00:00Z"});
        status.conditions = lost
            .then(|| serde_json::from_value(stalled).ok())
            .flatten()
            .into_iter()
            .collect();
        if let Some(project) = &mut database.spec.supabase {
            project.adopted = adopted.then(crate::api::AdoptedProject::default);
        }
        database
    };
    let plain = || database(false, true, false);
    let entry = || {
        let mut entry = plain();
        entry.spec.supabase = None;
        entry
    };
    let (delete, retain) = (DeletionPolicy::Delete, DeletionPolicy::Retain);
    for (what, class, database, policy, sleeps) in vec![
        ("as asked", class(Some("168h"), Some(true)), plain(), delete, true),
        ("kept", class(Some("168h"), Some(true)), plain(), retain, false),
        ("destroyed at once", class(None, Some(true)), plain(), delete, false),
        ("for too long", class(Some("1441h"), Some(true)), plain(), delete, false),
        ("not allowed", class(Some("168h"), Some(false)), plain(), delete, false),
        ("not known", class(Some("168h"), None), plain(), delete, false),
        ("no class", None, plain(), delete, false),
        (
            "adopted",
            class(Some("168h"), Some(true)),
            database(true, true, false),
            delete,
            false,
        ),
        (
            "never used",
            class(Some("168h"), Some(true)),
            database(false, false, false),
            delete,
            false,
        ),
        (
            "lost",
            class(Some("168h"), Some(true)),
            database(false, true, true),
            delete,
            false,
        ),
        ("an entry", class(Some("168h"), Some(true)), entry(), delete, false),
    ] {
        assert_eq!(sleeps_in_grace(class.as_ref(), &database, policy), sleeps, "{what}");
    }
}

#[test]
fn a_project_that_was_paused_or_restored_may_sleep_and_an_entry_never_does() {
    for (paused, restored) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut database = hosted(paused, restored);
        assert_eq!(
            (database.was_paused(), is_unsettled(&database)),
            (paused, paused || restored)
        );
        let may = |policy| may_sleep_on(&database, policy);
        assert_eq!(may(DeletionPolicy::Delete), paused || restored);
        assert!(!may(DeletionPolicy::Retain), "its data would be lost after a while");
        database.spec.supabase = None;
        assert_eq!((database.was_paused(), is_unsettled(&database)), (false, false));
    }
}

#[test]
fn before_its_logins_are_opened_nothing_says_that_they_are_shut() {
    let old = PowerStatus {
        paused_by: Some(PausedBy::Idle),
        paused_since: Some(Time(Timestamp::UNIX_EPOCH)),
        saved: Some("1.5".into()),
        ..PowerStatus::default()
    };
    let now = opening(&old).unwrap_or_default();
    assert_eq!((now.paused_by, now.paused_since.is_none()), (old.paused_by, true));
    assert_eq!(now.saved, old.saved);
    assert_eq!(opening(&now), None, "it is written once");
}

#[test]
fn a_refused_pause_by_the_spec_is_none() {
    let power = |by, since: bool| PowerStatus {
        paused_by: Some(by),
        paused_since: since.then_some(Time(Timestamp::UNIX_EPOCH)),
        ..PowerStatus::default()
    };
    assert_eq!(after_refusal(power(PausedBy::Spec, false)), None);
    for kept in [power(PausedBy::Idle, false), power(PausedBy::Spec, true)] {
        assert_eq!(after_refusal(kept.clone()), Some(kept));
    }
}
