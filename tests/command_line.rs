//! The command line without a cluster: its help, its errors and exit codes (`tests/command-line/*.trycmd`; after a change
//! of them, `TRYCMD=overwrite cargo test --test command_line`), and the manifest for krew.
#![allow(clippy::unwrap_used, missing_docs)]

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

#[path = "support/shells.rs"]
mod shells;

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The program by another name.
fn named(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    symlink(env!("CARGO_BIN_EXE_orchestra-operator"), &path).unwrap();
    path
}

#[test]
fn help_and_errors() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("none").display().to_string();
    trycmd::TestCases::new()
        .register_bin("kubectl-orchestra", named(folder.path(), "kubectl-orchestra"))
        .register_bin(
            "kubectl_complete-orchestra",
            named(folder.path(), "kubectl_complete-orchestra"),
        )
        .register_bin(
            "orchestra-backup",
            PathBuf::from(env!("CARGO_BIN_EXE_orchestra-backup")),
        )
        .env("KUBECONFIG", missing)
        .env("HOME", folder.path().display().to_string())
        .insert_var("[VERSION]", env!("CARGO_PKG_VERSION"))
        .unwrap()
        .case("tests/command-line/*.trycmd");
}

#[test]
fn each_shell_reads_its_script_and_completes_a_command() {
    let folder = tempfile::tempdir().unwrap();
    let program = named(folder.path(), "kubectl-orchestra");
    let missing = folder.path().join("none");
    for name in shells::SHELLS {
        let printed = Command::new(&program).args(["completion", name]).output().unwrap();
        assert!(printed.status.success() && !printed.stdout.is_empty(), "{printed:?}");
        let script = folder.path().join(name);
        std::fs::write(&script, printed.stdout).unwrap();
        let Some(shell) = shells::installed(name) else { continue };
        let parsed = Command::new(&shell).arg("-n").arg(&script).output().unwrap();
        assert!(
            parsed.status.success() && parsed.stderr.is_empty(),
            "{name}: {parsed:?}"
        );
        let offered = shells::offered(&shell, folder.path(), &missing, &["rollout", "p"]);
        assert_eq!(offered, ["pause"], "{name}");
        // Without a cluster there are no names, and no complaint.
        let offered = shells::offered(&shell, folder.path(), &missing, &["status", "acme"]);
        assert!(offered.is_empty(), "{name}: {offered:?}");
    }
}

#[test]
fn the_manifest_for_krew_has_every_platform() {
    let text = std::fs::read_to_string(project().join("deploy/krew/orchestra.yaml")).unwrap();
    let manifest: Value = serde_saphyr::from_str(&text).unwrap();
    assert_eq!(manifest["apiVersion"], "krew.googlecontainertools.github.com/v1alpha2");
    assert_eq!(
        (&manifest["kind"], &manifest["metadata"]["name"]),
        (&"Plugin".into(), &"orchestra".into())
    );
    let spec = &manifest["spec"];
    let (repository, version) = (env!("CARGO_PKG_REPOSITORY"), env!("CARGO_PKG_VERSION"));
    assert_eq!(spec["homepage"], repository);
    assert_eq!(spec["version"], format!("v{version}"));
    assert!(
        spec["shortDescription"].as_str().unwrap().len() <= 50,
        "krew asks for a short one"
    );
    let mut platforms = Vec::new();
    for platform in spec["platforms"].as_array().unwrap() {
        let labels = &platform["selector"]["matchLabels"];
        let name = format!(
            "{}-{}",
            labels["os"].as_str().unwrap(),
            labels["arch"].as_str().unwrap()
        );
        let archive = format!("{repository}/releases/download/v{version}/kubectl-orchestra-{name}.tar.gz");
        assert_eq!(platform["uri"], archive);
        assert_eq!(platform["bin"], "kubectl-orchestra");
        assert!(
            platform["files"]
                .as_array()
                .unwrap()
                .iter()
                .any(|file| file["from"] == "kubectl-orchestra")
        );
        let digest = platform["sha256"].as_str().unwrap();
        assert!(
            digest.len() == 64 && digest.bytes().all(|digit| digit.is_ascii_hexdigit()),
            "{digest}"
        );
        platforms.push(name);
    }
    // Those that scripts/release builds.
    assert_eq!(platforms, ["linux-amd64", "linux-arm64"]);
}
