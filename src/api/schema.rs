//! The CustomResourceDefinitions that are made from the kinds.

use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::{CustomResourceExt as _, Resource as _};

use super::{
    NOT_OBSERVED, Orchestra, OrchestraBackup, OrchestraClass, OrchestraDatabase, OrchestraPool, VERSION_ANNOTATION,
    placement,
};

/// The CustomResourceDefinitions, as `crds/` holds them.
///
/// Each status defaults to `observedGeneration: -1`, so that kstatus reads a new object as in
/// progress and never as current. An Orchestra's spec defaults to `{}`, which is sufficient for a manifest: the patch with
/// which kubectl removes the last field of a spec leaves no spec.
pub fn crds() -> Vec<CustomResourceDefinition> {
    let mut crds = vec![
        Orchestra::crd(),
        OrchestraClass::crd(),
        OrchestraDatabase::crd(),
        OrchestraPool::crd(),
        OrchestraBackup::crd(),
    ];
    for crd in &mut crds {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        crd.metadata.annotations = Some([(VERSION_ANNOTATION.to_owned(), version)].into());
        let may_be_empty = crd.spec.names.kind == Orchestra::kind(&());
        let versions = crd.spec.versions.iter_mut();
        for schema in versions.filter_map(|version| version.schema.as_mut()?.open_api_v3_schema.as_mut()) {
            polish(schema);
            let mut set = |field: &str, default: serde_json::Value| {
                if let Some(schema) = schema.properties.as_mut().and_then(|all| all.get_mut(field)) {
                    schema.default = Some(JSON(default));
                }
            };
            set("status", serde_json::json!({"observedGeneration": NOT_OBSERVED}));
            if may_be_empty {
                set("spec", serde_json::json!({}));
            }
            let properties = schema.properties.iter_mut().flatten();
            for (field, schema) in properties {
                match field.as_str() {
                    "spec" => {
                        bound_selectors(schema);
                        keep_whole(schema);
                        placement::bound(schema);
                    }
                    "status" => bound(schema, STATUS_TEXT, STATUS_ITEMS),
                    _ => {}
                }
            }
        }
    }
    crds
}

/// The most characters of a text of a status, where its schema does not say less. The writer of statuses cuts longer texts:
/// a status that the API server refuses would stop its object.
pub const STATUS_TEXT: usize = 8192;

/// The most items of a list of a status, in the same way.
pub const STATUS_ITEMS: usize = 256;

/// The most characters of a key of a label: its prefix, a slash and its name.
const LABEL_KEY: usize = 317;

/// The most labels and requirements of a selector, and the most values of a requirement.
const SELECTED: usize = 64;

/// Fields of objects that mean something without fields of their own: `static: {}` is an inventory, `limits: {}` takes
/// limits away, `selector: {}` selects everything.
const MEANT_EMPTY: [&str; 4] = ["static", "supabase", "limits", "selector"];

/// Marks these objects as atomic for server-side apply. Otherwise it sets an object to null when a manifest drops its last
/// field.
fn keep_whole(schema: &mut JSONSchemaProps) {
    for (field, schema) in schema.properties.iter_mut().flatten() {
        if MEANT_EMPTY.contains(&field.as_str()) {
            schema.x_kubernetes_map_type = Some("atomic".into());
        } else {
            keep_whole(schema);
        }
    }
}

/// Bounds the selectors in a schema, whose type is Kubernetes' own and has no bounds.
fn bound_selectors(schema: &mut JSONSchemaProps) {
    for (field, schema) in schema.properties.iter_mut().flatten() {
        if field == "selector" {
            bound(schema, LABEL_KEY, SELECTED);
        } else {
            bound_selectors(schema);
        }
    }
}

/// Bounds the texts, lists and maps in a schema that have no bounds of their own.
fn bound(schema: &mut JSONSchemaProps, text: usize, items: usize) {
    let limit = |limit: usize| i64::try_from(limit).ok();
    let is = |type_: &str| schema.type_.as_deref() == Some(type_);
    let is_short = schema.enum_.is_some() || schema.format.as_deref() == Some("date-time");
    if is("string") && !is_short && schema.max_length.is_none() {
        schema.max_length = limit(text);
    }
    if schema.type_.as_deref() == Some("array") && schema.max_items.is_none() {
        schema.max_items = limit(items);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(of)) = &mut schema.items {
        bound(of, text, items);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(of)) = &mut schema.additional_properties {
        bound(of, text, items);
        schema.max_properties = schema.max_properties.or(limit(items));
    }
    for of in schema.properties.iter_mut().flat_map(BTreeMap::values_mut) {
        bound(of, text, items);
    }
}

/// Prepares a schema, and all schemas in it, for people and for validation rules.
///
/// The API server treats null as an omitted field where null is not a valid value: `has()` in a rule
/// then means what it says, and defaults apply. Lines of a description are joined, because kubectl
/// wraps them itself.
fn polish(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    if let Some(description) = &mut schema.description {
        let paragraphs = description.split("\n\n").map(|paragraph| paragraph.replace('\n', " "));
        *description = paragraphs.collect::<Vec<_>>().join("\n\n");
    }
    let properties = schema.properties.iter_mut().flat_map(BTreeMap::values_mut);
    properties.for_each(polish);
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        polish(items);
    }
}

/// The CustomResourceDefinitions as files: name and YAML.
///
/// # Errors
/// When one cannot be written as YAML.
pub fn crd_documents() -> Result<BTreeMap<String, String>, serde_saphyr::ser::Error> {
    let document = |crd: CustomResourceDefinition| {
        let name = format!("{}.yaml", crd.metadata.name.as_deref().unwrap_or_default());
        let yaml = serde_saphyr::to_string(&crd)?;
        Ok((name, format!("# Generated by `make crds`; do not edit.\n{yaml}")))
    };
    crds().into_iter().map(document).collect()
}
