//! From an HTTP request to an answer: token, rate limit, contract, fault, effect.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, Method, Response, Uri};
use futures::StreamExt;
use jiff::Timestamp;
use serde_json::Value;

use super::dispatch::perform;
use super::faults::Fault;
use super::ledger::Recorded;
use super::limits::Allowance;
use super::line::Cut;
use super::reply::{Call, Reply};
use super::rules::{Edited, Rule};
use super::state::Inner;
use super::{Operation, keys, projects};
use crate::openapi::Request;

const JSON: &str = "application/json; charset=utf-8";

/// How an answer goes out.
#[derive(Debug)]
enum Outcome {
    Reply { reply: Reply, retry_after: Option<u64> },
    Html,
    Close,
    Truncate(Reply),
    Edited(Edited),
}

impl From<Reply> for Outcome {
    fn from(reply: Reply) -> Self {
        Self::Reply {
            reply,
            retry_after: None,
        }
    }
}

/// Answers every request outside `/_sandbox`.
pub(super) async fn handle(
    State(inner): State<Arc<Inner>>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let (at, started) = (Timestamp::now(), Instant::now());
    let route = Operation::find(method.as_str(), uri.path());
    let operation = route.as_ref().map(|(operation, _)| *operation);
    let request = (method.clone(), uri.clone(), headers, body);
    // A task of its own: the effect comes even if the client goes away meanwhile.
    let worker = Arc::clone(&inner);
    let work = tokio::spawn(async move { ruled(&worker, route, request).await });
    let (allowance, outcome) = match work.await {
        Ok(done) => done,
        Err(error) => (inner.limiter.count("failed", None), Reply::internal(&error).into()),
    };
    let response = respond(&inner, allowance, outcome, &cut);
    inner.ledger.request(Recorded {
        at,
        took: started.elapsed(),
        method: method.to_string(),
        path: uri.path().to_owned(),
        operation,
        status: response.as_ref().map(|response| response.status().as_u16()),
    });
    response.unwrap_or_default()
}

type Route = Option<(Operation, Vec<(String, String)>)>;

type Received = (Method, Uri, HeaderMap, Bytes);

/// The answer, as the rule that is for it makes it.
async fn ruled(inner: &Inner, route: Route, request: Received) -> (Allowance, Outcome) {
    let (method, uri, _, body) = &request;
    let query = uri.query().unwrap_or_default();
    let Some(rule) = inner.rules.take(method.as_str(), uri.path(), query, body) else {
        return answer(inner, route, request).await;
    };
    let (allowance, outcome) = if rule.has_effect() {
        answer(inner, route, request).await
    } else {
        (inner.limiter.count("ruled", None), Reply::empty(200).into())
    };
    tokio::time::sleep(Duration::from_millis(rule.delay_ms)).await;
    (allowance, edit(&rule, outcome))
}

/// A rule that cannot be applied is an error that a test sees.
fn edit(rule: &Rule, outcome: Outcome) -> Outcome {
    let Outcome::Reply { reply, .. } = outcome else {
        return outcome;
    };
    match rule.apply(reply.status, reply.body) {
        Ok(edited) => Outcome::Edited(edited),
        Err(error) => Reply::message(500, &format!("A rule of the sandbox cannot edit this answer: {error}")).into(),
    }
}

async fn answer(inner: &Inner, route: Route, (method, uri, headers, body): Received) -> (Allowance, Outcome) {
    if let Some(reply) = keys::gateway(inner, uri.path(), &headers) {
        return (inner.limiter.count("projects", None), reply.into());
    }
    let token = headers
        .get("authorization")
        .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    if !token.is_some_and(|token| inner.accepts(token)) {
        let allowance = inner.limiter.count("address", None);
        return (allowance, Reply::message(401, "Unauthorized").into());
    }
    let Some((operation, path)) = route else {
        let what = format!("{method} {}", uri.path());
        inner.violation(&what, vec!["the stand-in has no such operation".to_owned()]);
        let reply = Reply::message(404, &format!("Cannot {what}"));
        return (inner.limiter.count("user", None), reply.into());
    };
    let query = uri.query().unwrap_or_default().as_bytes();
    let parsed = match body.as_ref() {
        [] => Ok(Value::Null),
        bytes => serde_json::from_slice(bytes),
    };
    let well_formed = parsed.is_ok();
    let call = Call {
        operation,
        path,
        query: url::form_urlencoded::parse(query).into_owned().collect(),
        idempotency_key: headers
            .get("idempotency-key")
            .and_then(|value| Some(value.to_str().ok()?.to_owned())),
        body: parsed.unwrap_or_default(),
    };
    let allowance = inner.limiter.count(call.scope(), Some(operation));
    if allowance.exceeded {
        return (allowance, Reply::message(429, "Rate limit exceeded").into());
    }
    if !well_formed {
        inner.violation(operation.id(), vec!["the body is not JSON".to_owned()]);
        return (allowance, Reply::message(400, "Unexpected token in JSON").into());
    }
    (allowance, faulty(inner, &call).await)
}

