//! Commands that change an Orchestra, as its user may: an annotation, or a field of the spec by server-side apply.

use std::fmt::Debug;

use anyhow::{Context as _, bail};
use clap_complete::engine::ArgValueCandidates;
use jiff::Timestamp;
use kube::Resource as _;
use kube::api::{Api, Patch};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::OrchestraArguments;
use super::complete;
use super::scope::Scope;
use crate::api::names::COMMAND_MANAGER;
use crate::api::{
    EXTENDED_ANNOTATION, Orchestra, OrchestraClass, PowerState, RETRY_ANNOTATION, ROTATE_ANNOTATION, WAKE_ANNOTATION,
};
use crate::cli::changed::{ChangedOutput, named};
use crate::controller::write::patch_parameters;

/// Arguments of `pause` and `resume`.
#[derive(clap::Args, Debug)]
pub struct PowerArguments {
    /// Name of the Orchestra.
    #[arg(add = ArgValueCandidates::new(complete::orchestras))]
    pub name: String,
    /// Take the field from another manager. A repository that has the field may set it back.
    #[arg(long)]
    pub force_conflicts: bool,
    /// What is printed.
    #[command(flatten)]
    pub output: ChangedOutput,
}

/// Arguments of `extend`.
#[derive(clap::Args, Debug)]
pub struct ExtendArguments {
    /// Name of the Orchestra.
    #[arg(add = ArgValueCandidates::new(complete::orchestras))]
    pub name: String,
    /// The new ttl, such as 72h. Omitted: as it is.
    #[arg(long)]
    pub ttl: Option<String>,
    /// Take the field from another manager. A repository that has the field may set it back.
    #[arg(long)]
    pub force_conflicts: bool,
    /// What is printed.
    #[command(flatten)]
    pub output: ChangedOutput,
}

const MAY: &str = "ClusterRole orchestra-editor grants the right to change Orchestras";
const OWNED: &str = "another manager owns the field: change it at its source, such as a repository, or use \
                     --force-conflicts";

