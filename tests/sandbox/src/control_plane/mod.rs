//! A real Kubernetes control plane on loopback: etcd, API server and, on request, controller manager.
//!
//! RBAC decides, Secrets are encrypted at rest, and there are no nodes.

mod access;
mod audit;
mod etcd;
mod keys;
pub(crate) mod process;

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

pub(crate) use access::client;
pub use audit::{AuditLog, Request};
pub(crate) use etcd::Stored;
use keys::{Keys, write_kubeconfig};
use orchestra_setup::binaries::ensure_controller_manager;
pub use orchestra_setup::binaries::{Binaries, ensure_binaries, find_controller_manager};
pub(crate) use process::dies_with_us;
use process::{Process, collect_seldom, free_port};

/// The API server must be ready within this time.
const START_LIMIT: Duration = Duration::from_secs(90);

/// What to run beside etcd and the API server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Runs garbage collection, namespace deletion, default service accounts, role aggregation and Jobs, whose pods
    /// [`crate::jobs::JobRunner`] runs.
    ///
    /// The garbage collector learns of new kinds every 30 s only. Where a test needs owner references of a custom
    /// kind sooner, apply the CRDs first and then call [`ControlPlane::start_controller_manager`].
    pub controller_manager: bool,
    /// Records every request, for [`ControlPlane::audit_log`].
    pub audit: bool,
    /// Spends memory to save processor time: garbage is collected more seldom. What a cluster costs is not measured so.
    pub lavish: bool,
}

/// A running control plane; dropping it kills its processes and leaves its directory.
#[derive(Debug)]
pub struct ControlPlane {
    dir: PathBuf,
    binaries: Binaries,
    keys: Keys,
    admin_kubeconfig: PathBuf,
    etcd_url: String,
    port: u16,
    audit: bool,
    lavish: bool,
    /// Flags by which the API server trusts an OpenID Connect issuer.
    issuer: Vec<String>,
    controller_manager: Option<Process>,
    api_server: Option<Process>,
    etcd: Process,
}

impl ControlPlane {
    /// Starts a control plane with all its files below `dir`, and waits until it is ready.
    ///
    /// # Errors
    /// When a program is missing and cannot be built, or does not become ready; the end of its log is in the error.
    pub async fn start(dir: impl Into<PathBuf>, options: Options) -> Result<Self> {
        // An error means that the process has chosen a provider already.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let binaries = tokio::task::spawn_blocking(ensure_binaries).await??;
        let dir = dir.into();
        fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
        let dir = dir.canonicalize()?;
        let keys = Keys::mint(&dir)?;
        let port = free_port()?;
        let admin_kubeconfig = write_kubeconfig(
            &dir.join("admin.kubeconfig"),
            &server(port),
            &keys.ca,
            &keys.admin_user(),
            "default",
        )?;
        let (etcd, etcd_url) = start_etcd(&binaries, &dir, options.lavish)?;
        let mut plane = Self {
            dir,
            binaries,
            keys,
            admin_kubeconfig,
            etcd_url,
            port,
            audit: options.audit,
            lavish: options.lavish,
            issuer: Vec::new(),
            controller_manager: None,
            api_server: None,
            etcd,
        };
        plane.start_api_server().await?;
        if options.controller_manager {
            plane.start_controller_manager().await?;
        }
        Ok(plane)
    }

    /// Starts the API server on its first address and waits until it is ready; does nothing when it runs.
    ///
    /// # Errors
    /// When it ends, or is not ready in 90 s.
    pub async fn start_api_server(&mut self) -> Result<()> {
        if self.api_server.is_some() {
            return Ok(());
        }
        let mut args = self.api_server_args();
        args.extend(self.issuer.iter().cloned());
        if self.audit {
            args.extend(audit::flags(&self.dir.join("audit-policy.json"), &self.audit_file())?);
        }
        self.api_server = Some(spawn(
            "kube-apiserver",
            &self.binaries.kube_apiserver,
            (&args, &self.dir),
            self.lavish,
        )?);
        self.await_ready().await
    }

    /// Starts the API server again, so that it trusts the ID tokens that an OpenID Connect issuer makes for a client. Its users are
    /// `oidc:` and the subject of the token. Stop the API server before this is dropped: no other world is to have it.
    ///
    /// # Errors
    /// As [`ControlPlane::start_api_server`].
    pub async fn trust_issuer(&mut self, issuer: &str, client: &str, roots: &Path) -> Result<()> {
        self.issuer = vec![
            format!("--oidc-issuer-url={issuer}"),
            format!("--oidc-client-id={client}"),
            format!("--oidc-ca-file={}", roots.display()),
            "--oidc-username-claim=sub".to_owned(),
            "--oidc-username-prefix=oidc:".to_owned(),
        ];
        self.stop_api_server();
        self.start_api_server().await
    }

