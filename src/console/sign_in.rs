//! Signing in by a pasted token, signing out, and the language.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::SET_COOKIE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use jiff::Timestamp;
use secrecy::SecretString;

use super::Console;
use super::answer;
use super::cluster;
use super::form::{Fields, QueryFields, own_path};
use super::frame::Frame;
use super::session;
use super::text::{LANGUAGE_COOKIE, Lang};

/// How long the choice of a language is kept, in seconds.
const YEAR: i64 = 365 * 24 * 3600;

#[derive(Template)]
#[template(path = "console/sign_in.html")]
struct SignInPage {
    frame: Frame,
    /// Where the visitor goes then.
    to: String,
    /// Whether a token can be pasted.
    token: bool,
    /// What was wrong with the last attempt.
    wrong: Option<String>,
}

impl SignInPage {
    fn new(frame: Frame, console: &Console, to: &str) -> Self {
        Self {
            frame,
            to: own_path(to).to_owned(),
            token: console.settings.modes.token,
            wrong: None,
        }
    }

    fn refused(mut self, status: StatusCode, key: &str) -> Response {
        self.wrong = Some(self.frame.t.say(key));
        answer::with_status(status, &self)
    }
}

/// `GET /sign-in`.
pub async fn page(State(console): State<Arc<Console>>, QueryFields(query): QueryFields, parts: Parts) -> Response {
    answer::page(&SignInPage::new(Frame::of(&parts, &console), &console, query.get("to")))
}

/// `POST /sign-in`: the API server says who the token is.
pub async fn submit(State(console): State<Arc<Console>>, parts: Parts, form: Fields) -> Response {
    let page = SignInPage::new(Frame::of(&parts, &console), &console, form.get("to"));
    if !console.settings.modes.token {
        return page.refused(StatusCode::FORBIDDEN, "sign-in-off");
    }
    let token: SecretString = form.get("token").into();
    let Some(client) = console.cluster.of(&token) else {
        return page.refused(StatusCode::UNAUTHORIZED, "sign-in-refused");
    };
    match cluster::identity(&client).await {
        Ok(Some(_)) => {}
        Ok(None) => return page.refused(StatusCode::UNAUTHORIZED, "sign-in-anonymous"),
        Err(kube::Error::Api(status)) if status.code == 401 => {
            return page.refused(StatusCode::UNAUTHORIZED, "sign-in-refused");
        }
        Err(error) => return answer::failed(&page.frame, &error),
    }
    match console.settings.key.cookies(&token, Timestamp::now()) {
        Some(cookies) => with_cookies(answer::see(&page.to), cookies),
        None => page.refused(StatusCode::BAD_REQUEST, "sign-in-long"),
    }
}

/// `POST /sign-out`.
pub async fn leave() -> Response {
    with_cookies(answer::see("/sign-in"), session::ended())
}

/// `POST /language`.
pub async fn language(headers: HeaderMap, form: Fields) -> Response {
    let lang = form.get("language").parse().unwrap_or_else(|_| Lang::of(&headers));
    let cookie = format!(
        "{LANGUAGE_COOKIE}={}; Path=/; Max-Age={YEAR}; HttpOnly; Secure; SameSite=Strict",
        lang.tag()
    );
    let cookie = HeaderValue::try_from(cookie).ok();
    with_cookies(answer::see(own_path(form.get("to"))), cookie.into_iter().collect())
}

fn with_cookies(mut answer: Response, cookies: Vec<HeaderValue>) -> Response {
    for cookie in cookies {
        answer.headers_mut().append(SET_COOKIE, cookie);
    }
    answer
}
