//! The claim: which database is ours, how a claim can be met, and how a database is taken by compare-and-swap.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use kube::runtime::reflector::ObjectRef;
use serde_json::json;

use super::observe::Observed;
use super::plan::{DatabaseState, Inside, Intent, Supply};
use super::wait::{Stop, Wait};
use super::{Context, Pass, existing, power, reclaim, restore};
use crate::api::condition::Reason;
use crate::api::names::{FIELD_MANAGER, POOL_LABEL, tenant_secret};
use crate::api::slim::Slim;
use crate::api::{
    ClaimReference, FormerLogins, Orchestra, OrchestraClass, OrchestraDatabase, OrchestraDatabaseSpec, PowerState,
    Recycle, SupabaseProject,
};
use crate::class::{self, Way, budget};
use crate::controller::error::Error;
use crate::controller::latest::Latest;
use crate::controller::status::{News, tell};
use crate::controller::write::{change, post_parameters};
use crate::credentials::{secrets, tenant};
use crate::pool::candidates;
use crate::supabase::marker;

/// The database that this Orchestra claims, looked up by its UID in the watched objects.
pub fn known(pass: &Pass) -> Option<OrchestraDatabase> {
    let watched = databases(pass).find(|database| is_ours(pass, database));
    watched.map(|database| (*database).clone())
}

pub fn databases(pass: &Pass) -> &Latest<OrchestraDatabase> {
    &pass.ctx.core.stores.databases
}

/// The claimed database, looked up in the API server, because the watch may lag behind our own claim: before a database is
/// claimed, called lost, or forgotten. An Orchestra that waits for a database costs no request.
pub async fn find(pass: &Pass) -> Result<Option<OrchestraDatabase>, Error> {
    let selector = format!("spec.claimRef.uid={}", pass.uid());
    let api: Api<Slim<OrchestraDatabase>> = Api::all(pass.ctx.core.client.clone());
    let found = api.list(&ListParams::default().fields(&selector)).await?;
    let mut found = found.items.into_iter().map(|Slim(database)| database);
    Ok(found.find(|database| is_ours(pass, database)))
}

fn is_ours(pass: &Pass, database: &OrchestraDatabase) -> bool {
    let claim = database.spec.claim_ref.as_ref();
    claim.is_some_and(|claim| claim.uid == pass.uid())
}

/// The state of the claimed database, and the message for people.
pub fn state(database: &OrchestraDatabase) -> (DatabaseState, String) {
    let spec = &database.spec;
    if spec.released_at.is_some() {
        return (DatabaseState::Leaving, "the claim on the database is released".into());
    }
    if database.is_ready() {
        return (DatabaseState::Usable(Inside::UNSEEN), String::new());
    }
    let message = database.message().unwrap_or_default().to_owned();
    match database.stalled_reason() {
        Some(reason) => (DatabaseState::Stopped(reason), message),
        None if database.is_queued() => (DatabaseState::Queued, message),
        // The OrchestraDatabase has the details: repeated here, each change of them would be a write.
        None => (DatabaseState::Provisioning, String::new()),
    }
}

/// How a claim could be met now.
pub struct Offer {
    /// How, and how far it has come.
    pub supply: Supply,
    /// The names of the databases that could be claimed, the best one first.
    pub candidates: Vec<String>,
    /// The message when the claim cannot be met.
    pub message: String,
}

impl Offer {
    pub fn of(supply: Supply, candidate: String) -> Self {
        Self {
            supply,
            candidates: vec![candidate],
            message: String::new(),
        }
    }

    pub fn none(supply: Supply, message: impl Into<String>) -> Self {
        Self {
            supply,
            candidates: Vec::new(),
            message: message.into(),
        }
    }
}

