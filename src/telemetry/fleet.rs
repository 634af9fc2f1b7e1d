//! Metrics of Stalled objects, and of the phases of tenants whose class asks for metrics of its tenants.

use std::collections::BTreeMap;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::tenants::MOST;
use crate::api::condition::Reason;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StalledLabels {
    kind: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
struct TenantPhaseLabels {
    class: String,
    namespace: String,
    name: String,
    phase: String,
}

/// The phase of a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantPhase {
    /// Name of its class.
    pub class: String,
    /// Namespace of its Orchestra.
    pub namespace: String,
    /// Name of its Orchestra.
    pub name: String,
    /// The phase in its status.
    pub phase: String,
}

/// The gauges.
#[derive(Debug, Default)]
pub struct Fleet {
    stalled: Family<StalledLabels, Gauge>,
    phases: Family<TenantPhaseLabels, Gauge>,
}

impl Fleet {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "stalled",
            "Objects that are Stalled: a person must act. The kind is orchestra, database, class, pool or backup, the reason that \
             of the condition",
            self.stalled.clone(),
        );
        registry.register(
            "tenant_phase",
            "1 for the phase of a tenant whose class has health.metrics",
            self.phases.clone(),
        );
    }

    /// Replaces the counts of objects that are Stalled, each given as its kind and reason.
    pub fn set_stalled(&self, all: impl IntoIterator<Item = (&'static str, Reason)>) {
        let mut counts = BTreeMap::new();
        for of in all {
            *counts.entry(of).or_insert(0) += 1;
        }
        self.stalled.clear();
        for ((kind, reason), count) in counts {
            let reason = reason.as_str();
            self.stalled.get_or_create(&StalledLabels { kind, reason }).set(count);
        }
    }

    /// Replaces the phases of tenants; of the first ones, by namespace and name.
    pub fn set_phases(&self, mut all: Vec<TenantPhase>) {
        all.sort_by(|one, other| (&one.namespace, &one.name).cmp(&(&other.namespace, &other.name)));
        self.phases.clear();
        for TenantPhase {
            class,
            namespace,
            name,
            phase,
        } in all.into_iter().take(MOST)
        {
            let labels = TenantPhaseLabels {
                class,
                namespace,
                name,
                phase,
            };
            self.phases.get_or_create(&labels).set(1);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_cured_or_gone_loses_its_gauge() {
        let (fleet, mut registry) = (Fleet::default(), Registry::with_prefix("orchestra"));
        fleet.register(&mut registry);
        let page = || {
            let mut page = String::new();
            prometheus_client::encoding::text::encode(&mut page, &registry).unwrap();
            page
        };
        let tenant = |name: &str| TenantPhase {
            class: "standard".into(),
            namespace: "tenants".into(),
            name: name.into(),
            phase: "Failed".into(),
        };
        let failed = ("orchestra", Reason::MigrationFailed);
        fleet.set_stalled([failed, ("class", Reason::TokenRejected), failed]);
        fleet.set_phases(vec![tenant("one")]);
        for line in [
            r#"orchestra_stalled{kind="orchestra",reason="MigrationFailed"} 2"#,
            r#"orchestra_stalled{kind="class",reason="TokenRejected"} 1"#,
            r#"orchestra_tenant_phase{class="standard",namespace="tenants",name="one",phase="Failed"} 1"#,
        ] {
            assert!(page().contains(line), "{line} is not in\n{}", page());
        }
        fleet.set_phases((0..MOST + 3).map(|number| tenant(&format!("t{number}"))).collect());
        let lines = page()
            .lines()
            .filter(|line| line.starts_with("orchestra_tenant_phase{"))
            .count();
        assert_eq!(lines, MOST);
        fleet.set_stalled([]);
        fleet.set_phases(Vec::new());
        assert!(!page().contains("reason=") && !page().contains("name="), "{}", page());
    }
}
