//! The status of a class: whether claims can be met, whose token it has, what its projects cost.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::progress::{self, RolloutProgress};
use super::token::{self, Expiry};
use super::{Way, budget, defaults, drift, orphans, price, ways};
use crate::api::condition::{ConditionType as Is, Reason};
use crate::api::{ClassCost, OrchestraClass, OrchestraClassStatus, ProviderAccount};
use crate::class::Context;
use crate::controller::conditions::{Conditions, Standing};
use crate::controller::error::Error;
use crate::controller::status::{self, current};
use crate::money;

/// What a person should know of when a condition comes to it.
const WARNED: [(Is, Reason); 6] = [
    (Is::TokenAccepted, Reason::TokenMissing),
    (Is::TokenAccepted, Reason::TokenRejected),
    (Is::TokenAccepted, Reason::TokenExpiring),
    (Is::WithinBudget, Reason::BudgetNearLimit),
    (Is::WithinBudget, Reason::BudgetExceeded),
    (Is::WithinBudget, Reason::ProjectLimitReached),
];

/// The message of a class that creates no database.
const POOLS_ONLY: &str = "the class has no provider: pools meet its claims";

/// Writes the error that ended a pass. A class whose pools can still meet claims stays Ready.
pub async fn report(class: Arc<OrchestraClass>, ctx: Arc<Context>, error: Arc<Error>) -> Result<(), Error> {
    let Some(class) = current(&ctx.core, &*class).await? else {
        return Ok(());
    };
    let progress = progress::look(&ctx, &class).await;
    write(&class, &ctx, Err(&error), progress).await.map(drop)
}

/// Writes the status for how a pass ended: with what is known of the account, or an error. Returns
/// whether a rollout is under way.
pub async fn write(
    class: &OrchestraClass,
    ctx: &Arc<Context>,
    outcome: Result<Option<ProviderAccount>, &Error>,
    progress: RolloutProgress,
) -> Result<bool, Error> {
    let new = render(class, ctx, outcome, progress);
    let rollout = progress::news(class, new.rollout.as_ref());
    let goes_on = progress::goes_on(new.rollout.as_ref());
    let mut news = status::warnings(class.conditions(), &new.conditions, &WARNED);
    news.extend(rollout);
    let class = status::write(&ctx.core, class, new, None).await?;
    for one in &news {
        status::tell(&ctx.core, &class, one).await;
    }
    Ok(goes_on)
}

/// The status after a pass that ended so.
fn render(
    class: &OrchestraClass,
    ctx: &Arc<Context>,
    outcome: Result<Option<ProviderAccount>, &Error>,
    progress: RolloutProgress,
) -> OrchestraClassStatus {
    let error = outcome.as_ref().err().copied();
    let expiry = token::expiry(ctx, class);
    let mut account = match outcome {
        Ok(account) => account,
        Err(_) => class.status.as_ref().and_then(|status| status.account.clone()),
    };
    if let Some(account) = &mut account {
        account.token_expires_at = match expiry {
            Expiry::At(at) => Some(Time(at)),
            Expiry::Unknown | Expiry::Unreadable(_) => None,
        };
    }
    // Prices depend on the plan, which this pass may have read for the first time.
    let mut priced = class.clone();
    priced.status.get_or_insert_default().account.clone_from(&account);
    let mut conditions = Conditions::new(class.conditions(), class.metadata.generation);
    let ways = ways(class);
    let notes = [defaults::describe(ctx, class), orphans::odd_projects(ctx, class)];
    usability(&mut conditions, &ways, error, notes.into_iter().flatten());
    let mut cost = None;
    if ways.contains(&Way::Provider) {
        let user = account.as_ref().and_then(|account| account.user.as_deref());
        token_condition(&mut conditions, error, user, &expiry);
        cost = cost_of(ctx, &priced, &mut conditions);
    }
    let rollout = progress::render(class, progress, &mut conditions);
    let databases = &ctx.core.stores.databases;
    let tenants = databases.state_filter(|database| database.is_held() && database.is_of(class));
    OrchestraClassStatus {
        observed_generation: class.metadata.generation.unwrap_or_default(),
        conditions: conditions.finish(),
        provider: Some(provider(&ways).into()),
        tenants: i32::try_from(tenants.len()).unwrap_or(i32::MAX),
        account,
        cost,
        rollout,
        schema: drift::compare(ctx, class),
    }
}

