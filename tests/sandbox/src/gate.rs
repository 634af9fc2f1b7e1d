//! A gate between an operator and the API server. It counts the writes about a subject, and holds
//! one of them: before it reaches the API server, or before its answer reaches the operator. So an
//! operator can be killed or stopped exactly there, without test code in it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri};
use parking_lot::{Mutex, MutexGuard};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot};

/// Where a write is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// Before it reaches the API server.
    Before,
    /// After its effect, before its answer reaches the operator.
    After,
}

/// What becomes of a held write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// It continues, even if the operator that sent it is gone.
    Pass,
    /// It is lost: one that is held before its effect never takes place.
    Lose,
}

/// A running gate. It ends when it is dropped.
pub struct Gate {
    inner: Arc<Inner>,
    kubeconfig: PathBuf,
    shutdown: Option<oneshot::Sender<()>>,
}

struct Inner {
    upstream: String,
    client: reqwest::Client,
    trails: Mutex<BTreeMap<String, Trail>>,
    logs: Mutex<Option<PathBuf>>,
    changed: Notify,
}

/// What is to be held.
struct Hold {
    label: String,
    /// A text of its path or body, which makes the rest of the label unimportant.
    text: Option<String>,
    point: Point,
}

impl Hold {
    fn is_for(&self, label: &str, path: &str, body: &str) -> bool {
        match &self.text {
            None => self.label == label,
            Some(text) => label.starts_with(&self.label) && (body.contains(text) || path.contains(text)),
        }
    }
}

/// The writes about one subject.
#[derive(Default)]
struct Trail {
    /// The databases that are the subject's by a write that took place.
    databases: BTreeSet<String>,
    labels: Vec<String>,
    hold: Option<Hold>,
    held: Option<String>,
    released: Option<Release>,
}

/// A write about a subject.
struct Noted {
    subject: String,
    /// Where it is to be held.
    point: Option<Point>,
    /// The database that it claims for the subject.
    claims: Option<String>,
}

impl Gate {
    /// Starts a gate before the API server of a kubeconfig file that holds a token, and writes a
    /// kubeconfig file beside it that leads through the gate.
    ///
    /// # Errors
    /// When the file cannot be read, or no port is free.
    pub async fn start(kubeconfig: &Path) -> Result<Self> {
        let mut config: Value = serde_json::from_slice(&std::fs::read(kubeconfig)?)?;
        let cluster = &mut config["clusters"][0]["cluster"];
        let upstream = cluster["server"].as_str().context("no server")?.to_owned();
        let ca = std::fs::read(cluster["certificate-authority"].as_str().context("no CA")?)?;
        let client = reqwest::Client::builder()
            .tls_certs_only([reqwest::Certificate::from_pem(&ca)?])
            .no_proxy()
            .build()?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let server = format!("http://{}", listener.local_addr()?);
        *cluster = serde_json::json!({ "server": server });
        let path = kubeconfig.with_extension("gate.kubeconfig");
        std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)?
            .write_all(format!("{config:#}\n").as_bytes())?;
        let inner = Arc::new(Inner {
            upstream,
            client,
            trails: Mutex::default(),
            logs: Mutex::default(),
            changed: Notify::new(),
        });
        let service = Router::new()
            .fallback(handle)
            .layer(DefaultBodyLimit::disable())
            .with_state(Arc::clone(&inner));
        let (shutdown, stopped) = oneshot::channel::<()>();
        let serving = axum::serve(listener, service);
        tokio::spawn(async move {
            tokio::select! {
                _ = serving => {}
                _ = stopped => {}
            }
        });
        Ok(Self {
            inner,
            kubeconfig: path,
            shutdown: Some(shutdown),
        })
    }

    /// The kubeconfig file that leads through the gate.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Answers from now on for the logs of pods, which no kubelet has: with the file `log` in a folder of the pod's name.
    pub fn serve_logs(&self, folder: &Path) {
        let mut logs = self.inner.logs.lock();
        *logs = Some(folder.to_owned());
    }

    /// Begins to follow the writes about a subject: the name of a resource that is part of no other
    /// name, an Orchestra or a pool. A database that such a write creates or claims belongs to the subject from then on.
    pub fn follow(&self, subject: &str) {
        self.inner.trails().insert(subject.to_owned(), Trail::default());
    }

    /// Holds the next write of this label about a followed subject.
    pub fn hold(&self, subject: &str, label: &str, point: Point) {
        self.hold_write(subject, (label, None), point);
    }

    /// Holds the next write about a followed subject whose label begins so and whose path or body has this text.
    pub fn hold_text(&self, subject: &str, label: &str, text: &str, point: Point) {
        self.hold_write(subject, (label, Some(text)), point);
    }

    fn hold_write(&self, subject: &str, (label, text): (&str, Option<&str>), point: Point) {
        if let Some(trail) = self.inner.trails().get_mut(subject) {
            trail.hold = Some(Hold {
                label: label.to_owned(),
                text: text.map(str::to_owned),
                point,
            });
            trail.held = None;
            trail.released = None;
        }
    }

    /// The label of the write about a subject that is or was held.
    pub fn held(&self, subject: &str) -> Option<String> {
        self.inner.trails().get(subject)?.held.clone()
    }

    /// The labels of the writes about a subject so far, oldest first.
    pub fn writes(&self, subject: &str) -> Vec<String> {
        let trails = self.inner.trails();
        trails
            .get(subject)
            .map(|trail| trail.labels.clone())
            .unwrap_or_default()
    }

    /// Lets the held write about a subject continue, and holds no further one.
    pub fn release(&self, subject: &str, release: Release) {
        if let Some(trail) = self.inner.trails().get_mut(subject) {
            trail.hold = None;
            trail.released = Some(release);
        }
        self.inner.changed.notify_waiters();
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        drop(self.shutdown.take());
    }
}

