//! The stores hold only those fields of a watched object that the operator reads.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use kube::Resource;

use crate::api::names::{LEAVING_ANNOTATION, MADE_ANNOTATION, OURS, PLAN_DIGEST, TOKEN_EXPIRES_ANNOTATION};

/// The copy of the whole object that `kubectl apply` keeps in it. A change of the spec changes the generation
/// as well.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Annotations that the operator reads on Secrets and ConfigMaps.
const READ: [&str; 4] = [
    TOKEN_EXPIRES_ANNOTATION,
    PLAN_DIGEST,
    MADE_ANNOTATION,
    LEAVING_ANNOTATION,
];

/// Trims an object of our own kinds: its spec, status and metadata are read, but not the managed fields.
pub fn whole<K: Resource>(object: &mut K) {
    let meta = object.meta_mut();
    meta.managed_fields = None;
    if let Some(annotations) = &mut meta.annotations {
        annotations.remove(LAST_APPLIED);
        shorten(annotations);
    }
}

/// The most bytes of annotations that are kept of one of our objects: Kubernetes allows 256 KiB, and the operator
/// reads five of its own.
const MAX_ANNOTATIONS: usize = 4 << 10;

/// The placeholder for the annotations that are not kept, so that a change of them is noticed.
const OTHERS: &str = "other-annotations";

/// When all annotations together are too long, keeps the operator's own ones up to the length that it writes and reads, and
/// a digest of all others.
fn shorten(annotations: &mut BTreeMap<String, String>) {
    let bytes: usize = annotations.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes <= MAX_ANNOTATIONS {
        return;
    }
    let mut hash = DefaultHasher::new();
    annotations.retain(|name, value| {
        let kept = name.starts_with(OURS) && name.len() + value.len() <= MAX_ANNOTATIONS / 8;
        if !kept {
            (name, value).hash(&mut hash);
        }
        kept
    });
    while annotations.len() > 8 {
        annotations.pop_last();
    }
    annotations.insert(OTHERS.to_owned(), hash.finish().to_string());
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

/// Trims the metadata of a ConfigMap, as [`metadata`], without its labels.
pub fn unlabelled<K: Resource>(object: &mut K) {
    metadata(object);
    object.meta_mut().labels = None;
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use k8s_openapi::api::core::v1::Secret;
    use serde_json::json;

    use super::*;

    #[test]
    fn annotations_take_no_more_memory_than_ours() {
        let annotations = |more: &str| -> BTreeMap<String, String> {
            let mut all = BTreeMap::from([
                (TOKEN_EXPIRES_ANNOTATION.to_owned(), "2026-12-31".to_owned()),
                ("example.com/touched".to_owned(), "now".to_owned()),
                ("stagesub.io/long".to_owned(), "x".repeat(100_000)),
            ]);
            all.insert("example.com/more".to_owned(), more.to_owned());
            all
        };
        let (mut one, mut other) = (annotations("a"), annotations("b"));
        shorten(&mut one);
        shorten(&mut other);
        assert_eq!(one.keys().collect::<Vec<_>>(), [OTHERS, TOKEN_EXPIRES_ANNOTATION]);
        assert_ne!(one, other, "a change is seen");
        let mut few = BTreeMap::from([("example.com/touched".to_owned(), "now".to_owned())]);
        shorten(&mut few);
        assert_eq!(few.len(), 1);
    }

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
