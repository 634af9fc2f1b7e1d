//! Bounds on the answers of a store. The S3 client reads lists, errors and acknowledgements into memory whole, without a bound on
//! their size, and without a time limit while bytes arrive (`object_store` 0.14: `body.bytes()` and `body.text()` in
//! `aws/client.rs` and `client/retry.rs`). Objects are streamed, so this module does not bound them.

use std::time::Duration;

use async_trait::async_trait;
use bytes::BytesMut;
use futures::TryStreamExt as _;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
    ReqwestConnector,
};

/// The longest time that an answer other than an object may take. A store may need minutes to join the parts of an upload.
const LONGEST: Duration = Duration::from_mins(10);
/// The most bytes of a list or an acknowledgement: a page of a list has 1000 keys of up to 1 KiB, which XML can make longer.
const ANSWER: usize = 8 << 20;
/// The most bytes of an error that are read.
const REFUSAL: usize = 16 << 10;

/// Connects clients whose answers are bounded.
#[derive(Debug, Default)]
pub(super) struct BoundedConnector {
    inner: ReqwestConnector,
}

impl HttpConnector for BoundedConnector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = self.inner.connect(options)?;
        Ok(HttpClient::new(BoundedClient {
            client,
            longest: LONGEST,
        }))
    }
}

#[derive(Debug)]
struct BoundedClient {
    client: HttpClient,
    longest: Duration,
}

#[derive(Debug, thiserror::Error)]
enum Excess {
    #[error("the store's answer has more than {} MiB", ANSWER >> 20)]
    Long,
    #[error("the store's answer took more than {} s", .0.as_secs())]
    Slow(Duration),
}

/// The kind of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// It reads an object.
    Object,
    /// It writes bytes, and may take as long as they need.
    Write,
    /// Any other request, whose answer is short.
    Other,
}

impl Asked {
    fn by(request: &HttpRequest) -> Self {
        let lists = request.uri().query().is_some_and(|query| query.contains("list-type="));
        match request.method().as_str() {
            "GET" if !lists => Self::Object,
            "PUT" => Self::Write,
            _ => Self::Other,
        }
    }
}

#[async_trait]
impl HttpService for BoundedClient {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let asked = Asked::by(&request);
        let slow = |_| HttpError::new(HttpErrorKind::Unknown, Excess::Slow(self.longest));
        let until = tokio::time::Instant::now() + self.longest;
        let answer = self.client.execute(request);
        let answer = match asked {
            Asked::Write => answer.await?,
            _ => tokio::time::timeout_at(until, answer).await.map_err(slow)??,
        };
        if asked == Asked::Object && answer.status().is_success() {
            return Ok(answer);
        }
        // After a long write, the body of the answer still has a tenth of the time.
        let until = until.max(tokio::time::Instant::now() + self.longest / 10);
        tokio::time::timeout_at(until, whole(answer)).await.map_err(slow)?
    }
}

/// The answer with its body in memory. Of an error, only the beginning is read.
async fn whole(answer: HttpResponse) -> Result<HttpResponse, HttpError> {
    let (parts, body) = answer.into_parts();
    let most = if parts.status.is_success() { ANSWER } else { REFUSAL };
    let (mut stream, mut bytes) = (body.bytes_stream(), BytesMut::new());
    while let Some(chunk) = stream.try_next().await? {
        let room = most - bytes.len();
        bytes.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() > room {
            if parts.status.is_success() {
                return Err(HttpError::new(HttpErrorKind::Unknown, Excess::Long));
            }
            break;
        }
    }
    Ok(HttpResponse::from_parts(parts, HttpResponseBody::from(bytes.freeze())))
}

#[cfg(test)]
#[path = "bounded_store_tests.rs"]
mod tests;
