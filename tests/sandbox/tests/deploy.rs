//! The kustomizations give the operator's service account what it needs, and no more. The answers are the API server's,
//! to the service account's own token.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;

use orchestra_sandbox::control_plane::{ControlPlane, Options};

/// Verb, resource, namespace, and whether the operator may. A resource may have a subresource after a slash, or the name
/// of an object after a space.
type Rights = &'static [(&'static str, &'static str, &'static str, bool)];

/// Of the operator for all namespaces.
const RIGHTS: Rights = &[
    ("watch", "orchestras.stagesub.io", "tenant", true),
    ("patch", "orchestras.stagesub.io", "tenant", true),
    ("create", "orchestras.stagesub.io", "tenant", false),
    // A ttl ends it.
    ("delete", "orchestras.stagesub.io", "tenant", true),
    ("deletecollection", "orchestras.stagesub.io", "tenant", false),
    ("patch", "orchestras.stagesub.io/status", "tenant", true),
    ("create", "orchestraclasses.stagesub.io", "tenant", true),
    ("patch", "orchestraclasses.stagesub.io", "tenant", true),
    ("delete", "orchestraclasses.stagesub.io", "tenant", false),
    ("get", "clusterroles.rbac.authorization.k8s.io", "tenant", false),
    ("create", "orchestrapools.stagesub.io", "tenant", true),
    ("patch", "orchestrapools.stagesub.io/status", "tenant", true),
    ("delete", "orchestradatabases.stagesub.io", "tenant", true),
    ("patch", "orchestradatabases.stagesub.io/status", "tenant", true),
    ("watch", "configmaps", "tenant", true),
    ("create", "configmaps", "tenant", true),
    ("patch", "configmaps", "tenant", true),
    ("delete", "configmaps", "tenant", true),
    ("update", "configmaps", "tenant", false),
    ("deletecollection", "configmaps", "tenant", false),
    ("create", "configmaps", "orchestra-system", true),
    ("patch", "configmaps", "orchestra-system", true),
    ("create", "secrets", "tenant", true),
    ("patch", "secrets", "tenant", true),
    ("delete", "secrets", "tenant", false),
    ("delete", "secrets", "orchestra-system", true),
    ("update", "secrets", "tenant", false),
    ("deletecollection", "secrets", "tenant", false),
    ("watch", "namespaces", "", true),
    ("get", "namespaces", "tenant", false),
    ("patch", "namespaces", "tenant", false),
    ("delete", "namespaces", "tenant", false),
    ("patch", "events.events.k8s.io", "tenant", true),
    ("get", "customresourcedefinitions.apiextensions.k8s.io", "", false),
    (
        "get",
        "customresourcedefinitions.apiextensions.k8s.io orchestras.stagesub.io",
        "",
        true,
    ),
    (
        "create",
        "customresourcedefinitions.apiextensions.k8s.io",
        "tenant",
        false,
    ),
    (
        "update",
        "leases.coordination.k8s.io orchestra-operator",
        "orchestra-system",
        true,
    ),
    ("create", "leases.coordination.k8s.io", "orchestra-system", true),
    ("update", "leases.coordination.k8s.io other", "orchestra-system", false),
    ("get", "leases.coordination.k8s.io", "orchestra-system", false),
    (
        "delete",
        "leases.coordination.k8s.io orchestra-operator",
        "orchestra-system",
        false,
    ),
    ("get", "leases.coordination.k8s.io orchestra-operator", "tenant", false),
    ("create", "pods", "orchestra-system", false),
    ("watch", "orchestrabackups.stagesub.io", "tenant", true),
    ("patch", "orchestrabackups.stagesub.io", "tenant", true),
    ("update", "orchestrabackups.stagesub.io", "tenant", false),
    ("deletecollection", "orchestrabackups.stagesub.io", "tenant", false),
    ("patch", "orchestrabackups.stagesub.io/status", "tenant", true),
    ("update", "orchestrabackups.stagesub.io/status", "tenant", false),
    ("create", "jobs.batch", "orchestra-system", true),
    ("watch", "jobs.batch", "orchestra-system", true),
    ("delete", "jobs.batch", "orchestra-system", true),
    ("patch", "jobs.batch", "orchestra-system", false),
    ("deletecollection", "jobs.batch", "orchestra-system", false),
    ("create", "jobs.batch", "tenant", false),
    ("get", "jobs.batch", "tenant", false),
    ("delete", "jobs.batch", "tenant", false),
    ("create", "cronjobs.batch", "orchestra-system", false),
    ("list", "pods", "orchestra-system", true),
    ("list", "pods", "tenant", false),
    ("list", "pods", "", false),
    ("get", "pods/log", "orchestra-system", true),
    ("get", "pods/log", "tenant", false),
    ("create", "pods/exec", "orchestra-system", false),
    ("escalate", "clusterroles.rbac.authorization.k8s.io", "tenant", false),
    ("impersonate", "users", "tenant", false),
    ("create", "serviceaccounts/token", "orchestra-system", false),
];

