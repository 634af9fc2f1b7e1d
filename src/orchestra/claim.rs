//! The claim: which database is ours, how one can be had, and taking it by compare-and-swap.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use serde_json::json;

use super::Context;
use super::Pass;
use super::plan::{Database, Supply};
use crate::api::condition::{ConditionType, Reason};
use crate::api::{
    ClaimReference, DeletionPolicy, OrchestraClass, OrchestraDatabase, OrchestraDatabaseSpec, SupabaseProject,
};
use crate::class::{self, Way, budget};
use crate::controller::conditions::{self, is_true};
use crate::controller::error::Error;
use crate::pool::candidates;
use crate::supabase::marker;

/// The database that this Orchestra claims, looked up by its UID in the watched objects.
pub fn known(pass: &Pass) -> Option<OrchestraDatabase> {
    let watched = || pass.ctx.core.stores.databases.find(|database| is_ours(pass, database));
    pass.database
        .clone()
        .or_else(|| watched().map(|database| (*database).clone()))
}

/// The same in the API server itself, because a watch may lag behind our own claim: asked before one is
/// claimed, told to be lost, or forgotten. Who waits for a database costs no request.
pub async fn find(pass: &Pass) -> Result<Option<OrchestraDatabase>, Error> {
    let selector = format!("spec.claimRef.uid={}", pass.uid());
    let found = api(&pass.ctx).list(&ListParams::default().fields(&selector)).await?;
    Ok(found.items.into_iter().find(|database| is_ours(pass, database)))
}

fn is_ours(pass: &Pass, database: &OrchestraDatabase) -> bool {
    let claim = database.spec.claim_ref.as_ref();
    claim.is_some_and(|claim| claim.uid == pass.uid())
}

/// What the claimed database means to its Orchestra, and what to tell people.
pub fn state(pass: &Pass, database: &OrchestraDatabase) -> (Database, String) {
    let spec = &database.spec;
    if spec.released_at.is_some() {
        let destroyed = spec.reclaim_policy == DeletionPolicy::Delete && spec.supabase.is_some();
        return match (pass.object.metadata.deletion_timestamp.is_some(), destroyed) {
            (true, false) => (Database::None(Supply::Awaited(Reason::Released)), String::new()),
            _ => (Database::Leaving, "the database was released".into()),
        };
    }
    let conditions = database
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice())
        .unwrap_or_default();
    if is_true(conditions, ConditionType::Ready) {
        return (Database::Usable, String::new());
    }
    let message = conditions::find(conditions, ConditionType::Ready)
        .map(|is| is.message.clone())
        .unwrap_or_default();
    match conditions::find(conditions, ConditionType::Stalled).and_then(|is| reason(&is.reason)) {
        Some(reason) => (Database::Stopped(reason), message),
        None if conditions::find(conditions, ConditionType::Reconciling)
            .is_some_and(|is| is.reason == Reason::Queued.as_str()) =>
        {
            (Database::Queued, message)
        }
        // The details are the OrchestraDatabase's to tell: repeated here, each would be a write.
        None => (Database::Provisioning, String::new()),
    }
}

/// The reasons that stop a database, by their names.
fn reason(name: &str) -> Option<Reason> {
    Reason::all().find(|reason| reason.as_str() == name)
}

/// How a claim could be met now, and what to tell people when it cannot. What was intended before is
/// kept to while it is possible: another operator may be about to carry it out.
pub async fn supply(pass: &mut Pass, class: &OrchestraClass) -> Result<(Supply, String), Error> {
    let intended = pass.object.status.as_ref().and_then(|status| status.claiming.clone());
    if let Some(name) = intended {
        let own = name == class::database_name(pass.uid());
        if own
            || api(&pass.ctx)
                .get_opt(&name)
                .await?
                .is_some_and(|member| candidates::fits(&pass.object, class, &member))
                && pass.ctx.pool.choices.first([name.as_str()], pass.uid()).is_some()
        {
            pass.candidate = Some(name);
            return Ok((if own { Supply::Provider } else { Supply::Member }, String::new()));
        }
    }
    let (mut supply, mut message) = offer(pass, class);
    // The room is taken before the intent is written: what was intended is kept to.
    if supply == Supply::Provider
        && let Err(full) = budget::take_room(&pass.ctx.class, class, &pass.object, &class::database_name(pass.uid()))
    {
        (supply, message) = no_room(pass, class, &full);
    }
    match supply {
        Supply::Provider => pass.candidate = Some(class::database_name(pass.uid())),
        Supply::Member => {}
        Supply::Awaited(_) | Supply::Blocked(_) => pass.candidate = None,
    }
    Ok((supply, message))
}

/// Chooses a database of a pool.
fn has_member(pass: &mut Pass, class: &OrchestraClass) -> bool {
    pass.candidate = candidates::choose(&pass.ctx.pool, &pass.object, class);
    pass.candidate.is_some()
}

