//! Keeps the objects that stories see, one of each combination of conditions, in the folder that
//! `ORCHESTRA_STANDINGS` names: the fixtures of `tests/fixtures/standings` come from there.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;

use serde_json::Value;

/// Keeps an object of the operator's kinds; nothing without the variable.
pub(crate) fn keep(object: &Value) {
    let Some(folder) = std::env::var_os("ORCHESTRA_STANDINGS") else {
        return;
    };
    let (Some(kind), Some("stagesub.io/v1alpha1")) = (object["kind"].as_str(), object["apiVersion"].as_str()) else {
        return;
    };
    let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    let mut hash = DefaultHasher::new();
    for condition in conditions {
        for part in ["type", "status", "reason"] {
            condition[part].as_str().hash(&mut hash);
        }
    }
    object["metadata"]["deletionTimestamp"].is_null().hash(&mut hash);
    (object["metadata"]["generation"] == object["status"]["observedGeneration"]).hash(&mut hash);
    let phase = object["status"]["phase"].as_str().unwrap_or("none");
    let file = Path::new(&folder).join(format!("{kind}-{phase}-{:016x}.json", hash.finish()));
    // Another process may write the same.
    let _ = std::fs::write(file, format!("{object:#}\n"));
}
