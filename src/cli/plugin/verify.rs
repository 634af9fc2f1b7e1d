//! `kubectl orchestra verify`: asks for a drill of a backup, and waits for it where that is asked for.

use std::time::Duration;

use clap_complete::engine::ArgValueCandidates;
use kube::ResourceExt as _;
use kube::api::Api;

use super::change::annotate;
use super::complete;
use super::follow::{Asked, Course, follow};
use super::scope::Scope;
use crate::api::condition::{ConditionType, find};
use crate::api::names::VERIFY_ANNOTATION;
use crate::api::{BackupDrill, OrchestraBackup};
use crate::cli::changed::{ChangedOutput, named};

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
    /// What is printed.
    #[command(flatten)]
    pub output: ChangedOutput,
}

/// Asks for a drill.
///
/// # Errors
/// When there is no such backup, it cannot be changed or is not verified, or the time is over.
pub async fn run(scope: &Scope, arguments: &Arguments) -> anyhow::Result<()> {
    let api = Api::<OrchestraBackup>::namespaced(scope.client.clone(), &scope.namespace);
    let name = &arguments.name;
    let (backup, value) = annotate(&api, name, VERIFY_ANNOTATION, MAY).await?;
    let asked = Asked {
        done: "drill requested",
        work: "drill",
        wait: arguments.wait,
        timeout: arguments.timeout,
        output: arguments.output,
    };
    follow(&api, &backup, &asked, |object| course(object, &value)).await
}

/// The progress of the drill that was requested with this value.
fn course(object: &OrchestraBackup, value: &str) -> Course {
    let (name, status) = (object.name_any(), object.status.clone().unwrap_or_default());
    if let Some(drill) = status.verification.filter(|drill| has_ended(drill, value)) {
        let verified = find(&status.conditions, ConditionType::Verified);
        let message = verified.map(|verified| verified.message.clone()).unwrap_or_default();
        if verified.is_some_and(|verified| verified.status == "True") {
            return Course::Done(format!("{} verified: {message}", named(object)));
        }
        let result = drill.result.unwrap_or_default();
        return Course::Failed(format!("OrchestraBackup {name} is not verified ({result}): {message}"));
    }
    let condition = [ConditionType::Stalled, ConditionType::Reconciling]
        .into_iter()
        .find_map(|type_| find(&status.conditions, type_));
    Course::UnderWay(
        condition
            .map(|condition| format!("{}: {}", status.phase.unwrap_or_default(), condition.message))
            .unwrap_or_default(),
    )
}

/// Whether the drill that was requested with this value has ended, and the condition shows it.
fn has_ended(drill: &BackupDrill, value: &str) -> bool {
    drill.requested.as_deref() == Some(value) && drill.completion_time.is_some() && drill.scratch.is_none()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

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
