//! Whether a definition that is installed is older than the operator's own. The schemas are compared, so that definitions
//! whose version nobody wrote down are judged as well; the version decides only what the schemas leave open.

use std::cmp::Ordering;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::ResourceExt as _;
use serde_json::Value;

use crate::api::VERSION_ANNOTATION;

/// A definition, compared with the operator's own.
#[derive(Debug, PartialEq, Eq)]
pub enum Age {
    /// It means the same.
    Same,
    /// It has everything that the operator writes, and more.
    Newer,
    /// It lacks this.
    Older(Vec<String>),
}

/// Compares the installed definition with the operator's own.
pub fn of(own: &CustomResourceDefinition, installed: &CustomResourceDefinition) -> Age {
    let Some(version) = own.spec.versions.first() else {
        return Age::Same;
    };
    let same_name = |one: &&_| is_version(one, &version.name);
    let Some(there) = installed.spec.versions.iter().find(same_name).filter(|one| one.served) else {
        return Age::Older(vec![format!("the version {}", version.name)]);
    };
    let (mine, theirs) = (schema(version), schema(there));
    let mut lacks = Vec::new();
    lacking(&mine, &theirs, "", &mut lacks);
    for part in ["status", "scale"] {
        let has = |of: &Value| of.pointer("/subresources").and_then(|all| all.get(part)).is_some();
        if has(&json(version)) && !has(&json(there)) {
            lacks.push(format!("the subresource {part}"));
        }
    }
    let differs = mine != theirs;
    let (written, ours) = (number(installed), number(own));
    match written
        .zip(ours)
        .map_or(Ordering::Equal, |(written, ours)| written.cmp(&ours))
    {
        Ordering::Less if differs => {
            if lacks.is_empty() {
                let annotation = installed.annotations().get(VERSION_ANNOTATION);
                let from = annotation.map_or("", String::as_str);
                lacks.push(format!("changes since version {}", crate::text::line(from, 32)));
            }
            Age::Older(lacks)
        }
        Ordering::Equal if !lacks.is_empty() => Age::Older(lacks),
        Ordering::Greater | Ordering::Equal if differs => Age::Newer,
        _ => Age::Same,
    }
}

type DefinitionVersion =
    k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinitionVersion;

fn is_version(version: &DefinitionVersion, name: &str) -> bool {
    version.name == name
}

fn json(version: &DefinitionVersion) -> Value {
    serde_json::to_value(version).unwrap_or_default()
}

/// The schema without what is for people only.
fn schema(version: &DefinitionVersion) -> Value {
    let schema = version
        .schema
        .as_ref()
        .and_then(|schema| schema.open_api_v3_schema.as_ref());
    let mut schema = serde_json::to_value(schema).unwrap_or_default();
    undescribed(&mut schema);
    schema
}

/// Removes the descriptions of a schema and of all schemas in it.
fn undescribed(schema: &mut Value) {
    let Value::Object(fields) = schema else { return };
    fields.remove("description");
    if let Some(Value::Object(properties)) = fields.get_mut("properties") {
        properties.values_mut().for_each(undescribed);
    }
    for inner in ["items", "additionalProperties"] {
        if let Some(schema) = fields.get_mut(inner) {
            undescribed(schema);
        }
    }
}

/// Numbers of the version that a definition names.
fn number(definition: &CustomResourceDefinition) -> Option<[u64; 3]> {
    let text = definition.annotations().get(VERSION_ANNOTATION)?;
    let text = text.split(['-', '+']).next()?;
    let numbers: Vec<u64> = text.split('.').map(str::parse).collect::<Result<_, _>>().ok()?;
    numbers.try_into().ok()
}

