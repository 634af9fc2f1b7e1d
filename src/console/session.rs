//! The cookie that keeps a visitor's token, encrypted. The console stores nothing, so replicas that share the key are alike.

use anyhow::{Context as _, bail};
use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// How long a session lasts, in seconds. A token that ends earlier ends it earlier.
const SESSION: i64 = 12 * 3600;

/// Browsers keep at most 4096 bytes of a cookie, with its name and attributes.
const PART: usize = 3800;
const PARTS: usize = 5;

/// With this prefix, browsers keep the cookie only when it is `Secure` and of this very host.
const PREFIX: &str = "__Host-orchestra-";

/// What is sealed is opened for the same purpose only.
const PURPOSE: &[u8] = b"orchestra-console session 1";
const PENDING_PURPOSE: &[u8] = b"orchestra-console sign-in 1";

/// How long a sign-in at an issuer may take, in seconds.
const PENDING: i64 = 600;

/// The cookie of a sign-in that was begun.
const PENDING_COOKIE: &str = "__Host-orchestra-sign-in";

/// The fewest bytes of a key.
const KEY: usize = 32;

/// The key of the cookie.
pub struct SessionKey(RandomizedNonceKey);

#[derive(Serialize, Deserialize)]
struct Session {
    token: String,
    until: i64,
}

#[derive(Serialize, Deserialize)]
struct Begun<T> {
    what: T,
    until: i64,
}

/// The sealed content of the cookie of a sign-in that was begun.
#[derive(Clone, Copy)]
pub struct PendingCookie<'a>(&'a str);

impl<'a> PendingCookie<'a> {
    /// That of a request.
    pub fn of(headers: &'a HeaderMap) -> Option<Self> {
        let mut pairs = pairs(headers);
        pairs.find_map(|(name, value)| (name == PENDING_COOKIE).then_some(Self(value)))
    }

    /// The cookie that ends it.
    pub fn ended() -> HeaderValue {
        HeaderValue::from_static("__Host-orchestra-sign-in=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Lax")
    }
}

/// Names and values of the cookies of a request.
fn pairs(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let lines = headers.get_all(COOKIE).into_iter();
    let lines = lines.filter_map(|value| value.to_str().ok());
    lines
        .flat_map(|line| line.split("; "))
        .filter_map(|pair| pair.split_once('='))
}

impl SessionKey {
    /// The key that is made from the content of a file: at least 32 random bytes.
    ///
    /// # Errors
    /// When there are fewer.
    pub fn of(material: &[u8]) -> anyhow::Result<Self> {
        if material.len() < KEY {
            bail!(
                "the key of the cookie has {} bytes, and needs {KEY}: head -c 32 /dev/urandom",
                material.len()
            );
        }
        let digest = Sha256::new().chain_update(PURPOSE).chain_update(material).finalize();
        let key = RandomizedNonceKey::new(&AES_256_GCM, &digest).ok();
        Ok(Self(key.context("the key of the cookie cannot be used")?))
    }

    /// A key that nobody else has: every session ends with the process.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn random() -> anyhow::Result<Self> {
        Self::of(&rand::random::<[u8; KEY]>())
    }

    /// The token of the visitor whose cookies these are.
    pub fn token(&self, headers: &HeaderMap, now: Timestamp) -> Option<SecretString> {
        let mut parts = [None; PARTS];
        for (name, value) in pairs(headers) {
            let index = name.strip_prefix(PREFIX).and_then(|index| index.parse::<usize>().ok());
            if let Some(part) = index.and_then(|index| parts.get_mut(index)) {
                *part = Some(value);
            }
        }
        let whole: String = parts.iter().map_while(|part| *part).collect();
        let session: Session = self.open(PURPOSE, &whole)?;
        (session.until > now.as_second()).then(|| session.token.into())
    }

    /// The cookies of a session; none when the token is too long for them.
    pub fn cookies(&self, token: &SecretString, now: Timestamp) -> Option<Vec<HeaderValue>> {
        let session = Session {
            token: token.expose_secret().into(),
            until: now.as_second() + SESSION,
        };
        let sealed = self.seal(PURPOSE, &session)?;
        let parts: Vec<_> = sealed.as_bytes().chunks(PART).collect();
        if parts.len() > PARTS {
            return None;
        }
        let part = |index: usize| match parts.get(index) {
            Some(part) => cookie(index, std::str::from_utf8(part).unwrap_or_default(), SESSION),
            // What an earlier, longer token left.
            None => cookie(index, "", 0),
        };
        Some((0..PARTS).filter_map(part).collect())
    }

    /// The cookie of a sign-in that begins now, which another site's answer may bring back; none when it is too long.
    pub fn pending<T: Serialize>(&self, what: &T, now: Timestamp) -> Option<HeaderValue> {
        let until = now.as_second() + PENDING;
        let sealed = self.seal(PENDING_PURPOSE, &Begun { what, until })?;
        let line = format!("{PENDING_COOKIE}={sealed}; Path=/; Max-Age={PENDING}; HttpOnly; Secure; SameSite=Lax");
        (sealed.len() <= PART).then(|| HeaderValue::try_from(line).ok())?
    }

    /// What such a cookie holds, within its time.
    pub fn begun<T: DeserializeOwned>(&self, cookie: PendingCookie, now: Timestamp) -> Option<T> {
        let begun: Begun<T> = self.open(PENDING_PURPOSE, cookie.0)?;
        (begun.until > now.as_second()).then_some(begun.what)
    }

    fn seal(&self, purpose: &[u8], what: &impl Serialize) -> Option<String> {
        let mut text = serde_json::to_vec(what).ok()?;
        let nonce = self.0.seal_in_place_append_tag(Aad::from(purpose), &mut text).ok()?;
        Some(BASE64.encode([nonce.as_ref().as_slice(), &text].concat()))
    }

    fn open<T: DeserializeOwned>(&self, purpose: &[u8], sealed: &str) -> Option<T> {
        let mut sealed = BASE64.decode(sealed).ok()?;
        let (nonce, text) = sealed.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let opened = self.0.open_in_place(nonce, Aad::from(purpose), text).ok()?;
        serde_json::from_slice(opened).ok()
    }
}

