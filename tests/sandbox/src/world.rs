//! Everything an operator needs, in one place: a control plane with the operator's manifests applied,
//! a stand-in Management API with its database server, and the operator as a process of its own that
//! holds nothing but its service account's token.

mod apply;
mod kinds;
mod plane;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures::StreamExt as _;
use kube::Client;
use kube::api::{Api, DynamicObject};
use kube::runtime::watcher::watch_object;
use serde_json::Value;
use tempfile::TempDir;

use crate::api::{Options as ApiOptions, StandIn};
use crate::control_plane::{ControlPlane, Options as PlaneOptions};
use crate::standings;

use apply::Applier;
pub use kinds::{Kind, condition, is_true};
pub use plane::Plane;

/// Namespace of the operator.
pub const SYSTEM: &str = "orchestra-system";
/// Namespace of tenants.
pub const TENANTS: &str = "tenants";

/// File with the pooler's root certificate, in the world's folder.
const ROOT: &str = "supabase-ca.crt";

/// What a world is made of.
pub struct Options {
    /// The operator's program.
    pub operator: PathBuf,
    /// Folder of the project, where `deploy/` is.
    pub project: PathBuf,
    /// The stand-in.
    pub api: ApiOptions,
}

/// A control plane, a provider and a place for operators. Dropping it ends all of it.
pub struct World {
    options: Options,
    /// The control plane.
    pub plane: Plane,
    /// The provider.
    pub api: StandIn,
    /// A client that may do everything.
    pub admin: Client,
    applier: Applier,
    operator_kubeconfig: PathBuf,
    dir: TempDir,
}

impl World {
    /// Starts a control plane that is quick rather than small, and a provider, and applies the manifests of `deploy/`. Where
    /// another world of this process has ended, its control plane serves, with nothing of what was in it.
    ///
    /// # Errors
    /// When a part cannot be started.
    pub async fn start(options: Options) -> Result<Self> {
        Self::start_with(options, plane::USUAL).await
    }

