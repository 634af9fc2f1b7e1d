//! Metrics of provisioning: how it ended, how long it took, and how long each step took.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::labels::{ClassLabels, HistogramFamily};
use crate::api::condition::Reason;

/// The class of a tenant for which none is decided. Prometheus treats an empty label as absent.
const NO_CLASS: &str = "";

/// Upper bounds of the time from an Orchestra to its connection Secret, in seconds: a database of a pool takes seconds, a
/// project minutes, a queue hours.
const TOTALS: [f64; 12] = [
    1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 3600.0, 14400.0,
];

/// Upper bounds of the time of one step, in seconds.
const STEPS: [f64; 12] = [0.05, 0.25, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 3600.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProvisioningLabels {
    class: String,
    outcome: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StepLabels {
    step: &'static str,
}

/// The metrics.
#[derive(Debug)]
pub struct Provisioning {
    outcomes: Family<ProvisioningLabels, Counter>,
    durations: HistogramFamily<ClassLabels>,
    steps: HistogramFamily<StepLabels>,
    /// The step of each Orchestra that has one, by UID, and when it began.
    under_way: Mutex<HashMap<String, (Reason, Instant)>>,
}

impl Default for Provisioning {
    fn default() -> Self {
        Self {
            outcomes: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(TOTALS)),
            steps: Family::new_with_constructor(|| Histogram::new(STEPS)),
            under_way: Mutex::default(),
        }
    }
}

impl Provisioning {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "provisionings",
            "Orchestras whose connection Secret was published for the first time (succeeded, reason Ready), or that became \
             Stalled before that (failed, with the reason); one that was corrected counts in both",
            self.outcomes.clone(),
        );
        registry.register_with_unit(
            "provisioning_duration",
            "Time from the creation of an Orchestra until its connection Secret was published for the first time",
            Unit::Seconds,
            self.durations.clone(),
        );
        registry.register_with_unit(
            "step_duration",
            "Time that an Orchestra spent at a step, waiting included; the step is the reason of the condition Reconciling. \
             What began before a restart of the operator counts from the restart",
            Unit::Seconds,
            self.steps.clone(),
        );
    }

    /// Counts a tenant that got its connection Secret for the first time, this long after its creation.
    pub fn succeeded(&self, class: Option<&str>, took: Duration) {
        self.count(class, "succeeded", Reason::Ready);
        let class = class.unwrap_or(NO_CLASS).to_owned();
        self.durations
            .get_or_create(&ClassLabels { class })
            .observe(took.as_secs_f64());
    }

    /// Counts a tenant that needs a person before it gets its connection Secret.
    pub fn failed(&self, class: Option<&str>, reason: Reason) {
        self.count(class, "failed", reason);
    }

    fn count(&self, class: Option<&str>, outcome: &'static str, reason: Reason) {
        let labels = ProvisioningLabels {
            class: class.unwrap_or(NO_CLASS).to_owned(),
            outcome,
            reason: reason.as_str(),
        };
        self.outcomes.get_or_create(&labels).inc();
    }

    /// Notes the step that an Orchestra is at; none when nothing is waited for. A step that has ended is observed, and
    /// returned with the time that it took.
    pub fn at(&self, uid: &str, step: Option<Reason>) -> Option<(Reason, Duration)> {
        self.at_time(uid, step, Instant::now())
    }

    fn at_time(&self, uid: &str, step: Option<Reason>, now: Instant) -> Option<(Reason, Duration)> {
        let (reason, since) = {
            let mut under_way = self.under_way.lock();
            let before = under_way.get(uid).copied();
            if before.map(|(reason, _)| reason) == step {
                return None;
            }
            if let Some(step) = step {
                under_way.insert(uid.to_owned(), (step, now));
            } else {
                under_way.remove(uid);
            }
            before?
        };
        let step = reason.as_str();
        let took = now.saturating_duration_since(since);
        self.steps
            .get_or_create(&StepLabels { step })
            .observe(took.as_secs_f64());
        Some((reason, took))
    }

    /// Forgets the step of an Orchestra that is gone or Stalled, so that this time does not count for the step.
    pub fn leave(&self, uid: &str) {
        self.under_way.lock().remove(uid);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_step_is_observed_when_another_begins() {
        let (provisioning, mut registry) = (Provisioning::default(), Registry::with_prefix("orchestra"));
        provisioning.register(&mut registry);
        let began = Instant::now();
        let after = |seconds| began + Duration::from_secs(seconds);
        provisioning.at_time("a", Some(Reason::Provisioning), began);
        provisioning.at_time("b", Some(Reason::Provisioning), began);
        provisioning.at_time("a", Some(Reason::Provisioning), after(3));
        let ended = provisioning.at_time("a", Some(Reason::Migrating), after(40));
        assert_eq!(ended, Some((Reason::Provisioning, Duration::from_secs(40))));
        provisioning.at_time("a", None, after(42));
        provisioning.at_time("a", None, after(50));
        provisioning.leave("b");
        provisioning.at_time("b", Some(Reason::Seeding), after(60));
        provisioning.succeeded(Some("standard"), Duration::from_secs(42));
        provisioning.failed(None, Reason::NoDefaultClass);
        let mut page = String::new();
        prometheus_client::encoding::text::encode(&mut page, &registry).unwrap();
        for line in [
            r#"orchestra_step_duration_seconds_sum{step="Provisioning"} 40.0"#,
            r#"orchestra_step_duration_seconds_count{step="Provisioning"} 1"#,
            r#"orchestra_step_duration_seconds_sum{step="Migrating"} 2.0"#,
            r#"orchestra_provisionings_total{class="standard",outcome="succeeded",reason="Ready"} 1"#,
            r#"orchestra_provisionings_total{class="",outcome="failed",reason="NoDefaultClass"} 1"#,
            r#"orchestra_provisioning_duration_seconds_sum{class="standard"} 42.0"#,
        ] {
            assert!(page.contains(line), "{line} is not in\n{page}");
        }
        assert!(!page.contains("Seeding"), "it has not ended");
        assert_eq!(provisioning.under_way.lock().len(), 1);
    }
}