fn offer(pass: &mut Pass, class: &OrchestraClass) -> (Supply, String) {
    let mut trouble = None;
    for way in class::ways(class) {
        match way {
            Way::Provider => match class.provider_trouble() {
                None => match budget::has_room(&pass.ctx.class, class, &pass.object, &class::database_name(pass.uid()))
                {
                    Ok(()) => return (Supply::Provider, String::new()),
                    Err(error) => return no_room(pass, class, &error),
                },
                Some((Reason::Pending, _)) => {
                    return (
                        Supply::Awaited(Reason::Pending),
                        "the class has not been checked yet".into(),
                    );
                }
                Some((reason, message)) => trouble = Some((Supply::Blocked(reason), message.to_owned())),
            },
            Way::Pools if has_member(pass, class) => return (Supply::Member, String::new()),
            Way::Pools => {
                let before = trouble.map(|(_, message): (Supply, String)| message);
                trouble = Some(exhausted(pass, class, before.as_deref()));
            }
        }
    }
    trouble.unwrap_or_else(|| {
        (
            Supply::Blocked(Reason::NoProvider),
            "the class has neither a provider nor pools".into(),
        )
    })
}

/// What there is instead of a project that the budget has no room for.
fn no_room(pass: &mut Pass, class: &OrchestraClass, error: &Error) -> (Supply, String) {
    if !budget::uses_pool(class) {
        return (Supply::Blocked(error.reason()), error.to_string());
    }
    if has_member(pass, class) {
        return (Supply::Member, String::new());
    }
    exhausted(pass, class, Some(&error.to_string()))
}

fn exhausted(pass: &Pass, class: &OrchestraClass, before: Option<&str>) -> (Supply, String) {
    let before = before.map(|message| format!("; {message}")).unwrap_or_default();
    let message = candidates::shortage(&pass.ctx.pool, &pass.object, class) + &before;
    (Supply::Awaited(Reason::PoolExhausted), message)
}

fn claim_reference(pass: &Pass) -> ClaimReference {
    ClaimReference {
        namespace: pass.namespace().into(),
        name: pass.name().into(),
        uid: pass.uid().into(),
    }
}

fn policy(pass: &Pass, class: Option<&OrchestraClass>) -> DeletionPolicy {
    let default = class.map(|class| class.spec.deletion.policy).unwrap_or_default();
    pass.object.spec.deletion_policy.unwrap_or(default)
}

/// Asks for a new database. Its name is made from our UID, so a second request finds the first.
pub async fn create(pass: &mut Pass) -> Result<(), Error> {
    let Some(class) = pass.class.clone() else { return Ok(()) };
    let wanted = pass
        .object
        .spec
        .placement
        .as_ref()
        .map(|placement| placement.region.as_str());
    let instance_size = class
        .spec
        .provider
        .as_ref()
        .and_then(|provider| provider.supabase.instance_size.clone());
    let region = class::region(&class, wanted)?;
    let project = SupabaseProject {
        name: marker::mint(&pass.ctx.class.cluster, pass.namespace(), pass.name(), pass.uid()),
        alternatives: if wanted.is_some() {
            Vec::new()
        } else {
            class::alternatives(&class, &region)
        },
        region,
        instance_size,
    };
    let spec = OrchestraDatabaseSpec {
        class_name: Some(class.name_any()),
        supabase: Some(project),
        claim_ref: Some(claim_reference(pass)),
        reclaim_policy: policy(pass, Some(&class)),
        ..OrchestraDatabaseSpec::default()
    };
    let name = class::database_name(pass.uid());
    let database = OrchestraDatabase::new(&name, spec);
    let created = match api(&pass.ctx).create(&PostParams::default(), &database).await {
        Err(kube::Error::Api(status)) if status.is_already_exists() => api(&pass.ctx).get(&name).await?,
        other => other?,
    };
    pass.database = Some(created);
    Ok(())
}

/// Takes a database of a pool: of two who try, the API server lets one win.
pub async fn take(pass: &mut Pass) -> Result<(), Error> {
    let Some(class) = pass.class.clone() else { return Ok(()) };
    let Some(name) = pass.candidate.clone() else {
        return Ok(());
    };
    let Some(member) = api(&pass.ctx)
        .get_opt(&name)
        .await?
        .filter(|member| candidates::fits(&pass.object, &class, member))
    else {
        return Ok(());
    };
    let patch = json!({
        "metadata": {"resourceVersion": member.resource_version()},
        "spec": {
            "className": class.name_any(),
            "claimRef": claim_reference(pass),
            "reclaimPolicy": policy(pass, Some(&class)),
        },
    });
    let taken = api(&pass.ctx)
        .patch(&member.name_any(), &PatchParams::default(), &Patch::Merge(patch))
        .await?;
    pass.database = Some(taken);
    Ok(())
}

/// Lets the claim go. From here on the reclaim policy decides what becomes of the database.
pub async fn release(pass: &mut Pass) -> Result<(), Error> {
    let Some(database) = pass.database.clone() else {
        return Ok(());
    };
    let class = class::resolve(&pass.ctx.class, database.spec.class_name.as_deref()).ok();
    let policy = match pass.object.spec.deletion_policy {
        None if class.is_none() => database.spec.reclaim_policy,
        _ => policy(pass, class.as_deref()),
    };
    let patch = json!({
        "metadata": {"resourceVersion": database.resource_version()},
        "spec": {"releasedAt": Time(jiff::Timestamp::now()), "reclaimPolicy": policy},
    });
    let patched = api(&pass.ctx)
        .patch(&database.name_any(), &PatchParams::default(), &Patch::Merge(patch))
        .await;
    match patched {
        Ok(released) => pass.database = Some(released),
        Err(kube::Error::Api(status)) if status.is_not_found() => pass.database = None,
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

fn api(ctx: &Context) -> Api<OrchestraDatabase> {
    Api::all(ctx.core.client.clone())
}
