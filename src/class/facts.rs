//! The metrics of classes, read from their statuses.

use kube::ResourceExt;

use super::budget;
use crate::api::{OrchestraClass, RolloutStatus};
use crate::money;
use crate::telemetry::classes::ClassFacts;

/// The metrics of a class.
pub fn facts(class: &OrchestraClass) -> ClassFacts {
    let status = class.status.as_ref();
    let cost = status.and_then(|status| status.cost.as_ref());
    let account = status.and_then(|status| status.account.as_ref());
    let projected = cost.and_then(|cost| money::parse(&cost.projected));
    let limit = budget::limits(class).and_then(|limits| limits.monthly);
    let float = |amount: rust_decimal::Decimal| amount.to_string().parse().ok();
    ClassFacts {
        class: class.name_any(),
        currency: budget::currency(class).as_str().into(),
        projected: projected.and_then(float),
        limit: limit.and_then(float),
        used_percent: projected
            .zip(limit)
            .map(|(projected, limit)| money::percent(projected, limit)),
        schema_odd: status.and_then(|status| Some(status.schema.as_ref()?.odd.into())),
        token_expires: account
            .and_then(|account| account.token_expires_at.as_ref())
            .map(|at| at.0.as_second()),
        rollout: status
            .and_then(|status| status.rollout.as_ref())
            .map(states)
            .unwrap_or_default(),
    }
}

fn states(rollout: &RolloutStatus) -> Vec<(&'static str, i32)> {
    vec![
        ("updated", rollout.updated),
        ("running", rollout.running),
        ("pending", rollout.pending),
        ("failed", rollout.failed),
        ("pinned", rollout.pinned),
        ("held", rollout.held),
    ]
}
