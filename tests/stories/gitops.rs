//! Manifests of a repository, as Argo CD, Flux and kubectl apply them with a field manager of their own: what the operator
//! and the API server write is no difference to them, from before a tenant's life to its end.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use orchestra_sandbox::judges;
use orchestra_sandbox::world::{Kind, Operator, SYSTEM, TENANTS, World, condition, is_true};
use serde_json::Value;

use crate::proof::{generous_world, history, soon, tenant};
use crate::stored::database;
use crate::support::{LONG, gone, kill, ready};

/// The field manager of Argo CD.
const MANAGER: &str = "argocd-controller";

/// The objects of the example that the operator works on.
const OBJECTS: [(Kind, &str, &str); 3] = [
    (Kind::Class, "", "standard"),
    (Kind::Pool, "", "house"),
    (Kind::Orchestra, TENANTS, "acme"),
];

/// A copy of `deploy/gitops`, and what kubectl makes of its example.
struct Repository<'a> {
    world: &'a World,
    example: PathBuf,
}

impl<'a> Repository<'a> {
    fn new(world: &'a World) -> Self {
        let root = world.dir().join("gitops");
        copy(&crate::support::project().join("deploy/gitops"), &root);
        let example = root.join("example");
        if world.is_legacy() {
            let class = example.join("class.yaml");
            let text = fs::read_to_string(&class).unwrap();
            let allowed = "  static:\n    allowLegacyServers: true\n";
            fs::write(class, text.replace("  static:\n", allowed)).unwrap();
        }
        Self { world, example }
    }

    /// Runs kubectl on the example; its exit code and what it says.
    fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let mut all = arguments.to_vec();
        all.extend(["-k", self.example.to_str().unwrap()]);
        let output = self.world.plane.kubectl(&all).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    }

    fn must(&self, arguments: &[&str]) -> String {
        let (code, said) = self.run(arguments);
        assert_eq!(code, Some(0), "kubectl {arguments:?}: {said}");
        said
    }

    /// Applies without force: a field that the operator holds with another value would be a conflict.
    fn sync(&self) -> String {
        self.must(&["apply", "--server-side", "--field-manager", MANAGER])
    }

    /// Nothing in the cluster differs from the manifests, applied in either way.
    fn is_in_sync(&self) {
        self.must(&["diff", "--server-side", "--field-manager", MANAGER]);
    }

    /// Another file of migrations, and what follows from it.
    fn add_migration(&self, name: &str, script: &str) {
        fs::write(self.example.join("schema").join(name), script).unwrap();
        let file = self.example.join("kustomization.yaml");
        let text = fs::read_to_string(&file).unwrap();
        let seen = "      - schema/migration_lock.toml\n";
        assert!(text.contains(seen), "{text}");
        fs::write(file, text.replace(seen, &format!("{seen}      - schema/{name}\n"))).unwrap();
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(&path, &to).unwrap();
        }
    }
}

async fn get(world: &World, (kind, namespace, name): (Kind, &str, &str)) -> Value {
    world.get(kind, namespace, name).await.unwrap().unwrap()
}

async fn all(world: &World) -> Vec<Value> {
    let mut all = Vec::new();
    for object in OBJECTS {
        all.push(get(world, object).await);
    }
    all
}

/// The objects without what the API server notes of writes.
async fn contents(world: &World) -> Vec<Value> {
    let mut all = all(world).await;
    for object in &mut all {
        let metadata = object["metadata"].as_object_mut().unwrap();
        metadata.retain(|field, _| field != "managedFields" && field != "resourceVersion");
    }
    all
}

/// The fields that the manager of the repository holds in each object.
async fn held(world: &World) -> Vec<Value> {
    let fields = |object: &Value| {
        let managers = object["metadata"]["managedFields"].as_array().unwrap();
        let ours = managers.iter().find(|entry| entry["manager"] == MANAGER).unwrap();
        assert_eq!(ours["operation"], "Apply");
        ours["fieldsV1"].clone()
    };
    all(world).await.iter().map(fields).collect()
}

