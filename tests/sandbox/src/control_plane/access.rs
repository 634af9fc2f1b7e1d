//! Ways into a control plane: clients, kubeconfig files and kubectl.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::ServiceAccount,
};
use kube::{
    Api, Client, Config,
    api::PostParams,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::json;

use super::{ControlPlane, keys::write_kubeconfig, process::collect_seldom};

/// How long a service account's token lives, in seconds.
const TOKEN_LIFE: i64 = 24 * 3600;

impl ControlPlane {
    /// A new client of the group `system:masters`, bound to the current Tokio runtime.
    ///
    /// # Errors
    /// When the kubeconfig cannot be read.
    pub async fn admin_client(&self) -> Result<Client> {
        client(self.admin_kubeconfig()).await
    }

    /// The kubeconfig file of the group `system:masters`, readable by its owner only.
    pub fn admin_kubeconfig(&self) -> PathBuf {
        self.admin_kubeconfig.clone()
    }

    /// Writes a kubeconfig that holds only a token of this service account, valid for a day.
    ///
    /// # Errors
    /// When the service account does not exist.
    pub async fn kubeconfig_for_service_account(&self, namespace: &str, name: &str) -> Result<PathBuf> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.admin_client().await?, namespace);
        let request = TokenRequest {
            spec: TokenRequestSpec {
                expiration_seconds: Some(TOKEN_LIFE),
                ..TokenRequestSpec::default()
            },
            ..TokenRequest::default()
        };
        let token = accounts
            .create_token_request(name, &PostParams::default(), &request)
            .await
            .with_context(|| format!("token of service account {namespace}/{name}"))?
            .status
            .context("the token request has no status")?
            .token;
        let path = self.dir.join(format!("{namespace}.{name}.kubeconfig"));
        write_kubeconfig(
            &path,
            &self.server(),
            &self.keys.ca,
            &json!({ "token": token }),
            namespace,
        )
    }

    /// A new client with a token of this service account.
    ///
    /// # Errors
    /// As [`ControlPlane::kubeconfig_for_service_account`].
    pub async fn client_for_service_account(&self, namespace: &str, name: &str) -> Result<Client> {
        client(self.kubeconfig_for_service_account(namespace, name).await?).await
    }

    /// `kubectl` as the group `system:masters`, with these arguments.
    pub fn kubectl<I, S>(&self, args: I) -> Command
    where
        I: IntoIterator<Item = S>,
        S: AsRef<std::ffi::OsStr>,
    {
        let mut command = Command::new(&self.binaries.kubectl);
        command.env("KUBECONFIG", &self.admin_kubeconfig).args(args);
        collect_seldom(&mut command);
        command
    }

    /// Runs `kubectl apply --server-side` on a manifest, or on a directory that holds a `kustomization.yaml`.
    ///
    /// Blocks until kubectl ends. Returns what it printed.
    ///
    /// # Errors
    /// When kubectl fails; its message is in the error.
    pub fn apply(&self, path: &Path) -> Result<String> {
        let how = if path.join("kustomization.yaml").is_file() {
            "-k"
        } else {
            "-f"
        };
        let output = self.kubectl(["apply", "--server-side", how]).arg(path).output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "kubectl apply {how} {}: {errors}",
            path.display()
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// A client by this kubeconfig, bound to the current Tokio runtime.
pub(crate) async fn client(kubeconfig: PathBuf) -> Result<Client> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}
