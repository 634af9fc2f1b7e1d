//! A class that is being deleted stays until no database needs its token any more.

use std::sync::Arc;

use kube::api::{Api, ListParams};
use kube::runtime::events::EventType;
use kube::{Resource, ResourceExt};

use crate::api::condition::{ConditionType, Reason};
use crate::api::{CLASS_FINALIZER, OrchestraClass, OrchestraDatabase};
use crate::class::Context;
use crate::controller::backoff::SLOWEST;
use crate::controller::conditions::{Conditions, Progress, find};
use crate::controller::error::Error;
use crate::controller::reconcile::Next;
use crate::controller::write::{publish, set_finalizer, write_status};

/// Holders that a message names.
const NAMED: usize = 5;

/// Puts the finalizer on a class.
pub async fn hold(class: &OrchestraClass, ctx: &Context) -> Result<(), Error> {
    let leaving = class.metadata.deletion_timestamp.is_some();
    if !leaving && !class.finalizers().iter().any(|name| name == CLASS_FINALIZER) {
        set_finalizer(&ctx.core, class, CLASS_FINALIZER, true).await?;
    }
    Ok(())
}

/// One pass over a class that is being deleted. Its tenants go on as before.
pub async fn pass(class: Arc<OrchestraClass>, ctx: Arc<Context>) -> Result<Next, Error> {
    // The watch may lag behind a claim: the API server is asked.
    let selector = format!("spec.className={}", class.name_any());
    let databases: Api<OrchestraDatabase> = Api::all(ctx.core.client.clone());
    let found = databases.list(&ListParams::default().fields(&selector)).await?;
    let holders: Vec<_> = found.items.iter().filter(|database| needs(database)).collect();
    if holders.is_empty() {
        super::orphans::forget(&ctx, &class);
        set_finalizer(&ctx.core, &*class, CLASS_FINALIZER, false).await?;
        return Ok(Next::Gone);
    }
    let message = words(&holders);
    let old = class.status.clone().unwrap_or_default();
    let told = find(&old.conditions, ConditionType::Stalled).is_some_and(|is| is.reason == Reason::InUse.as_str());
    let mut new = old.clone();
    let mut conditions = Conditions::new(&old.conditions, class.metadata.generation);
    conditions.set(ConditionType::Ready, false, Reason::InUse, &message);
    for type_ in [
        ConditionType::Available,
        ConditionType::TokenAccepted,
        ConditionType::WithinBudget,
    ] {
        if find(&old.conditions, type_).is_some() {
            conditions.keep(type_, Reason::InUse);
        }
    }
    new.rollout = super::progress::look(&ctx, &class, &mut conditions).await;
    conditions.progress(Progress::Stalled, Reason::InUse, &message);
    new.conditions = conditions.finish();
    new.observed_generation = class.metadata.generation.unwrap_or_default();
    write_status(&ctx.core, &*class, class.status.as_ref(), &new).await?;
    if !told {
        let subject = class.object_ref(&());
        publish(
            &ctx.core.recorder,
            &subject,
            EventType::Warning,
            Reason::InUse,
            &message,
        )
        .await;
    }
    // The databases tell when they go; this is for what no watch tells.
    Ok(Next::After(SLOWEST))
}

/// A hosted project needs the class's token to be looked after and destroyed; an entry of a pool
/// needs the class only while it is held.
fn needs(database: &OrchestraDatabase) -> bool {
    database.spec.supabase.is_some() || database.is_held()
}

fn words(holders: &[&OrchestraDatabase]) -> String {
    let mut names: Vec<_> = holders
        .iter()
        .map(|database| match &database.spec.claim_ref {
            Some(claim) if database.is_held() => format!("Orchestra {}/{}", claim.namespace, claim.name),
            _ => format!("OrchestraDatabase {}", database.name_any()),
        })
        .collect();
    names.sort();
    let more = names.len().saturating_sub(NAMED);
    let rest = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    names.truncate(NAMED);
    format!(
        "deletion was asked for, but {} of its databases are left: {}{rest}. They go on as before, and no new claim is \
         taken; the class goes when the last one is deleted",
        holders.len(),
        names.join(", ")
    )
}
