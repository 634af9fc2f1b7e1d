//! How old credentials are, for the metrics.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::ResourceExt as _;
use kube::runtime::reflector::ObjectRef;

use crate::api::names::{CONNECTED_LABEL, KEYS_MADE_LABEL, PASSWORD_LABEL, ROTATED_LABEL};
use crate::api::{Orchestra, OrchestraDatabase};
use crate::controller::Core;
use crate::telemetry::metrics::Credential;

/// When the oldest credential of each kind of each class was made, in seconds since 1970.
pub type Oldest = BTreeMap<(String, Credential), i64>;

/// The oldest credentials of each class: the published logins, and the owners' passwords and the API keys of hosted
/// projects. One that was never rotated is as old as its object.
pub fn oldest(core: &Core) -> Oldest {
    let mut oldest = Oldest::new();
    for object in core.stores.orchestras.state() {
        note(&mut oldest, object.decided_class(), Credential::Login, login(&object));
    }
    for database in core.stores.databases.state() {
        let secret = ObjectRef::new(&database.name_any()).within(&core.settings.namespace);
        let secret = core.stores.secrets.get(&secret);
        let labels = secret.as_ref().map(|secret| secret.labels());
        let class = database.spec.class_name.as_deref();
        let since = labels.and_then(|labels| password(&database, labels));
        note(&mut oldest, class, Credential::OwnerPassword, since);
        let since = labels.and_then(|labels| api_keys(&database, labels));
        note(&mut oldest, class, Credential::ApiKeys, since);
    }
    oldest
}

fn note(oldest: &mut Oldest, class: Option<&str>, credential: Credential, since: Option<i64>) {
    if let (Some(class), Some(since)) = (class, since) {
        let oldest = oldest.entry((class.to_owned(), credential)).or_insert(since);
        *oldest = since.min(*oldest);
    }
}

/// When the published login was made.
fn login(object: &Orchestra) -> Option<i64> {
    let status = object.status.as_ref().filter(|_| object.is_published())?;
    let rotated = status.credentials.as_ref().and_then(|known| known.rotated_at.as_ref());
    let since = rotated.or(object.metadata.creation_timestamp.as_ref())?;
    Some(since.0.as_second())
}

/// When the owner's password of a hosted project was made, by the labels of its Secret.
fn password(database: &OrchestraDatabase, labels: &BTreeMap<String, String>) -> Option<i64> {
    labels.get(PASSWORD_LABEL)?;
    let rotated = labels.get(ROTATED_LABEL).and_then(|seconds| seconds.parse().ok());
    let made = database.metadata.creation_timestamp.as_ref();
    rotated.or_else(|| Some(made?.0.as_second()))
}

/// When the API keys of a hosted project were made, by the labels of its Secret. Those that the operator did not make are
/// as old as its object.
fn api_keys(database: &OrchestraDatabase, labels: &BTreeMap<String, String>) -> Option<i64> {
    labels.get(CONNECTED_LABEL)?;
    let made = labels.get(KEYS_MADE_LABEL).and_then(|seconds| seconds.parse().ok());
    let first = database.metadata.creation_timestamp.as_ref();
    made.or_else(|| Some(first?.0.as_second()))
}

/// The logins among them, by class.
pub fn logins(oldest: &Oldest) -> impl Iterator<Item = (&str, i64)> {
    let logins = oldest
        .iter()
        .filter(|((_, credential), _)| *credential == Credential::Login);
    logins.map(|((class, _), since)| (class.as_str(), *since))
}

/// Age in seconds of each.
pub fn ages(oldest: &Oldest, now: Timestamp) -> impl Iterator<Item = (&str, Credential, i64)> {
    let age = move |since: i64| now.as_second().saturating_sub(since).max(0);
    oldest
        .iter()
        .map(move |((class, credential), since)| (class.as_str(), *credential, age(*since)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;
    use crate::api::{CredentialStatus, OrchestraDatabaseSpec, OrchestraSpec, OrchestraStatus, PublishedSecret};

    fn at(seconds: i64) -> Option<Time> {
        Timestamp::from_second(seconds).ok().map(Time)
    }

    #[test]
    fn a_credential_is_as_old_as_its_last_rotation_and_the_oldest_of_a_class_counts() {
        let mut object = Orchestra::new("one", OrchestraSpec::default());
        object.metadata.creation_timestamp = at(100);
        assert_eq!(login(&object), None, "nothing is published");
        object.status = Some(OrchestraStatus {
            secret_ref: Some(PublishedSecret::default()),
            ..OrchestraStatus::default()
        });
        assert_eq!(login(&object), Some(100));
        object.status.as_mut().unwrap().credentials = Some(CredentialStatus {
            rotated_at: at(200),
            ..CredentialStatus::default()
        });
        assert_eq!(login(&object), Some(200));

        let mut database = OrchestraDatabase::new("orchdb-1", OrchestraDatabaseSpec::default());
        database.metadata.creation_timestamp = at(100);
        let mut labels = BTreeMap::new();
        assert_eq!(password(&database, &labels), None, "an entry has none");
        labels.insert(PASSWORD_LABEL.to_owned(), "true".to_owned());
        assert_eq!(password(&database, &labels), Some(100));
        labels.insert(ROTATED_LABEL.to_owned(), "300".to_owned());
        assert_eq!(password(&database, &labels), Some(300));
        assert_eq!(api_keys(&database, &labels), None, "none are stored");
        labels.insert(CONNECTED_LABEL.to_owned(), "true".to_owned());
        assert_eq!(api_keys(&database, &labels), Some(100));
        labels.insert(KEYS_MADE_LABEL.to_owned(), "250".to_owned());
        assert_eq!(api_keys(&database, &labels), Some(250));

        let (mut oldest, class) = (Oldest::new(), "standard");
        for since in [Some(300), None, Some(200), Some(400)] {
            note(&mut oldest, Some(class), Credential::Login, since);
            note(&mut oldest, None, Credential::Login, Some(1));
        }
        let ages: Vec<_> = ages(&oldest, Timestamp::from_second(260).unwrap()).collect();
        assert_eq!(ages, [("standard", Credential::Login, 60)]);
    }
}
