//! Whether the API keys of a connection Secret work, and what to do where they do not.

use std::time::Duration;

use parking_lot::Mutex;
use secrecy::{ExposeSecret as _, SecretString};

use crate::credentials::api_keys::KeyKind;
use crate::credentials::owner::{Address, OwnerSecret};
use crate::recent::Recent;
use crate::supabase::keys::{ApiKey, lacks};

/// The message of a database whose keys no longer work. The login and the data are unaffected.
const DISABLED: &str = "the project's legacy API keys are disabled, and it has no publishable or no secret key: the \
                        keys in the connection Secret no longer work. Create new ones in the provider's dashboard \
                        (project settings, API keys): the operator publishes them; the login and the data are \
                        unaffected";

/// What a read of the keys tells of those that are published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublishedKeys {
    /// They work.
    Usable,
    /// Of one kind, only disabled legacy keys are left.
    Disabled,
    /// Those of these kinds were deleted at the provider, and the project has no other ones.
    Deleted(Vec<KeyKind>),
}

impl PublishedKeys {
    /// What is wrong, and what to do; none while they work.
    pub fn wrong(&self) -> Option<String> {
        match self {
            Self::Usable => None,
            Self::Disabled => Some(DISABLED.to_owned()),
            Self::Deleted(kinds) => {
                let kinds: Vec<_> = kinds.iter().map(|kind| kind.type_().to_string()).collect();
                Some(format!(
                    "the project has no {} API key: what the connection Secret holds was deleted at the provider, and no \
                     longer works. Create one in the provider's dashboard (project settings, API keys), and the operator \
                     publishes it, or rotate with also: [APIKeys], and the operator makes it; the login and the data are \
                     unaffected",
                    kinds.join(" and no ")
                ))
            }
        }
    }
}

/// The stored keys that the last read has not found, by OrchestraDatabase: their kinds, and the digest of what was stored.
pub struct UnseenKeys(Mutex<Recent<(Vec<KeyKind>, Option<String>)>>);

impl UnseenKeys {
    /// None yet. They are remembered for `kept` when a database is not read again.
    pub fn new(kept: Duration) -> Self {
        Self(Mutex::new(Recent::new(kept)))
    }

    /// Remembers that a read has not found the stored keys of these kinds. Returns whether the read before has not found
    /// them either.
    pub fn confirm(&self, database: &str, kinds: &[KeyKind], stored: &OwnerSecret) -> bool {
        let digest = stored.address.as_ref().and_then(|address| address.keys.clone());
        let unseen = (kinds.to_vec(), digest);
        let mut all = self.0.lock();
        let again = all.get(database) == Some(&unseen);
        all.insert(database, unseen);
        again
    }

    /// A read has found the stored keys, or others that replace them.
    pub fn forget(&self, database: &str) {
        self.0.lock().remove(database);
    }
}

/// The kinds whose stored key is none of the listed ones, while the project has no other key of the kind.
pub fn deleted(listed: &[ApiKey], stored: &OwnerSecret) -> Vec<KeyKind> {
    let Some(address) = &stored.address else {
        return Vec::new();
    };
    let is_listed = |kind: KeyKind| {
        let stored = value(address, kind).expose_secret();
        let mut values = listed.iter().filter_map(|key| key.api_key.as_ref());
        values.any(|key| key.expose_secret() == stored)
    };
    let is_deleted = |kind: &KeyKind| lacks(listed, &kind.type_()) && !is_listed(*kind);
    KeyKind::ALL.into_iter().filter(is_deleted).collect()
}

/// Whether the operator has made a key of this kind, or stored one for the connection Secret that is not a legacy one.
pub fn had(stored: &OwnerSecret, kind: KeyKind) -> bool {
    let state = &stored.api_keys;
    let former = state.former.iter().map(|former| &former.key);
    let form = format!("sb_{}_", kind.type_());
    let mut published = stored.address.iter().map(|address| value(address, kind));
    state.current.iter().chain(former).any(|key| key.kind == kind)
        || published.any(|key| key.expose_secret().starts_with(&form))
}

/// The stored key of a kind, which may be a legacy one.
fn value(address: &Address, kind: KeyKind) -> &SecretString {
    match kind {
        KeyKind::Publishable => &address.anon_key,
        KeyKind::Secret => &address.service_role_key,
    }
}

#[cfg(test)]
mod tests {
    use super::KeyKind::{Publishable, Secret};
    use super::*;
    use crate::credentials::api_keys::{FormerKey, KeyState, MadeKey};
    use crate::supabase::types::KeyType;

    fn key(kind: KeyType, value: &str) -> ApiKey {
        ApiKey {
            id: Some("1".into()),
            name: "default".into(),
            kind: Some(kind),
            api_key: Some(value.into()),
            role: None,
        }
    }

