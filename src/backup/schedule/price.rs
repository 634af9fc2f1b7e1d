//! Whether the estimated cost of a schedule is known, and fits into the budget of its class.

use kube::ResourceExt as _;
use kube::runtime::reflector::ObjectRef;
use rust_decimal::Decimal;

use super::estimate::{GigabytePrices, Sizes, asks_for_more, estimate};
use super::retention::Rules;
use crate::api::condition::Reason;
use crate::api::{BackupEstimate, Orchestra, OrchestraClass};
use crate::backup::Context;
use crate::class::budget;
use crate::cron::Schedule;
use crate::money;

/// Whether a schedule is accepted.
#[derive(Debug, PartialEq)]
pub enum Acceptance {
    /// It is, with this estimate; none where the sizes are not known, and the class has no limit.
    Accepted(Option<BackupEstimate>),
    /// The budget has room for this amount a month, which must be taken first.
    HasRoom(Decimal),
}

/// Whether a schedule is accepted. `taken`: the room in the budget that this pass has taken for it.
///
/// A schedule is accepted once: as long as it asks for no more, its backups go on, whatever the sizes and the limit become.
///
/// # Errors
/// Why it is not accepted, and what to do.
pub fn look(
    ctx: &Context,
    (object, class): (&Orchestra, &OrchestraClass),
    (schedule, rules): (&Schedule, &Rules),
    (sizes, taken): (Option<Sizes>, Option<Decimal>),
) -> Result<Acceptance, (Reason, String)> {
    let known = object.status.as_ref().and_then(|status| status.backup.as_ref());
    let accepted = known.and_then(|known| known.estimate.as_ref());
    let runs = known.is_some_and(|known| known.next_time.is_some());
    let prices = GigabytePrices::of(class, is_hosted(ctx, object));
    let new = sizes.map(|sizes| estimate(schedule, rules, sizes, prices));
    let is_accepted = match (&new, accepted) {
        (Some(new), Some(accepted)) => runs && !asks_for_more(new, accepted),
        _ => runs,
    };
    let is_limited = budget::limits(class).is_some_and(|limits| limits.monthly.is_some());
    if is_accepted || !is_limited || prices == GigabytePrices::default() {
        return Ok(Acceptance::Accepted(new));
    }
    let Some(new) = new else {
        let message =
            "the schedule is accepted when its cost can be estimated: the size of the database cannot be read yet";
        return Err((Reason::Pending, message.into()));
    };
    let monthly = new.monthly.as_deref().and_then(money::parse).unwrap_or_default();
    if taken.is_some_and(|taken| monthly <= taken) {
        return Ok(Acceptance::Accepted(Some(new)));
    }
    let uid = object.uid().unwrap_or_default();
    budget::has_room_for_backups(&ctx.class, class, &uid, monthly)
        .map_err(|error| (error.reason(), error.to_string()))?;
    Ok(Acceptance::HasRoom(monthly))
}

/// Whether the database is a hosted project.
fn is_hosted(ctx: &Context, object: &Orchestra) -> bool {
    let name = object
        .status
        .as_ref()
        .and_then(|status| status.database_name.as_deref());
    let database = name.and_then(|name| ctx.core.stores.databases.get(&ObjectRef::new(name)));
    database.is_some_and(|database| database.spec.supabase.is_some())
}
