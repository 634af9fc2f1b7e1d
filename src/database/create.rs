//! The one request that costs money: whose turn it is, the intent, the request, and its outcome.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;

use super::observe::{settled_at, too_early};
use super::plan::Step;
use super::{Pass, refused, region, status};
use crate::api::{ProjectStatus, SupabaseProject};
use crate::controller::error::Error;
use crate::controller::reconcile::Next;
use crate::credentials::owner;
use crate::supabase::types::{NewProject, RegionSelection};
use crate::supabase::{self, Account, QueuePlace};

/// An intent that is older was not carried out at once, as when the process was stopped in between: another operator
/// may have acted on it since, so it is looked up again. Far below the shortest settling time that is safe.
const FRESH: Duration = Duration::from_secs(10);

/// What a refused creation is remembered as: with another token it is another one.
fn creation(account: &Account) -> String {
    format!("creation with token {}", account.token_digest())
}

/// The intent is written by compare-and-swap: of two operators only one goes on.
pub async fn announce(pass: &mut Pass, account: &Account) -> Result<Option<Next>, Error> {
    if let Some(error) = pass.ctx.core.refusals.refusal(pass.name(), &creation(account)) {
        return Err(error);
    }
    // Whose turn has not come, and what there is no room for, writes nothing.
    let permit = account
        .client()
        .permit_creation(account.organization(), &place(pass))
        .await?;
    crate::class::budget::confirm(&pass.ctx.class, &pass.object)?;
    status::change(pass, Step::Create, |status| {
        status.create_issued_at = Some(Time(Timestamp::now()));
        status.organization = Some(account.organization().to_string());
    })
    .await?;
    pass.announced = Some(permit);
    Ok(None)
}

/// The place of a creation among those that wait: the older Orchestra goes first.
fn place(pass: &Pass) -> QueuePlace {
    let claim = pass.object.spec.claim_ref.as_ref();
    let orchestra = claim.and_then(|claim| {
        let orchestra = ObjectRef::new(&claim.name).within(&claim.namespace);
        pass.ctx.core.stores.orchestras.get(&orchestra)
    });
    let since = orchestra.and_then(|orchestra| orchestra.creation_timestamp());
    QueuePlace {
        since: since
            .or_else(|| pass.object.creation_timestamp())
            .map_or(Timestamp::MAX, |at| at.0),
        name: claim.map_or_else(
            || pass.name().to_string(),
            |claim| format!("{}/{}", claim.namespace, claim.name),
        ),
    }
}

/// Sends the one request. Whatever does not clearly say «refused» may have created the project,
/// and is looked up before another one is sent.
pub async fn create(pass: &mut Pass, account: &Account) -> Result<Option<Next>, Error> {
    let Some(permit) = pass.announced.take() else {
        return Ok(None);
    };
    if !is_fresh(pass) {
        tracing::warn!("the create request is not sent: its intent is old already");
        return Ok(None);
    }
    let stored = owner::read(&owner::secrets(&pass.ctx.core), pass.name())
        .await?
        .and_then(|owner| owner.password);
    let (Some(password), Some(wanted)) = (stored, pass.object.spec.supabase.clone()) else {
        return Ok(Some(Next::After(pass.ctx.core.settings.poll_interval)));
    };
    let region = region::next(&wanted, region::full(pass)).to_string();
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
                region: created.region,
            };
            tracing::info!(project = project.reference, "the project is created");
            status::change(pass, Step::AwaitHealthy, |status| status.project = Some(project)).await?;
            let wait = pass.ctx.core.settings.poll_interval.max(too_early(pass, account));
            Ok(Some(Next::After(wait)))
        }
        // A name that is taken is ours alone: an earlier request created the project, and it is not listed yet.
        Err(error) if error.outcome_unknown() || matches!(error, supabase::Error::NameTaken { .. }) => {
            tracing::warn!(%error, "the outcome of the create request is unknown; looking it up");
            Ok(Some(Next::After(pass.ctx.core.settings.poll_interval)))
        }
        Err(error) => not_created(pass, account, &wanted, region, error).await,
    }
}

fn is_fresh(pass: &Pass) -> bool {
    let issued = pass
        .object
        .status
        .as_ref()
        .and_then(|status| status.create_issued_at.as_ref());
    issued.is_some_and(|at| Timestamp::now() < settled_at(at.0, FRESH.min(pass.ctx.core.settings.create_settle / 2)))
}

/// Nothing was created. A region without room is left for the next one that is allowed; the others
/// are asked again when all have been.
async fn not_created(
    pass: &mut Pass,
    account: &Account,
    wanted: &SupabaseProject,
    region: String,
    error: supabase::Error,
) -> Result<Option<Next>, Error> {
    let full = region::after_refusal(wanted, region::full(pass), region, &error);
    let go_on = !full.is_empty();
    status::change(pass, Step::Announce, |status| {
        status.create_issued_at = None;
        status.organization = None;
        status.full_regions = full;
    })
    .await?;
    if go_on {
        tracing::info!(%error, "asking the next region");
        return Ok(None);
    }
    let error = refused::explain(error, wanted);
    pass.ctx.core.refusals.refuse(pass.name(), &creation(account), &error);
    Err(error)
}

pub fn await_outcome(pass: &Pass) -> Next {
    let issued = pass
        .object
        .status
        .as_ref()
        .and_then(|status| status.create_issued_at.as_ref());
    let settled = issued.map(|at| settled_at(at.0, pass.ctx.core.settings.create_settle));
    let left = settled.and_then(|at| Duration::try_from(at.duration_since(Timestamp::now())).ok());
    // Looked at more often than once, to find the project early.
    Next::After(
        left.unwrap_or_default()
            .clamp(Duration::from_millis(100), pass.ctx.core.settings.poll_interval),
    )
}
