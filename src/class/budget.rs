//! The budget of a class: whether there is room for one more project, or for the backups of one more schedule.
//!
//! Two concurrent creations cannot both take the last dollar, and neither can two schedules: every decision is made under
//! one lock, and a grant counts from that moment, before the watch shows it. For a project the budget is checked twice: before an OrchestraDatabase is
//! created, and before the project is requested from the provider, because the limit may have been lowered in
//! between. The decision itself is [`room`].

use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::ResourceExt;
use rust_decimal::Decimal;

use super::price;
use crate::api::condition::Reason;
use crate::api::{Budget, Currency, OnExceed, Orchestra, OrchestraClass, OrchestraDatabase};
use crate::class::Context;
use crate::controller::error::Error;
use crate::money;

pub use backups::{has_room as has_room_for_backups, take_room as take_room_for_backups};
pub use room::{BudgetItem, BudgetLimits, BudgetUse, Full, Spending, room};

/// In the order of creation, unclaimed databases of pools come after those of Orchestras. Their places are seconds before
/// the latest possible time: first the next database of an Orchestra, then those that a pool has or was granted, and last
/// the next one of a pool.
const NEXT_OF_TENANT: i64 = 2;
const SPARE: i64 = 1;
const NEXT_OF_POOL: i64 = 0;

fn before_the_end(seconds: i64) -> Timestamp {
    Timestamp::from_second(Timestamp::MAX.as_second() - seconds).unwrap_or(Timestamp::MAX)
}

/// How long a grant counts that the watch never shows, because its creation failed or was not tried.
const GRANT: Duration = Duration::from_mins(1);

/// Prices, and recent grants.
#[derive(Default)]
pub struct Budgets {
    pub(super) prices: price::ProviderPrices,
    grants: Mutex<HashMap<String, BudgetGrant>>,
}

/// A project, or the backups of a schedule, that was granted and that the watch may not show yet.
struct BudgetGrant {
    class: String,
    item: BudgetItem,
    at: Instant,
}

impl Budgets {
    /// Decides under the lock, from the items that are `shown`, the grants, and those who wait `ahead`. When the
    /// room is to be `taken`, a granted candidate counts from now on; else nothing changes.
    fn decide(
        &self,
        (class, limits): (&str, &BudgetLimits),
        shown: impl FnOnce() -> Vec<BudgetItem>,
        ahead: Vec<BudgetItem>,
        candidate: &BudgetItem,
        taken: bool,
    ) -> Result<(), Full> {
        let now = Instant::now();
        let mut grants = self.grants.lock();
        // Read under the lock: a grant is dropped only when the items shown here include it.
        let mut items = shown();
        let over = merge(&grants, class, &mut items, now);
        if taken {
            grants.retain(|name, _| !over.contains(name));
        }
        let known: HashSet<String> = items.iter().map(|item| item.name.clone()).collect();
        items.extend(ahead.into_iter().filter(|waiting| !known.contains(&waiting.name)));
        room(&items, candidate, limits)?;
        if taken {
            let mut item = candidate.clone();
            // Every later candidate of its kind ranks after it.
            let spare = before_the_end(SPARE);
            let granted = if item.created < spare { Timestamp::now() } else { spare };
            item.created = item.created.min(granted);
            let grant = BudgetGrant {
                class: class.to_owned(),
                item,
                at: now,
            };
            grants.insert(candidate.name.clone(), grant);
        }
        Ok(())
    }

    /// Drops the grants that are shown by now, so that a project that is deleted later makes room at once.
    fn settle(&self, class: &str, shown: impl FnOnce() -> Vec<BudgetItem>) {
        let mut grants = self.grants.lock();
        if !grants.is_empty() {
            let over = merge(&grants, class, &mut shown(), Instant::now());
            grants.retain(|name, _| !over.contains(name));
        }
    }
}

/// Adds the grants to the items that are shown. Returns the names of the grants that no longer count, because they are shown or
/// have expired.
fn merge(
    grants: &HashMap<String, BudgetGrant>,
    class: &str,
    items: &mut Vec<BudgetItem>,
    now: Instant,
) -> HashSet<String> {
    let is_expired = |grant: &BudgetGrant| now.saturating_duration_since(grant.at) >= GRANT;
    let expired = grants.iter().filter(|(_, grant)| is_expired(grant));
    let mut over: HashSet<String> = expired.map(|(name, _)| name.clone()).collect();
    for shown in items.iter_mut() {
        if let Some(grant) = grants.get(&shown.name).filter(|grant| !is_expired(grant))
            && !counts_more(&grant.item, shown)
        {
            over.insert(shown.name.clone());
        }
    }
    let shown: HashSet<&str> = items.iter().map(|item| item.name.as_str()).collect();
    let unseen: Vec<BudgetItem> = grants
        .values()
        .filter(|grant| grant.class == class && !is_expired(grant) && !shown.contains(grant.item.name.as_str()))
        .map(|grant| grant.item.clone())
        .collect();
    items.extend(unseen);
    over
}

