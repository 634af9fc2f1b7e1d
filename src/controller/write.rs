//! Writing to Kubernetes: changes, finalizers and deletions.

use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::NamespaceResourceScope;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::Core;
use super::error::Error;
use super::latest::Remembered;
use crate::api::names::FIELD_MANAGER;
use crate::api::{STATUS_ITEMS, STATUS_TEXT};
use crate::text;

/// Parameters of a request that creates or replaces an object as this field manager. Only this function and
/// [`patch_parameters`] make such parameters, so no write goes without the name of who wrote (`tests/layers`).
pub fn post_parameters(manager: &str) -> PostParams {
    PostParams {
        field_manager: Some(manager.into()),
        ..PostParams::default()
    }
}

/// Parameters of a request that changes an object as this field manager, by any kind of patch.
pub fn patch_parameters(manager: &str) -> PatchParams {
    PatchParams {
        field_manager: Some(manager.into()),
        ..PatchParams::default()
    }
}

/// Makes a status one that its schema accepts.
pub(super) fn clean(value: &mut Value) {
    match value {
        Value::String(text) => *text = text::shown(text, STATUS_TEXT),
        Value::Array(all) => {
            all.truncate(STATUS_ITEMS);
            all.iter_mut().for_each(clean);
        }
        Value::Object(all) => all.values_mut().for_each(clean),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Changes an object by a merge patch, in this very version of it, and returns it as it is then.
///
/// # Errors
/// When the object has changed or is gone, or the Kubernetes API fails.
pub async fn change<K>(core: &Core, object: &K, mut patch: Value) -> Result<K, Error>
where
    K: Remembered + DeserializeOwned + std::fmt::Debug,
{
    patch["metadata"]["resourceVersion"] = json!(object.resource_version());
    let changed = object
        .api(&core.client)
        .patch(
            &object.name_any(),
            &patch_parameters(FIELD_MANAGER),
            &Patch::Merge(patch),
        )
        .await?;
    K::latest(&core.stores).wrote(&changed);
    Ok(changed)
}

/// Adds or removes a finalizer, by compare-and-swap, and returns the object as it is then. Removing it from an
/// object that is gone is no error.
pub async fn set_finalizer<K>(core: &Core, object: &K, finalizer: &str, present: bool) -> Result<Option<K>, Error>
where
    K: Remembered + DeserializeOwned + std::fmt::Debug,
{
    let mut finalizers = object.finalizers().to_vec();
    finalizers.retain(|name| name != finalizer);
    if present {
        finalizers.push(finalizer.to_string());
    }
    match change(core, object, json!({"metadata": {"finalizers": finalizers}})).await {
        Err(error) if error.is_not_found() && !present => Ok(None),
        changed => changed.map(Some),
    }
}

/// Deletes an object, in this version of it, and returns it as it is then: with a finalizer on it, the deletion has only
/// started. None when it is gone.
pub async fn delete<K>(core: &Core, object: &K) -> Result<Option<K>, Error>
where
    K: Remembered + DeserializeOwned + std::fmt::Debug,
{
    let parameters = DeleteParams {
        preconditions: Some(Preconditions {
            uid: object.uid(),
            resource_version: object.resource_version(),
        }),
        ..DeleteParams::default()
    };
    let deleted = match object.api(&core.client).delete(&object.name_any(), &parameters).await {
        Ok(deleted) => deleted.left(),
        Err(kube::Error::Api(status)) if status.is_not_found() => None,
        Err(error) => return Err(error.into()),
    };
    let Some(left) = deleted.filter(|left| !left.finalizers().is_empty()) else {
        K::latest(&core.stores).removed(&ObjectRef::from_obj(object));
        return Ok(None);
    };
    K::latest(&core.stores).wrote(&left);
    Ok(Some(left))
}

/// The API of the namespace that an object is in.
pub fn namespaced<K>(client: &kube::Client, object: &impl ResourceExt) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    Api::namespaced(client.clone(), &object.namespace().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_accepted() {
        let mut status = json!({"list": vec!["é\u{0}".repeat(STATUS_TEXT); STATUS_ITEMS + 1], "map": {"a": "b\nc"}});
        clean(&mut status);
        let list = status["list"].as_array().map(Vec::as_slice).unwrap_or_default();
        assert_eq!((list.len(), &status["map"]["a"]), (STATUS_ITEMS, &json!("b c")));
        let characters = list.iter().filter_map(Value::as_str).map(|text| text.chars().count());
        assert!(characters.clone().all(|count| count == STATUS_TEXT), "{characters:?}");
    }
}
