//! The visitor of a page: who the API server says they are, and a client with their token.

use std::sync::Arc;

use askama::Template;
use axum::extract::FromRequestParts;
use axum::http::header::{AUTHORIZATION, SET_COOKIE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use jiff::Timestamp;
use kube::Client;
use secrecy::SecretString;

use super::Console;
use super::answer;
use super::cache::Bearer;
use super::cluster;
use super::form::link;
use super::frame::Frame;
use super::session;
use super::text::Lang;

/// The visitor of a page.
pub struct Visitor {
    /// A client with the visitor's own token.
    pub client: Client,
    /// Whose token it is.
    pub bearer: Bearer,
    /// The frame of the page.
    pub frame: Frame,
}

impl Visitor {
    /// The visitor's language.
    pub fn lang(&self) -> Lang {
        self.frame.t
    }

    /// The page for what the API server refuses, or does not answer.
    pub fn failed(&self, error: &kube::Error) -> Response {
        answer::failed(&self.frame, error)
    }
}

/// Makes the browser ask again: a link on another site sends no `SameSite=Strict` cookie, and a page of ours does.
#[derive(Template)]
#[template(path = "console/arrive.html")]
struct ArrivePage {
    frame: Frame,
}

impl FromRequestParts<Arc<Console>> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, console: &Arc<Console>) -> Result<Self, Response> {
        let mut frame = Frame::of(parts, console);
        let Some(token) = token(&parts.headers, console) else {
            return Err(unknown(parts, frame, console.settings.modes.proxy));
        };
        let Some(client) = console.cluster.of(&token) else {
            return Err(refused(&frame));
        };
        match cluster::identity(&client).await {
            Ok(Some(user)) => {
                frame.user = Some(user);
                Ok(Self {
                    client,
                    bearer: Bearer::of(&token),
                    frame,
                })
            }
            Ok(None) => Err(refused(&frame)),
            Err(kube::Error::Api(status)) if status.code == 401 => Err(refused(&frame)),
            Err(error) => Err(answer::failed(&frame, &error)),
        }
    }
}

/// The token of a request: a proxy's header where one stands before the console, or else the cookie.
fn token(headers: &HeaderMap, console: &Console) -> Option<SecretString> {
    if console.settings.modes.proxy {
        let header = headers.get(AUTHORIZATION)?.to_str().ok()?;
        return header.strip_prefix("Bearer ").map(Into::into);
    }
    console.settings.key.token(headers, Timestamp::now())
}

/// The answer to a visitor without a token.
fn unknown(parts: &Parts, frame: Frame, proxy: bool) -> Response {
    if proxy {
        return answer::problem(&frame, StatusCode::UNAUTHORIZED, "problem-proxy", "");
    }
    let site = parts.headers.get("sec-fetch-site");
    if parts.method == Method::GET && site.is_some_and(|site| site == "cross-site") {
        return answer::page(&ArrivePage { frame });
    }
    let back = if parts.method == Method::GET {
        frame.here.as_str()
    } else {
        ""
    };
    answer::see(&link("/sign-in", &[("to", if back == "/" { "" } else { back })]))
}

/// The answer to a visitor whose token the API server does not take. The cookies end.
fn refused(frame: &Frame) -> Response {
    let mut answer = answer::problem(frame, StatusCode::UNAUTHORIZED, "problem-expired", "");
    for cookie in session::ended() {
        answer.headers_mut().append(SET_COOKIE, cookie);
    }
    answer
}
