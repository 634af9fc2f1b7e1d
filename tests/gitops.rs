//! What other tools make of the objects: one table of situations, and what kstatus, Argo CD and Flux say in each.
//!
//! `tests/fixtures/standings` holds objects as the operator has written them, one for each situation of a kind.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

#[path = "gitops/cel.rs"]
mod expressions;
#[path = "gitops/names.rs"]
mod names;
#[path = "gitops/table.rs"]
mod table;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use orchestra_operator::api::condition::{ConditionType, Reason};
use orchestra_operator::api::{Orchestra, OrchestraBackup, OrchestraClass, OrchestraDatabase, OrchestraPool, crds};
use orchestra_sandbox::judges;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use table::{DERIVED, Row, STORED};

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn documents(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).unwrap()
}

fn yaml(file: &Path) -> Vec<Value> {
    documents(&fs::read_to_string(file).unwrap())
}

fn fixture(name: &str) -> Value {
    yaml(&project().join(format!("tests/fixtures/standings/{name}.yaml"))).remove(0)
}

/// Every situation with its object, and what is made of it.
fn situations() -> Vec<(String, Value, Row)> {
    let stored = STORED
        .iter()
        .map(|(name, row)| ((*name).to_owned(), fixture(name), *row));
    let kinds = [
        "orchestra-ready",
        "backup-ready",
        "class-ready",
        "pool-ready",
        "database-ready",
    ];
    let derived = kinds.iter().flat_map(|name| {
        let object = fixture(name);
        DERIVED
            .iter()
            .map(move |(what, change, row)| (format!("{name}, {what}"), change(object.clone()), *row))
    });
    stored.chain(derived).collect()
}

fn checks() -> PathBuf {
    project().join("deploy/gitops/argocd/argocd-cm.yaml")
}

fn stream<'a>(objects: impl Iterator<Item = &'a Value>) -> String {
    let documents: Vec<_> = objects.map(|object| format!("---\n{object}\n")).collect();
    documents.concat()
}

#[test]
fn kstatus_and_argo_cd_are_as_the_table_says() {
    let all = situations();
    let objects = stream(all.iter().map(|(_, object, _)| object));
    let Some(found) = judges::verdicts(&objects, Some(&checks())).unwrap() else {
        return;
    };
    assert_eq!(found.len(), all.len());
    let judged = || all.iter().zip(&found);
    differences(judged().map(|((name, _, row), found)| (name, row.kstatus, found.kstatus.clone())));
    differences(judged().map(|((name, _, row), found)| {
        let health = found.argo.clone().unwrap();
        assert!(!health.message.is_empty(), "{name}: {health:?}");
        (name, row.argo, health.status)
    }));
}

/// One script serves all kinds, and none of what the API server may return makes it fail.
#[test]
fn argo_cd_has_a_script_for_each_kind() {
    let patch = yaml(&checks()).remove(0);
    let scripts = patch["data"].as_object().unwrap();
    assert_eq!(scripts.len(), kinds().len());
    let first = scripts.values().next().unwrap();
    assert!(scripts.values().all(|script| script == first));
    let statuses = [
        json!(null),
        json!({}),
        json!({"observedGeneration": 1}),
        json!({"conditions": [], "observedGeneration": 1}),
    ];
    let mut objects = Vec::new();
    for kind in kinds() {
        for status in &statuses {
            let metadata = json!({"name": "bare", "generation": 1});
            let object =
                json!({"apiVersion": "stagesub.io/v1alpha1", "kind": kind, "metadata": metadata, "status": status});
            objects.push(object);
        }
    }
    let verdicts = judges::verdicts(&stream(objects.iter()), Some(&checks())).unwrap();
    for verdict in verdicts.into_iter().flatten() {
        assert_eq!(verdict.argo.unwrap().status, "Progressing");
    }
}

#[test]
fn flux_is_as_the_table_says() {
    let kustomization = yaml(&project().join("deploy/gitops/flux/tenants.yaml")).remove(0);
    let checks: BTreeMap<_, _> = kustomization["spec"]["healthCheckExprs"]
        .as_array()
        .unwrap()
        .iter()
        .inspect(|check| assert_eq!(check["apiVersion"], "stagesub.io/v1alpha1"))
        .map(|check| (check["kind"].as_str().unwrap().to_owned(), check))
        .collect();
    assert_eq!(checks.keys().cloned().collect::<Vec<_>>(), kinds());
    let all = situations();
    differences(all.iter().map(|(name, object, row)| {
        let kind = object["kind"].as_str().unwrap();
        (name, row.flux, expressions::status(checks[kind], object).to_owned())
    }));
}

/// The fixtures are objects of this version: every field is one of its kind's, and every condition and reason one of its own.
#[test]
fn the_fixtures_are_of_this_version() {
    for (name, object, _) in situations() {
        let kept = match object["kind"].as_str().unwrap() {
            "Orchestra" => through::<Orchestra>(&object),
            "OrchestraBackup" => through::<OrchestraBackup>(&object),
            "OrchestraClass" => through::<OrchestraClass>(&object),
            "OrchestraPool" => through::<OrchestraPool>(&object),
            _ => through::<OrchestraDatabase>(&object),
        };
        assert_eq!(conditions(&kept), conditions(&object), "{name}");
        for condition in conditions(&object).as_array().unwrap() {
            let text = |key: &str| condition[key].as_str().unwrap();
            assert!(text("type").parse::<ConditionType>().is_ok(), "{name}: {condition}");
            assert!(text("reason").parse::<Reason>().is_ok(), "{name}: {condition}");
        }
        let has = |type_: &str| {
            let all = conditions(&object);
            let is = |condition: &Value| condition["type"] == type_ && condition["status"] == "True";
            all.as_array().unwrap().iter().any(is)
        };
        assert!(!(has("Reconciling") && has("Stalled")), "{name}");
    }
    for entry in fs::read_dir(project().join("tests/fixtures/standings")).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        let known = STORED.iter().any(|(name, _)| file == format!("{name}.yaml"));
        assert!(known || file == "README.md", "{file} is in no row");
    }
}

fn conditions(object: &Value) -> Value {
    let conditions = &object["status"]["conditions"];
    if conditions.is_null() {
        json!([])
    } else {
        conditions.clone()
    }
}

fn through<K: DeserializeOwned + Serialize>(object: &Value) -> Value {
    let typed: K = serde_json::from_value(object.clone()).unwrap();
    serde_json::to_value(typed).unwrap()
}

/// The kinds, in the order of their names.
fn kinds() -> Vec<String> {
    let mut kinds: Vec<_> = crds().into_iter().map(|crd| crd.spec.names.kind).collect();
    kinds.sort();
    kinds
}

fn differences<'a>(all: impl Iterator<Item = (&'a String, &'a str, String)>) {
    let wrong: Vec<_> = all
        .filter(|(_, expected, found)| expected != found)
        .map(|(name, expected, found)| format!("{name}: {found}, but expected {expected}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
