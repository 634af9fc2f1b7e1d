//! The CustomResourceDefinitions against a real API server: what it accepts and refuses, in which
//! words, and what kubectl makes of them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod cases;
mod shown;

use std::{fmt::Debug, fs, path::Path};

use cases::{CLASSES, Case, DEADLINES, ORCHESTRAS};
use shown::{explanations, kubectl, listings, samples};

use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use orchestra_operator::api::{Orchestra, OrchestraClass, OrchestraDatabase, OrchestraPool, crd_documents};
use orchestra_sandbox::control_plane::{ControlPlane, Options};
use serde_json::{Value, json};

const PROJECT: &str = "supabase: {name: a-1, region: eu-central-1}";
const ENTRY: &str = "static: {pool: house, key: DATABASE_URL_POOL_1}";
const ONE: &str = "exactly one of supabase and static must be set";

#[test]
fn the_files_are_fresh() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds");
    let documents = crd_documents().unwrap();
    let mut files: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|file| file != "kustomization.yaml")
        .collect();
    files.sort();
    assert!(
        files.iter().eq(documents.keys()),
        "run `make crds`: crds/ holds {files:?}"
    );
    for (file, document) in documents {
        let stored = fs::read_to_string(folder.join(&file)).unwrap();
        assert!(stored == document, "crds/{file} is stale: run `make crds`");
    }
}

#[tokio::test]
async fn the_api_server_keeps_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    let plane = ControlPlane::start(dir.path(), Options::default()).await.unwrap();
    plane
        .apply(&Path::new(env!("CARGO_MANIFEST_DIR")).join("crds"))
        .unwrap();
    kubectl(
        &plane,
        &["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"],
    );
    let mut kinds = Kinds::new(plane.admin_client().await.unwrap());

    kinds.table().await;
    kinds.orchestra_bounds().await;
    kinds.class_bounds().await;
    kinds.orchestra_changes().await;
    kinds.database_changes().await;
    kinds.fresh_objects().await;
    assert!(kinds.wrong.is_empty(), "{}", kinds.wrong.join("\n"));

    listings(&plane);
    explanations(&plane).await;
    samples(&plane);
}

/// The kinds, and what the API server answered that it should not have.
struct Kinds {
    orchestras: Api<DynamicObject>,
    classes: Api<DynamicObject>,
    databases: Api<DynamicObject>,
    pools: Api<DynamicObject>,
    wrong: Vec<String>,
}

impl Kinds {
    fn new(client: Client) -> Self {
        let all = |resource: ApiResource| Api::all_with(client.clone(), &resource);
        Self {
            orchestras: Api::namespaced_with(client.clone(), "default", &ApiResource::erase::<Orchestra>(&())),
            classes: all(ApiResource::erase::<OrchestraClass>(&())),
            databases: all(ApiResource::erase::<OrchestraDatabase>(&())),
            pools: all(ApiResource::erase::<OrchestraPool>(&())),
            wrong: Vec::new(),
        }
    }

    async fn table(&mut self) {
        for (what, spec, refusal) in ORCHESTRAS {
            self.attempt(&self.orchestras.clone(), "a", (what, spec, *refusal))
                .await;
        }
        for (what, spec, refusal) in CLASSES {
            self.attempt(&self.classes.clone(), "a", (what, spec, *refusal)).await;
        }
        let pools = self.pools.clone();
        self.attempt(&pools, "a", ("a pool of the environment", "{static: {}}", None))
            .await;
        self.attempt(
            &pools,
            "a",
            ("a pool of nothing", "{}", Some("spec.static: Required value")),
        )
        .await;
        let databases = self.databases.clone();
        self.attempt(&databases, "a", ("a project", &format!("{{{PROJECT}}}"), None))
            .await;
        self.attempt(&databases, "a", ("an entry", &format!("{{{ENTRY}}}"), None))
            .await;
        self.attempt(&databases, "a", ("neither", "{}", Some(ONE))).await;
        self.attempt(&databases, "a", ("both", &format!("{{{PROJECT}, {ENTRY}}}"), Some(ONE)))
            .await;
        self.attempt(
            &databases,
            "a",
            ("a null", &format!("{{{PROJECT}, static: null}}"), None),
        )
        .await;
    }

    async fn orchestra_bounds(&mut self) {
        let orchestras = self.orchestras.clone();
        let name = |length| "n".repeat(length);
        let refusal = Some("metadata.name must have at most 200 characters");
        self.attempt(&orchestras, &name(200), ("a long name", "{}", None)).await;
        self.attempt(&orchestras, &name(201), ("a name too long", "{}", refusal))
            .await;

        let display = |length| json!({"displayName": "é".repeat(length)}).to_string();
        let refusal = Some("spec.displayName: Too long: may not be more than 256");
        self.attempt(&orchestras, "a", ("a long displayName", &display(256), None))
            .await;
        self.attempt(&orchestras, "a", ("a displayName too long", &display(257), refusal))
            .await;

        let sources = |count| {
            let references: Vec<_> = (0..count).map(|n| json!({"name": format!("schema-{n}")})).collect();
            json!({"migrations": {"source": {"configMapRefs": references}}}).to_string()
        };
        let refusal = Some("spec.migrations.source.configMapRefs: Too many: 65: must have at most 64 items");
        self.attempt(&orchestras, "a", ("64 ConfigMaps", &sources(64), None))
            .await;
        self.attempt(&orchestras, "a", ("65 ConfigMaps", &sources(65), refusal))
            .await;
    }

