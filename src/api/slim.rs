//! Decodes objects that others write with bounded metadata. Kubernetes bounds the annotations of an object and no other part
//! of its metadata: an author may give it 1.4 MiB of labels, which take ten times as much memory decoded, and the managed
//! fields repeat each of them. The metadata is bounded here while it is decoded.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use kube::Resource;
use kube::core::ObjectMeta;
use kube::runtime::watcher::Event;
use serde::de::{DeserializeOwned, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::names::{MANAGED_BY, OURS};
use super::unreadable;

/// The most bytes of labels.
const LABELS: usize = 16 << 10;

/// The most finalizers and owners.
const ENTRIES: usize = 100;

/// Whether a label belongs to the operator.
fn is_ours(name: &str) -> bool {
    name == MANAGED_BY.0 || name.starts_with(OURS)
}

/// An object whose metadata was decoded only as far as it is read.
#[derive(Clone, Debug)]
pub struct Slim<K>(pub K);

/// An event of a watch, with the object itself.
pub fn whole<K>(event: Event<Slim<K>>) -> Event<K> {
    match event {
        Event::Apply(Slim(object)) => Event::Apply(object),
        Event::Delete(Slim(object)) => Event::Delete(object),
        Event::Init => Event::Init,
        Event::InitApply(Slim(object)) => Event::InitApply(object),
        Event::InitDone => Event::InitDone,
    }
}

impl<K: Resource> Resource for Slim<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::kind(dt)
    }

    fn group(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::group(dt)
    }

    fn version(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::version(dt)
    }

    fn plural(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::plural(dt)
    }

    fn metadata_api() -> bool {
        K::metadata_api()
    }

    fn meta(&self) -> &ObjectMeta {
        self.0.meta()
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.0.meta_mut()
    }
}

impl<'de, K: DeserializeOwned> Deserialize<'de> for Slim<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Raw { metadata, mut rest } = Raw::deserialize(deserializer)?;
        let metadata = serde_json::to_value(metadata).map_err(D::Error::custom)?;
        rest.insert("metadata".to_owned(), metadata);
        unreadable::decode(Value::Object(rest))
            .map(Self)
            .map_err(D::Error::custom)
    }
}

/// The schemas of our kinds bound spec and status; of other kinds only the metadata is asked for.
#[derive(Deserialize)]
struct Raw {
    #[serde(default)]
    metadata: Metadata,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    creation_timestamp: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deletion_timestamp: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deletion_grace_period_seconds: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<Labels>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner_references: Option<Few<Owner>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finalizers: Option<Few<String>>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Owner {
    api_version: String,
    kind: String,
    name: String,
    uid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    controller: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    block_owner_deletion: Option<bool>,
}

/// The operator's own labels, and others up to [`LABELS`].
#[derive(Default, Serialize)]
#[serde(transparent)]
struct Labels(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Labels;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("labels")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut all: A) -> Result<Labels, A::Error> {
                let (mut kept, mut others, mut ours) = (BTreeMap::new(), 0, 0);
                while let Some(name) = all.next_key::<String>()? {
                    let size = if is_ours(&name) { &mut ours } else { &mut others };
                    *size += name.len();
                    if *size > LABELS {
                        all.next_value::<IgnoredAny>()?;
                        continue;
                    }
                    let value: String = all.next_value()?;
                    *size += value.len();
                    kept.insert(name, value);
                }
                Ok(Labels(kept))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

/// The first [`ENTRIES`] of a list.
#[derive(Serialize)]
#[serde(transparent)]
struct Few<T>(Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Few<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Items<T> {
            type Value = Few<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Few<T>, A::Error> {
                let mut few = Vec::new();
                while few.len() < ENTRIES {
                    let Some(next) = all.next_element()? else {
                        return Ok(Few(few));
                    };
                    few.push(next);
                }
                while all.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Few(few))
            }
        }
        deserializer.deserialize_seq(Items(std::marker::PhantomData))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::core::PartialObjectMeta;
    use serde_json::json;

    use super::*;
    use crate::api::Orchestra;

    fn usual() -> Value {
        json!({
            "name": "a", "namespace": "b", "uid": "c", "resourceVersion": "7", "generation": 2,
            "creationTimestamp": "2026-01-01T00:00:00Z", "deletionTimestamp": "2026-01-02T00:00:00Z",
            "deletionGracePeriodSeconds": 0, "labels": {"d": "e", "stagesub.io/f": "g"}, "annotations": {"h": "i"},
            "finalizers": ["j"], "ownerReferences": [
                {"apiVersion": "v1", "kind": "Pod", "name": "k", "uid": "l", "controller": true, "blockOwnerDeletion": true},
            ],
        })
    }

    #[test]
    fn what_is_usual_is_decoded_as_it_is() {
        let map = json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": usual()});
        let whole: PartialObjectMeta<ConfigMap> = serde_json::from_value(map.clone()).unwrap();
        let slim: Slim<PartialObjectMeta<ConfigMap>> = serde_json::from_str(&map.to_string()).unwrap();
        assert_eq!(
            serde_json::to_value(&slim.0).unwrap(),
            serde_json::to_value(&whole).unwrap()
        );
        assert_eq!(
            slim.0.types.map(|types| types.kind),
            Some("PartialObjectMetadata".into())
        );
        let orchestra = json!({
            "kind": "Orchestra", "apiVersion": "stagesub.io/v1alpha1", "metadata": usual(),
            "spec": {"displayName": "One"}, "status": {"phase": "Ready", "observedGeneration": 2},
        });
        let whole: Orchestra = serde_json::from_value(orchestra.clone()).unwrap();
        let slim: Slim<Orchestra> = serde_json::from_str(&orchestra.to_string()).unwrap();
        assert_eq!(
            serde_json::to_value(&slim.0).unwrap(),
            serde_json::to_value(&whole).unwrap()
        );
        let bare: Slim<PartialObjectMeta<ConfigMap>> = serde_json::from_str("{}").unwrap();
        assert_eq!(bare.meta(), &ObjectMeta::default());
    }

    #[test]
    fn metadata_without_end_is_not_kept() {
        let mut metadata = usual();
        let mut labels: Map<String, Value> = (0..150_000).map(|number| (format!("a{number}"), json!(""))).collect();
        labels.insert("stagesub.io/orchestra".into(), json!("one"));
        labels.insert(MANAGED_BY.0.into(), json!(MANAGED_BY.1));
        metadata["labels"] = labels.into();
        metadata["managedFields"] = json!([{"manager": "m", "fieldsV1": {"f:metadata": {"f:labels": {}}}}]);
        metadata["finalizers"] = (0..10_000).map(|number| format!("a.example/{number}")).collect();
        let owner = metadata["ownerReferences"][0].clone();
        metadata["ownerReferences"] = vec![owner; 10_000].into();
        let text = json!({"metadata": metadata}).to_string();
        let found: Slim<PartialObjectMeta<ConfigMap>> = serde_json::from_str(&text).unwrap();
        let meta = found.meta();
        let labels = meta.labels.as_ref().unwrap();
        let bytes: usize = labels.iter().map(|(name, value)| name.len() + value.len()).sum();
        assert!(bytes < 2 * LABELS, "{bytes}");
        assert_eq!(labels["stagesub.io/orchestra"], "one");
        assert_eq!(labels[MANAGED_BY.0], MANAGED_BY.1);
        assert_eq!(meta.finalizers.as_ref().unwrap().len(), ENTRIES);
        assert_eq!(meta.owner_references.as_ref().unwrap().len(), ENTRIES);
        assert_eq!(meta.managed_fields, None);
    }
}