/// Whether a grant counts for more than what is shown, which then counts for as much: a project that is not shown as
/// requested yet, or a schedule that is still shown as it was before it asked for more.
fn counts_more(granted: &BudgetItem, shown: &mut BudgetItem) -> bool {
    let is_more = match granted.of {
        BudgetUse::Project => granted.issued && !shown.issued,
        BudgetUse::Backups => granted.monthly > shown.monthly,
    };
    if is_more {
        match granted.of {
            BudgetUse::Project => shown.issued = true,
            BudgetUse::Backups => shown.monthly = granted.monthly,
        }
    }
    is_more
}

/// Whether there is room for the database of an Orchestra that has none yet. Older Orchestras of the class that
/// wait for room go first.
pub fn has_room(ctx: &Context, class: &OrchestraClass, orchestra: &Orchestra, database: &str) -> Result<(), Error> {
    ask(ctx, class, Some(orchestra), database, false)
}

/// Whether there is room for one more unclaimed database of a pool. Every Orchestra of the class that waits
/// for room goes first.
pub fn has_spare_room(ctx: &Context, class: &OrchestraClass) -> Result<(), Error> {
    ask(ctx, class, None, "", false)
}

/// Takes that room for a pool, just before the OrchestraDatabase is created.
pub fn take_spare_room(ctx: &Context, class: &OrchestraClass, database: &str) -> Result<(), Error> {
    ask(ctx, class, None, database, true)
}

/// Takes the room, just before the OrchestraDatabase is created.
pub fn take_room(ctx: &Context, class: &OrchestraClass, orchestra: &Orchestra, database: &str) -> Result<(), Error> {
    ask(ctx, class, Some(orchestra), database, true)
}

/// `orchestra`: the one that waits for the database; none for a pool's.
fn ask(
    ctx: &Context,
    class: &OrchestraClass,
    orchestra: Option<&Orchestra>,
    database: &str,
    taken: bool,
) -> Result<(), Error> {
    let Some(limits) = limits(class) else {
        return Ok(());
    };
    let price = price::of_class(ctx, class).map(|quote| quote.price.monthly);
    let place = match orchestra {
        Some(_) => NEXT_OF_TENANT,
        None => NEXT_OF_POOL,
    };
    let candidate = BudgetItem {
        of: BudgetUse::Project,
        name: database.to_owned(),
        // It will be younger than every existing project of its kind.
        created: before_the_end(place),
        issued: false,
        monthly: price,
    };
    let ahead = waiting(ctx, class, orchestra, price);
    let of = (&*class.name_any(), &limits);
    let decided = ctx.budgets.decide(of, || items(ctx, class), ahead, &candidate, taken);
    decided.map_err(|full| refusal(class, full, price))
}

/// Whether the project of a database may still be requested from the provider.
pub fn confirm(ctx: &Context, database: &OrchestraDatabase) -> Result<(), Error> {
    let class = super::resolve(ctx, database.spec.class_name.as_deref())?;
    let Some(limits) = limits(&class) else {
        return Ok(());
    };
    let mut candidate = project(ctx, &class, database);
    candidate.issued = true;
    let ahead = if database.is_spare() {
        waiting(ctx, &class, None, candidate.monthly)
    } else {
        Vec::new()
    };
    let of = (&*class.name_any(), &limits);
    let decided = ctx.budgets.decide(of, || items(ctx, &class), ahead, &candidate, true);
    decided.map_err(|full| refusal(&class, full, candidate.monthly))
}

/// The limits of a class, if it has any.
pub fn limits(class: &OrchestraClass) -> Option<BudgetLimits> {
    let budget = class.spec.budget.as_ref()?;
    let limits = BudgetLimits {
        // The API accepts only amounts; if the text is not an amount all the same, nothing is granted.
        monthly: budget
            .monthly_limit
            .as_ref()
            .map(|limit| money::parse(limit).unwrap_or_default()),
        projects: budget
            .max_projects
            .map(|most| usize::try_from(most).unwrap_or_default()),
    };
    (limits != BudgetLimits::default()).then_some(limits)
}

/// Currency of a class's amounts.
pub fn currency(class: &OrchestraClass) -> Currency {
    class
        .spec
        .budget
        .as_ref()
        .map(|budget| budget.currency)
        .unwrap_or_default()
}

/// Whether a pool can meet a claim for which the budget has no room.
pub fn uses_pool(class: &OrchestraClass) -> bool {
    let on_exceed = class.spec.budget.as_ref().map(|budget: &Budget| budget.on_exceed);
    on_exceed == Some(OnExceed::UsePool) && class.spec.pools.is_some()
}

/// Drops the grants that are shown by now: in each pass of the class, which a change of its databases triggers.
pub(super) fn settle(ctx: &Context, class: &OrchestraClass) {
    ctx.budgets.settle(&class.name_any(), || items(ctx, class));
}

