//! Objects as YAML: as a person would write them.

use kube::core::DynamicObject;
use serde_json::{Value, json};

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The most bytes of YAML that a page shows.
const LONGEST: usize = 128 << 10;

/// An object without what only machines read.
pub fn of_object(object: &DynamicObject) -> String {
    let mut object = object.clone();
    object.metadata.managed_fields = None;
    if let Some(annotations) = &mut object.metadata.annotations {
        annotations.remove(LAST_APPLIED);
    }
    of(&json!(object))
}

/// A value as YAML; a comment where it is too long.
pub fn of(value: &Value) -> String {
    let yaml = serde_saphyr::to_string(value).unwrap_or_else(|error| format!("# {error}\n"));
    if yaml.len() > LONGEST {
        format!("# {} bytes: kubectl get -o yaml\n", yaml.len())
    } else {
        yaml
    }
}
