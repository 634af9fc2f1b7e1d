#![allow(clippy::unwrap_used)]
use super::*;

fn address() -> Address {
    Address {
        host: "pooler.example".into(),
        user: "postgres.ref".into(),
        database: "postgres".into(),
        session_port: 5432,
        transaction_port: 6543,
        project_url: "https://ref.example".into(),
        anon_key: "anon".to_string().into(),
        service_role_key: "service".to_string().into(),
        keys: None,
    }
}

#[test]
fn keys_that_the_provider_has_changed_are_stored_with_their_digest() {
    let (anon, service) = ("anon".to_string().into(), "service".to_string().into());
    assert!(address().with_keys(&anon, &service).is_none(), "the same keys");
    let new = address().with_keys(&anon, &"other".to_string().into()).unwrap();
    let owner = OwnerSecret {
        address: Some(new.clone()),
        ..OwnerSecret::default()
    };
    let secret = owner.render("orchdb-1");
    let label = secret.metadata.labels.clone().unwrap()[KEYS_LABEL].clone();
    assert_eq!((Some(&label), label.len()), (new.keys.as_ref(), DIGITS));
    let read = OwnerSecret::parse(&secret.data.unwrap()).address.unwrap();
    assert_eq!(read.keys, new.keys);
    assert!(read.with_keys(&anon, &"other".to_string().into()).is_none());
    let turned = address().with_keys(&service, &anon).unwrap();
    assert_ne!(turned.keys, new.keys);
}

#[test]
fn a_secret_holds_the_whole_and_its_labels_say_what() {
    for (password, connected) in [(true, false), (false, true), (true, true)] {
        let owner = OwnerSecret {
            password: password.then(|| "word".to_string().into()),
            address: connected.then(address),
            ..OwnerSecret::default()
        };
        let secret = owner.render("orchdb-1");
        let labels = secret.metadata.labels.clone().unwrap();
        assert!(!labels.contains_key(PENDING_LABEL) && !labels.contains_key(ROTATED_LABEL));
        assert_eq!(labels[DATABASE_LABEL], "orchdb-1");
        assert_eq!(labels.contains_key(PASSWORD_LABEL), password);
        assert_eq!(labels.contains_key(CONNECTED_LABEL), connected);
        let read = OwnerSecret::parse(&secret.data.clone().unwrap());
        assert_eq!(read.password.is_some(), password);
        assert_eq!(read.address.is_some(), connected);
        let login = read.login(&"roots".into());
        assert_eq!(login.is_some(), password && connected);
        assert!(login.is_none_or(|login| login.tls == Tls::VerifyFull && login.roots.is_some()));
        assert_eq!(read.render("orchdb-1"), secret);
    }
}

#[test]
fn both_passwords_are_stored_until_the_new_one_is_proven() {
    let owner = OwnerSecret {
        password: Some("old".to_string().into()),
        pending: Some("new".to_string().into()),
        rotated_at: Some(1_800_000_000),
        followed: Some(3),
        address: Some(address()),
        ..OwnerSecret::default()
    };
    let secret = owner.render("orchdb-1");
    let labels = secret.metadata.labels.clone().unwrap();
    assert_eq!(
        (
            &*labels[PENDING_LABEL],
            &*labels[ROTATED_LABEL],
            &*labels[FOLLOWED_LABEL]
        ),
        ("true", "1800000000", "3")
    );
    let read = OwnerSecret::parse(&secret.data.clone().unwrap());
    assert_eq!(read.pending.as_ref().unwrap().expose_secret(), "new");
    assert_eq!(read.login(&"roots".into()).unwrap().password.expose_secret(), "old");
    assert_eq!(read.render("orchdb-1"), secret);
    assert!(!format!("{owner:?}").contains("new"));
}

#[test]
fn a_tenants_password_of_an_earlier_version_is_read_and_never_written() {
    let mut data = OwnerSecret {
        password: Some("word".to_string().into()),
        ..OwnerSecret::default()
    }
    .render("orchdb-1")
    .data
    .unwrap();
    data.insert(TENANT_PASSWORD_KEY.into(), ByteString(b"tenant".to_vec()));
    let owner = OwnerSecret::parse(&data);
    assert_eq!(owner.tenant_password.as_ref().unwrap().expose_secret(), "tenant");
    let written = owner.render("orchdb-1").data.unwrap();
    assert_eq!(written.keys().collect::<Vec<_>>(), ["password"]);
}

#[test]
fn what_an_earlier_version_stored_is_written_as_it_is() {
    for text in [
        include_str!("../../tests/fixtures/stored/1/hosted/owner-secret.yaml"),
        include_str!("../../tests/fixtures/stored/2/hosted/owner-secret.yaml"),
    ] {
        let stored = secrets::fixture(text);
        let read = OwnerSecret::parse(&stored.data.clone().unwrap());
        assert!(read.login(&"roots".into()).is_some() && read.rotated_at == Some(1_795_845_600));
        assert_eq!(read.render("orchdb-hosted"), stored);
    }
}
