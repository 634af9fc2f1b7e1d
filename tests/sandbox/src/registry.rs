//! A real OCI registry on loopback, and a front before it that counts requests, asks for a login, and fails on request. What
//! is pushed goes to the registry itself.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use orchestra_setup::go::{REGISTRY, ensure};
use orchestra_setup::progress::Progress;
use parking_lot::{Mutex, MutexGuard};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::control_plane::process::{Process, free_port};
use crate::random;

/// How the front asks for a login.
#[derive(Clone, Debug)]
pub enum Login {
    /// By HTTP's own scheme.
    Basic(String, String),
    /// By a token, which a login gets from the front's own token service.
    Token(String, String),
}

/// What the front does instead of its work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Answers 503.
    Down,
    /// Answers blobs that are not what their digest says.
    Corrupt,
    /// Redirects requests for a blob to another host.
    Redirect(String),
    /// Answers manifests and tokens that never end.
    Endless,
    /// Has no blobs.
    NoBlobs,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Path.
    pub path: String,
    /// Header of that name.
    pub authorization: Option<String>,
}

/// A running registry. It ends when it is dropped.
pub struct Registry {
    inner: Arc<Inner>,
    port: u16,
    shutdown: Option<oneshot::Sender<()>>,
    _program: Process,
}

struct Inner {
    upstream: String,
    host: String,
    client: reqwest::Client,
    token: String,
    state: Mutex<Now>,
}

#[derive(Default)]
struct Now {
    login: Option<Login>,
    fault: Option<Fault>,
    seen: Vec<Seen>,
}

impl Registry {
    /// Starts a registry, whose log is below `dir`. Its program is built once with Go.
    ///
    /// # Errors
    /// When it cannot be built or does not answer.
    pub async fn start(dir: &Path) -> Result<Self> {
        let program = tokio::task::spawn_blocking(|| ensure(&REGISTRY, &Progress::new())).await??;
        let port = free_port()?;
        let mut process = Process::spawn("registry", &program, &[format!("-port={port}")], dir)?;
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        let upstream = format!("http://localhost:{port}");
        let began = Instant::now();
        while client.get(format!("{upstream}/v2/")).send().await.is_err() {
            process.check()?;
            if began.elapsed() > Duration::from_secs(30) {
                bail!("the registry does not answer:\n{}", process.log_tail());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let inner = Arc::new(Inner {
            upstream,
            host: listener.local_addr()?.to_string(),
            client,
            token: random::alphanumeric(40),
            state: Mutex::default(),
        });
        let service = Router::new().fallback(handle).with_state(inner.clone());
        let (shutdown, stopped) = oneshot::channel::<()>();
        let serving = axum::serve(listener, service).with_graceful_shutdown(async { drop(stopped.await) });
        tokio::spawn(async move { serving.await });
        Ok(Self {
            inner,
            port,
            shutdown: Some(shutdown),
            _program: process,
        })
    }

    /// Host and port of the front.
    pub fn host(&self) -> &str {
        &self.inner.host
    }

    /// Host and port of the registry itself, which takes what is pushed.
    pub fn push_host(&self) -> String {
        format!("localhost:{}", self.port)
    }

    /// Asks for a login from now on, or no longer.
    pub fn require(&self, login: Option<Login>) {
        self.inner.now().login = login;
    }

    /// Fails from now on, or no longer.
    pub fn fail(&self, fault: Option<Fault>) {
        self.inner.now().fault = fault;
    }

    /// What was asked of the front since it was last asked this.
    pub fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.inner.now().seen)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        if let Some(shutdown) = self.shutdown.take() {
            // It has ended already.
            let _ = shutdown.send(());
        }
    }
}

impl Inner {
    fn now(&self) -> MutexGuard<'_, Now> {
        self.state.lock()
    }

    /// Nothing when the request may pass.
    fn challenge(&self, authorization: Option<&str>) -> Option<Response<Body>> {
        let (wanted, challenge) = match self.now().login.clone()? {
            Login::Basic(user, password) => (basic(&user, &password), "Basic realm=\"registry\"".to_owned()),
            Login::Token(..) => {
                let host = &self.host;
                let challenge = format!("Bearer realm=\"http://{host}/token\",service=\"{host}\"");
                (format!("Bearer {}", self.token), challenge)
            }
        };
        if authorization == Some(wanted.as_str()) {
            return None;
        }
        let mut refused = answer(StatusCode::UNAUTHORIZED, "{\"errors\":[{\"code\":\"UNAUTHORIZED\"}]}");
        refused
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, challenge.parse().ok()?);
        Some(refused)
    }

    fn issue(&self, authorization: Option<&str>) -> Response<Body> {
        match self.now().login.clone() {
            Some(Login::Token(user, password)) if authorization == Some(basic(&user, &password).as_str()) => {
                answer(StatusCode::OK, format!("{{\"token\":\"{}\"}}", self.token))
            }
            _ => answer(StatusCode::UNAUTHORIZED, "wrong login"),
        }
    }

    async fn forward(&self, method: Method, uri: &Uri, headers: &HeaderMap) -> Result<Response<Body>> {
        let path = uri.path_and_query().context("no path")?;
        let mut request = self.client.request(method, format!("{}{path}", self.upstream));
        if let Some(accept) = headers.get(header::ACCEPT) {
            request = request.header(header::ACCEPT, accept);
        }
        let given = request.send().await?;
        let mut response = Response::builder().status(given.status());
        for name in [header::CONTENT_TYPE, "docker-content-digest".parse()?] {
            if let Some(value) = given.headers().get(&name) {
                response = response.header(name, value);
            }
        }
        Ok(response.body(Body::from(given.bytes().await?))?)
    }
}

async fn handle(State(inner): State<Arc<Inner>>, method: Method, uri: Uri, headers: HeaderMap) -> Response<Body> {
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let path = uri.path().to_owned();
    inner.now().seen.push(Seen {
        path: path.clone(),
        authorization: authorization.map(ToOwned::to_owned),
    });
    let fault = inner.now().fault.clone();
    let blob = path.contains("/blobs/");
    if fault == Some(Fault::Down) {
        return answer(StatusCode::SERVICE_UNAVAILABLE, "down");
    }
    if path == "/token" && fault == Some(Fault::Endless) {
        return endless();
    }
    if path == "/token" {
        return inner.issue(authorization);
    }
    if let Some(refused) = inner.challenge(authorization) {
        return refused;
    }
    match fault {
        Some(Fault::Redirect(host)) if blob => {
            let mut response = answer(StatusCode::TEMPORARY_REDIRECT, "");
            if let Ok(location) = format!("http://{host}{path}").parse() {
                response.headers_mut().insert(header::LOCATION, location);
            }
            response
        }
        Some(Fault::Corrupt) if blob => answer(StatusCode::OK, "x"),
        Some(Fault::NoBlobs) if blob => answer(StatusCode::NOT_FOUND, ""),
        Some(Fault::Endless) if path.contains("/manifests/") => endless(),
        _ => inner
            .forward(method, &uri, &headers)
            .await
            .unwrap_or_else(|error| answer(StatusCode::BAD_GATEWAY, format!("{error:#}"))),
    }
}

fn endless() -> Response<Body> {
    let block = Bytes::from(vec![b' '; 64 << 10]);
    let blocks = futures::stream::repeat_with(move || Ok::<_, std::io::Error>(block.clone()));
    Response::new(Body::from_stream(blocks))
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

fn answer(status: StatusCode, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response
}
