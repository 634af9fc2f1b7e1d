//! A real S3 server on loopback, whose buckets are folders.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use orchestra_setup::go::{S3_SERVER, ensure};
use orchestra_setup::progress::Progress;

use crate::control_plane::process::{Process, free_port};
use crate::random;

/// A running server. It ends when it is dropped.
pub struct S3 {
    /// Its URL.
    pub endpoint: String,
    /// Access key.
    pub access_key_id: String,
    /// Secret key.
    pub secret_access_key: String,
    root: PathBuf,
    _program: Process,
}

impl S3 {
    /// Starts a server whose files are below `dir`. Its program is built once with Go.
    ///
    /// # Errors
    /// When it cannot be built or does not answer.
    pub async fn start(dir: &Path) -> Result<Self> {
        let program = tokio::task::spawn_blocking(|| ensure(&S3_SERVER, &Progress::new())).await??;
        let (port, root) = (free_port()?, dir.join("buckets"));
        std::fs::create_dir_all(&root)?;
        let (access, secret) = (random::alphanumeric(20), random::alphanumeric(40));
        let arguments = [
            format!("--access={access}"),
            format!("--secret={secret}"),
            format!("--port=127.0.0.1:{port}"),
            "posix".to_owned(),
            root.display().to_string(),
        ];
        let mut process = Process::spawn("s3", &program, &arguments, dir)?;
        let endpoint = format!("http://127.0.0.1:{port}");
        let client = reqwest::Client::builder().no_proxy().build()?;
        let began = Instant::now();
        while client.get(&endpoint).send().await.is_err() {
            process.check()?;
            if began.elapsed() > Duration::from_secs(30) {
                bail!("the S3 server does not answer:\n{}", process.log_tail());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(Self {
            endpoint,
            access_key_id: access,
            secret_access_key: secret,
            root,
            _program: process,
        })
    }

    /// Makes a bucket, and tells the folder of its objects.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn bucket(&self, name: &str) -> Result<PathBuf> {
        let path = self.root.join(name);
        std::fs::create_dir(&path)?;
        Ok(path)
    }
}
