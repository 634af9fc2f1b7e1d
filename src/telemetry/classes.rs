//! Gauges of the classes: the cost of their projects, the limit of the cost, and the expiry of their tokens.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// An amount of money. It is a float because the values of all metrics are.
type Amount = Gauge<f64, AtomicU64>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MoneyLabels {
    class: String,
    currency: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClassLabels {
    class: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RolloutLabels {
    class: String,
    state: &'static str,
}

/// The values of one class.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClassFacts {
    /// Name of the class.
    pub class: String,
    /// Currency of the amounts.
    pub currency: String,
    /// Monthly cost of its projects.
    pub projected: Option<f64>,
    /// Limit of that cost.
    pub limit: Option<f64>,
    /// The cost in percent of the limit.
    pub used_percent: Option<u32>,
    /// Tenants whose schema differs from that of most others with the same migrations.
    pub schema_odd: Option<i64>,
    /// Tenants whose databases are paused.
    pub paused: i64,
    /// Time since the last use of the class's longest-unused database, in seconds.
    pub idle_seconds: Option<i64>,
    /// Money that pauses have saved so far.
    pub saved: Option<f64>,
    /// When its token expires, in seconds since 1970.
    pub token_expires: Option<i64>,
    /// Numbers of its tenants by the state of the rollout of its migrations.
    pub rollout: Vec<(&'static str, i32)>,
}

/// The gauges.
#[derive(Debug, Default)]
pub(super) struct Classes {
    projected: Family<MoneyLabels, Amount>,
    limit: Family<MoneyLabels, Amount>,
    used: Family<ClassLabels, Gauge>,
    token_expires: Family<ClassLabels, Gauge>,
    rollout: Family<RolloutLabels, Gauge>,
    schema_odd: Family<ClassLabels, Gauge>,
    paused: Family<ClassLabels, Gauge>,
    idle: Family<ClassLabels, Gauge>,
    saved: Family<MoneyLabels, Amount>,
}

impl Classes {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "class_cost_projected_monthly",
            "Monthly cost of the projects of a class, Released ones included",
            self.projected.clone(),
        );
        registry.register(
            "class_cost_limit_monthly",
            "Monthly limit of the cost of the projects of a class",
            self.limit.clone(),
        );
        registry.register(
            "class_budget_used_percent",
            "Cost of the projects of a class in percent of its monthly limit",
            self.used.clone(),
        );
        registry.register(
            "class_token_expiration_timestamp_seconds",
            "Expiry of the token of a class, by the annotation of its Secret, in seconds since 1970",
            self.token_expires.clone(),
        );
        registry.register(
            "rollout_tenants",
            "Tenants of a class by the state of the rollout of its migrations",
            self.rollout.clone(),
        );
        registry.register(
            "class_schema_odd",
            "Tenants of a class whose schema differs from that of most others with the same migrations",
            self.schema_odd.clone(),
        );
        registry.register(
            "class_paused_tenants",
            "Tenants of a class whose databases are paused",
            self.paused.clone(),
        );
        registry.register(
            "class_idle_seconds",
            "Time since the last use of the class's longest-unused database",
            self.idle.clone(),
        );
        registry.register(
            "class_saved",
            "Money that pauses of a class's tenants have saved so far",
            self.saved.clone(),
        );
    }

    /// Replaces all values. A class that is not named loses its gauges.
    pub(super) fn set(&self, classes: impl IntoIterator<Item = ClassFacts>) {
        self.projected.clear();
        self.limit.clear();
        self.used.clear();
        self.token_expires.clear();
        self.rollout.clear();
        self.schema_odd.clear();
        self.paused.clear();
        self.idle.clear();
        self.saved.clear();
        for facts in classes {
            for (state, tenants) in facts.rollout {
                let class = facts.class.clone();
                let gauge = self.rollout.get_or_create(&RolloutLabels { class, state });
                gauge.set(tenants.into());
            }
            let money = MoneyLabels {
                class: facts.class.clone(),
                currency: facts.currency,
            };
            let class = ClassLabels { class: facts.class };
            self.paused.get_or_create(&class).set(facts.paused);
            if let Some(idle) = facts.idle_seconds {
                self.idle.get_or_create(&class).set(idle);
            }
            for (family, amount) in [
                (&self.projected, facts.projected),
                (&self.limit, facts.limit),
                (&self.saved, facts.saved),
            ] {
                if let Some(amount) = amount {
                    family.get_or_create(&money).set(amount);
                }
            }
            if let Some(used) = facts.used_percent {
                self.used.get_or_create(&class).set(used.into());
            }
            if let Some(odd) = facts.schema_odd {
                self.schema_odd.get_or_create(&class).set(odd);
            }
            if let Some(at) = facts.token_expires {
                self.token_expires.get_or_create(&class).set(at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_not_known_is_not_told_and_what_is_gone_goes() {
        let (classes, mut registry) = (Classes::default(), Registry::with_prefix("orchestra"));
        classes.register(&mut registry);
        let page = |registry: &Registry| {
            let mut page = String::new();
            prometheus_client::encoding::text::encode(&mut page, registry).unwrap();
            page
        };
        classes.set([ClassFacts {
            class: "standard".into(),
            currency: "USD".into(),
            projected: Some(19.62),
            token_expires: Some(1_800_000_000),
            ..ClassFacts::default()
        }]);
        let told = page(&registry);
        for line in [
            r#"orchestra_class_cost_projected_monthly{class="standard",currency="USD"} 19.62"#,
            r#"orchestra_class_token_expiration_timestamp_seconds{class="standard"} 1800000000"#,
        ] {
            assert!(told.contains(line), "{line} is not in\n{told}");
        }
        assert!(
            !told.contains("limit_monthly{") && !told.contains("used_percent{"),
            "{told}"
        );
        classes.set([]);
        assert!(!page(&registry).contains("standard"));
    }
}
