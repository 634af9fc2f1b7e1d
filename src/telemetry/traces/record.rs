//! Records the spans of a task: what it does, how long that takes, and whether it fails.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use parking_lot::Mutex;

use super::trace::Trace;
use crate::api::condition::Reason;

/// Spans of one pass at most. Further ones are counted.
const MOST: usize = 128;

tokio::task_local! {
    /// The span that is open in this task.
    static OPEN: Arc<OpenSpan>;
}

/// The kind of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Work of the operator itself.
    Internal,
    /// A request to another service.
    Client,
}

/// Whether the span of a task is exported that has no child span and did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    Always,
    IfBusy,
}

/// The root span of a trace that has ended.
#[derive(Debug)]
pub(super) struct Root {
    pub trace: Trace,
    pub start: Timestamp,
    pub attributes: Vec<KeyValue>,
}

/// What was recorded in a task.
#[derive(Debug, Default)]
pub(super) struct Recorder(Mutex<Recorded>);

#[derive(Debug, Default)]
struct Recorded {
    spans: Vec<EndedSpan>,
    trace: Option<Trace>,
    root: Option<(Root, SystemTime)>,
    left_out: u32,
}

/// A span that has ended.
#[derive(Debug)]
struct EndedSpan {
    id: SpanId,
    /// None: the root of the trace.
    parent: Option<SpanId>,
    name: Cow<'static, str>,
    kind: Side,
    start: SystemTime,
    end: SystemTime,
    attributes: Vec<KeyValue>,
    failed: bool,
}

/// A span that is open. It ends when it is dropped, so that cancelled work has a span as well.
#[derive(Debug)]
struct OpenSpan {
    recorder: Arc<Recorder>,
    id: SpanId,
    parent: Option<SpanId>,
    name: Cow<'static, str>,
    kind: Side,
    start: SystemTime,
    noted: Mutex<Noted>,
}

#[derive(Debug, Default)]
struct Noted {
    attributes: Vec<KeyValue>,
    /// None while the span is open, and where its work was cancelled.
    end: Option<SystemTime>,
    failed: bool,
}

impl Recorder {
    /// Sets the trace of the recorded spans. The first one that is set stays.
    pub(super) fn belongs_to(&self, trace: Trace) {
        self.0.lock().trace.get_or_insert(trace);
    }

    /// Ends the trace now, with this root span.
    pub(super) fn ends(&self, root: Root) {
        self.0.lock().root.get_or_insert((root, SystemTime::now()));
    }

    fn add(&self, span: EndedSpan) {
        let mut recorded = self.0.lock();
        // The span of the task itself comes last, and has no parent here.
        if recorded.spans.len() < MOST || span.parent.is_none() {
            recorded.spans.push(span);
        } else {
            recorded.left_out += 1;
        }
    }

    /// The spans to export; none where no trace is found.
    pub(super) fn finish(&self, keep: Keep, of: impl FnOnce() -> Option<Trace>) -> Vec<SpanData> {
        let mut recorded = std::mem::take(&mut *self.0.lock());
        let is_busy =
            recorded.spans.len() > 1 || recorded.root.is_some() || recorded.spans.iter().any(|span| span.failed);
        if keep == Keep::IfBusy && !is_busy {
            return Vec::new();
        }
        let Some(trace) = recorded.trace.or_else(of) else {
            return Vec::new();
        };
        if let Some(own) = recorded.spans.last_mut().filter(|_| recorded.left_out > 0) {
            let left_out = i64::from(recorded.left_out);
            own.attributes.push(KeyValue::new("orchestra.spans_left_out", left_out));
        }
        let root = recorded.root.map(|(root, end)| EndedSpan {
            id: root.trace.root,
            parent: Some(SpanId::INVALID),
            name: "Ready".into(),
            kind: Side::Internal,
            start: root.start.into(),
            end,
            attributes: root.attributes,
            failed: false,
        });
        recorded
            .spans
            .into_iter()
            .chain(root)
            .map(|span| span.of(trace))
            .collect()
    }
}