type Write = (Method, Uri, HeaderMap, Bytes);

async fn handle(
    State(inner): State<Arc<Inner>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let request = (method, uri, headers, body);
    // A task of its own: what has left the operator arrives even if the operator goes away.
    let task = tokio::spawn(async move { inner.carry(request).await });
    task.await.unwrap_or_else(|_| failed())
}

fn failed() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response
}

impl Inner {
    async fn carry(&self, request: Write) -> Response<Body> {
        if let Some(log) = self.log(&request) {
            return Response::new(Body::from(log));
        }
        let Some(noted) = self.note(&request) else {
            return self.forward(request).await.unwrap_or_else(|_| failed());
        };
        if noted.point == Some(Point::Before) && self.released(&noted.subject).await == Release::Lose {
            return failed();
        }
        let response = self.forward(request).await.unwrap_or_else(|_| failed());
        if let Some(database) = noted.claims.filter(|_| response.status().is_success()) {
            let mut trails = self.trails();
            for (subject, trail) in trails.iter_mut() {
                trail.databases.remove(&database);
                if *subject == noted.subject {
                    trail.databases.insert(database.clone());
                }
            }
        }
        if noted.point == Some(Point::After) {
            self.released(&noted.subject).await;
        }
        response
    }

    /// The log of a pod, as many lines of its end as the request asks for.
    fn log(&self, (_, uri, ..): &Write) -> Option<String> {
        let folder = self.logs.lock().clone()?;
        let (_, name) = uri.path().strip_suffix("/log")?.rsplit_once("/pods/")?;
        let text = std::fs::read_to_string(folder.join(name).join("log")).ok()?;
        let mut parts = uri.query().unwrap_or_default().split('&');
        let asked = parts.find_map(|part| part.strip_prefix("tailLines="));
        let most = asked.and_then(|lines| lines.parse().ok()).unwrap_or(usize::MAX);
        let lines: Vec<_> = text.lines().collect();
        Some(lines[lines.len().saturating_sub(most)..].join("\n"))
    }

    /// Counts a write about a subject, and says whether it is the one to hold.
    fn note(&self, (method, uri, _, body): &Write) -> Option<Noted> {
        let path = uri.path();
        if method == Method::GET || ["/leases", "/events"].iter().any(|ignored| path.contains(ignored)) {
            return None;
        }
        let text = String::from_utf8_lossy(body);
        let mut trails = self.trails();
        // The subject's own name goes before a database: of those who want one, each writes its claim.
        let subject = trails
            .keys()
            .find(|subject| path.contains(subject.as_str()) || text.contains(subject.as_str()))
            .or_else(|| {
                let named = |database: &String| mentions(path, database) || mentions(&text, database);
                let found = trails.iter().find(|(_, trail)| trail.databases.iter().any(named));
                found.map(|(subject, _)| subject)
            })?
            .clone();
        let trail = trails.get_mut(&subject)?;
        let body = object(serde_json::from_slice(body).unwrap_or_default());
        let label = label(method, path, &body);
        trail.labels.push(label.clone());
        let point = match &trail.hold {
            Some(hold) if trail.held.is_none() && hold.is_for(&label, path, &text) => {
                let point = hold.point;
                trail.held = Some(label);
                Some(point)
            }
            _ => None,
        };
        let takes = method == Method::POST || body["spec"]["claimRef"].is_object();
        let mut claims = takes.then(|| database(path, &body)).flatten();
        // A new one belongs to nobody else, and a watch may show it before the answer does.
        if method == Method::POST {
            trail.databases.extend(claims.take());
        }
        Some(Noted { subject, point, claims })
    }

