//! Traces: a collector sees one trace from the creation of an Orchestra to Ready, whichever operators worked on it, and
//! one that does not answer changes nothing.

use std::collections::{BTreeSet, HashMap};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use orchestra_sandbox::api::{Fault, Operation};
use orchestra_sandbox::world::{Kind, Operator, SYSTEM, TENANTS, World};
use prost::Message as _;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::proof::{database_name, generous_world, one_project_and_both_logins, soon};
use crate::support::{LONG, kill, orchestra, patch_config_map, ready, secret, sources, standard_class};

/// What the collector wants to see, and nobody else is to see.
const CREDENTIALS: &str = "Bearer s3cret-of-the-collector";

/// A span, and the pod that sent it.
#[derive(Clone, Debug)]
struct Seen {
    span: Span,
    pod: String,
}

/// A collector that takes OTLP over HTTP.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Seen>>>);

impl Collector {
    /// Starts it. It ends with the test.
    async fn start() -> (Self, String) {
        let collector = Self::default();
        let service = Router::new()
            .route("/v1/traces", post(take))
            .with_state(collector.clone());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, service).await });
        (collector, address)
    }

    fn seen(&self) -> Vec<Seen> {
        self.0.lock().unwrap().clone()
    }

    /// The spans of the trace that ends with this Orchestra's root, once it has so many roots.
    async fn traces(&self, uid: &str, count: usize) -> Vec<Vec<Seen>> {
        let began = Instant::now();
        loop {
            let seen = self.seen();
            let roots: Vec<_> = seen.iter().filter(|seen| is_root_of(seen, uid)).collect();
            assert!(roots.len() <= count, "{roots:#?}");
            if roots.len() == count {
                // The rest of the batch, and what other tasks send.
                tokio::time::sleep(Duration::from_secs(3)).await;
                let seen = self.seen();
                let of = |root: &&Seen| {
                    let spans = seen.iter().filter(|seen| seen.span.trace_id == root.span.trace_id);
                    spans.cloned().collect::<Vec<_>>()
                };
                return roots.iter().map(of).collect();
            }
            assert!(began.elapsed() < LONG, "{} of {count} roots of {uid}", roots.len());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

async fn take(State(collector): State<Collector>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if given != Some(CREDENTIALS) {
        return StatusCode::UNAUTHORIZED;
    }
    let Ok(request) = ExportTraceServiceRequest::decode(body) else {
        return StatusCode::BAD_REQUEST;
    };
    for resource in request.resource_spans {
        let attributes = resource.resource.unwrap_or_default().attributes;
        assert_eq!(text(&attributes, "service.name"), "orchestra-operator");
        let pod = text(&attributes, "k8s.pod.name");
        let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
        let seen = spans.map(|span| Seen { span, pod: pod.clone() });
        collector.0.lock().unwrap().extend(seen);
    }
    StatusCode::OK
}

fn text(attributes: &[KeyValue], key: &str) -> String {
    let found = attributes.iter().find(|attribute| attribute.key == key);
    match found.and_then(|found| found.value.clone()) {
        Some(AnyValue {
            value: Some(Any::StringValue(text)),
        }) => text,
        Some(AnyValue {
            value: Some(Any::IntValue(number)),
        }) => number.to_string(),
        _ => String::new(),
    }
}

fn is_root_of(seen: &Seen, uid: &str) -> bool {
    seen.span.parent_span_id.is_empty() && text(&seen.span.attributes, "orchestra.uid") == uid
}

fn operator(world: &World, name: &str, endpoint: &str) -> Operator {
    world
        .operator(name, |command| {
            command.arg(format!("--otlp-endpoint={endpoint}")).env(
                "OTEL_EXPORTER_OTLP_HEADERS",
                "authorization=Bearer%20s3cret-of-the-collector",
            );
        })
        .unwrap()
}

/// One root, from the creation on, that all others are below of and none is outside of.
fn is_whole(trace: &[Seen], object: &Value) {
    let uid = object["metadata"]["uid"].as_str().unwrap();
    let roots: Vec<_> = trace
        .iter()
        .filter(|seen| seen.span.parent_span_id.is_empty())
        .collect();
    let [root] = roots[..] else { panic!("{roots:#?}") };
    assert!(is_root_of(root, uid));
    let attribute = |key: &str| text(&root.span.attributes, key);
    let name = object["metadata"]["name"].as_str().unwrap();
    assert_eq!(
        (
            attribute("k8s.namespace.name").as_str(),
            attribute("orchestra.name").as_str()
        ),
        (TENANTS, name)
    );
    assert_eq!(attribute("orchestra.class"), "standard");
    let by_id: HashMap<_, _> = trace.iter().map(|seen| (&seen.span.span_id, &seen.span)).collect();
    assert_eq!(by_id.len(), trace.len(), "an id is used twice");
    let second = 1_000_000_000;
    for Seen { span, .. } in trace {
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano, "{span:?}");
        let Some(parent) = by_id.get(&span.parent_span_id) else {
            assert!(span.parent_span_id.is_empty(), "{span:?} has no parent");
            continue;
        };
        // The root begins with the condition, a moment after the pass that sets it.
        assert!(
            span.start_time_unix_nano + 2 * second >= parent.start_time_unix_nano,
            "{span:?} {parent:?}"
        );
        // What follows the write of the status ends a little later.
        assert!(
            span.end_time_unix_nano <= parent.end_time_unix_nano + 5 * second,
            "{span:?} {parent:?}"
        );
    }
}

fn names(trace: &[Seen]) -> BTreeSet<&str> {
    trace.iter().map(|seen| seen.span.name.as_str()).collect()
}

fn created(object: &Value) -> u64 {
    let created: jiff::Timestamp = object["metadata"]["creationTimestamp"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    u64::try_from(created.as_second()).unwrap() * 1_000_000_000
}

fn root(trace: &[Seen]) -> &Span {
    let root = trace.iter().find(|seen| seen.span.parent_span_id.is_empty());
    &root.unwrap().span
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "one story, in its order")]
async fn one_trace_from_apply_to_ready() {
    let world = generous_world().await;
    standard_class(&world, "");
    sources(&world);
    let (collector, endpoint) = Collector::start().await;
    let mut first = operator(&world, "first", &endpoint);
    orchestra(&world, "whole", "");
    let object = ready(&world, "whole").await;
    let uid = object["metadata"]["uid"].as_str().unwrap();
    let whole = collector.traces(uid, 1).await.remove(0);
    is_whole(&whole, &object);
    assert_eq!(root(&whole).start_time_unix_nano, created(&object));
    let expected = [
        // Passes, their steps, and the requests to the provider.
        "orchestra",
        "database",
        "Intend",
        "Create",
        "Publish",
        "create_project",
        "Provisioning",
        // Work in the background.
        "migrations",
        "seed",
    ];
    let found = names(&whole);
    for name in expected {
        assert!(found.contains(name), "{name} is not in {found:?}");
    }
    let call = whole.iter().find(|seen| seen.span.name == "create_project").unwrap();
    assert_eq!(text(&call.span.attributes, "http.response.status_code"), "201");

    // Killed half way, and another one takes over.
    world.api.faults().add(Operation::Health, 1, Fault::HoldAfter);
    orchestra(&world, "half", "");
    world.api.faults().wait_until_held(Operation::Health).await;
    let sent = |name: &str| collector.seen().iter().filter(|seen| seen.span.name == name).count();
    soon("the first part is sent", async || sent("create_project") == 2).await;
    kill(&world, &mut first);
    world.api.faults().release(Operation::Health);
    let mut second = operator(&world, "second", &endpoint);
    let object = one_project_and_both_logins(&world, "half").await;
    let uid = object["metadata"]["uid"].as_str().unwrap();
    let half = collector.traces(uid, 1).await.remove(0);
    is_whole(&half, &object);
    assert_eq!(root(&half).start_time_unix_nano, created(&object));
    let from = |pod: &str| half.iter().filter(|seen| seen.pod == pod).cloned().collect::<Vec<_>>();
    let (before, after) = (from("first"), from("second"));
    assert!(names(&before).contains("create_project"), "{:?}", names(&before));
    for name in ["migrations", "seed", "Publish", "Ready"] {
        assert!(names(&after).contains(name) && !names(&before).contains(name), "{name}");
    }

    // A tenant in use is migrated: a trace of its own, with the time of the change.
    let more = serde_json::json!({"20260103000000_more.sql": "SELECT 1;"});
    patch_config_map(&world, "schema", &more);
    let applied = |object: &Value| object["status"]["migrations"]["applied"] == 3;
    world
        .until(Kind::Orchestra, (TENANTS, "half"), LONG, applied)
        .await
        .unwrap();
    ready(&world, "half").await;
    let both = collector.traces(uid, 2).await;
    is_whole(&both[1], &object);
    assert_ne!(root(&both[0]).trace_id, root(&both[1]).trace_id);
    assert!(root(&both[1]).start_time_unix_nano >= root(&both[0]).end_time_unix_nano - 1_000_000_000);
    assert!(names(&both[1]).contains("migrations"));

    // The last ones are sent before the operator ends.
    orchestra(&world, "last", "");
    let object = ready(&world, "last").await;
    assert!(second.terminate().unwrap().success());
    let uid = object["metadata"]["uid"].as_str().unwrap();
    is_whole(&collector.traces(uid, 1).await[0], &object);
    nothing_is_told(&world, &collector, [&first, &second]).await;
}

/// Neither what tenants wrote nor what opens a door.
async fn nothing_is_told(world: &World, collector: &Collector, operators: [&Operator; 2]) {
    let told = format!("{:?}", collector.seen());
    let keys = secret(world, TENANTS, "whole-connection").await;
    let owner = secret(world, SYSTEM, &database_name(world, "whole").await).await;
    let hidden = [
        &keys["password"],
        &keys["host"],
        &keys["SUPABASE_SERVICE_ROLE_KEY"],
        &owner["password"],
    ];
    let hidden = hidden.into_iter().map(String::as_str);
    for hidden in hidden.chain(["Test Orchestra AB", "Member", "20260101000000", "sbp_", "s3cret"]) {
        assert!(!told.contains(hidden), "{hidden}");
    }
    for operator in operators {
        assert!(!operator.log().contains("s3cret-of-the-collector"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_does_not_answer_changes_nothing() {
    let world = generous_world().await;
    standard_class(&world, "");
    sources(&world);
    // It takes connections, and says nothing.
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let mut first = operator(&world, "silent", &endpoint);
    orchestra(&world, "one", "");
    one_project_and_both_logins(&world, "one").await;
    let (_connection, _) = tokio::time::timeout(LONG, silent.accept()).await.unwrap().unwrap();
    orchestra(&world, "two", "");
    one_project_and_both_logins(&world, "two").await;
    let began = Instant::now();
    assert!(first.terminate().unwrap().success());
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    assert!(first.log().contains("the last spans were not exported in time"));
    // Nobody is there at all.
    drop(silent);
    let second = operator(&world, "nobody", &endpoint);
    orchestra(&world, "three", "");
    one_project_and_both_logins(&world, "three").await;
    soon("it is told once", async || {
        second.log().contains("spans cannot be exported")
    })
    .await;
    // It comes, and has what happens from then on.
    let listener = TcpListener::bind(endpoint.trim_start_matches("http://")).await.unwrap();
    let collector = Collector::default();
    let service = Router::new()
        .route("/v1/traces", post(take))
        .with_state(collector.clone());
    tokio::spawn(async move { axum::serve(listener, service).await });
    orchestra(&world, "four", "");
    let object = ready(&world, "four").await;
    let four = collector.traces(object["metadata"]["uid"].as_str().unwrap(), 1).await;
    is_whole(&four[0], &object);
    assert_eq!(second.log().matches("spans cannot be exported").count(), 1);
    assert!(second.log().contains("spans are exported again"));
}
