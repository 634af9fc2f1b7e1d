//! How old credentials are, for the metrics.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use kube::ResourceExt as _;
use kube::runtime::reflector::ObjectRef;

use crate::api::names::{CONNECTED_LABEL, ENTRY_LABEL, KEYS_MADE_LABEL, PASSWORD_LABEL, ROTATED_LABEL};
use crate::api::{Orchestra, OrchestraClass, OrchestraDatabase};
use crate::controller::Core;
use crate::credentials::made;
use crate::telemetry::metrics::{Credential, TenantCredential};

/// When the oldest credential of each kind of each class was made, in seconds since 1970.
pub type Oldest = BTreeMap<(String, Credential), i64>;

/// A credential.
#[derive(Clone, Debug)]
pub struct KnownCredential {
    class: String,
    credential: Credential,
    /// When it was made, in seconds since 1970.
    since: i64,
    /// Namespace and name of the Orchestra that it is for.
    tenant: Option<(String, String)>,
}

impl KnownCredential {
    fn of(
        (class, tenant): (Option<&str>, Option<(String, String)>),
        credential: Credential,
        since: Option<i64>,
    ) -> Option<Self> {
        Some(Self {
            class: class?.to_owned(),
            credential,
            since: since?,
            tenant,
        })
    }
}

/// The credentials: the published logins, and the owners' passwords and the API keys of hosted projects, and the owners' passwords
/// of databases that pools have made on servers. One that was never rotated is as old as its object.
pub fn known(core: &Core) -> Vec<KnownCredential> {
    let logins = core.stores.orchestras.state().into_iter().filter_map(|object| {
        let tenant = object.namespace().map(|namespace| (namespace, object.name_any()));
        KnownCredential::of((object.decided_class(), tenant), Credential::Login, login(&object))
    });
    let passwords = core.stores.databases.state().into_iter().filter_map(|database| {
        let secret = ObjectRef::new(&owners_secret(&database)).within(&core.settings.namespace);
        let secret = core.stores.secrets.get(&secret)?;
        let claim = database.spec.claim_ref.as_ref().filter(|_| database.is_held());
        let tenant = claim.map(|claim| (claim.namespace.clone(), claim.name.clone()));
        let of = (database.spec.class_name.as_deref(), tenant);
        let (password, keys) = (
            password(&database, secret.labels()),
            api_keys(&database, secret.labels()),
        );
        Some([
            KnownCredential::of(of.clone(), Credential::OwnerPassword, password),
            KnownCredential::of(of, Credential::ApiKeys, keys),
        ])
    });
    logins.chain(passwords.flatten().flatten()).collect()
}

/// The oldest credentials of each class.
pub fn oldest(known: &[KnownCredential]) -> Oldest {
    let mut oldest = Oldest::new();
    for KnownCredential {
        class,
        credential,
        since,
        ..
    } in known
    {
        let oldest = oldest.entry((class.clone(), *credential)).or_insert(*since);
        *oldest = (*oldest).min(*since);
    }
    oldest
}

/// Whether a class asks for metrics of its tenants.
pub fn asks(class: &OrchestraClass) -> bool {
    class.spec.health.as_ref().is_some_and(|health| health.metrics)
}

/// The ages of those of tenants whose class asks for metrics of its tenants.
pub fn of_tenants(core: &Core, known: Vec<KnownCredential>, now: Timestamp) -> Vec<TenantCredential> {
    let asking = core.stores.classes.state_filter(asks);
    let asking: BTreeSet<_> = asking.iter().map(|class| class.name_any()).collect();
    ages_of(known, &asking, now)
}

fn ages_of(known: Vec<KnownCredential>, asking: &BTreeSet<String>, now: Timestamp) -> Vec<TenantCredential> {
    let known = known.into_iter().filter(|known| asking.contains(&known.class));
    known
        .filter_map(|known| {
            let (namespace, name) = known.tenant?;
            Some(TenantCredential {
                namespace,
                name,
                credential: known.credential,
                class: known.class,
                age: age(known.since, now),
            })
        })
        .collect()
}

