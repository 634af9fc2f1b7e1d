//! `deploy/gitops/kustomize`: kustomize follows every name in every field of ours that refers to another object.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use orchestra_operator::api::crds;
use orchestra_sandbox::control_plane::ensure_binaries;
use serde_json::{Value, json};

use crate::{project, yaml};

/// The kind that a field refers to, the kind that has the field, and the field's path as kustomize writes it.
type Reference = (String, String, String);

/// A list in a path.
const LIST: &str = "[]";

#[test]
fn every_reference_is_followed() {
    let all = references();
    let written: BTreeSet<Reference> = all
        .iter()
        .map(|(to, kind, path)| (to.clone(), kind.clone(), plain(path)))
        .collect();
    assert_eq!(
        shipped(),
        written,
        "deploy/gitops/kustomize/references.yaml is not what crds/ has"
    );

    let dir = tempfile::tempdir().unwrap();
    let objects: Vec<_> = all
        .iter()
        .enumerate()
        .map(|(number, one)| referring(number, one))
        .collect();
    write(dir.path(), &objects);
    let rendered = render(dir.path());
    let mut checked = 0;
    for (number, (to, kind, path)) in all.iter().enumerate() {
        let name = format!("dev-referring-{number}");
        let object = rendered
            .iter()
            .find(|object| object["metadata"]["name"] == *name)
            .unwrap();
        let found = at(object, path);
        let is = match to.as_str() {
            "OrchestraClass" => found == "dev-standard",
            "OrchestraPool" => found == "dev-house",
            "Orchestra" => found == "dev-acme",
            "OrchestraBackup" => found == "dev-last",
            "PersistentVolumeClaim" => found == "dev-disk",
            // The hash of the contents comes last.
            _ => found.starts_with("dev-thing-") && found.len() == "dev-thing-".len() + 10,
        };
        assert!(is, "{kind} {path}: {found}");
        checked += 1;
    }
    assert!(checked > 20, "{checked}");
}

/// The example of docs/gitops.md: its class and its ConfigMaps come before its tenant, whose references are followed.
#[test]
fn the_example_is_in_the_order_of_its_waves() {
    let rendered = render(&project().join("deploy/gitops/example"));
    let wave = |object: &Value| -> i32 {
        let wave = object["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"].as_str();
        wave.unwrap().parse().unwrap()
    };
    let of = |kind: &'static str| of_kind(&rendered, kind);
    let tenant = of("Orchestra").next().unwrap();
    let before = ["Namespace", "ConfigMap", "OrchestraClass", "OrchestraPool"];
    for object in before.into_iter().flat_map(of) {
        assert!(wave(object) < wave(tenant), "{object:#}");
    }
    for path in [
        "spec/migrations/source/configMapRef/name",
        "spec/seed/configMapRef/name",
    ] {
        let name = at(tenant, path);
        assert!(
            of("ConfigMap").any(|map| map["metadata"]["name"] == *name),
            "{path}: {name}"
        );
    }
    for object in ["Orchestra", "OrchestraClass", "OrchestraPool"]
        .into_iter()
        .flat_map(of)
    {
        let options = &object["metadata"]["annotations"]["argocd.argoproj.io/sync-options"];
        assert_eq!(options, "Prune=false,Delete=false");
    }
}

fn of_kind<'a>(all: &'a [Value], kind: &'static str) -> impl Iterator<Item = &'a Value> {
    all.iter().filter(move |object| object["kind"] == kind)
}

/// The references in the schemas of the kinds that people write.
fn references() -> Vec<Reference> {
    let mut found = Vec::new();
    for crd in crds() {
        let crd = serde_json::to_value(crd).unwrap();
        let kind = crd["spec"]["names"]["kind"].as_str().unwrap().to_owned();
        if kind != "OrchestraDatabase" {
            let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
            walk(schema, "spec", &mut |to: &str, path: String| {
                found.push((to.to_owned(), kind.clone(), path));
            });
        }
    }
    found
}

fn walk(schema: &Value, path: &str, found: &mut impl FnMut(&str, String)) {
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let here = format!("{path}/{name}");
        match name.as_str() {
            "configMapRef" => found("ConfigMap", format!("{here}/name")),
            "configMapRefs" => found("ConfigMap", format!("{here}/{LIST}/name")),
            "className" => found("OrchestraClass", here),
            "drillClassNames" => found("OrchestraClass", format!("{here}/{LIST}")),
            "scratchPoolName" => found("OrchestraPool", here),
            "backupRef" => found("OrchestraBackup", format!("{here}/name")),
            "orchestraRef" => found("Orchestra", format!("{here}/name")),
            "claimName" => found("PersistentVolumeClaim", here),
            name if name.to_lowercase().ends_with("secretref") => found("Secret", format!("{here}/name")),
            "names" if path.ends_with("/pools") => found("OrchestraPool", format!("{here}/{LIST}")),
            _ => {
                walk(field, &here, found);
                walk(&field["items"], &format!("{here}/{LIST}"), found);
            }
        }
    }
}

