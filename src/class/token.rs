//! The Management API token of a class, read from its Secret whenever that has changed, and its expiry, from the
//! Secret's annotation.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::Api;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};
use secrecy::SecretString;

use crate::api::condition::Reason;
use crate::api::{OrchestraClass, ProviderAccount, SecretKeyReference, SupabaseProvider, TOKEN_EXPIRES_ANNOTATION};
use crate::class::Context;
use crate::controller::error::Error;
use crate::supabase::{Account, RequestsLeft};
use crate::text::QUOTES;

/// How long before a token's expiry the class warns of it: two weeks to create a new one.
pub const WARNING: SignedDuration = SignedDuration::from_hours(14 * 24);

/// Tokens that were read from Secrets, and the accounts that the provider has accepted.
#[derive(Default)]
pub struct Tokens {
    /// Values by the Secret's name and key, with the version that was read.
    read: Mutex<HashMap<SecretKeyReference, TokenRead>>,
    /// The accepted account by class.
    accepted: Mutex<HashMap<String, Accepted>>,
}

/// A token as it was read.
#[derive(Clone)]
struct TokenRead {
    /// `resourceVersion` of the Secret.
    version: Option<String>,
    token: SecretString,
    /// When the values of the Secret were last changed.
    changed: Option<Timestamp>,
}

struct Accepted {
    generation: Option<i64>,
    account: Arc<Account>,
    facts: ProviderAccount,
}

impl Tokens {
    /// The facts that the provider gave when it accepted this account for this generation of the class, as long as it
    /// has not rejected the token since.
    pub(super) fn accepted(&self, class: &OrchestraClass, account: &Arc<Account>) -> Option<ProviderAccount> {
        if account.client().token_state().is_rejected() {
            return None;
        }
        let accepted = self.accepted.lock();
        let accepted = accepted.get(&class.name_any()).filter(|accepted| {
            accepted.generation == class.metadata.generation && Arc::ptr_eq(&accepted.account, account)
        })?;
        Some(accepted.facts.clone())
    }

    pub(super) fn accept(&self, class: &OrchestraClass, account: &Arc<Account>, facts: ProviderAccount) {
        let accepted = Accepted {
            generation: class.metadata.generation,
            account: account.clone(),
            facts,
        };
        self.accepted.lock().insert(class.name_any(), accepted);
    }

    /// When the Secret with the token of a class was last given other values; none when it was not read, or the token
    /// is in no Secret.
    pub(super) fn changed_at(&self, class: &OrchestraClass) -> Option<Timestamp> {
        let provider = class.spec.provider.as_ref()?;
        let reference = provider.supabase.token_secret_ref.as_ref()?;
        self.read.lock().get(reference)?.changed
    }

    /// What is left of the request limits of a class's accepted token.
    pub(super) fn requests_left(&self, class: &OrchestraClass) -> Vec<RequestsLeft> {
        let accepted = self.accepted.lock();
        let account = accepted.get(&class.name_any()).map(|accepted| accepted.account.clone());
        drop(accepted);
        account.map_or_else(Vec::new, |account| account.client().rate_limiter().requests_left())
    }

    /// Forgets a class, and its token, which is read again where another class has the same one.
    pub(super) fn forget(&self, class: &OrchestraClass) {
        self.accepted.lock().remove(&class.name_any());
        let provider = class.spec.provider.as_ref();
        if let Some(reference) = provider.and_then(|provider| provider.supabase.token_secret_ref.as_ref()) {
            self.read.lock().remove(reference);
        }
    }
}

/// The token of a class, as its Secret holds it now.
pub(super) async fn token(ctx: &Context, provider: &SupabaseProvider) -> Result<SecretString, Error> {
    if let Some(reference) = &provider.token_secret_ref {
        return secret_token(ctx, reference).await;
    }
    ctx.core.settings.token.clone().ok_or_else(|| {
        Error::blocked(
            Reason::TokenMissing,
            "the class names no tokenSecretRef and the environment variable SUPABASE_MANAGEMENT_TOKEN is not set: set one of \
             them",
        )
    })
}

fn names(class: &OrchestraClass, reference: &SecretKeyReference) -> bool {
    let provider = class.spec.provider.as_ref();
    provider.is_some_and(|provider| provider.supabase.token_secret_ref.as_ref() == Some(reference))
}

fn watched(ctx: &Context, reference: &SecretKeyReference) -> Option<Arc<PartialObjectMeta<Secret>>> {
    let secret = ObjectRef::new(&reference.name).within(&ctx.core.settings.namespace);
    ctx.core.stores.secrets.get(&secret)
}

