//! The class's own pass: is the token there, does the provider accept it, how many tenants.

use std::sync::Arc;

use kube::ResourceExt;
use kube::api::Api;

use super::{Way, account, admission, defaults, leaving, ways};
use crate::api::condition::{ConditionType, Reason};
use crate::api::{OrchestraClass, OrchestraClassStatus};
use crate::controller::Context;
use crate::controller::conditions::{Conditions, Progress};
use crate::controller::error::Error;
use crate::controller::reconcile::Next;
use crate::controller::write::write_status;

/// Checks the provider once a change, and then by use only: the check is one call, and the
/// listings that follow are the rest.
pub async fn pass(class: Arc<OrchestraClass>, ctx: Arc<Context>) -> Result<Next, Error> {
    if class.metadata.deletion_timestamp.is_some() {
        return leaving::pass(class, ctx).await;
    }
    leaving::hold(&class, &ctx).await?;
    admission::check(&class)?;
    if ways(&class).contains(&Way::Provider) {
        let account = account(&ctx, &class, None).await?;
        if !ctx.tokens.is_accepted(&class, &account) {
            account.client().get_organization(account.organization()).await?;
            ctx.tokens.accept(&class, &account);
        }
    }
    write(&class, &ctx, None).await?;
    Ok(Next::Rest)
}

/// Writes what stopped a pass. A class whose pools can still meet claims stays Ready.
pub async fn report(class: Arc<OrchestraClass>, ctx: Arc<Context>, error: Arc<Error>) -> Result<(), Error> {
    write(&class, &ctx, Some(&error)).await
}

async fn write(class: &OrchestraClass, ctx: &Context, error: Option<&Error>) -> Result<(), Error> {
    let old = class.status.as_ref();
    let mut conditions = Conditions::new(
        old.map(|old| old.conditions.as_slice()).unwrap_or_default(),
        class.metadata.generation,
    );
    let ways = ways(class);
    let reason = error.map_or(Reason::Ready, Error::reason);
    let message = error.map_or_else(|| defaults::words(ctx, class), ToString::to_string);
    let passing = error.is_some_and(Error::is_passing);
    // Available speaks of the provider alone; what the provider has once accepted stays accepted
    // through an outage.
    if passing {
        conditions.keep(ConditionType::Available, reason);
    } else {
        let provider = ways.contains(&Way::Provider);
        conditions.set(ConditionType::Available, provider && error.is_none(), reason, &message);
    }
    let pools = ways.contains(&Way::Pools);
    conditions.set(ConditionType::Ready, error.is_none() || pools, reason, &message);
    let progress = match error {
        None => Progress::Settled,
        Some(_) if passing => Progress::Reconciling,
        Some(_) if pools => Progress::Settled,
        Some(_) => Progress::Stalled,
    };
    conditions.progress(progress, reason, &message);
    let name = class.name_any();
    let tenants = ctx
        .stores
        .databases
        .state_filter(|database| database.is_held() && database.spec.class_name.as_ref() == Some(&name));
    let provider = match (ways.contains(&Way::Provider), pools) {
        (true, true) => "Supabase,Pool",
        (true, false) => "Supabase",
        (false, _) => "Pool",
    };
    let new = OrchestraClassStatus {
        observed_generation: class.metadata.generation.unwrap_or_default(),
        conditions: conditions.finish(),
        provider: Some(provider.into()),
        tenants: i32::try_from(tenants.len()).unwrap_or(i32::MAX),
        account: old.and_then(|old| old.account.clone()),
        cost: old.and_then(|old| old.cost.clone()),
    };
    write_status(&Api::all(ctx.client.clone()), class, old, &new).await?;
    Ok(())
}
