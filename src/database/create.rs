//! The one request that costs money: the turn, the intent, the request, and its outcome.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;

use super::observe::{Observed, settled_at, too_early};
use super::plan::Step;
use super::{Pass, refused, region, status, unclear};
use crate::api::condition::Reason;
use crate::api::{OrchestraDatabase, ProjectStatus};
use crate::controller::error::Error;
use crate::controller::reconcile::Next;
use crate::controller::status::tell;
use crate::credentials::owner;
use crate::supabase::regions::RegionState;
use crate::supabase::types::{NewProject, RegionSelection};
use crate::supabase::{self, Account, QueuePlace};

/// An intent older than this was not followed by its request at once, for example because the process was stopped in
/// between. Another operator may have acted on it since, so the project is looked up again. Far below the shortest safe
/// settling time.
const FRESH: Duration = Duration::from_secs(10);

/// The digest under which a refused creation is remembered; a new token changes the digest.
fn creation(account: &Account) -> String {
    format!("creation with token {}", account.token_digest())
}

/// Whether a refused creation is sent again when nothing else stops it.
pub fn is_tried_again(pass: &Pass, account: &Account) -> bool {
    pass.ctx.core.refusals.is_known(pass.name()) && refused_meanwhile(pass, account).is_none()
}

/// Writes the intent by compare-and-swap: of two operators only one continues.
pub async fn announce(pass: &mut Pass, account: &Account, observed: &Observed) -> Result<Option<Next>, Error> {
    if pass.object.adopted().is_some() {
        let message = "an adopted project is not listed, and no other one is created in its place";
        return Err(Error::blocked(Reason::DatabaseLost, message));
    }
    if let Some(error) = refused_meanwhile(pass, account) {
        return Err(error);
    }
    refused::in_turn(pass)?;
    // A creation that gets no permit, or that the budget has no room for, writes nothing.
    let permit = account
        .client()
        .permit_creation(account.organization(), &place(pass))
        .await?;
    crate::class::budget::confirm(&pass.ctx.class, &pass.object)?;
    let chosen = region::choose(pass, account).await?;
    if let Some(chosen) = region::news(pass, chosen.as_ref()) {
        tell(&pass.ctx.core, &pass.object, &chosen).await;
    }
    status::change(pass, Step::Create, observed, |status| {
        status.placement = chosen;
        // Not the time of the look: the creation may have waited long for its permit.
        status.create_issued_at = Some(Time(Timestamp::now()));
        status.organization = Some(account.organization().to_string());
        status.unclear_before = observed.unnamed.iter().take(unclear::REMEMBERED).cloned().collect();
    })
    .await?;
    pass.announced = Some(permit);
    Ok(None)
}

/// The place of a creation in the queue: the older Orchestra goes first, and unclaimed members of pools come last.
fn place(pass: &Pass) -> QueuePlace {
    let claim = pass.object.spec.claim_ref.as_ref();
    let orchestra = claim.and_then(|claim| {
        let orchestra = ObjectRef::new(&claim.name).within(&claim.namespace);
        pass.ctx.core.stores.orchestras.get(&orchestra)
    });
    let since = orchestra.and_then(|orchestra| orchestra.creation_timestamp());
    place_of(&pass.object, since)
}

/// The place of a database whose Orchestra was created at this time, if known.
fn place_of(database: &OrchestraDatabase, orchestra: Option<Time>) -> QueuePlace {
    let claim = database.spec.claim_ref.as_ref();
    let since = orchestra.or_else(|| database.creation_timestamp().filter(|_| !database.is_spare()));
    QueuePlace {
        since: since.map_or(Timestamp::MAX, |at| at.0),
        name: claim.map_or_else(
            || database.name_any(),
            |claim| format!("{}/{}", claim.namespace, claim.name),
        ),
    }
}

/// Sends the one request. Any answer but a clear refusal may mean that the project was created, and it is looked up
/// before another request is sent.
pub async fn create(pass: &mut Pass, account: &Account, observed: &Observed) -> Result<Option<Next>, Error> {
    let Some(permit) = pass.announced.take() else {
        return Ok(None);
    };
    if !is_fresh(pass) {
        tracing::warn!("the create request is not sent, because its intent is too old");
        return Ok(None);
    }
    let stored = owner::read(&owner::secrets(&pass.ctx.core), pass.name())
        .await?
        .and_then(|owner| owner.password);
    let (Some(password), Some(wanted)) = (stored, pass.object.spec.supabase.clone()) else {
        return Ok(Some(Next::After(pass.ctx.core.settings.poll_interval)));
    };
    let regions = region::allowed(pass, &wanted)?;
    let Some(region) = region::requested(pass, &regions) else {
        tracing::warn!("the create request is not sent, because the class no longer allows its region");
        return Ok(Some(Next::After(pass.ctx.core.settings.poll_interval)));
    };
    let project = NewProject {
        name: wanted.name.clone(),
        organization: account.organization().to_string(),
        password,
        region: RegionSelection::Specific(region.clone()),
        instance_size: wanted.instance_size.clone(),
    };
    match account.client().create_project(&project, permit).await {
        Ok(created) => {
            let project = ProjectStatus {
                reference: created.reference,
                region: created.region.unwrap_or_else(|| region.clone()),
            };
            tracing::info!(project = project.reference, "the project is created");
            status::change(pass, Step::AwaitHealthy, observed, |status| {
                status.project = Some(project);
                status.unclear_before.clear();
            })
            .await?;
            let wait = pass
                .ctx
                .core
                .settings
                .poll_interval
                .max(too_early(pass, account, observed.now));
            Ok(Some(Next::After(wait)))
        }
        Err(error) if error.outcome_unknown() => {
            tracing::warn!(%error, "the outcome of the create request is unknown; looking it up");
            Ok(Some(Next::After(pass.ctx.core.settings.poll_interval)))
        }
        Err(error) => not_created(pass, (account, observed), (&project, &regions), region, error).await,
    }
}