fn provider(ways: &[Way]) -> &'static str {
    match (ways.contains(&Way::Provider), ways.contains(&Way::Pools)) {
        (true, true) => "Supabase,Pool",
        (true, false) => "Supabase",
        (false, _) => "Pool",
    }
}

/// Available, Ready, and Reconciling or Stalled. Available is about the provider alone; a token that the provider
/// has accepted stays accepted through an outage.
///
/// `notes`: what else people should know of the class.
fn usability(
    conditions: &mut Conditions<'_>,
    ways: &[Way],
    error: Option<&Error>,
    notes: impl Iterator<Item = String>,
) {
    let (provider, pools) = (ways.contains(&Way::Provider), ways.contains(&Way::Pools));
    let reason = error.map_or(Reason::Ready, Error::reason);
    let mut message = error.map_or_else(|| "claims can be met".to_owned(), ToString::to_string);
    if error.is_some_and(|error| !error.is_passing()) && pools {
        message = format!("pools meet claims; the provider creates no database: {message}");
    }
    for note in notes {
        message = format!("{message}. {note}");
    }
    let passing = error.is_some_and(Error::is_passing);
    if passing {
        conditions.keep(Is::Available, reason);
    } else if let (false, None) = (provider, error) {
        // Earlier versions gave the reason of what is settled; what they wrote of this generation stays as it is.
        if !conditions.keep_current(Is::Available, false, Reason::Ready) {
            conditions.set(Is::Available, false, Reason::NotRequested, POOLS_ONLY);
        }
    } else {
        conditions.set(Is::Available, error.is_none(), reason, &message);
    }
    if passing && (!pools || conditions.was_true(Is::Ready)) {
        // Claims wait meanwhile, or pools meet them, and tenants in use need no provider.
        conditions.keep(Is::Ready, reason);
    } else {
        let met = error.is_none() || pools;
        let why = if met { Reason::Ready } else { reason };
        conditions.set(Is::Ready, met, why, &message);
    }
    let standing = match error {
        None => Standing::Settled,
        Some(_) if passing => Standing::Reconciling,
        Some(_) if pools => Standing::Settled,
        Some(_) => Standing::Stalled,
    };
    conditions.stand(standing, reason, &message);
}

/// Whether the provider accepts the token. A token that lacks a permission is an accepted one.
fn token_condition(conditions: &mut Conditions<'_>, error: Option<&Error>, user: Option<&str>, expiry: &Expiry) {
    match error.map(|error| (error, error.reason())) {
        Some((error, reason @ (Reason::TokenMissing | Reason::TokenRejected))) => {
            let last = user.map_or_else(String::new, |user| {
                format!("; the last token that was accepted belongs to user {user}")
            });
            conditions.set(Is::TokenAccepted, false, reason, &format!("{error}{last}"));
        }
        None | Some((_, Reason::PermissionDenied | Reason::OrganizationNotFound)) => {
            let (reason, message) = token::accepted(user, expiry, Timestamp::now());
            conditions.set(Is::TokenAccepted, true, reason, &message);
        }
        Some((_, reason)) => conditions.keep(Is::TokenAccepted, reason),
    }
}

/// The cost of the class's projects, and the condition that says whether there is room for one more.
fn cost_of(ctx: &Context, class: &OrchestraClass, conditions: &mut Conditions<'_>) -> Option<ClassCost> {
    let sum = budget::sum(ctx, class);
    let quote = price::of_class(ctx, class);
    let price = quote.as_ref().map(|quote| quote.price.monthly);
    if let Some(limits) = budget::limits(class) {
        let full = budget::fits(class, &sum, price).err();
        let (room, reason, message) = budget_condition(class, &sum, &limits, full, price);
        conditions.set(Is::WithinBudget, room, reason, &message);
    }
    let quote = quote?;
    Some(ClassCost {
        currency: budget::currency(class).as_str().into(),
        price_per_project: money::text(quote.price.monthly),
        price_source: quote.source,
        prices_as_of: quote.as_of,
        projects: i32::try_from(sum.projects).unwrap_or(i32::MAX),
        projected: money::text(sum.monthly),
    })
}

