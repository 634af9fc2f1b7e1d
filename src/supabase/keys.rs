//! The API keys of a project, and the choice of those that a tenant gets.

use secrecy::{ExposeSecret, SecretString};

use super::error::Error;
use super::fields::{AnswerFields, Item};
use super::operation::Operation;
use super::types::KeyType;

/// The role of a secret key that may do everything, and of one that names no role.
pub(super) const SERVICE_ROLE: &str = "service_role";

/// An API key. Two keys may have the same name, but not the same name and type.
#[derive(Clone, Debug)]
pub struct ApiKey {
    /// Its identity, which a legacy key has from its name; absent in old answers.
    pub id: Option<String>,
    /// Its name, such as `default` or `anon`.
    pub name: String,
    /// Its type; absent in old answers, which hold legacy keys only.
    pub kind: Option<KeyType>,
    /// The key itself.
    pub api_key: Option<SecretString>,
    /// The database role behind a secret key, where it names one.
    pub role: Option<String>,
}

impl Item for ApiKey {
    fn read(fields: &mut AnswerFields<'_>) -> Option<Self> {
        let mut template = fields.optional_object("secret_jwt_template");
        Some(Self {
            id: fields.optional_text("id"),
            name: fields.text("name")?,
            kind: fields.optional_name("type"),
            api_key: fields.optional_text("api_key").map(SecretString::from),
            role: template.as_mut().and_then(|template| template.optional_text("role")),
        })
    }
}

impl ApiKey {
    fn value(&self) -> &str {
        self.api_key
            .as_ref()
            .map(ExposeSecret::expose_secret)
            .unwrap_or_default()
    }

    /// By its type or, where that is missing or new, by the form of the key.
    pub fn is(&self, kind: &KeyType) -> bool {
        match &self.kind {
            None | Some(KeyType::Other(_)) if self.value().starts_with("sb_secret_") => *kind == KeyType::Secret,
            None | Some(KeyType::Other(_)) if self.value().starts_with("sb_publishable_") => {
                *kind == KeyType::Publishable
            }
            None => *kind == KeyType::Legacy,
            Some(named) => named == kind,
        }
    }

    /// Whether the API has replaced a part of the key, as it does with dots where it does not reveal it. A key itself
    /// has letters, digits and `-_` only, and a legacy key, which is a JWT, single dots.
    fn is_masked(&self) -> bool {
        let value = self.value();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let dots = value.contains("..") || (value.starts_with("sb_") && value.contains('.'));
        dots || !value.bytes().all(plain)
    }

    /// The whole key.
    ///
    /// # Errors
    /// [`Error::KeyMasked`] when the API masked it, or did not give it.
    pub fn revealed(&self) -> Result<SecretString, Error> {
        if self.value().is_empty() || self.is_masked() {
            return Err(Error::KeyMasked {
                name: super::said::capped(&self.name),
            });
        }
        Ok(self.value().into())
    }
}

/// `LegacyApiKeysResponse`.
pub(super) struct LegacyKeys {
    /// Whether the legacy keys are enabled.
    pub enabled: bool,
}

impl Item for LegacyKeys {
    fn read(fields: &mut AnswerFields<'_>) -> Option<Self> {
        let enabled = fields.flag("enabled")?;
        Some(Self { enabled })
    }
}

/// The keys that a tenant's Secret holds.
#[derive(Clone, Debug)]
pub struct ChosenKeys {
    /// For browsers: publishable, or the legacy `anon`.
    pub anon: SecretString,
    /// For servers: a secret key of `service_role`, or the legacy `service_role`.
    pub service_role: SecretString,
    /// Whether one of them is a legacy key, which works only while the project's legacy keys are enabled.
    pub legacy: bool,
    /// The identities of the two, where the API reports them.
    pub ids: Vec<String>,
}

