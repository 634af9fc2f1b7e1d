//! What holds for every request: its origin, its time, its size, and the headers of its answer.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ORIGIN,
    REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, VARY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::Console;
use super::answer;
use super::frame::Frame;

/// Time limit of a request.
const TIME: Duration = Duration::from_secs(25);

/// The most bytes of a page, and the fewest that are compressed.
const PAGE: usize = 8 << 20;
const SMALL: usize = 1 << 10;

/// The nonce of the scripts of one answer.
#[derive(Clone)]
pub struct ScriptNonce(pub String);

/// Refuses a change that another site asks for. Cookies are `SameSite=Strict` as well.
pub async fn origin(State(console): State<Arc<Console>>, request: Request, next: Next) -> Response {
    let safe = [Method::GET, Method::HEAD].contains(request.method());
    if safe || is_ours(request.headers(), &console.settings.origin) {
        return next.run(request).await;
    }
    let (parts, _) = request.into_parts();
    answer::problem(
        &Frame::of(&parts, &console),
        StatusCode::FORBIDDEN,
        "problem-origin",
        "",
    )
}

fn is_ours(headers: &HeaderMap, origin: &str) -> bool {
    match headers.get(ORIGIN) {
        Some(sent) => sent.as_bytes() == origin.as_bytes(),
        None => headers.get("sec-fetch-site").is_some_and(|site| site == "same-origin"),
    }
}

/// Finds nothing where a path has other characters than names of objects: these would become a part of the API server's path.
pub async fn plain_path(State(console): State<Arc<Console>>, request: Request, next: Next) -> Response {
    if is_plain(request.uri().path()) {
        return next.run(request).await;
    }
    let (parts, _) = request.into_parts();
    answer::nowhere(State(console), parts).await
}

fn is_plain(path: &str) -> bool {
    let named = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'/');
    path.bytes().all(named) && path.split('/').all(|part| part != "." && part != "..")
}

/// Ends a request that takes too long.
pub async fn bounded(State(console): State<Arc<Console>>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let frame = Frame::of(&parts, &console);
    let next = next.run(Request::from_parts(parts, body));
    tokio::time::timeout(TIME, next)
        .await
        .unwrap_or_else(|_| answer::problem(&frame, StatusCode::GATEWAY_TIMEOUT, "problem-late", ""))
}

/// Compresses pages. They hold no secret that a visitor's input could be compared with by its compressed size.
pub async fn compressed(request: Request, next: Next) -> Response {
    let accepts = request.headers().get(ACCEPT_ENCODING);
    let gzip = accepts
        .and_then(|accepts| accepts.to_str().ok())
        .is_some_and(|accepts| accepts.contains("gzip"));
    let answer = next.run(request).await;
    if !gzip {
        return answer;
    }
    let (mut parts, body) = answer.into_parts();
    let Ok(plain) = to_bytes(body, PAGE).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    if plain.len() < SMALL || packed.write_all(&plain).is_err() {
        return Response::from_parts(parts, Body::from(plain));
    }
    let Ok(packed) = packed.finish() else {
        return Response::from_parts(parts, Body::from(plain));
    };
    parts.headers.remove(CONTENT_LENGTH);
    parts.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    parts.headers.insert(
        VARY,
        HeaderValue::from_static("accept-encoding, accept-language, cookie"),
    );
    Response::from_parts(parts, Body::from(packed))
}

/// Sets the security headers of every answer.
pub async fn headers(State(console): State<Arc<Console>>, mut request: Request, next: Next) -> Response {
    let nonce = STANDARD.encode(rand::random::<[u8; 18]>());
    request.extensions_mut().insert(ScriptNonce(nonce.clone()));
    let mut answer = next.run(request).await;
    let headers = answer.headers_mut();
    let policy = format!(
        "default-src 'none'; style-src 'self'; script-src 'nonce-{nonce}'; img-src 'self'; connect-src 'self'; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    );
    if let Ok(policy) = HeaderValue::try_from(policy) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    let fixed = [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (
            HeaderName::from_static("permissions-policy"),
            "camera=(), geolocation=(), microphone=()",
        ),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if console.settings.origin.starts_with("https://") {
        headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    headers
        .entry(CONTENT_TYPE)
        .or_insert(HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_path_has_names_only() {
        for (path, is) in [
            ("/", true),
            ("/tenants/a-b/c.d/back-up", true),
            ("/tenants/a/b%3Fx=1", false),
            ("/tenants/a/b%2Fc", false),
            ("/tenants/../b", false),
            ("/tenants/a/$(x)", false),
        ] {
            assert_eq!(is_plain(path), is, "{path}");
        }
    }

    #[test]
    fn only_the_console_itself_asks_for_changes() {
        let ours = "https://console.example.com";
        for (headers, is) in [
            (vec![("origin", ours)], true),
            (vec![("origin", "https://evil.example")], false),
            (vec![("origin", "http://console.example.com")], false),
            (vec![("origin", "null")], false),
            (
                vec![("origin", "https://evil.example"), ("sec-fetch-site", "same-origin")],
                false,
            ),
            (vec![("sec-fetch-site", "same-origin")], true),
            (vec![("sec-fetch-site", "same-site")], false),
            (vec![], false),
        ] {
            let headers = headers
                .into_iter()
                .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
            let headers: HeaderMap = headers
                .collect::<Vec<(HeaderName, HeaderValue)>>()
                .into_iter()
                .collect();
            assert_eq!(is_ours(&headers, ours), is, "{headers:?}");
        }
    }
}
