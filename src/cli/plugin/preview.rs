//! `kubectl orchestra plan`: what manifests would change, or the plan that waits for approval.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap_complete::engine::ArgValueCandidates;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ListParams};
use kube::{Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::scope::Scope;
use super::{complete, contents};
use crate::api::names::COMMAND_MANAGER;
use crate::api::{Orchestra, OrchestraClass, OrchestraDatabase};
use crate::cli::output::{self, Output};
use crate::cli::{plan, words};
use crate::controller::write::post_parameters;
use crate::money;
use crate::views::preview::{ClusterObjects, PreviewAction, PreviewChange, applied, deleted, totals};

/// The most bytes of manifests that are read.
const MOST: u64 = 64 << 20;

/// Arguments of `plan`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Name of an Orchestra whose migrations wait for approval.
    #[arg(add = ArgValueCandidates::new(complete::orchestras), required_unless_present = "filename", conflicts_with = "filename")]
    pub name: Option<String>,
    /// Manifests, in YAML or JSON. `-`: standard input. Repeatable.
    #[arg(short, long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub filename: Vec<PathBuf>,
    /// Show what the deletion of these objects would destroy.
    #[arg(long, requires = "filename")]
    pub delete: bool,
    /// Namespace of the operator, which holds the ConfigMaps of classes.
    #[arg(long, default_value = "orchestra-system")]
    pub operator_namespace: String,
    /// Output format.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

/// Returns the plan in the wanted format.
///
/// # Errors
/// When a manifest or the cluster cannot be read.
pub async fn run(scope: &Scope, arguments: Arguments) -> anyhow::Result<String> {
    if let Some(name) = arguments.name {
        let arguments = plan::PlanArguments {
            name,
            namespace: Some(scope.namespace.clone()),
            output: arguments.output,
        };
        return plan::run(&scope.client, &arguments).await;
    }
    let documents = documents(&arguments.filename)?;
    let manifests = sorted(documents, &scope.namespace)?;
    let mut cluster = look(&scope.client, &arguments.operator_namespace).await?;
    let maps = manifests.maps.into_iter();
    cluster.config_maps = maps.map(|(at, map)| (at, Ok(map))).collect();
    for class in manifests.classes {
        lay_over(&mut cluster, class);
    }
    let mut changes = Vec::new();
    for object in &manifests.orchestras {
        let change = Box::pin(one(&scope.client, &mut cluster, object, arguments.delete)).await?;
        changes.extend(change);
    }
    render(&changes, arguments.output)
}

/// What happens to one object; none when it is to be deleted and does not exist.
async fn one(
    client: &Client,
    cluster: &mut ClusterObjects,
    object: &Orchestra,
    delete: bool,
) -> anyhow::Result<Option<PreviewChange>> {
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    let api: Api<Orchestra> = Api::namespaced(client.clone(), &namespace);
    let current = if name.is_empty() {
        None
    } else {
        api.get_opt(&name).await?
    };
    if delete {
        return Ok(current.map(|current| deleted(cluster, &current)));
    }
    let mut parameters = post_parameters(COMMAND_MANAGER);
    parameters.dry_run = true;
    let stored = match &current {
        Some(current) => api.replace(&name, &parameters, &over(current, object)).await,
        None => api.create(&parameters, object).await,
    };
    let change = match stored {
        Ok(stored) => {
            contents::read(client, cluster, &stored).await;
            applied(cluster, &stored, current.as_ref())
        }
        Err(kube::Error::Api(status)) if status.code == 403 => {
            let unchecked = current.as_ref().map(|current| over(current, object));
            let unchecked = unchecked.as_ref().unwrap_or(object);
            contents::read(client, cluster, unchecked).await;
            let mut change = applied(cluster, unchecked, current.as_ref());
            let told = "not checked by the API server: you lack the right to change it";
            change.notes.push(told.into());
            change
        }
        Err(kube::Error::Api(status)) if matches!(status.code, 400..=499) => {
            let mut change = PreviewChange::none(object);
            change.action = PreviewAction::Refused;
            change.notes.push(words::of(&kube::Error::Api(status).into()).0);
            change
        }
        Err(error) => return Err(error.into()),
    };
    Ok(Some(change))
}

/// An object as a manifest would make it: with the manifest's spec, and what others have added to its metadata.
fn over(current: &Orchestra, wanted: &Orchestra) -> Orchestra {
    let mut object = current.clone();
    object.spec = wanted.spec.clone();
    let labels = wanted.metadata.labels.clone().unwrap_or_default();
    let annotations = wanted.metadata.annotations.clone().unwrap_or_default();
    object.labels_mut().extend(labels);
    object.annotations_mut().extend(annotations);
    object
}

/// Puts a class of the manifests in the place of the one in the cluster, whose status stays: it says what is known of the
/// account. Nothing is known of a class that a user may not read.
fn lay_over(cluster: &mut ClusterObjects, class: OrchestraClass) {
    let Some(classes) = &mut cluster.classes else { return };
    match classes.iter_mut().find(|known| known.name_any() == class.name_any()) {
        Some(known) => {
            known.spec = class.spec;
            known
                .annotations_mut()
                .extend(class.metadata.annotations.unwrap_or_default());
        }
        None => classes.push(class),
    }
}

/// The objects with which the manifests are compared. Those that the user may not read are left out, and the plan says so.
async fn look(client: &Client, operator: &str) -> anyhow::Result<ClusterObjects> {
    Ok(ClusterObjects {
        classes: allowed::<OrchestraClass>(client).await?,
        databases: allowed::<OrchestraDatabase>(client).await?,
        operator: operator.to_owned(),
        ..ClusterObjects::default()
    })
}

async fn allowed<K>(client: &Client) -> anyhow::Result<Option<Vec<K>>>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    match Api::<K>::all(client.clone()).list(&ListParams::default()).await {
        Ok(list) => Ok(Some(list.items)),
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What of manifests is planned, and what it depends on.
#[derive(Default)]
struct Manifests {
    orchestras: Vec<Orchestra>,
    /// By namespace and name.
    maps: BTreeMap<(String, String), ConfigMap>,
    classes: Vec<OrchestraClass>,
}

/// The documents of manifests, with the items of lists.
fn documents(files: &[PathBuf]) -> anyhow::Result<Vec<Value>> {
    let mut all = Vec::new();
    for file in files {
        let mut text = String::new();
        let shown = file.display();
        let read = if file == Path::new("-") {
            std::io::stdin().take(MOST + 1).read_to_string(&mut text)
        } else {
            std::fs::File::open(file).and_then(|file| file.take(MOST + 1).read_to_string(&mut text))
        };
        let size = read.with_context(|| format!("cannot read {shown}"))?;
        if u64::try_from(size).is_ok_and(|size| size > MOST) {
            bail!("{shown} has more than {} MiB: split it", MOST >> 20);
        }
        let documents: Vec<Value> =
            serde_saphyr::from_multiple(&text).with_context(|| format!("{shown} is no YAML"))?;
        for mut document in documents {
            match document.get_mut("items").map(Value::take) {
                Some(Value::Array(items)) => all.extend(items),
                _ => all.push(document),
            }
        }
    }
    all.retain(|document| !document.is_null());
    Ok(all)
}

/// The Orchestras of manifests.
///
/// # Errors
/// When a file cannot be read.
pub fn orchestras_in(files: &[PathBuf]) -> anyhow::Result<Vec<Orchestra>> {
    Ok(sorted(documents(files)?, "")?.orchestras)
}

/// The Orchestras and the ConfigMaps of documents, in their namespaces, and the classes.
fn sorted(documents: Vec<Value>, namespace: &str) -> anyhow::Result<Manifests> {
    let mut manifests = Manifests::default();
    for document in documents {
        let kind = document["kind"].as_str().unwrap_or_default().to_owned();
        let group = document["apiVersion"].as_str().unwrap_or_default().to_owned();
        if kind == "Orchestra" && group == Orchestra::api_version(&()) {
            let name = document["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            let read = serde_json::from_value::<Orchestra>(document);
            let mut object = read.with_context(|| format!("Orchestra {name} cannot be read"))?;
            object.metadata.namespace.get_or_insert_with(|| namespace.to_owned());
            manifests.orchestras.push(object);
        } else if kind == "OrchestraClass" && group == OrchestraClass::api_version(&()) {
            let class = serde_json::from_value(document).context("an OrchestraClass cannot be read")?;
            manifests.classes.push(class);
        } else if kind == "ConfigMap" && group == "v1" {
            let mut map: ConfigMap = serde_json::from_value(document).context("a ConfigMap cannot be read")?;
            map.metadata.namespace.get_or_insert_with(|| namespace.to_owned());
            let at = (map.namespace().unwrap_or_default(), map.name_any());
            manifests.maps.insert(at, map);
        }
    }
    if manifests.orchestras.is_empty() {
        bail!("the manifests have no Orchestra");
    }
    Ok(manifests)
}

fn render(changes: &[PreviewChange], output: Output) -> anyhow::Result<String> {
    match output {
        Output::Json => output::json(changes),
        Output::Yaml => output::yaml(changes),
        Output::Csv => {
            let header = [
                "object",
                "action",
                "database",
                "migrations",
                "destroys",
                "notes",
                "currency",
                "monthly",
            ];
            output::csv(
                &header,
                changes.iter().map(|change| {
                    vec![
                        Some(change.object.clone()),
                        Some(format!("{:?}", change.action)),
                        change.database.clone(),
                        Some(change.migrations.join(" ")),
                        Some(change.destroys.join("; ")),
                        Some(change.notes.join("; ")),
                        change.currency.clone(),
                        change.monthly.clone(),
                    ]
                }),
            )
        }
        Output::Table => Ok(text(changes)),
    }
}

/// Migrations that are named one by one.
const NAMED: usize = 20;

fn text(changes: &[PreviewChange]) -> String {
    let mut lines = Vec::new();
    for change in changes {
        let does = match change.action {
            PreviewAction::Create => "is created",
            PreviewAction::Change => "is changed",
            PreviewAction::None => "stays as it is",
            PreviewAction::Delete => "is deleted",
            PreviewAction::Refused => "is refused",
        };
        lines.push(format!("{} {does}", change.object));
        if let Some(database) = &change.database {
            let cost = change.monthly.as_ref().zip(change.currency.as_ref());
            let cost = cost.map(|(monthly, currency)| format!(", {monthly} {currency} a month"));
            lines.push(format!("  database:  {database}{}", cost.unwrap_or_default()));
        }
        for migration in change.migrations.iter().take(NAMED) {
            lines.push(format!("  migrates:  {migration}"));
        }
        if let Some(more) = crate::text::more(change.migrations.len(), NAMED) {
            lines.push(format!("  migrates:  {more}"));
        }
        lines.extend(change.destroys.iter().map(|gone| format!("  destroys:  {gone}")));
        lines.extend(change.notes.iter().map(|note| format!("  note:      {note}")));
    }
    let count = |action| changes.iter().filter(|change| change.action == action).count();
    lines.push(format!(
        "\n{} to create, {} to change, {} to delete, {} refused. Nothing was changed.",
        count(PreviewAction::Create),
        count(PreviewAction::Change),
        count(PreviewAction::Delete),
        count(PreviewAction::Refused)
    ));
    lines.extend(
        totals(changes)
            .into_iter()
            .map(|(currency, sum)| format!("{} {currency} a month", money::text(sum))),
    );
    lines.join("\n")
}
