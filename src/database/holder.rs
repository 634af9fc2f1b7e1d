//! Which Orchestra holds the claim.

use kube::api::Api;
use kube::runtime::reflector::ObjectRef;

use super::Pass;
use super::plan::Claim;
use crate::api::Orchestra;
use crate::controller::error::Error;

/// Who holds the database.
pub async fn claim(pass: &Pass) -> Result<Claim, Error> {
    Ok(match (&pass.object.spec.claim_ref, &pass.object.spec.released_at) {
        (None, _) => Claim::None,
        (Some(_), None) if is_deserted(pass).await? => Claim::Abandoned,
        (Some(_), None) => Claim::Held,
        (Some(_), Some(_)) => Claim::Released,
    })
}

/// Whether the Orchestra that holds the claim no longer exists and never released it, as after its finalizer was
/// removed by hand. Confirmed by the API server, because the watch may lag behind.
async fn is_deserted(pass: &Pass) -> Result<bool, Error> {
    let (Some(claim), None) = (&pass.object.spec.claim_ref, &pass.object.spec.released_at) else {
        return Ok(false);
    };
    let holder = ObjectRef::<Orchestra>::new(&claim.name).within(&claim.namespace);
    let watched = pass.ctx.core.stores.orchestras.get(&holder);
    if watched.is_some_and(|orchestra| orchestra.metadata.uid.as_ref() == Some(&claim.uid)) {
        return Ok(false);
    }
    let api: Api<Orchestra> = Api::namespaced(pass.ctx.core.client.clone(), &claim.namespace);
    let holder = api.get_opt(&claim.name).await?;
    Ok(holder.is_none_or(|orchestra| orchestra.metadata.uid.as_ref() != Some(&claim.uid)))
}
