//! Executes the steps. Nothing else of a pool that creates its members changes anything.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt;
use kube::api::ListParams;
use uuid::Uuid;

use super::observe::Observed;
use super::plan::{Step, WarmMemberState};
use super::status;
use crate::api::condition::Reason;
use crate::api::names::{FIELD_MANAGER, POOL_LABEL, pool_label};
use crate::api::{DeletionPolicy, OrchestraClass, OrchestraDatabase, OrchestraDatabaseSpec, SupabaseProject};
use crate::class::{self, budget};
use crate::controller::error::Error;
use crate::controller::reconcile::Next;
use crate::controller::write::{delete, post_parameters};
use crate::credentials::owner;
use crate::pool::act::await_end;
use crate::pool::plan::UnpreparedState;
use crate::pool::wanted::MemberContents;
use crate::pool::{BEHIND, Pass, preparation};
use crate::supabase::marker;

/// The part of a project's name that replaces the namespace for a pool's project.
const POOL: &str = "pool";

/// Executes a step; `None` when the pass continues at once.
pub async fn act(pass: &mut Pass, step: Step, observed: &Observed) -> Result<Option<Next>, Error> {
    match &step {
        Step::AddFinalizer => pass.set_finalizer(true).await?,
        Step::RemoveFinalizer => return remove_finalizer(pass).await,
        Step::Plan(more) => return plan(pass, &step, observed, *more).await,
        Step::Create(names) => return create_all(pass, observed, names).await,
        Step::Drop(names) => drop_names(pass, &step, observed, names).await?,
        Step::Destroy(names) => destroy(pass, observed, names).await?,
        Step::Prepare(names) => {
            for name in names {
                prepare(pass, observed, name).await;
            }
        }
        Step::AwaitPreparations => {
            let young = WarmMemberState::Unprepared(UnpreparedState::Running { young: true });
            let young = observed.facts.members.iter().filter(|member| member.state == young);
            let uids: Vec<_> = young
                .filter_map(|member| observed.member(&member.name)?.uid())
                .collect();
            await_end(&pass.ctx.preparations, &uids).await;
        }
        // Its only effect is the status, which is already written.
        Step::Settle => {}
        Step::Yield => return Ok(Some(Next::After(Duration::ZERO))),
        Step::Wait(wait) => {
            forget(pass, observed);
            return Ok(Some(Next::After(*wait)));
        }
        Step::Rest => {
            forget(pass, observed);
            return Ok(Some(Next::Rest));
        }
    }
    Ok(None)
}

/// Removes the pool's finalizer, unless the API server has an unclaimed member that the watch does not show yet.
async fn remove_finalizer(pass: &mut Pass) -> Result<Option<Next>, Error> {
    let left = unclaimed(pass).await?;
    if !left.is_empty() {
        destroy_all(pass, &left).await?;
        return Ok(Some(Next::After(BEHIND)));
    }
    pass.set_finalizer(false).await?;
    Ok(Some(Next::Gone))
}

/// The members without a claim that are not being deleted, as the API server itself has them: a watch may lag behind the
/// writes of an earlier leader.
async fn unclaimed(pass: &Pass) -> Result<Vec<OrchestraDatabase>, Error> {
    let selector = format!("spec.pool={},spec.claimRef.uid=", pass.name());
    let found = pass.api().list(&ListParams::default().fields(&selector)).await?;
    let is_left = |member: &OrchestraDatabase| member.is_unclaimed() && member.pool() == Some(pass.name());
    Ok(found.items.into_iter().filter(is_left).collect())
}

/// Records the names of further members. The write is a compare-and-swap on the pool, which was read before the members are
/// counted in the API server: another operator that has created members since has also written the pool, so that this write
/// is refused.
async fn plan(pass: &mut Pass, step: &Step, observed: &Observed, more: usize) -> Result<Option<Next>, Error> {
    let counted: HashSet<_> = unclaimed(pass).await?.iter().map(ResourceExt::name_any).collect();
    let shown: HashSet<_> = observed.members.iter().map(|member| member.name_any()).collect();
    if counted != shown {
        return Ok(Some(Next::After(BEHIND)));
    }
    let mut planned = observed.facts.planned.clone();
    planned.extend((0..more).map(|_| format!("orchdb-{}", Uuid::new_v4())));
    status::change_planned(pass, step, observed, planned).await?;
    Ok(None)
}

/// Removes recorded names, so that nobody creates their members any more.
async fn drop_names(pass: &mut Pass, step: &Step, observed: &Observed, names: &[String]) -> Result<(), Error> {
    let mut planned = observed.facts.planned.clone();
    planned.retain(|name| !names.contains(name));
    status::change_planned(pass, step, observed, planned).await
}