/// Of the operator for the namespace `tenants`.
const LIMITED: Rights = &[
    ("watch", "orchestras.stagesub.io", "tenants", true),
    ("watch", "orchestras.stagesub.io", "", false),
    ("patch", "orchestras.stagesub.io/status", "tenants", true),
    ("patch", "orchestras.stagesub.io/status", "other", false),
    ("get", "secrets", "tenants", true),
    ("delete", "secrets", "tenants", false),
    ("get", "secrets", "other", false),
    ("list", "secrets", "", false),
    ("get", "secrets", "kube-system", false),
    ("create", "secrets", "other", false),
    ("delete", "secrets", "orchestra-system", true),
    ("create", "configmaps", "tenants", true),
    ("get", "configmaps", "other", false),
    ("list", "configmaps", "", false),
    // The ledger.
    ("create", "configmaps", "orchestra-system", true),
    ("patch", "configmaps", "orchestra-system", true),
    ("update", "configmaps", "orchestra-system", false),
    ("delete", "configmaps", "orchestra-system", false),
    ("watch", "orchestradatabases.stagesub.io", "", true),
    ("patch", "orchestraclasses.stagesub.io/status", "", true),
    ("list", "namespaces", "", false),
    ("list", "namespaces tenants", "", true),
    ("list", "namespaces other", "", false),
    ("create", "events.events.k8s.io", "tenants", true),
    ("create", "events.events.k8s.io", "default", true),
    ("create", "events.events.k8s.io", "other", false),
    (
        "update",
        "leases.coordination.k8s.io orchestra-operator",
        "orchestra-system",
        true,
    ),
    ("create", "pods", "tenants", false),
    ("watch", "orchestrabackups.stagesub.io", "tenants", true),
    ("watch", "orchestrabackups.stagesub.io", "", false),
    ("patch", "orchestrabackups.stagesub.io/status", "tenants", true),
    ("patch", "orchestrabackups.stagesub.io/status", "other", false),
    ("create", "jobs.batch", "orchestra-system", true),
    ("delete", "jobs.batch", "orchestra-system", true),
    ("create", "jobs.batch", "tenants", false),
    ("create", "jobs.batch", "other", false),
    ("list", "jobs.batch", "", false),
    ("list", "pods", "orchestra-system", true),
    ("list", "pods", "tenants", false),
    ("get", "pods/log", "orchestra-system", true),
    ("get", "pods/log", "tenants", false),
    ("create", "rolebindings.rbac.authorization.k8s.io", "tenants", false),
];

