//! How the Secrets are written.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ObjectMeta, Patch};
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::ObjectRef;
use serde_json::{Map, Value, json};

use crate::controller::Core;
use crate::controller::error::Error;
use crate::controller::latest::Latest;
use crate::controller::write::{patch_parameters, post_parameters};

/// The Secrets of one namespace. The result of each write replaces what the watch shows until it has caught up.
pub struct Secrets<'a> {
    api: Api<Secret>,
    namespace: &'a str,
    watched: &'a Latest<PartialObjectMeta<Secret>>,
}

impl<'a> Secrets<'a> {
    /// The Secrets in the operator's namespace.
    pub fn own(core: &'a Core) -> Self {
        Self::of(core, &core.settings.namespace, &core.stores.secrets)
    }

    /// The connection Secrets in the namespace of a tenant.
    pub fn connections(core: &'a Core, namespace: &'a str) -> Self {
        Self::of(core, namespace, &core.stores.connections)
    }

    fn of(core: &'a Core, namespace: &'a str, watched: &'a Latest<PartialObjectMeta<Secret>>) -> Self {
        Self {
            api: Api::namespaced(core.client.clone(), namespace),
            namespace,
            watched,
        }
    }

    /// Reads a Secret.
    pub(super) async fn get(&self, name: &str) -> Result<Option<Secret>, Error> {
        Ok(self.api.get_opt(name).await?)
    }

    fn wrote(&self, written: Secret) -> Secret {
        self.watched.wrote_whole(&written);
        written
    }
}

/// Whether the watch has seen a Secret of this name in the operator's namespace. A watch may be late.
pub fn is_watched(core: &Core, name: &str) -> bool {
    watched_version(core, name).is_some()
}

/// `resourceVersion` of a Secret of the operator's namespace, as the watch and our own writes have it.
pub fn watched_version(core: &Core, name: &str) -> Option<String> {
    let secret = ObjectRef::new(name).within(&core.settings.namespace);
    core.stores.secrets.get(&secret)?.metadata.resource_version.clone()
}

/// Creates a Secret; none when there is one of its name already.
pub(super) async fn create(secrets: &Secrets<'_>, manager: &str, secret: &Secret) -> Result<Option<Secret>, Error> {
    match make(secrets, manager, secret).await {
        Err(Error::Kubernetes(kube::Error::Api(status))) if status.is_already_exists() => Ok(None),
        made => made.map(Some),
    }
}

/// Creates a Secret.
pub(super) async fn make(secrets: &Secrets<'_>, manager: &str, secret: &Secret) -> Result<Secret, Error> {
    let parameters = post_parameters(manager);
    Ok(secrets.wrote(secrets.api.create(&parameters, secret).await?))
}

/// Server-side applies the whole of a Secret. Forced, because earlier versions of the operator wrote parts of
/// it as other field managers.
pub(super) async fn apply(secrets: &Secrets<'_>, manager: &str, secret: &Secret) -> Result<(), Error> {
    let parameters = patch_parameters(manager).force();
    let patch = Patch::Apply(secret);
    let written = secrets.api.patch(&secret.name_any(), &parameters, &patch).await?;
    secrets.wrote(written);
    Ok(())
}

/// The keys of labels and of annotations that a field manager has set, by whichever kind of write.
pub(super) fn owned(secret: &Secret, manager: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let mut owned = (BTreeSet::new(), BTreeSet::new());
    for entry in secret.metadata.managed_fields.iter().flatten() {
        let fields = entry.fields_v1.as_ref().map(|fields| &fields.0["f:metadata"]);
        if entry.manager.as_deref() != Some(manager) {
            continue;
        }
        let Some(fields) = fields else { continue };
        for (what, into) in [("f:labels", &mut owned.0), ("f:annotations", &mut owned.1)] {
            let keys = fields[what].as_object().into_iter().flat_map(Map::keys);
            into.extend(keys.filter_map(|key| Some(key.strip_prefix("f:")?.to_owned())));
        }
    }
    owned
}

