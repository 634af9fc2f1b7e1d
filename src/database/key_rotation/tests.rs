#![allow(clippy::unwrap_used)]
use secrecy::SecretString;

use super::end::{FormerKeyVerdict, judge};
use super::make::{first_keys, is_identity, kept, rotated};
use super::*;
use crate::credentials::api_keys::{KeyKind, KeyState, MadeKey};
use crate::credentials::owner::{Address, OwnerSecret};
use crate::supabase::types::KeyType;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

fn key(id: &str, kind: KeyType, name: &str) -> ApiKey {
    ApiKey {
        id: Some(id.into()),
        name: name.into(),
        kind: Some(kind),
        api_key: Some(format!("value-{id}").into()),
        role: None,
    }
}

fn made(id: &str, name: &str) -> MadeKey {
    MadeKey {
        id: id.into(),
        name: name.into(),
        kind: KeyKind::Secret,
    }
}

#[test]
fn keys_follow_each_rotation_of_the_login_of_an_orchestra_that_asks_for_it() {
    let around = Around {
        claim: ClaimState::Held,
        asked: true,
        login: Some(at(100)),
        replaced: false,
        unended: false,
    };
    let followed = |seconds| KeyMarks {
        followed: Some(at(seconds)),
        ..KeyMarks::default()
    };
    for (marks, around, is) in [
        (KeyMarks::default(), around, Some(KeyWork::Due)),
        (followed(99), around, Some(KeyWork::Due)),
        (followed(100), around, None),
        (KeyMarks::default(), Around { login: None, ..around }, None),
        (KeyMarks::default(), Around { asked: false, ..around }, None),
    ] {
        assert_eq!(decide(&marks, around, at(200)), is, "{marks:?} {around:?}");
    }
    for claim in [ClaimState::None, ClaimState::Abandoned, ClaimState::Released] {
        let around = Around { claim, ..around };
        assert_eq!(decide(&KeyMarks::default(), around, at(200)), None);
        let begun = KeyMarks {
            pending: true,
            ..KeyMarks::default()
        };
        assert_eq!(decide(&begun, around, at(200)), None, "nobody gets what is made");
    }
}

#[test]
fn the_keys_of_an_orchestra_that_has_released_the_database_are_replaced_whatever_it_had_asked_for() {
    let released = Around {
        claim: ClaimState::Released,
        asked: false,
        login: None,
        replaced: false,
        unended: true,
    };
    let taken = Around {
        claim: ClaimState::Held,
        replaced: true,
        ..released
    };
    let (none, begun, made) = (
        KeyMarks::default(),
        KeyMarks {
            pending: true,
            ..KeyMarks::default()
        },
        KeyMarks {
            waits: true,
            ..KeyMarks::default()
        },
    );
    for around in [released, taken] {
        assert_eq!(decide(&none, around, at(0)), Some(KeyWork::Due));
        assert_eq!(decide(&begun, around, at(0)), Some(KeyWork::Pending));
        let ended = Around {
            unended: false,
            ..around
        };
        assert_eq!(decide(&made, ended, at(0)), Some(KeyWork::Overdue), "at once");
        assert_eq!(decide(&none, ended, at(0)), None);
    }
    let serving = Around {
        replaced: false,
        unended: false,
        ..taken
    };
    assert_eq!(decide(&made, serving, at(0)), None, "its own applications may use them");
}

#[test]
fn former_keys_end_when_the_newer_ones_are_published_and_the_overlap_is_over() {
    let around = Around {
        claim: ClaimState::Held,
        asked: false,
        login: Some(at(100)),
        replaced: false,
        unended: false,
    };
    let marks = KeyMarks {
        followed: Some(at(100)),
        ..KeyMarks::default()
    };
    let waits = KeyMarks {
        waits: true,
        ..marks.clone()
    };
    let until = KeyMarks {
        revoke_at: Some(at(200)),
        ..marks.clone()
    };
    let published = Around {
        replaced: true,
        ..around
    };
    let released = Around {
        claim: ClaimState::Released,
        ..around
    };
    for (marks, around, is) in [
        (waits.clone(), around, None),
        (waits.clone(), published, Some(KeyWork::Overdue)),
        (waits.clone(), released, Some(KeyWork::Overdue)),
        (until.clone(), around, None),
        (until.clone(), released, Some(KeyWork::Overdue)),
        (KeyMarks { pending: true, ..waits }, published, Some(KeyWork::Pending)),
    ] {
        assert_eq!(decide(&marks, around, at(199)), is, "{marks:?} {around:?}");
    }
    assert_eq!(decide(&until, published, at(200)), Some(KeyWork::Overdue));
    assert_eq!(
        decide(&until, around, at(200)),
        None,
        "the newer ones are not published"
    );
}

