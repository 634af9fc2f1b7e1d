//! Gauges of the pools: how many databases each has, by their state.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PoolLabels {
    pool: String,
    state: &'static str,
}

/// The values of one pool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolFacts {
    /// Name of the pool.
    pub pool: String,
    /// Numbers of its databases by state.
    pub databases: Vec<(&'static str, i32)>,
}

/// The gauges.
#[derive(Debug, Default)]
pub(super) struct PoolGauges(Family<PoolLabels, Gauge>);

impl PoolGauges {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "pool_databases",
            "Databases of a pool: desired, available for a claim, being created or prepared, and bound",
            self.0.clone(),
        );
    }

    /// Replaces all values. A pool that is not named loses its gauges.
    pub(super) fn set(&self, pools: impl IntoIterator<Item = PoolFacts>) {
        self.0.clear();
        for facts in pools {
            for (state, count) in facts.databases {
                let pool = facts.pool.clone();
                self.0.get_or_create(&PoolLabels { pool, state }).set(count.into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_pool_that_is_gone_loses_its_gauges() {
        let (pools, mut registry) = (PoolGauges::default(), Registry::with_prefix("orchestra"));
        pools.register(&mut registry);
        let page = |registry: &Registry| {
            let mut page = String::new();
            prometheus_client::encoding::text::encode(&mut page, registry).unwrap();
            page
        };
        pools.set([PoolFacts {
            pool: "warm-eu".into(),
            databases: vec![("available", 3)],
        }]);
        let line = r#"orchestra_pool_databases{pool="warm-eu",state="available"} 3"#;
        assert!(page(&registry).contains(line));
        pools.set([]);
        assert!(!page(&registry).contains("warm-eu"));
    }
}
