//! What a class says of itself: whether claims can be met, whose token it has, what it costs.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::api::Api;
use kube::runtime::events::EventType;
use kube::{Resource, ResourceExt};

use super::token::{self, Expiry};
use super::{Way, budget, defaults, drift, price, progress, ways};
use crate::api::condition::{ConditionType as Is, Reason};
use crate::api::{ClassCost, OrchestraClass, OrchestraClassStatus, ProviderAccount};
use crate::class::Context;
use crate::controller::conditions::{Conditions, Progress, find};
use crate::controller::error::Error;
use crate::controller::write::{publish, write_status};
use crate::money;

/// Writes what stopped a pass. A class whose pools can still meet claims stays Ready.
pub async fn report(class: Arc<OrchestraClass>, ctx: Arc<Context>, error: Arc<Error>) -> Result<(), Error> {
    let api: Api<OrchestraClass> = Api::all(ctx.core.client.clone());
    let Some(class) = api.get_opt(&class.name_any()).await? else {
        return Ok(());
    };
    write(&class, &ctx, Err(&error)).await.map(drop)
}

/// Writes the status for how a pass ended: with what is known of the account, or an error. Returns
/// whether a rollout goes on.
pub async fn write(
    class: &OrchestraClass,
    ctx: &Arc<Context>,
    outcome: Result<Option<ProviderAccount>, &Error>,
) -> Result<bool, Error> {
    let old = class.status.clone().unwrap_or_default();
    let error = outcome.as_ref().err().copied();
    let mut account = match &outcome {
        Ok(account) => account.clone(),
        Err(_) => old.account.clone(),
    };
    let expiry = token::expiry(ctx, class);
    if let Some(account) = &mut account {
        account.token_expires_at = match expiry {
            Expiry::At(at) => Some(Time(at)),
            Expiry::Unknown | Expiry::Unreadable(_) => None,
        };
    }
    // Prices depend on the plan, which this pass may be the first to know.
    let mut seen = class.clone();
    seen.status.get_or_insert_default().account.clone_from(&account);
    let mut conditions = Conditions::new(&old.conditions, class.metadata.generation);
    let ways = ways(class);
    usability(&mut conditions, &ways, error, &defaults::words(ctx, class));
    let mut cost = None;
    if ways.contains(&Way::Provider) {
        let user = account.as_ref().and_then(|account| account.user.as_deref());
        token_condition(&mut conditions, error, user, &expiry);
        cost = cost_of(ctx, &seen, &mut conditions);
    }
    let rollout = progress::look(ctx, class, &mut conditions).await;
    let name = class.name_any();
    let tenants = ctx
        .core
        .stores
        .databases
        .state_filter(|database| database.is_held() && database.spec.class_name.as_ref() == Some(&name));
    let new = OrchestraClassStatus {
        observed_generation: class.metadata.generation.unwrap_or_default(),
        conditions: conditions.finish(),
        provider: Some(provider(&ways).into()),
        tenants: i32::try_from(tenants.len()).unwrap_or(i32::MAX),
        account,
        cost,
        rollout,
        schema: drift::compare(ctx, class),
    };
    write_status(&ctx.core, class, class.status.as_ref(), &new).await?;
    for warning in warnings(&old.conditions, &new.conditions) {
        let reason = Reason::all().find(|reason| reason.as_str() == warning.reason);
        let (subject, reason) = (class.object_ref(&()), reason.unwrap_or(Reason::Pending));
        publish(
            &ctx.core.recorder,
            &subject,
            EventType::Warning,
            reason,
            &warning.message,
        )
        .await;
    }
    progress::tell(ctx, class, new.rollout.as_ref()).await;
    Ok(progress::goes_on(new.rollout.as_ref()))
}

fn provider(ways: &[Way]) -> &'static str {
    match (ways.contains(&Way::Provider), ways.contains(&Way::Pools)) {
        (true, true) => "Supabase,Pool",
        (true, false) => "Supabase",
        (false, _) => "Pool",
    }
}

/// Available, Ready and the progress. Available speaks of the provider alone; what the provider has
/// once accepted stays accepted through an outage.
fn usability(conditions: &mut Conditions<'_>, ways: &[Way], error: Option<&Error>, well: &str) {
    let (provider, pools) = (ways.contains(&Way::Provider), ways.contains(&Way::Pools));
    let reason = error.map_or(Reason::Ready, Error::reason);
    let message = error.map_or_else(|| well.to_owned(), ToString::to_string);
    let passing = error.is_some_and(Error::is_passing);
    if passing {
        conditions.keep(Is::Available, reason);
    } else {
        conditions.set(Is::Available, provider && error.is_none(), reason, &message);
    }
    conditions.set(Is::Ready, error.is_none() || pools, reason, &message);
    let progress = match error {
        None => Progress::Settled,
        Some(_) if passing => Progress::Reconciling,
        Some(_) if pools => Progress::Settled,
        Some(_) => Progress::Stalled,
    };
    conditions.progress(progress, reason, &message);
}

/// Whether the provider accepts the token. What it refuses to a token that it knows does not make the
/// token a wrong one.
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

/// What the projects cost, and whether there is room for one more.
fn cost_of(ctx: &Context, class: &OrchestraClass, conditions: &mut Conditions<'_>) -> Option<ClassCost> {
    budget::settle(ctx, class);
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

/// True while there is room for one more project, and from `warnAtPercent` on with a warning.
fn budget_condition(
    class: &OrchestraClass,
    sum: &budget::Sum,
    limits: &budget::Limits,
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
             that are not needed, before new Orchestras are held"
        );
        return (true, Reason::BudgetNearLimit, message);
    }
    (true, Reason::Ready, "there is room for another project".into())
}

/// The conditions that have just come to a reason which a person should know of.
fn warnings<'a>(old: &'a [Condition], new: &'a [Condition]) -> impl Iterator<Item = &'a Condition> {
    let told = [
        (Is::TokenAccepted, Reason::TokenMissing),
        (Is::TokenAccepted, Reason::TokenRejected),
        (Is::TokenAccepted, Reason::TokenExpiring),
        (Is::WithinBudget, Reason::BudgetNearLimit),
        (Is::WithinBudget, Reason::BudgetExceeded),
        (Is::WithinBudget, Reason::ProjectLimitReached),
    ];
    told.into_iter().filter_map(move |(type_, reason)| {
        let now = find(new, type_).filter(|now| now.reason == reason.as_str())?;
        let before = find(old, type_).is_some_and(|before| before.reason == now.reason);
        (!before).then_some(now)
    })
}
