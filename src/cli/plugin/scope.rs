//! The flags that every command has, as kubectl's own, and the cluster and namespace that they mean.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap_complete::engine::ArgValueCandidates;
use kube::Client;
use kube::api::Api;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};

use super::complete;
use crate::api::Orchestra;

/// The time limit of a connection attempt.
const CONNECT: Duration = Duration::from_secs(10);

/// Flags of every command.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Flags {
    /// Namespace. Default: the namespace of the kubeconfig's context.
    #[arg(short, long, global = true, add = ArgValueCandidates::new(complete::namespaces))]
    pub namespace: Option<String>,
    /// Context of the kubeconfig.
    #[arg(long, global = true, add = ArgValueCandidates::new(complete::contexts))]
    pub context: Option<String>,
    /// Kubeconfig file. Default: the files of KUBECONFIG, or ~/.kube/config.
    #[arg(long, global = true, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub kubeconfig: Option<PathBuf>,
}

/// A cluster, and a namespace in it.
pub struct Scope {
    /// The cluster.
    pub client: Client,
    /// The namespace.
    pub namespace: String,
    /// Whether a flag names the namespace.
    pub is_named: bool,
}

impl Flags {
    /// The kubeconfig that the flags and the environment name.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn kubeconfig(&self) -> anyhow::Result<Kubeconfig> {
        match &self.kubeconfig {
            Some(file) => {
                Kubeconfig::read_from(file).with_context(|| format!("cannot read the kubeconfig {}", file.display()))
            }
            None => Kubeconfig::read().context(NO_CLUSTER),
        }
    }

    async fn config(&self) -> anyhow::Result<Config> {
        if self.kubeconfig.is_none() && self.context.is_none() {
            return Config::infer().await.context(NO_CLUSTER);
        }
        let kubeconfig = self.kubeconfig()?;
        if let Some(context) = &self.context
            && !kubeconfig.contexts.iter().any(|known| known.name == *context)
        {
            bail!("context {context:?} does not exist");
        }
        let options = KubeConfigOptions {
            context: self.context.clone(),
            ..KubeConfigOptions::default()
        };
        Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .context("the kubeconfig cannot be used")
    }

    /// The cluster and the namespace.
    ///
    /// # Errors
    /// When no cluster is configured, or its kubeconfig cannot be used.
    pub async fn scope(&self) -> anyhow::Result<Scope> {
        let mut config = self.config().await?;
        config.connect_timeout = Some(CONNECT);
        let client = Client::try_from(config).context("the Kubernetes configuration cannot be used")?;
        let namespace = self.namespace.clone();
        Ok(Scope {
            is_named: namespace.is_some(),
            namespace: namespace.unwrap_or_else(|| client.default_namespace().to_owned()),
            client,
        })
    }
}

const NO_CLUSTER: &str = "no Kubernetes cluster is configured: set KUBECONFIG, or name a file with --kubeconfig";

impl Scope {
    /// The Orchestras of the namespace.
    pub fn orchestras(&self) -> Api<Orchestra> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The Orchestras of the namespace, or of the whole cluster.
    pub fn orchestras_of(&self, all: bool) -> Api<Orchestra> {
        if all {
            Api::all(self.client.clone())
        } else {
            self.orchestras()
        }
    }

    /// An Orchestra by its name.
    ///
    /// # Errors
    /// When it does not exist, or cannot be read.
    pub async fn orchestra(&self, name: &str) -> anyhow::Result<Orchestra> {
        Ok(self.orchestras().get(name).await?)
    }
}
