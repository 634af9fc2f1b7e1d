#![allow(clippy::unwrap_used)]

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use opentelemetry::trace::SpanId;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_sdk::trace::SpanData;
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::*;
use crate::api::condition::Reason;
use crate::api::{OrchestraSpec, OrchestraStatus, PublishedSecret};

const CREATED: i64 = 1_700_000_000;

fn orchestra(ready: Option<(&str, i64)>) -> Orchestra {
    let at = |seconds| Time(Timestamp::from_second(seconds).unwrap());
    let mut object = Orchestra::new("one", OrchestraSpec::default());
    object.metadata.namespace = Some("tenants".into());
    object.metadata.uid = Some("6a5e".into());
    object.metadata.generation = Some(1);
    object.metadata.creation_timestamp = Some(at(CREATED));
    let condition = |(status, since): (&str, i64)| Condition {
        type_: "Ready".into(),
        status: status.into(),
        reason: "Pending".into(),
        message: String::new(),
        observed_generation: Some(1),
        last_transition_time: at(since),
    };
    object.status = Some(OrchestraStatus {
        conditions: ready.map(condition).into_iter().collect(),
        ..OrchestraStatus::default()
    });
    object
}

#[test]
fn a_trace_is_of_one_orchestra_and_one_way_to_ready() {
    let on_its_way = orchestra(Some(("False", CREATED + 1)));
    let trace = Trace::of(&on_its_way).unwrap();
    // Another operator computes the same.
    assert_eq!(Trace::of(&on_its_way), Some(trace));
    let later = Trace::of(&orchestra(Some(("False", CREATED + 900)))).unwrap();
    let mut other = on_its_way.clone();
    other.metadata.uid = Some("6a5f".into());
    let other = Trace::of(&other).unwrap();
    for is_another in [later, other] {
        assert_ne!(is_another.id, trace.id);
        assert_ne!(is_another.root, trace.root);
    }
    let mut leaves = on_its_way.clone();
    leaves.metadata.deletion_timestamp = leaves.metadata.creation_timestamp.clone();
    for none in [leaves, orchestra(None), orchestra(Some(("True", CREATED + 5)))] {
        assert_eq!(Trace::of(&none), None);
    }
}

/// What a task has recorded in which the status was written from one state to the next.
async fn recorded(keep: Keep, of: Option<Trace>, writes: &[Orchestra]) -> Vec<SpanData> {
    let recorder = Arc::new(Recorder::default());
    let work = async {
        for two in writes.windows(2) {
            ParentSpan::of(&two[0]).written(&two[1]);
        }
    };
    record::within(&recorder, "orchestra", work).await;
    recorder.finish(keep, || of)
}

fn root(spans: &[SpanData]) -> Option<&SpanData> {
    spans.iter().find(|span| span.parent_span_id == SpanId::INVALID)
}

#[tokio::test]
async fn the_root_is_from_the_creation_or_from_the_end_of_ready_to_ready() {
    let second = |span: &SpanData| Timestamp::try_from(span.start_time).unwrap().as_second();
    let (fresh, begun) = (orchestra(None), orchestra(Some(("False", CREATED + 1))));
    let ready = orchestra(Some(("True", CREATED + 9)));
    let trace = Trace::of(&begun).unwrap();
    // In one pass or in two, with one operator or with two.
    let whole = recorded(Keep::IfBusy, None, &[fresh.clone(), begun.clone(), ready.clone()]).await;
    let end = recorded(Keep::IfBusy, None, &[begun.clone(), ready.clone()]).await;
    for spans in [&whole, &end] {
        let root = root(spans).unwrap();
        assert_eq!((root.span_context.span_id(), second(root)), (trace.root, CREATED));
        assert_eq!(spans.len(), 2);
        assert!(spans.iter().all(|span| span.span_context.trace_id() == trace.id));
        assert!(spans.iter().any(|span| span.parent_span_id == trace.root));
        assert!(root.attributes.contains(&KeyValue::new("orchestra.name", "one")));
    }
    // The status never said that it was not Ready.
    let at_once = recorded(Keep::IfBusy, None, &[fresh, ready.clone()]).await;
    assert_eq!(second(root(&at_once).unwrap()), CREATED);
    // A tenant in use that was changed.
    let mut changed = orchestra(Some(("False", CREATED + 500)));
    changed.status.as_mut().unwrap().secret_ref = Some(PublishedSecret::default());
    let again = recorded(Keep::IfBusy, None, &[ready.clone(), changed, ready.clone()]).await;
    assert_eq!(second(root(&again).unwrap()), CREATED + 500);
    assert_ne!(root(&again).unwrap().span_context.trace_id(), trace.id);
    // What stays Ready has no trace.
    assert!(recorded(Keep::Always, None, &[ready.clone(), ready]).await.is_empty());
    // A span in which nothing happens is not exported, unless it is work in the background.
    assert!(recorded(Keep::IfBusy, Some(trace), &[]).await.is_empty());
    assert_eq!(recorded(Keep::Always, Some(trace), &[]).await.len(), 1);
}

