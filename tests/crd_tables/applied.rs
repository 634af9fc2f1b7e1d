//! Manifests that lose their fields and get them back, as kubectl applies them.

use std::fs;
use std::path::Path;

use orchestra_sandbox::control_plane::ControlPlane;

/// Kind, a spec, and what is left of it when its last fields are taken out. Server-side apply makes null of an object
/// that has lost them: that is as good as omitted, but for an object that is required and has no default.
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
];

/// Applies each case in both ways of kubectl: with the fields, without them, and with them again.
pub fn fields_are_taken_out_as_they_are_put_in(plane: &ControlPlane, dir: &Path) {
    let mut wrong = Vec::new();
    for (number, (kind, full, empty)) in CASES.iter().enumerate() {
        let is_required = empty.contains("static: {}") || empty.contains("supabase: {}");
        for server_side in if is_required { &[false][..] } else { &[false, true] } {
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
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
