//! A request as an operation sees it, and its answer.

use serde_json::{Value, json};

use super::Operation;

/// A request whose operation is known.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) operation: Operation,
    pub(super) path: Vec<(String, String)>,
    pub(super) query: Vec<(String, String)>,
    pub(super) body: Value,
    /// The header of that name.
    pub(super) idempotency_key: Option<String>,
}

impl Call {
    /// A path parameter.
    pub(super) fn path(&self, name: &str) -> &str {
        first(&self.path, name).unwrap_or_default()
    }

    /// The project of the path.
    pub(super) fn project(&self) -> &str {
        self.path("ref")
    }

    /// A query parameter, the first of its name.
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        first(&self.query, name)
    }

    /// A query parameter that is a number; `fallback` when it is absent or none.
    pub(super) fn number(&self, name: &str, fallback: usize) -> usize {
        self.query(name).and_then(|text| text.parse().ok()).unwrap_or(fallback)
    }

    /// A text field of the body.
    pub(super) fn text(&self, field: &str) -> Option<&str> {
        self.body[field].as_str()
    }

    /// The names of the body's fields.
    pub(super) fn fields(&self) -> impl Iterator<Item = &str> {
        let fields = self.body.as_object();
        fields.into_iter().flatten().map(|(name, _)| name.as_str())
    }

    /// What the request counts against: the project, the organization, or the user.
    pub(super) fn scope(&self) -> &str {
        first(&self.path, "ref")
            .or_else(|| first(&self.path, "slug"))
            .or_else(|| self.text("organization_slug"))
            .unwrap_or("user")
    }
}

fn first<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs
        .iter()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.as_str())
}

/// An answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Option<Value>,
}

impl Reply {
    pub(super) fn json(status: u16, body: Value) -> Self {
        Self {
            status,
            body: Some(body),
        }
    }

    /// An answer without a body.
    pub(super) fn empty(status: u16) -> Self {
        Self { status, body: None }
    }

    /// The error body that every recorded 4xx has.
    pub(super) fn message(status: u16, message: &str) -> Self {
        Self::json(status, json!({"message": message}))
    }

    /// The error of the platform itself.
    pub(super) fn internal(error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "the stand-in failed");
        let event = crate::random::hex(32);
        Self::json(500, json!({"message": "Internal server error", "errorEventId": event}))
    }
}

impl From<sqlx::Error> for Reply {
    fn from(error: sqlx::Error) -> Self {
        Self::internal(&error)
    }
}