/// How a claim could be met now. An earlier intent is kept while it is possible: another operator may be about to execute
/// it.
pub async fn supply(pass: &Pass, class: &OrchestraClass) -> Result<Offer, Error> {
    if let Some(existing) = pass.object.spec.existing() {
        return existing::supply(pass, class, existing).await;
    }
    let own = class::database_name(pass.uid());
    let status = pass.object.status.as_ref();
    if let Some(name) = status.and_then(|status| status.claiming.clone()) {
        if name == own {
            return Ok(Offer::of(Supply::Provider(Intent::Written), name));
        }
        if can_take(pass, class, &name).await? {
            if pass.ctx.pool.choices.is_open(&name, pass.uid()) {
                return Ok(Offer::of(Supply::Member(Intent::Written), name));
            }
            // Another operator may be about to take it: the intent stays.
            let message = format!("OrchestraDatabase {name} is being prepared");
            return Ok(Offer::none(Supply::Awaited(Wait::Member), message));
        }
    }
    if let Some(offer) = restore::offer(pass, class) {
        return Ok(offer);
    }
    if let Some(name) = pass.reserved.clone() {
        let supply = if name == own { Supply::Provider } else { Supply::Member };
        return Ok(Offer::of(supply(Intent::Reserved), name));
    }
    Ok(offer(pass, class, own))
}

/// Whether the member that was intended can still be taken. The watch may lag behind what an earlier leader has seen: an
/// intent is given up only by the API server's answer.
async fn can_take(pass: &Pass, class: &OrchestraClass, name: &str) -> Result<bool, Error> {
    let fits = |member: &OrchestraDatabase| candidates::fits(&pass.object, class, member);
    let known = databases(pass).get(&ObjectRef::new(name));
    if known.is_some_and(|member| fits(&member)) {
        return Ok(true);
    }
    let found = api(&pass.ctx).get_opt(name).await?;
    Ok(found.is_some_and(|member| fits(&member)))
}

/// The first way of the class that can meet a claim.
fn offer(pass: &Pass, class: &OrchestraClass, own: String) -> Offer {
    let mut trouble = None;
    for way in class::ways(class) {
        match way {
            Way::Provider => match class.provider_trouble() {
                None => match budget::has_room(&pass.ctx.class, class, &pass.object, &own) {
                    Ok(()) => return Offer::of(Supply::Provider(Intent::Open), own),
                    Err(full) => return no_room(pass, class, &full),
                },
                Some((Reason::Pending, _)) => {
                    let message = "the operator has not checked the class yet";
                    return Offer::none(Supply::Awaited(Wait::ClassCheck), message);
                }
                Some((reason, message)) => trouble = Some(Offer::none(Supply::Blocked(Stop::Claim(reason)), message)),
            },
            Way::Pools => {
                let before = trouble.map(|trouble: Offer| trouble.message);
                let offer = of_pools(pass, class, before.as_deref());
                if matches!(offer.supply, Supply::Member(_)) {
                    return offer;
                }
                trouble = Some(offer);
            }
        }
    }
    trouble.unwrap_or_else(|| {
        let message = "the class has neither a provider nor pools: give it one of them";
        Offer::none(Supply::Blocked(Stop::Claim(Reason::NoProvider)), message)
    })
}

/// The offer instead of a project that the budget has no room for.
fn no_room(pass: &Pass, class: &OrchestraClass, full: &Error) -> Offer {
    if budget::uses_pool(class) {
        return of_pools(pass, class, Some(&full.to_string()));
    }
    Offer::none(Supply::Blocked(Stop::Unwatched(full.reason())), full.to_string())
}

/// The free members of the class's pools. `before`: why the provider was not asked.
fn of_pools(pass: &Pass, class: &OrchestraClass, before: Option<&str>) -> Offer {
    let found = candidates::candidates(&pass.ctx.pool, &pass.object, class);
    if found.is_empty() {
        let before = before.map(|message| format!("; {message}")).unwrap_or_default();
        let message = candidates::shortage(&pass.ctx.pool, &pass.object, class) + &before;
        return Offer::none(Supply::Awaited(Wait::Member), message);
    }
    Offer {
        supply: Supply::Member(Intent::Open),
        candidates: found,
        message: String::new(),
    }
}

