//! Gauges of orphans: projects and databases that cost money and that no Orchestra uses.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::classes::Amount;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OrphanLabels {
    class: String,
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OrphanMoneyLabels {
    class: String,
    kind: &'static str,
    currency: String,
}

/// The orphans of one class and kind.
#[derive(Clone, Debug, PartialEq)]
pub struct OrphanFacts {
    /// Name of the class whose organization pays.
    pub class: String,
    /// `project` or `database`.
    pub kind: &'static str,
    /// How many there are.
    pub count: usize,
    /// Currency of the amount.
    pub currency: String,
    /// Monthly cost of those whose price is known.
    pub monthly: f64,
}

/// The gauges.
#[derive(Debug, Default)]
pub(super) struct OrphanGauges {
    count: Family<OrphanLabels, Gauge>,
    monthly: Family<OrphanMoneyLabels, Amount>,
}

impl OrphanGauges {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "orphans",
            "Projects of this cluster that no OrchestraDatabase holds, and hosted OrchestraDatabases that no Orchestra claims",
            self.count.clone(),
        );
        registry.register(
            "orphans_cost_monthly",
            "Monthly cost of the orphans",
            self.monthly.clone(),
        );
    }

    /// Replaces all values. A class that is not named loses its gauges.
    pub(super) fn set(&self, all: impl IntoIterator<Item = OrphanFacts>) {
        self.count.clear();
        self.monthly.clear();
        for facts in all {
            let money = OrphanMoneyLabels {
                class: facts.class.clone(),
                kind: facts.kind,
                currency: facts.currency,
            };
            self.monthly.get_or_create(&money).set(facts.monthly);
            let labels = OrphanLabels {
                class: facts.class,
                kind: facts.kind,
            };
            self.count
                .get_or_create(&labels)
                .set(i64::try_from(facts.count).unwrap_or(i64::MAX));
        }
    }
}
