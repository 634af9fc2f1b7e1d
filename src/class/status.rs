//! The status of a class: whether claims can be met, whose token it has, what its projects cost.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::progress::{self, RolloutProgress};
use super::token::{self, TokenExpiry};
use super::{Way, budget, defaults, drift, orphans, price, ways};
use crate::api::condition::{ConditionType as Is, Reason};
use crate::api::{ClassCost, OrchestraClass, OrchestraClassStatus, ProviderAccount};
use crate::class::Context;
use crate::controller::conditions::{Conditions, Standing};
use crate::controller::error::Error;
use crate::controller::status::{self, current};
use crate::money;

/// The event when a condition changes to this state.
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
            TokenExpiry::At(at) => Some(Time(at)),
            TokenExpiry::Unknown | TokenExpiry::Unreadable(_) => None,
        };
    }
    // Prices depend on the plan, which this pass may have read for the first time.
    let mut priced = class.clone();
    priced.status.get_or_insert_default().account.clone_from(&account);
    let mut conditions = Conditions::new(class.conditions(), class.metadata.generation);
    let ways = ways(class);
    let notes = [
        defaults::warning_of_several(ctx, class),
        orphans::odd_projects(ctx, class),
        wrong_schedule(class, Timestamp::now()),
    ];
    let spent = ways.contains(&Way::Provider).then(|| Spent::of(ctx, &priced));
    let full = spent.as_ref().is_some_and(|spent| spent.full.is_some());
    usability(&mut conditions, (&ways, full), error, notes.into_iter().flatten());
    let mut cost = None;
    if let Some(spent) = spent {
        let user = account.as_ref().and_then(|account| account.user.as_deref());
        token_condition(&mut conditions, error, user, &expiry);
        cost = spent.tell(&priced, &mut conditions);
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

/// What is wrong with the schedule of backups, which keeps no claim from being met.
fn wrong_schedule(class: &OrchestraClass, now: Timestamp) -> Option<String> {
    let backup = class.spec.backup.as_ref()?;
    if let Err(wrong) = backup.schedule.read("spec.backup", now) {
        return Some(format!("No backup is made by the schedule of the class: {wrong}"));
    }
    let verify = backup.schedule.verify.as_ref()?;
    let wrong = verify.read("spec.backup.verify", now).err()?;
    Some(format!("No drill is made by the schedule of the class: {wrong}"))
}

fn provider(ways: &[Way]) -> &'static str {
    match (ways.contains(&Way::Provider), ways.contains(&Way::Pools)) {
        (true, true) => "Supabase,Pool",
        (true, false) => "Supabase",
        (false, _) => "Pool",
    }
}

