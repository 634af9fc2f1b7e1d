//! Forms and queries of URLs: texts by name. axum bounds their bytes.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use bytes::Bytes;
use url::form_urlencoded::{Serializer, parse};

use super::Console;
use super::answer;
use super::frame::Frame;

/// The longest name of a namespace, in bytes.
pub const NAMESPACE: usize = 63;

/// The longest value that a page reads, in characters.
const LONGEST: usize = 16 << 10;

/// The fields of a form, or the query of a URL. When a name occurs twice, its last value counts.
#[derive(Clone, Debug, Default)]
pub struct Fields(BTreeMap<String, String>);

impl Fields {
    /// The fields of an encoded form or query.
    pub fn of(encoded: &[u8]) -> Self {
        let pairs = parse(encoded).map(|(name, value)| (name.into_owned(), value.chars().take(LONGEST).collect()));
        Self(pairs.collect())
    }

    /// Fields with these names and values.
    #[cfg(test)]
    pub fn from_pairs(pairs: &[(&str, &str)]) -> Self {
        Self(
            pairs
                .iter()
                .map(|(name, value)| ((*name).into(), (*value).into()))
                .collect(),
        )
    }

    /// The value of a field without spaces around it, empty where it is not there.
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", |value| value.trim())
    }

    /// The names and values of these fields, those that are not there empty.
    pub fn pairs<'a>(&'a self, names: &[&'a str]) -> Vec<(&'a str, &'a str)> {
        names.iter().map(|name| (*name, self.get(name))).collect()
    }

    /// The value of a field that is not empty.
    pub fn some(&self, name: &str) -> Option<&str> {
        Some(self.get(name)).filter(|value| !value.is_empty())
    }
}

/// The query of a URL.
pub struct QueryFields(pub Fields);

impl<S: Sync> FromRequestParts<S> for QueryFields {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(Fields::of(parts.uri.query().unwrap_or_default().as_bytes())))
    }
}

impl FromRequest<Arc<Console>> for Fields {
    type Rejection = Response;

    async fn from_request(request: Request, console: &Arc<Console>) -> Result<Self, Response> {
        let (parts, body) = request.into_parts();
        let frame = Frame::of(&parts, console);
        let body = Bytes::from_request(Request::from_parts(parts, body), console).await;
        let refused = |_| answer::problem(&frame, StatusCode::PAYLOAD_TOO_LARGE, "problem-long", "");
        body.map(|body| Self::of(&body)).map_err(refused)
    }
}

/// A URL of the console: a path whose parts are encoded, and a query without its empty values.
pub fn link(path: &str, query: &[(&str, &str)]) -> String {
    let mut pairs = Serializer::new(String::new());
    for (name, value) in query.iter().filter(|(_, value)| !value.is_empty()) {
        pairs.append_pair(name, value);
    }
    match pairs.finish() {
        query if query.is_empty() => path.to_owned(),
        query => format!("{path}?{query}"),
    }
}

/// A part of a path.
pub fn encoded(part: &str) -> String {
    percent_encoding::utf8_percent_encode(part, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// The path of a tenant's page.
pub fn tenant_path(namespace: &str, name: &str) -> String {
    let part = |text: &str| encoded(text).replace("%2D", "-").replace("%2E", ".");
    format!("/tenants/{}/{}", part(namespace), part(name))
}

/// A path of this console that somebody named: another site's address, or something odd, is the start page.
pub fn own_path(text: &str) -> &str {
    let odd = |byte: u8| !byte.is_ascii_graphic() || byte == b'\\';
    let ours = text.starts_with('/') && !text.starts_with("//") && !text.bytes().any(odd);
    if ours { text } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_back_never_leads_elsewhere() {
        for (text, path) in [
            ("/tenants/a/b?x=1", "/tenants/a/b?x=1"),
            ("//evil.example", "/"),
            ("/\\evil.example", "/"),
            ("https://evil.example", "/"),
            ("/a\r\nset-cookie: x", "/"),
            ("", "/"),
        ] {
            assert_eq!(own_path(text), path, "{text}");
        }
    }

    #[test]
    fn links_are_encoded_and_leave_out_what_is_empty() {
        assert_eq!(link("/", &[("class", "a&b"), ("page", "")]), "/?class=a%26b");
        assert_eq!(tenant_path("a-b", "c/d\""), "/tenants/a-b/c%2Fd%22");
        let fields = Fields::of(b"name=+a+&name=b+&empty=");
        assert_eq!((fields.get("name"), fields.some("empty")), ("b", None));
    }
}