async fn applied(folder: &str) -> (tempfile::TempDir, ControlPlane, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let plane = ControlPlane::start(dir.path(), Options::default()).await.unwrap();
    let made = plane.kubectl(["create", "namespace", "tenants"]).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let applied = plane
        .apply(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy").join(folder))
        .unwrap();
    assert!(
        applied.contains("deployment.apps/orchestra-operator serverside-applied"),
        "{applied}"
    );
    let kubeconfig = plane
        .kubeconfig_for_service_account("orchestra-system", "orchestra-operator")
        .await
        .unwrap();
    (dir, plane, kubeconfig)
}

fn check(plane: &ControlPlane, kubeconfig: &Path, rights: Rights) {
    for (verb, resource, namespace, expected) in rights {
        let (resource, name) = resource.split_once(' ').unwrap_or((resource, ""));
        let (resource, part) = resource.split_once('/').unwrap_or((resource, ""));
        let part = format!("--subresource={part}");
        let object = if name.is_empty() {
            resource.to_owned()
        } else {
            format!("{resource}/{name}")
        };
        let mut can = plane.kubectl(["auth", "can-i", verb, &object, &part]);
        if namespace.is_empty() {
            can.arg("--all-namespaces");
        } else {
            can.args(["-n", namespace]);
        }
        let output = can.env("KUBECONFIG", kubeconfig).output().unwrap();
        let answer = String::from_utf8_lossy(&output.stdout);
        assert_eq!(
            answer.trim() == "yes",
            *expected,
            "{verb} {object} {part} in {namespace:?}: {answer}"
        );
    }
}

#[tokio::test]
async fn the_service_account_has_least_privilege() {
    let (dir, plane, kubeconfig) = applied("kustomize").await;
    check(&plane, &kubeconfig, RIGHTS);
    what_the_chart_renders_is_accepted(&plane, dir.path());
}

/// The API server takes every object that the chart renders, and its pods are restricted.
fn what_the_chart_renders_is_accepted(plane: &ControlPlane, dir: &Path) {
    let label = [
        "label",
        "namespace",
        "orchestra-system",
        "pod-security.kubernetes.io/warn=restricted",
    ];
    let labelled = plane.kubectl(label).output().unwrap();
    assert!(labelled.status.success(), "{labelled:?}");
    for namespace in ["tenants-a", "tenants-b"] {
        let made = plane.kubectl(["create", "namespace", namespace]).output().unwrap();
        assert!(made.status.success(), "{made:?}");
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/chart/golden");
    for render in std::fs::read_dir(folder).unwrap() {
        let path = render.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        // Kinds of the Prometheus operator are not served here.
        let served = text
            .split("\n---\n")
            .filter(|object| !object.contains("monitoring.coreos.com"));
        let file = dir.join("render.yaml");
        std::fs::write(&file, served.collect::<Vec<_>>().join("\n---\n")).unwrap();
        let output = plane
            .kubectl([
                "apply",
                "--server-side",
                "--force-conflicts",
                "--dry-run=server",
                "--validate=strict",
                "-f",
            ])
            .arg(&file)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{}: {said}", path.display());
    }
}

#[tokio::test]
async fn a_limited_service_account_reaches_its_namespaces_only() {
    let (_dir, plane, kubeconfig) = applied("namespaced").await;
    check(&plane, &kubeconfig, LIMITED);
    for (namespace, says) in [("tenants", ""), ("other", "Forbidden"), ("default", "Forbidden")] {
        let mut get = plane.kubectl(["get", "secrets", "-n", namespace]);
        let output = get.env("KUBECONFIG", &kubeconfig).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.success(), says.is_empty(), "{namespace}: {said}");
        assert!(said.contains(says), "{namespace}: {said}");
    }
    let deployment = plane
        .kubectl([
            "get",
            "deployment",
            "orchestra-operator",
            "-n",
            "orchestra-system",
            "-o",
            "json",
        ])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&deployment.stdout);
    assert!(text.contains("--watch-namespaces=tenants"), "{text}");
}

#[test]
fn the_trial_on_a_node_says_what_it_needs_before_it_asks_a_cluster() {
    let trial = |variables: &[(&str, &str)]| {
        let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/trial"));
        for name in ["IMAGE", "BACKUP_IMAGE", "POOL_URL", "PREVIOUS", "PREVIOUS_IMAGE"] {
            command.env_remove(name);
        }
        let output = command.envs(variables.iter().copied()).output().unwrap();
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let (code, said) = trial(&[("IMAGE", "a:1"), ("BACKUP_IMAGE", "b:1")]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("POOL_URL=URL"), "{said}");
    let given = [
        ("IMAGE", "a:1"),
        ("BACKUP_IMAGE", "b:1"),
        ("POOL_URL", "c"),
        ("PREVIOUS", "chart"),
    ];
    let (code, said) = trial(&given);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("PREVIOUS needs PREVIOUS_IMAGE"), "{said}");
}