    async fn class_bounds(&mut self) {
        for (deadline, refusal) in DEADLINES {
            let spec = json!({"provider": {"supabase": {}}, "progressDeadline": deadline}).to_string();
            let what = format!("the deadline {deadline:?}");
            self.attempt(&self.classes.clone(), "a", (&what, &spec, *refusal)).await;
        }
    }

    async fn orchestra_changes(&mut self) {
        let orchestras = self.orchestras.clone();
        create(&orchestras, "changing", "{}").await;
        for (field, first, second) in [
            ("className", json!("a"), json!("b")),
            ("placement", json!({"region": "a"}), json!({"region": "b"})),
        ] {
            let refusal = format!("{field} is immutable once set");
            let set = |value: &Value| json!({"spec": {field: value}});
            self.change(&orchestras, "changing", &set(&first), None).await;
            self.change(&orchestras, "changing", &set(&first), None).await;
            self.change(&orchestras, "changing", &set(&second), Some(&refusal))
                .await;
            self.change(&orchestras, "changing", &set(&Value::Null), Some(&refusal))
                .await;
        }
        let rest = json!({"spec": {"displayName": "A", "deletionPolicy": "Delete", "connection": {"secretName": "b"}}});
        self.change(&orchestras, "changing", &rest, None).await;
    }

    async fn database_changes(&mut self) {
        let databases = self.databases.clone();
        create(&databases, "project", &format!("{{{PROJECT}}}")).await;
        create(&databases, "entry", &format!("{{{ENTRY}}}")).await;
        let supabase = "supabase is immutable";
        let renamed = json!({"spec": {"supabase": {"name": "b-2"}}});
        self.change(&databases, "project", &renamed, Some(supabase)).await;
        let sized = json!({"spec": {"supabase": {"instanceSize": "large"}}});
        self.change(&databases, "project", &sized, Some(supabase)).await;
        let exchanged = json!({"spec": {"supabase": null, "static": {"pool": "house", "key": "A"}}});
        self.change(&databases, "project", &exchanged, Some(supabase)).await;

        let claim = |uid: &str| json!({"spec": {"claimRef": {"namespace": "default", "name": "changing", "uid": uid}}});
        let refusal = Some("claimRef is immutable once set");
        for name in ["project", "entry"] {
            self.change(&databases, name, &claim(name), None).await;
            self.change(&databases, name, &claim("another"), refusal).await;
            self.change(&databases, name, &json!({"spec": {"claimRef": null}}), refusal)
                .await;
        }
        let released = json!({"spec": {"className": "a", "releasedAt": "2026-01-05T09:00:00Z"}});
        self.change(&databases, "project", &released, None).await;
    }

    async fn fresh_objects(&mut self) {
        create(&self.classes, "fresh", "{pools: {names: [fresh]}}").await;
        create(&self.pools, "fresh", "{static: {}}").await;
        create(&self.databases, "fresh", &format!("{{{ENTRY}}}")).await;
        create(&self.orchestras, "fresh", "{className: fresh}").await;
        for api in [&self.orchestras, &self.classes, &self.databases, &self.pools] {
            let object = api.get("fresh").await.unwrap().data;
            if object["status"]["observedGeneration"] != -1 {
                self.wrong
                    .push(format!("{}: fresh status {}", api.resource_url(), object["status"]));
            }
        }
        let class = self.classes.get("fresh").await.unwrap().data;
        assert_eq!(class["spec"]["progressDeadline"], "10m");
        assert_eq!(class["spec"]["deletion"]["policy"], "Retain");
        assert_eq!(class["spec"]["pools"]["policy"], "CloudFirst");
        let orchestra = self.orchestras.get("fresh").await.unwrap().data;
        assert_eq!(
            orchestra["spec"],
            json!({"className": "fresh", "connection": {"mode": "SessionPooler"}})
        );
    }

    /// Tries to create an object, without keeping it.
    async fn attempt(&mut self, api: &Api<DynamicObject>, name: &str, (what, spec, refusal): Case<'_>) {
        let dry_run = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        let outcome = api.create(&dry_run, &object(api, name, spec)).await;
        self.judge(what, outcome, refusal);
    }

    /// Changes an object with a merge patch.
    async fn change(&mut self, api: &Api<DynamicObject>, name: &str, patch: &Value, refusal: Option<&str>) {
        let outcome = api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await;
        self.judge(&format!("{name} becomes {patch}"), outcome, refusal);
    }

    fn judge<T: Debug>(&mut self, what: &str, outcome: kube::Result<T>, refusal: Option<&str>) {
        match (outcome, refusal) {
            (Ok(_), None) => {}
            (Err(kube::Error::Api(status)), Some(part)) if status.code == 422 && status.message.contains(part) => {}
            (Err(error), None) => self.wrong.push(format!("{what}: refused: {error}")),
            (Err(error), Some(part)) => self.wrong.push(format!("{what}: not {part:?} but: {error}")),
            (Ok(_), Some(part)) => self.wrong.push(format!("{what}: accepted, should be refused: {part}")),
        }
    }
}

fn object(api: &Api<DynamicObject>, name: &str, spec: &str) -> DynamicObject {
    let kind = match api.resource_url().rsplit('/').next().unwrap() {
        "orchestras" => "Orchestra",
        "orchestraclasses" => "OrchestraClass",
        "orchestradatabases" => "OrchestraDatabase",
        _ => "OrchestraPool",
    };
    let spec: Value = serde_saphyr::from_str(spec).unwrap();
    let manifest =
        json!({"apiVersion": "stagesub.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec});
    serde_json::from_value(manifest).unwrap()
}

async fn create(api: &Api<DynamicObject>, name: &str, spec: &str) {
    api.create(&PostParams::default(), &object(api, name, spec))
        .await
        .unwrap();
}
