//! How the Secrets in the operator's namespace are written.

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::runtime::reflector::ObjectRef;

use crate::controller::Core;
use crate::controller::error::Error;

/// Whether the watch has seen a Secret of this name in the operator's namespace. A watch may be late.
pub fn is_watched(core: &Core, name: &str) -> bool {
    let secret = ObjectRef::new(name).within(&core.settings.namespace);
    core.stores.secrets.get(&secret).is_some()
}

/// Creates a Secret; false when there is one of its name already.
pub(super) async fn create(api: &Api<Secret>, manager: &str, secret: &Secret) -> Result<bool, Error> {
    let parameters = PostParams {
        field_manager: Some(manager.into()),
        ..PostParams::default()
    };
    match api.create(&parameters, secret).await {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Server-side applies the whole of a Secret. Forced, because earlier versions of the operator wrote parts of
/// it as other field managers.
pub(super) async fn apply(api: &Api<Secret>, manager: &str, secret: &Secret) -> Result<(), Error> {
    let parameters = PatchParams::apply(manager).force();
    api.patch(&secret.name_any(), &parameters, &Patch::Apply(secret))
        .await?;
    Ok(())
}

/// Deletes a Secret. One that is not there is fine.
pub(super) async fn delete(api: &Api<Secret>, name: &str) -> Result<(), Error> {
    match api.delete(name, &DeleteParams::default()).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(error) => Err(error.into()),
    }
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
