//! The rollout of a class's migrations, as the class tells it: whoever may begin is woken on the way.

use std::sync::Arc;

use kube::runtime::events::EventType;
use kube::{Resource, ResourceExt};

use crate::api::condition::{ConditionType, Reason};
use crate::api::{OrchestraClass, RolloutPhase, RolloutStatus};
use crate::class::Context;
use crate::controller::conditions::Conditions;
use crate::controller::error::Error;
use crate::controller::write::publish;
use crate::rollout::revisions::Revisions;
use crate::rollout::{drive, status};

/// Where the rollout stands, and the condition that says so. What is wrong with a source or the rules
/// leaves those that it is about as they are.
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

/// Tells people what became of it since the last status.
pub async fn tell(ctx: &Context, class: &OrchestraClass, new: Option<&RolloutStatus>) {
    let old = class.status.as_ref().and_then(|status| status.rollout.as_ref());
    let Some(new) = new.filter(|new| status::news(old, new)) else {
        return;
    };
    let (_, reason, message) = status::words(new);
    let kind = if reason == Reason::RolloutHalted {
        EventType::Warning
    } else {
        EventType::Normal
    };
    tracing::info!(
        class = class.name_any(),
        phase = new.phase.as_str(),
        message,
        "the rollout"
    );
    publish(&ctx.core.recorder, &class.object_ref(&()), kind, reason, &message).await;
}

/// Whether Orchestras are to be begun with.
pub fn goes_on(status: Option<&RolloutStatus>) -> bool {
    status.is_some_and(|status| matches!(status.phase, RolloutPhase::Canary | RolloutPhase::Rolling))
}
