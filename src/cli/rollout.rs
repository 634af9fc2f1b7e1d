//! `orchestra-operator rollout`: what `kubectl rollout` is for a Deployment.

use std::time::Duration;

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::output::{self, Cell};
use crate::api::{OrchestraClass, RETRY_ROLLOUT_ANNOTATION, RolloutPhase as Phase, RolloutStatus};
use crate::rollout::status::{names, short};

/// Pace at which a watched rollout is looked at.
const PACE: Duration = Duration::from_millis(500);

/// What `orchestra-operator rollout` does.
#[derive(clap::Subcommand, Clone, Debug)]
pub enum Command {
    /// Print how far a class's migrations have come over its Orchestras. It exits with 1 when the
    /// rollout is halted, or some are left that failed.
    Status(StatusArguments),
    /// Begin with no further Orchestra; those under way are finished.
    Pause(Named),
    /// Go on with a paused rollout, and have what failed tried again at once.
    Resume(Named),
    /// Print how many Orchestras are on which source.
    History(Named),
}

/// A class.
#[derive(clap::Args, Clone, Debug)]
pub struct Named {
    /// Name of the OrchestraClass.
    pub class: String,
}

/// Flags of `orchestra-operator rollout status`.
#[derive(clap::Args, Clone, Debug)]
pub struct StatusArguments {
    /// Name of the OrchestraClass.
    pub class: String,
    /// Wait until it is complete or halted, and print each change. The operator sees a changed
    /// ConfigMap within a second or two; before that the rollout is that of the older source.
    #[arg(short, long)]
    pub watch: bool,
    /// How long to wait: 90s, 10m or 1h30m. Omitted: until the end.
    #[arg(long, value_parser = crate::run::duration)]
    pub timeout: Option<Duration>,
}

/// Runs the command; `say` prints a line.
///
/// # Errors
/// One line: the class cannot be read or changed, the rollout is halted, or the time is over.
pub async fn run(client: &Client, command: &Command, say: impl Fn(&str) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let classes: Api<OrchestraClass> = Api::all(client.clone());
    match command {
        Command::Status(arguments) => follow(&classes, arguments, say).await,
        Command::History(Named { class }) => say(&history(&rollout(&read(&classes, class).await?)?)),
        Command::Pause(Named { class }) => {
            let found = read(&classes, class).await?;
            if found.spec.rollout.paused {
                bail!("the rollout of class {class} is paused already");
            }
            set(&classes, class, true, json!({})).await?;
            say(&format!("orchestraclass.stagesub.io/{class} paused"))
        }
        Command::Resume(Named { class }) => {
            read(&classes, class).await?;
            let now = json!({ RETRY_ROLLOUT_ANNOTATION: Timestamp::now().to_string() });
            set(&classes, class, false, now).await?;
            say(&format!("orchestraclass.stagesub.io/{class} resumed"))
        }
    }
}

async fn read(classes: &Api<OrchestraClass>, name: &str) -> anyhow::Result<OrchestraClass> {
    let found = classes.get(name).await;
    let class = found.with_context(|| format!("cannot read OrchestraClass {name}"))?;
    if class.spec.migrations.is_none() && class.spec.templates.is_none() {
        bail!("class {name} has neither migrations nor templates, and so no rollout");
    }
    Ok(class)
}

async fn set(classes: &Api<OrchestraClass>, name: &str, paused: bool, annotations: Value) -> anyhow::Result<()> {
    let patch = json!({
        "metadata": {"annotations": annotations},
        "spec": {"rollout": {"paused": paused}},
    });
    let parameters = PatchParams {
        field_manager: Some("orchestra-operator-rollout".into()),
        ..PatchParams::default()
    };
    let patched = classes.patch(name, &parameters, &Patch::Merge(patch)).await;
    patched
        .map(drop)
        .with_context(|| format!("cannot change OrchestraClass {name} (ClusterRole orchestra-class-admin lets you)"))
}

/// What the operator has written of the rollout, for the class as it is now.
fn rollout(class: &OrchestraClass) -> anyhow::Result<RolloutStatus> {
    let status = class.status.as_ref();
    let current = status.filter(|status| Some(status.observed_generation) == class.metadata.generation);
    current
        .and_then(|status| status.rollout.clone())
        .with_context(|| format!("the operator has not looked at class {} yet", class.name_any()))
}

async fn follow(
    classes: &Api<OrchestraClass>,
    arguments: &StatusArguments,
    say: impl Fn(&str) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (began, mut last) = (Instant::now(), String::new());
    loop {
        let class = read(classes, &arguments.class).await?;
        let found = rollout(&class);
        if let Ok(rollout) = &found {
            let told = tell(&arguments.class, rollout)?;
            if told.line != last {
                say(&told.line)?;
                last = told.line;
            }
            if told.complete || !arguments.watch {
                return Ok(());
            }
        } else if !arguments.watch {
            return found.map(drop);
        }
        if arguments.timeout.is_some_and(|limit| began.elapsed() >= limit) {
            bail!("the rollout of class {} did not end in time", arguments.class);
        }
        tokio::time::sleep(PACE).await;
    }
}

struct Told {
    line: String,
    complete: bool,
}

/// The line for a rollout, in the words of `kubectl rollout status`.
fn tell(class: &str, rollout: &RolloutStatus) -> anyhow::Result<Told> {
    let total = rollout.updated + rollout.running + rollout.pending + rollout.held + rollout.failed;
    let held = match rollout.held {
        0 => String::new(),
        held => format!(", {held} wait for approval"),
    };
    let far = format!("{} of {total} tenants updated{held}", rollout.updated);
    let going = |line: String| Ok(Told { line, complete: false });
    match rollout.phase {
        Phase::Complete => Ok(Told {
            line: format!(
                "rollout of class {class} complete: {} tenants on {}",
                rollout.updated,
                short(&rollout.revision)
            ),
            complete: true,
        }),
        Phase::Halted => bail!(
            "rollout of class {class} halted: {far}, {} failed: {}",
            rollout.failed,
            names(rollout)
        ),
        Phase::Rolling if rollout.running + rollout.pending + rollout.held == 0 => bail!(
            "rollout of class {class} is over: {far}, {} failed: {}",
            rollout.failed,
            names(rollout)
        ),
        Phase::Paused => going(format!("rollout of class {class} is paused: {far}")),
        Phase::Canary => going(format!("Waiting for canaries of class {class} to be updated: {far}...")),
        Phase::Rolling => going(format!("Waiting for rollout of class {class} to finish: {far}...")),
    }
}

fn history(rollout: &RolloutStatus) -> String {
    let row = |skew: &crate::api::RevisionSkew| -> Vec<Cell> {
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
    use crate::api::RevisionSkew;

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
    fn it_speaks_as_kubectl_does() {
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
            assert_eq!(tell("standard", &at(phase, 0)).unwrap().line, line);
        }
        let halted = tell("standard", &at(Phase::Halted, 7)).err().unwrap().to_string();
        assert_eq!(
            halted,
            "rollout of class standard halted: 12 of 40 tenants updated, 7 failed: tenants/t0, tenants/t1, tenants/t2, \
             tenants/t3, tenants/t4 and 2 more"
        );
    }

    #[test]
    fn history_says_who_is_where() {
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
