//! The files that pages refer to. They are part of the program.

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};

const STYLE: &str = include_str!("assets/style.css");
const LIVE: &str = include_str!("assets/live.js");
const MARK: &str = include_str!("assets/mark.svg");

/// `GET /assets/{name}`.
pub async fn file(name: Result<Path<String>, PathRejection>) -> Response {
    let (content, kind) = match name.as_ref().map_or("", |name| name.as_str()) {
        "style.css" => (STYLE, "text/css; charset=utf-8"),
        "live.js" => (LIVE, "text/javascript; charset=utf-8"),
        "mark.svg" => (MARK, "image/svg+xml"),
        _ => return (StatusCode::NOT_FOUND, "There is no such file.\n").into_response(),
    };
    ([(CONTENT_TYPE, kind), (CACHE_CONTROL, "public, max-age=300")], content).into_response()
}
