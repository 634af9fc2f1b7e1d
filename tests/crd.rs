//! The contract as the real API server keeps it: what it accepts, what it refuses and how it says
//! so, what it fills in, and how kubectl shows it; and what the docs say to give it.
#![allow(clippy::unwrap_used)]

mod crd_tables;
mod docs;

use std::fs;
use std::path::Path;
use std::time::Duration;

use crd_tables::backups;
use crd_tables::budget::BUDGETS;
use crd_tables::changes::CHANGES;
use crd_tables::claiming;
use crd_tables::connection::CONNECTIONS;
use crd_tables::health::HEALTH;
use crd_tables::lengths::lengths;
use crd_tables::life;
use crd_tables::logins::LOGINS;
use crd_tables::pools::POOLS;
use crd_tables::rollout::ROLLOUTS;
use crd_tables::sources::SOURCES;
use crd_tables::statuses;
use crd_tables::{MANIFESTS, PLACEMENTS};
use kube::api::{Api, ApiResource, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, CustomResourceExt as _};
use orchestra_operator::api::{
    Orchestra, OrchestraBackup, OrchestraClass, OrchestraDatabase, OrchestraPool, crd_documents,
};
use orchestra_sandbox::control_plane::{ControlPlane, Options};
use serde_json::{Value, json};

const NAMESPACE: &str = "default";

const KINDS: [&str; 5] = [
    "Orchestra",
    "OrchestraClass",
    "OrchestraDatabase",
    "OrchestraPool",
    "OrchestraBackup",
];

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn crds_are_fresh() {
    let documents = crd_documents().unwrap();
    for (file, document) in &documents {
        let written = fs::read_to_string(project().join("crds").join(file)).unwrap_or_default();
        assert!(written == *document, "crds/{file} is stale: run `make crds`");
    }
    for entry in fs::read_dir(project().join("crds")).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        let known = file == "kustomization.yaml" || documents.contains_key(&file);
        assert!(known, "crds/{file} belongs to no kind");
    }
}

#[test]
fn the_api_reference_is_fresh() {
    let written = fs::read_to_string(project().join("docs/api.md")).unwrap_or_default();
    let page = orchestra_operator::views::reference::markdown().unwrap();
    assert!(written == page, "docs/api.md is stale: run `make api-docs`");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_keeps_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    let plane = ControlPlane::start(dir.path(), Options::default()).await.unwrap();
    plane.apply(&project().join("crds")).unwrap();
    kubectl(
        &plane,
        &["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"],
    );
    let client = plane.admin_client().await.unwrap();

    let mut wrong = Vec::new();
    for (number, (kind, manifest, answer)) in MANIFESTS
        .iter()
        .chain(BUDGETS)
        .chain(LOGINS)
        .chain(HEALTH)
        .chain(PLACEMENTS)
        .chain(POOLS)
        .chain(CONNECTIONS)
        .chain(ROLLOUTS)
        .chain(SOURCES)
        .chain(life::MANIFESTS)
        .chain(backups::MANIFESTS)
        .enumerate()
    {
        let given = create(&client, kind, &format!("manifest-{number}"), manifest).await;
        note(&mut wrong, &format!("{kind} {manifest}"), given.map(drop), answer);
    }
    for (number, (kind, manifest, answer)) in lengths().iter().enumerate() {
        let given = create(&client, kind, &format!("length-{number}"), manifest).await;
        note(&mut wrong, manifest, given.map(drop), answer);
    }
    for (number, (kind, before, after, answer)) in
        CHANGES.iter().chain(life::CHANGES).chain(backups::CHANGES).enumerate()
    {
        let name = format!("change-{number}");
        let case = format!("{kind} {before} -> {after}");
        let given = match create(&client, kind, &name, before).await {
            Ok(object) => replace(&client, kind, object, after).await,
            Err(error) => Err(format!("not even created: {error}")),
        };
        note(&mut wrong, &case, given, answer);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    what_is_omitted_is_filled_in(&client).await;
    crd_tables::applied::fields_are_taken_out_as_they_are_put_in(&plane, dir.path());
    a_new_object_was_not_observed(&client).await;
    for kind in KINDS {
        statuses::are_replaced(&api(&client, kind), kind).await;
    }
    claiming::fields_of_a_claim_are_kept(&api(&client, "Orchestra")).await;
    databases_are_selected_by_claim(&client).await;
    migrations_are_explained(&plane).await;
    kubectl_shows_them(&plane, &client).await;
    samples_are_accepted(&plane);
    docs::the_api_server_takes_what_the_docs_say(&plane, &client, dir.path()).await;
}

/// An empty answer means acceptance, another one is a part of the refusal.
fn note(wrong: &mut Vec<String>, case: &str, given: Result<(), String>, answer: &str) {
    match given {
        Ok(()) if answer.is_empty() => {}
        Err(error) if !answer.is_empty() && error.contains(answer) => {}
        Ok(()) => wrong.push(format!("{case}: accepted, but expected {answer:?}")),
        Err(error) => wrong.push(format!("{case}: {error}, but expected {answer:?}")),
    }
}

fn resource(kind: &str) -> ApiResource {
    match kind {
        "Orchestra" => Orchestra::api_resource(),
        "OrchestraClass" => OrchestraClass::api_resource(),
        "OrchestraDatabase" => OrchestraDatabase::api_resource(),
        "OrchestraBackup" => OrchestraBackup::api_resource(),
        _ => OrchestraPool::api_resource(),
    }
}

fn api(client: &Client, kind: &str) -> Api<DynamicObject> {
    if matches!(kind, "Orchestra" | "OrchestraBackup") {
        Api::namespaced_with(client.clone(), NAMESPACE, &resource(kind))
    } else {
        Api::all_with(client.clone(), &resource(kind))
    }
}

fn message(error: kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message,
        other => other.to_string(),
    }
}