/// The versions of everything that the operator may write, once nothing changes any more.
async fn at_rest(world: &World) -> Vec<String> {
    let began = Instant::now();
    let mut before = versions(world).await;
    loop {
        tokio::time::sleep(Duration::from_secs(3)).await;
        let now = versions(world).await;
        if now == before {
            return now;
        }
        assert!(began.elapsed() < LONG, "{before:?} {now:?}");
        before = now;
    }
}

async fn versions(world: &World) -> Vec<String> {
    let mut versions = Vec::new();
    let mut note = |object: &Value| {
        let meta = &object["metadata"];
        versions.push(format!("{} {}", meta["name"], meta["resourceVersion"]));
    };
    all(world).await.iter().for_each(&mut note);
    for kind in [Kind::Database, Kind::Secret] {
        world.list(kind).await.unwrap().iter().for_each(&mut note);
    }
    versions
}

/// The tenant with so many migrations, and everything settled.
async fn settled(world: &World, migrations: u64) -> Value {
    let is = |object: &Value| {
        is_true(object, "Ready")
            && object["status"]["migrations"]["applied"] == migrations
            && object["status"]["observedGeneration"] == object["metadata"]["generation"]
    };
    let tenant = world.until(Kind::Orchestra, (TENANTS, "acme"), LONG, is).await.unwrap();
    for object in OBJECTS {
        soon(object.2, async || {
            let object = get(world, object).await;
            is_true(&object, "Ready") && condition(&object, "Reconciling").0.is_empty()
        })
        .await;
    }
    tenant
}

/// An operator that looks often at what is settled. The program of another version in `ORCHESTRA_PREVIOUS_OPERATOR` takes
/// the place of this one, where `previous` says so.
fn operator(world: &World, name: &str, previous: bool) -> Operator {
    let with = |command: &mut Command| {
        command.env("ORCHESTRA_RESYNC", "2s");
    };
    match std::env::var_os("ORCHESTRA_PREVIOUS_OPERATOR").filter(|_| previous) {
        Some(program) => world.operator_of(Path::new(&program), name, with).unwrap(),
        None => world.operator(name, with).unwrap(),
    }
}

