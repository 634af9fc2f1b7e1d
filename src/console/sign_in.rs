//! Signing in by a pasted token or at an issuer, signing out, and the language.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Request, State};
use axum::http::header::SET_COOKIE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use jiff::Timestamp;
use secrecy::SecretString;

use super::Console;
use super::answer;
use super::cluster;
use super::form::{Fields, QueryFields, link, own_path};
use super::frame::Frame;
use super::issuer::{self, Issuer};
use super::session::{self, PendingCookie};
use super::text::{LANGUAGE_COOKIE, Lang};

/// How long the choice of a language is kept, in seconds.
const YEAR: i64 = 365 * 24 * 3600;

#[derive(Template)]
#[template(path = "console/sign_in.html")]
struct SignInPage {
    frame: Frame,
    /// Path of the page that is shown after the sign-in.
    to: String,
    /// Whether a token can be pasted.
    token: bool,
    /// Where a sign-in at the issuer begins.
    issuer: Option<String>,
    /// What was wrong with the last attempt.
    wrong: Option<String>,
}

impl SignInPage {
    fn new(frame: Frame, console: &Console, to: &str) -> Self {
        let to = own_path(to);
        let begin = || link("/sign-in/issuer", &[("to", if to == "/" { "" } else { to })]);
        Self {
            frame,
            to: to.to_owned(),
            token: console.settings.modes.token,
            issuer: console.settings.issuer.as_ref().map(|_| begin()),
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
    admitted(&console, page, &form.get("token").into(), "sign-in-refused").await
}

/// Signs in whom the API server recognizes by a token. `refused` is the message where it does not take the token.
async fn admitted(console: &Console, page: SignInPage, token: &SecretString, refused: &str) -> Response {
    let Some(client) = console.cluster.of(token) else {
        return page.refused(StatusCode::UNAUTHORIZED, refused);
    };
    match cluster::identity(&client).await {
        Ok(Some(_)) => {}
        Ok(None) => return page.refused(StatusCode::UNAUTHORIZED, "sign-in-anonymous"),
        Err(kube::Error::Api(status)) if status.code == 401 => {
            return page.refused(StatusCode::UNAUTHORIZED, refused);
        }
        Err(error) => return answer::failed(&page.frame, &error),
    }
    match console.settings.key.cookies(token, Timestamp::now()) {
        Some(cookies) => with_cookies(answer::see(&page.to), cookies),
        None => page.refused(StatusCode::BAD_REQUEST, "sign-in-long"),
    }
}

/// `GET /sign-in/issuer`: sends the browser to the issuer. A form would not be sent on from there: the policy of the content
/// lets forms go to the console only.
pub async fn begin(State(console): State<Arc<Console>>, QueryFields(query): QueryFields, parts: Parts) -> Response {
    let frame = Frame::of(&parts, &console);
    let Some(issuer) = &console.settings.issuer else {
        return answer::problem(&frame, StatusCode::NOT_FOUND, "problem-nowhere", "");
    };
    let page = SignInPage::new(frame, &console, query.get("to"));
    match issuer.begin(&console.settings.key, &page.to, Timestamp::now()).await {
        Ok((url, cookie)) => with_cookies(answer::see(url.as_str()), vec![cookie]),
        Err(error) => failed(page, &error),
    }
}

/// Takes the answer of the issuer, at the path that the operator of the console has registered there.
pub async fn arrivals(State(console): State<Arc<Console>>, request: Request, next: Next) -> Response {
    match &console.settings.issuer {
        Some(issuer) if request.method() == Method::GET && request.uri().path() == issuer.callback() => {
            let (parts, _) = request.into_parts();
            let answer = arrived(&console, issuer, &parts).await;
            with_cookies(answer, vec![PendingCookie::ended()])
        }
        _ => next.run(request).await,
    }
}

async fn arrived(console: &Console, issuer: &Issuer, parts: &Parts) -> Response {
    let query = Fields::of(parts.uri.query().unwrap_or_default().as_bytes());
    let frame = Frame::of(parts, console);
    let ended = issuer.end(&console.settings.key, &parts.headers, &query, Timestamp::now());
    match ended.await {
        Ok((token, to)) => {
            let page = SignInPage::new(frame, console, &to);
            admitted(console, page, &token, "sign-in-untrusted").await
        }
        Err(error) => failed(SignInPage::new(frame, console, ""), &error),
    }
}

/// The page for a sign-in that the issuer has not ended well. What it said is for the log.
fn failed(page: SignInPage, error: &issuer::Error) -> Response {
    tracing::warn!(%error, "nobody is signed in");
    match error {
        issuer::Error::Away { .. } => page.refused(StatusCode::BAD_GATEWAY, "sign-in-away"),
        issuer::Error::Refused(_) => page.refused(StatusCode::FORBIDDEN, "sign-in-denied"),
        issuer::Error::Odd(_) => page.refused(StatusCode::BAD_REQUEST, "sign-in-odd"),
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
