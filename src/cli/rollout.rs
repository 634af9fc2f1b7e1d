//! `orchestra-operator rollout`: shows, pauses and resumes the rollout of a class, as `kubectl rollout` does
//! for a Deployment.

use std::time::Duration;

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use kube::api::{Api, Patch};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::changed::ChangedOutput;
use super::output::{self, Cell, TextFormat, say};
use crate::api::names::ROLLOUT_MANAGER;
use crate::api::{OrchestraClass, RETRY_ROLLOUT_ANNOTATION, RevisionSkew, RolloutStatus};
use crate::controller::write::patch_parameters;
use crate::rollout::status::{names, short};
use crate::views::fleet::{self, Stage};

/// How often a watched rollout is read.
const PACE: Duration = Duration::from_millis(500);

/// Subcommands of `orchestra-operator rollout`.
#[derive(clap::Subcommand, Clone, Debug)]
pub enum RolloutCommand {
    /// Print how many Orchestras of a class have its current migrations. Exits with 1 when the rollout
    /// is halted, or ended with failed Orchestras.
    Status(StatusArguments),
    /// Migrate no further Orchestra. Migrations that have started are finished.
    Pause(ClassArguments),
    /// Continue a paused rollout, and retry failed Orchestras at once.
    Resume(ClassArguments),
    /// Print how many Orchestras have which version of the source.
    History(HistoryArguments),
}

/// Arguments of the subcommands that change a class.
#[derive(clap::Args, Clone, Debug)]
pub struct ClassArguments {
    /// Name of the OrchestraClass.
    #[arg(add = clap_complete::engine::ArgValueCandidates::new(super::plugin::complete::classes))]
    pub class: String,
    /// What is printed.
    #[command(flatten)]
    pub output: ChangedOutput,
}

/// Arguments of `orchestra-operator rollout history`.
#[derive(clap::Args, Clone, Debug)]
pub struct HistoryArguments {
    /// Name of the OrchestraClass.
    #[arg(add = clap_complete::engine::ArgValueCandidates::new(super::plugin::complete::classes))]
    pub class: String,
    /// Output format.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: TextFormat,
}

/// Flags of `orchestra-operator rollout status`.
#[derive(clap::Args, Clone, Debug)]
pub struct StatusArguments {
    /// Name of the OrchestraClass.
    #[arg(add = clap_complete::engine::ArgValueCandidates::new(super::plugin::complete::classes))]
    pub class: String,
    /// Wait until the rollout is complete or halted, and print each change. The operator sees a changed
    /// ConfigMap after a second or two; until then the status is that of the previous source.
    #[arg(short, long)]
    pub watch: bool,
    /// How long to wait, such as 90s, 10m or 1h30m. Default: until the rollout ends.
    #[arg(long, value_parser = crate::run::duration)]
    pub timeout: Option<Duration>,
    /// Output format. `json` and `yaml` print `status.rollout` of the class, with each change where it is watched.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: TextFormat,
}

/// Runs the subcommand and prints its lines.
///
/// # Errors
/// When the class cannot be read or changed, the rollout is halted or has failed Orchestras, or the time
/// to wait is over.
pub async fn run(client: &Client, command: &RolloutCommand) -> anyhow::Result<()> {
    let classes: Api<OrchestraClass> = Api::all(client.clone());
    match command {
        RolloutCommand::Status(arguments) => follow(&classes, arguments).await,
        RolloutCommand::History(HistoryArguments { class, output }) => {
            let class = read(&classes, class).await?;
            let rollout = rollout(&class)?;
            say(&match output {
                TextFormat::Text => history(rollout),
                TextFormat::Json => output::json(&rollout.skew)?,
                TextFormat::Yaml => output::yaml(&rollout.skew)?,
            })
        }
        RolloutCommand::Pause(ClassArguments { class, output }) => {
            let found = read(&classes, class).await?;
            if found.spec.rollout.paused {
                bail!("the rollout of class {class} is already paused");
            }
            let paused = set(&classes, class, true, json!({})).await?;
            say(&output.of(&paused, "paused")?)
        }
        RolloutCommand::Resume(ClassArguments { class, output }) => {
            read(&classes, class).await?;
            let now = json!({ RETRY_ROLLOUT_ANNOTATION: Timestamp::now().to_string() });
            let resumed = set(&classes, class, false, now).await?;
            say(&output.of(&resumed, "resumed")?)
        }
    }
}

async fn read(classes: &Api<OrchestraClass>, name: &str) -> anyhow::Result<OrchestraClass> {
    let found = classes.get(name).await;
    let class = found.with_context(|| format!("cannot read OrchestraClass {name}"))?;
    if class.spec.migrations.is_none() && class.spec.templates.is_none() {
        bail!("class {name} has no rollout, because it has neither migrations nor templates");
    }
    Ok(class)
}

async fn set(
    classes: &Api<OrchestraClass>,
    name: &str,
    paused: bool,
    annotations: Value,
) -> anyhow::Result<OrchestraClass> {
    let patch = json!({
        "metadata": {"annotations": annotations},
        "spec": {"rollout": {"paused": paused}},
    });
    let parameters = patch_parameters(ROLLOUT_MANAGER);
    let patched = classes.patch(name, &parameters, &Patch::Merge(patch)).await;
    patched
        .with_context(|| format!("cannot change OrchestraClass {name} (ClusterRole orchestra-class-admin grants it)"))
}

