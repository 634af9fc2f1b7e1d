#![allow(clippy::unwrap_used)]
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{EncodingKey, Header, encode, get_current_timestamp};
use serde_json::{Value, json};

use super::*;

const ISSUER: &str = "https://login.example.com";

fn issuer() -> Issuer {
    let settings = IssuerSettings {
        issuer: ISSUER.into(),
        client_id: "console".into(),
        client_secret: None,
        redirect: "https://console.example.com/sign-in/callback".parse().unwrap(),
        scopes: Vec::new(),
        roots: None,
    };
    Issuer::new(settings).unwrap()
}

/// A key of the issuer, and what it publishes of it.
fn key(id: &str) -> (EncodingKey, Jwk) {
    let rng = aws_lc_rs::rand::SystemRandom::new();
    let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &rng).unwrap();
    let key = EncodingKey::from_ec_der(made.as_ref());
    let mut published = Jwk::from_encoding_key(&key, Algorithm::ES256).unwrap();
    published.common.key_id = Some(id.into());
    (key, published)
}

fn claims() -> Value {
    let now = get_current_timestamp();
    json!({"iss": ISSUER, "aud": "console", "sub": "ada", "nonce": "n", "iat": now, "exp": now + 600})
}

fn signed(key: &EncodingKey, header: &Header, claims: &Value) -> SecretString {
    encode(header, claims, key).unwrap().into()
}

fn header(id: Option<&str>) -> Header {
    let mut header = Header::new(Algorithm::ES256);
    header.kid = id.map(Into::into);
    header
}

#[test]
fn an_id_token_counts_for_its_client_sign_in_and_time_only() {
    let (issuer, (key, published)) = (issuer(), key("one"));
    let keys = JwkSet { keys: vec![published] };
    let now = get_current_timestamp();
    for (change, is) in [
        (json!({}), true),
        (json!({"aud": ["other", "console"], "azp": "console"}), true),
        (json!({"aud": ["other", "console"], "azp": "other"}), false),
        (json!({"aud": "other"}), false),
        (json!({"iss": "https://evil.example"}), false),
        (json!({"nonce": "m"}), false),
        (json!({"nonce": null}), false),
        (json!({"exp": now - 120}), false),
        (json!({"nbf": now + 600}), false),
        (json!({"exp": null}), false),
        (json!({"aud": null}), false),
        (json!({"sub": null}), false),
    ] {
        let mut claims = claims();
        for (name, value) in change.as_object().unwrap() {
            if value.is_null() {
                claims.as_object_mut().unwrap().remove(name);
            } else {
                claims[name] = value.clone();
            }
        }
        let token = signed(&key, &header(Some("one")), &claims);
        let checked = issuer.verify(&token, &keys, "n");
        assert_eq!(checked.is_ok(), is, "{change}: {checked:?}");
    }
}

#[test]
fn an_id_token_is_signed_by_a_key_of_the_issuer() {
    let (issuer, (one, of_one), (two, of_two)) = (issuer(), key("one"), key("two"));
    let both = JwkSet {
        keys: vec![of_one.clone(), of_two],
    };
    let first = JwkSet { keys: vec![of_one] };
    for (token, keys, is) in [
        (signed(&two, &header(Some("two")), &claims()), &both, true),
        (signed(&two, &header(None), &claims()), &both, true),
        (signed(&two, &header(Some("one")), &claims()), &both, false),
        (signed(&two, &header(Some("two")), &claims()), &first, false),
        (signed(&two, &header(None), &claims()), &first, false),
        (signed(&one, &header(Some("one")), &claims()), &JwkSet::default(), false),
    ] {
        let checked = issuer.verify(&token, keys, "n");
        assert_eq!(checked.is_ok(), is, "{checked:?}");
    }
    // A secret that everybody knows is none.
    let public = serde_json::to_vec(&first).unwrap();
    let shared = EncodingKey::from_secret(&public).unwrap();
    let token = signed(&shared, &Header::new(Algorithm::HS256), &claims());
    assert!(
        issuer
            .verify(&token, &first, "n")
            .unwrap_err()
            .to_string()
            .contains("HS256")
    );
    for odd in ["", "a.b.c", "eyJhbGciOiJub25lIn0.e30."] {
        assert!(issuer.verify(&odd.into(), &first, "n").is_err(), "{odd}");
    }
}

#[test]
fn what_is_sent_to_an_issuer_is_private() {
    for (url, is) in [
        ("https://login.example.com", true),
        ("http://127.0.0.1:5556/dex", true),
        ("http://localhost:5556", true),
        ("http://[::1]:5556", true),
        ("http://login.example.com", false),
        ("http://localhost.example.com", false),
        ("ftp://127.0.0.1", false),
    ] {
        assert_eq!(is_private(&url.parse().unwrap()), is, "{url}");
    }
}
