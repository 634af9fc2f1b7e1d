//! `kubectl orchestra verify`: asks for a drill of a backup, and waits for it where that is asked for.

use std::time::Duration;

use anyhow::{Context as _, bail};
use clap_complete::engine::ArgValueCandidates;
use jiff::Timestamp;
use kube::ResourceExt as _;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use tokio::time::Instant;

use super::complete;
use super::scope::Scope;
use crate::api::condition::{ConditionType, find};
use crate::api::names::{COMMAND_MANAGER, VERIFY_ANNOTATION};
use crate::api::{BackupDrill, OrchestraBackup};
use crate::cli::output::say;

/// How often a backup that is waited for is read.
const PACE: Duration = Duration::from_millis(500);

const MAY: &str = "ClusterRole orchestra-editor grants the right to ask for drills";

/// Arguments of `verify`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Name of the OrchestraBackup.
    #[arg(value_name = "BACKUP", add = ArgValueCandidates::new(complete::backups))]
    pub name: String,
    /// Wait until the drill has ended. Exits with 1 unless it has verified the backup.
    #[arg(long)]
    pub wait: bool,
    /// How long to wait, such as 90s, 10m or 1h30m. Default: until the drill ends.
    #[arg(long, requires = "wait", value_parser = crate::run::duration)]
    pub timeout: Option<Duration>,
}

/// Asks for a drill.
///
/// # Errors
/// When there is no such backup, it cannot be changed or is not verified, or the time is over.
pub async fn run(scope: &Scope, arguments: &Arguments) -> anyhow::Result<()> {
    let (api, name) = (
        Api::<OrchestraBackup>::namespaced(scope.client.clone(), &scope.namespace),
        &arguments.name,
    );
    let value = Timestamp::now().to_string();
    let patch = json!({"metadata": {"annotations": {VERIFY_ANNOTATION: value}}});
    let parameters = PatchParams {
        field_manager: Some(COMMAND_MANAGER.into()),
        ..PatchParams::default()
    };
    let asked = match api.patch(name, &parameters, &Patch::Merge(patch)).await {
        Err(kube::Error::Api(status)) if status.code == 403 => Err(kube::Error::Api(status)).context(MAY)?,
        asked => asked?,
    };
    say(&format!("orchestrabackup.stagesub.io/{name} drill requested"))?;
    if arguments.wait {
        follow(&api, &asked, &value, arguments.timeout).await?;
    }
    Ok(())
}

/// Prints each change until the drill has ended.
async fn follow(
    api: &Api<OrchestraBackup>,
    asked: &OrchestraBackup,
    value: &str,
    limit: Option<Duration>,
) -> anyhow::Result<()> {
    let (began, name, mut last) = (Instant::now(), asked.name_any(), String::new());
    loop {
        let object = api.get(&name).await?;
        if object.uid() != asked.uid() {
            bail!("OrchestraBackup {name} was deleted, and another one has its name");
        }
        let status = object.status.clone().unwrap_or_default();
        if let Some(drill) = status.verification.filter(|drill| has_ended(drill, value)) {
            let verified = find(&status.conditions, ConditionType::Verified);
            let message = verified.map(|verified| verified.message.clone()).unwrap_or_default();
            if verified.is_some_and(|verified| verified.status == "True") {
                return say(&format!("orchestrabackup.stagesub.io/{name} verified: {message}"));
            }
            let result = drill.result.unwrap_or_default();
            bail!("OrchestraBackup {name} is not verified ({result}): {message}");
        }
        let stands = [ConditionType::Stalled, ConditionType::Reconciling]
            .into_iter()
            .find_map(|type_| find(&status.conditions, type_));
        if let Some(stands) = stands.filter(|stands| stands.message != last) {
            say(&format!("{}: {}", status.phase.unwrap_or_default(), stands.message))?;
            last.clone_from(&stands.message);
        }
        if limit.is_some_and(|limit| began.elapsed() >= limit) {
            bail!("the time is over: the drill of OrchestraBackup {name} goes on");
        }
        tokio::time::sleep(PACE).await;
    }
}

/// Whether the drill that was asked for with this value has ended, and the condition tells it.
fn has_ended(drill: &BackupDrill, value: &str) -> bool {
    drill.requested.as_deref() == Some(value) && drill.completion_time.is_some() && drill.scratch.is_none()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_end_of_another_drill_is_not_that_of_this_one() {
        let of = |drill: serde_json::Value| has_ended(&serde_json::from_value(drill).unwrap(), "one");
        let scratch = json!({"name": "d", "pool": "p"});
        assert!(of(
            json!({"requested": "one", "completionTime": "2026-11-29T02:00:00Z"})
        ));
        for other in [
            json!({}),
            json!({"requested": "two", "completionTime": "2026-11-29T02:00:00Z"}),
            json!({"requested": "one"}),
            json!({"requested": "one", "completionTime": "2026-11-29T02:00:00Z", "scratch": scratch}),
        ] {
            assert!(!of(other.clone()), "{other}");
        }
    }
}
