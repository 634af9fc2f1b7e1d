//! Kustomizations of the docs: each is built, with the files that it names and `deploy/` beside it.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::place::Place;
use super::project;

/// What begins the address of a folder of this project, as those name it who have no copy.
const PUBLISHED: &str = "https://github.com/stagesub/orchestra-operator//deploy/";

/// A tenant whose migrations are in a ConfigMap.
const TENANT: &str = "apiVersion: stagesub.io/v1alpha1\nkind: Orchestra\nmetadata: {name: acme, namespace: tenants}\n\
                      spec: {migrations: {source: {configMapRef: {name: schema}}}}\n";

/// Whether a document is a kustomization, or a part of one.
pub fn is_kustomization(document: &Value) -> bool {
    let version = document["apiVersion"].as_str().unwrap_or_default();
    let is_part = ["patches", "openapi"].iter().any(|field| document.get(field).is_some());
    version.starts_with("kustomize.config.k8s.io/") || (document["kind"].is_null() && is_part)
}

/// Why kustomize refuses it, or that its patches change nothing.
pub fn build(place: &Place, document: &Value) -> Result<(), String> {
    let folder = tempfile::tempdir_in(place.folder()).unwrap();
    let folder = folder.path();
    fs::create_dir(folder.join("schema")).unwrap();
    fs::write(folder.join("schema/20260105090000_members.sql"), "SELECT 1;\n").unwrap();
    fs::write(folder.join("tenant.yaml"), TENANT).unwrap();
    fs::copy(
        project().join("deploy/gitops/kustomize/openapi.json"),
        folder.join("openapi.json"),
    )
    .unwrap();

    let has = |field: &str| document.get(field).is_some();
    let mut whole = document.clone();
    if !has("resources") {
        // The schema of our kinds is for our kinds alone, and the docs patch the operator.
        let resource = if has("openapi") {
            "tenant.yaml"
        } else {
            "../deploy/kustomize"
        };
        whole["resources"] = json!([resource]);
    }
    let components = whole.get_mut("components").and_then(Value::as_array_mut);
    for component in components.into_iter().flatten() {
        let published = component.as_str().and_then(|url| url.strip_prefix(PUBLISHED));
        let local = published.map(|path| format!("../deploy/{}", path.split('?').next().unwrap_or_default()));
        if let Some(local) = local {
            *component = json!(local);
        }
    }
    let built = built(place, folder, &whole)?;
    if has("patches") {
        whole["patches"] = json!([]);
        if built == self::built(place, folder, &whole)? {
            return Err("its patches change nothing".to_owned());
        }
    }
    Ok(())
}

fn built(place: &Place, folder: &Path, kustomization: &Value) -> Result<String, String> {
    fs::write(folder.join("kustomization.yaml"), kustomization.to_string()).unwrap();
    let output = place.kubectl().arg("kustomize").arg(folder).output().unwrap();
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}