/// Chooses a publishable key and a secret key of `service_role`, and a legacy key for a kind without one, if the project's
/// legacy keys are enabled. Of each kind one whose identity is `preferred` goes first, then `default`.
///
/// # Errors
/// [`Error::NotReady`] while there are no keys, or one has no value, as for some time after the creation;
/// [`Error::KeyMissing`] when there are others and [none of a kind](lacks); [`Error::KeysDisabled`] when only disabled ones
/// are left; [`Error::KeyMasked`] when the API masked a key.
pub fn choose(keys: &[ApiKey], legacy_enabled: bool, preferred: &[String]) -> Result<ChosenKeys, Error> {
    let rules = (legacy_enabled, preferred);
    let (anon, old_anon) = one_of(keys, &KeyType::Publishable, rules)?;
    let (service_role, old_service) = one_of(keys, &KeyType::Secret, rules)?;
    Ok(ChosenKeys {
        legacy: old_anon || old_service,
        ids: [anon, service_role]
            .into_iter()
            .filter_map(|key| key.id.clone())
            .collect(),
        anon: anon.revealed()?,
        service_role: service_role.revealed()?,
    })
}

/// Whether a key serves a tenant as one of this kind: a secret key of another role than `service_role` does not.
pub fn serves(key: &ApiKey, kind: &KeyType) -> bool {
    is_for_tenants(key, kind) && !key.value().is_empty()
}

fn is_for_tenants(key: &ApiKey, kind: &KeyType) -> bool {
    let role = key.role.as_deref();
    key.is(kind) && (*kind != KeyType::Secret || role.is_none_or(|role| role == SERVICE_ROLE))
}

/// The name of the legacy key that serves as one of this kind.
fn legacy_name(kind: &KeyType) -> &'static str {
    match kind {
        KeyType::Secret => SERVICE_ROLE,
        _ => "anon",
    }
}

/// Whether a project that has keys has none of this kind: neither one that serves, nor a legacy one, enabled or not. A key
/// whose value the API does not give counts as one, if it may be of the kind.
pub fn lacks(keys: &[ApiKey], kind: &KeyType) -> bool {
    let known = [KeyType::Legacy, KeyType::Publishable, KeyType::Secret];
    let may_be = |key: &ApiKey| {
        let unknown = key.kind.as_ref().is_none_or(|named| !known.contains(named));
        let legacy = key.is(&KeyType::Legacy) && key.name == legacy_name(kind);
        legacy || is_for_tenants(key, kind) || (unknown && key.value().is_empty())
    };
    !keys.is_empty() && !keys.iter().any(may_be)
}

