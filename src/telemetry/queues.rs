//! Queues of requests that the rate limit of a token does not allow yet.

use std::collections::BTreeSet;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::labels::{HistogramFamily, OperationLabels, OrchestraLabels};

/// Orchestras of a queue that have a gauge of their own. The depth counts all of them.
const POSITIONS: usize = 100;

/// Upper bounds of the time in the queue, in seconds. The API counts by the minute, so a long queue takes minutes.
const WAITS: [f64; 11] = [0.1, 1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0];

/// The Orchestras that wait to send one kind of request with one token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestQueue {
    /// The request, such as `create_project`.
    pub operation: &'static str,
    /// `namespace/name` of each Orchestra, the next one first.
    pub orchestras: Vec<String>,
}

/// The metrics.
#[derive(Debug)]
pub(super) struct Queues {
    depth: Family<OperationLabels, Gauge>,
    /// Operations that ever had a queue: an empty one is 0, so that a query of it has an answer.
    seen: Mutex<BTreeSet<&'static str>>,
    position: Family<OrchestraLabels, Gauge>,
    wait: HistogramFamily<OperationLabels>,
}

impl Default for Queues {
    fn default() -> Self {
        Self {
            depth: Family::default(),
            seen: Mutex::default(),
            position: Family::default(),
            wait: Family::new_with_constructor(|| Histogram::new(WAITS)),
        }
    }
}

impl Queues {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "queue_depth",
            "Orchestras that wait for their turn in the request limit of a token",
            self.depth.clone(),
        );
        registry.register(
            "queue_position",
            "Place in the queue of an Orchestra whose creation waits, 1 is next; of the first hundred",
            self.position.clone(),
        );
        registry.register_with_unit(
            "queue_wait",
            "Time that an Orchestra has waited in the queue when its request may be sent",
            Unit::Seconds,
            self.wait.clone(),
        );
    }

    /// Replaces the gauges; a queue that is not named is empty.
    pub(super) fn set(&self, queues: &[RequestQueue]) {
        let mut seen = self.seen.lock();
        seen.extend(queues.iter().map(|queue| queue.operation));
        for operation in seen.iter().copied() {
            self.depth.get_or_create(&OperationLabels { operation }).set(0);
        }
        self.position.clear();
        for RequestQueue { operation, orchestras } in queues {
            let depth = self.depth.get_or_create(&OperationLabels { operation });
            depth.inc_by(i64::try_from(orchestras.len()).unwrap_or(i64::MAX));
            for (orchestra, position) in orchestras.iter().take(POSITIONS).zip(1..) {
                let (namespace, name) = orchestra.split_once('/').unwrap_or(("", orchestra));
                let labels = OrchestraLabels {
                    namespace: namespace.into(),
                    name: name.into(),
                };
                self.position.get_or_create(&labels).set(position);
            }
        }
    }

    pub(super) fn waited(&self, operation: &'static str, waited: Duration) {
        self.wait
            .get_or_create(&OperationLabels { operation })
            .observe(waited.as_secs_f64());
    }
}
