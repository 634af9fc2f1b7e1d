//! Executes the steps. Nothing else in this room changes anything.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use kube::ResourceExt;
use kube::api::Api;

use super::attempts::Refusal;
use super::observe::Observed;
use super::plan::{PreparationWork, Step, UnpreparedState};
use super::servers::Looker;
use super::{PATIENCE, Pass, checks, preparation, probe, servers};
use crate::api::names::{FIELD_MANAGER, POOL_LABEL, pool_label};
use crate::api::{InventoryEntry, OrchestraDatabase, OrchestraDatabaseSpec, OrchestraPool};
use crate::controller::background::Works;
use crate::controller::error::Error;
use crate::controller::reconcile::Next;
use crate::controller::write::{delete, post_parameters};
use crate::credentials::inventory;

/// Executes a step; `None` when the pass continues at once.
pub async fn act(pass: &Pass, step: Step, mut observed: Observed) -> Result<Option<Next>, Error> {
    match step {
        Step::Withdraw(names) => withdraw(pass, &observed, &names).await?,
        Step::Enlist(entries) => {
            for (key, name) in entries {
                enlist(pass, &observed, &key, &name).await;
            }
        }
        Step::Probe(keys) => {
            for key in keys {
                probe::begin(pass, &observed.inventory, &key);
            }
        }
        Step::AwaitProbes => {
            let probed = observed.facts.entries.iter().filter(|entry| entry.is_young());
            let probed: Vec<_> = probed.map(|entry| probe::id(pass.uid(), &entry.key)).collect();
            await_end(&pass.ctx.probes, &probed).await;
        }
        Step::Check(keys) => {
            for key in keys {
                if let Some(member) = observed.member(&key) {
                    checks::begin(pass, &observed.inventory, &key, member);
                }
            }
        }
        Step::Look(keys) => {
            for key in keys {
                look(pass, &observed, &key);
            }
        }
        Step::LookAtServer => {
            if let Some(login) = observed.server.take() {
                servers::begin(pass, login, &Looker::Own);
            }
        }
        Step::Prepare(keys) => {
            for key in keys {
                prepare(pass, &observed, &key).await;
            }
        }
        Step::AwaitPreparations => {
            let prepared = preparing(&observed);
            await_end(&pass.ctx.preparations, &prepared).await;
        }
        // The report of the error writes its message.
        Step::Stop => return observed.trouble.take().map_or(Ok(Some(Next::Rest)), Err),
        Step::Yield => return Ok(Some(Next::After(Duration::ZERO))),
        Step::Wait(wait) => {
            forget(pass, &observed);
            return Ok(Some(Next::After(wait)));
        }
        Step::Rest => {
            forget(pass, &observed);
            return Ok(Some(Next::Rest));
        }
    }
    Ok(None)
}

/// Starts a check of the server of an entry, with the login of its database's owner.
fn look(pass: &Pass, observed: &Observed, key: &str) {
    let url = observed.inventory.get(key);
    let login = url.and_then(|url| inventory::read(url, &pass.ctx.core.settings.database_roots).ok());
    if let (Some(login), Some(member)) = (login, observed.member(key)) {
        servers::begin(pass, login, &Looker::Member(&member.name_any()));
    }
}

async fn prepare(pass: &Pass, observed: &Observed, key: &str) {
    let (Some(wanted), Some(member)) = (&observed.wanted, observed.member(key)) else {
        return;
    };
    let Some(url) = observed.inventory.get(key) else { return };
    let login = inventory::read(url, &pass.ctx.core.settings.database_roots);
    preparation::begin(pass, wanted, member, login).await;
}

/// UIDs of the members whose preparation has just started.
fn preparing(observed: &Observed) -> Vec<String> {
    let PreparationWork::Of(unprepared) = &observed.facts.preparation else {
        return Vec::new();
    };
    let young = unprepared
        .iter()
        .filter(|member| member.state == UnpreparedState::Running { young: true });
    young.filter_map(|member| observed.member(&member.key)?.uid()).collect()
}