/// Reserves what could be claimed: room in the budget, or the first member that no other Orchestra has
/// reserved. Nothing is reserved when others were faster.
pub fn reserve(pass: &mut Pass, observed: &Observed) {
    let Some(class) = &observed.class else { return };
    pass.reserved = match observed.facts.database {
        DatabaseState::None(Supply::Provider(_)) => {
            let own = class::database_name(pass.uid());
            let room = budget::take_room(&pass.ctx.class, class, &pass.object, &own);
            room.is_ok().then_some(own)
        }
        // It is offered to nobody else; the API server decides who takes it.
        _ if pass.object.spec.existing().is_some() => observed.candidates.first().cloned(),
        _ => candidates::reserve(&pass.ctx.pool, &pass.object, &observed.candidates),
    };
}

pub fn claim_reference(pass: &Pass) -> ClaimReference {
    ClaimReference {
        namespace: pass.namespace().into(),
        name: pass.name().into(),
        uid: pass.uid().into(),
        namespace_uid: pass.here().and_then(|here| here.metadata.uid.clone()),
    }
}

/// Asks for a new database. Its name is made from our UID, so a second request finds the first.
pub async fn create(pass: &Pass, observed: &Observed) -> Result<(), Error> {
    let Some(class) = observed.class.clone() else {
        return Ok(());
    };
    let instance_size = class
        .spec
        .provider
        .as_ref()
        .and_then(|provider| provider.supabase.instance_size.clone());
    let choice = class::placement::choose(&class, pass.object.spec.placement.as_ref())?;
    let name = class::database_name(pass.uid());
    let project = SupabaseProject {
        name: marker::mint(&pass.ctx.class.cluster, pass.namespace(), pass.name(), &name),
        region: choice.region,
        alternatives: choice.alternatives,
        near: choice.near,
        instance_size,
        adopted: None,
    };
    let spec = OrchestraDatabaseSpec {
        class_name: Some(class.name_any()),
        supabase: Some(project),
        claim_ref: Some(claim_reference(pass)),
        reclaim_policy: reclaim::policy(&pass.object, Some(&class)),
        ..OrchestraDatabaseSpec::default()
    };
    let database = OrchestraDatabase::new(&name, spec);
    let created = match api(&pass.ctx).create(&post_parameters(FIELD_MANAGER), &database).await {
        Err(kube::Error::Api(status)) if status.is_already_exists() => api(&pass.ctx).get(&name).await?,
        other => other?,
    };
    databases(pass).wrote(&created);
    Ok(())
}

/// Takes a member of a pool: of two Orchestras, the API server lets one succeed, because the request names the version of
/// the member that was seen free.
pub async fn take(pass: &Pass, observed: &Observed) -> Result<(), Error> {
    let (Some(class), Some(name)) = (&observed.class, observed.candidates.first()) else {
        return Ok(());
    };
    if pass.object.spec.existing().is_some() {
        return existing::take(pass, class, name).await;
    }
    let known = databases(pass).get(&ObjectRef::new(name));
    let member = match known.filter(|member| candidates::fits(&pass.object, class, member)) {
        Some(member) => Some((*member).clone()),
        None => api(&pass.ctx).get_opt(name).await?,
    };
    let Some(member) = member.filter(|member| candidates::fits(&pass.object, class, member)) else {
        return Ok(());
    };
    let patch = json!({
        // A claimed database no longer counts among those that wait for a claim.
        "metadata": {"labels": {POOL_LABEL: null}},
        "spec": {
            "className": class.name_any(),
            "claimRef": claim_reference(pass),
            "reclaimPolicy": reclaim::policy(&pass.object, Some(class)),
        },
    });
    change(&pass.ctx.core, &member, patch).await.map(drop)
}

