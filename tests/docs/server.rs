//! What a real API server says to the objects and commands of the docs. Nothing is changed there: kubectl runs with
//! `--dry-run=server`, and programs of others are stood in for by ones that do nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams, ValidationDirective};
use kube::core::GroupVersionKind;
use kube::discovery::{Scope, pinned_kind};
use kube::{Client, ResourceExt as _};
use orchestra_sandbox::control_plane::ControlPlane;
use serde_json::{Value, json};

use super::kustomization;
use super::place::Place;
use super::{Block, Page, pages};

/// Our kinds, in the order in which a part of a spec is tried.
const KINDS: [&str; 4] = ["Orchestra", "OrchestraClass", "OrchestraPool", "OrchestraDatabase"];

/// Namespaces that the docs name.
const NAMESPACES: [&str; 7] = [
    "tenants",
    "demos",
    "orchestra-system",
    "tenants-a",
    "tenants-b",
    "people",
    "argocd",
];

/// How many blocks run at once.
const AT_ONCE: usize = 4;

/// Words that stand for a name.
const PLACEHOLDERS: [&str; 8] = ["NAME", "NAMESPACE", "CLASS", "POOL", "KEY", "HOST", "REF", "DIGITS"];

/// Every block of every page.
pub async fn the_api_server_takes_what_the_docs_say(plane: &ControlPlane, client: &Client, dir: &Path) {
    let pages = pages();
    let mut wrong = Vec::new();
    namespaces(plane);
    kinds_of_argo_cd(plane, dir);
    let here = Place::make(plane, dir);
    let mut resources = BTreeMap::new();
    for (page, block) in blocks(&pages, &["yaml"]) {
        if let Err(why) = yaml(client, &mut resources, &here, block).await {
            wrong.push(format!("{}: {why}", page.at(block.line)));
        }
    }
    objects(plane, dir);
    wrong.extend(commands(&here, &pages));
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

fn blocks<'a>(pages: &'a [Page], languages: &'a [&str]) -> impl Iterator<Item = (&'a Page, &'a Block)> {
    let all = pages
        .iter()
        .flat_map(|page| page.blocks.iter().map(move |block| (page, block)));
    all.filter(|(_, block)| languages.contains(&block.language.as_str()))
}

fn namespaces(plane: &ControlPlane) {
    for namespace in NAMESPACES {
        // Another check may have made it.
        plane.kubectl(["create", "namespace", namespace]).output().unwrap();
        // No controller manager makes it, and a Pod needs it.
        let account = ["create", "serviceaccount", "default", "-n", namespace];
        super::super::kubectl(plane, &account);
    }
    // Somebody who signs in to the console.
    super::super::kubectl(plane, &["create", "serviceaccount", "alice", "-n", "people"]);
}

/// The kinds of the example for Argo CD, without their schemas.
fn kinds_of_argo_cd(plane: &ControlPlane, dir: &Path) {
    let kinds = [("Application", "applications"), ("AppProject", "appprojects")].map(|(kind, plural)| {
        let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        let version =
            json!({"name": "v1alpha1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}});
        let names = json!({"kind": kind, "plural": plural, "singular": kind.to_lowercase()});
        json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.argoproj.io")},
            "spec": {"group": "argoproj.io", "scope": "Namespaced", "names": names, "versions": [version]},
        })
    });
    let file = dir.join("kinds.json");
    let list = json!({"apiVersion": "v1", "kind": "List", "items": kinds});
    fs::write(&file, list.to_string()).unwrap();
    super::super::kubectl(plane, &["apply", "--server-side", "-f", file.to_str().unwrap()]);
}

/// Objects that the commands name.
fn objects(plane: &ControlPlane, dir: &Path) {
    let mut all = vec![
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "minimal-connection", "namespace": "tenants"}, "stringData": {"DATABASE_URL": "postgresql://a:b@localhost/c"}}),
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "supabase-token", "namespace": "orchestra-system"}, "stringData": {"token": "t"}}),
    ];
    let ours = |kind: &str, name: &str, spec: Value| json!({"apiVersion": "stagesub.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec});
    for namespace in ["default", "tenants", "demos"] {
        for name in [
            "minimal",
            "test-orchestra-ab",
            "acme",
            "name",
            "nordic-orchestra",
            "one",
        ] {
            let mut object = ours("Orchestra", name, json!({}));
            object["metadata"]["namespace"] = json!(namespace);
            all.push(object);
        }
    }
    for name in ["before-the-move", "one-20261129-0200-1f3a2"] {
        let mut object = ours("OrchestraBackup", name, json!({"orchestraRef": {"name": "one"}}));
        object["metadata"]["namespace"] = json!("tenants");
        all.push(object);
    }
    for name in ["standard", "class"] {
        let provider = json!({"supabase": {"organization": "acme-org"}});
        all.push(ours(
            "OrchestraClass",
            name,
            json!({"provider": provider, "pools": {"names": ["house"]}}),
        ));
    }
    for name in ["house", "environment", "pool"] {
        all.push(ours(
            "OrchestraPool",
            name,
            json!({"static": {"secretRef": {"name": "a"}}}),
        ));
    }
    for name in ["warm-eu", "house-server"] {
        all.push(ours(
            "OrchestraPool",
            name,
            json!({"className": "standard", "replicas": 1}),
        ));
    }
    let claim = json!({"namespace": "tenants", "name": "acme", "uid": "1"});
    let released = json!({"className": "standard", "supabase": {"name": "a", "region": "b"}, "claimRef": claim, "releasedAt": "2026-11-01T00:00:00Z"});
    all.push(ours("OrchestraDatabase", "name", released));
    let file = dir.join("objects.json");
    fs::write(
        &file,
        json!({"apiVersion": "v1", "kind": "List", "items": all}).to_string(),
    )
    .unwrap();
    super::super::kubectl(plane, &["apply", "--server-side", "-f", file.to_str().unwrap()]);
}

/// Whether each document of a block is accepted.
async fn yaml(
    client: &Client,
    resources: &mut BTreeMap<String, (ApiResource, Scope)>,
    place: &Place,
    block: &Block,
) -> Result<(), String> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(&block.text).map_err(|error| error.to_string())?;
    if !block.is_run {
        return Ok(());
    }
    for document in documents {
        if kustomization::is_kustomization(&document) {
            kustomization::build(place, &document)?;
            continue;
        }
        let mut refused = Vec::new();
        for object in candidates(&document) {
            match apply(client, resources, object).await {
                Ok(()) => {
                    refused.clear();
                    break;
                }
                Err(why) => refused.push(why),
            }
        }
        if !refused.is_empty() {
            return Err(refused.join("\n  or "));
        }
    }
    Ok(())
}

