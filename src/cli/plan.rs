//! `orchestra-operator plan` and `approve`: pending migrations that wait for a person.

use anyhow::{Context as _, bail};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use super::output::{self, Cell, Output};
use crate::api::{APPROVE_MIGRATIONS, MigrationPlan, Orchestra, PLAN_DIGEST};
use crate::orchestra::{PLAN_JSON, PLAN_TEXT};

/// Flags of `orchestra-operator plan`.
#[derive(clap::Args, Debug)]
pub struct PlanArguments {
    /// Name of the Orchestra.
    pub name: String,
    /// Its namespace. Default: that of the kubeconfig's context.
    #[arg(short, long)]
    pub namespace: Option<String>,
    /// How it is printed.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

/// Flags of `orchestra-operator approve`.
#[derive(clap::Args, Debug)]
pub struct ApproveArguments {
    /// Name of the Orchestra.
    pub name: String,
    /// Its namespace. Default: that of the kubeconfig's context.
    #[arg(short, long)]
    pub namespace: Option<String>,
    /// Digest of the plan that was read: another one is not approved.
    #[arg(long)]
    pub digest: String,
}

/// The plan that waits.
///
/// # Errors
/// When the cluster cannot be read, or the plan is just being written.
pub async fn run(client: &Client, arguments: &PlanArguments) -> anyhow::Result<String> {
    let orchestra = orchestra(client, arguments.namespace.as_deref(), &arguments.name).await?;
    let Some(plan) = waiting(&orchestra) else {
        return Ok(match arguments.output {
            Output::Table => "none: no migrations wait for approval".into(),
            Output::Json => "null".into(),
            Output::Csv => output::csv(&HEADER, [])?,
        });
    };
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &orchestra.namespace().unwrap_or_default());
    let map = maps.get(&plan.config_map).await;
    let map = map.with_context(|| format!("cannot read ConfigMap {}", plan.config_map))?;
    if map.annotations().get(PLAN_DIGEST) != Some(&plan.digest) {
        bail!("ConfigMap {} holds another plan than waits; try again", plan.config_map);
    }
    let part = |key: &str| {
        let text = map.data.as_ref().and_then(|data| data.get(key));
        text.with_context(|| format!("ConfigMap {} has no key {key}", plan.config_map))
    };
    match arguments.output {
        Output::Table => Ok(part(PLAN_TEXT)?.trim_end().to_owned()),
        Output::Json => Ok(part(PLAN_JSON)?.clone()),
        Output::Csv => rows(part(PLAN_JSON)?),
    }
}

const HEADER: [&str; 6] = ["migration", "line", "kind", "effect", "object", "statement"];

fn rows(json: &str) -> anyhow::Result<String> {
    let plan: Value = serde_json::from_str(json)?;
    let findings = plan["findings"].as_array().cloned().unwrap_or_default();
    let cell = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Null => None,
        other => Some(other.to_string()),
    };
    let cells = findings
        .iter()
        .map(|finding| -> Vec<Cell> { HEADER.map(|key| cell(&finding[key])).into() });
    output::csv(&HEADER, cells)
}

/// Approves the plan of this digest, and says what was done.
///
/// # Errors
/// When no such plan waits, or the Orchestra cannot be patched.
pub async fn approve(client: &Client, arguments: &ApproveArguments) -> anyhow::Result<String> {
    let orchestra = orchestra(client, arguments.namespace.as_deref(), &arguments.name).await?;
    let (namespace, name) = (orchestra.namespace().unwrap_or_default(), orchestra.name_any());
    let Some(plan) = waiting(&orchestra) else {
        bail!("no migrations of {namespace}/{name} wait for approval");
    };
    if plan.digest != arguments.digest {
        bail!(
            "another plan waits now: {}; read it first: orchestra-operator plan -n {namespace} {name}",
            plan.digest
        );
    }
    let api: Api<Orchestra> = Api::namespaced(client.clone(), &namespace);
    let patch = json!({"metadata": {"annotations": {APPROVE_MIGRATIONS: plan.digest}}});
    api.patch(&name, &PatchParams::default(), &Patch::Merge(patch))
        .await
        .with_context(|| format!("cannot annotate {namespace}/{name} (ClusterRole orchestra-editor lets you)"))?;
    Ok(format!(
        "approved: {} pending migrations of {namespace}/{name}",
        plan.pending
    ))
}

async fn orchestra(client: &Client, namespace: Option<&str>, name: &str) -> anyhow::Result<Orchestra> {
    let namespace = namespace.unwrap_or(client.default_namespace());
    let api: Api<Orchestra> = Api::namespaced(client.clone(), namespace);
    api.get(name)
        .await
        .with_context(|| format!("cannot read Orchestra {namespace}/{name}"))
}

fn waiting(orchestra: &Orchestra) -> Option<&MigrationPlan> {
    orchestra.status.as_ref()?.migrations.as_ref()?.plan.as_ref()
}