fn age(since: i64, now: Timestamp) -> i64 {
    now.as_second().saturating_sub(since).max(0)
}

/// When the published login was made.
fn login(object: &Orchestra) -> Option<i64> {
    let status = object.status.as_ref().filter(|_| object.is_published())?;
    let rotated = status.credentials.as_ref().and_then(|known| known.rotated_at.as_ref());
    let since = rotated.or(object.metadata.creation_timestamp.as_ref())?;
    Some(since.0.as_second())
}

/// Name of the Secret in the operator's namespace that has the owner's password, where the operator has made that.
fn owners_secret(database: &OrchestraDatabase) -> String {
    let entry = database.spec.inventory.as_ref();
    let made = entry.and_then(|entry| made::secret_of(&entry.key));
    made.map_or_else(|| database.name_any(), ToOwned::to_owned)
}

/// When the owner's password of a hosted project, or of a database that a pool has made on a server, was made, by the labels of
/// its Secret.
fn password(database: &OrchestraDatabase, labels: &BTreeMap<String, String>) -> Option<i64> {
    labels.get(PASSWORD_LABEL).or_else(|| labels.get(ENTRY_LABEL))?;
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
    oldest
        .iter()
        .map(move |((class, credential), since)| (class.as_str(), *credential, age(*since, now)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;
    use crate::api::{
        CredentialStatus, InventoryEntry, OrchestraDatabaseSpec, OrchestraSpec, OrchestraStatus, PublishedSecret,
    };

    fn at(seconds: i64) -> Option<Time> {
        Timestamp::from_second(seconds).ok().map(Time)
    }

    #[test]
    #[allow(clippy::too_many_lines, reason = "one case after the other")]
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
        let of_entry = BTreeMap::from([(ENTRY_LABEL.to_owned(), "house".to_owned())]);
        assert_eq!(
            password(&database, &of_entry),
            Some(100),
            "a pool has made it on a server"
        );
        assert_eq!(owners_secret(&database), "orchdb-1");
        for (key, secret) in [
            ("orchestra-entry-1/DATABASE_URL", "orchestra-entry-1"),
            ("DATABASE_URL_POOL_1", "orchdb-1"),
        ] {
            let mut of_pool = database.clone();
            of_pool.spec.inventory = Some(InventoryEntry {
                pool: "house".into(),
                key: key.into(),
            });
            assert_eq!(owners_secret(&of_pool), secret);
        }
        assert_eq!(api_keys(&database, &labels), None, "none are stored");
        labels.insert(CONNECTED_LABEL.to_owned(), "true".to_owned());
        assert_eq!(api_keys(&database, &labels), Some(100));
        labels.insert(KEYS_MADE_LABEL.to_owned(), "250".to_owned());
        assert_eq!(api_keys(&database, &labels), Some(250));

        let login = |class: &str, tenant: &str, since| {
            let tenant = Some(("tenants".to_owned(), tenant.to_owned()));
            KnownCredential::of((Some(class), tenant), Credential::Login, since)
        };
        assert!(login("standard", "none", None).is_none());
        let known: Vec<_> = [
            login("standard", "one", Some(300)),
            login("standard", "two", Some(200)),
            login("standard", "three", Some(400)),
            login("quiet", "four", Some(250)),
            // A pool's member, not claimed yet.
            KnownCredential::of((Some("standard"), None), Credential::OwnerPassword, Some(100)),
        ]
        .into_iter()
        .flatten()
        .collect();
        let now = Timestamp::from_second(260).unwrap();
        let oldest = oldest(&known);
        let ages: Vec<_> = ages(&oldest, now).collect();
        assert_eq!(
            ages,
            [
                ("quiet", Credential::Login, 10),
                ("standard", Credential::Login, 60),
                ("standard", Credential::OwnerPassword, 160)
            ]
        );
        let asking = BTreeSet::from(["standard".to_owned()]);
        let tenants = ages_of(known, &asking, now).into_iter();
        let tenants: Vec<_> = tenants.map(|of| (of.name, of.age)).collect();
        assert_eq!(tenants, [("one".into(), 0), ("two".into(), 60), ("three".into(), 0)]);
    }
}
