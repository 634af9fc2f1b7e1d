//! One request and its answer: the permit, the metrics, the answer's information about limit and token, the error.

use std::time::{Duration, Instant};

use backon::{ExponentialBuilder, Retryable as _};
use reqwest::Method;
use reqwest::header::HeaderMap;
use secrecy::ExposeSecret as _;
use serde_json::Value;

use super::http::{Client, HttpRequest, causes, decode, undocumented};
use crate::supabase::answer::FailedAnswer;
use crate::supabase::error::Error;
use crate::supabase::fields::{AnswerItems, Item, item, items};
use crate::supabase::operation::{ApiCall, Operation};
use crate::supabase::rate_limit::Permit;
use crate::supabase::words::Echo;
use crate::telemetry::traces;

/// A read is retried only while its caller has waited for less than this.
const RETRY_UNTIL: Duration = Duration::from_secs(10);
const RETRIES: usize = 3;
/// The most bytes of a body; every answer that the operator uses is smaller.
const MAX_BODY: usize = 8 << 20;
/// The most operations and scopes of which it is logged that an answer is odd.
const TOLD: usize = 1000;

impl Client {
    /// Sends a GET, and reads the object that it answers.
    pub(super) async fn read<T: Item>(
        &self,
        call: impl Into<ApiCall>,
        scope: &str,
        path: &[&str],
        query: Vec<(&'static str, String)>,
    ) -> Result<T, Error> {
        let call = call.into();
        let answer = self.read_json(call, scope, path, query).await?;
        self.item(call.operation, scope, &answer)
    }

    /// Reads the object of an answer.
    pub(super) fn item<T: Item>(&self, operation: Operation, scope: &str, answer: &Value) -> Result<T, Error> {
        let (read, odd) = item(answer);
        self.count_odd(operation, scope, usize::from(odd));
        read.ok_or_else(|| undocumented(operation, answer))
    }

    /// Sends a GET, and reads each object of the list that it answers; `field` holds the list, unless it is the
    /// answer.
    pub(super) async fn read_list<T: Item>(
        &self,
        call: impl Into<ApiCall>,
        (scope, field): (&str, &str),
        path: &[&str],
        query: Vec<(&'static str, String)>,
    ) -> Result<AnswerItems<T>, Error> {
        let call = call.into();
        let operation = call.operation;
        let answer = self.read_json(call, scope, path, query).await?;
        let list = answer.as_array().or_else(|| answer.get(field)?.as_array());
        let read = items(list.ok_or_else(|| undocumented(operation, &answer))?);
        self.count_odd(operation, scope, read.odd);
        Ok(read)
    }

    /// Counts the objects of an answer that were not understood in full, and logs it once.
    pub(super) fn count_odd(&self, operation: Operation, scope: &str, odd: usize) {
        if odd == 0 {
            return;
        }
        self.metrics.management_odd(operation.as_str(), odd);
        let mut told = self.told.lock();
        if told.len() < TOLD && told.insert((operation, scope.to_owned())) {
            tracing::warn!(
                %operation,
                scope,
                odd,
                "parts of an answer of the Management API are not as documented; the rest of it is used"
            );
        }
    }

    /// Sends a GET, and retries it a few times when the API or the connection fails.
    pub(super) async fn read_json(
        &self,
        call: impl Into<ApiCall>,
        scope: &str,
        path: &[&str],
        query: Vec<(&'static str, String)>,
    ) -> Result<Value, Error> {
        let ApiCall { operation, priority } = call.into();
        let request = HttpRequest {
            priority,
            query,
            ..HttpRequest::new(operation, scope, Method::GET, path)
        };
        let started = Instant::now();
        let backoff = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(200))
            .with_max_delay(Duration::from_secs(2))
            .with_max_times(RETRIES)
            .with_jitter();
        let body = (|| self.send(&request))
            .retry(backoff)
            .sleep(tokio::time::sleep)
            .when(|error| error.is_worth_a_retry() && started.elapsed() < RETRY_UNTIL)
            .await?;
        decode(operation, &body)
    }

    /// Sends a request once, and returns the body of a success.
    pub(super) async fn send(&self, request: &HttpRequest<'_>) -> Result<Vec<u8>, Error> {
        let call = ApiCall {
            operation: request.operation,
            priority: request.priority,
        };
        let permit = self.limiter.acquire(call, request.scope, None).await?;
        self.exchange_with(request, permit).await
    }

    /// Sends a request that has its permit.
    pub(super) async fn exchange_with(&self, request: &HttpRequest<'_>, permit: Permit) -> Result<Vec<u8>, Error> {
        let name = request.operation.as_str();
        let exchange = Box::pin(self.permitted(request, permit));
        traces::span(name, traces::Side::Client, exchange).await
    }

    async fn permitted(&self, request: &HttpRequest<'_>, mut permit: Permit) -> Result<Vec<u8>, Error> {
        let operation = request.operation;
        if let Some(waited) = permit.waited() {
            self.metrics.queue_waited(operation.as_str(), waited);
        }
        permit.send();
        let started = Instant::now();
        let (status, headers, body) = match self.exchange(request).await {
            Ok(answer) => answer,
            Err((code, cause)) => {
                self.metrics
                    .management_request(operation.as_str(), code, started.elapsed());
                traces::note("error.type", code);
                tracing::debug!(%operation, code, cause, "Management API request without answer");
                return Err(Error::Unreachable { operation, cause });
            }
        };
        traces::note("http.response.status_code", i64::from(status));
        let code = status.to_string();
        self.metrics
            .management_request(operation.as_str(), &code, started.elapsed());
        let identity = headers.get("x-gotrue-id").and_then(|id| id.to_str().ok());
        tracing::debug!(%operation, status, identity, "Management API request");
        let pause = permit.learn(status, &headers).unwrap_or_default();
        if (200..300).contains(&status) {
            // A web page with a success is a proxy's.
            if body.trim_ascii_start().first() != Some(&b'<') {
                self.token_state.learn(status, identity);
            }
            return Ok(body);
        }
        let password = request.secret.map_or("", |secret| secret.expose_secret());
        let secrets = [self.token.expose_secret(), password];
        let echo = Echo {
            names: &request.names,
            region: request.region,
        };
        let answer = FailedAnswer::read(status, &body, &secrets, echo);
        if !answer.is_from_outside() {
            self.token_state.learn(status, identity);
        }
        Err(answer.classify(operation, pause))
    }

    /// The whole answer; otherwise the code for the metrics, and the cause.
    async fn exchange(&self, request: &HttpRequest<'_>) -> Result<(u16, HeaderMap, Vec<u8>), (&'static str, String)> {
        let failed = |error: reqwest::Error| {
            let code = match () {
                () if error.is_timeout() => "timeout",
                () if error.is_connect() => "connect",
                () => "transport",
            };
            (code, causes(error))
        };
        let mut url = self.settings.api_url().clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(request.path);
        }
        if !request.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&request.query);
        }
        let mut builder = self.http.request(request.method.clone(), url);
        if let Some(body) = &request.body {
            builder = builder.header("content-type", "application/json").body(body.clone());
        }
        let mut answer = builder.send().await.map_err(failed)?;
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(failed)? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_BODY {
                return Err(("transport", format!("the answer exceeds {MAX_BODY} bytes")));
            }
        }
        Ok((answer.status().as_u16(), answer.headers().clone(), body))
    }
}