/// Collects what the operator's own schema permits and the installed one does not.
fn lacking(own: &Value, installed: &Value, path: &str, lacks: &mut Vec<String>) {
    let name = |field: &str| {
        if path.is_empty() {
            field.to_owned()
        } else {
            format!("{path}.{field}")
        }
    };
    for (field, schema) in own.get("properties").and_then(Value::as_object).into_iter().flatten() {
        match installed.get("properties").and_then(|all| all.get(field)) {
            Some(there) => lacking(schema, there, &name(field), lacks),
            None => lacks.push(name(field)),
        }
    }
    for (inner, sign) in [("items", "[]"), ("additionalProperties", ".*")] {
        if let (Some(own @ Value::Object(_)), Some(there)) = (own.get(inner), installed.get(inner)) {
            lacking(own, there, &format!("{path}{sign}"), lacks);
        }
    }
    let list =
        |of: &Value, key: &str| -> Vec<Value> { of.get(key).and_then(Value::as_array).cloned().unwrap_or_default() };
    if installed.get("enum").is_some() {
        let there = list(installed, "enum");
        for value in list(own, "enum").iter().filter(|value| !there.contains(value)) {
            lacks.push(format!("{path}: {}", value.as_str().unwrap_or_default()));
        }
    }
    for limit in ["maxLength", "maxItems", "maxProperties"] {
        let (mine, theirs) = (
            own.get(limit).and_then(Value::as_i64),
            installed.get(limit).and_then(Value::as_i64),
        );
        if theirs.is_some_and(|theirs| mine.is_none_or(|mine| mine > theirs)) {
            lacks.push(format!("{path} of that length"));
        }
    }
    if own.get("type") != installed.get("type") || own.get("pattern") != installed.get("pattern") {
        lacks.push(format!("{path} of that form"));
    }
    let needed = list(own, "required");
    if list(installed, "required").iter().any(|field| !needed.contains(field)) {
        lacks.push(format!("optional fields of {path}"));
    }
    let rules = |of: &Value| -> Vec<Value> {
        let all = list(of, "x-kubernetes-validations");
        all.iter().filter_map(|rule| rule.get("rule").cloned()).collect()
    };
    let there = rules(installed);
    if rules(own).iter().any(|rule| !there.contains(rule)) {
        lacks.push(format!(
            "a rule of {}",
            if path.is_empty() { "the object" } else { path }
        ));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;
    use crate::api::crds;

    /// The definition of Orchestras as JSON, changed.
    fn changed(change: impl Fn(&mut Value, &mut Value)) -> CustomResourceDefinition {
        let mut whole = serde_json::to_value(&crds()[0]).unwrap();
        let mut annotations = whole["metadata"]["annotations"].take();
        change(&mut whole["spec"]["versions"][0], &mut annotations);
        whole["metadata"]["annotations"] = annotations;
        serde_json::from_value(whole).unwrap()
    }

    fn judged(change: impl Fn(&mut Value, &mut Value)) -> Age {
        of(&crds()[0], &changed(change))
    }

    const SPEC: &str = "/schema/openAPIV3Schema/properties/spec";

    fn spec(version: &mut Value) -> &mut serde_json::Map<String, Value> {
        version.pointer_mut(SPEC).unwrap().as_object_mut().unwrap()
    }

    fn fields(version: &mut Value) -> &mut serde_json::Map<String, Value> {
        spec(version)["properties"].as_object_mut().unwrap()
    }

    #[test]
    fn a_definition_that_lacks_something_is_older() {
        assert_eq!(judged(|_, _| {}), Age::Same);
        let older = |change: fn(&mut Value), says: &str| {
            let age = judged(|version, _| change(version));
            let Age::Older(lacks) = &age else {
                panic!("{says}: {age:?}")
            };
            assert_eq!(lacks, &[says.to_owned()]);
        };
        older(
            |version| drop(fields(version).remove("displayName")),
            "spec.displayName",
        );
        older(
            |version| fields(version)["powerState"]["enum"] = json!(["Running"]),
            "spec.powerState: Paused",
        );
        older(
            |version| fields(version)["displayName"]["maxLength"] = json!(7),
            "spec.displayName of that length",
        );
        older(
            |version| drop(spec(version).remove("x-kubernetes-validations")),
            "a rule of spec",
        );
        older(|version| version["served"] = json!(false), "the version v1alpha1");
        older(
            |version| drop(version["subresources"].as_object_mut().unwrap().remove("status")),
            "the subresource status",
        );
    }

    #[test]
    fn a_definition_that_holds_more_is_newer() {
        let more = |version: &mut Value| {
            fields(version).insert("invented".into(), json!({"type": "string"}));
        };
        assert_eq!(judged(|version, _| more(version)), Age::Newer);
        // Descriptions are for people.
        let described = |version: &mut Value| spec(version)["description"] = json!("another one");
        assert_eq!(judged(|version, _| described(version)), Age::Same);
    }

    #[test]
    fn the_version_decides_what_the_schemas_leave_open() {
        let less = |version: &mut Value| drop(fields(version).remove("displayName"));
        let at = |annotations: &mut Value, version: &str| annotations[VERSION_ANNOTATION] = json!(version);
        // A later version may have dropped a field.
        let later = judged(|version, annotations| {
            less(version);
            at(annotations, "999.0.0");
        });
        assert_eq!(later, Age::Newer);
        // An earlier one may have had a field that was removed.
        let earlier = judged(|version, annotations| {
            fields(version).insert("dropped".into(), json!({"type": "string"}));
            at(annotations, "0.0.1");
        });
        assert_eq!(earlier, Age::Older(vec!["changes since version 0.0.1".into()]));
        // The same schema with another version needs no upgrade, and the version may be absent.
        assert_eq!(judged(|_, annotations| at(annotations, "0.0.1")), Age::Same);
        assert_eq!(judged(|_, annotations| *annotations = json!({})), Age::Same);
        assert_eq!(judged(|_, annotations| at(annotations, "this is none")), Age::Same);
    }
}
