#![allow(clippy::unwrap_used)]
use jiff::SignedDuration;
use kube::Resource as _;
use kube::core::PartialObjectMetaExt as _;

use super::*;

const UID: &str = "0b5c1a3e-0000-4000-8000-000000000001";

fn known(generation: u32, published: bool) -> KnownLogins<'static> {
    KnownLogins {
        uid: UID,
        earlier: None,
        generation,
        published,
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

#[test]
fn a_rotation_makes_the_next_login_and_keeps_the_former_one_for_the_overlap() {
    let mut state = LoginState::default();
    state.begin(Some("now".into()));
    assert_eq!((state.current, state.newest()), (1, 2));
    // Begun once.
    state.choose(Some(2));
    let begun = state.clone();
    state.begin(Some("again".into()));
    assert_eq!(state, begun);
    state.end(at(0), SignedDuration::from_secs(10));
    assert_eq!((state.current, state.newest(), state.rotated_at), (2, 2, Some(at(0))));
    assert_eq!(state.revoke_at(), Some(at(11)));
    assert!(state.overdue(at(10)).is_empty());
    assert_eq!(state.overdue(at(11)), [1]);
    // Ended once.
    let ended = state.clone();
    state.end(at(99), SignedDuration::from_secs(10));
    assert_eq!(state, ended);
    for n in 3..=5 {
        state.begin(None);
        state.end(at(1), SignedDuration::MAX);
        assert_eq!(state.current, n);
    }
    assert!(!state.has_room() && state.request.as_deref() == Some("now"));
    state.begin(None);
    assert_eq!(state.pending, None, "no more than {MOST_FORMER} former logins");
}

#[test]
fn the_secret_holds_the_logins_and_its_labels_say_what_is_to_be_done() {
    let mut logins = Logins::first("one".to_string().into(), &known(1, true));
    let first = logins.render("orchdb-1").unwrap();
    assert_eq!(
        first.data.as_ref().unwrap().keys().collect::<Vec<_>>(),
        [TENANT_PASSWORD_KEY]
    );
    assert_eq!(first.metadata.labels.as_ref().unwrap().len(), 3);
    let marks = |secret: &Secret| LoginMarks::read(&secret.meta().clone().into_response_partial());
    assert_eq!(marks(&first), LoginMarks::from(&LoginState::default()));

    logins.state.begin(None);
    assert!(logins.complete());
    let secret = logins.render("orchdb-1").unwrap();
    assert!(marks(&secret).pending);
    let read = Logins::of(secret, &known(1, true));
    assert_eq!(read.state, logins.state);
    let names = |logins: &Logins| logins.roles(UID).into_iter().map(|role| role.name).collect::<Vec<_>>();
    let role = "orchestra_0b5c1a3e000040008000000000000001";
    assert_eq!(names(&read), [role.to_string(), format!("{role}_2")]);
    assert_eq!(read.newest(UID).unwrap().name, format!("{role}_2"));

    logins.state.end(at(0), SignedDuration::from_secs(5));
    let secret = logins.render("orchdb-1").unwrap();
    let expected = LoginMarks {
        generation: 2,
        pending: false,
        rotated_at: Some(at(0)),
        revoke_at: Some(at(6)),
        ended: false,
    };
    assert_eq!(marks(&secret), expected);
    assert_eq!(marks(&secret), LoginMarks::from(&logins.state));

    // A former login that has ended is no login any more, until its role is dropped.
    logins.state.shut(&[1]);
    assert!(!LoginMarks::from(&logins.state).ended, "the first role stays");
    logins.state.begin(None);
    logins.state.choose(Some(3));
    logins.state.end(at(9), SignedDuration::from_secs(5));
    logins.state.shut(&[2]);
    let secret = logins.render("orchdb-1").unwrap();
    assert!(marks(&secret).ended && marks(&secret).revoke_at.is_none());
    assert_eq!(Logins::of(secret, &known(1, true)).state, logins.state);
    for name in [role.to_string(), format!("{role}_2"), format!("{role}_17")] {
        assert!(is_role_of(UID, &name), "{name}");
    }
    for name in [
        format!("{role}_"),
        format!("{role}_x"),
        format!("{role}7"),
        "orchestra_app".into(),
    ] {
        assert!(!is_role_of(UID, &name), "{name}");
    }
}

#[test]
fn a_login_that_may_be_in_use_never_gets_another_password() {
    let role = |number| role_of(UID, number);
    let names = |logins: &Logins| logins.roles(UID).into_iter().map(|role| role.name).collect::<Vec<_>>();
    // Nobody uses it yet.
    let mut young = Logins::lost(&known(7, false));
    assert_eq!((names(&young), young.unknown(UID)), (vec![role(7)], vec![]));
    assert!(!young.complete() && !young.state.tentative);

    let mut lost = Logins::lost(&known(7, true));
    assert_eq!((names(&lost), lost.unknown(UID)), (vec![role(8)], vec![role(7)]));
    assert!(!lost.complete() && lost.state.tentative && lost.state.pending == Some(8));
    let read = Logins::of(lost.render("orchdb-1").unwrap(), &known(1, true));
    assert_eq!((&read.state, read.unknown(UID)), (&lost.state, vec![role(7)]));
    // A rotation that is asked for meanwhile is this one.
    lost.state.begin(Some("now".into()));
    assert_eq!(
        (lost.state.pending, lost.state.request.as_deref()),
        (Some(8), Some("now"))
    );

    // One password of the Secret is lost.
    let mut logins = Logins::first("one".to_string().into(), &known(1, true));
    logins.passwords.clear();
    assert!(logins.complete() && !logins.complete());
    assert_eq!((names(&logins), logins.unknown(UID)), (vec![role(2)], vec![role(1)]));
    // That of the new one, which may be published: it gets another number where the server has its role.
    logins.state.choose(Some(2));
    logins.passwords.clear();
    assert!(logins.complete() && logins.state.tentative);
    logins.state.choose(Some(4));
    assert_eq!((logins.state.pending, logins.state.tentative), (Some(4), false));
}

#[test]
fn a_server_whose_logins_are_others_than_those_that_are_known_was_changed() {
    let mut state = LoginState::default();
    assert!(state.agrees(&[1]) && !state.agrees(&[]) && !state.agrees(&[1, 2]));
    state.begin(None);
    assert!(state.agrees(&[1]) && state.agrees(&[1, 2]));
    state.end(at(0), SignedDuration::from_secs(5));
    assert!(state.agrees(&[1, 2]) && state.agrees(&[2]) && !state.agrees(&[1]));
    state.shut(&[1]);
    assert!(state.agrees(&[2]));
    for restored in [&[1][..], &[1, 2]] {
        assert!(!state.agrees(restored), "{restored:?}");
    }
}

#[test]
fn what_another_orchestra_has_left_is_none_of_this_ones() {
    let mut left = Logins::first("theirs".to_string().into(), &known(1, true));
    left.state.begin(Some("now".into()));
    left.state.end(at(0), SignedDuration::from_secs(5));
    left.template = Some([("KEY".to_owned(), "{{ user }}".to_owned())].into());
    left.complete();
    let secret = left.render("orchdb-1").unwrap();
    let mut other = KnownLogins {
        uid: "another",
        ..known(1, false)
    };
    let mut read = Logins::of(secret.clone(), &other);
    assert!(read.is_foreign() && read.template.is_none());
    assert_eq!(read.state, LoginState::default());
    let password = |logins: &Logins| logins.passwords[&1].expose_secret().to_owned();
    assert_ne!(password(&read), "theirs");
    let written = read.render("orchdb-1").unwrap();
    read.stored = Some(written);
    assert!(!read.is_foreign());

    // Its own, and one of an earlier version, which does not say whose it is.
    other.uid = UID;
    let read = Logins::of(secret.clone(), &other);
    assert!(!read.is_foreign());
    assert_eq!((&read.state, &read.template), (&left.state, &left.template));
    let mut unnamed = secret;
    unnamed.metadata.labels.as_mut().unwrap().remove(HOLDER_LABEL);
    other.uid = "another";
    let read = Logins::of(unnamed, &other);
    assert!(!read.is_foreign() && read.state == left.state);
}

#[test]
fn a_number_that_the_server_does_not_leave_to_the_login_is_skipped() {
    let mut state = LoginState::default();
    let candidates = |state: &LoginState| state.candidates([700, 30]).collect::<Vec<_>>();
    assert!(candidates(&state).is_empty());
    state.choose(Some(2));
    assert_eq!(state, LoginState::default());
    state.begin(None);
    assert!(state.tentative);
    // In the order of preference, and none that an earlier login has.
    assert_eq!(candidates(&state), [2, 3, 4, 702, 32]);
    // Others have all of them.
    state.choose(None);
    assert_eq!((state.pending, state.tentative), (Some(2), true));
    state.choose(Some(3));
    assert_eq!((state.pending, state.tentative), (Some(3), false));
    // A neighbour has made a role of that name between the look and the preparation.
    assert_eq!(candidates(&state), [3, 4, 5, 703, 33]);
    state.choose(Some(4));
    assert_eq!((state.pending, state.tentative), (Some(4), false));
    state.end(at(0), SignedDuration::from_secs(5));
    state.shut(&[1]);
    state.begin(None);
    state.end(at(0), SignedDuration::from_secs(5));
    state.shut(&[4]);
    assert_eq!(state.ended, [4].into());
}

#[test]
fn what_an_earlier_version_stored_is_written_as_it_is() {
    for (text, current, passwords) in [
        (
            include_str!("../../tests/fixtures/stored/1/hosted/first-tenant-secret.yaml"),
            1,
            1,
        ),
        (
            include_str!("../../tests/fixtures/stored/1/hosted/tenant-secret.yaml"),
            2,
            2,
        ),
        (
            include_str!("../../tests/fixtures/stored/2/hosted/first-tenant-secret.yaml"),
            1,
            1,
        ),
        (
            include_str!("../../tests/fixtures/stored/2/hosted/tenant-secret.yaml"),
            2,
            2,
        ),
    ] {
        let stored = secrets::fixture(text);
        let logins = Logins::of(stored.clone(), &known(1, true));
        assert_eq!((logins.state.current, logins.passwords.len()), (current, passwords));
        assert_eq!(logins.render("orchdb-hosted").unwrap(), stored);
    }
}