/// The token is read again when the Secret's `resourceVersion` has changed.
async fn secret_token(ctx: &Context, reference: &SecretKeyReference) -> Result<SecretString, Error> {
    let namespace = &ctx.core.settings.namespace;
    let SecretKeyReference { name, key } = reference;
    let missing = |what: String| {
        let message = format!("{what}: put the Management API token into key {key} of Secret {name}");
        Error::blocked(Reason::TokenMissing, message)
    };
    let not_found = || {
        missing(format!(
            "cannot read Secret {name} in namespace {namespace}: it does not exist"
        ))
    };
    let Some(seen) = watched(ctx, reference) else {
        return Err(not_found());
    };
    let version = seen.meta().resource_version.clone();
    let cached = ctx.tokens.read.lock().get(reference).cloned();
    if let Some(known) = cached.filter(|known| known.version == version) {
        tracing::trace!(version = ?known.version, "the token has been read already");
        return Ok(known.token);
    }
    let api: Api<Secret> = Api::namespaced(ctx.core.client.clone(), namespace);
    let secret = api.get_opt(name).await?.ok_or_else(not_found)?;
    let value = secret.data.as_ref().and_then(|data| data.get(key));
    let text = text_of(value.map_or(&[][..], |value| value.0.as_slice()));
    let token = text.map_err(|unusable| match unusable {
        Unusable::Empty => missing(format!(
            "Secret {name} in namespace {namespace} has no key {key}, or it is empty"
        )),
        Unusable::Written(how) => Error::blocked(
            Reason::TokenMissing,
            format!("key {key} of Secret {name} in namespace {namespace} holds no token that can be sent: {how}"),
        ),
    })?;
    let token = SecretString::from(token);
    let entry = TokenRead {
        changed: changed(&secret.metadata),
        version: secret.metadata.resource_version,
        token: token.clone(),
    };
    let mut read = ctx.tokens.read.lock();
    // Those of a class that names another Secret now are not kept.
    read.retain(|known, _| ctx.core.stores.classes.find(|class| names(class, known)).is_some());
    read.insert(reference.clone(), entry);
    Ok(token)
}

/// Why a value holds no token.
#[derive(Debug, PartialEq, Eq)]
enum Unusable {
    /// There is none.
    Empty,
    /// It was written in another way; the text says how to correct that, and contains nothing of it.
    Written(&'static str),
}

/// The token in a value, without white space around it. An editor or a shell may have written UTF-16, which is a NUL beside
/// every letter, or a byte order mark; `--from-env-file` of kubectl keeps quotation marks.
fn text_of(value: &[u8]) -> Result<&str, Unusable> {
    let utf8 = Unusable::Written("the text is not plain UTF-8: save it as UTF-8 without a byte order mark");
    let Ok(text) = std::str::from_utf8(value) else {
        return Err(utf8);
    };
    let text = text.trim();
    if text.is_empty() {
        return Err(Unusable::Empty);
    }
    if text.contains(['\0', '\u{feff}']) {
        return Err(utf8);
    }
    if text.starts_with(QUOTES) {
        return Err(Unusable::Written(
            "the text begins with a quotation mark: write it without quotes",
        ));
    }
    Ok(text)
}

/// When the values of a Secret were last changed: the last time at which one of those who set them changed what it
/// sets. Where the API server does not tell, when the Secret was created.
fn changed(meta: &ObjectMeta) -> Option<Timestamp> {
    let managed = meta.managed_fields.iter().flatten();
    let set_values = managed.filter(|entry| {
        entry
            .fields_v1
            .as_ref()
            .is_some_and(|fields| fields.0.get("f:data").is_some())
    });
    let last = set_values
        .filter_map(|entry| entry.time.as_ref())
        .map(|time| time.0)
        .max();
    last.or_else(|| Some(meta.creation_timestamp.as_ref()?.0))
}

/// When a token expires, by the annotation of its Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenExpiry {
    /// There is no annotation.
    Unknown,
    /// At this time.
    At(Timestamp),
    /// The annotation is no date; the text says what to do.
    Unreadable(String),
}

/// When the token of a class expires.
pub(super) fn expiry(ctx: &Context, class: &OrchestraClass) -> TokenExpiry {
    let provider = class.spec.provider.as_ref();
    let Some(reference) = provider.and_then(|provider| provider.supabase.token_secret_ref.as_ref()) else {
        return TokenExpiry::Unknown;
    };
    let Some(secret) = watched(ctx, reference) else {
        return TokenExpiry::Unknown;
    };
    let Some(text) = secret.annotations().get(TOKEN_EXPIRES_ANNOTATION) else {
        return TokenExpiry::Unknown;
    };
    match read_expiry(text) {
        Some(at) => TokenExpiry::At(at),
        None => TokenExpiry::Unreadable(format!(
            "the annotation {TOKEN_EXPIRES_ANNOTATION} of Secret {} is neither a date like 2026-12-31 nor a timestamp \
             like 2026-12-31T12:00:00Z, so the operator cannot warn before the token expires: use one of these forms",
            reference.name
        )),
    }
}

/// A date, or a timestamp of RFC 3339. A date means the beginning of that day in UTC, so the warning is rather too
/// early than too late.
fn read_expiry(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let day = |text: &str| {
        let date: Date = (text.len() == 10).then(|| text.parse().ok()).flatten()?;
        Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp())
    };
    text.parse().ok().or_else(|| day(text))
}