#[tokio::test]
async fn spans_are_nested_and_say_that_they_failed_and_not_why() {
    let trace = Trace::of(&orchestra(Some(("False", CREATED)))).unwrap();
    let recorder = Arc::new(Recorder::default());
    let work = async {
        waited(Reason::Provisioning, Duration::from_secs(40));
        let call = span("create_project", Side::Client, async {
            note("http.response.status_code", 500_i64);
            Err::<(), _>("what the provider says")
        });
        let step = span("Create", Side::Internal, call).await;
        // Cut off in the middle.
        let endless = span("Probe", Side::Internal, std::future::pending::<Result<(), ()>>());
        let cut = tokio::time::timeout(Duration::from_millis(1), endless).await;
        fail(Reason::ProviderUnavailable);
        (step.is_err(), cut.is_err())
    };
    assert_eq!(record::within(&recorder, "database", work).await, (true, true));
    let spans = recorder.finish(Keep::IfBusy, || Some(trace));
    let named = |name: &str| spans.iter().find(|span| span.name == name).unwrap();
    let (pass, step, call) = (named("database"), named("Create"), named("create_project"));
    assert_eq!(pass.parent_span_id, trace.root);
    assert_eq!(step.parent_span_id, pass.span_context.span_id());
    assert_eq!(call.parent_span_id, step.span_context.span_id());
    assert_eq!(call.attributes, [KeyValue::new("http.response.status_code", 500_i64)]);
    assert_eq!(pass.attributes, [KeyValue::new("error.type", "ProviderUnavailable")]);
    for failed in [pass, step, call, named("Probe")] {
        assert_eq!(failed.status, opentelemetry::trace::Status::error(""));
    }
    let waited = named("Provisioning");
    assert_eq!(waited.parent_span_id, trace.root);
    let took = waited.end_time.duration_since(waited.start_time).unwrap();
    assert_eq!(took, Duration::from_secs(40));
    assert!(!format!("{spans:?}").contains("provider says"));
}

#[tokio::test]
async fn what_a_task_records_is_bounded() {
    let trace = Trace::of(&orchestra(Some(("False", CREATED)))).unwrap();
    let recorder = Arc::new(Recorder::default());
    let work = async {
        for _ in 0..1000 {
            span("Create", Side::Internal, async { Ok::<_, ()>(()) }).await.unwrap();
        }
    };
    record::within(&recorder, "database", work).await;
    let spans = recorder.finish(Keep::IfBusy, || Some(trace));
    assert_eq!(spans.len(), 129);
    assert_eq!(
        spans[128].attributes,
        [KeyValue::new("orchestra.spans_left_out", 872_i64)]
    );
}

#[tokio::test]
async fn nothing_is_recorded_where_no_collector_is_named() {
    let work = async {
        assert!(!record::is_open());
        span("Create", Side::Internal, async { Ok::<_, ()>(1) }).await
    };
    assert_eq!(Traces::default().pass("database", work, || panic!()).await, Ok(1));
}

async fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    (listener, address)
}

#[tokio::test]
async fn the_collector_is_sent_what_was_recorded() {
    let (sent, mut received) = mpsc::unbounded_channel();
    let take = async move |body: Bytes| sent.send(ExportTraceServiceRequest::decode(body).unwrap()).unwrap();
    let service = Router::new().route("/base/v1/traces", post(take));
    let (listener, address) = listener().await;
    tokio::spawn(async move { axum::serve(listener, service).await });
    let (traces, exporting) = Traces::export(&format!("{address}/base")).unwrap();
    let trace = Trace::of(&orchestra(Some(("False", CREATED)))).unwrap();
    traces.work("seed", Some(trace), async {}).await;
    exporting.finish().await;
    let request = received.recv().await.unwrap();
    let span = &request.resource_spans[0].scope_spans[0].spans[0];
    assert_eq!(span.name, "seed");
    assert_eq!(span.trace_id, trace.id.to_bytes());
    assert_eq!(span.parent_span_id, trace.root.to_bytes());
}

#[tokio::test]
async fn a_silent_collector_holds_up_nobody() {
    let (_silent, address) = listener().await;
    let (traces, exporting) = Traces::export(&address).unwrap();
    let trace = Trace::of(&orchestra(Some(("False", CREATED)))).unwrap();
    let began = Instant::now();
    for _ in 0..5000 {
        traces.clone().work("seed", Some(trace), async {}).await;
    }
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    exporting.finish().await;
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}