/// Creates an object from what a manifest says beside its kind and name.
async fn create(client: &Client, kind: &str, name: &str, manifest: &str) -> Result<DynamicObject, String> {
    let mut object: Value = serde_saphyr::from_str(manifest).unwrap();
    if object["metadata"]["name"].is_null() {
        object["metadata"]["name"] = json!(name);
    }
    object["apiVersion"] = json!("stagesub.io/v1alpha1");
    object["kind"] = json!(kind);
    let object: DynamicObject = serde_json::from_value(object).unwrap();
    let created = api(client, kind).create(&PostParams::default(), &object).await;
    created.map_err(message)
}

async fn replace(client: &Client, kind: &str, mut object: DynamicObject, manifest: &str) -> Result<(), String> {
    let after: Value = serde_saphyr::from_str(manifest).unwrap();
    object.data["spec"] = after["spec"].clone();
    let name = object.metadata.name.clone().unwrap();
    let replaced = api(client, kind).replace(&name, &PostParams::default(), &object).await;
    replaced.map(drop).map_err(message)
}

async fn what_is_omitted_is_filled_in(client: &Client) {
    let orchestra = create(
        client,
        "Orchestra",
        "empty",
        "spec: {className: null, deletionPolicy: null}",
    )
    .await
    .unwrap();
    assert_eq!(orchestra.data["spec"], json!({}), "null is as good as omitted");

    let class = "spec: {provider: {supabase: {tokenSecretRef: {name: token}}}, pools: {names: [house]}, deletion: {}, \
                 templates: [{name: symphony, version: 1.0.0, seed: {configMapRef: {name: seed}}, settings: {currency: EUR}, \
                 migrations: {source: {oci: {image: 'oci://ghcr.io/example/scores', tag: v1}}, drift: {interval: 12h}}}, \
                 {name: chamber, version: 1.0.0, migrations: {source: {configMapRefs: [{name: a}, {name: b}]}}}]}";
    let class = create(client, "OrchestraClass", "defaults", class).await.unwrap();
    let spec = &class.data["spec"];
    assert_eq!(spec["provider"]["supabase"]["tokenSecretRef"]["key"], "token");
    assert_eq!(spec["pools"]["policy"], "CloudFirst");
    assert_eq!(spec["deletion"]["policy"], "Retain");
    assert_eq!(spec["progressDeadline"], "10m");
    assert!(spec.get("rollout").is_none());
    let oci = json!({"image": "oci://ghcr.io/example/scores", "tag": "v1"});
    let symphony = json!({"name": "symphony", "version": "1.0.0", "seed": {"configMapRef": {"name": "seed"}},
        "settings": {"currency": "EUR"}, "migrations": {"source": {"oci": oci}, "drift": {"interval": "12h"}}});
    let chamber = json!({"name": "chamber", "version": "1.0.0",
        "migrations": {"source": {"configMapRefs": [{"name": "a"}, {"name": "b"}]}}});
    assert_eq!(spec["templates"], json!([symphony, chamber]), "as it was written");
}

