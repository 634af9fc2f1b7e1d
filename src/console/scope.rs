//! Visitors whose rights end at a namespace: they name it, and see of a list what is in it.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;

use super::answer;
use super::cluster::is_refused;
use super::form::{Fields, NAMESPACE, link};
use super::frame::Frame;
use super::visitor::Visitor;
use crate::api::names::is_object_name;

/// Asks for a namespace.
#[derive(Template)]
#[template(path = "console/namespace.html")]
struct NamespacePage {
    frame: Frame,
    path: &'static str,
}

/// The filter of a list by namespace.
pub struct NamespaceFilter {
    /// The path of the list.
    pub path: &'static str,
    /// The namespace; empty for all.
    pub namespace: String,
}

impl NamespaceFilter {
    /// That of a query; none where it names what cannot be a namespace.
    pub fn of(path: &'static str, query: &Fields) -> Option<Self> {
        let namespace = query.get("namespace").to_owned();
        let is_one = namespace.is_empty() || is_object_name(&namespace, NAMESPACE);
        is_one.then_some(Self { path, namespace })
    }

    /// A page of the list.
    pub fn page(&self, number: usize) -> String {
        link(
            self.path,
            &[("namespace", &self.namespace), ("page", &number.to_string())],
        )
    }

    /// The answer to a list that the API server refuses, or does not give: whoever has named no namespace is asked for one.
    pub fn failed(&self, visitor: Visitor, error: &kube::Error) -> Response {
        if self.namespace.is_empty() && is_refused(error) {
            let page = NamespacePage {
                frame: visitor.frame,
                path: self.path,
            };
            return answer::with_status(StatusCode::FORBIDDEN, &page);
        }
        visitor.failed(error)
    }
}
