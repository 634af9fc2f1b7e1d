#![allow(clippy::unwrap_used)]
use jiff::SignedDuration;
use kube::Resource as _;
use kube::core::PartialObjectMetaExt as _;

use super::*;

const UID: &str = "0b5c1a3e-0000-4000-8000-000000000001";

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

#[test]
fn a_rotation_makes_the_next_login_and_keeps_the_former_one_for_the_overlap() {
    let mut state = LoginState::default();
    state.begin(Some("now".into()));
    assert_eq!((state.current, state.newest()), (1, 2));
    // Begun once.
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
    let mut logins = Logins::first("one".to_string().into());
    let first = logins.render("orchdb-1").unwrap();
    assert_eq!(
        first.data.as_ref().unwrap().keys().collect::<Vec<_>>(),
        [TENANT_PASSWORD_KEY]
    );
    assert_eq!(first.metadata.labels.as_ref().unwrap().len(), 2);
    let marks = |secret: &Secret| LoginMarks::read(&secret.meta().clone().into_response_partial());
    assert_eq!(marks(&first), LoginMarks::from(&LoginState::default()));

    logins.state.begin(None);
    assert!(logins.complete());
    let secret = logins.render("orchdb-1").unwrap();
    assert!(marks(&secret).pending);
    let read = Logins::parse(secret);
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
    };
    assert_eq!(marks(&secret), expected);
    assert_eq!(marks(&secret), LoginMarks::from(&logins.state));
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
fn a_lost_password_is_made_anew_and_a_lost_secret_keeps_the_number() {
    let mut logins = Logins::first("one".to_string().into());
    logins.state.begin(None);
    logins.passwords.clear();
    assert!(logins.complete() && !logins.complete());
    assert_eq!(logins.roles(UID).len(), 2);
    let mut lost = Logins::first("one".to_string().into());
    lost.renumber(7);
    assert!(lost.newest(UID).unwrap().name.ends_with("_7"));
    assert_eq!(Logins::parse(lost.render("orchdb-1").unwrap()).state.current, 7);
}