    fn stored(anon: &str, service_role: &str) -> OwnerSecret {
        let address = Address {
            host: String::new(),
            user: String::new(),
            database: String::new(),
            session_port: 1,
            transaction_port: 1,
            project_url: String::new(),
            anon_key: anon.into(),
            service_role_key: service_role.into(),
            keys: None,
        };
        OwnerSecret {
            address: Some(address),
            ..OwnerSecret::default()
        }
    }

    #[test]
    fn a_stored_key_is_deleted_where_the_project_lists_others_and_none_of_its_kind() {
        let both = stored("sb_publishable_1", "sb_secret_1");
        let publishable = key(KeyType::Publishable, "sb_publishable_1");
        let secret = key(KeyType::Secret, "sb_secret_1");
        let reader = |value: &str| ApiKey {
            role: Some("reader".into()),
            ..key(KeyType::Secret, value)
        };
        let legacy = ApiKey {
            name: "service_role".into(),
            ..key(KeyType::Legacy, "jwt")
        };
        let other = key(KeyType::Secret, "sb_secret_2");
        for (listed, is) in [
            (vec![], vec![]),
            (vec![publishable.clone(), secret.clone()], vec![]),
            (vec![publishable.clone()], vec![Secret]),
            (vec![secret], vec![Publishable]),
            (vec![publishable.clone(), reader("sb_secret_3")], vec![Secret]),
            // It works, in another role.
            (vec![publishable.clone(), reader("sb_secret_1")], vec![]),
            // Another one is published instead.
            (vec![publishable.clone(), other], vec![]),
            (vec![publishable.clone(), legacy], vec![]),
            (vec![reader("sb_secret_3")], vec![Publishable, Secret]),
        ] {
            assert_eq!(deleted(&listed, &both), is, "{listed:?}");
        }
        assert!(deleted(&[publishable], &OwnerSecret::default()).is_empty());
    }

    #[test]
    fn a_key_counts_as_deleted_when_two_reads_in_a_row_say_so() {
        let unseen = UnseenKeys::new(Duration::from_hours(1));
        let (first, mut rotated) = (stored("a", "b"), stored("a", "c"));
        assert!(!unseen.confirm("orchdb-1", &[Secret], &first));
        assert!(!unseen.confirm("orchdb-2", &[Secret], &first));
        assert!(unseen.confirm("orchdb-1", &[Secret], &first) && unseen.confirm("orchdb-1", &[Secret], &first));
        assert!(!unseen.confirm("orchdb-1", &KeyKind::ALL, &first));
        unseen.forget("orchdb-2");
        assert!(!unseen.confirm("orchdb-2", &[Secret], &first));
        // Other keys are stored by now.
        if let Some(address) = &mut rotated.address {
            address.keys = Some("1".to_owned());
        }
        assert!(!unseen.confirm("orchdb-2", &[Secret], &rotated));
        assert!(unseen.confirm("orchdb-2", &[Secret], &rotated));
    }

    #[test]
    fn what_is_wrong_names_the_kinds_and_the_cure() {
        assert_eq!(PublishedKeys::Usable.wrong(), None);
        let told = |kinds: &[KeyKind]| PublishedKeys::Deleted(kinds.into()).wrong().unwrap_or_default();
        let secret = told(&[Secret]);
        assert!(secret.starts_with("the project has no secret API key:"), "{secret}");
        assert!(
            secret.contains("also: [APIKeys]") && secret.contains("dashboard"),
            "{secret}"
        );
        let both = told(&KeyKind::ALL);
        assert!(
            both.starts_with("the project has no publishable and no secret API key:"),
            "{both}"
        );
    }

    #[test]
    fn a_kind_that_the_operator_made_or_published_was_there() {
        let made = |kind| MadeKey {
            id: "1".into(),
            name: "one_1".into(),
            kind,
        };
        let of = |current: Vec<MadeKey>, former: Vec<FormerKey>| OwnerSecret {
            api_keys: KeyState {
                current,
                former,
                ..KeyState::default()
            },
            ..stored("jwt-anon", "jwt-service")
        };
        let former = FormerKey {
            key: made(Publishable),
            until: None,
        };
        for (stored, is) in [
            (OwnerSecret::default(), [false, false]),
            (stored("jwt-anon", "jwt-service"), [false, false]),
            (stored("sb_publishable_1", "jwt-service"), [true, false]),
            (stored("sb_publishable_1", "sb_secret_1"), [true, true]),
            (of(vec![made(Secret)], vec![]), [false, true]),
            (of(vec![], vec![former]), [true, false]),
        ] {
            assert_eq!([had(&stored, Publishable), had(&stored, Secret)], is);
        }
    }
}
