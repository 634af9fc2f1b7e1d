//! What the chart renders: with its own values it is what kustomize renders, with others it is what is checked in.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use orchestra_sandbox::control_plane::ensure_binaries;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::{chart, helm, project, read, updates};

/// A file of values, and the kustomizations that together render the same; none where the values are no kustomization's.
const CASES: [(&str, &[&str]); 7] = [
    ("default", &["kustomize"]),
    ("console", &["kustomize", "kustomize/console"]),
    ("namespaced", &["namespaced"]),
    ("registry", &["registry"]),
    ("monitoring", &[]),
    ("production", &[]),
    ("minimal", &[]),
];

/// Labels and annotations that only an object of a release has.
const OF_RELEASE: [&str; 5] = [
    "app.kubernetes.io/instance",
    "app.kubernetes.io/managed-by",
    "app.kubernetes.io/version",
    "helm.sh/chart",
    "helm.sh/resource-policy",
];

/// Kind, namespace and name.
pub type Key = (String, String, String);

/// Objects by kind, namespace and name.
pub type Objects = BTreeMap<Key, Value>;

fn folder() -> PathBuf {
    project().join("tests/sandbox/tests/chart")
}

fn golden(name: &str) -> PathBuf {
    folder().join(format!("golden/{name}.yaml"))
}

/// The objects of a render.
pub fn objects(text: &str) -> Objects {
    let all: Vec<Value> = serde_saphyr::from_multiple(text).unwrap();
    let mut objects = Objects::new();
    for object in all.into_iter().filter(|object| !object.is_null()) {
        let text = |pointer: &str| {
            object
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let key = (text("/kind"), text("/metadata/namespace"), text("/metadata/name"));
        let twice = objects.insert(key.clone(), object);
        assert!(twice.is_none(), "{key:?} is there twice");
    }
    objects
}

/// Removes what only an object of a release has. Numbers become their texts, since kustomize writes 0 for 0.0.
fn without_release(value: &mut Value) {
    if let Some(number) = value.as_f64() {
        *value = number.to_string().into();
    }
    let Value::Object(fields) = value else {
        for item in value.as_array_mut().into_iter().flatten() {
            without_release(item);
        }
        return;
    };
    for field in ["labels", "annotations"] {
        if let Some(Value::Object(texts)) = fields.get_mut(field) {
            texts.retain(|key, _| !OF_RELEASE.contains(&key.as_str()));
        }
    }
    fields.values_mut().for_each(without_release);
}

fn kustomize(folder: &str) -> Objects {
    let kubectl = ensure_binaries().unwrap().kubectl;
    let folder = project().join("deploy").join(folder);
    let output = Command::new(kubectl).arg("kustomize").arg(folder).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    objects(std::str::from_utf8(&output.stdout).unwrap())
}

/// Objects that the chart installs, without its test.
fn installed(text: &str) -> Objects {
    let mut all = objects(text);
    all.retain(|_, object| object.pointer("/metadata/annotations/helm.sh~1hook").is_none());
    all.values_mut().for_each(without_release);
    all
}

/// The definitions as the chart has them.
fn definitions() -> Objects {
    let mut all = Objects::new();
    for entry in fs::read_dir(chart().join("files/crds")).unwrap() {
        let path = entry.unwrap().path();
        if path.ends_with("kustomization.yaml") {
            continue;
        }
        let text = read(path);
        // There the template puts the annotation that keeps it.
        assert!(text.contains("\nmetadata:\n  annotations:\n"), "{text:.300}");
        all.extend(installed(&text));
    }
    all
}

fn same(chart: &Objects, kustomize: &Objects, name: &str) {
    let keys = |objects: &Objects| objects.keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(chart), keys(kustomize), "{name}");
    for (key, object) in chart {
        let other = &kustomize[key];
        assert!(
            object == other,
            "{name}: {key:?}\nchart: {object:#}\nkustomize: {other:#}"
        );
    }
}

#[test]
fn the_chart_installs_what_kustomize_installs() {
    for (name, folders) in CASES.into_iter().filter(|(_, folders)| !folders.is_empty()) {
        let mut chart = installed(&read(golden(name)));
        chart.extend(definitions());
        let mut base: Objects = folders.iter().flat_map(|folder| kustomize(folder)).collect();
        // Helm makes the namespace itself (--create-namespace).
        base.retain(|(kind, ..), _| kind != "Namespace");
        assert!(base.len() > 15, "{base:#?}");
        base.values_mut().for_each(without_release);
        same(&chart, &base, name);
    }
}

/// SHA-256 of all from which the renders are made.
fn digest_of_templates() -> String {
    let (mut files, mut folders) = (
        BTreeMap::new(),
        vec![chart().join("templates"), folder().join("values")],
    );
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.insert(path.strip_prefix(project()).unwrap().to_owned(), read(&path));
            }
        }
    }
    for name in ["Chart.yaml", "values.yaml"] {
        files.insert(name.into(), read(chart().join(name)));
    }
    let mut hash = Sha256::new();
    for (path, text) in files {
        hash.update(format!("{} {}\n{text}\n", path.display(), text.len()));
    }
    format!("{}\n", hex::encode(hash.finalize()))
}

/// Without a helm, a change of a template is noticed by the digest of all of them.
#[test]
fn the_renders_that_are_checked_in_are_of_these_templates() {
    let (path, digest) = (folder().join("templates.sha256"), digest_of_templates());
    if updates() && !helm::all().is_empty() {
        fs::write(&path, &digest).unwrap();
    }
    assert_eq!(
        read(&path),
        digest,
        "the renders are stale: HELM=/path/to/helm make chart"
    );
}

#[test]
fn the_chart_renders_what_is_checked_in() {
    for helm in helm::all() {
        for (name, _) in CASES {
            let values = folder().join(format!("values/{name}.yaml"));
            let rendered = helm::template(&helm, &values, &["--set=crds.enabled=false"]);
            if updates() {
                fs::write(golden(name), &rendered).unwrap();
            }
            let stale = format!("{name}.yaml is stale: make chart");
            same(&objects(&rendered), &objects(&read(golden(name))), &stale);
        }
        // The definitions, which would be most of each render.
        let whole = helm::template(&helm, &folder().join("values/default.yaml"), &[]);
        let (whole, without) = (objects(&whole), installed(&whole));
        for (key, definition) in definitions() {
            assert_eq!(
                whole[&key]["metadata"]["annotations"]["helm.sh/resource-policy"], "keep",
                "{key:?}"
            );
            assert!(without[&key] == definition, "{key:?}");
        }
    }
}
