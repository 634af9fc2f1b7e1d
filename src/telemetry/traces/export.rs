//! The exporter: a bounded queue, and one task that sends the queued spans by OTLP over HTTP. Recording a span never waits:
//! spans that do not fit into the queue are dropped.

use std::time::Duration;

use async_trait::async_trait;
use opentelemetry::KeyValue;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use reqwest::redirect;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use url::Url;

use crate::loopback::is_loopback;

/// The most spans that wait to be sent: some MiB.
const QUEUE: usize = 2048;

/// The most spans of one request.
const BATCH: usize = 512;

/// How long spans wait for further ones.
const LINGER: Duration = Duration::from_secs(1);

/// How long the opening of a connection, and a request in all, may take.
const CONNECT: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long one batch may take with all its attempts.
const ATTEMPTS: Duration = Duration::from_secs(30);

/// How long the operator waits at its end for spans to be sent.
const LAST: Duration = Duration::from_secs(3);

/// The most bytes of an answer. An answer that accepts everything is short.
const MAX_ANSWER: usize = 64 << 10;

/// The protocols of OpenTelemetry's variable that this exporter speaks.
const PROTOCOL: &str = "http/protobuf";

/// The name of the service where `OTEL_SERVICE_NAME` names none.
const SERVICE: &str = "orchestra-operator";

/// Traces cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The endpoint is not an address of a collector.
    #[error(
        "--otlp-endpoint is no address of a collector: write it as http://collector:4318 or https://…, without a user or \
         a password (those go into OTEL_EXPORTER_OTLP_HEADERS)"
    )]
    Endpoint,
    /// The configured protocol is not supported.
    #[error(
        "{variable} is {value:?}, but traces are sent as http/protobuf: remove the variable, and give --otlp-endpoint the \
         collector's port for OTLP over HTTP (4318)"
    )]
    Protocol {
        /// The variable.
        variable: &'static str,
        /// Its value.
        value: String,
    },
    /// The exporter cannot be made with the variables of OpenTelemetry.
    #[error("traces cannot be exported with the variables OTEL_EXPORTER_OTLP_… that are set: {0}")]
    Exporter(String),
}

/// The queue's entrance.
#[derive(Debug)]
pub(super) struct SpanQueue(mpsc::Sender<SpanData>);

impl SpanQueue {
    pub(super) fn put(&self, span: SpanData) {
        // A span that does not fit is dropped. The exporter logs that the collector does not keep up.
        let _ = self.0.try_send(span);
    }
}

