//! Gauges of the classes: the cost of their projects, the limit of the cost, and the expiry of their tokens.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::labels::ClassLabels;

/// An amount of money. It is a float because the values of all metrics are.
pub(super) type Amount = Gauge<f64, AtomicU64>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MoneyLabels {
    class: String,
    currency: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RolloutLabels {
    class: String,
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClassRequestLabels {
    class: String,
    operation: &'static str,
}

/// The rate limit of a class's token for one operation, and what is left of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLimit {
    /// The operation.
    pub operation: &'static str,
    /// Requests that the provider allows in a window of its limit, which is a minute by its documentation.
    pub limit: u32,
    /// Requests of these that are left in the current window, of the scope that has the fewest.
    pub left: u32,
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
    /// When its token was last changed, in seconds since 1970.
    pub token_since: Option<i64>,
    /// What is left of the request limits of its token.
    pub requests: Vec<RequestLimit>,
    /// Tenants.
    pub tenants: i64,
    /// Numbers of its tenants by the state of their migrations.
    pub migrations: Vec<(&'static str, i64)>,
    /// Migrations that are not applied, of all its tenants together.
    pub migrations_pending: i64,
    /// Numbers of its tenants by the state of the rollout of its migrations.
    pub rollout: Vec<(&'static str, i32)>,
    /// Different migration sources that its tenants have, and the tenants without the newest.
    pub skew: Option<(i64, i64)>,
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
    token_since: Family<ClassLabels, Gauge>,
    requests_limit: Family<ClassRequestLabels, Gauge>,
    requests_left: Family<ClassRequestLabels, Gauge>,
    tenants: Family<ClassLabels, Gauge>,
    migrations: Family<RolloutLabels, Gauge>,
    migrations_pending: Family<ClassLabels, Gauge>,
    revisions: Family<ClassLabels, Gauge>,
    outdated: Family<ClassLabels, Gauge>,
}

impl Classes {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("class_tenants", "Orchestras of a class", self.tenants.clone());
        self.register_money(registry);
        self.register_token(registry);
        self.register_migrations(registry);
        registry.register(
            "class_paused_tenants",
            "Tenants of a class whose databases are paused",
            self.paused.clone(),
        );
        registry.register(
            "class_idle_seconds",
            "Time since the last use of the longest-unused database of a class, where idle.pauseAfter is set",
            self.idle.clone(),
        );
    }

    fn register_money(&self, registry: &mut Registry) {
        registry.register(
            "class_cost_projected_monthly",
            "Cost of the projects of a class a month, Released ones included",
            self.projected.clone(),
        );
        registry.register(
            "class_cost_limit_monthly",
            "Limit of the cost of the projects of a class a month",
            self.limit.clone(),
        );
        registry.register(
            "class_budget_used_percent",
            "Cost of the projects of a class in percent of its monthly limit",
            self.used.clone(),
        );
        registry.register(
            "class_saved",
            "Money that pauses of tenants of a class have saved so far",
            self.saved.clone(),
        );
    }

    fn register_token(&self, registry: &mut Registry) {
        registry.register(
            "class_token_expiration_timestamp_seconds",
            "Expiry of the token of a class, where the annotation of its Secret says it, in seconds since 1970",
            self.token_expires.clone(),
        );
        registry.register(
            "class_token_changed_timestamp_seconds",
            "When the Secret with the token of a class was last given other values, in seconds since 1970",
            self.token_since.clone(),
        );
        registry.register(
            "class_api_requests_limit",
            "Requests that the Management API allows the token of a class in a minute, of operations that were asked",
            self.requests_limit.clone(),
        );
        registry.register(
            "class_api_requests_left",
            "Requests of the limit that are left now, of the project or organization that has the fewest",
            self.requests_left.clone(),
        );
    }

    fn register_migrations(&self, registry: &mut Registry) {
        registry.register(
            "class_migration_tenants",
            "Tenants of a class with migrations, by their state: applied, pending, waiting (for approval, for the rollout, or \
             because of pinMigrations), or failed",
            self.migrations.clone(),
        );
        registry.register(
            "class_migrations_pending",
            "Migrations that are not applied, of all tenants of a class together",
            self.migrations_pending.clone(),
        );
        registry.register(
            "rollout_tenants",
            "Tenants of a class by the state of the rollout of its migrations",
            self.rollout.clone(),
        );
        registry.register(
            "rollout_revisions",
            "Different migration sources that the tenants in the rollout of a class have; at most ten are counted",
            self.revisions.clone(),
        );
        registry.register(
            "rollout_outdated_tenants",
            "Tenants in the rollout of a class that do not have its current migrations",
            self.outdated.clone(),
        );
        registry.register(
            "class_schema_odd",
            "Tenants of a class whose schema differs from that of most others with the same migrations",
            self.schema_odd.clone(),
        );
    }

    /// Replaces all values. A class that is not named loses its gauges.
    pub(super) fn set(&self, classes: impl IntoIterator<Item = ClassFacts>) {
        self.clear();
        for facts in classes {
            let name = || facts.class.clone();
            for (state, tenants) in &facts.migrations {
                let class = name();
                self.migrations
                    .get_or_create(&RolloutLabels { class, state })
                    .set(*tenants);
            }
            for (state, tenants) in &facts.rollout {
                let class = name();
                let gauge = self.rollout.get_or_create(&RolloutLabels { class, state });
                gauge.set((*tenants).into());
            }
            for RequestLimit { operation, limit, left } in &facts.requests {
                let class = name();
                let labels = ClassRequestLabels { class, operation };
                self.requests_limit.get_or_create(&labels).set((*limit).into());
                self.requests_left.get_or_create(&labels).set((*left).into());
            }
            let money = MoneyLabels {
                class: name(),
                currency: facts.currency,
            };
            let class = ClassLabels { class: facts.class };
            for (family, amount) in [
                (&self.projected, facts.projected),
                (&self.limit, facts.limit),
                (&self.saved, facts.saved),
            ] {
                if let Some(amount) = amount {
                    family.get_or_create(&money).set(amount);
                }
            }
            for (family, value) in [
                (&self.tenants, Some(facts.tenants)),
                (&self.paused, Some(facts.paused)),
                (&self.migrations_pending, Some(facts.migrations_pending)),
                (&self.idle, facts.idle_seconds),
                (&self.used, facts.used_percent.map(i64::from)),
                (&self.schema_odd, facts.schema_odd),
                (&self.token_expires, facts.token_expires),
                (&self.token_since, facts.token_since),
                (&self.revisions, facts.skew.map(|(revisions, _)| revisions)),
                (&self.outdated, facts.skew.map(|(_, outdated)| outdated)),
            ] {
                if let Some(value) = value {
                    family.get_or_create(&class).set(value);
                }
            }
        }
    }

    fn clear(&self) {
        for family in [&self.projected, &self.limit, &self.saved] {
            family.clear();
        }
        for family in [
            &self.used,
            &self.token_expires,
            &self.token_since,
            &self.tenants,
            &self.migrations_pending,
            &self.revisions,
            &self.outdated,
            &self.schema_odd,
            &self.paused,
            &self.idle,
        ] {
            family.clear();
        }
        self.rollout.clear();
        self.migrations.clear();
        self.requests_limit.clear();
        self.requests_left.clear();
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
