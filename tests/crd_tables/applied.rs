//! Manifests that lose their fields and get them back, as kubectl applies them.

use std::fs;
use std::path::Path;

use orchestra_sandbox::control_plane::ControlPlane;
use serde_json::Value;

/// Kind, a spec, and the rest of it when its last fields are removed. Server-side apply sets an object without fields to
/// null, which equals an omitted one; objects with a meaning without fields are atomic.
const CASES: &[(&str, &str, &str)] = &[
    ("Orchestra", "{deletionPolicy: Retain, displayName: A}", "{}"),
    (
        "Orchestra",
        "{connection: {secretName: a}, pinMigrations: true}",
        "{connection: {}}",
    ),
    ("OrchestraPool", "{static: {secretRef: {name: a}}}", "{static: {}}"),
    (
        "OrchestraClass",
        "{provider: {supabase: {organization: acme}}, deletion: {policy: Delete}}",
        "{provider: {supabase: {}}}",
    ),
    (
        "OrchestraClass",
        "{provider: {supabase: {tokenSecretRef: {name: a}}}, limits: {connections: 5}}",
        "{provider: {supabase: {}}, limits: {}}",
    ),
    (
        "OrchestraClass",
        "{pools: {names: [a]}, allowedNamespaces: {selector: {matchLabels: {a: b}}}, \
         rollout: {canary: {selector: {matchLabels: {a: b}}}}}",
        "{pools: {names: [a]}, allowedNamespaces: {selector: {}}, rollout: {canary: {selector: {}}}}",
    ),
];

/// The objects that mean something without fields, and stay when they lose theirs.
const STAY: [&str; 5] = [
    "static",
    "provider.supabase",
    "limits",
    "allowedNamespaces.selector",
    "rollout.canary.selector",
];

/// Applies each case in both ways of kubectl: with the fields, without them, and with them again.
pub fn fields_are_taken_out_as_they_are_put_in(plane: &ControlPlane, dir: &Path) {
    let mut wrong = Vec::new();
    for (number, (kind, full, empty)) in CASES.iter().enumerate() {
        for server_side in [false, true] {
            let name = format!("applied-{number}-{server_side}");
            for (step, spec) in [full, empty, full, empty].into_iter().enumerate() {
                let file = dir.join("applied.yaml");
                let manifest = format!(
                    "apiVersion: stagesub.io/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}, namespace: default}}\nspec: {spec}\n"
                );
                fs::write(&file, manifest).unwrap();
                for command in ["apply", "diff"] {
                    let mut arguments = vec![command, "-f", file.to_str().unwrap()];
                    arguments.extend(server_side.then_some("--server-side"));
                    let output = plane.kubectl(&arguments).output().unwrap();
                    if !output.status.success() {
                        let said = [output.stdout, output.stderr].concat();
                        let said = String::from_utf8_lossy(&said).into_owned();
                        wrong.push(format!("{kind}, step {step}, kubectl {arguments:?} of {spec}: {said}"));
                    }
                }
                let kept = plane.kubectl(["get", kind, &name, "-o", "json"]).output().unwrap();
                let kept: Value = serde_json::from_slice(&kept.stdout).unwrap_or_default();
                wrong.extend(lost(&kept["spec"], spec).map(|field| format!("{kind}, step {step}, {spec}: no {field}")));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Which of the objects that are to stay a manifest has and the object has not.
fn lost(kept: &Value, spec: &str) -> impl Iterator<Item = &'static str> {
    let written: Value = serde_saphyr::from_str(spec).unwrap();
    let has = |value: &Value, field: &str| value.pointer(&format!("/{}", field.replace('.', "/"))).is_some();
    let lost = STAY
        .into_iter()
        .filter(|field| has(&written, field) && !has(kept, field));
    lost.collect::<Vec<_>>().into_iter()
}
