//! What the stores hold of a watched object: only what is read.

use kube::Resource;

use crate::api::names::{PLAN_DIGEST, TOKEN_EXPIRES_ANNOTATION};

/// The copy of the whole object that `kubectl apply` keeps in it. A change of the spec changes the generation
/// as well.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Annotations that the operator reads on Secrets and ConfigMaps.
const READ: [&str; 2] = [TOKEN_EXPIRES_ANNOTATION, PLAN_DIGEST];

/// Trims an object of our own kinds: its spec, status and metadata are read, but not who set which field.
pub fn whole<K: Resource>(object: &mut K) {
    let meta = object.meta_mut();
    meta.managed_fields = None;
    if let Some(annotations) = &mut meta.annotations {
        annotations.remove(LAST_APPLIED);
    }
}

/// Trims the metadata of a Secret, ConfigMap or Namespace. Its identity, version, labels and owners are read,
/// and few annotations.
pub fn metadata<K: Resource>(object: &mut K) {
    let meta = object.meta_mut();
    meta.managed_fields = None;
    meta.finalizers = None;
    meta.generate_name = None;
    if let Some(annotations) = &mut meta.annotations {
        annotations.retain(|name, _| READ.contains(&name.as_str()));
    }
    meta.annotations.take_if(|annotations| annotations.is_empty());
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use k8s_openapi::api::core::v1::Secret;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_read_stays() {
        let object = json!({"metadata": {
            "name": "a", "namespace": "b", "uid": "c", "resourceVersion": "1", "labels": {"d": "e"},
            "annotations": {LAST_APPLIED: "{}", TOKEN_EXPIRES_ANNOTATION: "2026-12-31", "other": "x"},
            "managedFields": [{"manager": "f"}], "finalizers": ["g"],
            "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "h", "uid": "i"}],
        }});
        let mut secret: Secret = serde_json::from_value(object).unwrap();
        let mut ours = secret.clone();
        whole(&mut ours);
        assert_eq!(ours.metadata.managed_fields, None);
        assert_eq!(ours.metadata.finalizers, secret.metadata.finalizers);
        let annotations = ours.metadata.annotations.unwrap();
        assert_eq!(
            annotations.keys().collect::<Vec<_>>(),
            ["other", TOKEN_EXPIRES_ANNOTATION]
        );

        metadata(&mut secret);
        assert_eq!(
            serde_json::to_value(secret).unwrap()["metadata"],
            json!({
                "name": "a", "namespace": "b", "uid": "c", "resourceVersion": "1", "labels": {"d": "e"},
                "annotations": {TOKEN_EXPIRES_ANNOTATION: "2026-12-31"},
                "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "h", "uid": "i"}],
            })
        );
    }
}