/// Available, Ready, and Reconciling or Stalled. Available is only about the provider; a token that the provider
/// has accepted stays accepted through an outage.
///
/// `full`: the budget has no room for another project. `notes`: what else people should know of the class.
fn usability(
    conditions: &mut Conditions<'_>,
    (ways, full): (&[Way], bool),
    error: Option<&Error>,
    notes: impl Iterator<Item = String>,
) {
    let (provider, pools) = (ways.contains(&Way::Provider), ways.contains(&Way::Pools));
    let reason = error.map_or(Reason::Ready, Error::reason);
    let mut message = match (error, full, pools) {
        (Some(error), ..) => error.to_string(),
        (None, false, _) => "claims can be met".to_owned(),
        (None, true, false) => "claims wait until the budget has room for another project (WithinBudget)".to_owned(),
        (None, true, true) => "pools meet claims; the budget has no room for another project (WithinBudget)".to_owned(),
    };
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
        // Earlier versions wrote another reason for a settled state; what they wrote for this generation stays as it is.
        if !conditions.keep_current(Is::Available, false, Reason::Ready) {
            conditions.set(Is::Available, false, Reason::NotRequested, POOLS_ONLY);
        }
    } else {
        conditions.set(Is::Available, error.is_none(), reason, &message);
    }
    if passing && (conditions.was_met(Is::Ready) || !(pools || conditions.was_true(Is::Ready))) {
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
fn token_condition(conditions: &mut Conditions<'_>, error: Option<&Error>, user: Option<&str>, expiry: &TokenExpiry) {
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

/// What the class's projects cost, and whether there is room for one more.
struct Spent {
    sum: budget::Spending,
    quote: Option<price::Quote>,
    full: Option<budget::Full>,
}

impl Spent {
    fn of(ctx: &Context, class: &OrchestraClass) -> Self {
        let sum = budget::sum(ctx, class);
        let quote = price::of_class(ctx, class);
        let price = quote.as_ref().map(|quote| quote.price.monthly);
        let full = budget::fits(class, &sum, price).err();
        Self { sum, quote, full }
    }

    /// Sets the condition of a class that has limits, and returns the cost when the price is known.
    fn tell(self, class: &OrchestraClass, conditions: &mut Conditions<'_>) -> Option<ClassCost> {
        let price = self.quote.as_ref().map(|quote| quote.price.monthly);
        if let Some(limits) = budget::limits(class) {
            let (room, reason, message) = budget_condition(class, &self.sum, &limits, self.full, price);
            conditions.set(Is::WithinBudget, room, reason, &message);
        }
        let quote = self.quote?;
        Some(ClassCost {
            currency: budget::currency(class).as_str().into(),
            price_per_project: money::text(quote.price.monthly),
            price_source: quote.source,
            prices_as_of: quote.as_of,
            projects: i32::try_from(self.sum.projects).unwrap_or(i32::MAX),
            projected: money::text(self.sum.monthly),
        })
    }
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
            "at least {warn_at} % of the monthly limit is in use: raise spec.budget.monthlyLimit, or delete databases \
             that are not needed, before new Orchestras have to wait"
        );
        return (true, Reason::BudgetNearLimit, message);
    }
    (true, Reason::Ready, "there is room for another project".into())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
    use rust_decimal::Decimal;
    use strum::IntoEnumIterator as _;

    use super::*;
    use crate::api::condition::{find, is_true};
    use crate::api::{Budget, OrchestraClassSpec};
    use crate::controller::conditions::contradiction;
    use crate::error::ErrorClass;

    /// The conditions of usability and of the token after a pass over this generation that ended so.
    fn after(
        (old, generation): (&[Condition], i64),
        (ways, full): (&[Way], bool),
        error: Option<&Error>,
    ) -> Vec<Condition> {
        let mut conditions = Conditions::new(old, Some(generation));
        usability(&mut conditions, (ways, full), error, std::iter::empty());
        if ways.contains(&Way::Provider) {
            token_condition(&mut conditions, error, None, &TokenExpiry::Unknown);
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
            let settled = after((&[], 1), (ways, false), None);
            let before = [(&[][..], 1), (&settled[..], 1), (&settled[..], 2)];
            for ((old, generation), full) in before.into_iter().flat_map(|old| [(old, false), (old, true)]) {
                for error in &all {
                    let now = after((old, generation), (ways, full), error.as_ref());
                    assert_eq!(contradiction(&now), None, "{now:?}");
                    let is = |type_| is_true(&now, type_);
                    assert!(
                        find(&now, Is::Ready).is_some() && find(&now, Is::Available).is_some(),
                        "{now:?}"
                    );
                    // The status of an earlier generation says nothing about this one.
                    let tried = error.is_none() || ways.contains(&Way::Pools);
                    assert!(tried || generation == 1 || !is(Is::Ready), "{now:?}");
                    let ready = find(&now, Is::Ready).map(|ready| ready.message.as_str());
                    assert!(
                        !full || error.is_some() || ready != Some("claims can be met"),
                        "{now:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_budget_condition_says_what_the_budget_decides() {
        let amounts = [0_u32, 10, 79, 80, 90, 99, 100, 110].map(Decimal::from);
        let prices = [None, Some(Decimal::ZERO), Some(Decimal::from(10))];
        let limits = [None, Some("0.00"), Some("100.00")];
        for (monthly_limit, max_projects) in limits
            .into_iter()
            .flat_map(|limit| [None, Some(0), Some(3)].map(|most| (limit, most)))
        {
            let mut class = OrchestraClass::new("standard", OrchestraClassSpec::default());
            class.spec.budget = Some(Budget {
                monthly_limit: monthly_limit.map(Into::into),
                max_projects,
                warn_at_percent: 80,
                ..Budget::default()
            });
            let Some(limits) = budget::limits(&class) else { continue };
            for ((amount, price), projects) in amounts
                .iter()
                .flat_map(|amount| prices.iter().map(move |price| (*amount, *price)))
                .flat_map(|of| [0, 2, 3, 4].map(|projects| (of, projects)))
            {
                let mut sum = budget::Spending::default();
                for number in 0..projects {
                    let monthly = Some(if number == 0 { amount } else { Decimal::ZERO });
                    sum.add(&budget::BudgetItem {
                        of: budget::BudgetUse::Project,
                        name: String::new(),
                        created: Timestamp::UNIX_EPOCH,
                        issued: true,
                        monthly,
                    });
                }
                let full = budget::fits(&class, &sum, price).err();
                let (room, reason, message) = budget_condition(&class, &sum, &limits, full, price);
                let of = || format!("{reason:?} {message:?} of {sum:?} {limits:?} {price:?}");
                assert_eq!(room, full.is_none(), "{}", of());
                let expected: &[Reason] = if room {
                    &[Reason::Ready, Reason::BudgetNearLimit]
                } else {
                    &[Reason::BudgetExceeded, Reason::ProjectLimitReached]
                };
                assert!(expected.contains(&reason), "{}", of());
                let near = limits.monthly.is_some_and(|limit| {
                    sum.monthly * Decimal::from(100) >= limit * Decimal::from(80) && !sum.monthly.is_zero()
                });
                assert!(!room || near == (reason == Reason::BudgetNearLimit), "{}", of());
                assert!(
                    reason != Reason::ProjectLimitReached || limits.projects.is_some_and(|most| projects >= most),
                    "{}",
                    of()
                );
            }
        }
    }
}
