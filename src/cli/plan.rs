//! `orchestra-operator plan` and `approve`: prints the plan of pending migrations, and approves it.

use anyhow::{Context as _, bail};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, Patch};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use super::changed::ChangedOutput;
use super::output::{self, Cell, Output};
use crate::api::names::COMMAND_MANAGER;
use crate::api::{APPROVE_MIGRATIONS, MigrationPlan, Orchestra};
use crate::controller::write::patch_parameters;
use crate::views::plans::{PlanFinding, PlanView, waiting};

/// Flags of `orchestra-operator plan`.
#[derive(clap::Args, Debug)]
pub struct PlanArguments {
    /// Name of the Orchestra.
    pub name: String,
    /// Namespace of the Orchestra. Default: the namespace of the kubeconfig's context.
    #[arg(short, long)]
    pub namespace: Option<String>,
    /// Output format.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

/// Flags of `orchestra-operator approve`.
#[derive(clap::Args, Debug)]
pub struct ApproveArguments {
    /// Name of the Orchestra.
    pub name: String,
    /// Namespace of the Orchestra. Default: the namespace of the kubeconfig's context.
    #[arg(short, long)]
    pub namespace: Option<String>,
    /// Digest of the plan that you have read. No other plan is approved.
    #[arg(long)]
    pub digest: String,
    /// What is printed.
    #[command(flatten)]
    pub output: ChangedOutput,
}

/// Returns the plan that waits for approval in the wanted format.
///
/// # Errors
/// When the cluster cannot be read, the operator is just writing the plan, or somebody changed it.
pub async fn run(client: &Client, arguments: &PlanArguments) -> anyhow::Result<String> {
    let orchestra = orchestra(client, arguments.namespace.as_deref(), &arguments.name).await?;
    let Some(summary) = waiting(&orchestra) else {
        return Ok(match arguments.output {
            Output::Table => "none: no migrations wait for approval".into(),
            Output::Json | Output::Yaml => "null".into(),
            Output::Csv => output::csv(&HEADER, [])?,
        });
    };
    let plan = written(client, &orchestra, summary).await?;
    match arguments.output {
        Output::Table => Ok(plan.text.trim_end().to_owned()),
        Output::Csv => output::csv(&HEADER, plan.findings()?.into_iter().map(cells)),
        Output::Json => Ok(plan.json),
        Output::Yaml => output::yaml(&serde_json::from_str::<Value>(&plan.json)?),
    }
}

const HEADER: [&str; 6] = ["migration", "line", "kind", "effect", "object", "statement"];

fn cells(finding: PlanFinding) -> Vec<Cell> {
    let line = finding.line.to_string();
    [
        finding.migration,
        line,
        finding.kind,
        finding.effect,
        finding.object,
        finding.statement,
    ]
    .map(Some)
    .into()
}

/// Approves the plan with the given digest, and returns what is printed of it.
///
/// # Errors
/// When no plan with this digest waits, its ConfigMap is not as the operator wrote it, or the Orchestra cannot be
/// patched.
pub async fn approve(client: &Client, arguments: &ApproveArguments) -> anyhow::Result<String> {
    let orchestra = orchestra(client, arguments.namespace.as_deref(), &arguments.name).await?;
    let (namespace, name) = (orchestra.namespace().unwrap_or_default(), orchestra.name_any());
    let Some(plan) = waiting(&orchestra) else {
        bail!("no migrations of {namespace}/{name} wait for approval");
    };
    if plan.digest != arguments.digest {
        bail!(
            "the plan that waits now has another digest, {}: read it first: orchestra-operator plan -n {namespace} \
             {name}",
            plan.digest
        );
    }
    // The ConfigMap must hold the text that the operator wrote, because a person has read it there.
    written(client, &orchestra, plan).await?;
    let api: Api<Orchestra> = Api::namespaced(client.clone(), &namespace);
    let patch = json!({"metadata": {"annotations": {APPROVE_MIGRATIONS: plan.digest}}});
    let patched = api
        .patch(&name, &patch_parameters(COMMAND_MANAGER), &Patch::Merge(patch))
        .await
        .with_context(|| format!("cannot annotate {namespace}/{name} (ClusterRole orchestra-editor grants it)"))?;
    let done = format!("approved: {} pending migrations", plan.pending);
    arguments.output.of(&patched, &done)
}

/// The plan in its ConfigMap, as the operator wrote it.
async fn written(client: &Client, orchestra: &Orchestra, summary: &MigrationPlan) -> anyhow::Result<PlanView> {
    let namespace = orchestra.namespace().unwrap_or_default();
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &namespace);
    let map = maps.get_opt(&summary.config_map).await;
    let map = map.with_context(|| format!("cannot read ConfigMap {}", summary.config_map))?;
    let map = map.with_context(|| {
        format!(
            "ConfigMap {} is missing: the operator writes it, so try again",
            summary.config_map
        )
    })?;
    PlanView::of(summary, &map)
}

async fn orchestra(client: &Client, namespace: Option<&str>, name: &str) -> anyhow::Result<Orchestra> {
    let namespace = namespace.unwrap_or(client.default_namespace());
    let api: Api<Orchestra> = Api::namespaced(client.clone(), namespace);
    let found = api.get_opt(name).await;
    let found = found.with_context(|| format!("cannot read Orchestra {namespace}/{name}"))?;
    found.with_context(|| {
        format!(
            "there is no Orchestra {name} in namespace {namespace}: -n names another namespace, and kubectl get orch -A \
             lists all"
        )
    })
}
