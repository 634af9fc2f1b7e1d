//! The API keys of a project, and the choice of those that a tenant gets.

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer};

use super::error::Error;
use super::operation::Operation;
use super::types::KeyType;

/// The character that replaces those of a masked key.
const MASK: char = '\u{b7}';

/// An API key. Two keys may have the same name, but not the same name and type.
#[derive(Clone, Debug, Deserialize)]
pub struct ApiKey {
    /// Its name, such as `default` or `anon`.
    pub name: String,
    /// Its type; absent in old answers, which hold legacy keys only.
    #[serde(rename = "type")]
    pub kind: Option<KeyType>,
    /// The key itself.
    #[serde(default, deserialize_with = "secret")]
    pub api_key: Option<SecretString>,
    /// What a secret key may do.
    pub secret_jwt_template: Option<JwtTemplate>,
}

/// What a secret key may do.
#[derive(Clone, Debug, Deserialize)]
pub struct JwtTemplate {
    /// The database role behind the key.
    pub role: Option<String>,
}

/// The keys that a tenant's Secret holds.
#[derive(Clone, Debug)]
pub struct ChosenKeys {
    /// For browsers: publishable, or the legacy `anon`.
    pub anon: SecretString,
    /// For servers: a secret key of `service_role`, or the legacy `service_role`.
    pub service_role: SecretString,
}

/// Chooses a publishable key and a secret key of `service_role`, of each kind `default` before others, and a legacy
/// key if there is none of a kind.
///
/// # Errors
/// [`Error::NotReady`] while a key is missing, as for some time after the creation;
/// [`Error::KeyMasked`] when the API masked a key.
pub fn choose(keys: &[ApiKey]) -> Result<ChosenKeys, Error> {
    let of = |kind: KeyType| keys.iter().filter(move |key| key.kind.as_ref() == Some(&kind));
    let legacy = |name: &'static str| {
        let is_legacy = |key: &&ApiKey| matches!(key.kind, None | Some(KeyType::Legacy));
        keys.iter().filter(is_legacy).find(move |key| key.name == name)
    };
    let default = |key: &&ApiKey| key.name == "default";
    let serves = |key: &&ApiKey| {
        let role = key
            .secret_jwt_template
            .as_ref()
            .and_then(|template| template.role.as_deref());
        role == Some("service_role")
    };
    let anon = of(KeyType::Publishable)
        .find(default)
        .or_else(|| of(KeyType::Publishable).next())
        .or_else(|| legacy("anon"));
    let service_role = of(KeyType::Secret)
        .filter(serves)
        .find(default)
        .or_else(|| of(KeyType::Secret).find(serves))
        .or_else(|| legacy("service_role"));
    Ok(ChosenKeys {
        anon: value(anon, "publishable or anon")?,
        service_role: value(service_role, "secret or service_role")?,
    })
}

fn value(key: Option<&ApiKey>, wanted: &str) -> Result<SecretString, Error> {
    let missing = || Error::NotReady {
        operation: Operation::GetApiKeys,
        message: format!("there is no {wanted} key yet"),
    };
    let key = key.ok_or_else(missing)?;
    let value = key.api_key.as_ref().ok_or_else(missing)?;
    if value.expose_secret().is_empty() {
        return Err(missing());
    }
    if value.expose_secret().contains(MASK) {
        return Err(Error::KeyMasked {
            name: super::answer::capped(&key.name),
        });
    }
    Ok(value.clone())
}

fn secret<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SecretString>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.map(SecretString::from))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, from_value, json};

    use super::*;

    fn chosen(value: Value) -> Result<(String, String), Error> {
        let keys: Vec<ApiKey> = from_value(value).unwrap();
        let chosen = choose(&keys)?;
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
        assert_eq!(chosen(all).unwrap(), pair("sb_publishable_1", "sb_secret_1"));
        assert_eq!(chosen(json!(legacy())).unwrap(), pair("jwt-anon", "jwt-service"));
        let weaker = json!([anon, service, odd, new("reader")]);
        assert_eq!(chosen(weaker).unwrap(), pair("sb_publishable_web", "jwt-service"));
        let old = json!([{"name": "anon", "api_key": "a"}, {"name": "service_role", "api_key": "b"}]);
        assert_eq!(chosen(old).unwrap(), pair("a", "b"));
    }

    #[test]
    fn a_partial_list_is_waited_for_and_a_masked_key_is_refused() {
        let [anon, service] = legacy();
        for partial in [
            json!([]),
            json!([anon]),
            json!([service]),
            json!([anon, {"name": "service_role", "type": "legacy", "api_key": null}]),
        ] {
            assert!(matches!(chosen(partial), Err(Error::NotReady { .. })));
        }
        let masked = json!([anon, {"name": "default", "type": "secret",
            "api_key": "sb_secret_ab\u{b7}\u{b7}\u{b7}", "secret_jwt_template": {"role": "service_role"}}]);
        let error = chosen(masked).unwrap_err();
        assert_eq!(error, Error::KeyMasked { name: "default".into() });
        assert!(!error.to_string().contains("sb_secret"));
    }

    #[test]
    fn debug_does_not_show_a_key() {
        let keys: Vec<ApiKey> = from_value(json!(legacy())).unwrap();
        let text = format!("{keys:?} {:?}", choose(&keys).unwrap());
        assert!(!text.contains("jwt-"), "{text}");
    }
}
