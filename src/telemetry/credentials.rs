//! Gauges of how old credentials are.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use strum::IntoStaticStr;

/// A kind of credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Credential {
    /// The login of a tenant, which its connection Secret has.
    Login,
    /// The password of the owner of a hosted project.
    OwnerPassword,
    /// The API keys of a hosted project.
    ApiKeys,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CredentialLabels {
    class: String,
    credential: &'static str,
}

/// The gauges.
#[derive(Debug, Default)]
pub(super) struct CredentialAges(Family<CredentialLabels, Gauge>);

impl CredentialAges {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register_with_unit(
            "class_oldest_credential_age",
            "Age of the oldest credential of a kind of the tenants of a class",
            Unit::Seconds,
            self.0.clone(),
        );
    }

    pub(super) fn set<'a>(&self, ages: impl IntoIterator<Item = (&'a str, Credential, i64)>) {
        self.0.clear();
        for (class, credential, age) in ages {
            let (class, credential) = (class.to_owned(), credential.into());
            self.0.get_or_create(&CredentialLabels { class, credential }).set(age);
        }
    }
}