fn is_fresh(pass: &Pass) -> bool {
    let issued = pass
        .object
        .status
        .as_ref()
        .and_then(|status| status.create_issued_at.as_ref());
    // Not the time of the look: what lies between may have taken long, and it is this very moment that the request is sent.
    issued.is_some_and(|at| Timestamp::now() < settled_at(at.0, FRESH.min(pass.ctx.core.settings.create_settle / 2)))
}

/// Whether a refusal says that nothing was created. A proxy that refuses the answer may have let the request pass, and a
/// conflict may be one with what an earlier request created, whatever the list says of the region.
fn is_certain(error: &supabase::Error) -> bool {
    !matches!(
        error,
        supabase::Error::Refused { outside: true, .. } | supabase::Error::NameTaken { .. }
    )
}

/// Nothing was created, as far as the refusal is certain: otherwise the intent stays until it was looked up. After a
/// region without capacity, the next allowed region is tried; after the last, the first again.
async fn not_created(
    pass: &mut Pass,
    (account, observed): (&Account, &Observed),
    (project, regions): (&NewProject, &[String]),
    region: String,
    error: supabase::Error,
) -> Result<Option<Next>, Error> {
    let is_certain = is_certain(&error);
    let offer = offer(account, project, &region, &error).await;
    let error = offer.explain(error);
    if let supabase::Error::NameTaken { message } = &error {
        return refused::name_taken(pass, &creation(account), message);
    }
    let full = region::after_refusal(regions, region::full(pass), &region, &error);
    let go_on = !full.is_empty();
    status::change(pass, Step::Announce, observed, |status| {
        if is_certain {
            status.create_issued_at = None;
            status.organization = None;
            status.unclear_before.clear();
        }
        status.full_regions = full;
    })
    .await?;
    if go_on {
        tracing::info!(%error, "trying the next region");
        return Ok(None);
    }
    let refusal = refused::CreationRefusal { error, offer };
    let error = refused::explain(refusal, &region, project.instance_size.as_deref());
    refused::remember(pass, &creation(account), &error);
    Err(error)
}

/// What the provider's list of regions says, for a refusal that does not give its cause.
async fn offer(account: &Account, project: &NewProject, region: &str, error: &supabase::Error) -> RegionState {
    if error.unclear_refusal().is_none() {
        return RegionState::Unknown;
    }
    let size = project.instance_size.as_deref();
    // Not the list by which the region was chosen: it may be older than the moment at which the region became full.
    account
        .client()
        .regions(&project.organization, size)
        .await
        .offer(region)
}

/// Whether the last request was refused by a proxy, or as a conflict, and its outcome is still looked up.
pub fn is_refused_meanwhile(pass: &Pass, account: &Account) -> bool {
    refused_meanwhile(pass, account).is_some()
}

/// The refusal of a request that is still looked up.
pub fn refused_meanwhile(pass: &Pass, account: &Account) -> Option<Error> {
    refused::remembered(pass, &creation(account))
}

/// When to look for the project of the last request again.
pub fn await_outcome(pass: &Pass, now: Timestamp) -> Next {
    let issued = pass
        .object
        .status
        .as_ref()
        .and_then(|status| status.create_issued_at.as_ref());
    let settled = issued.map(|at| settled_at(at.0, pass.ctx.core.settings.create_settle));
    let left = settled.and_then(|at| Duration::try_from(at.duration_since(now)).ok());
    // The project is looked up several times, to find it early.
    Next::After(
        left.unwrap_or_default()
            .clamp(Duration::from_millis(100), pass.ctx.core.settings.poll_interval),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::api::{ClaimReference, OrchestraDatabaseSpec, SupabaseProject};

    #[test]
    fn what_an_orchestra_waits_for_goes_before_all_that_pools_make() {
        let at = |second| Some(Time(Timestamp::from_second(second).unwrap()));
        let database = |name: &str, claimed: bool| {
            let claim = ClaimReference {
                namespace: "tenants".into(),
                name: name.into(),
                uid: "1".into(),
                namespace_uid: None,
            };
            let spec = OrchestraDatabaseSpec {
                supabase: Some(SupabaseProject::default()),
                pool: (!claimed).then(|| "warm".into()),
                claim_ref: claimed.then_some(claim),
                ..OrchestraDatabaseSpec::default()
            };
            let mut database = OrchestraDatabase::new(name, spec);
            database.metadata.creation_timestamp = at(5);
            database
        };
        let (young, old) = (
            place_of(&database("b", true), at(9)),
            place_of(&database("a", true), at(1)),
        );
        // The watch does not show its Orchestra, so the age of the database counts.
        let unseen = place_of(&database("c", true), None);
        let (first, second) = (
            place_of(&database("spare-1", false), None),
            place_of(&database("spare-2", false), None),
        );
        let order = [&old, &unseen, &young, &first, &second];
        assert!(order.is_sorted() && young < first, "{order:?}");
        assert_eq!((old.name.as_str(), first.name.as_str()), ("tenants/a", "spare-1"));
    }
}
