//! A class that is being deleted stays until no database needs its token any more.

use std::sync::Arc;

use kube::ResourceExt;
use kube::api::{Api, ListParams};

use crate::api::condition::{ConditionType, Reason};
use crate::api::slim::Slim;
use crate::api::{CLASS_FINALIZER, OrchestraClass, OrchestraDatabase};
use crate::class::Context;
use crate::controller::backoff::SLOWEST;
use crate::controller::conditions::{Conditions, Standing, find};
use crate::controller::error::Error;
use crate::controller::reconcile::Next;
use crate::controller::status::{self, News};
use crate::controller::write::set_finalizer;
use crate::text;

/// The number of holders that the message names, at most.
const NAMED: usize = 5;

/// Puts the finalizer on a class, and returns the class as it is then.
pub async fn hold(class: OrchestraClass, ctx: &Context) -> Result<OrchestraClass, Error> {
    if class.finalizers().iter().any(|name| name == CLASS_FINALIZER) {
        return Ok(class);
    }
    let held = set_finalizer(&ctx.core, &class, CLASS_FINALIZER, true).await?;
    Ok(held.unwrap_or(class))
}

/// One pass over a class that is being deleted. Its tenants are not affected.
pub async fn pass(class: OrchestraClass, ctx: &Arc<Context>) -> Result<Next, Error> {
    // Asked of the API server, because the watch may not show a claim yet.
    let selector = format!("spec.className={}", class.name_any());
    let databases: Api<Slim<OrchestraDatabase>> = Api::all(ctx.core.client.clone());
    let found = databases.list(&ListParams::default().fields(&selector)).await?;
    let found = found.items.iter().map(|Slim(database)| database);
    let holders: Vec<_> = found.filter(|database| needs(database)).collect();
    if holders.is_empty() {
        super::forget(ctx, &class);
        set_finalizer(&ctx.core, &class, CLASS_FINALIZER, false).await?;
        return Ok(Next::Gone);
    }
    let message = describe(&holders);
    let old = class.status.clone().unwrap_or_default();
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
    let progress = super::progress::drive(ctx, &class).await;
    new.rollout = super::progress::render(&class, progress, &mut conditions);
    conditions.stand(Standing::Stalled, Reason::InUse, &message);
    new.conditions = conditions.finish();
    new.observed_generation = class.metadata.generation.unwrap_or_default();
    let news = status::is_news(&old.conditions, &new.conditions).then(|| News::warning(Reason::InUse, message));
    status::write(&ctx.core, &class, new, news).await?;
    // A deleted database triggers the class at once; this covers what no watch reports.
    Ok(Next::After(SLOWEST))
}

/// Whether a database needs its class: a hosted project, because the class's token is used to observe and destroy
/// it, and an entry of a pool while it is claimed.
fn needs(database: &OrchestraDatabase) -> bool {
    database.spec.supabase.is_some() || database.is_held()
}

/// Which databases keep the class from being deleted.
fn describe(holders: &[&OrchestraDatabase]) -> String {
    let mut names: Vec<_> = holders
        .iter()
        .map(|database| match &database.spec.claim_ref {
            Some(claim) if database.is_held() => format!("Orchestra {}/{}", claim.namespace, claim.name),
            _ => format!("OrchestraDatabase {}", database.name_any()),
        })
        .collect();
    names.sort();
    format!(
        "deletion was requested, but {} of its databases still exist: {}. They are not affected, and the class \
         admits no new claim; it is deleted when the last of them is deleted",
        holders.len(),
        text::names(&names, NAMED, names.len())
    )
}
