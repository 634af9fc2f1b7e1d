//! The part of a class's budget that backups by schedule take, as each was estimated when its schedule was accepted.

use kube::ResourceExt as _;
use rust_decimal::Decimal;

use super::{BudgetLimits, currency, limits, projects};
use crate::api::condition::Reason;
use crate::api::{Orchestra, OrchestraClass};
use crate::class::Context;
use crate::controller::error::Error;
use crate::money;

/// What the accepted schedules of a class's Orchestras cost a month; without that of one Orchestra, by its UID.
pub fn cost(ctx: &Context, class: &OrchestraClass, except: Option<&str>) -> Decimal {
    let name = class.name_any();
    let counts = |object: &Orchestra| {
        object.decided_class() == Some(&name)
            && object.metadata.deletion_timestamp.is_none()
            && (except.is_none() || object.metadata.uid.as_deref() != except)
            && amount(object).is_some()
    };
    let counted = ctx.core.stores.orchestras.state_filter(counts);
    let amounts = counted.iter().filter_map(|object| amount(object));
    amounts.fold(Decimal::ZERO, Decimal::saturating_add)
}

fn amount(object: &Orchestra) -> Option<Decimal> {
    let estimate = object.status.as_ref()?.backup.as_ref()?.estimate.as_ref()?;
    money::parse(estimate.monthly.as_deref()?)
}

/// The limits that are left for projects; none where the class has none.
pub(super) fn left(ctx: &Context, class: &OrchestraClass) -> Option<BudgetLimits> {
    let limits = limits(class)?;
    let monthly = limits.monthly.map(|limit| {
        let left = limit.saturating_sub(cost(ctx, class, None));
        left.max(Decimal::ZERO)
    });
    Some(BudgetLimits { monthly, ..limits })
}

/// Whether backups at this price a month fit into the budget, beside all projects and all other backups.
///
/// # Errors
/// [`Reason::BudgetExceeded`], with what to do.
pub fn admit(ctx: &Context, class: &OrchestraClass, uid: &str, monthly: Decimal) -> Result<(), Error> {
    let Some(limit) = limits(class).and_then(|limits| limits.monthly) else {
        return Ok(());
    };
    let of_projects = projects(ctx, class)
        .iter()
        .filter(|project| project.issued)
        .filter_map(|project| project.monthly)
        .fold(Decimal::ZERO, Decimal::saturating_add);
    let taken = of_projects.saturating_add(cost(ctx, class, Some(uid)));
    if monthly.is_zero() || taken.saturating_add(monthly) <= limit {
        return Ok(());
    }
    let (name, currency) = (class.name_any(), currency(class).as_str());
    Err(Error::blocked(
        Reason::BudgetExceeded,
        format!(
            "backups by this schedule are estimated at {} {currency} a month, which do not fit into the budget of class {name}, \
             {} {currency} a month: make fewer backups or keep fewer of them, or ask the cluster's admin to raise \
             spec.budget.monthlyLimit",
            money::text(monthly),
            money::text(limit)
        ),
    ))
}