fn rollout(class: &OrchestraClass) -> anyhow::Result<&RolloutStatus> {
    fleet::rollout(class).with_context(|| {
        let name = class.name_any();
        format!("the operator has not reconciled the current spec of class {name} yet")
    })
}

/// Prints each change of the rollout until it ends, or once without `--watch`.
async fn follow(classes: &Api<OrchestraClass>, arguments: &StatusArguments) -> anyhow::Result<()> {
    let (began, mut last) = (Instant::now(), String::new());
    loop {
        let class = read(classes, &arguments.class).await?;
        match rollout(&class) {
            Ok(rollout) => {
                let described = describe(&arguments.class, rollout);
                let line = match arguments.output {
                    TextFormat::Text => described.as_deref().unwrap_or_default().to_owned(),
                    TextFormat::Json => output::json(rollout)?,
                    TextFormat::Yaml => output::yaml(rollout)?,
                };
                if line != last && !line.is_empty() {
                    say(&line)?;
                    last = line;
                }
                described?;
                if fleet::stage(rollout) == Stage::Complete || !arguments.watch {
                    return Ok(());
                }
            }
            Err(error) if !arguments.watch => return Err(error),
            Err(_) => {}
        }
        if arguments.timeout.is_some_and(|limit| began.elapsed() >= limit) {
            bail!(
                "the rollout of class {} did not end within the timeout",
                arguments.class
            );
        }
        tokio::time::sleep(PACE).await;
    }
}

/// The line for a rollout, in the words of `kubectl rollout status`. A rollout that ended without
/// updating every Orchestra is an error.
fn describe(class: &str, rollout: &RolloutStatus) -> anyhow::Result<String> {
    let waiting = match rollout.held {
        0 => String::new(),
        count => format!(", {count} wait for approval"),
    };
    let total = fleet::total(rollout);
    let progress = format!("{} of {total} tenants updated{waiting}", rollout.updated);
    let failed = || format!("{} failed: {}", rollout.failed, names(rollout));
    Ok(match fleet::stage(rollout) {
        Stage::Complete => {
            let revision = short(&rollout.revision);
            format!(
                "rollout of class {class} complete: {} tenants on {revision}",
                rollout.updated
            )
        }
        Stage::Halted => bail!("rollout of class {class} halted: {progress}, {}", failed()),
        Stage::Failed => bail!("rollout of class {class} ended with failures: {progress}, {}", failed()),
        Stage::Paused => format!("rollout of class {class} is paused: {progress}"),
        Stage::Canary => format!("Waiting for canaries of class {class} to be updated: {progress}..."),
        Stage::Rolling => format!("Waiting for rollout of class {class} to finish: {progress}..."),
    })
}

fn history(rollout: &RolloutStatus) -> String {
    let row = |skew: &RevisionSkew| -> Vec<Cell> {
        vec![
            skew.revision.as_deref().map(|revision| short(revision).to_owned()),
            skew.migration.clone(),
            Some(skew.tenants.to_string()),
            skew.current.then(|| "current".to_owned()),
        ]
    };
    output::table(
        &["revision", "migration", "tenants", "is"],
        rollout.skew.iter().map(row),
        &["tenants"],
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::api::RolloutPhase as Phase;

    fn at(phase: Phase, failed: i32) -> RolloutStatus {
        RolloutStatus {
            phase,
            revision: format!("sha256:{}", "a".repeat(64)),
            updated: 12,
            pending: 28 - failed,
            failed,
            failing: (0..failed).map(|number| format!("tenants/t{number}")).collect(),
            ..RolloutStatus::default()
        }
    }

    #[test]
    fn status_lines_read_like_those_of_kubectl() {
        for (phase, line) in [
            (
                Phase::Rolling,
                "Waiting for rollout of class standard to finish: 12 of 40 tenants updated...",
            ),
            (
                Phase::Paused,
                "rollout of class standard is paused: 12 of 40 tenants updated",
            ),
            (
                Phase::Complete,
                "rollout of class standard complete: 12 tenants on sha256:aaaaaaaaaaaa",
            ),
        ] {
            assert_eq!(describe("standard", &at(phase, 0)).unwrap(), line);
        }
        let halted = describe("standard", &at(Phase::Halted, 7)).err().unwrap().to_string();
        assert_eq!(
            halted,
            "rollout of class standard halted: 12 of 40 tenants updated, 7 failed: tenants/t0, tenants/t1, tenants/t2, \
             tenants/t3, tenants/t4 and 2 more"
        );
    }

    #[test]
    fn history_counts_the_tenants_of_each_revision() {
        let mut rollout = at(Phase::Rolling, 0);
        let now = rollout.revision.clone();
        let skew = |revision: &str, tenants| RevisionSkew {
            current: revision == now,
            revision: Some(revision.into()),
            migration: Some("2_more".into()),
            tenants,
        };
        rollout.skew = vec![skew("sha256:old", 28), skew(&now, 12)];
        assert_eq!(
            history(&rollout),
            "REVISION             MIGRATION  TENANTS  IS\nsha256:old           2_more          28  -\n\
             sha256:aaaaaaaaaaaa  2_more          12  current"
        );
    }
}