async fn a_new_object_was_not_observed(client: &Client) {
    for kind in KINDS {
        let manifest = MANIFESTS
            .iter()
            .chain(backups::MANIFESTS)
            .find(|(of, _, answer)| *of == kind && answer.is_empty());
        let fresh = create(client, kind, "fresh", manifest.unwrap().1).await.unwrap();
        assert_eq!(fresh.data["status"]["observedGeneration"], -1, "{kind}");

        let status = json!({"status": {"conditions": []}});
        let api = api(client, kind);
        let patch = Patch::Merge(&status);
        api.patch_status("fresh", &PatchParams::default(), &patch)
            .await
            .unwrap();
        let seen = api.get("fresh").await.unwrap();
        assert_eq!(seen.data["status"]["observedGeneration"], -1, "{kind}");
    }
    let api: Api<Orchestra> = Api::namespaced(client.clone(), NAMESPACE);
    let typed = api.get("fresh").await.unwrap();
    assert_eq!(typed.status.unwrap().observed_generation, -1);
}

async fn databases_are_selected_by_claim(client: &Client) {
    for (name, uid, class) in [
        ("one", "selected-1", "chosen"),
        ("two", "selected-2", "chosen"),
        ("three", "selected-3", "other"),
    ] {
        let database = format!(
            "spec: {{className: {class}, supabase: {{name: {name}, region: eu-west-3}}, \
             claimRef: {{namespace: tenants, name: acme, uid: {uid}}}}}"
        );
        create(client, "OrchestraDatabase", name, &database).await.unwrap();
    }
    let member = "spec: {pool: cellar, static: {pool: cellar, key: DATABASE_URL_POOL_1}}";
    create(client, "OrchestraDatabase", "member", member).await.unwrap();
    create(client, "Orchestra", "classy", "spec: {className: classy}")
        .await
        .unwrap();
    for (kind, selector, expected) in [
        ("OrchestraDatabase", "spec.claimRef.uid=selected-2", vec!["two"]),
        ("OrchestraDatabase", "spec.className=chosen", vec!["one", "two"]),
        ("OrchestraDatabase", "spec.claimRef.uid=selected-4", vec![]),
        ("OrchestraDatabase", "spec.pool=cellar", vec!["member"]),
        (
            "OrchestraDatabase",
            "spec.pool=cellar,spec.claimRef.uid=",
            vec!["member"],
        ),
        ("Orchestra", "spec.className=classy", vec!["classy"]),
    ] {
        let found = api(client, kind)
            .list(&ListParams::default().fields(selector))
            .await
            .unwrap();
        let mut names: Vec<_> = found
            .iter()
            .filter_map(|object| object.metadata.name.as_deref())
            .collect();
        names.sort_unstable();
        assert_eq!(names, expected, "{kind} {selector}");
    }
}

