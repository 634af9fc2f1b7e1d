//! One request and its answer: the budget, the metrics, what the answer teaches, and what went wrong.

use std::time::{Duration, Instant};

use backon::{ExponentialBuilder, Retryable as _};
use reqwest::Method;
use reqwest::header::HeaderMap;
use secrecy::ExposeSecret as _;
use serde::de::DeserializeOwned;

use super::super::answer::{Answer, capped};
use super::super::budget::{Operation, Permit};
use super::super::error::Error;
use super::{Client, Request, decode};

/// A read is sent again only while its caller has not waited this long.
const RETRY_UNTIL: Duration = Duration::from_secs(10);
const RETRIES: usize = 3;
/// More than any answer of ours holds; a body that goes on is not one.
const MAX_BODY: usize = 8 << 20;

impl Client {
    /// A GET, sent again a few times when the API or the way to it fails.
    pub(super) async fn read<T: DeserializeOwned>(
        &self,
        operation: Operation,
        scope: &str,
        path: &[&str],
        query: Vec<(&'static str, String)>,
    ) -> Result<T, Error> {
        let request = Request {
            query,
            ..Request::new(operation, scope, Method::GET, path)
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

    /// Sends a request once; the body of a success.
    pub(super) async fn send(&self, request: &Request<'_>) -> Result<Vec<u8>, Error> {
        let permit = self.budget.acquire(request.operation, request.scope, None).await?;
        self.exchange_with(request, permit).await
    }

    /// Sends a request that has its permit.
    pub(super) async fn exchange_with(&self, request: &Request<'_>, mut permit: Permit) -> Result<Vec<u8>, Error> {
        let operation = request.operation;
        permit.send();
        let started = Instant::now();
        let (status, headers, body) = match self.exchange(request).await {
            Ok(answer) => answer,
            Err((code, cause)) => {
                self.metrics
                    .management_request(operation.as_str(), code, started.elapsed());
                tracing::debug!(%operation, code, cause, "Management API request without answer");
                return Err(Error::Unreachable { operation, cause });
            }
        };
        let code = status.to_string();
        self.metrics
            .management_request(operation.as_str(), &code, started.elapsed());
        let identity = headers.get("x-gotrue-id").and_then(|id| id.to_str().ok());
        tracing::debug!(%operation, status, identity, "Management API request");
        self.identity.learn(status, identity);
        let pause = permit.learn(status, &headers).unwrap_or_default();
        if (200..300).contains(&status) {
            return Ok(body);
        }
        let password = request.secret.map_or("", |secret| secret.expose_secret());
        let secrets = [self.token.expose_secret(), password];
        Err(Answer::read(status, &body, &secrets).classify(operation, pause))
    }

    /// The whole answer, or a metric's code and what went wrong.
    async fn exchange(&self, request: &Request<'_>) -> Result<(u16, HeaderMap, Vec<u8>), (&'static str, String)> {
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

/// An error of the HTTP client and its causes, without the address.
pub(super) fn causes(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    capped(&text)
}