impl EndedSpan {
    fn of(self, trace: Trace) -> SpanData {
        let state = TraceState::default();
        SpanData {
            span_context: SpanContext::new(trace.id, self.id, TraceFlags::SAMPLED, false, state),
            parent_span_id: self.parent.unwrap_or(trace.root),
            parent_span_is_remote: false,
            span_kind: match self.kind {
                Side::Internal => SpanKind::Internal,
                Side::Client => SpanKind::Client,
            },
            name: self.name,
            start_time: self.start,
            end_time: self.end,
            attributes: self.attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: if self.failed { Status::error("") } else { Status::Unset },
            instrumentation_scope: InstrumentationScope::builder(env!("CARGO_PKG_NAME")).build(),
        }
    }
}

/// Runs the work of a task in a span of its own.
pub(super) async fn within<F: Future>(recorder: &Arc<Recorder>, name: &'static str, work: F) -> F::Output {
    let open = OpenSpan::new(recorder, None, name.into(), Side::Internal);
    let output = OPEN.scope(open.clone(), work).await;
    open.end(false);
    output
}

impl OpenSpan {
    fn new(recorder: &Arc<Recorder>, parent: Option<SpanId>, name: Cow<'static, str>, kind: Side) -> Arc<Self> {
        Arc::new(Self {
            recorder: recorder.clone(),
            id: random(),
            parent,
            name,
            kind,
            start: SystemTime::now(),
            noted: Mutex::default(),
        })
    }

    fn end(&self, failed: bool) {
        let mut noted = self.noted.lock();
        noted.end = Some(SystemTime::now());
        noted.failed |= failed;
    }
}

impl Drop for OpenSpan {
    fn drop(&mut self) {
        let noted = self.noted.get_mut();
        self.recorder.add(EndedSpan {
            id: self.id,
            parent: self.parent,
            name: std::mem::take(&mut self.name),
            kind: self.kind,
            start: self.start,
            end: noted.end.unwrap_or_else(SystemTime::now),
            attributes: std::mem::take(&mut noted.attributes),
            failed: noted.failed || noted.end.is_none(),
        });
    }
}

fn random() -> SpanId {
    SpanId::from_bytes(rand::random::<u64>().max(1).to_be_bytes())
}

/// Runs work that may fail in a span within the one that is open in this task, if one is.
///
/// # Errors
/// Those of the work. None of them is recorded, only that it failed: an error may hold what a tenant wrote.
pub async fn span<T, E>(
    name: impl Into<Cow<'static, str>>,
    kind: Side,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let Ok(parent) = OPEN.try_with(Clone::clone) else {
        return work.await;
    };
    let open = OpenSpan::new(&parent.recorder, Some(parent.id), name.into(), kind);
    let outcome = OPEN.scope(open.clone(), work).await;
    open.end(outcome.is_err());
    outcome
}

/// Adds an attribute to the span that is open in this task, if one is.
pub fn note(key: &'static str, value: impl Into<Value>) {
    // Outside of a span there is nothing to add it to.
    let _ = OPEN.try_with(|open| open.noted.lock().attributes.push(KeyValue::new(key, value)));
}

/// Marks the span that is open in this task as failed, with this reason.
pub fn fail(reason: Reason) {
    note("error.type", reason.as_str());
    let _ = OPEN.try_with(|open| open.noted.lock().failed = true);
}

/// Adds a span for a wait of an Orchestra that ends now. `reason`: what it has waited for.
pub fn waited(reason: Reason, took: Duration) {
    of_pass(|recorder| {
        let end = SystemTime::now();
        recorder.add(EndedSpan {
            id: random(),
            parent: None,
            name: reason.as_str().into(),
            kind: Side::Internal,
            start: end.checked_sub(took).unwrap_or(end),
            end,
            attributes: Vec::new(),
            failed: false,
        });
    });
}

pub(super) fn of_pass(tell: impl FnOnce(&Recorder)) {
    // Outside of a pass nothing is recorded.
    let _ = OPEN.try_with(|open| tell(&open.recorder));
}

#[cfg(test)]
pub(super) fn is_open() -> bool {
    OPEN.try_with(|_| ()).is_ok()
}
