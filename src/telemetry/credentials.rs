//! Gauges of how old credentials are.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use strum::IntoStaticStr;

use super::tenants::MOST;

/// A kind of credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Credential {
    /// The login of a tenant, which its connection Secret has.
    Login,
    /// The password of the owner of a hosted project, or of a database that a pool has made on a server.
    OwnerPassword,
    /// The API keys of a hosted project.
    ApiKeys,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CredentialLabels {
    class: String,
    credential: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TenantCredentialLabels {
    class: String,
    namespace: String,
    name: String,
    credential: &'static str,
}

/// How old a credential of one tenant is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TenantCredential {
    /// Namespace of its Orchestra.
    pub namespace: String,
    /// Name of its Orchestra.
    pub name: String,
    /// Which credential.
    pub credential: Credential,
    /// Name of its class.
    pub class: String,
    /// Its age in seconds.
    pub age: i64,
}

/// The gauges.
#[derive(Debug, Default)]
pub(super) struct CredentialAges {
    oldest: Family<CredentialLabels, Gauge>,
    tenants: Family<TenantCredentialLabels, Gauge>,
}

impl CredentialAges {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register_with_unit(
            "class_oldest_credential_age",
            "Age of the oldest credential of a kind of the tenants of a class",
            Unit::Seconds,
            self.oldest.clone(),
        );
        registry.register_with_unit(
            "tenant_credential_age",
            "Age of a credential of a tenant whose class asks for metrics of its tenants",
            Unit::Seconds,
            self.tenants.clone(),
        );
    }

    pub(super) fn set<'a>(&self, ages: impl IntoIterator<Item = (&'a str, Credential, i64)>) {
        self.oldest.clear();
        for (class, credential, age) in ages {
            let (class, credential) = (class.to_owned(), credential.into());
            self.oldest
                .get_or_create(&CredentialLabels { class, credential })
                .set(age);
        }
    }

    /// Those of the first tenants, by namespace and name.
    pub(super) fn set_of_tenants(&self, mut all: Vec<TenantCredential>) {
        all.sort_unstable();
        self.tenants.clear();
        let (mut tenants, mut last) = (0, None);
        for TenantCredential {
            namespace,
            name,
            credential,
            class,
            age,
        } in all
        {
            let tenant = (namespace.clone(), name.clone());
            if last.as_ref() != Some(&tenant) {
                (tenants, last) = (tenants + 1, Some(tenant));
            }
            if tenants > MOST {
                break;
            }
            let labels = TenantCredentialLabels {
                class,
                namespace,
                name,
                credential: credential.into(),
            };
            self.tenants.get_or_create(&labels).set(age);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_first_tenants_have_a_gauge_for_each_credential_and_lose_it_when_they_are_gone() {
        let (ages, mut registry) = (CredentialAges::default(), Registry::with_prefix("orchestra"));
        ages.register(&mut registry);
        let credentials = |name: &str| {
            [(Credential::OwnerPassword, 7), (Credential::Login, 5)].map(|(credential, age)| TenantCredential {
                namespace: "tenants".into(),
                name: name.into(),
                credential,
                class: "standard".into(),
                age,
            })
        };
        let lines = || {
            let mut page = String::new();
            prometheus_client::encoding::text::encode(&mut page, &registry).unwrap();
            let lines = page
                .lines()
                .filter(|line| line.starts_with("orchestra_tenant_credential_age_seconds{"));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        ages.set_of_tenants(credentials("one").to_vec());
        let labels = r#"class="standard",namespace="tenants",name="one",credential="#;
        for told in [r#""login"} 5"#, r#""owner_password"} 7"#] {
            let line = format!("orchestra_tenant_credential_age_seconds{{{labels}{told}");
            assert!(lines().contains(&line), "{line} is not in {:?}", lines());
        }
        ages.set_of_tenants(
            (0..MOST + 5)
                .flat_map(|number| credentials(&format!("t{number}")))
                .collect(),
        );
        assert_eq!(lines().len(), 2 * MOST);
        ages.set_of_tenants(Vec::new());
        assert!(lines().is_empty());
    }
}
