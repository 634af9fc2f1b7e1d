//! Which Orchestra holds the claim.

use std::sync::Arc;

use kube::api::Api;
use kube::runtime::reflector::ObjectRef;

use super::Pass;
use super::plan::ClaimState;
use crate::api::{Orchestra, OrchestraPool};
use crate::controller::error::Error;
use crate::controller::unreadable;
use crate::credentials::tenant::LoginMarks;

/// Who holds the database.
pub async fn claim(pass: &Pass) -> Result<ClaimState, Error> {
    Ok(match (&pass.object.spec.claim_ref, &pass.object.spec.released_at) {
        (None, _) if is_without_pool(pass).await? => ClaimState::Abandoned,
        (None, _) => ClaimState::None,
        (Some(_), None) if is_deserted(pass).await? => ClaimState::Abandoned,
        (Some(_), None) => ClaimState::Held,
        (Some(_), Some(_)) => ClaimState::Released,
    })
}

/// Whether this version understands every value of the database's Orchestra and of its class: both decide what happens with
/// the database.
pub fn are_known(pass: &Pass) -> Result<(), Error> {
    if let Some(holder) = watched(pass) {
        unreadable::check(&*holder)?;
    }
    if let Some(class) = &pass.object.spec.class_name {
        unreadable::get(&pass.ctx.core.stores.classes, &ObjectRef::new(class))?;
    }
    Ok(())
}

/// Whether the Orchestra that holds the claim no longer exists and never released it, as after its finalizer was
/// removed by hand. Confirmed by the API server, because the watch may lag behind.
async fn is_deserted(pass: &Pass) -> Result<bool, Error> {
    let (Some(claim), None) = (&pass.object.spec.claim_ref, &pass.object.spec.released_at) else {
        return Ok(false);
    };
    if watched(pass).is_some() {
        return Ok(false);
    }
    let api: Api<Orchestra> = Api::namespaced(pass.ctx.core.client.clone(), &claim.namespace);
    let holder = api.get_opt(&claim.name).await?;
    Ok(holder.is_none_or(|orchestra| orchestra.metadata.uid.as_ref() != Some(&claim.uid)))
}

/// Whether the pool for which the database was created does not exist, and nothing was requested for it yet: an operator
/// that hung while another one took over may create it after the pool was deleted. Confirmed by the API server, because the
/// watch may lag behind.
async fn is_without_pool(pass: &Pass) -> Result<bool, Error> {
    let object = &pass.object;
    let waits = object.is_spare() && !object.is_issued() && object.metadata.deletion_timestamp.is_none();
    let Some(pool) = object.spec.pool.as_deref().filter(|_| waits) else {
        return Ok(false);
    };
    if pass.ctx.core.stores.pools.get(&ObjectRef::new(pool)).is_some() {
        return Ok(false);
    }
    let api: Api<OrchestraPool> = Api::all(pass.ctx.core.client.clone());
    Ok(api.get_opt(pool).await?.is_none())
}

/// The Orchestra that the claim names, according to the watch.
pub fn watched(pass: &Pass) -> Option<Arc<Orchestra>> {
    let claim = pass.object.spec.claim_ref.as_ref()?;
    let holder = ObjectRef::<Orchestra>::new(&claim.name).within(&claim.namespace);
    let holder = pass.ctx.core.stores.orchestras.get(&holder)?;
    (holder.metadata.uid.as_ref() == Some(&claim.uid)).then_some(holder)
}

/// What is known of the login of the tenant that holds the database.
pub fn login(pass: &Pass) -> LoginMarks {
    LoginMarks::of(&pass.ctx.core, pass.name(), pass.claim_uid())
}