    /// Like [`World::start`], with options of the control plane. Without its controller manager nothing is garbage collected,
    /// and no namespace is deleted.
    ///
    /// # Errors
    /// As [`World::start`].
    pub async fn start_with(options: Options, plane: PlaneOptions) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("orchestra-world-").tempdir()?;
        let plane = Plane::start(plane, &options.project);
        let (plane, api) = tokio::try_join!(plane, StandIn::start(options.api.clone()))?;
        let (operator_kubeconfig, admin, applier) = ways_in(&plane).await?;
        std::fs::write(dir.path().join(ROOT), api.router().root())?;
        Ok(Self {
            options,
            plane,
            api,
            admin,
            applier,
            operator_kubeconfig,
            dir,
        })
    }

    /// Ends the control plane, with all objects, and starts a new and empty one with the manifests of `deploy/`. The provider
    /// and its projects stay. Operators of the former one must have ended.
    ///
    /// # Errors
    /// When the new one cannot be started.
    pub async fn lose_cluster(&mut self) -> Result<()> {
        let plane = Plane::start(plane::USUAL, &self.options.project).await?;
        (self.operator_kubeconfig, self.admin, self.applier) = ways_in(&plane).await?;
        self.plane = plane;
        Ok(())
    }

    /// Folder for files of this world.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Starts an operator with the service account's token only.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn operator(&self, name: &str, with: impl FnOnce(&mut Command)) -> Result<Operator> {
        self.operator_of(&self.options.operator, name, with)
    }

    /// As [`World::operator`], with another program, such as that of another version.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn operator_of(&self, program: &Path, name: &str, with: impl FnOnce(&mut Command)) -> Result<Operator> {
        let log = self.dir.path().join(format!("{name}.log"));
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("KUBECONFIG", &self.operator_kubeconfig)
            .env("POD_NAME", name)
            // As in the Deployment.
            .env("MALLOC_ARENA_MAX", "1")
            .env("ORCHESTRA_LOG", "debug")
            .env("ORCHESTRA_LEASE_DURATION", "3s")
            // By the environment, so that `with` may say otherwise by a flag.
            .env("ORCHESTRA_POLL_INTERVAL", "200ms")
            .env("ORCHESTRA_CREATE_SETTLE", "3s")
            .env("ORCHESTRA_LOGIN_SPACING", "500ms")
            .env("SUPABASE_PROJECT_DOMAIN", "supabase.test")
            .env("SUPABASE_CA_FILE", self.dir.path().join(ROOT))
            .args(["run", "--metrics-address=127.0.0.1:0"])
            .arg(format!("--supabase-api-url={}", self.api.url()))
            .arg(format!("--supabase-trusted-hosts={}", self.api.router().host()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::options().create(true).append(true).open(&log)?);
        with(&mut command);
        let child = command
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        Ok(Operator {
            child,
            log,
            _writes_to: self.plane.user(),
        })
    }

    /// Whether pools need `allowLegacyServers` for databases of the stand-in's server.
    pub fn is_legacy(&self) -> bool {
        self.api.postgres().is_some_and(crate::postgres::Postgres::is_legacy)
    }

    /// Puts the stand-in's token where the sample class looks for it.
    ///
    /// # Errors
    /// When the API server refuses.
    pub fn store_token(&self) -> Result<()> {
        self.store_secret("supabase-token", "token", &self.api.token())
    }

    /// Writes one key of a Secret in the operator's namespace.
    ///
    /// # Errors
    /// When the API server refuses.
    pub fn store_secret(&self, name: &str, key: &str, value: &str) -> Result<()> {
        let value = serde_json::to_string(value)?;
        self.apply(&format!(
            "{{apiVersion: v1, kind: Secret, metadata: {{name: {name}, namespace: {SYSTEM}}}, stringData: {{{key}: {value}}}}}"
        ))
    }

    /// Applies manifests, as an admin does with `kubectl apply --server-side`.
    ///
    /// # Errors
    /// When the API server refuses one; its message is in the error.
    pub fn apply(&self, manifests: &str) -> Result<()> {
        self.applier.apply(manifests)
    }

    /// Runs kubectl and returns what it prints.
    ///
    /// # Errors
    /// When kubectl fails; its message is in the error.
    pub fn kubectl<const N: usize>(&self, arguments: [&str; N]) -> Result<String> {
        let output = self.plane.kubectl(arguments).output()?;
        if !output.status.success() {
            bail!(
                "kubectl {}: {}",
                arguments.join(" "),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// A resource as JSON, or nothing when there is none. Cluster-wide kinds take an empty namespace.
    ///
    /// # Errors
    /// When the API server cannot be asked.
    pub async fn get(&self, kind: Kind, namespace: &str, name: &str) -> Result<Option<Value>> {
        let object = self.dynamic(kind, namespace).get_opt(name).await?;
        Ok(object.map(serde_json::to_value).transpose()?)
    }

    /// All resources of a kind as JSON.
    ///
    /// # Errors
    /// When the API server cannot be asked.
    pub async fn list(&self, kind: Kind) -> Result<Vec<Value>> {
        let objects = self.dynamic(kind, "").list(&kube::api::ListParams::default()).await?;
        objects
            .items
            .into_iter()
            .map(|object| Ok(serde_json::to_value(object)?))
            .collect()
    }

    /// Waits until a resource is as it should be, and returns it. The error shows it as it was last.
    ///
    /// # Errors
    /// When it is not in this time.
    pub async fn until(
        &self,
        kind: Kind,
        (namespace, name): (&str, &str),
        limit: Duration,
        is: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let mut last = None;
        let waited = tokio::time::timeout(limit, self.watch(kind, (namespace, name), &mut last, is));
        if let Ok(seen) = waited.await {
            return seen;
        }
        let mut last = last.unwrap_or_default();
        if let Some(metadata) = last.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("managedFields");
        }
        bail!("{kind:?} {namespace}/{name} is not as it should be after {limit:?}: {last:#}");
    }

    /// Follows a resource until it is as it should be.
    async fn watch(
        &self,
        kind: Kind,
        (namespace, name): (&str, &str),
        last: &mut Option<Value>,
        is: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let mut states = pin!(watch_object(self.dynamic(kind, namespace), name));
        loop {
            // What is asked may depend on more than the resource.
            match tokio::time::timeout(Duration::from_millis(500), states.next()).await {
                Ok(Some(Ok(state))) => {
                    let state = state.map(serde_json::to_value).transpose()?.unwrap_or_default();
                    standings::keep(&state);
                    *last = Some(state);
                }
                Ok(Some(Err(error))) => {
                    eprintln!("the watch of {kind:?} {namespace}/{name} begins again: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
                Ok(None) => bail!("the watch of {kind:?} {namespace}/{name} has ended"),
                Err(_) => (),
            }
            if let Some(state) = last.as_ref().filter(|state| is(state)) {
                return Ok(state.clone());
            }
        }
    }

    fn dynamic(&self, kind: Kind, namespace: &str) -> Api<DynamicObject> {
        let resource = kind.resource();
        if namespace.is_empty() {
            Api::all_with(self.admin.clone(), &resource)
        } else {
            Api::namespaced_with(self.admin.clone(), namespace, &resource)
        }
    }
}

/// The kubeconfig of the operator's service account, and a client and an applier that may do everything.
async fn ways_in(plane: &ControlPlane) -> Result<(PathBuf, Client, Applier)> {
    let operator = plane
        .kubeconfig_for_service_account(SYSTEM, "orchestra-operator")
        .await?;
    let applier = Applier::new(crate::control_plane::client(plane.admin_kubeconfig()));
    Ok((operator, plane.admin_client().await?, applier.await?))
}

/// An operator process. Dropping it kills it.
pub struct Operator {
    child: Child,
    log: PathBuf,
    /// The control plane, which no other world gets before this process has ended.
    _writes_to: Option<Arc<()>>,
}

impl Operator {
    /// Kills it at once, as a crash does (SIGKILL), and waits until it is gone.
    ///
    /// # Errors
    /// When the process cannot be waited for.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to end (SIGTERM) and waits for its exit status.
    ///
    /// # Errors
    /// When it does not end within 30 s.
    pub fn terminate(&mut self) -> Result<std::process::ExitStatus> {
        let status = Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status()?;
        if !status.success() {
            bail!("kill -TERM failed");
        }
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(30) {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("the operator did not end in 30 s:\n{}", self.log())
    }

    /// The exit status, once it has ended by itself.
    ///
    /// # Errors
    /// When the process cannot be asked.
    pub fn ended(&mut self) -> Result<Option<std::process::ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            eprintln!(
                "the operator's last words:\n{}",
                lines[lines.len().saturating_sub(60)..].join("\n")
            );
        }
    }
}
