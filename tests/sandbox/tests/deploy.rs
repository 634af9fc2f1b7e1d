//! The kustomize base gives the operator's service account what it needs, and no more.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use orchestra_sandbox::control_plane::{ControlPlane, Options};

/// Verb, resource, namespace, and whether the operator may.
const RIGHTS: &[(&str, &str, &str, bool)] = &[
    ("watch", "orchestras.stagesub.io", "tenant", true),
    ("patch", "orchestras.stagesub.io", "tenant", true),
    ("create", "orchestras.stagesub.io", "tenant", false),
    ("delete", "orchestras.stagesub.io", "tenant", false),
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
    ("create", "secrets", "tenant", true),
    ("update", "secrets", "tenant", false),
    ("deletecollection", "secrets", "tenant", false),
    ("watch", "namespaces", "", true),
    ("get", "namespaces", "tenant", false),
    ("patch", "namespaces", "tenant", false),
    ("delete", "namespaces", "tenant", false),
    ("patch", "events.events.k8s.io", "tenant", true),
    ("get", "customresourcedefinitions.apiextensions.k8s.io", "tenant", true),
    (
        "create",
        "customresourcedefinitions.apiextensions.k8s.io",
        "tenant",
        false,
    ),
    ("update", "leases.coordination.k8s.io", "orchestra-system", true),
    ("get", "leases.coordination.k8s.io", "tenant", false),
    ("create", "pods", "orchestra-system", false),
    ("escalate", "clusterroles.rbac.authorization.k8s.io", "tenant", false),
    ("impersonate", "users", "tenant", false),
    ("create", "serviceaccounts/token", "orchestra-system", false),
];

#[tokio::test]
async fn the_service_account_has_least_privilege() {
    let dir = tempfile::tempdir().unwrap();
    let plane = ControlPlane::start(dir.path(), Options::default()).await.unwrap();
    let applied = plane
        .apply(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/kustomize"))
        .unwrap();
    assert!(
        applied.contains("deployment.apps/orchestra-operator serverside-applied"),
        "{applied}"
    );

    let kubeconfig = plane
        .kubeconfig_for_service_account("orchestra-system", "orchestra-operator")
        .await
        .unwrap();
    for (verb, resource, namespace, expected) in RIGHTS {
        let (resource, part) = resource.split_once('/').unwrap_or((resource, ""));
        let part = format!("--subresource={part}");
        let mut can = plane.kubectl(["auth", "can-i", verb, resource, &part, "-n", namespace]);
        let output = can.env("KUBECONFIG", &kubeconfig).output().unwrap();
        let answer = String::from_utf8_lossy(&output.stdout);
        assert_eq!(
            answer.trim() == "yes",
            *expected,
            "{verb} {resource} {part} in {namespace}: {answer}"
        );
    }
}