/// The message of a database that is not where the Orchestra's placement says, because the placement was added later, or
/// the database is an entry of a pool.
pub fn elsewhere(object: &Orchestra, database: Option<&OrchestraDatabase>) -> Option<String> {
    let placement = object.spec.placement.as_ref()?;
    let database = database?;
    let Some(wanted) = &placement.region else {
        return database.spec.inventory.as_ref().map(|_| {
            "proven usable by a login. It is a pool's entry, whose region is not known: spec.placement.near has no effect \
             on it"
                .to_owned()
        });
    };
    let project = database.status.as_ref().and_then(|status| status.project.as_ref());
    match project.map(|project| &project.region) {
        Some(region) if region == wanted => None,
        Some(region) => Some(format!(
            "proven usable by a login. It is in region {region}: spec.placement.region {wanted} has no effect on a database \
             that exists; create a new Orchestra to have one there"
        )),
        None => database.spec.inventory.as_ref().map(|_| {
            format!(
                "proven usable by a login. It is an entry of a pool, whose region is unknown: spec.placement.region \
                 {wanted} is only passed to the seed and does not affect the location"
            )
        }),
    }
}

/// Writes whether the database is to run.
pub async fn set_power(pass: &Pass, database: &OrchestraDatabase, state: PowerState) -> Result<(), Error> {
    let patch = json!({"spec": {"powerState": state}});
    change(&pass.ctx.core, database, patch).await.map(drop)
}

/// Releases the claim. From then on the reclaim policy decides what happens with the database.
pub async fn release(pass: &Pass, observed: &Observed) -> Result<(), Error> {
    let Some(database) = observed.database.clone() else {
        return Ok(());
    };
    let class = class::resolve(&pass.ctx.class, database.spec.class_name.as_deref()).ok();
    let policy = reclaim::at_release(&pass.object, class.as_deref(), &database, pass.recorded);
    let asked =
        database.adopted().is_some() && reclaim::asks_for_destruction(&pass.object, class.as_deref(), &database);
    if asked && !pass.recorded {
        let note = format!(
            "project {} was adopted and is kept, although the deletion policy is Delete: this Orchestra's claim record was not found \
             in its database, which is paused, unreachable, or another Orchestra's. An admin who has looked into it sets \
             reclaimPolicy: Delete on OrchestraDatabase {}, or keeps it",
            database.project_ref().unwrap_or_default(),
            database.name_any()
        );
        tell(&pass.ctx.core, &pass.object, &News::warning(Reason::Released, note)).await;
    }
    // An Orchestra that takes the database back later gets another password.
    if secrets::is_watched(&pass.ctx.core, &tenant_secret(&database.name_any())) {
        tenant::forget(&pass.ctx.core, &database.name_any()).await?;
    }
    let logins = if pass.logins_end {
        FormerLogins::Revoked
    } else {
        FormerLogins::Left
    };
    let mut patch =
        json!({"spec": {"releasedAt": Time(observed.now), "reclaimPolicy": policy, "formerLogins": logins}});
    if database.spec.inventory.is_some() {
        patch["spec"]["recycle"] = json!(recycle(pass, &database));
    }
    if power::sleeps_on(pass, observed, &database) || power::sleeps_in_grace(class.as_deref(), &database, policy) {
        patch["spec"]["powerState"] = json!(PowerState::Paused);
    }
    match change(&pass.ctx.core, &database, patch).await {
        Err(error) if error.is_not_found() => databases(pass).removed(&ObjectRef::from_obj(&database)),
        released => drop(released?),
    }
    Ok(())
}

/// The `recycle` of the entry's pool.
fn recycle(pass: &Pass, database: &OrchestraDatabase) -> Option<Recycle> {
    let entry = database.spec.inventory.as_ref()?;
    let pool = pass.ctx.core.stores.pools.get(&ObjectRef::new(&entry.pool))?;
    pool.recycle()
}

pub fn api(ctx: &Context) -> Api<OrchestraDatabase> {
    Api::all(ctx.core.client.clone())
}