    async fn released(&self, subject: &str) -> Release {
        loop {
            let mut change = std::pin::pin!(self.changed.notified());
            change.as_mut().enable();
            let released = self.trails().get(subject).map(|trail| trail.released);
            match released {
                Some(Some(release)) => return release,
                None => return Release::Lose,
                Some(None) => change.await,
            }
        }
    }

    async fn forward(&self, (method, uri, mut headers, body): Write) -> Result<Response<Body>> {
        for hop in [HOST, CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING] {
            headers.remove(hop);
        }
        let target = format!("{}{uri}", self.upstream);
        let request = self.client.request(method, target).headers(headers).body(body);
        let answer = request.send().await?;
        let mut response = Response::builder().status(answer.status());
        for (name, value) in answer.headers() {
            if ![CONNECTION, TRANSFER_ENCODING].contains(name) {
                response = response.header(name, value);
            }
        }
        let body = futures::stream::try_unfold(answer, async |mut answer| {
            Ok::<_, reqwest::Error>(answer.chunk().await?.map(|chunk| (chunk, answer)))
        });
        Ok(response.body(Body::from_stream(body))?)
    }

    fn trails(&self) -> MutexGuard<'_, BTreeMap<String, Trail>> {
        self.trails.lock()
    }
}

/// Whether a text holds a name, and not only as a part of a longer one.
fn mentions(text: &str, name: &str) -> bool {
    let inside = |it: Option<char>| it.is_some_and(|it| it.is_ascii_alphanumeric() || it == '-');
    text.match_indices(name).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + name.len()..]);
        !inside(before.chars().next_back()) && !inside(after.chars().next())
    })
}

/// The name of the database that a write creates or changes.
fn database(path: &str, body: &Value) -> Option<String> {
    let (_, rest) = path.split_once("/orchestradatabases")?;
    let named = rest.strip_prefix('/').and_then(|rest| rest.split('/').next());
    named.or_else(|| body["metadata"]["name"].as_str()).map(str::to_owned)
}

/// What a write sets, as an object: a JSON patch (RFC 6902) says it as a list of operations.
fn object(body: Value) -> Value {
    let Value::Array(operations) = body else { return body };
    let mut object = Value::default();
    for mut operation in operations {
        let part = operation["path"].as_str().and_then(|path| path.strip_prefix('/'));
        if let Some(part) = part.filter(|part| !part.contains('/')).map(str::to_owned) {
            object[part] = operation["value"].take();
        }
    }
    object
}

/// What a write does: its verb, its resource, and the fields that it sets.
fn label(method: &Method, path: &str, body: &Value) -> String {
    let others = ["configmaps", "jobs", "secrets"];
    let known = |it: &&str| it.starts_with("orchestra") && !it.contains('-') || others.contains(it);
    let mut parts = path.split('/').skip_while(|part| !known(part));
    let resource = parts.next().unwrap_or(path);
    let status = if parts.nth(1) == Some("status") { "/status" } else { "" };
    let mut fields: Vec<&str> = ["spec", "status", "data"]
        .iter()
        .filter_map(|part| body[*part].as_object())
        .flat_map(|part| part.keys().map(String::as_str))
        // The keys of ConfigMaps are names of files, or UIDs.
        .filter(|key| resource != "configmaps" && !["conditions", "observedGeneration"].contains(key))
        .collect();
    match body["metadata"]["finalizers"].as_array().map(Vec::len) {
        Some(0) => fields.push("finalizers off"),
        Some(_) => fields.push("finalizers on"),
        None => {}
    }
    format!("{method} {resource}{status} {}", fields.join(","))
}