/// The answer to a well-formed request, with the fault that waits for it.
async fn faulty(inner: &Inner, call: &Call) -> Outcome {
    if let Some(refused) = violates(inner, call) {
        return refused.into();
    }
    let project = project(inner, call);
    let fault = inner.faults.take(call.operation, &project);
    match &fault {
        Some(Fault::Status { status, retry_after }) => {
            return Outcome::Reply {
                reply: Reply::message(*status, "The sandbox was told to fail"),
                retry_after: *retry_after,
            };
        }
        Some(Fault::Refuse { status, message }) => {
            return Outcome::Reply {
                reply: Reply::message(*status, message),
                retry_after: None,
            };
        }
        Some(Fault::HtmlBadGateway) => return Outcome::Html,
        Some(Fault::CloseBefore) => return Outcome::Close,
        Some(Fault::HoldBefore) => inner.faults.hold(call.operation, &project).await,
        Some(Fault::Twice) => drop(perform(inner, call).await),
        _ => {}
    }
    let reply = perform(inner, call).await.unwrap_or_else(|refused| refused);
    if let Some(contract) = inner.contract.as_ref().filter(|_| reply.status < 300) {
        let body = reply.body.as_ref().map(Value::to_string).unwrap_or_default();
        let found = contract.check_response(call.operation.id(), reply.status, body.as_bytes());
        inner.violation(call.operation.id(), found);
    }
    match fault {
        Some(Fault::HoldAfter) => inner.faults.hold(call.operation, &project).await,
        Some(Fault::Delay { ms }) => tokio::time::sleep(Duration::from_millis(ms)).await,
        Some(Fault::LoseResponse) => return Outcome::Close,
        Some(Fault::Truncate) => return Outcome::Truncate(reply),
        Some(Fault::AnswerAfter { status, message }) => return Reply::message(status, &message).into(),
        _ => {}
    }
    reply.into()
}

/// The name of the project that a request is about; empty when it is about none.
fn project(inner: &Inner, call: &Call) -> String {
    if call.operation == Operation::CreateProject {
        return call.text("name").unwrap_or_default().to_owned();
    }
    let mut world = inner.world();
    let project = world.projects.get_mut(call.project());
    project.map(|project| project.name.clone()).unwrap_or_default()
}

/// The refusal of a request that the document does not allow.
fn violates(inner: &Inner, call: &Call) -> Option<Reply> {
    let contract = inner.contract.as_ref()?;
    let mut body = call.body.clone();
    if let Some(body) = body
        .as_object_mut()
        .filter(|_| call.operation == Operation::CreateProject)
    {
        body.retain(|field, _| !projects::NEWER_FIELDS.contains(&field.as_str()));
    }
    let request = Request {
        path: &call.path,
        query: &call.query,
        body: &body,
    };
    let found = contract.check_request(call.operation.id(), request);
    let refused = (!found.is_empty()).then(|| Reply::message(400, &found.join("; ")));
    inner.violation(call.operation.id(), found);
    refused
}

/// The response to send; none when the connection is cut instead.
fn respond(inner: &Inner, allowance: Allowance, outcome: Outcome, cut: &Cut) -> Option<Response<Body>> {
    let response = Response::builder()
        .header("x-ratelimit-limit", allowance.limit)
        .header("x-ratelimit-remaining", allowance.remaining)
        .header("x-ratelimit-reset", allowance.reset)
        .header("x-gotrue-id", &inner.user);
    let built = match outcome {
        Outcome::Close => {
            cut.now();
            return None;
        }
        Outcome::Html => Response::builder()
            .status(502)
            .header("content-type", "text/html")
            .body(Body::from("<html><head><title>502 Bad Gateway</title></head></html>")),
        Outcome::Reply { reply, retry_after } => {
            let mut response = response.status(reply.status);
            if let Some(seconds) = retry_after {
                response = response.header("retry-after", seconds);
            }
            match reply.body {
                Some(body) => response.header("content-type", JSON).body(Body::from(body.to_string())),
                None => response.body(Body::empty()),
            }
        }
        Outcome::Edited(edited) => {
            let mut response = response.status(edited.status);
            let names: Vec<String> = edited.headers.keys().map(|name| name.to_ascii_lowercase()).collect();
            if !names.iter().any(|name| name == "content-type") && edited.body.is_some() {
                response = response.header("content-type", JSON);
            }
            for (name, value) in edited.headers {
                response = response.header(name, value);
            }
            response.body(edited.body.map(Body::from).unwrap_or_default())
        }
        Outcome::Truncate(reply) => {
            let body = reply.body.unwrap_or_default().to_string();
            response
                .status(reply.status)
                .header("content-type", JSON)
                .header("content-length", body.len())
                .body(half(body))
        }
    };
    Some(built.unwrap_or_default())
}

/// The first half of a body, and then the end of the connection.
fn half(mut body: String) -> Body {
    body.truncate(body.floor_char_boundary(body.len() / 2));
    let broken = futures::stream::once(async {
        // A pending body makes the server send what it has.
        tokio::time::sleep(Duration::from_millis(20)).await;
        Err(std::io::Error::from(std::io::ErrorKind::ConnectionAborted))
    });
    Body::from_stream(futures::stream::iter([Ok(body)]).chain(broken))
}