async fn kubectl_shows_them(plane: &ControlPlane, client: &Client) {
    let condition = |type_: &str, status: &str| {
        json!({
            "type": type_, "status": status, "reason": "Ready", "message": "usable", "lastTransitionTime": "2026-01-05T09:00:00Z",
        })
    };
    let conditions = [condition("Available", "False"), condition("Ready", "True")];
    let status = json!({"status": {
        "observedGeneration": 1, "phase": "Ready", "className": "standard", "conditions": conditions,
        "project": {"ref": "abcdefghijklmnopqrst", "region": "eu-central-1"}, "secretRef": {"name": "classy-connection"}, "expiresAt": "2026-01-08T09:00:00Z", "cost": {"currency": "USD", "monthly": "9.81", "hourly": "0.01344"},
        "migrations": {"source": "sha256:0", "current": "20260105090000_init", "applied": 1, "pending": 0},
    }});
    let patch = Patch::Merge(&status);
    api(client, "Orchestra")
        .patch_status("classy", &PatchParams::default(), &patch)
        .await
        .unwrap();
    let shown = table(&kubectl(plane, &["get", "orch", "classy", "-o", "wide"]));
    assert_eq!(
        shown[0],
        "NAME READY AVAILABLE PHASE CLASS REGION MIGRATION AGE REASON MESSAGE PROJECT SECRET COST/MO EXPIRES"
    );
    let mut cells: Vec<_> = shown[1].split(' ').collect();
    cells.remove(7); // the age
    assert_eq!(
        cells.join(" "),
        "classy True False Ready standard eu-central-1 20260105090000_init Ready usable abcdefghijklmnopqrst classy-connection 9.81 2026-01-08T09:00:00Z"
    );
    for (short, header) in [
        ("orch", "NAME READY AVAILABLE PHASE CLASS REGION MIGRATION AGE"),
        ("orchclass", "NAME READY PROVIDER TENANTS BUDGET PROJECTED DEFAULT AGE"),
        ("orchdb", "NAME PHASE CLAIM PROJECT REGION RECLAIM COST/MO AGE"),
        ("orchpool", "NAME READY CLASS DESIRED AVAILABLE BOUND AGE"),
    ] {
        assert_eq!(table(&kubectl(plane, &["get", short]))[0], header, "{short}");
    }
    let all = kubectl(plane, &["get", "stagesub", "-A", "-o", "name"]);
    for kind in ["orchestra", "orchestraclass", "orchestradatabase", "orchestrapool"] {
        assert!(all.contains(&format!("{kind}.stagesub.io/fresh")), "{kind} in {all}");
    }
    let explained = table(&kubectl(plane, &["explain", "orchestra.spec.deletionPolicy"])).join(" ");
    assert!(explained.contains("Omitted: the class's policy."), "{explained}");
}

/// The API server publishes what it knows of a new kind after a moment.
async fn migrations_are_explained(plane: &ControlPlane) {
    let explain = || {
        plane
            .kubectl(["explain", "orchestra.spec.migrations"])
            .output()
            .unwrap()
    };
    let mut output = explain();
    for _ in 0..60 {
        if output.status.success() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
        output = explain();
    }
    let explained = table(&String::from_utf8_lossy(&output.stdout)).join(" ");
    for part in [
        "source <Object> Where the scripts are, such as a ConfigMap with a key `<migration name>.sql`",
        "format <string> enum: Prisma, Supabase, Sqlx Format of the scripts",
        "approval <string> enum: Automatic, OnDestructive, Always When pending migrations wait for a person",
    ] {
        assert!(explained.contains(part), "{part:?} is not in {explained}");
    }
}

/// Every sample, as a user tries it: a field that no kind has is refused, too.
fn samples_are_accepted(plane: &ControlPlane) {
    for namespace in ["tenants", "orchestra-system"] {
        kubectl(plane, &["create", "namespace", namespace]);
    }
    let samples: Vec<_> = fs::read_dir(project().join("deploy/samples")).unwrap().collect();
    assert!(!samples.is_empty());
    for sample in samples {
        let sample = sample.unwrap().path();
        // What kubectl reads of a folder; the rest is for PostgreSQL.
        if sample.extension().is_some_and(|extension| extension == "sql") {
            continue;
        }
        let option = if sample.is_dir() { "-k" } else { "-f" };
        let sample = sample.to_str().unwrap();
        kubectl(
            plane,
            &["apply", "--dry-run=server", "--validate=strict", option, sample],
        );
    }
}

fn table(printed: &str) -> Vec<String> {
    let line = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    printed.lines().map(line).collect()
}

fn kubectl(plane: &ControlPlane, arguments: &[&str]) -> String {
    let output = plane.kubectl(arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "kubectl {arguments:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