/// What kstatus and Argo CD make of the objects.
async fn are_judged(world: &World, kstatus: &str, argo: &str) {
    let documents: Vec<_> = all(world)
        .await
        .iter()
        .map(|object| format!("---\n{object}\n"))
        .collect();
    let checks = crate::support::project().join("deploy/gitops/argocd/argocd-cm.yaml");
    let verdicts = judges::verdicts(&documents.concat(), Some(&checks)).unwrap();
    for is in verdicts.into_iter().flatten() {
        let found = (is.kstatus.as_str(), is.argo.as_ref().unwrap().status.as_str());
        assert_eq!(found, (kstatus, argo), "{documents:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_operator_writes_is_no_drift() {
    let world = generous_world().await;
    world.store_token().unwrap();
    database(&world).await;
    let repository = Repository::new(&world);

    // Before its life: the API server's defaults alone.
    repository.sync();
    repository.is_in_sync();
    let before = held(&world).await;
    // Nobody has seen them yet.
    are_judged(&world, "InProgress", "Progressing").await;

    let first = operator(&world, "first", true);
    let tenant = settled(&world, 1).await;
    // The provider's backups are read some time later, and told once.
    let is_told = |object: &Value| object["status"]["backup"]["provider"].is_object();
    world
        .until(Kind::Orchestra, (TENANTS, "acme"), LONG, is_told)
        .await
        .unwrap();
    are_judged(&world, "Current", "Healthy").await;
    repository.is_in_sync();
    at_rest(&world).await;
    is_as_stored(&world, &tenant).await;
    let rest = contents(&world).await;
    repository.sync();
    assert_eq!(contents(&world).await, rest, "a sync of what is there changes nothing");
    // The API server sorts the managers of an object by the time of their last apply, which the first sync may change.
    let rest = at_rest(&world).await;
    repository.sync();
    assert_eq!(versions(&world).await, rest, "nor does the next one write anything");
    assert_eq!(held(&world).await, before);

    follows_a_new_name(&repository, &tenant).await;
    assert_eq!(held(&world).await, before);
    rolling_updates_change_nothing(&world, first).await;
    repository.is_in_sync();
}

/// A hosted database at rest, and the owner's Secret, have no field that those of the last captured version have not
/// (`tests/fixtures/stored`): what that one has stored is not written again. A claim is written once.
async fn is_as_stored(world: &World, tenant: &Value) {
    let name = tenant["status"]["databaseName"].as_str().unwrap();
    for (kind, namespace, file) in [(Kind::Database, "", "database"), (Kind::Secret, SYSTEM, "owner-secret")] {
        let path = crate::support::project().join(format!("tests/fixtures/stored/2/hosted/{file}.yaml"));
        let mut stored: Value = serde_saphyr::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        stored["data"] = stored["stringData"].take();
        let object = get(world, (kind, namespace, name)).await;
        let mut fields = Vec::new();
        let labels = &object["metadata"]["labels"];
        for (now, then, at) in [
            (&object["spec"], &stored["spec"], "spec"),
            (&object["status"], &stored["status"], "status"),
            (&object["data"], &stored["data"], "data"),
            (labels, &stored["metadata"]["labels"], "labels"),
        ] {
            new_fields(now, then, at, &mut fields);
        }
        fields.retain(|field| field != "spec.claimRef.namespaceUid");
        assert!(fields.is_empty(), "{fields:?} of {object:#}");
    }
}

/// The fields of an object that another one has not; of lists, those of the first items.
fn new_fields(now: &Value, then: &Value, at: &str, found: &mut Vec<String>) {
    match (now, then) {
        (Value::Object(now), Value::Object(then)) => {
            for (name, value) in now {
                let at = format!("{at}.{name}");
                match then.get(name) {
                    Some(then) => new_fields(value, then, &at, found),
                    None => found.push(at),
                }
            }
        }
        (Value::Array(now), Value::Array(then)) => {
            for (now, then) in now.iter().zip(then) {
                new_fields(now, then, at, found);
            }
        }
        (Value::Object(now), _) if !now.is_empty() => found.push(at.to_owned()),
        _ => {}
    }
}

/// A new file gives the ConfigMap another name, which the Orchestra's manifest follows; the old one is pruned.
async fn follows_a_new_name(repository: &Repository<'_>, before: &Value) {
    let world = repository.world;
    let source = |object: &Value| {
        let reference = &object["spec"]["migrations"]["source"]["configMapRef"];
        reference["name"].as_str().unwrap().to_owned()
    };
    let script = "CREATE TABLE \"Hall\" (\"id\" SERIAL PRIMARY KEY);\n";
    repository.add_migration("20260112090000_halls.sql", script);
    let (code, said) = repository.run(&["diff", "--server-side", "--field-manager", MANAGER]);
    assert_eq!(code, Some(1), "the new migration is a difference: {said}");
    repository.sync();
    let old = source(before);
    world.kubectl(["delete", "configmap", &old, "-n", TENANTS]).unwrap();
    let now = settled(world, 2).await;
    assert_ne!(source(&now), old);
    assert_eq!(now["status"]["databaseName"], before["status"]["databaseName"]);
    let mut session = tenant(world, "acme").await;
    assert_eq!(history(&mut session).await, 2);
    repository.is_in_sync();
}

/// Another process takes over, as in a rolling update, and the first version again, as when it is undone: neither writes
/// anything, and both watch the same objects meanwhile.
async fn rolling_updates_change_nothing(world: &World, mut leader: Operator) {
    let before = at_rest(world).await;
    for (name, previous) in [("second", false), ("third", true)] {
        let next = operator(world, name, previous);
        soon("it stands by", async || next.log().contains("standing by")).await;
        assert!(leader.terminate().unwrap().success());
        soon("it leads", async || next.log().contains("leading")).await;
        // Several passes of each controller.
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(versions(world).await, before, "{name}");
        leader = next;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_and_a_prune_destroy_nothing() {
    let world = generous_world().await;
    world.store_token().unwrap();
    database(&world).await;
    let repository = Repository::new(&world);
    let mut first = operator(&world, "operator", false);
    // As plain kubectl does, which compares with the annotation of its last apply.
    repository.must(&["apply"]);
    orchestra_of_the_class(&world, "other");
    let before = settled(&world, 1).await;
    ready(&world, "other").await;
    repository.must(&["diff"]);

    // Replace=true of Argo CD: the manifest as it is, without finalizers.
    repository.must(&["replace"]);
    let now = settled(&world, 1).await;
    for field in ["uid", "creationTimestamp", "generation"] {
        assert_eq!(now["metadata"][field], before["metadata"][field], "{field}");
    }
    let status = |field: &str| (now["status"][field].clone(), before["status"][field].clone());
    for (now, before) in ["databaseName", "secretRef", "migrations"].map(status) {
        assert_eq!(now, before);
    }
    for object in [OBJECTS[0], OBJECTS[2]] {
        soon("the finalizer is back", async || {
            get(&world, object).await["metadata"]["finalizers"].is_array()
        })
        .await;
    }
    repository.must(&["diff"]);

    // Replaced, and deleted before the operator could put its finalizer back: the claim was not released.
    kill(&world, &mut first);
    repository.must(&["replace"]);
    world.kubectl(["delete", "orch", "acme", "-n", TENANTS]).unwrap();
    gone(&world, Kind::Orchestra, TENANTS, "acme").await;
    let _second = operator(&world, "again", false);
    let orphaned = |database: &Value| condition(database, "Stalled").1 == "Orphaned";
    is_kept(&world, &before, orphaned).await;

    // Everything of an application is pruned at once: its tenant, class and pool.
    let other = get(&world, (Kind::Orchestra, TENANTS, "other")).await;
    let pruned = ["delete", "--wait=false", "orchclass/standard", "orchpool/house"];
    world.kubectl(pruned).unwrap();
    world
        .kubectl(["delete", "--wait=false", "orch/other", "-n", TENANTS])
        .unwrap();
    gone(&world, Kind::Orchestra, TENANTS, "other").await;
    let released = |database: &Value| database["status"]["phase"] == "Released";
    is_kept(&world, &other, released).await;
    let in_use = |class: &Value| condition(class, "Ready").1 == "InUse";
    world.until(Kind::Class, ("", "standard"), LONG, in_use).await.unwrap();
}

fn orchestra_of_the_class(world: &World, name: &str) {
    let manifest = format!(
        "{{apiVersion: stagesub.io/v1alpha1, kind: Orchestra, metadata: {{name: {name}, namespace: {TENANTS}}}, \
         spec: {{className: standard}}}}"
    );
    world.apply(&manifest).unwrap();
}

/// The database of a tenant that is gone is there with its project, its data and the owner's password.
async fn is_kept(world: &World, tenant: &Value, is: impl Fn(&Value) -> bool) {
    let name = tenant["status"]["databaseName"].as_str().unwrap();
    let database = world.until(Kind::Database, ("", name), LONG, is).await.unwrap();
    let project = database["status"]["project"]["ref"].as_str().unwrap();
    assert!(
        world.api.project(project).await.is_ok(),
        "the project {project} is there"
    );
    assert!(world.get(Kind::Secret, SYSTEM, name).await.unwrap().is_some());
}
