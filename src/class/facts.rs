//! The metrics of classes, read from their statuses.

use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt;
use rust_decimal::Decimal;

use super::{Context, budget};
use crate::api::{MigrationStatus, Orchestra, OrchestraClass, RolloutStatus};
use crate::money;
use crate::supabase::RequestsLeft;
use crate::telemetry::classes::{ClassFacts, RequestLimit};

/// The metrics of a class; `orchestras` are those of all classes.
pub fn facts(ctx: &Context, class: &OrchestraClass, orchestras: &[Arc<Orchestra>]) -> ClassFacts {
    let name = class.name_any();
    let tenants = orchestras.iter().filter(|it| it.decided_class() == Some(&name));
    let migrations: Vec<_> = tenants.clone().filter_map(|it| it.migrations()).collect();
    let pauses: Vec<_> = tenants
        .clone()
        .filter_map(|it| it.status.as_ref()?.power.as_ref())
        .collect();
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
        tenants: number(tenants.count()),
        paused: number(pauses.iter().filter(|power| power.paused_by.is_some()).count()),
        idle_seconds: unused.map(|since| now.duration_since(since.0).as_secs()).max(),
        saved: float(saved.fold(Decimal::ZERO, Decimal::saturating_add)),
        schema_odd: status.and_then(|status| Some(status.schema.as_ref()?.odd.into())),
        token_expires: account
            .and_then(|account| account.token_expires_at.as_ref())
            .map(|at| at.0.as_second()),
        token_since: ctx.tokens.changed_at(class).map(Timestamp::as_second),
        requests: ctx.tokens.requests_left(class).into_iter().map(request_limit).collect(),
        migrations: states_of_migrations(&migrations),
        migrations_pending: migrations.iter().map(|of| i64::from(of.pending)).sum(),
        skew: status.and_then(|status| status.rollout.as_ref()).map(skew),
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

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn request_limit(requests: RequestsLeft) -> RequestLimit {
    RequestLimit {
        operation: requests.operation.as_str(),
        limit: requests.limit,
        left: requests.left,
    }
}

/// The tenants by the state of their migrations. Each counts once.
fn states_of_migrations(all: &[&MigrationStatus]) -> Vec<(&'static str, i64)> {
    let states = ["applied", "pending", "waiting", "failed"];
    let count = |state| number(all.iter().filter(|of| state_of_migrations(of) == state).count());
    states.map(|state| (state, count(state))).into()
}

fn state_of_migrations(of: &MigrationStatus) -> &'static str {
    match of {
        _ if of.failed || of.failure.is_some() => "failed",
        _ if of.plan.is_some() || of.available.is_some() => "waiting",
        _ if of.pending > 0 => "pending",
        _ => "applied",
    }
}

/// How many sources the tenants have, and how many tenants do not have a current one.
fn skew(rollout: &RolloutStatus) -> (i64, i64) {
    let outdated = rollout.skew.iter().filter(|of| !of.current);
    (
        number(rollout.skew.len()),
        outdated.map(|of| i64::from(of.tenants)).sum(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{MigrationFailure, MigrationPlan, RevisionSkew};

    #[test]
    fn a_tenant_counts_in_the_state_that_matters_most() {
        let of = MigrationStatus::default;
        let states = [
            of(),
            MigrationStatus { pending: 2, ..of() },
            MigrationStatus {
                pending: 2,
                plan: Some(MigrationPlan::default()),
                ..of()
            },
            MigrationStatus {
                available: Some("sha256:1".into()),
                ..of()
            },
            MigrationStatus {
                available: Some("sha256:1".into()),
                failure: Some(MigrationFailure::default()),
                ..of()
            },
            MigrationStatus { failed: true, ..of() },
        ];
        let counted = states_of_migrations(&states.each_ref());
        assert_eq!(counted, [("applied", 1), ("pending", 1), ("waiting", 2), ("failed", 2)]);
    }

    #[test]
    fn those_behind_the_current_source_are_counted() {
        let of = |tenants, current| RevisionSkew {
            tenants,
            current,
            ..RevisionSkew::default()
        };
        let rollout = RolloutStatus {
            skew: vec![of(7, true), of(2, false), of(1, false)],
            ..RolloutStatus::default()
        };
        assert_eq!(skew(&rollout), (3, 3));
    }
}
