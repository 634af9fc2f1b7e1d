//! What a kubelet does for the pods of Jobs: runs a pod's program as a process of this machine, with its Secret as a private
//! folder, and writes the pod's status with the exit code and the termination message. The Job controller of the control
//! plane makes the pods, and ends the Jobs.

use std::collections::{BTreeMap, HashSet};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, Secret};
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::task::{JoinHandle, JoinSet};

/// How often pods are looked for.
const LOOK: Duration = Duration::from_millis(200);

/// The most bytes of a termination message that a kubelet keeps.
const MESSAGE: usize = 4096;

/// What pods are run with.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program that replaces the image's entry point.
    pub program: PathBuf,
    /// Namespace of the pods.
    pub namespace: String,
    /// Folder for the pods' Secrets and logs, and below `volumes` for `PersistentVolumeClaim`s by their names.
    pub dir: PathBuf,
    /// Environment of the program.
    pub env: Vec<(String, String)>,
}

/// A kubelet of processes. Dropping it kills them.
pub struct JobRunner {
    task: JoinHandle<()>,
}

impl JobRunner {
    /// Starts to run pods.
    pub fn start(client: Client, options: Options) -> Self {
        let task = tokio::spawn(async move {
            let (mut seen, mut running) = (HashSet::new(), JoinSet::new());
            let pods: Api<Pod> = Api::namespaced(client.clone(), &options.namespace);
            loop {
                let of_jobs = ListParams::default().labels("batch.kubernetes.io/job-name");
                for pod in pods.list(&of_jobs).await.map(|list| list.items).unwrap_or_default() {
                    if seen.insert(pod.uid()) {
                        let (client, options) = (client.clone(), options.clone());
                        running.spawn(async move {
                            if let Err(error) = run(&client, &options, &pod).await {
                                eprintln!("pod {}: {error:#}", pod.name_any());
                            }
                        });
                    }
                }
                tokio::time::sleep(LOOK).await;
            }
        });
        Self { task }
    }
}

impl Drop for JobRunner {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(client: &Client, options: &Options, pod: &Pod) -> Result<()> {
    let name = pod.name_any();
    let folder = options.dir.join(&name);
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    let spec = pod.spec.as_ref().context("a pod without a spec")?;
    let container = spec.containers.first().context("a pod without a container")?;
    let paths = mounts(client, options, spec, container, &folder).await?;
    redirect(&paths)?;
    let outcome = folder.join("termination-log");
    std::fs::write(&outcome, "")?;
    let log = std::fs::File::create(folder.join("log"))?;
    let args = container.args.iter().flatten().map(|arg| {
        let path = paths.get(arg).map(|path| path.display().to_string());
        path.unwrap_or_else(|| arg.clone())
    });
    let mut child = Command::new(&options.program)
        .env_clear()
        .envs(options.env.clone())
        .env("ORCHESTRA_OUTCOME", &outcome)
        .args(args)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("start {}", options.program.display()))?;
    let pods: Api<Pod> = Api::namespaced(client.clone(), &options.namespace);
    patch(&pods, &name, &json!({"phase": "Running"})).await?;
    let status = loop {
        tokio::select! {
            status = child.wait() => break status?,
            () = tokio::time::sleep(LOOK) => {
                if pods.get_opt(&name).await?.is_none_or(|now| now.uid() != pod.uid()) {
                    // A kubelet would send SIGTERM first; the API server has already removed a pod without a node.
                    child.kill().await?;
                    return Ok(());
                }
            }
        }
    };
    let mut message = std::fs::read_to_string(&outcome).unwrap_or_default();
    message.truncate(MESSAGE);
    let code = status.code().unwrap_or(137);
    let done = code == 0;
    let state = json!({"terminated": {"exitCode": code, "reason": if done { "Completed" } else { "Error" }, "message": message}});
    let container = json!({"name": container.name, "image": container.image, "imageID": "", "ready": false, "restartCount": 0, "state": state});
    let phase = if done { "Succeeded" } else { "Failed" };
    patch(&pods, &name, &json!({"phase": phase, "containerStatuses": [container]})).await
}

/// Makes a folder for each volume that the container mounts, by the place where it is mounted.
async fn mounts(
    client: &Client,
    options: &Options,
    spec: &PodSpec,
    container: &Container,
    folder: &Path,
) -> Result<BTreeMap<String, PathBuf>> {
    let mut paths = BTreeMap::new();
    for volume in spec.volumes.iter().flatten() {
        let mount = container
            .volume_mounts
            .iter()
            .flatten()
            .find(|mount| mount.name == volume.name);
        let Some(mount) = mount.map(|mount| mount.mount_path.clone()) else {
            continue;
        };
        if let Some(claim) = &volume.persistent_volume_claim {
            let at = options.dir.join("volumes").join(&claim.claim_name);
            std::fs::create_dir_all(&at)?;
            paths.insert(mount, at);
        } else if let Some(secret) = volume.secret.as_ref().and_then(|secret| secret.secret_name.as_ref()) {
            let secrets: Api<Secret> = Api::namespaced(client.clone(), &options.namespace);
            let at = folder.join("secret");
            store(&at, &secrets.get(secret).await?)?;
            paths.insert(mount, at);
        }
    }
    Ok(paths)
}

async fn patch(pods: &Api<Pod>, name: &str, status: &Value) -> Result<()> {
    let patch = json!({ "status": status });
    pods.patch_status(name, &PatchParams::default(), &Patch::Merge(patch))
        .await?;
    Ok(())
}

/// Writes the files of a Secret, for this user alone.
fn store(at: &Path, secret: &Secret) -> Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(at)?;
    for (file, value) in secret.data.iter().flatten() {
        let mut options = std::fs::OpenOptions::new();
        let mut file = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(at.join(file))?;
        std::io::Write::write_all(&mut file, &value.0)?;
    }
    Ok(())
}

/// A process has no mounts of its own: paths of volumes in the order become those of this machine.
fn redirect(paths: &BTreeMap<String, PathBuf>) -> Result<()> {
    for folder in paths.values() {
        let file = folder.join("order.json");
        let Ok(text) = std::fs::read_to_string(&file) else {
            continue;
        };
        let mut order: Value = serde_json::from_str(&text)?;
        let mount = order["store"]["path"].as_str().and_then(|path| paths.get(path));
        if let Some(path) = mount {
            order["store"]["path"] = json!(path);
            std::fs::write(&file, order.to_string())?;
        }
    }
    Ok(())
}