/// True while there is room for one more project, and with a warning from `warnAtPercent` on.
fn budget_condition(
    class: &OrchestraClass,
    sum: &budget::Spending,
    limits: &budget::BudgetLimits,
    full: Option<budget::Full>,
    price: Option<rust_decimal::Decimal>,
) -> (bool, Reason, String) {
    if let Some(full) = full {
        let (reason, message) = budget::explain(class, full, price);
        return (false, reason, message);
    }
    let warn_at = class.spec.budget.as_ref().map_or(100, |budget| budget.warn_at_percent);
    let used = limits.monthly.map_or(0, |limit| money::percent(sum.monthly, limit));
    if used >= u32::try_from(warn_at).unwrap_or_default() && used > 0 {
        let message = format!(
            "more than {warn_at} % of the monthly limit is in use: raise spec.budget.monthlyLimit, or delete databases \
             that are not needed, before new Orchestras have to wait"
        );
        return (true, Reason::BudgetNearLimit, message);
    }
    (true, Reason::Ready, "there is room for another project".into())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
    use strum::IntoEnumIterator as _;

    use super::*;
    use crate::api::condition::{find, is_true};
    use crate::error::ErrorClass;

    /// The conditions of usability and of the token after a pass that ended so.
    fn after(old: &[Condition], ways: &[Way], error: Option<&Error>) -> Vec<Condition> {
        let mut conditions = Conditions::new(old, Some(1));
        usability(&mut conditions, ways, error, std::iter::empty());
        if ways.contains(&Way::Provider) {
            token_condition(&mut conditions, error, None, &Expiry::Unknown);
        }
        conditions.finish()
    }

    /// No error, and every error that a pass may end in.
    fn every_error() -> Vec<Option<Error>> {
        let classes = [ErrorClass::Transient, ErrorClass::Blocked, ErrorClass::Invalid];
        let reasons = Reason::iter().filter(|reason| !reason.is_fulfilled());
        let errors = reasons.flat_map(|reason| {
            classes.map(|class| {
                let message = "it is told".to_owned();
                Some(Error::Stop { class, reason, message })
            })
        });
        errors.chain([None]).collect()
    }

    #[test]
    fn no_condition_contradicts_its_reason() {
        let all = every_error();
        for ways in [&[Way::Provider][..], &[Way::Pools], &[Way::Pools, Way::Provider]] {
            let settled = after(&[], ways, None);
            for (old, error) in [&[][..], &settled]
                .iter()
                .flat_map(|old| all.iter().map(move |error| (old, error)))
            {
                let now = after(old, ways, error.as_ref());
                for condition in &now {
                    let told = condition.reason.parse::<Reason>();
                    assert!(told.is_ok(), "{condition:?}");
                    let fulfilled = told.is_ok_and(Reason::is_fulfilled);
                    assert!(condition.status != "False" || !fulfilled, "{condition:?} {error:?}");
                    let standing = [Is::Reconciling, Is::Stalled]
                        .map(Is::as_str)
                        .contains(&&*condition.type_);
                    assert!(!standing || !fulfilled, "{condition:?} {error:?}");
                }
                let is = |type_| is_true(&now, type_);
                assert!(!(is(Is::Reconciling) && is(Is::Stalled)), "{now:?}");
                assert!(is(Is::Ready) || is(Is::Reconciling) || is(Is::Stalled), "{now:?}");
                assert!(!is(Is::Ready) || !is(Is::Stalled), "{now:?}");
                assert!(
                    find(&now, Is::Ready).is_some() && find(&now, Is::Available).is_some(),
                    "{now:?}"
                );
            }
        }
    }
}