/// Writes the time into an annotation. Returns the object, and what was written. `may`: what grants the right to do so.
///
/// # Errors
/// When the object cannot be changed.
pub async fn annotate<K>(api: &Api<K>, name: &str, annotation: &str, may: &'static str) -> anyhow::Result<(K, String)>
where
    K: Clone + Debug + DeserializeOwned,
{
    let value = Timestamp::now().to_string();
    let patch = json!({"metadata": {"annotations": {annotation: value}}});
    let parameters = patch_parameters(COMMAND_MANAGER);
    let patched = api.patch(name, &parameters, &Patch::Merge(patch)).await;
    Ok((hinted(patched, may)?, value))
}

/// The error, with what a person can do about it. `may`: what grants the right that was refused.
///
/// # Errors
/// That of the outcome.
pub fn hinted<T>(outcome: Result<T, kube::Error>, may: &'static str) -> anyhow::Result<T> {
    let hint = match &outcome {
        Err(kube::Error::Api(status)) if status.code == 403 => may,
        Err(kube::Error::Api(status)) if status.message.contains("conflict with") => OWNED,
        _ => return Ok(outcome?),
    };
    outcome.context(hint)
}

/// Sets a field of the spec by server-side apply. Each field has a manager of its own, since an apply removes the fields
/// that the same manager applied before and leaves out now.
async fn set(
    scope: &Scope,
    orchestra: &Orchestra,
    field: &str,
    value: Value,
    force: bool,
) -> anyhow::Result<Orchestra> {
    let name = orchestra.metadata.name.as_deref().unwrap_or_default();
    // With the UID, an Orchestra that was deleted meanwhile is not created again.
    let body = json!({
        "apiVersion": Orchestra::api_version(&()),
        "kind": Orchestra::kind(&()),
        "metadata": {"name": name, "namespace": scope.namespace, "uid": orchestra.metadata.uid},
        "spec": {field: value},
    });
    let mut parameters = patch_parameters(&format!("{COMMAND_MANAGER}-{field}"));
    parameters.force = force;
    let applied = scope.orchestras().patch(name, &parameters, &Patch::Apply(body)).await;
    hinted(applied, MAY)
}

/// Asks for another attempt at what failed.
///
/// # Errors
/// When the Orchestra cannot be read or changed.
pub async fn retry(scope: &Scope, arguments: &OrchestraArguments) -> anyhow::Result<String> {
    let OrchestraArguments { name, output } = arguments;
    let orchestra = scope.orchestra(name).await?;
    if orchestra.is_quiet() && !orchestra.is_warned() {
        return output.of(&orchestra, "has nothing to retry");
    }
    let pools = if output.is_for_people() {
        pools_waited_for(scope, &orchestra).await
    } else {
        None
    };
    let (asked, _) = annotate(&scope.orchestras(), name, RETRY_ANNOTATION, MAY).await?;
    match pools {
        Some(pools) => output.of(&asked, &format!("retry requested\n{}", of_pools(&pools))),
        None => output.of(&asked, "retry requested"),
    }
}

/// The pools that a tenant without a database may get one of; none where its class has none, or may not be read.
async fn pools_waited_for(scope: &Scope, orchestra: &Orchestra) -> Option<Vec<String>> {
    let status = orchestra.status.as_ref()?;
    if status.database_name.is_some() {
        return None;
    }
    let classes: Api<OrchestraClass> = Api::all(scope.client.clone());
    let class = classes.get_opt(status.class_name.as_deref()?).await.ok()??;
    class.spec.pools.map(|pools| pools.names)
}

/// What asks for another attempt at what these pools have refused, which the request of an Orchestra does not.
fn of_pools(names: &[String]) -> String {
    format!(
        "it has no database yet; where an entry or a member of a pool has failed, an admin asks the pool:\n  \
         kubectl annotate orchpool {} --overwrite {RETRY_ANNOTATION}={}",
        names.join(" "),
        Timestamp::now().strftime("%FT%TZ")
    )
}

/// Asks for a new login.
///
/// # Errors
/// When the Orchestra cannot be changed.
pub async fn rotate(scope: &Scope, arguments: &OrchestraArguments) -> anyhow::Result<String> {
    let OrchestraArguments { name, output } = arguments;
    let (asked, _) = annotate(&scope.orchestras(), name, ROTATE_ANNOTATION, MAY).await?;
    output.of(&asked, "rotation requested")
}

/// Pauses the database.
///
/// # Errors
/// When the Orchestra cannot be read or changed, or another manager owns the field.
pub async fn pause(scope: &Scope, arguments: &PowerArguments) -> anyhow::Result<String> {
    let orchestra = scope.orchestra(&arguments.name).await?;
    if orchestra.spec.power_state == Some(PowerState::Paused) {
        return arguments.output.of(&orchestra, "already has powerState: Paused");
    }
    let paused = json!("Paused");
    let asked = set(scope, &orchestra, "powerState", paused, arguments.force_conflicts).await?;
    arguments.output.of(&asked, "pause requested")
}

/// Makes the database run again, whatever has paused it.
///
/// # Errors
/// When the Orchestra cannot be read or changed, or another manager owns the field.
pub async fn resume(scope: &Scope, arguments: &PowerArguments) -> anyhow::Result<String> {
    let orchestra = scope.orchestra(&arguments.name).await?;
    let asked = if orchestra.spec.power_state == Some(PowerState::Paused) {
        let running = json!("Running");
        set(scope, &orchestra, "powerState", running, arguments.force_conflicts).await?
    } else if orchestra.is_paused() {
        let (asked, _) = annotate(&scope.orchestras(), &arguments.name, WAKE_ANNOTATION, MAY).await?;
        asked
    } else {
        return arguments.output.of(&orchestra, "is not paused");
    };
    arguments.output.of(&asked, "resume requested")
}

/// Restarts the ttl, and changes it where that is asked for.
///
/// # Errors
/// When the Orchestra has no ttl, cannot be read or changed, or another manager owns the field.
pub async fn extend(scope: &Scope, arguments: &ExtendArguments) -> anyhow::Result<String> {
    let orchestra = scope.orchestra(&arguments.name).await?;
    let expires = orchestra.status.as_ref().and_then(|status| status.expires_at.as_ref());
    if let (None, None, None) = (&arguments.ttl, expires, &orchestra.spec.ttl) {
        bail!("{} has no ttl to extend: set one with --ttl", named(&orchestra));
    }
    // The change that may be refused comes first.
    if let Some(ttl) = &arguments.ttl {
        set(scope, &orchestra, "ttl", json!(ttl), arguments.force_conflicts).await?;
    }
    let (extended, _) = annotate(&scope.orchestras(), &arguments.name, EXTENDED_ANNOTATION, MAY).await?;
    arguments.output.of(&extended, "extended: its ttl counts from now")
}

#[cfg(test)]
mod tests {
    use super::of_pools;

    #[test]
    fn the_pools_to_ask_are_named() {
        let told = of_pools(&["house".to_owned(), "garden".to_owned()]);
        let command = "kubectl annotate orchpool house garden --overwrite stagesub.io/retry-requested-at=20";
        assert!(told.contains(command), "{told}");
    }
}
