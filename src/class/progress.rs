//! The rollout of a class's migrations in the class's status. On the way, the Orchestras whose turn it is are
//! triggered.

use std::sync::Arc;

use kube::ResourceExt;

use crate::api::condition::{ConditionType, Reason};
use crate::api::{OrchestraClass, RolloutPhase, RolloutStatus};
use crate::class::Context;
use crate::controller::conditions::Conditions;
use crate::controller::error::Error;
use crate::controller::status::News;
use crate::rollout::revisions::Revisions;
use crate::rollout::{drive, status};

/// Where the rollout stands, and the condition `RolledOut`. An error in a source or in the rollout's rules changes
/// nothing for the Orchestras that it is about.
pub async fn look(
    ctx: &Arc<Context>,
    class: &OrchestraClass,
    conditions: &mut Conditions<'_>,
) -> Option<RolloutStatus> {
    let old = class.status.as_ref().and_then(|status| status.rollout.clone());
    match read(ctx, class).await {
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

async fn read(ctx: &Arc<Context>, class: &OrchestraClass) -> Result<(Option<RolloutStatus>, Option<Error>), Error> {
    let revisions = Revisions::of(&ctx.content, class).await?;
    if revisions.digest().is_none() {
        return Ok((None, revisions.wrong));
    }
    let (members, decision) = drive(&ctx.rollout, class, &revisions)?;
    let status = status::render(&members, &decision, &revisions);
    Ok((Some(status), revisions.wrong))
}

/// What people should know of the rollout since the last status.
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
