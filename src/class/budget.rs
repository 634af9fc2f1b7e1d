//! The budget of a class: whether there is room for one more project, asked before it is created.
//!
//! Two creations at once cannot both take the last dollar: what is let through counts at once, before
//! the watch tells of it, and everybody asks under one lock. It is asked twice: before an
//! OrchestraDatabase is made, and before the provider is asked for the project, because a limit may
//! have been lowered between the two. The decision itself is [`room`].

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

pub use room::{Full, Limits, Project, Sum, room};

/// How long a grant counts that the watch never shows: its creation failed, or was not tried.
const GRANT: Duration = Duration::from_mins(1);

/// What the operator knows of money: prices, and what was let through a moment ago.
#[derive(Default)]
pub struct Budgets {
    pub(super) prices: price::Prices,
    grants: Mutex<HashMap<String, Grant>>,
}

/// What was let through and the watch may not show yet.
struct Grant {
    class: String,
    project: Project,
    at: Instant,
}

impl Budgets {
    /// Decides under the lock: with what is `shown`, what was granted, and who is `ahead`. A candidate
    /// that is let through counts from now on, when it is to be `taken`.
    fn decide(
        &self,
        (class, limits): (&str, &Limits),
        shown: impl FnOnce() -> Vec<Project>,
        ahead: Vec<Project>,
        candidate: &Project,
        taken: bool,
    ) -> Result<(), Full> {
        let now = Instant::now();
        let mut grants = self.grants.lock();
        // Looked up under the lock: a grant is dropped only when what is shown here holds it.
        let mut projects = shown();
        merge(&mut grants, class, &mut projects, now);
        let known: HashSet<String> = projects.iter().map(|project| project.name.clone()).collect();
        projects.extend(ahead.into_iter().filter(|waiting| !known.contains(&waiting.name)));
        room(&projects, candidate, limits)?;
        if taken {
            let mut project = candidate.clone();
            // Whoever asks from now on comes after it.
            project.created = project.created.min(Timestamp::now());
            let grant = Grant {
                class: class.to_owned(),
                project,
                at: now,
            };
            grants.insert(candidate.name.clone(), grant);
        }
        Ok(())
    }

    /// Drops the grants that are shown by now: what goes afterwards makes room at once.
    fn settle(&self, class: &str, shown: impl FnOnce() -> Vec<Project>) {
        let mut grants = self.grants.lock();
        merge(&mut grants, class, &mut shown(), Instant::now());
    }
}

/// Adds what was granted to what is shown, and drops the grants that are shown or have run out.
fn merge(grants: &mut HashMap<String, Grant>, class: &str, projects: &mut Vec<Project>, now: Instant) {
    grants.retain(|_, grant| now.saturating_duration_since(grant.at) < GRANT);
    let mut seen = HashSet::new();
    for project in projects.iter_mut() {
        if let Some(grant) = grants.get(&project.name) {
            if grant.project.issued && !project.issued {
                project.issued = true;
            } else {
                seen.insert(project.name.clone());
            }
        }
    }
    grants.retain(|name, _| !seen.contains(name));
    let shown: HashSet<&str> = projects.iter().map(|project| project.name.as_str()).collect();
    let unseen: Vec<Project> = grants
        .values()
        .filter(|grant| grant.class == class && !shown.contains(grant.project.name.as_str()))
        .map(|grant| grant.project.clone())
        .collect();
    projects.extend(unseen);
}

/// Whether there is room for the database of an Orchestra that has none yet. Others of its class that
/// were told to wait for room, and are older, go first.
pub fn has_room(ctx: &Context, class: &OrchestraClass, orchestra: &Orchestra, database: &str) -> Result<(), Error> {
    ask(ctx, class, orchestra, database, false)
}

/// Takes the room, just before the OrchestraDatabase is made.
pub fn take_room(ctx: &Context, class: &OrchestraClass, orchestra: &Orchestra, database: &str) -> Result<(), Error> {
    ask(ctx, class, orchestra, database, true)
}

fn ask(ctx: &Context, class: &OrchestraClass, orchestra: &Orchestra, database: &str, taken: bool) -> Result<(), Error> {
    let Some(limits) = limits(class) else { return Ok(()) };
    let price = price::of_class(ctx, class).map(|quote| quote.price.monthly);
    let candidate = Project {
        name: database.to_owned(),
        // It will be younger than everything that there is.
        created: Timestamp::MAX,
        issued: false,
        monthly: price,
    };
    let ahead = waiting(ctx, class, orchestra).map(|(created, uid)| Project {
        name: super::database_name(&uid),
        created,
        issued: false,
        monthly: price,
    });
    let of = (&*class.name_any(), &limits);
    let decided = ctx
        .budgets
        .decide(of, || projects(ctx, class), ahead.collect(), &candidate, taken);
    decided.map_err(|full| refusal(class, full, price))
}

