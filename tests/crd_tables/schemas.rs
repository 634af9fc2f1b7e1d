//! What is so of every schema.

use orchestra_operator::api::crds;
use serde_json::{Value, json};

/// Tools of `GitOps` without the schema compare a manifest's maps by its keys, and its lists as wholes.
#[test]
fn no_default_is_below_a_list_or_makes_its_parent() {
    let mut found = Vec::new();
    for (kind, schema) in schemas() {
        let mut spec = schema["properties"]["spec"].clone();
        // A manifest has a spec, and kubectl's patch may take it out.
        let own = spec.as_object_mut().unwrap().remove("default");
        assert_eq!(own, (kind == "Orchestra").then(|| json!({})), "{kind}");
        defaults(&spec, &kind, false, &mut found);
    }
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn every_text_list_and_map_is_bounded() {
    let mut found = Vec::new();
    for (kind, schema) in schemas() {
        for part in ["spec", "status"] {
            unbounded(&schema["properties"][part], &format!("{kind}.{part}"), &mut found);
        }
    }
    assert_eq!(found, Vec::<String>::new());
}

/// The places of texts, lists and maps of any length.
fn unbounded(schema: &Value, place: &str, found: &mut Vec<String>) {
    let has = |field: &str| !schema[field].is_null();
    let is_bounded = match schema["type"].as_str() {
        Some("string") => has("maxLength") || has("enum") || schema["format"] == "date-time",
        Some("array") => has("maxItems"),
        Some("object") => !has("additionalProperties") || has("maxProperties"),
        Some("integer" | "number" | "boolean") => true,
        Some(_) => false,
        // Of any type, if it has bounds as each of them, and no field that is not known.
        None => {
            let fields = schema["required"].as_array().map(Vec::len);
            has("maxLength") && schema["maxItems"] == 0 && fields.is_some() && json!(fields) == schema["maxProperties"]
        }
    };
    if !is_bounded || (has("type") && has("x-kubernetes-preserve-unknown-fields")) {
        found.push(place.to_owned());
    }
    for (name, of) in schema["properties"].as_object().into_iter().flatten() {
        unbounded(of, &format!("{place}.{name}"), found);
    }
    for below in ["items", "additionalProperties"] {
        if schema[below].is_object() {
            unbounded(&schema[below], &format!("{place}[]"), found);
        }
    }
}

/// The kinds with their schemas.
pub fn schemas() -> Vec<(String, Value)> {
    let schema = |crd| {
        let crd = serde_json::to_value(crd).unwrap();
        let kind = crd["spec"]["names"]["kind"].as_str().unwrap().to_owned();
        (kind, crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone())
    };
    crds().into_iter().map(schema).collect()
}

/// The places of defaults that a manifest's list, or a manifest without the parent, would get.
fn defaults(schema: &Value, place: &str, listed: bool, found: &mut Vec<String>) {
    let default = &schema["default"];
    if default.is_object() || default.is_array() || listed && !default.is_null() {
        found.push(format!("{place}: {default}"));
    }
    for (name, of) in schema["properties"].as_object().into_iter().flatten() {
        defaults(of, &format!("{place}.{name}"), listed, found);
    }
    for (below, listed) in [("items", true), ("additionalProperties", listed)] {
        if schema[below].is_object() {
            defaults(&schema[below], &format!("{place}[]"), listed, found);
        }
    }
}
