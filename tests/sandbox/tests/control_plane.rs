//! The control plane answers, keeps Secrets encrypted, lets RBAC decide, and leaves no process.
#![allow(clippy::unwrap_used)]

use std::{path::Path, time::Instant};

use k8s_openapi::api::core::v1::{ConfigMap, Secret, ServiceAccount};
use kube::{
    Api,
    api::{ListParams, PostParams},
};
use orchestra_sandbox::control_plane::{ControlPlane, Options};
use serde_json::json;

#[tokio::test]
async fn a_control_plane_lives_and_ends() {
    let dir = tempfile::tempdir().unwrap();
    let started = Instant::now();
    let mut plane = ControlPlane::start(
        dir.path(),
        Options {
            controller_manager: true,
            ..Options::default()
        },
    )
    .await
    .unwrap();
    println!("ready in {:?}", started.elapsed());

    secrets_are_encrypted(&plane).await;
    rbac_decides(&plane).await;

    plane.stop_api_server();
    let client = plane.admin_client().await.unwrap();
    assert!(client.apiserver_version().await.is_err());
    plane.start_api_server().await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(plane.admin_client().await.unwrap(), "default");
    maps.get("plain").await.unwrap();

    let output = plane
        .kubectl(["get", "configmap", "plain", "-o", "name"])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "configmap/plain");

    let processes = plane.process_ids();
    assert_eq!(processes.len(), 3);
    drop(plane);
    for id in processes {
        assert!(
            !Path::new(&format!("/proc/{id}")).exists(),
            "process {id} is still there"
        );
    }
}

async fn secrets_are_encrypted(plane: &ControlPlane) {
    let client = plane.admin_client().await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "default");
    let map = json!({ "metadata": { "name": "plain" }, "data": { "word": "in-the-clear" } });
    maps.create(&PostParams::default(), &serde_json::from_value(map).unwrap())
        .await
        .unwrap();
    let secrets: Api<Secret> = Api::namespaced(client, "default");
    let secret = json!({ "metadata": { "name": "hidden" }, "stringData": { "word": "not-in-the-clear" } });
    secrets
        .create(&PostParams::default(), &serde_json::from_value(secret).unwrap())
        .await
        .unwrap();

    assert!(contains(
        &plane.etcd_raw("/registry/configmaps/default/plain").await.unwrap(),
        "in-the-clear"
    ));
    let raw = plane.etcd_raw("/registry/secrets/default/").await.unwrap();
    assert!(contains(&raw, "k8s:enc:secretbox"));
    assert!(!contains(&raw, "in-the-clear"));
}

async fn rbac_decides(plane: &ControlPlane) {
    let accounts: Api<ServiceAccount> = Api::namespaced(plane.admin_client().await.unwrap(), "default");
    let account = json!({ "metadata": { "name": "nobody" } });
    accounts
        .create(&PostParams::default(), &serde_json::from_value(account).unwrap())
        .await
        .unwrap();
    let client = plane.client_for_service_account("default", "nobody").await.unwrap();
    let secrets: Api<Secret> = Api::namespaced(client, "default");
    let refusal = secrets.list(&ListParams::default()).await.unwrap_err();
    assert!(
        matches!(&refusal, kube::Error::Api(status) if status.is_forbidden()),
        "{refusal}"
    );
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}
