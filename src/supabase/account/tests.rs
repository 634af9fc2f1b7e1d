#![allow(clippy::unwrap_used)]
use serde_json::json;

use super::super::wire_tests::{TOKEN, Wire, ok};
use super::*;

fn organizations(slugs: &'static [&'static str]) -> String {
    let one = |slug: &&str| json!({"id": slug, "slug": slug, "name": slug.to_uppercase()});
    json!(slugs.iter().map(one).collect::<Vec<_>>()).to_string()
}

#[tokio::test]
async fn one_token_and_organization_is_one_account() {
    let wire = Wire::play(|_, _| ok(organizations(&["acme"]))).await;
    let accounts = Accounts::new(wire.settings(), Arc::default());
    let token = SecretString::from(TOKEN);
    let named = accounts.get(&token, Some("acme")).await.unwrap();
    let with_newline = SecretString::from(format!("{TOKEN}\n"));
    assert!(Arc::ptr_eq(
        &named,
        &accounts.get(&with_newline, Some("acme")).await.unwrap()
    ));
    assert!(wire.seen().is_empty(), "a named organization is not looked up");

    for absent in [None, Some(" ")] {
        assert!(Arc::ptr_eq(&named, &accounts.get(&token, absent).await.unwrap()));
    }
    assert_eq!(wire.seen().len(), 1, "the only organization is looked up once");

    let other = accounts.get(&token, Some("other")).await.unwrap();
    assert!(!Arc::ptr_eq(&named, &other));
    assert!(Arc::ptr_eq(&named.client, &other.client), "one rate limiter a token");
    let stranger = accounts
        .get(&SecretString::from("sbp_other"), Some("acme"))
        .await
        .unwrap();
    assert!(!Arc::ptr_eq(&named.client, &stranger.client));
    assert!(!format!("{accounts:?}").contains(TOKEN));
}

#[tokio::test]
async fn the_organization_must_be_clear() {
    for (slugs, words) in [
        (&[][..], "sees no organization"),
        (&["a", "b"][..], "must name one of: a, b"),
    ] {
        let wire = Wire::play(move |_, _| ok(organizations(slugs))).await;
        let accounts = Accounts::new(wire.settings(), Arc::default());
        let error = accounts.get(&SecretString::from(TOKEN), None).await.unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[tokio::test]
async fn a_token_that_nobody_asks_for_is_dropped() {
    let wire = Wire::play(|_, _| ok("[]")).await;
    let accounts = Accounts::new(wire.settings(), Arc::default());
    accounts.get(&SecretString::from(TOKEN), Some("acme")).await.unwrap();
    let mut tokens = accounts.tokens.lock();
    drop_unused(&mut tokens, Instant::now());
    assert_eq!(tokens.len(), 1);
    drop_unused(&mut tokens, Instant::now() + UNUSED);
    assert!(tokens.is_empty());
}

#[tokio::test]
async fn one_organization_beside_one_that_is_not_understood_is_not_the_only_one() {
    for list in [
        json!([{"slug": "a"}, {"slug": null, "name": "b"}]),
        json!([{"slug": "a"}, null]),
    ] {
        let wire = Wire::play(move |_, _| ok(list.clone())).await;
        let accounts = Accounts::new(wire.settings(), Arc::default());
        let error = accounts.get(&SecretString::from(TOKEN), None).await.unwrap_err();
        assert!(error.to_string().contains("must name its organization"), "{error}");
    }
    let wire = Wire::play(|_, _| ok(json!([{"id": "a", "name": null}]))).await;
    let accounts = Accounts::new(wire.settings(), Arc::default());
    let account = accounts.get(&SecretString::from(TOKEN), None).await.unwrap();
    assert_eq!(account.organization(), "a");
}