/// Changes a Secret that was read, by compare-and-swap: it then has exactly the wanted data, and the wanted labels and
/// annotations beside those of others. Its type stays.
pub(super) async fn amend(
    secrets: &Secrets<'_>,
    manager: &str,
    found: &Secret,
    wanted: &Secret,
) -> Result<Secret, Error> {
    let parameters = patch_parameters(manager);
    let patch = amendment(manager, found, wanted).map_err(kube::Error::SerdeError)?;
    let patch = Patch::Merge(patch);
    let written = secrets.api.patch(&found.name_any(), &parameters, &patch).await?;
    Ok(secrets.wrote(written))
}

fn amendment(manager: &str, found: &Secret, wanted: &Secret) -> Result<Value, serde_json::Error> {
    let (labels, annotations) = owned(found, manager);
    let changes = |owned: BTreeSet<String>, found: &BTreeMap<String, String>, wanted: &BTreeMap<String, String>| {
        let gone = owned.into_iter().filter(|key| found.contains_key(key));
        let mut all: Map<_, _> = gone.map(|key| (key, Value::Null)).collect();
        all.extend(
            wanted
                .iter()
                .map(|(key, value)| (key.clone(), Value::from(value.as_str()))),
        );
        all
    };
    let mut data: Map<_, _> = Map::new();
    for key in found.data.iter().flat_map(BTreeMap::keys) {
        data.insert(key.clone(), Value::Null);
    }
    for (key, value) in wanted.data.iter().flatten() {
        data.insert(key.clone(), serde_json::to_value(value)?);
    }
    let mut metadata = json!({
        "resourceVersion": found.metadata.resource_version,
        "labels": changes(labels, found.labels(), wanted.labels()),
        "annotations": changes(annotations, found.annotations(), wanted.annotations()),
    });
    if let Some(owners) = &wanted.metadata.owner_references {
        metadata["ownerReferences"] = serde_json::to_value(owners)?;
    }
    Ok(json!({"metadata": metadata, "data": data}))
}

/// Deletes a Secret. A missing one is not an error.
pub(super) async fn delete(secrets: &Secrets<'_>, name: &str) -> Result<(), Error> {
    let left = match secrets.api.delete(name, &DeleteParams::default()).await {
        Ok(deleted) => deleted.left(),
        Err(kube::Error::Api(status)) if status.is_not_found() => None,
        Err(error) => return Err(error.into()),
    };
    match left.filter(|left| !left.finalizers().is_empty()) {
        // The Secret is being deleted, and still exists.
        Some(left) => drop(secrets.wrote(left)),
        None => secrets.watched.removed(&ObjectRef::new(name).within(secrets.namespace)),
    }
    Ok(())
}

/// A Secret with these labels and values.
pub(super) fn render(
    name: &str,
    labels: &[(&str, &str)],
    values: impl IntoIterator<Item = (&'static str, String)>,
) -> Secret {
    let labels = labels
        .iter()
        .map(|(key, value)| ((*key).to_string(), (*value).to_string()));
    let values = values
        .into_iter()
        .map(|(key, value)| (key.to_string(), ByteString(value.into_bytes())));
    Secret {
        metadata: ObjectMeta {
            name: Some(name.into()),
            labels: Some(labels.collect()),
            ..ObjectMeta::default()
        },
        data: Some(values.collect()),
        ..Secret::default()
    }
}

/// A Secret as a fixture has it, with its values in plain text.
#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) fn fixture(text: &str) -> Secret {
    let mut secret: Secret = serde_saphyr::from_str(text).unwrap();
    let values = secret.string_data.take().unwrap().into_iter();
    secret.data = Some(
        values
            .map(|(key, value)| (key, ByteString(value.into_bytes())))
            .collect(),
    );
    secret.metadata.namespace = None;
    secret
}
