//! The state of the rollout of a class's migrations, and its part of the class's status.

use std::sync::Arc;

use kube::ResourceExt;

use crate::api::condition::{ConditionType, Reason};
use crate::api::{OrchestraClass, RolloutPhase, RolloutStatus};
use crate::class::Context;
use crate::controller::conditions::Conditions;
use crate::controller::error::Error;
use crate::controller::status::News;
use crate::rollout::plan::Decision;
use crate::rollout::revisions::Revisions;
use crate::rollout::{self, Enrolled, status};

/// The state of a rollout, and what is wrong with one of its sources; or why the state is unknown.
pub type RolloutProgress = Result<(Option<RolloutStatus>, Option<Error>), Error>;

/// Fills the condition `RolledOut`, and returns the status of the rollout. An error in a source or in the rollout's rules
/// changes nothing for the Orchestras that it is about.
pub fn render(
    class: &OrchestraClass,
    progress: RolloutProgress,
    conditions: &mut Conditions<'_>,
) -> Option<RolloutStatus> {
    let old = class.status.as_ref().and_then(|status| status.rollout.clone());
    match progress {
        Ok((None, None)) => None,
        Ok((status, wrong)) => {
            let (done, reason, message) = match (&status, &wrong) {
                (_, Some(error)) => (false, error.reason(), error.to_string()),
                (Some(status), None) => status::words(status),
                (None, None) => return None,
            };
            conditions.set(ConditionType::RolledOut, done, reason, &message);
            status.or(old)
        }
        Err(error) if error.is_passing() => {
            conditions.keep(ConditionType::RolledOut, error.reason());
            old
        }
        Err(error) => {
            conditions.set(ConditionType::RolledOut, false, error.reason(), &error.to_string());
            old
        }
    }
}

/// The state of the rollout of a class. It only reads.
pub async fn look(ctx: &Arc<Context>, class: &OrchestraClass) -> RolloutProgress {
    read(ctx, class, |_, _| {}).await
}

/// The state of the rollout; also triggers the Orchestras whose turn has come.
pub async fn drive(ctx: &Arc<Context>, class: &OrchestraClass) -> RolloutProgress {
    let wake = |fleet: &[Enrolled], decision: &Decision| rollout::drive(&ctx.rollout, class, (fleet, decision));
    read(ctx, class, wake).await
}

async fn read(
    ctx: &Arc<Context>,
    class: &OrchestraClass,
    then: impl FnOnce(&[Enrolled], &Decision),
) -> RolloutProgress {
    let revisions = Revisions::of(&ctx.content, class).await?;
    if revisions.digest().is_none() {
        return Ok((None, revisions.wrong));
    }
    let (fleet, decision) = rollout::look(&ctx.rollout, class, &revisions)?;
    then(&fleet, &decision);
    let status = status::render(&fleet, &decision, &revisions);
    Ok((Some(status), revisions.wrong))
}

/// The event about the rollout since the last status.
pub fn news(class: &OrchestraClass, new: Option<&RolloutStatus>) -> Option<News> {
    let old = class.status.as_ref().and_then(|status| status.rollout.as_ref());
    let new = new.filter(|new| status::news(old, new))?;
    let (_, reason, message) = status::words(new);
    tracing::info!(
        class = class.name_any(),
        phase = new.phase.as_str(),
        message,
        "the rollout"
    );
    Some(if reason == Reason::RolloutHalted {
        News::warning(reason, message)
    } else {
        News::normal(reason, message)
    })
}

/// Whether the rollout admits further Orchestras.
pub fn goes_on(status: Option<&RolloutStatus>) -> bool {
    status.is_some_and(|status| matches!(status.phase, RolloutPhase::Canary | RolloutPhase::Rolling))
}
