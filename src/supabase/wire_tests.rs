//! For tests: a loopback HTTP server that plays recorded answers byte by byte, broken ones included.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use secrecy::SecretString;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::{ApiSettings, Client};
use crate::telemetry::metrics::Metrics;

/// A token that must not show anywhere.
pub(super) const TOKEN: &str = "sbp_0123456789abcdef0123456789abcdef01234567";

/// A request that was received.
#[derive(Clone, Debug)]
pub(super) struct Received {
    pub line: String,
    pub head: String,
    pub body: String,
}

impl Received {
    pub fn number(&self, parameter: &str) -> usize {
        let (_, rest) = self.line.split_once(&format!("{parameter}=")).unwrap();
        rest.split(['&', ' ']).next().unwrap().parse().unwrap()
    }
}

/// The answer.
#[derive(Clone, Debug)]
pub(super) enum Play {
    /// Status, further header lines, body.
    Answer(u16, &'static str, String),
    /// A success that breaks off in its body.
    Truncated(u16, String),
    /// No answer: the connection is closed.
    Dropped,
    /// An answer that takes its time.
    Slow(Duration, String),
}

pub(super) fn ok(body: impl Into<Body>) -> Play {
    Play::Answer(200, "", body.into().0)
}

/// Text or JSON.
pub(super) struct Body(String);

impl From<&str> for Body {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<serde_json::Value> for Body {
    fn from(json: serde_json::Value) -> Self {
        Self(json.to_string())
    }
}

/// Serves until dropped.
pub(super) struct Wire {
    pub url: String,
    seen: Arc<Mutex<Vec<Received>>>,
    served: JoinHandle<()>,
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.served.abort();
    }
}

impl Wire {
    /// Plays `script` for each request; it is given the request and how many came before.
    pub async fn play(script: impl Fn(&Received, usize) -> Play + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::<Mutex<Vec<Received>>>::default();
        let (requests, script) = (seen.clone(), Arc::new(script));
        let served = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, requests.clone(), script.clone()));
            }
        });
        Self { url, seen, served }
    }

    pub fn settings(&self) -> Arc<ApiSettings> {
        Arc::new(ApiSettings::new(&self.url, "sandbox.test", &["127.0.0.1".into()]).unwrap())
    }

    pub fn client(&self, metrics: &Arc<Metrics>) -> Client {
        let token = SecretString::from(format!("{TOKEN}\n"));
        Client::new(self.settings(), &token, metrics.clone()).unwrap()
    }

    pub fn seen(&self) -> Vec<Received> {
        self.seen.lock().clone()
    }
}

async fn serve<F>(stream: TcpStream, requests: Arc<Mutex<Vec<Received>>>, script: Arc<F>)
where
    F: Fn(&Received, usize) -> Play,
{
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let length = head
        .lines()
        .find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).await.unwrap();
    let line = head.lines().next().unwrap().to_owned();
    let seen = Received {
        line,
        head,
        body: String::from_utf8(body).unwrap(),
    };
    let play = {
        let mut requests = requests.lock();
        requests.push(seen.clone());
        script(&seen, requests.len() - 1)
    };
    let (status, lines, body, length) = match play {
        Play::Answer(status, lines, body) => (status, lines, body.clone(), body.len()),
        Play::Truncated(status, body) => (status, "", body.clone(), body.len() + 1000),
        Play::Dropped => return,
        Play::Slow(wait, body) => {
            tokio::time::sleep(wait).await;
            (200, "", body.clone(), body.len())
        }
    };
    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n");
    let answer = format!("{head}{lines}\r\n{body}");
    // The client may have closed the connection.
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}