/// Waits until these pieces of work have ended, for no longer than [`PATIENCE`] in all.
pub async fn await_end(works: &Works<OrchestraPool, ()>, ids: &[String]) {
    let until = Instant::now() + PATIENCE;
    for id in ids {
        let left = until.saturating_duration_since(Instant::now());
        // The result is in the memory of attempts.
        if let Err(error) = works.progress(id, left).await {
            tracing::debug!(%error, "work of a pool was interrupted");
        }
    }
}

/// Creates the OrchestraDatabase of an entry, unless another entry leads to the same database. The outcome of the probe
/// counts only once: the database is probed again before another member is created for it.
async fn enlist(pass: &Pass, observed: &Observed, key: &str, name: &str) {
    let probes = &pass.ctx.memory.probes;
    match create(pass, key, name).await {
        Err(refusal) => {
            let subject = probe::subject(pass, &observed.inventory, key);
            probes.end(pass.uid(), key, &subject, Err(refusal));
        }
        Ok(()) => probes.forget(pass.uid(), key),
    }
}

async fn create(pass: &Pass, key: &str, name: &str) -> Result<(), Refusal> {
    let spec = OrchestraDatabaseSpec {
        pool: Some(pass.name().into()),
        inventory: Some(InventoryEntry {
            pool: pass.name().into(),
            key: key.into(),
        }),
        ..OrchestraDatabaseSpec::default()
    };
    let api = pass.api();
    let mut member = OrchestraDatabase::new(name, spec);
    if pass.pool.spec.server.is_some() {
        member.labels_mut().insert(POOL_LABEL.into(), pool_label(pass.name()));
    }
    let member = match api.create(&post_parameters(FIELD_MANAGER), &member).await {
        Ok(member) => member,
        Err(kube::Error::Api(status)) if status.is_already_exists() => existing(pass, &api, key, name).await?,
        Err(error) => return Err(Refusal::from(&Error::from(error))),
    };
    pass.ctx.core.stores.databases.wrote(&member);
    Ok(())
}

/// The OrchestraDatabase of this name, when it is this entry's and the watch does not show it yet.
async fn existing(
    pass: &Pass,
    api: &Api<OrchestraDatabase>,
    key: &str,
    name: &str,
) -> Result<OrchestraDatabase, Refusal> {
    let other = api
        .get(name)
        .await
        .map_err(|error| Refusal::from(&Error::from(error)))?;
    let (its_pool, its_key) = (other.pool().unwrap_or_default(), preparation::key(&other));
    if its_pool == pass.name() && its_key == Some(key) {
        return Ok(other);
    }
    Err(Refusal::duplicate(&other))
}

/// Deletes members whose entries were removed from the inventory. A claim that comes in between changes the version, and
/// the API server refuses the deletion.
async fn withdraw(pass: &Pass, observed: &Observed, names: &[String]) -> Result<(), Error> {
    for member in observed
        .members
        .iter()
        .filter(|member| names.contains(&member.name_any()))
    {
        delete(&pass.ctx.core, &**member).await?;
    }
    Ok(())
}

/// Forgets what was tried with entries and members that are gone, and ends what still runs for them.
fn forget(pass: &Pass, observed: &Observed) {
    let (ctx, uid) = (&pass.ctx, pass.uid());
    let (probes, preparations) = (&ctx.memory.probes, &ctx.memory.preparations);
    checks::note(pass, &observed.inventory, &observed.members);
    for key in probes.retain(uid, |key| observed.inventory.contains_key(key)) {
        ctx.probes.stop(&probe::id(uid, &key));
    }
    let members: HashSet<_> = observed.members.iter().filter_map(|member| member.uid()).collect();
    // A preparation that still runs ends by itself: its script is not interrupted.
    preparations.retain(uid, |member| members.contains(member));
    let pools = ctx.core.stores.pools.state();
    let pools: HashSet<_> = pools.iter().filter_map(|pool| pool.uid()).collect();
    probes.retain_pools(|uid| pools.contains(uid));
    preparations.retain_pools(|uid| pools.contains(uid));
    ctx.memory.checks.retain_pools(|uid| pools.contains(uid));
    ctx.memory.made.retain_pools(|uid| pools.contains(uid));
    ctx.memory.servers.retain_pools(|uid| pools.contains(uid));
}