/// The best key of a kind, or else the legacy one; and whether it is a legacy key.
fn one_of<'a>(
    keys: &'a [ApiKey],
    kind: &KeyType,
    (legacy_enabled, preferred): (bool, &[String]),
) -> Result<(&'a ApiKey, bool), Error> {
    let legacy = legacy_name(kind);
    let usable = |key: &&ApiKey| !key.value().is_empty();
    let new = keys.iter().filter(|key| serves(key, kind));
    let is_preferred = |key: &ApiKey| key.id.as_ref().is_some_and(|id| preferred.contains(id));
    // The first of several equal ones.
    let new = new.rev().max_by_key(|key| {
        let named = key.name == "default";
        (!key.is_masked(), is_preferred(key), named, key.role.is_some())
    });
    let is_old = |key: &&ApiKey| key.is(&KeyType::Legacy) && key.name == legacy;
    let old = keys.iter().filter(usable).find(is_old);
    let (key, is_legacy) = match (new, old) {
        (Some(new), _) => (new, false),
        (None, Some(old)) if legacy_enabled => (old, true),
        (None, Some(_)) => return Err(Error::KeysDisabled { kind: kind.to_string() }),
        (None, None) if lacks(keys, kind) => return Err(Error::KeyMissing { kind: kind.to_string() }),
        (None, None) => {
            return Err(Error::NotReady {
                operation: Operation::GetApiKeys,
                message: format!("there is no {kind} or {legacy} key yet"),
            });
        }
    };
    key.revealed()?;
    Ok((key, is_legacy))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::super::fields::items;
    use super::*;

    fn keys(value: &Value) -> Vec<ApiKey> {
        items(value.as_array().unwrap()).items
    }

    fn chosen(value: &Value) -> Result<(String, String), Error> {
        chosen_where(true, value)
    }

    fn chosen_where(legacy_enabled: bool, value: &Value) -> Result<(String, String), Error> {
        let chosen = choose(&keys(value), legacy_enabled, &[])?;
        let text = |secret: SecretString| secret.expose_secret().to_owned();
        Ok((text(chosen.anon), text(chosen.service_role)))
    }

    fn legacy() -> [Value; 2] {
        [
            json!({"name": "anon", "id": "anon", "type": "legacy", "api_key": "jwt-anon"}),
            json!({"name": "service_role", "type": "legacy", "api_key": "jwt-service",
                   "inserted_at": null, "secret_jwt_template": null}),
        ]
    }

    #[test]
    fn new_keys_are_preferred_and_legacy_ones_will_do() {
        let [anon, service] = legacy();
        let new = |role: &str| {
            json!({"name": "default", "type": "secret", "api_key": "sb_secret_1",
                   "secret_jwt_template": {"role": role}})
        };
        let odd = json!({"name": "web", "type": "publishable", "api_key": "sb_publishable_web"});
        let default = json!({"name": "default", "type": "publishable", "api_key": "sb_publishable_1"});
        let all = json!([anon, service, odd, default, new("service_role")]);
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(chosen(&all).unwrap(), pair("sb_publishable_1", "sb_secret_1"));
        assert_eq!(chosen(&json!(legacy())).unwrap(), pair("jwt-anon", "jwt-service"));
        let weaker = json!([anon, service, odd, new("reader")]);
        assert_eq!(chosen(&weaker).unwrap(), pair("sb_publishable_web", "jwt-service"));
        let old = json!([{"name": "anon", "api_key": "a"}, {"name": "service_role", "api_key": "b"}]);
        assert_eq!(chosen(&old).unwrap(), pair("a", "b"));
    }

    #[test]
    fn a_partial_list_is_waited_for_and_a_masked_key_is_refused() {
        let [anon, _] = legacy();
        for partial in [
            json!([]),
            json!([anon, {"name": "service_role", "type": "legacy", "api_key": null}]),
            json!([anon, {"name": "default", "type": "secret", "api_key": null}]),
            json!([anon, {"name": "default", "type": "of another age", "api_key": null}]),
        ] {
            assert!(matches!(chosen(&partial), Err(Error::NotReady { .. })), "{partial}");
        }
        for masked in [
            "sb_secret_ab\u{b7}\u{b7}\u{b7}",
            "sb_secret_ab...",
            "sb_secret_ab.",
            "sb_secret_ab***",
            "eyJhb...",
        ] {
            let masked = json!([anon, {"name": "default", "type": "secret", "api_key": masked,
                "secret_jwt_template": {"role": "service_role"}}]);
            let error = chosen(&masked).unwrap_err();
            assert_eq!(error, Error::KeyMasked { name: "default".into() });
            assert!(!error.to_string().contains("sb_secret"));
        }
    }

    #[test]
    fn a_disabled_legacy_key_is_never_chosen() {
        let [anon, service] = legacy();
        let publishable = json!({"name": "default", "type": "publishable", "api_key": "sb_publishable_1"});
        let secret = json!({"name": "default", "type": "secret", "api_key": "sb_secret_1"});
        let new = json!([anon, service, publishable, secret]);
        assert_eq!(
            chosen_where(false, &new).unwrap(),
            ("sb_publishable_1".into(), "sb_secret_1".into())
        );
        assert!(!choose(&keys(&new), true, &[]).unwrap().legacy);
        for (list, kind) in [
            (json!([anon, service]), "publishable"),
            (json!([anon, service, publishable]), "secret"),
            (json!([anon, service, secret]), "publishable"),
        ] {
            assert!(choose(&keys(&list), true, &[]).unwrap().legacy);
            let error = chosen_where(false, &list).unwrap_err();
            assert_eq!(error, Error::KeysDisabled { kind: kind.into() });
        }
        // Without any key the project is young.
        assert!(matches!(chosen_where(false, &json!([])), Err(Error::NotReady { .. })));
    }

    #[test]
    fn a_secret_key_without_a_template_serves_and_one_of_another_role_does_not() {
        let publishable = json!({"name": "web", "type": "publishable", "api_key": "sb_publishable_1"});
        let secret = |name: &str, template: Value| json!({"name": name, "type": "secret", "api_key": format!("sb_secret_{name}"), "secret_jwt_template": template});
        for (list, service) in [
            (json!([publishable, secret("own", json!(null))]), "sb_secret_own"),
            (json!([publishable, secret("own", json!({}))]), "sb_secret_own"),
            (
                json!([
                    publishable,
                    secret("default", json!(null)),
                    secret("own", json!({"role": "service_role"}))
                ]),
                "sb_secret_default",
            ),
            (
                json!([
                    publishable,
                    secret("a", json!(null)),
                    secret("b", json!({"role": "service_role"}))
                ]),
                "sb_secret_b",
            ),
            (
                json!([
                    publishable,
                    secret("a", json!({"role": "reader"})),
                    secret("b", json!(null))
                ]),
                "sb_secret_b",
            ),
            (
                json!([publishable, secret("a", json!(null)), secret("c", json!(null))]),
                "sb_secret_a",
            ),
        ] {
            assert_eq!(chosen_where(false, &list).unwrap().1, service, "{list}");
        }
        let reader = json!([publishable, secret("a", json!({"role": "reader"}))]);
        let missing = Error::KeyMissing { kind: "secret".into() };
        assert_eq!(chosen(&reader).unwrap_err(), missing);
    }

    #[test]
    fn a_kind_without_a_key_is_named_where_there_are_others() {
        let [anon, service] = legacy();
        let publishable = json!({"name": "default", "type": "publishable", "api_key": "sb_publishable_1"});
        let unnamed = json!({"name": "default", "api_key": "sb_secret_1"});
        for (list, kind) in [
            (json!([publishable]), "secret"),
            (json!([publishable, anon]), "secret"),
            (json!([anon]), "secret"),
            (json!([service]), "publishable"),
            (json!([unnamed]), "publishable"),
        ] {
            let error = chosen(&list).unwrap_err();
            assert_eq!(error, Error::KeyMissing { kind: kind.into() }, "{list}");
            // A young project may get it later.
            assert_eq!(error.class(), crate::error::ErrorClass::Transient);
        }
        assert!(!lacks(&keys(&json!([publishable, service])), &KeyType::Secret));
        assert!(!lacks(&[], &KeyType::Secret));
    }

    #[test]
    fn a_key_that_is_not_understood_takes_no_other_with_it() {
        let list = json!([null, {"name": null, "api_key": "x"}, {"name": "anon", "type": "legacy", "api_key": 3},
            {"name": "default", "type": "server", "api_key": "sb_secret_1"},
            {"name": "default", "type": null, "api_key": "sb_publishable_1"},
            {"name": "other", "type": "secret", "api_key": "sb_secret_2***"}]);
        assert_eq!(
            chosen_where(false, &list).unwrap(),
            ("sb_publishable_1".into(), "sb_secret_1".into())
        );
    }

    #[test]
    fn a_key_that_is_preferred_goes_before_the_default_one_while_it_is_there() {
        let key = |id: &str, kind: &str, name: &str| json!({"id": id, "name": name, "type": kind, "api_key": format!("sb_{kind}_{id}")});
        let list = keys(&json!([
            key("1", "publishable", "default"),
            key("2", "secret", "default"),
            key("3", "publishable", "mine"),
            key("4", "secret", "mine"),
        ]));
        for (preferred, ids) in [
            (&["3".to_owned(), "4".to_owned()][..], ["3", "4"]),
            (&["4".to_owned(), "9".to_owned()], ["1", "4"]),
            (&[], ["1", "2"]),
        ] {
            assert_eq!(choose(&list, true, preferred).unwrap().ids, ids);
        }
    }

    #[test]
    fn debug_does_not_show_a_key() {
        let keys = keys(&json!(legacy()));
        let text = format!("{keys:?} {:?}", choose(&keys, true, &[]).unwrap());
        assert!(!text.contains("jwt-"), "{text}");
    }
}