/// The path as kustomize writes it, which goes into lists by itself.
fn plain(path: &str) -> String {
    path.split('/')
        .filter(|part| *part != LIST)
        .collect::<Vec<_>>()
        .join("/")
}

fn shipped() -> BTreeSet<Reference> {
    let shipped = yaml(&project().join("deploy/gitops/kustomize/references.yaml")).remove(0);
    let all = shipped["nameReference"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|reference| {
            let fields = reference["fieldSpecs"].as_array().unwrap();
            fields.iter().map(|field| {
                assert_eq!(field["group"], "stagesub.io");
                let text = |value: &Value| value.as_str().unwrap().to_owned();
                (text(&reference["kind"]), text(&field["kind"]), text(&field["path"]))
            })
        });
    all.collect()
}

/// Whether objects of the kind are in the namespaces of tenants.
fn is_of_a_tenant(kind: &str) -> bool {
    ["Orchestra", "OrchestraBackup"].contains(&kind)
}

/// An object that has this reference and nothing else.
fn referring(number: usize, (to, kind, path): &Reference) -> Value {
    let name = match to.as_str() {
        "OrchestraClass" => "standard",
        "OrchestraPool" => "house",
        "Orchestra" => "acme",
        "OrchestraBackup" => "last",
        "PersistentVolumeClaim" => "disk",
        _ => "thing",
    };
    let parts = path.split('/').rev();
    let object = parts.fold(json!(name), |value, part| match part {
        LIST => json!([value]),
        part => json!({ part: value }),
    });
    let mut metadata = json!({"name": format!("referring-{number}")});
    if is_of_a_tenant(kind) {
        metadata["namespace"] = json!("tenants");
    }
    json!({"apiVersion": "stagesub.io/v1alpha1", "kind": kind, "metadata": metadata, "spec": object["spec"]})
}

/// A kustomization that changes all names. What classes and pools refer to is in the operator's namespace, and would have
/// the names of what is in the tenants'.
fn write(dir: &Path, objects: &[Value]) {
    let from = project().join("deploy/gitops/kustomize");
    fs::create_dir(dir.join("names")).unwrap();
    for file in ["kustomization.yaml", "references.yaml", "openapi.json"] {
        fs::copy(from.join(file), dir.join("names").join(file)).unwrap();
    }
    let (tenants, system): (Vec<_>, Vec<_>) = objects
        .iter()
        .partition(|object| is_of_a_tenant(object["kind"].as_str().unwrap()));
    let named = |version: &str, kind: &str, metadata: Value| json!({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": {}});
    let ours = "stagesub.io/v1alpha1";
    let class = named(ours, "OrchestraClass", json!({"name": "standard"}));
    let pool = named(ours, "OrchestraPool", json!({"name": "house"}));
    let tenant = named(ours, "Orchestra", json!({"name": "acme", "namespace": "tenants"}));
    let backup = named(ours, "OrchestraBackup", json!({"name": "last", "namespace": "tenants"}));
    let claim = named(
        "v1",
        "PersistentVolumeClaim",
        json!({"name": "disk", "namespace": "orchestra-system"}),
    );
    for (folder, namespace, mut objects, own) in [
        ("tenants", "tenants", tenants, vec![&tenant, &backup]),
        ("system", "orchestra-system", system, vec![&claim]),
    ] {
        objects.extend([&class, &pool]);
        objects.extend(own);
        let documents = crate::stream(objects.into_iter());
        let of_generator = json!([{"name": "thing", "namespace": namespace, "literals": ["a=b"]}]);
        let kustomization = json!({
            "apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "components": ["../names"],
            "resources": ["objects.yaml"], "namePrefix": "dev-", "openapi": {"path": "openapi.json"},
            "configMapGenerator": of_generator, "secretGenerator": of_generator,
        });
        let folder = dir.join(folder);
        fs::create_dir(&folder).unwrap();
        fs::copy(from.join("openapi.json"), folder.join("openapi.json")).unwrap();
        fs::write(folder.join("objects.yaml"), documents).unwrap();
        fs::write(folder.join("kustomization.yaml"), kustomization.to_string()).unwrap();
    }
}

/// What kubectl makes of a kustomization, or of the two of [`write()`].
fn render(folder: &Path) -> Vec<Value> {
    let folders = if folder.join("kustomization.yaml").is_file() {
        vec![folder.to_owned()]
    } else {
        vec![folder.join("tenants"), folder.join("system")]
    };
    let kubectl = ensure_binaries().unwrap().kubectl;
    let mut all = Vec::new();
    for folder in folders {
        let output = Command::new(&kubectl).arg("kustomize").arg(&folder).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {errors}", folder.display());
        all.extend(crate::documents(&String::from_utf8(output.stdout).unwrap()));
    }
    all
}

/// The text at a path; of a list, its first item.
fn at<'a>(object: &'a Value, path: &str) -> &'a str {
    let found = path.split('/').fold(object, |value, part| match part {
        LIST => &value[0],
        part => &value[part],
    });
    found.as_str().unwrap_or_else(|| panic!("{path} in {object:#}"))
}