/// Reason and message of a token that the provider accepts.
pub fn accepted(user: Option<&str>, expiry: &TokenExpiry, now: Timestamp) -> (Reason, String) {
    let whose = user.map_or_else(String::new, |user| format!("; it belongs to user {user}"));
    let accepted = format!("the provider accepts the token{whose}");
    match expiry {
        TokenExpiry::Unknown => (Reason::TokenAccepted, accepted),
        TokenExpiry::Unreadable(words) => (Reason::TokenAccepted, format!("{accepted}; {words}")),
        TokenExpiry::At(at) if at.duration_since(now) > WARNING => (Reason::TokenAccepted, accepted),
        TokenExpiry::At(at) => {
            let verb = if *at > now { "expires" } else { "should have expired" };
            let todo = "put a new one into its Secret, and correct the annotation";
            (
                Reason::TokenExpiring,
                format!("{accepted}, but it {verb} at {at} (annotation {TOKEN_EXPIRES_ANNOTATION}): {todo}"),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_value_that_is_no_plain_text_is_told_as_what_it_is() {
        let token = "sbp_0123456789abcdef";
        let utf16 = |units: &[u8], bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
            units
                .iter()
                .copied()
                .chain(token.encode_utf16().flat_map(bytes))
                .collect()
        };
        for value in [token.to_owned(), format!(" {token}\r\n")] {
            assert_eq!(text_of(value.as_bytes()), Ok(token));
        }
        for value in ["", " \r\n"] {
            assert_eq!(text_of(value.as_bytes()), Err(Unusable::Empty));
        }
        for (value, says) in [
            (utf16(&[0xff, 0xfe], u16::to_le_bytes), "without a byte order mark"),
            (utf16(&[0xfe, 0xff], u16::to_be_bytes), "without a byte order mark"),
            (utf16(&[], u16::to_le_bytes), "without a byte order mark"),
            (format!("\u{feff}{token}").into_bytes(), "without a byte order mark"),
            (vec![b's', b'b', b'p', 0xe5], "without a byte order mark"),
            (format!("\"{token}\"\n").into_bytes(), "without quotes"),
            (format!("’{token}’").into_bytes(), "without quotes"),
        ] {
            let told = text_of(&value).unwrap_err();
            let Unusable::Written(how) = told else {
                panic!("{says}: {told:?}");
            };
            assert!(how.contains(says) && !how.contains("sbp_"), "{how}");
        }
    }

    #[test]
    fn an_expiry_is_a_date_or_a_timestamp() {
        for (text, read) in [
            ("2026-12-31", Some("2026-12-31T00:00:00Z")),
            (" 2026-12-31\n", Some("2026-12-31T00:00:00Z")),
            ("2026-12-31T12:00:00Z", Some("2026-12-31T12:00:00Z")),
            ("2026-12-31T12:00:00+02:00", Some("2026-12-31T10:00:00Z")),
            ("2026-02-30", None),
            ("31.12.2026", None),
            ("12/31/2026", None),
            ("next year", None),
            ("1798675200", None),
            ("", None),
        ] {
            assert_eq!(read_expiry(text), read.map(at), "{text:?}");
        }
    }

    #[test]
    fn a_token_is_as_old_as_the_values_of_its_secret() {
        let meta = |managed| {
            let value = serde_json::json!({"creationTimestamp": "2026-01-01T00:00:00Z", "managedFields": managed});
            serde_json::from_value::<ObjectMeta>(value).unwrap()
        };
        let entry = |time: &str, fields: serde_json::Value| serde_json::json!({"manager": time, "time": time, "fieldsV1": fields, "fieldsType": "FieldsV1"});
        let values = || serde_json::json!({"f:data": {"f:token": {}}});
        let managed = serde_json::json!([
            entry("2026-02-01T00:00:00Z", values()),
            entry("2026-03-01T00:00:00Z", values()),
            entry(
                "2026-04-01T00:00:00Z",
                serde_json::json!({"f:metadata": {"f:annotations": {}}})
            ),
        ]);
        assert_eq!(changed(&meta(managed)), Some(at("2026-03-01T00:00:00Z")));
        assert_eq!(changed(&meta(serde_json::json!([]))), Some(at("2026-01-01T00:00:00Z")));
        assert_eq!(changed(&ObjectMeta::default()), None);
    }

    #[test]
    fn two_weeks_before_its_end_a_token_is_warned_of() {
        let now = at("2026-12-01T00:00:00Z");
        for (expires, reason, says) in [
            ("2027-12-01T00:00:00Z", Reason::TokenAccepted, "belongs to user u-1"),
            ("2026-12-15T00:00:01Z", Reason::TokenAccepted, "accepts the token"),
            (
                "2026-12-15T00:00:00Z",
                Reason::TokenExpiring,
                "it expires at 2026-12-15T00:00:00Z",
            ),
            (
                "2026-11-30T00:00:00Z",
                Reason::TokenExpiring,
                "it should have expired at",
            ),
        ] {
            let (is, message) = accepted(Some("u-1"), &TokenExpiry::At(at(expires)), now);
            assert!(is == reason && message.contains(says), "{expires}: {is} {message}");
        }
        let (reason, message) = accepted(None, &TokenExpiry::Unreadable("write a date".into()), now);
        assert_eq!(reason, Reason::TokenAccepted);
        assert!(message.ends_with("write a date"), "{message}");
    }
}
