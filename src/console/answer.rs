//! Answers: pages, redirects, and pages that say what is wrong.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{Html, IntoResponse as _, Response};

use super::Console;
use super::frame::Frame;
use crate::text;

/// The longest message of the API server that a page shows.
const MESSAGE: usize = 2000;

#[derive(Template)]
#[template(path = "console/problem.html")]
struct ProblemPage<'a> {
    frame: &'a Frame,
    title: String,
    told: String,
    detail: String,
    /// The visitor must sign in again, and can do it here.
    expired: bool,
}

/// A page.
pub fn page(template: &impl Template) -> Response {
    with_status(StatusCode::OK, template)
}

/// A page with a status.
pub fn with_status(status: StatusCode, template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => (status, Html(html)).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be written");
            (StatusCode::INTERNAL_SERVER_ERROR, "The page could not be written.\n").into_response()
        }
    }
}

/// A page that says what is wrong, by the keys of its title and its text, with what the API server says.
pub fn problem(frame: &Frame, status: StatusCode, key: &str, detail: &str) -> Response {
    let template = ProblemPage {
        frame,
        title: frame.t.say(key),
        told: frame.t.say(&format!("{key}-text")),
        detail: text::line(detail, MESSAGE),
        expired: status == StatusCode::UNAUTHORIZED && frame.can_leave,
    };
    with_status(status, &template)
}

/// Sends the browser to another page of the console, with GET.
pub fn see(path: &str) -> Response {
    let location = HeaderValue::try_from(path).unwrap_or(HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [(LOCATION, location)]).into_response()
}

/// The page for what the API server refuses, or does not answer.
pub fn failed(frame: &Frame, error: &kube::Error) -> Response {
    match error {
        kube::Error::Api(status) => match status.code {
            401 => problem(frame, StatusCode::UNAUTHORIZED, "problem-expired", ""),
            403 => problem(frame, StatusCode::FORBIDDEN, "problem-forbidden", &status.message),
            404 => problem(frame, StatusCode::NOT_FOUND, "problem-missing", &status.message),
            409 => problem(frame, StatusCode::CONFLICT, "problem-conflict", &status.message),
            400 | 422 => problem(
                frame,
                StatusCode::UNPROCESSABLE_ENTITY,
                "problem-invalid",
                &status.message,
            ),
            _ => problem(frame, StatusCode::BAD_GATEWAY, "problem-cluster", &status.message),
        },
        other => {
            tracing::warn!(error = %other, "the API server does not answer");
            problem(frame, StatusCode::SERVICE_UNAVAILABLE, "problem-unreachable", "")
        }
    }
}

/// The page of a path that does not exist.
pub async fn nowhere(State(console): State<Arc<Console>>, parts: Parts) -> Response {
    problem(
        &Frame::of(&parts, &console),
        StatusCode::NOT_FOUND,
        "problem-nowhere",
        "",
    )
}