/// What a class is billed for: every project that was or is about to be requested, without those that wait for
/// room; and the backups by schedule, as they were estimated.
pub(super) fn sum(ctx: &Context, class: &OrchestraClass) -> Spending {
    let mut sum = Spending::default();
    for database in ctx
        .core
        .stores
        .databases
        .state_filter(|database| is_counted(database, class))
    {
        let project = project(ctx, class, &database);
        if project.issued || !database.waits_for_room() {
            sum.add(&project);
        }
    }
    for item in backups::accepted(ctx, class) {
        sum.add(&item);
    }
    sum
}

/// Whether one more project fits beside those that are billed.
pub(super) fn fits(class: &OrchestraClass, sum: &Spending, price: Option<Decimal>) -> Result<(), Full> {
    limits(class).map_or(Ok(()), |limits| sum.fits(BudgetUse::Project, price, &limits))
}

/// The projects of a class that exist or may be created, and its accepted schedules of backups.
fn items(ctx: &Context, class: &OrchestraClass) -> Vec<BudgetItem> {
    let databases = ctx
        .core
        .stores
        .databases
        .state_filter(|database| is_counted(database, class));
    let projects = databases.iter().map(|database| project(ctx, class, database));
    projects.chain(backups::accepted(ctx, class)).collect()
}

/// Whether a database has, or may get, a project that the class pays for.
fn is_counted(database: &OrchestraDatabase, class: &OrchestraClass) -> bool {
    // A claim that was released before anything was bought takes no room.
    let is_awaited = (database.is_held() || database.is_spare()) && database.metadata.deletion_timestamp.is_none();
    let wanted = database.is_issued() || is_awaited;
    database.spec.supabase.is_some() && database.is_of(class) && wanted && !database.is_lost()
}

fn project(ctx: &Context, class: &OrchestraClass, database: &OrchestraDatabase) -> BudgetItem {
    let created = database.creation_timestamp().map_or(Timestamp::MAX, |at| at.0);
    BudgetItem {
        of: BudgetUse::Project,
        name: database.name_any(),
        created: if database.is_spare() {
            before_the_end(SPARE)
        } else {
            created
        },
        issued: database.is_issued(),
        monthly: price::of_size(ctx, class, database.instance_size()).map(|quote| quote.price.monthly),
    }
}

/// Orchestras of a class that wait for room: those that are older than `own`, or all of them.
fn waiting(ctx: &Context, class: &OrchestraClass, own: Option<&Orchestra>, price: Option<Decimal>) -> Vec<BudgetItem> {
    let age = |orchestra: &Orchestra| {
        let created = orchestra.creation_timestamp().map_or(Timestamp::MAX, |at| at.0);
        (created, orchestra.uid().unwrap_or_default())
    };
    let (class, before) = (class.metadata.name.clone(), own.map(age));
    let waits = |orchestra: &Orchestra| {
        orchestra.metadata.deletion_timestamp.is_none()
            && orchestra
                .status
                .as_ref()
                .is_some_and(|status| status.database_name.is_none() && status.class_name == class)
            && orchestra.waits_for_room()
            && before.as_ref().is_none_or(|before| age(orchestra) < *before)
    };
    let waiting = ctx.core.stores.orchestras.state_filter(waits);
    let item = |(created, uid): (Timestamp, String)| BudgetItem {
        of: BudgetUse::Project,
        name: super::database_name(&uid),
        created,
        issued: false,
        monthly: price,
    };
    waiting.iter().map(|orchestra| item(age(orchestra))).collect()
}

fn refusal(class: &OrchestraClass, full: Full, price: Option<Decimal>) -> Error {
    let (reason, message) = explain(class, full, price);
    Error::blocked(reason, message)
}

/// Why there is no room, and what to do. The sum in use is in the class's status and not in the message, where each change
/// would cause a write for every waiting Orchestra.
pub(super) fn explain(class: &OrchestraClass, full: Full, price: Option<Decimal>) -> (Reason, String) {
    let budget = class.spec.budget.clone().unwrap_or_default();
    let (name, currency) = (class.name_any(), budget.currency.as_str());
    let then =
        "or delete databases that are not needed (Released ones count). The operator continues when there is room";
    match full {
        Full::Projects => (
            Reason::ProjectLimitReached,
            format!(
                "class {name} has reached its limit of {} projects: raise spec.budget.maxProjects, {then}",
                budget.max_projects.unwrap_or_default()
            ),
        ),
        Full::Money => (
            Reason::BudgetExceeded,
            format!(
                "one more project at {} {currency} a month does not fit into the budget of class {name}, {} {currency} \
                 a month: raise spec.budget.monthlyLimit, {then}",
                money::text(price.unwrap_or_default()),
                budget.monthly_limit.unwrap_or_default()
            ),
        ),
        Full::Unpriced => (
            Reason::BudgetExceeded,
            format!(
                "class {name} has a monthly limit, but the price of a project of its size is unknown: add it to \
                 spec.budget.prices"
            ),
        ),
    }
}

mod backups;
mod room;
#[cfg(test)]
mod tests;