    /// Kills the API server. Its data stays in etcd.
    pub fn stop_api_server(&mut self) {
        self.api_server = None;
    }

    /// Starts the controller manager; does nothing when it runs.
    ///
    /// # Errors
    /// When the program is missing and cannot be built, or cannot be started.
    pub async fn start_controller_manager(&mut self) -> Result<()> {
        if self.controller_manager.is_some() {
            return Ok(());
        }
        let config = self.admin_kubeconfig.display();
        let args = [
            format!("--kubeconfig={config}"),
            "--controllers=garbage-collector-controller,namespace-controller,serviceaccount-controller,\
             clusterrole-aggregation-controller,job-controller"
                .to_owned(),
            "--leader-elect=false".to_owned(),
            "--secure-port=0".to_owned(),
            "--kube-api-qps=500".to_owned(),
            "--kube-api-burst=1000".to_owned(),
        ];
        let binary = tokio::task::spawn_blocking(ensure_controller_manager).await??;
        self.controller_manager = Some(spawn(
            "kube-controller-manager",
            &binary,
            (&args, &self.dir),
            self.lavish,
        )?);
        Ok(())
    }

    /// The process ids of what runs now.
    pub fn process_ids(&self) -> Vec<u32> {
        let optional = [&self.api_server, &self.controller_manager];
        optional
            .into_iter()
            .flatten()
            .chain([&self.etcd])
            .map(Process::id)
            .collect()
    }

    /// The process id of the API server, while it runs.
    pub fn api_server_id(&self) -> Option<u32> {
        self.api_server.as_ref().map(Process::id)
    }

    /// The requests that the API server has answered, from the first on.
    ///
    /// # Errors
    /// When the control plane was started without [`Options::audit`].
    pub fn audit_log(&self) -> Result<AuditLog> {
        ensure!(self.audit, "the control plane was started without an audit log");
        Ok(AuditLog::new(self.audit_file()))
    }

    fn audit_file(&self) -> PathBuf {
        self.dir.join("audit.log")
    }

    /// The address of the API server.
    pub fn server(&self) -> String {
        server(self.port)
    }

    fn api_server_args(&self) -> Vec<String> {
        let file = |flag: &str, path: &Path| format!("--{flag}={}", path.display());
        let mut args = vec![
            format!("--etcd-servers={}", self.etcd_url),
            format!("--secure-port={}", self.port),
            file("cert-dir", &self.dir),
            file("tls-cert-file", &self.keys.serving_cert),
            file("tls-private-key-file", &self.keys.serving_key),
            file("client-ca-file", &self.keys.ca),
            file("service-account-key-file", &self.keys.service_account_public_key),
            file("service-account-signing-key-file", &self.keys.service_account_key),
            file("encryption-provider-config", &self.keys.encryption),
        ];
        args.extend(
            [
                "--bind-address=127.0.0.1",
                "--advertise-address=127.0.0.1",
                "--endpoint-reconciler-type=none",
                "--authorization-mode=RBAC",
                "--service-account-issuer=https://kubernetes.default.svc",
                "--service-cluster-ip-range=10.0.0.0/24",
                "--enable-priority-and-fairness=false",
                "--profiling=false",
                "--etcd-count-metric-poll-period=0",
                "--etcd-db-metric-poll-interval=0",
            ]
            .map(str::to_owned),
        );
        args
    }

    async fn await_ready(&mut self) -> Result<()> {
        let client = self.admin_client().await?;
        let started = Instant::now();
        loop {
            self.etcd.check()?;
            let Some(api_server) = self.api_server.as_mut() else {
                bail!("the API server was stopped")
            };
            api_server.check()?;
            let request = axum::http::Request::get("/readyz").body(Vec::new())?;
            match client.request_text(request).await {
                Ok(_) => return Ok(()),
                Err(error) if started.elapsed() > START_LIMIT => {
                    bail!(
                        "the API server is not ready after {START_LIMIT:?}: {error}\n{}",
                        api_server.log_tail()
                    )
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }
}

fn server(port: u16) -> String {
    format!("https://127.0.0.1:{port}")
}

fn spawn(name: &'static str, binary: &Path, how: (&[String], &Path), lavish: bool) -> Result<Process> {
    Process::spawn_with(name, binary, how, |command| {
        if lavish {
            collect_seldom(command);
        }
    })
}

fn start_etcd(binaries: &Binaries, dir: &Path, lavish: bool) -> Result<(Process, String)> {
    let client = format!("http://127.0.0.1:{}", free_port()?);
    let peer = format!("http://127.0.0.1:{}", free_port()?);
    let args = [
        format!("--data-dir={}", dir.join("etcd").display()),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
        "--unsafe-no-fsync".to_owned(),
        "--log-level=warn".to_owned(),
    ];
    Ok((spawn("etcd", &binaries.etcd, (&args, dir), lavish)?, client))
}
