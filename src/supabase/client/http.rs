//! The client of one token: its HTTP connections, its rate limiter, and the requests that it sends.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Method, redirect};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde_json::Value;

use crate::supabase::answer::unwrapped;
use crate::supabase::error::Error;
use crate::supabase::operation::{Operation, Priority};
use crate::supabase::rate_limit::{Permit, QueuePlace, RateLimiter};
use crate::supabase::said::capped;
use crate::supabase::settings::ApiSettings;
use crate::supabase::token_state::TokenState;
use crate::telemetry::metrics::Metrics;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(30);

/// A client for one token. Every call takes a permit from the token's [`RateLimiter`], and may fail with
/// [`Error::Throttled`] before anything is sent.
#[derive(Debug)]
pub struct Client {
    pub(super) http: reqwest::Client,
    pub(super) settings: Arc<ApiSettings>,
    pub(super) token: SecretString,
    pub(super) limiter: Arc<RateLimiter>,
    pub(super) token_state: TokenState,
    pub(super) metrics: Arc<Metrics>,
    /// Flaws of answers that were logged already, so that each is logged once.
    pub(super) told: Mutex<HashSet<(Operation, String)>>,
}

/// One request, with the secret that its errors must not show, and the names that they may repeat.
pub(super) struct HttpRequest<'a> {
    pub(super) operation: Operation,
    pub(super) priority: Priority,
    /// The project or organization that it counts against.
    pub(super) scope: &'a str,
    pub(super) method: Method,
    pub(super) path: &'a [&'a str],
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) body: Option<Vec<u8>>,
    pub(super) secret: Option<&'a SecretString>,
    /// Names and references in it, which are no words of the API when its answer repeats them.
    pub(super) names: Vec<&'a str>,
    /// The region in it, for the same reason.
    pub(super) region: Option<&'a str>,
}

impl Client {
    /// A client for a token. Whitespace around the token is dropped, because Secrets made from files often end in a
    /// line feed.
    ///
    /// # Errors
    /// When the token cannot be sent in a header, or TLS cannot be set up.
    pub fn new(settings: Arc<ApiSettings>, token: &SecretString, metrics: Arc<Metrics>) -> Result<Self, Error> {
        let token = SecretString::from(token.expose_secret().trim());
        if token.expose_secret().is_empty() {
            return Err(Error::TokenMalformed);
        }
        let mut bearer =
            HeaderValue::from_str(&format!("Bearer {}", token.expose_secret())).map_err(|_| Error::TokenMalformed)?;
        bearer.set_sensitive(true);
        let with = HeaderMap::from_iter([(AUTHORIZATION, bearer)]);
        Ok(Self {
            http: http_client(&settings, with)?,
            settings,
            token,
            limiter: Arc::default(),
            token_state: TokenState::default(),
            metrics,
            told: Mutex::default(),
        })
    }

    /// The address of the API, and the hosts that it may name.
    pub fn settings(&self) -> &ApiSettings {
        &self.settings
    }

    /// The token's rate limiter.
    pub fn rate_limiter(&self) -> &RateLimiter {
        &self.limiter
    }

    /// Takes the permit of one [`Client::create_project`], before anything is written or sent.
    ///
    /// # Errors
    /// [`Error::Queued`] when older Orchestras go first.
    pub async fn permit_creation(&self, organization: &str, place: &QueuePlace) -> Result<Permit, Error> {
        self.limiter
            .acquire(Operation::CreateProject, organization, Some(place))
            .await
    }

    /// The state of the token: to whom it belongs, and whether the API accepts it.
    pub fn token_state(&self) -> &TokenState {
        &self.token_state
    }

    /// Counts in `verdicts`, too, how often the API begins or ceases to accept the token.
    #[must_use]
    pub(crate) fn telling(mut self, verdicts: tokio::sync::watch::Sender<u64>) -> Self {
        self.token_state = TokenState::telling(verdicts);
        self
    }
}

/// A client with these headers in each request.
pub(super) fn http_client(settings: &ApiSettings, headers: HeaderMap) -> Result<reqwest::Client, Error> {
    let mut http = reqwest::Client::builder()
        .user_agent(concat!("orchestra-operator/", env!("CARGO_PKG_VERSION")))
        .default_headers(headers)
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(TIMEOUT)
        // A redirect could carry the token elsewhere, and turns a POST into a GET.
        .redirect(redirect::Policy::none())
        // By default reqwest resends a request that the server says it did not process, but a write must not be
        // resent here. (hyper still takes another connection when the first one was closed before a byte of the
        // request was written.)
        .retry(reqwest::retry::never());
    if settings.is_loopback() {
        http = http.no_proxy();
    }
    http.build().map_err(|error| Error::Settings {
        message: format!("no HTTP client for the Management API: {}", causes(error)),
    })
}

impl<'a> HttpRequest<'a> {
    pub(super) fn new(operation: Operation, scope: &'a str, method: Method, path: &'a [&'a str]) -> Self {
        Self {
            operation,
            priority: operation.priority(),
            scope,
            method,
            path,
            query: Vec::new(),
            body: None,
            secret: None,
            names: vec![scope],
            region: None,
        }
    }
}

pub(super) fn encode(body: &impl Serialize) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(body).map_err(|_| Error::Settings {
        message: "a request to the Management API could not be written as JSON".to_owned(),
    })
}

/// Decodes a body; a JSON text that holds JSON as well. The text of a `serde_json` error can repeat a value, so the
/// error holds its position only.
pub(super) fn decode(operation: Operation, body: &[u8]) -> Result<Value, Error> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let read = serde_json::from_slice(body).map_err(|error| {
        let (category, column) = (error.classify(), error.column());
        let cause = format!("{category:?} error in line {}, column {column}", error.line());
        Error::Undecodable { operation, cause }
    });
    read.map(|value| unwrapped(Some(value)).unwrap_or_default())
}

/// The error of a body that is JSON, but not the documented answer of the operation.
pub(super) fn undocumented(operation: Operation, value: &Value) -> Error {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    Error::Undecodable {
        operation,
        cause: format!("it is {kind}, which lacks required fields"),
    }
}

/// Checks a success whose content is not used: it is empty or JSON, and not the page of a proxy.
pub(super) fn done(operation: Operation, body: &[u8]) -> Result<(), Error> {
    if body.trim_ascii().is_empty() {
        return Ok(());
    }
    decode(operation, body).map(drop)
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
