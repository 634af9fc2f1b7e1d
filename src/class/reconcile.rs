//! The class's own pass: is the token there, does the provider accept it, and what does a project cost.

use std::sync::Arc;
use std::time::Duration;

use super::{Way, account, admission, leaving, orphans, price, status, ways};
use crate::api::{OrchestraClass, ProviderAccount};
use crate::class::Context;
use crate::controller::error::Error;
use crate::controller::reconcile::Next;
use crate::error::ErrorClass;
use crate::supabase::billing::Allowed;
use crate::supabase::{self, Account};

/// Pace at which a rollout is looked at that nothing tells of: what an end has woken may have been lost.
const ROLLING: Duration = Duration::from_secs(30);

/// Checks the provider once a change, and then by use only: whoever meets a 401 brings the class back
/// here. The check is two calls, and the prices are one a day.
pub async fn pass(class: Arc<OrchestraClass>, ctx: Arc<Context>) -> Result<Next, Error> {
    if class.metadata.deletion_timestamp.is_some() {
        return leaving::pass(class, ctx).await;
    }
    leaving::hold(&class, &ctx).await?;
    admission::check(&class)?;
    let (mut facts, mut next) = (None, Next::Rest);
    if ways(&class).contains(&Way::Provider) {
        let account = account(&ctx, &class, None).await?;
        let known = if let Some(known) = ctx.tokens.accepted(&class, &account) {
            known
        } else {
            let known = look(&account).await?;
            let (organization, user) = (&known.organization, &known.user);
            tracing::info!(organization, user, "the provider accepts the token");
            ctx.tokens.accept(&class, &account, known.clone());
            known
        };
        if let Some(wait) = price::ask(&ctx, &class, known.plan.as_deref(), &account).await {
            next = Next::After(wait);
        }
        orphans::look(&ctx, &class, &account).await;
        facts = Some(known);
    } else {
        orphans::forget(&ctx, &class);
    }
    let rolling = status::write(&class, &ctx, Ok(facts)).await?;
    Ok(match next {
        _ if rolling => Next::After(ROLLING),
        next => next,
    })
}

/// What the account is and may. A token that may not read the entitlements is good enough all the
/// same: nothing is decided by them.
async fn look(account: &Account) -> Result<ProviderAccount, Error> {
    let (client, slug) = (account.client(), account.organization());
    let organization = client.get_organization(slug).await?;
    let allowed = match client.entitlements(slug).await {
        Ok(entitlements) => Allowed::read(&entitlements),
        Err(error @ supabase::Error::TokenRejected { .. }) => return Err(error.into()),
        // It has only to wait for its turn.
        Err(error) if matches!(error.class(), ErrorClass::After(_)) => return Err(error.into()),
        Err(error) => {
            tracing::info!(%error, "the provider did not tell what the plan allows");
            Allowed::default()
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