/// The objects that a document may stand for: one is, or it is a part of the spec of one of our kinds.
fn candidates(document: &Value) -> Vec<Value> {
    let whole = |kind: &str, mut object: Value| {
        if object["apiVersion"].is_null() {
            object["apiVersion"] = json!("stagesub.io/v1alpha1");
            object["kind"] = json!(kind);
        }
        let metadata = &mut object["metadata"];
        if metadata["name"].is_null() {
            metadata["name"] = json!("docs");
        }
        if let Some(metadata) = metadata.as_object_mut() {
            metadata.remove("generateName");
        }
        let spec = object["spec"].as_object();
        let lacks = |field: &str| spec.is_some_and(|spec| !spec.contains_key(field));
        // A part need not repeat what every class has.
        if kind == "OrchestraClass" && lacks("provider") && lacks("pools") {
            object["spec"]["pools"] = json!({"names": ["house"]});
        }
        object
    };
    match (document["kind"].as_str(), document.get("spec")) {
        (Some(kind), _) => vec![whole(kind, document.clone())],
        (None, Some(_)) => KINDS.map(|kind| whole(kind, document.clone())).into(),
        (None, None) => KINDS.map(|kind| whole(kind, json!({"spec": document}))).into(),
    }
}

async fn apply(
    client: &Client,
    resources: &mut BTreeMap<String, (ApiResource, Scope)>,
    object: Value,
) -> Result<(), String> {
    let (version, kind) = (
        object["apiVersion"].as_str().unwrap_or_default(),
        object["kind"].as_str().unwrap_or_default(),
    );
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let kind = GroupVersionKind::gvk(group, version, kind);
    let key = format!("{group}/{version}/{}", kind.kind);
    if !resources.contains_key(&key) {
        let (resource, capabilities) = pinned_kind(client, &kind)
            .await
            .map_err(|error| format!("{key}: {error}"))?;
        resources.insert(key.clone(), (resource, capabilities.scope));
    }
    let (resource, scope) = &resources[&key];
    let object: DynamicObject = serde_json::from_value(object).map_err(|error| error.to_string())?;
    let api: Api<DynamicObject> = match scope {
        Scope::Cluster => Api::all_with(client.clone(), resource),
        Scope::Namespaced => Api::namespaced_with(
            client.clone(),
            &object.namespace().unwrap_or_else(|| "default".into()),
            resource,
        ),
    };
    let params = PatchParams {
        dry_run: true,
        field_validation: Some(ValidationDirective::Strict),
        ..PatchParams::apply("docs").force()
    };
    let name = object.name_any();
    let answer = api.patch(&name, &params, &Patch::Apply(&object)).await;
    answer
        .map(drop)
        .map_err(|error| format!("{} {name}: {error}", kind.kind))
}

/// Runs the commands of all blocks, each block by itself; what is wrong.
fn commands(place: &Place, pages: &[Page]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut scripts = Vec::new();
    for (page, block) in blocks(pages, &["sh", "console"]) {
        let script = script(block);
        if seen.insert((script.clone(), block.is_run)) {
            scripts.push((page.at(block.line), block.is_run, script));
        }
    }
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some((at, is_run, script)) = scripts.get(number) else {
                        break;
                    };
                    if let Err(why) = place.run(number, script, *is_run) {
                        wrong.lock().unwrap().push(format!("{at}: {why}"));
                    }
                }
            });
        }
    });
    wrong.into_inner().unwrap()
}

/// The commands of a block, with names in place of the words that stand for them.
fn script(block: &Block) -> String {
    let mut script = String::new();
    for line in block.text.lines() {
        let command = match block.language.as_str() {
            "console" => line.trim_start().strip_prefix("$ "),
            _ => Some(line),
        };
        if let Some(command) = command {
            script.push_str(command);
            script.push('\n');
        }
    }
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let mut named = String::new();
    let mut rest = script.as_str();
    while let Some(letter) = rest.chars().next() {
        let word: String = rest.chars().take_while(|letter| is_word(*letter)).collect();
        if PLACEHOLDERS.contains(&word.as_str()) {
            named.push_str(&word.to_lowercase());
        } else if word.is_empty() {
            named.push(letter);
        } else {
            named.push_str(&word);
        }
        rest = &rest[word.len().max(if word.is_empty() { letter.len_utf8() } else { 0 })..];
    }
    named
}
