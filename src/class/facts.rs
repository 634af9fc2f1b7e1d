//! The metrics of classes, read from their statuses.

use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt;
use rust_decimal::Decimal;

use super::budget;
use crate::api::{Orchestra, OrchestraClass, RolloutStatus};
use crate::money;
use crate::telemetry::classes::ClassFacts;

/// The metrics of a class; `orchestras` are those of all classes.
pub fn facts(class: &OrchestraClass, orchestras: &[Arc<Orchestra>]) -> ClassFacts {
    let name = class.name_any();
    let tenants = orchestras.iter().filter(|it| it.decided_class() == Some(&name));
    let pauses: Vec<_> = tenants.filter_map(|it| it.status.as_ref()?.power.as_ref()).collect();
    let now = Timestamp::now();
    let unused = pauses.iter().filter_map(|power| power.unused_since.as_ref());
    let saved = pauses.iter().filter_map(|power| money::parse(power.saved.as_deref()?));
    let status = class.status.as_ref();
    let cost = status.and_then(|status| status.cost.as_ref());
    let account = status.and_then(|status| status.account.as_ref());
    let projected = cost.and_then(|cost| money::parse(&cost.projected));
    let limit = budget::limits(class).and_then(|limits| limits.monthly);
    let float = |amount: Decimal| amount.to_string().parse().ok();
    ClassFacts {
        class: class.name_any(),
        currency: budget::currency(class).as_str().into(),
        projected: projected.and_then(float),
        limit: limit.and_then(float),
        used_percent: projected
            .zip(limit)
            .map(|(projected, limit)| money::percent(projected, limit)),
        paused: i64::try_from(pauses.iter().filter(|power| power.paused_by.is_some()).count()).unwrap_or(i64::MAX),
        idle_seconds: unused.map(|since| now.duration_since(since.0).as_secs()).max(),
        saved: saved.reduce(Decimal::saturating_add).and_then(float),
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
