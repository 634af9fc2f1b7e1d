#![allow(clippy::unwrap_used)]
use super::KeyKind::{Publishable, Secret};
use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

fn key(id: &str, kind: KeyKind) -> MadeKey {
    MadeKey {
        id: id.into(),
        name: format!("one_{id}"),
        kind,
    }
}

fn keys(number: u32, made: impl Into<Vec<MadeKey>>) -> NewKeys {
    NewKeys {
        number,
        made: made.into(),
        ..NewKeys::default()
    }
}

#[test]
fn a_name_is_one_of_the_api_and_tells_its_number() {
    let pattern = |name: &str| {
        let first = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
        first && name.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9' | '_')) && (4..=64).contains(&name.len())
    };
    let long = "a".repeat(200);
    for database in [
        "orchdb-0a1b2c3d-0000-4000-8000-000000000000",
        "1",
        "x.y",
        &long,
        &format!("{long}b"),
    ] {
        for number in [1, 27, u32::MAX] {
            let name = name_of(database, number);
            assert!(pattern(&name), "{name}");
            assert_eq!(number_of(database, &name), Some(number), "{name}");
            assert_eq!(number_of("other", &name), None);
        }
    }
    assert_ne!(name_of(&long, 1), name_of(&format!("{long}b"), 1));
    for name in ["one", "one_", "one_01", "one_+1", "one_1x", "one_2_3", "default"] {
        assert_eq!(number_of("one", name), None, "{name}");
    }
}

#[test]
fn a_rotation_is_written_down_step_by_step_and_former_keys_end_after_they_are_replaced() {
    let mut state = KeyState::default();
    assert!(state.is_due(Some(at(100)), None) && state.labels().is_empty());
    state.begin(KeyKind::ALL.into(), 3, Some(at(100)));
    assert_eq!((state.last, state.is_due(Some(at(200)), None)), (4, false));
    assert_eq!(state.labels(), [(KEYS_PENDING_LABEL, "true".to_owned())]);
    // Another operator's rotation is not this one.
    let mut other = state.clone();
    assert!(!other.end(keys(3, [key("x", Secret)]), at(101)));
    assert!(other.pending.is_some() && other.current.is_empty() && other.has("x"));

    let made = [key("a", Publishable), key("b", Secret), key("c", Secret)];
    assert!(state.end(keys(4, made), at(101)));
    assert_eq!(state.ids(), ["a", "b"]);
    assert!(!state.is_due(Some(at(100)), None) && state.is_due(Some(at(101)), None));
    // The second key of one name.
    assert_eq!(state.former[0].key.id, "c");
    state.published(at(102), SignedDuration::from_secs(10));
    assert!(state.overdue(at(112)).is_empty());
    assert_eq!(state.overdue(at(113)), [key("c", Secret)]);
    state.forget("c");

    state.begin(vec![Secret], 4, Some(at(200)));
    state.end(keys(5, [key("d", Secret)]), at(201));
    assert_eq!(state.ids(), ["a", "d"]);
    let marks = KeyMarks::read(
        &state
            .labels()
            .into_iter()
            .map(|(key, is)| (key.to_owned(), is))
            .collect(),
    );
    let waits = KeyMarks {
        followed: Some(at(200)),
        waits: true,
        ..KeyMarks::default()
    };
    assert_eq!(marks, waits);
    assert!(
        state.overdue(at(9999)).is_empty(),
        "not before the newer one is published"
    );
    let text = serde_json::to_string(&state).unwrap();
    assert_eq!(serde_json::from_str::<KeyState>(&text).unwrap(), state);
}

#[test]
fn a_key_that_somebody_has_deleted_is_made_anew_and_what_stands_in_for_it_stays() {
    let mut state = KeyState::default();
    state.begin(KeyKind::ALL.into(), 0, Some(at(100)));
    state.end(keys(1, [key("a", Publishable), key("b", Secret)]), at(100));
    state.begin(KeyKind::ALL.into(), 1, Some(at(200)));
    state.end(keys(2, [key("c", Publishable), key("d", Secret)]), at(200));
    state.published(at(200), SignedDuration::from_secs(10));
    assert!(state.lose(&["c".into(), "d".into()]).is_empty() && !state.is_due(Some(at(200)), None));
    assert_eq!(state.lose(&["c".into(), "b".into()]), ["one_d"]);
    assert!(state.is_due(Some(at(200)), None) && state.ids() == ["c", "b"]);
    assert_eq!(state.overdue(at(9999)), [key("a", Publishable)]);
    for number in 3..9 {
        state.begin(vec![Secret], 0, Some(at(300)));
        state.end(keys(number, [key(&number.to_string(), Secret)]), at(300));
    }
    assert_eq!((state.former.len(), state.is_due(Some(at(400)), None)), (8, false));
}

#[test]
fn the_first_keys_end_as_those_of_the_operator_do_and_a_release_is_recorded() {
    let mut state = KeyState::default();
    assert!(!state.is_due(None, None) && state.is_due(None, Some("uid-1")));
    state.begin(KeyKind::ALL.into(), 0, None);
    let (first, made) = (
        [key("p", Publishable), key("s", Secret)],
        [key("a", Publishable), key("b", Secret)],
    );
    let new = NewKeys {
        first: first.to_vec(),
        former: Some("uid-1".into()),
        ..keys(1, made)
    };
    assert!(state.end(new, at(100)));
    state.published(at(100), SignedDuration::ZERO);
    assert_eq!(state.overdue(at(101)), first);
    assert!(!state.is_due(None, Some("uid-1")) && state.is_due(None, Some("uid-2")));
    let labels = state.labels().into_iter().map(|(key, is)| (key.to_owned(), is));
    assert_eq!(KeyMarks::read(&labels.collect()).ended_for.as_deref(), Some("uid-1"));
    state.skip(Some(at(200)), None, true);
    assert_eq!(
        (state.followed, state.ended_for.as_deref(), state.legacy_left),
        (Some(at(200)), Some("uid-1"), false),
        "a rotation of the login says nothing of a release"
    );
}

#[test]
fn legacy_keys_that_a_former_tenant_had_are_recorded_until_they_are_disabled() {
    let mut state = KeyState {
        legacy_given: true,
        ..KeyState::default()
    };
    let marks = |state: &KeyState| {
        let labels = state.labels().into_iter().map(|(key, is)| (key.to_owned(), is));
        KeyMarks::read(&labels.collect())
    };
    assert!(!marks(&state).legacy_left);
    state.skip(None, Some("uid-1".into()), true);
    assert!(marks(&state).legacy_left && marks(&state).ended_for.as_deref() == Some("uid-1"));
    let text = serde_json::to_string(&state).unwrap();
    assert_eq!(serde_json::from_str::<KeyState>(&text).unwrap(), state);
    // The project has new keys, too, when the next one releases it.
    for left in [true, false] {
        state.begin(KeyKind::ALL.into(), state.last, None);
        let new = NewKeys {
            former: Some(format!("uid-{left}")),
            legacy_left: left,
            ..keys(state.last, [key(&format!("a-{left}"), Publishable)])
        };
        assert!(state.end(new, at(100)));
        assert_eq!((marks(&state).legacy_left, state.legacy_given), (left, true));
    }
}