#[test]
fn what_a_former_tenant_may_still_have_of_the_keys_is_known_until_it_has_ended() {
    let legacy = KeyMarks {
        legacy_left: true,
        ..KeyMarks::default()
    };
    let undeleted = [
        KeyMarks {
            waits: true,
            ..legacy.clone()
        },
        KeyMarks {
            revoke_at: Some(at(1)),
            ..legacy.clone()
        },
    ];
    let released = ClaimState::Released;
    assert_eq!(decide_left(&KeyMarks::default(), released, false), None);
    for claim in [released, ClaimState::Held] {
        assert_eq!(decide_left(&legacy, claim, true), Some(KeysLeft::Replaced), "{claim:?}");
    }
    for marks in &undeleted {
        assert_eq!(decide_left(marks, released, false), Some(KeysLeft::Replaced));
        // The former keys of one that has it are published until the overlap ends.
        let held = decide_left(marks, ClaimState::Held, false);
        assert_eq!(held, Some(KeysLeft::Legacy));
    }
    for (claim, is) in [
        (released, Some(KeysLeft::Legacy)),
        (ClaimState::Held, Some(KeysLeft::Legacy)),
        (ClaimState::None, None),
    ] {
        assert_eq!(decide_left(&legacy, claim, false), is, "{claim:?}");
    }
}

#[test]
fn legacy_keys_are_never_rotated_and_what_is_not_the_operators_is_told() {
    let anon = key("anon", KeyType::Legacy, "anon");
    let default = key("1", KeyType::Publishable, "default");
    let secret = key("2", KeyType::Secret, "default");
    let reader = ApiKey {
        role: Some("reader".into()),
        ..key("3", KeyType::Secret, "reader")
    };
    let all = [anon.clone(), default, secret, reader.clone()];
    let none = OwnerSecret::default();
    assert_eq!(rotated(&all, &none), (KeyKind::ALL.into(), vec!["anon".to_owned()]));
    assert_eq!(rotated(&[anon, reader], &none), (vec![], vec!["anon".to_owned()]));
    let state = KeyState {
        current: vec![made("2", "default")],
        ..KeyState::default()
    };
    let told = kept(&all, &state, &[made("1", "default")]);
    assert_eq!(told, ["anon (legacy)", "reader (secret)"]);
    let own = |id: &str, kind| MadeKey {
        id: id.into(),
        name: "default".into(),
        kind,
    };
    let first = [own("1", KeyKind::Publishable), own("2", KeyKind::Secret)];
    assert_eq!(first_keys(&all, &KeyKind::ALL), first);
    assert_eq!(first_keys(&all, &[KeyKind::Secret]), first[1..]);
}

#[test]
fn a_kind_whose_keys_were_deleted_is_made_again() {
    let publishable = [key("1", KeyType::Publishable, "default")];
    let lost = |current: Vec<MadeKey>| {
        let mut state = KeyState {
            current,
            ..KeyState::default()
        };
        state.lose(&[]);
        OwnerSecret {
            api_keys: state,
            ..OwnerSecret::default()
        }
    };
    assert_eq!(rotated(&publishable, &lost(vec![])).0, [KeyKind::Publishable]);
    assert_eq!(rotated(&publishable, &lost(vec![made("2", "one_1")])).0, KeyKind::ALL);
    assert_eq!(rotated(&[], &lost(vec![made("2", "one_1")])).0, [KeyKind::Secret]);
}

#[test]
fn only_a_key_of_the_recorded_identity_and_name_that_is_not_published_is_deleted() {
    let address = Address {
        host: String::new(),
        user: String::new(),
        database: String::new(),
        session_port: 1,
        transaction_port: 1,
        project_url: String::new(),
        anon_key: SecretString::from("value-4"),
        service_role_key: SecretString::from("value-5"),
        keys: None,
    };
    let stored = OwnerSecret {
        address: Some(address),
        api_keys: KeyState {
            current: vec![made("6", "one_6")],
            ..KeyState::default()
        },
        ..OwnerSecret::default()
    };
    let listed = [
        key("1", KeyType::Secret, "one_1"),
        key("2", KeyType::Secret, "theirs"),
        key("3", KeyType::Publishable, "one_3"),
        key("5", KeyType::Secret, "one_5"),
        key("6", KeyType::Secret, "one_6"),
        key("7", KeyType::Secret, "one_8"),
    ];
    for (id, is) in [
        ("1", FormerKeyVerdict::Ours),
        ("2", FormerKeyVerdict::Changed),
        ("3", FormerKeyVerdict::Changed),
        ("5", FormerKeyVerdict::InUse),
        ("6", FormerKeyVerdict::InUse),
        // A key of the same name has another identity.
        ("8", FormerKeyVerdict::Gone),
    ] {
        let former = made(id, &format!("one_{id}"));
        assert_eq!(judge(&former, &listed, &stored), is, "{id}");
    }
}

#[test]
fn an_identity_leads_to_no_other_operation() {
    assert!(is_identity("22222222-2222-4222-8222-222222222222"));
    for id in ["", "legacy", "a/b", "..", "a?b", &"a".repeat(65)] {
        assert!(!is_identity(id), "{id}");
    }
}
