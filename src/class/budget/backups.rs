//! The part of a class's budget that backups by schedule take, as each was estimated when its schedule was accepted.

use jiff::Timestamp;
use kube::ResourceExt as _;
use rust_decimal::Decimal;

use super::{BudgetItem, BudgetUse, Full, NEXT_OF_TENANT, before_the_end, currency, items, limits};
use crate::api::condition::Reason;
use crate::api::{Orchestra, OrchestraClass};
use crate::class::Context;
use crate::controller::error::Error;
use crate::money;

/// The accepted schedules of a class's Orchestras, those that have a price.
pub(super) fn accepted(ctx: &Context, class: &OrchestraClass) -> Vec<BudgetItem> {
    let name = class.name_any();
    let counts = |object: &Orchestra| {
        object.decided_class() == Some(&name)
            && object.metadata.deletion_timestamp.is_none()
            && amount(object).is_some()
    };
    let counted = ctx.core.stores.orchestras.state_filter(counts);
    let item = |object: &Orchestra| BudgetItem {
        created: object.creation_timestamp().map_or(Timestamp::MAX, |at| at.0),
        ..candidate(object.uid().unwrap_or_default(), amount(object))
    };
    counted.iter().map(|object| item(object)).collect()
}

fn amount(object: &Orchestra) -> Option<Decimal> {
    let estimate = object.status.as_ref()?.backup.as_ref()?.estimate.as_ref()?;
    money::parse(estimate.monthly.as_deref()?)
}

/// The backups of a schedule that was not accepted yet: the next database of an Orchestra goes no earlier.
fn candidate(uid: String, monthly: Option<Decimal>) -> BudgetItem {
    BudgetItem {
        of: BudgetUse::Backups,
        name: uid,
        created: before_the_end(NEXT_OF_TENANT),
        issued: true,
        monthly,
    }
}

/// Whether backups at this price a month fit into the budget, beside all projects and all other backups.
///
/// # Errors
/// [`Reason::BudgetExceeded`], with what to do.
pub fn has_room(ctx: &Context, class: &OrchestraClass, uid: &str, monthly: Decimal) -> Result<(), Error> {
    ask(ctx, class, (uid, monthly), false)
}

/// Takes that room, just before the schedule is accepted.
///
/// # Errors
/// As [`has_room`].
pub fn take_room(ctx: &Context, class: &OrchestraClass, uid: &str, monthly: Decimal) -> Result<(), Error> {
    ask(ctx, class, (uid, monthly), true)
}

fn ask(ctx: &Context, class: &OrchestraClass, (uid, monthly): (&str, Decimal), taken: bool) -> Result<(), Error> {
    let Some(limits) = limits(class).filter(|_| !monthly.is_zero()) else {
        return Ok(());
    };
    let candidate = candidate(uid.to_owned(), Some(monthly));
    let of = (&*class.name_any(), &limits);
    let decided = ctx
        .budgets
        .decide(of, || items(ctx, class), Vec::new(), &candidate, taken);
    decided.map_err(|full| refusal(class, full, monthly))
}

fn refusal(class: &OrchestraClass, full: Full, monthly: Decimal) -> Error {
    let (name, currency) = (class.name_any(), currency(class).as_str());
    let limit = limits(class).and_then(|limits| limits.monthly).unwrap_or_default();
    let message = match full {
        Full::Unpriced => format!(
            "class {name} has a monthly limit, and the price of one of its projects is unknown, so that no schedule of backups \
             fits: ask the cluster's admin to add it to spec.budget.prices"
        ),
        Full::Money | Full::Projects => format!(
            "backups by this schedule are estimated at {} {currency} a month, which do not fit into the budget of class {name}, \
             {} {currency} a month: make fewer backups or keep fewer of them, or ask the cluster's admin to raise \
             spec.budget.monthlyLimit",
            money::text(monthly),
            money::text(limit)
        ),
    };
    Error::blocked(Reason::BudgetExceeded, message)
}
