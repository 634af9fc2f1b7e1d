//! The class's own pass: whether the token exists, whether the provider accepts it, and what a project costs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Way, account, admission, budget, leaving, orphans, price, progress, status, ways};
use crate::api::{OrchestraClass, OrchestraDatabase, ProviderAccount};
use crate::class::Context;
use crate::controller::error::Error;
use crate::controller::reconcile::Next;
use crate::controller::status::current;
use crate::error::ErrorClass;
use crate::supabase::billing::Entitlements;
use crate::supabase::{self, Account};

/// Pace of passes during a rollout: the event of an Orchestra that has finished may be lost.
const ROLLING: Duration = Duration::from_secs(30);

/// Pace of passes while a database waits for the provider, although the provider answers the class.
const AWAITED: Duration = Duration::from_secs(20);

/// Checks the provider once after each change of the class. Afterwards its use shows whether the token still works:
/// a 401 anywhere triggers the class. The check takes two requests, and the prices one request a day.
pub async fn pass(class: Arc<OrchestraClass>, ctx: Arc<Context>) -> Result<Next, Error> {
    let Some(class) = current(&ctx.core, &*class).await? else {
        super::forget(&ctx, &class);
        return Ok(Next::Gone);
    };
    if class.metadata.deletion_timestamp.is_some() {
        return leaving::pass(class, &ctx).await;
    }
    let class = leaving::hold(class, &ctx).await?;
    let known = check(&class, &ctx).await;
    budget::settle(&ctx, &class);
    // Rollouts continue even while the provider fails.
    let progress = progress::drive(&ctx, &class).await;
    let (facts, next) = known?;
    let rolling = status::write(&class, &ctx, Ok(facts), progress).await?;
    Ok(match next {
        _ if rolling => Next::After(ROLLING),
        next => next,
    })
}

/// Checks the class and its provider: what is known of the account, and when it is looked at again.
async fn check(class: &OrchestraClass, ctx: &Arc<Context>) -> Result<(Option<ProviderAccount>, Next), Error> {
    admission::check(class)?;
    let (mut facts, mut next) = (None, Next::Rest);
    if ways(class).contains(&Way::Provider) {
        // The provider is asked for its organizations where the class names none.
        let account = account(ctx, class, None).await;
        let account = account.or_else(|error| ctx.outages.answered(class, Err(error)))?;
        let known = if let Some(known) = ctx.tokens.accepted(class, &account) {
            if is_awaited(ctx, class) {
                ask_again(ctx, class, &account).await?;
                next = Next::After(AWAITED);
            }
            known
        } else {
            let known = ctx.outages.answered(class, look(&account).await)?;
            let (organization, user) = (&known.organization, &known.user);
            tracing::info!(organization, user, "the provider accepts the token");
            ctx.tokens.accept(class, &account, known.clone());
            known
        };
        if let Some(wait) = price::ask(ctx, class, known.plan.as_deref(), &account).await {
            next = match next {
                Next::After(sooner) => Next::After(sooner.min(wait)),
                _ => Next::After(wait),
            };
        }
        orphans::look(ctx, class, &account).await;
        facts = Some(known);
    } else {
        orphans::forget(ctx, class);
    }
    Ok((facts, next))
}

/// Whether a database of the class waits for a provider that fails.
fn is_awaited(ctx: &Context, class: &OrchestraClass) -> bool {
    let waits = |database: &OrchestraDatabase| database.is_of(class) && database.waits_for_provider();
    ctx.core.stores.databases.find(waits).is_some()
}

/// Asks a provider that failed whether it answers again, for all that wait for it: each of them waits longer after each
/// failure, and is triggered when the class has the answer.
async fn ask_again(ctx: &Context, class: &OrchestraClass, account: &Account) -> Result<(), Error> {
    if let Some(known) = ctx.outages.last_answer(class) {
        return known;
    }
    // Most of them wait for the listing, and need it next.
    let now = Instant::now();
    let not_before = now.checked_sub(ctx.core.settings.poll_interval).unwrap_or(now);
    let answer = account.poll().projects_since(not_before).await;
    ctx.outages.confirmed(class, answer.map(drop).map_err(Error::from))
}

/// The account, and what its plan allows. A token without permission to read the entitlements is accepted all the
/// same: no decision depends on them.
async fn look(account: &Account) -> Result<ProviderAccount, Error> {
    let (client, slug) = (account.client(), account.organization());
    let organization = client.get_organization(slug).await?;
    let allowed = match client.entitlements(slug).await {
        Ok(entitlements) => Entitlements::read(&entitlements),
        Err(error @ supabase::Error::TokenRejected { .. }) => return Err(error.into()),
        // The request only waits for its turn.
        Err(error) if matches!(error.class(), ErrorClass::After(_)) => return Err(error.into()),
        Err(error) => {
            tracing::info!(%error, "the entitlements of the plan cannot be read");
            Entitlements::default()
        }
    };
    Ok(ProviderAccount {
        organization: slug.to_owned(),
        plan: organization.plan,
        user: client.token_state().user(),
        token_expires_at: None,
        pausing: allowed.pausing,
        instance_sizes: allowed.instance_sizes,
        backup_retention_days: allowed.backup_retention_days,
    })
}
