//! The control plane answers, keeps Secrets encrypted, lets RBAC decide, and leaves no process.
#![allow(clippy::unwrap_used)]

use std::{
    path::Path,
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::{ConfigMap, Secret, ServiceAccount};
use kube::{
    Api,
    api::{ListParams, PostParams},
};
use orchestra_sandbox::control_plane::{ControlPlane, Options};
use orchestra_sandbox::world::{self, Kind, TENANTS, World};
use serde_json::{Value, json};

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

#[tokio::test]
async fn a_world_gets_the_control_plane_of_the_one_before_and_nothing_that_was_in_it() {
    let world = another_world().await;
    let server = world.plane.server();
    world
        .apply(
            r"
{apiVersion: v1, kind: Namespace, metadata: {name: left}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: left, namespace: left}}
---
apiVersion: stagesub.io/v1alpha1
kind: Orchestra
metadata: {name: left, namespace: tenants, finalizers: [stagesub.io/test]}
spec: {displayName: Left}
",
        )
        .unwrap();
    world.kubectl(["delete", "namespace", TENANTS, "--wait=false"]).unwrap();
    world
        .kubectl(["delete", "clusterrolebinding", "orchestra-operator"])
        .unwrap();
    drop(world);

    let world = another_world().await;
    assert_eq!(world.plane.server(), server);
    assert_eq!(world.list(Kind::Orchestra).await.unwrap(), Vec::<Value>::new());
    assert!(world.kubectl(["get", "namespace", "left"]).is_err());
    assert!(world.kubectl(["get", "configmap", "left", "-n", "left"]).is_err());
    let may = ["auth", "can-i", "list", "orchestras.stagesub.io", "-A"];
    let operator = "--as=system:serviceaccount:orchestra-system:orchestra-operator";
    let began = Instant::now();
    while world
        .kubectl([may[0], may[1], may[2], may[3], may[4], operator])
        .is_err()
    {
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "the operator's rights are not back"
        );
    }
    world
        .apply("{apiVersion: stagesub.io/v1alpha1, kind: Orchestra, metadata: {name: left, namespace: tenants}, spec: {displayName: New}}")
        .unwrap();

    // A kind that was changed may still be served as it was.
    world
        .kubectl(["delete", "crd", "orchestrabackups.stagesub.io"])
        .unwrap();
    drop(world);
    assert_ne!(another_world().await.plane.server(), server);
}

async fn another_world() -> World {
    let options = world::Options {
        operator: "none is started".into(),
        project: Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."),
        api: orchestra_sandbox::api::Options::default(),
    };
    World::start(options).await.unwrap()
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
