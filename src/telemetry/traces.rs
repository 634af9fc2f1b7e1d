//! Traces of OpenTelemetry: one trace for the time in which an Orchestra is not Ready, from its creation or from when it
//! stopped being Ready, until it is Ready.
//!
//! The ids of a trace and of its root span are computed from the Orchestra's UID and the transition time of its condition
//! Ready. Nothing is stored, and an operator that takes over continues the trace of the previous one. A span has names of
//! Kubernetes objects, steps, operations and reasons, and no text of a tenant, the provider or a database.

mod export;
mod record;
mod trace;

use std::sync::Arc;

use kube::ResourceExt as _;
use opentelemetry::KeyValue;

use crate::api::Orchestra;
use crate::api::condition::{ConditionType, is_true};

pub use export::{Error, Exporting};
use record::{Keep, Recorder, Root};
pub use record::{Side, fail, note, span, waited};
pub use trace::Trace;

/// Records spans and exports them. Without an endpoint nothing is recorded.
#[derive(Clone, Debug, Default)]
pub struct Traces(Option<Arc<export::SpanQueue>>);

/// An Orchestra before a write of its status.
#[derive(Clone, Copy, Debug)]
pub struct ParentSpan {
    trace: Option<Trace>,
    ready: bool,
    served: bool,
}

impl ParentSpan {
    /// The Orchestra as it is now.
    pub fn of(orchestra: &Orchestra) -> Self {
        Self {
            trace: Trace::of(orchestra),
            ready: is_true(orchestra.conditions(), ConditionType::Ready),
            served: orchestra.is_published(),
        }
    }

    /// Notes in the span of the pass whether the write of a status begins or ends a trace.
    pub fn written(self, after: &Orchestra) {
        record::of_pass(|recorder| {
            let has_come = !self.ready && is_true(after.conditions(), ConditionType::Ready);
            let created = after.metadata.creation_timestamp.as_ref().map(|created| created.0);
            let begin = || Trace::since(after, created.unwrap_or_default());
            let trace = if has_come {
                Some(self.trace.unwrap_or_else(begin))
            } else {
                Trace::of(after)
            };
            let Some(trace) = trace else { return };
            recorder.belongs_to(trace);
            if has_come {
                let start = created.filter(|_| !self.served).unwrap_or(trace.since);
                recorder.ends(Root {
                    trace,
                    start,
                    attributes: attributes(after),
                });
            }
        });
    }
}

/// The attributes of a root span.
fn attributes(orchestra: &Orchestra) -> Vec<KeyValue> {
    vec![
        KeyValue::new("k8s.namespace.name", orchestra.namespace().unwrap_or_default()),
        KeyValue::new("orchestra.name", orchestra.name_any()),
        KeyValue::new("orchestra.uid", orchestra.uid().unwrap_or_default()),
        KeyValue::new(
            "orchestra.generation",
            orchestra.metadata.generation.unwrap_or_default(),
        ),
        KeyValue::new(
            "orchestra.class",
            orchestra.decided_class().unwrap_or_default().to_owned(),
        ),
    ]
}

impl Traces {
    /// Sends spans to the collector at this address, to whose path `/v1/traces` is added. Headers with its credentials
    /// come from `OTEL_EXPORTER_OTLP_HEADERS`.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn export(endpoint: &str) -> Result<(Self, Exporting), Error> {
        let (queue, exporting) = export::start(endpoint)?;
        Ok((Self(Some(Arc::new(queue))), exporting))
    }

    /// Runs a pass with a span of its own, for the Orchestra that `of` finds at its end. A pass without a step is not exported.
    pub async fn pass<F: Future>(&self, name: &'static str, work: F, of: impl FnOnce() -> Option<Trace>) -> F::Output {
        self.recorded(name, Keep::IfBusy, work, of).await
    }

    /// Runs background work of an Orchestra that is not Ready yet, with a span of its own.
    pub async fn work<F: Future>(self, name: &'static str, trace: Option<Trace>, work: F) -> F::Output {
        self.recorded(name, Keep::Always, work, || trace).await
    }

    async fn recorded<F: Future>(
        &self,
        name: &'static str,
        keep: Keep,
        work: F,
        of: impl FnOnce() -> Option<Trace>,
    ) -> F::Output {
        let Some(queue) = &self.0 else {
            return work.await;
        };
        let recorder = Arc::new(Recorder::default());
        let output = record::within(&recorder, name, work).await;
        for span in recorder.finish(keep, of) {
            queue.put(span);
        }
        output
    }
}

#[cfg(test)]
#[path = "traces/tests.rs"]
mod tests;