/// The task that sends spans.
#[derive(Debug)]
pub struct Exporting {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Exporting {
    /// Sends the queued spans, within a time limit.
    pub async fn finish(self) {
        // It has ended by itself.
        let _ = self.stop.send(());
        let abort = self.task.abort_handle();
        if tokio::time::timeout(LAST, self.task).await.is_err() {
            abort.abort();
            tracing::warn!("the last spans were not exported in time and are lost");
        }
    }
}

/// Starts the task that sends spans to the collector at this address.
///
/// # Errors
/// See [`Error`].
pub(super) fn start(endpoint: &str) -> Result<(SpanQueue, Exporting), Error> {
    for variable in ["OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"] {
        let value = std::env::var(variable).unwrap_or_default();
        if !value.is_empty() && value != PROTOCOL {
            return Err(Error::Protocol { variable, value });
        }
    }
    let address = address(endpoint)?;
    let wrong = |error: &dyn std::fmt::Display| Error::Exporter(error.to_string());
    let mut http = reqwest::Client::builder()
        .user_agent(concat!("orchestra-operator/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT)
        .timeout(TIMEOUT)
        // A redirect could carry the headers elsewhere.
        .redirect(redirect::Policy::none());
    if is_loopback(&address) {
        http = http.no_proxy();
    }
    let http = http.build().map_err(|error| wrong(&error.without_url()))?;
    let mut exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(ExporterHttp(http))
        .with_endpoint(address.as_str())
        .build()
        .map_err(|error| wrong(&error))?;
    exporter.set_resource(&resource());
    let (queue, spans) = mpsc::channel(QUEUE);
    let (stop, stopped) = oneshot::channel();
    let host = address.host_str().unwrap_or_default().to_owned();
    let task = tokio::spawn(run(exporter, spans, stopped, host));
    Ok((SpanQueue(queue), Exporting { stop, task }))
}

/// The address that traces are sent to.
fn address(endpoint: &str) -> Result<Url, Error> {
    let mut url = Url::parse(endpoint.trim()).map_err(|_| Error::Endpoint)?;
    let bare = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    if !bare || !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(Error::Endpoint);
    }
    let mut path = url.path_segments_mut().map_err(|()| Error::Endpoint)?;
    path.pop_if_empty().extend(["v1", "traces"]);
    drop(path);
    Ok(url)
}

/// The resource of the spans: from the variables of OpenTelemetry, and the pod.
fn resource() -> Resource {
    let mut attributes = vec![KeyValue::new("service.version", env!("CARGO_PKG_VERSION"))];
    for (key, variable) in [("k8s.pod.name", "POD_NAME"), ("k8s.namespace.name", "POD_NAMESPACE")] {
        attributes.extend(std::env::var(variable).ok().map(|value| KeyValue::new(key, value)));
    }
    let resource = Resource::builder().with_attributes(attributes);
    if std::env::var_os("OTEL_SERVICE_NAME").is_some() {
        return resource.build();
    }
    resource.with_service_name(SERVICE).build()
}

async fn run(
    exporter: SpanExporter,
    mut spans: mpsc::Receiver<SpanData>,
    mut stopped: oneshot::Receiver<()>,
    host: String,
) {
    let mut works = true;
    let mut stopping = false;
    while !stopping {
        let mut batch = Vec::new();
        tokio::select! {
            count = spans.recv_many(&mut batch, BATCH) => if count == 0 {
                return;
            },
            _ = &mut stopped => stopping = true,
        }
        if !stopping {
            tokio::select! {
                () = tokio::time::sleep(LINGER) => {}
                _ = &mut stopped => stopping = true,
            }
        }
        loop {
            while let Some(span) = (batch.len() < BATCH).then(|| spans.try_recv().ok()).flatten() {
                batch.push(span);
            }
            if batch.is_empty() {
                break;
            }
            match (works, failed(&exporter, std::mem::take(&mut batch)).await) {
                (true, Some(cause)) => {
                    works = false;
                    tracing::warn!(
                        host,
                        cause,
                        "spans cannot be exported, and are dropped until the collector takes them"
                    );
                }
                (false, None) => {
                    works = true;
                    tracing::info!(host, "spans are exported again");
                }
                _ => {}
            }
        }
    }
}

/// Sends a batch. Returns why the collector did not take it.
async fn failed(exporter: &SpanExporter, batch: Vec<SpanData>) -> Option<String> {
    match tokio::time::timeout(ATTEMPTS, exporter.export(batch)).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some(format!("no answer within {} s", ATTEMPTS.as_secs())),
    }
}

/// The HTTP client of the exporter. An answer is bounded.
#[derive(Debug)]
struct ExporterHttp(reqwest::Client);

#[async_trait]
impl HttpClient for ExporterHttp {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let mut answer = self.0.execute(request.try_into()?).await?;
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await? {
            if body.len() + piece.len() > MAX_ANSWER {
                return Err(format!("the answer has more than {MAX_ANSWER} bytes").into());
            }
            body.extend_from_slice(&piece);
        }
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = answer.status();
        *response.headers_mut() = std::mem::take(answer.headers_mut());
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_endpoint_is_the_base_of_the_address() {
        for (endpoint, sends_to) in [
            ("http://collector:4318", Some("http://collector:4318/v1/traces")),
            (
                "https://otel.example/tenant/",
                Some("https://otel.example/tenant/v1/traces"),
            ),
            ("collector:4318", None),
            ("grpc://collector:4317", None),
            ("https://user:hunter2@otel.example", None),
            ("", None),
        ] {
            let found = address(endpoint);
            assert_eq!(found.as_ref().ok().map(Url::as_str), sends_to, "{endpoint}");
            if let Err(error) = found {
                assert!(!error.to_string().contains("hunter2"));
            }
        }
    }
}
