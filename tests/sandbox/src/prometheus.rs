//! A Prometheus that scrapes what a test shows it.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
pub use orchestra_setup::prometheus::Programs;
use serde_json::Value;

use crate::control_plane::process::{Process, free_port};

/// How long the server may take to start.
const START: Duration = Duration::from_secs(30);

/// Prometheus and its `promtool`; where they cannot be had, a line on standard error says what is not tested.
pub fn find_or_say(what: &str) -> Option<Programs> {
    Programs::find()
        .inspect_err(|error| crate::left_out(&format!("{what}: {error:#}")))
        .ok()
}

/// A running server, on a loopback address. It ends when it is dropped.
#[derive(Debug)]
pub struct Prometheus {
    url: String,
    http: reqwest::Client,
    _process: Process,
}

impl Prometheus {
    /// Starts a server with this configuration, and its files in this folder.
    ///
    /// # Errors
    /// When it does not start; with the end of its log.
    pub async fn start(programs: &Programs, dir: &Path, config: &str) -> Result<Self> {
        fs::create_dir_all(dir)?;
        fs::write(dir.join("prometheus.yml"), config)?;
        let address = format!("127.0.0.1:{}", free_port()?);
        let arguments = [
            "--config.file=prometheus.yml".to_owned(),
            "--storage.tsdb.path=data".to_owned(),
            format!("--web.listen-address={address}"),
        ];
        let mut process = Process::spawn("prometheus", &programs.prometheus, &arguments, dir)?;
        let http = reqwest::Client::builder().no_proxy().build()?;
        let (url, began) = (format!("http://{address}"), Instant::now());
        loop {
            process.check()?;
            let answer = http.get(format!("{url}/-/ready")).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                break;
            }
            if began.elapsed() > START {
                bail!("prometheus does not start:\n{}", process.log_tail());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(Self {
            url,
            http,
            _process: process,
        })
    }

    /// The `data` of an answer of the API below `/api/v1/`.
    ///
    /// # Errors
    /// When there is no answer, or the server refuses; with its message.
    pub async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value> {
        let request = self.http.get(format!("{}/api/v1/{path}", self.url)).query(query);
        let answer: Value = request.send().await?.json().await?;
        if answer["status"] != "success" {
            bail!("{path}: {}", answer["error"]);
        }
        Ok(answer["data"].clone())
    }

    /// The labels and the values that an expression has now.
    ///
    /// # Errors
    /// As [`Prometheus::get`].
    pub async fn query(&self, expression: &str) -> Result<Vec<(Value, f64)>> {
        let data = self.get("query", &[("query", expression)]).await?;
        let all = data["result"].as_array().cloned().unwrap_or_default();
        let sample = |series: &Value| {
            let value = series["value"][1].as_str()?.parse().ok()?;
            Some((series["metric"].clone(), value))
        };
        Ok(all.iter().filter_map(sample).collect())
    }
}