/// Whether the provider may still be asked for the project of a database.
pub fn confirm(ctx: &Context, database: &OrchestraDatabase) -> Result<(), Error> {
    let class = super::resolve(ctx, database.spec.class_name.as_deref())?;
    let Some(limits) = limits(&class) else { return Ok(()) };
    let mut candidate = project(ctx, &class, database);
    candidate.issued = true;
    let of = (&*class.name_any(), &limits);
    let decided = ctx
        .budgets
        .decide(of, || projects(ctx, &class), Vec::new(), &candidate, true);
    decided.map_err(|full| refusal(&class, full, candidate.monthly))
}

/// The limits of a class, if it has any.
pub fn limits(class: &OrchestraClass) -> Option<Limits> {
    let budget = class.spec.budget.as_ref()?;
    let limits = Limits {
        // The API accepts amounts only; one that is none after all lets nothing through.
        monthly: budget
            .monthly_limit
            .as_ref()
            .map(|limit| money::parse(limit).unwrap_or_default()),
        projects: budget
            .max_projects
            .map(|most| usize::try_from(most).unwrap_or_default()),
    };
    (limits != Limits::default()).then_some(limits)
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

/// Whether the pools meet what the budget has no room for.
pub fn uses_pool(class: &OrchestraClass) -> bool {
    let on_exceed = class.spec.budget.as_ref().map(|budget: &Budget| budget.on_exceed);
    on_exceed == Some(OnExceed::UsePool) && class.spec.pools.is_some()
}

/// Forgets what was let through and is shown by now; called when databases of the class have changed.
pub(super) fn settle(ctx: &Context, class: &OrchestraClass) {
    ctx.budgets.settle(&class.name_any(), || projects(ctx, class));
}

/// What is billed of a class: everything that the provider was asked for, and what is about to be,
/// but not what waits for room.
pub(super) fn sum(ctx: &Context, class: &OrchestraClass) -> Sum {
    let mut sum = Sum::default();
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
    sum
}

/// Whether one more project fits beside what is billed.
pub(super) fn fits(class: &OrchestraClass, sum: &Sum, price: Option<Decimal>) -> Result<(), Full> {
    limits(class).map_or(Ok(()), |limits| sum.fits(price, &limits))
}

/// The hosted databases of a class that have or may get a project.
fn projects(ctx: &Context, class: &OrchestraClass) -> Vec<Project> {
    let databases = ctx
        .core
        .stores
        .databases
        .state_filter(|database| is_counted(database, class));
    databases.iter().map(|database| project(ctx, class, database)).collect()
}

/// Whether a database has, or may get, a project that the class pays for.
fn is_counted(database: &OrchestraDatabase, class: &OrchestraClass) -> bool {
    // A claim that was released before anything was bought takes no room.
    let wanted = database.is_issued() || (database.is_held() && database.metadata.deletion_timestamp.is_none());
    database.spec.supabase.is_some() && database.is_of(class) && wanted && !database.is_lost()
}

fn project(ctx: &Context, class: &OrchestraClass, database: &OrchestraDatabase) -> Project {
    let size = database
        .spec
        .supabase
        .as_ref()
        .and_then(|wanted| wanted.instance_size.as_deref());
    Project {
        name: database.name_any(),
        created: database.creation_timestamp().map_or(Timestamp::MAX, |at| at.0),
        issued: database.is_issued(),
        monthly: price::of_size(ctx, class, size).map(|quote| quote.price.monthly),
    }
}

/// Older Orchestras of a class that were told to wait for room.
fn waiting(ctx: &Context, class: &OrchestraClass, own: &Orchestra) -> impl Iterator<Item = (Timestamp, String)> {
    let age = |orchestra: &Orchestra| {
        let created = orchestra.creation_timestamp().map_or(Timestamp::MAX, |at| at.0);
        (created, orchestra.uid().unwrap_or_default())
    };
    let (class, before) = (class.metadata.name.clone(), age(own));
    let waits = |orchestra: &Orchestra| {
        orchestra.metadata.deletion_timestamp.is_none()
            && orchestra
                .status
                .as_ref()
                .is_some_and(|status| status.database_name.is_none() && status.class_name == class)
            && orchestra.waits_for_room()
            && age(orchestra) < before
    };
    let waiting = ctx.core.stores.orchestras.state_filter(waits);
    waiting.into_iter().map(move |orchestra| age(&orchestra))
}

fn refusal(class: &OrchestraClass, full: Full, price: Option<Decimal>) -> Error {
    let (reason, message) = explain(class, full, price);
    Error::blocked(reason, message)
}

/// Why there is no room, and what to do. What is in use is the class's to tell: here it would change
/// the status of everybody who waits whenever anybody leaves.
pub(super) fn explain(class: &OrchestraClass, full: Full, price: Option<Decimal>) -> (Reason, String) {
    let budget = class.spec.budget.clone().unwrap_or_default();
    let (name, currency) = (class.name_any(), budget.currency.as_str());
    let then = "or delete databases that are not needed (Released ones count). It goes on by itself when there is room";
    match full {
        Full::Projects => (
            Reason::ProjectLimitReached,
            format!(
                "class {name} may have {} projects, and has them: raise spec.budget.maxProjects, {then}",
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
                "class {name} has a monthly limit, and the price of a project of its size is not known: write it into \
                 spec.budget.prices"
            ),
        ),
    }
}

mod room;
#[cfg(test)]
mod tests;