/// Creates the members that are recorded, as long as the budget has room.
async fn create_all(pass: &Pass, observed: &Observed, names: &[String]) -> Result<Option<Next>, Error> {
    let Some(class) = &observed.class else {
        return Ok(Some(Next::After(super::plan::RETRY)));
    };
    for name in names {
        if budget::take_spare_room(&pass.ctx.class, class, name).is_err() {
            // The next observation finds that there is no room.
            return Ok(Some(Next::After(BEHIND)));
        }
        create(pass, class, name).await?;
    }
    Ok(None)
}

async fn create(pass: &Pass, class: &OrchestraClass, name: &str) -> Result<(), Error> {
    let choice = class::placement::choose(class, None)?;
    let provider = class.spec.provider.as_ref();
    let project = SupabaseProject {
        name: marker::mint(&pass.ctx.class.cluster, POOL, pass.name(), name),
        region: choice.region,
        alternatives: choice.alternatives,
        near: choice.near,
        instance_size: provider.and_then(|provider| provider.supabase.instance_size.clone()),
        adopted: None,
    };
    let spec = OrchestraDatabaseSpec {
        class_name: Some(class.name_any()),
        pool: Some(pass.name().into()),
        supabase: Some(project),
        // Until it is claimed it contains no tenant's data.
        reclaim_policy: DeletionPolicy::Delete,
        ..OrchestraDatabaseSpec::default()
    };
    let mut member = OrchestraDatabase::new(name, spec);
    member.labels_mut().insert(POOL_LABEL.into(), pool_label(pass.name()));
    let created = match pass.api().create(&post_parameters(FIELD_MANAGER), &member).await {
        Err(kube::Error::Api(status)) if status.is_already_exists() => existing(pass, name).await?,
        other => other?,
    };
    pass.ctx.core.stores.databases.wrote(&created);
    Ok(())
}

/// The member of this name that another operator has made.
async fn existing(pass: &Pass, name: &str) -> Result<OrchestraDatabase, Error> {
    let found = pass.api().get(name).await?;
    if found.pool() == Some(pass.name()) {
        return Ok(found);
    }
    let message = format!("OrchestraDatabase {name} exists and is not of this pool");
    Err(Error::blocked(Reason::InUse, message))
}

async fn destroy(pass: &Pass, observed: &Observed, names: &[String]) -> Result<(), Error> {
    let members = names.iter().filter_map(|name| observed.member(name));
    let members: Vec<_> = members.map(|member| (**member).clone()).collect();
    destroy_all(pass, &members).await
}

/// Deletes members in the version in which they were unclaimed. A claim that comes in between changes the version,
/// and the API server refuses the deletion; after the deletion it refuses the claim.
async fn destroy_all(pass: &Pass, members: &[OrchestraDatabase]) -> Result<(), Error> {
    let mut failed = None;
    for member in members {
        // The others are still destroyed.
        if let Err(error) = delete(&pass.ctx.core, member).await {
            failed.get_or_insert(error);
            continue;
        }
        tracing::info!(
            database = member.name_any(),
            "a member that nobody has claimed is destroyed"
        );
        pass.ctx.preparations.stop(&member.uid().unwrap_or_default());
    }
    failed.map_or(Ok(()), Err)
}

async fn prepare(pass: &Pass, observed: &Observed, name: &str) {
    let (Some(wanted), Some(member)) = (&observed.wanted, observed.member(name)) else {
        return;
    };
    prepare_member(pass, wanted, member).await;
}

async fn prepare_member(pass: &Pass, wanted: &Arc<MemberContents>, member: &OrchestraDatabase) {
    let core = &pass.ctx.core;
    let stored = owner::read(&owner::secrets(core), &member.name_any()).await;
    let login = stored.and_then(|owner| {
        let login = owner.and_then(|owner| owner.login(&core.settings.database_roots));
        login.ok_or_else(|| Error::transient(Reason::Provisioning, "the owner's login is not stored yet"))
    });
    preparation::begin(pass, wanted, member, login).await;
}

/// Forgets what was tried with members that are gone. A preparation that still runs ends by itself.
fn forget(pass: &Pass, observed: &Observed) {
    let members: HashSet<_> = observed.members.iter().filter_map(|member| member.uid()).collect();
    let preparations = &pass.ctx.memory.preparations;
    preparations.retain(pass.uid(), |member| members.contains(member));
    let pools = pass.ctx.core.stores.pools.state();
    let pools: HashSet<_> = pools.iter().filter_map(|pool| pool.uid()).collect();
    preparations.retain_pools(|uid| pools.contains(uid));
}
