//! `kubectl apply --server-side` without a process for each call: kubectl reads the whole OpenAPI document of the API server
//! to apply one object, which takes a sixth of a second of a processor, and the stories apply a thousand.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, mpsc};

use anyhow::{Context, Result, anyhow, bail};
use kube::api::{Api, DynamicObject, Patch, PatchParams, ValidationDirective};
use kube::core::GroupVersionKind;
use kube::discovery::{ApiCapabilities, ApiResource, Scope, pinned_kind};
use kube::{Client, Error};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

/// Tests apply from inside of a runtime of one thread, which cannot wait for a request of its own.
static RUNTIME: LazyLock<Option<Runtime>> =
    LazyLock::new(|| Builder::new_multi_thread().worker_threads(1).enable_all().build().ok());

/// Namespace of what names none, as in kubectl.
const DEFAULT_NAMESPACE: &str = "default";

/// An admin's hand at one control plane.
#[derive(Clone)]
pub(super) struct Applier {
    client: Client,
    kinds: Arc<Mutex<HashMap<GroupVersionKind, (ApiResource, ApiCapabilities)>>>,
}

impl Applier {
    /// One with the client that this makes.
    pub(super) async fn new(client: impl Future<Output = Result<Client>> + Send + 'static) -> Result<Self> {
        let client = runtime()?.spawn(client).await??;
        Ok(Self {
            client,
            kinds: Arc::default(),
        })
    }

    /// Applies the documents of a YAML text one after the other, and blocks until that is done.
    pub(super) fn apply(&self, manifests: &str) -> Result<()> {
        let documents: Vec<Value> = serde_saphyr::from_multiple(manifests).context("the manifests are no YAML")?;
        let (tell, told) = mpsc::channel();
        let applier = self.clone();
        runtime()?.spawn(async move {
            // The caller waits for it.
            let _ = tell.send(applier.apply_all(documents).await);
        });
        told.recv()?
    }

    /// As kubectl: what comes after a refused one is applied too.
    async fn apply_all(&self, documents: Vec<Value>) -> Result<()> {
        let mut refused = Vec::new();
        for document in documents.into_iter().filter(|document| !document.is_null()) {
            if let Err(error) = self.apply_one(document).await {
                refused.push(format!("{error:#}"));
            }
        }
        if !refused.is_empty() {
            bail!("{}", refused.join("\n"));
        }
        Ok(())
    }

    async fn apply_one(&self, document: Value) -> Result<()> {
        let object: DynamicObject = serde_json::from_value(document).context("no object")?;
        let types = object.types.as_ref().context("apiVersion and kind are missing")?;
        let (resource, capabilities) = self.kind(GroupVersionKind::try_from(types)?).await?;
        let api: Api<DynamicObject> = match capabilities.scope {
            Scope::Cluster => Api::all_with(self.client.clone(), &resource),
            Scope::Namespaced => {
                let namespace = object.metadata.namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE);
                Api::namespaced_with(self.client.clone(), namespace, &resource)
            }
        };
        let name = object.metadata.name.as_deref().context("metadata.name is missing")?;
        let parameters = PatchParams {
            field_validation: Some(ValidationDirective::Strict),
            ..PatchParams::apply("kubectl")
        };
        match api.patch(name, &parameters, &Patch::Apply(&object)).await {
            Ok(_) => Ok(()),
            Err(Error::Api(status)) => Err(anyhow!("{}: {}", status.reason, status.message)),
            Err(error) => Err(error.into()),
        }
    }

    async fn kind(&self, kind: GroupVersionKind) -> Result<(ApiResource, ApiCapabilities)> {
        let kinds = || self.kinds.lock();
        if let Some(known) = kinds().get(&kind).cloned() {
            return Ok(known);
        }
        let found = pinned_kind(&self.client, &kind).await?;
        kinds().insert(kind, found.clone());
        Ok(found)
    }
}

fn runtime() -> Result<&'static Runtime> {
    RUNTIME.as_ref().context("no thread can be started")
}