/// The cookies that end a session.
pub fn ended() -> Vec<HeaderValue> {
    (0..PARTS).filter_map(|index| cookie(index, "", 0)).collect()
}

fn cookie(index: usize, value: &str, age: i64) -> Option<HeaderValue> {
    let line = format!("{PREFIX}{index}={value}; Path=/; Max-Age={age}; HttpOnly; Secure; SameSite=Strict");
    HeaderValue::try_from(line).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn key(byte: u8) -> SessionKey {
        SessionKey::of(&[byte; KEY]).unwrap()
    }

    /// The cookies as a browser sends them back.
    fn sent(cookies: &[HeaderValue]) -> HeaderMap {
        let pairs: Vec<_> = cookies
            .iter()
            .map(|cookie| cookie.to_str().unwrap().split(';').next().unwrap())
            .filter(|pair| !pair.ends_with('='))
            .collect();
        HeaderMap::from_iter([(COOKIE, pairs.join("; ").parse().unwrap())])
    }

    #[test]
    fn a_token_comes_back_in_its_time_and_only_with_its_key() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        for length in [1, 900, 5_000, 12_000] {
            let token: SecretString = "t".repeat(length).into();
            let cookies = key(1).cookies(&token, now).unwrap();
            assert_eq!(cookies.len(), PARTS);
            for cookie in &cookies {
                let cookie = cookie.to_str().unwrap();
                assert!(cookie.len() < 4096 && !cookie.contains("tttt"), "{cookie}");
                assert!(cookie.ends_with("HttpOnly; Secure; SameSite=Strict"), "{cookie}");
            }
            let headers = sent(&cookies);
            let opened = key(1).token(&headers, now).unwrap();
            assert_eq!(opened.expose_secret(), token.expose_secret());
            assert!(key(2).token(&headers, now).is_none());
            let later = Timestamp::from_second(1_000_000 + SESSION).unwrap();
            assert!(key(1).token(&headers, later).is_none());
        }
        assert!(key(1).cookies(&"t".repeat(20_000).into(), now).is_none());
    }

    #[test]
    fn a_sign_in_that_was_begun_comes_back_in_its_time_and_is_no_session() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let cookie = key(1).pending(&"what was begun", now).unwrap();
        let text = cookie.to_str().unwrap();
        assert!(text.ends_with("HttpOnly; Secure; SameSite=Lax"), "{text}");
        let headers = sent(std::slice::from_ref(&cookie));
        let begun = |key: &SessionKey, now: i64| {
            let cookie = PendingCookie::of(&headers).unwrap();
            key.begun::<String>(cookie, Timestamp::from_second(now).unwrap())
        };
        assert_eq!(begun(&key(1), 1_000_000).as_deref(), Some("what was begun"));
        assert_eq!(begun(&key(2), 1_000_000), None);
        assert_eq!(begun(&key(1), 1_000_000 + PENDING), None);
        assert!(key(1).token(&headers, now).is_none());
        // The one does not open as the other.
        let session = key(1).cookies(&"t".into(), now).unwrap();
        let session = session[0]
            .to_str()
            .unwrap()
            .replacen("__Host-orchestra-0", PENDING_COOKIE, 1);
        let headers = sent(&[session.parse().unwrap()]);
        assert!(
            key(1)
                .begun::<serde_json::Value>(PendingCookie::of(&headers).unwrap(), now)
                .is_none()
        );
        assert!(key(1).pending(&"a".repeat(4_000), now).is_none());
        assert!(PendingCookie::of(&sent(&[PendingCookie::ended()])).is_none());
    }

    #[test]
    fn a_changed_or_missing_part_is_no_session() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let cookies = key(1).cookies(&"t".repeat(5_000).into(), now).unwrap();
        let line = sent(&cookies)[COOKIE].to_str().unwrap().to_owned();
        let without = line.split("; ").next().unwrap().to_owned();
        let other = |line: &str| HeaderMap::from_iter([(COOKIE, line.parse().unwrap())]);
        let changed = line.replacen("-0=A", "-0=B", 1).replacen("-0=", "-0=A", 1);
        for line in [
            without.as_str(),
            &changed,
            "",
            "__Host-orchestra-0=",
            "__Host-orchestra-0=!",
        ] {
            assert!(key(1).token(&other(line), now).is_none(), "{line}");
        }
        assert!(SessionKey::of(&[1; KEY - 1]).is_err());
        assert!(key(1).token(&sent(&ended()), now).is_none());
    }
}
