//! Metrics of tenants: whether applications can use their databases, and the sizes where the class asks for them.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::labels::TenantLabels;

/// The most tenants that have metrics of their own, so that the page stays readable for a scraper.
pub(super) const MOST: usize = 2000;

/// Upper bounds of the durations of probes, in seconds.
const BUCKETS: [f64; 9] = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 20.0, 40.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProbeLabels {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutageLabels {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConnectionLabels {
    class: String,
    namespace: String,
    name: String,
    scope: &'static str,
}

/// Connections, and the limit that applies to them, if any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connections {
    /// Their scope: the login, the database, or the server.
    pub scope: &'static str,
    /// The number of connections.
    pub used: i64,
    /// The limit.
    pub limit: Option<i64>,
}

/// The values of one tenant.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TenantFacts {
    /// Name of its class.
    pub class: String,
    /// Namespace of its Orchestra.
    pub namespace: String,
    /// Name of its Orchestra.
    pub name: String,
    /// Size of its database in bytes.
    pub bytes: i64,
    /// Its connections.
    pub connections: Vec<Connections>,
    /// How long its oldest open transaction has lasted, in seconds.
    pub oldest_transaction: f64,
}

/// The metrics.
#[derive(Debug)]
pub struct Tenants {
    probes: Family<ProbeLabels, Counter>,
    duration: Histogram,
    outages: Family<OutageLabels, Gauge>,
    bytes: Family<TenantLabels, Gauge>,
    connections: Family<ConnectionLabels, Gauge>,
    limits: Family<ConnectionLabels, Gauge>,
    oldest_transaction: Family<TenantLabels, Gauge<f64, AtomicU64>>,
}

impl Default for Tenants {
    fn default() -> Self {
        Self {
            probes: Family::default(),
            duration: Histogram::new(BUCKETS),
            outages: Family::default(),
            bytes: Family::default(),
            connections: Family::default(),
            limits: Family::default(),
            oldest_transaction: Family::default(),
        }
    }
}

impl Tenants {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "probes",
            "Probes of tenants' databases, by Ready or the reason why applications cannot use the database",
            self.probes.clone(),
        );
        registry.register_with_unit(
            "probe_duration",
            "Time a probe of a tenant's database took",
            Unit::Seconds,
            self.duration.clone(),
        );
        registry.register(
            "unavailable_tenants",
            "Tenants whose applications cannot use the database, by reason",
            self.outages.clone(),
        );
        registry.register_with_unit(
            "tenant_database_size",
            "Size of a tenant's database",
            Unit::Bytes,
            self.bytes.clone(),
        );
        registry.register(
            "tenant_connections",
            "Connections of a tenant's login, of its database, and of the database's server",
            self.connections.clone(),
        );
        registry.register(
            "tenant_connections_limit",
            "Limit of the connections of a tenant's login, of its database, and of the database's server",
            self.limits.clone(),
        );
        registry.register_with_unit(
            "tenant_oldest_transaction",
            "How long the oldest open transaction of a tenant's login has lasted",
            Unit::Seconds,
            self.oldest_transaction.clone(),
        );
    }

    /// Counts a probe that has ended.
    pub fn probed(&self, outcome: &'static str, took: Duration) {
        self.probes.get_or_create(&ProbeLabels { outcome }).inc();
        self.duration.observe(took.as_secs_f64());
    }

    /// Replaces the counts of tenants that are not available. A reason that is not named loses its gauge.
    pub fn set_outages(&self, reasons: impl IntoIterator<Item = &'static str>) {
        let mut counts = BTreeMap::new();
        for reason in reasons {
            *counts.entry(reason).or_insert(0) += 1;
        }
        self.outages.clear();
        for (reason, count) in counts {
            self.outages.get_or_create(&OutageLabels { reason }).set(count);
        }
    }

    /// Replaces all values of tenants. A tenant that is not named loses its gauges.
    pub fn set(&self, mut tenants: Vec<TenantFacts>) {
        tenants.sort_by(|one, other| (&one.namespace, &one.name).cmp(&(&other.namespace, &other.name)));
        self.bytes.clear();
        self.connections.clear();
        self.limits.clear();
        self.oldest_transaction.clear();
        for facts in tenants.into_iter().take(MOST) {
            let TenantFacts {
                class, namespace, name, ..
            } = facts;
            for Connections { scope, used, limit } in facts.connections {
                let labels = ConnectionLabels {
                    class: class.clone(),
                    namespace: namespace.clone(),
                    name: name.clone(),
                    scope,
                };
                self.connections.get_or_create(&labels).set(used);
                if let Some(limit) = limit {
                    self.limits.get_or_create(&labels).set(limit);
                }
            }
            let labels = TenantLabels { class, namespace, name };
            self.bytes.get_or_create(&labels).set(facts.bytes);
            let oldest = self.oldest_transaction.get_or_create(&labels);
            oldest.set(facts.oldest_transaction);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_tenant_that_is_gone_loses_its_gauges() {
        let (tenants, mut registry) = (Tenants::default(), Registry::with_prefix("orchestra"));
        tenants.register(&mut registry);
        let page = |registry: &Registry| {
            let mut page = String::new();
            prometheus_client::encoding::text::encode(&mut page, registry).unwrap();
            page
        };
        let facts = |name: &str| TenantFacts {
            class: "standard".into(),
            namespace: "tenants".into(),
            name: name.into(),
            bytes: 7_000_000,
            connections: vec![
                Connections {
                    scope: "login",
                    used: 3,
                    limit: Some(60),
                },
                Connections {
                    scope: "database",
                    used: 5,
                    limit: None,
                },
            ],
            oldest_transaction: 1.5,
        };
        tenants.set(vec![facts("one")]);
        tenants.set_outages(["TlsFailed", "TlsFailed", "LoginFailed"]);
        tenants.probed("Ready", Duration::from_millis(20));
        let told = page(&registry);
        let one = r#"class="standard",namespace="tenants",name="one""#;
        for line in [
            format!("orchestra_tenant_database_size_bytes{{{one}}} 7000000"),
            format!(r#"orchestra_tenant_connections{{{one},scope="login"}} 3"#),
            format!(r#"orchestra_tenant_connections_limit{{{one},scope="login"}} 60"#),
            format!("orchestra_tenant_oldest_transaction_seconds{{{one}}} 1.5"),
            r#"orchestra_unavailable_tenants{reason="TlsFailed"} 2"#.to_owned(),
            r#"orchestra_probes_total{outcome="Ready"} 1"#.to_owned(),
            "orchestra_probe_duration_seconds_count 1".to_owned(),
        ] {
            assert!(told.contains(&line), "{line} is not in\n{told}");
        }
        assert!(!told.contains(r#"_limit{class="standard",namespace="tenants",name="one",scope="database""#));
        tenants.set(Vec::new());
        tenants.set_outages([]);
        let told = page(&registry);
        assert!(!told.contains("name=\"one\"") && !told.contains("TlsFailed"), "{told}");
        tenants.set((0..MOST + 5).map(|number| facts(&format!("t{number}"))).collect());
        let lines = page(&registry);
        let sizes = lines
            .lines()
            .filter(|line| line.starts_with("orchestra_tenant_database_size_bytes{"));
        assert_eq!(sizes.count(), MOST);
    }
}
