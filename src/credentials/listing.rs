//! Reads the inventory of a pool: from its Secret, the Secrets that its selector selects, or the operator's environment.

use std::collections::HashMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use kube::core::{PartialObjectMeta, Selector, SelectorExt as _};
use kube::runtime::reflector::ObjectRef;
use parking_lot::Mutex;
use secrecy::{ExposeSecret as _, SecretString};

use super::inventory::{KEY_PREFIX, text};
use super::project::Inventory;
use super::{Context, made};
use crate::api::condition::Reason;
use crate::api::names::MANAGED_BY;
use crate::api::{DatabaseServer, OrchestraPool, StaticInventory, selector};
use crate::controller::Core;
use crate::controller::error::Error;
use crate::postgres::Login;

/// The most Secrets that a selector may select.
const MOST_SECRETS: usize = 1000;

/// The most that the Secrets of an inventory may hold in all, in bytes.
const MOST_BYTES: usize = 8 * 1024 * 1024;

/// The most Secrets that are read at once: each may hold 1 MiB.
const PAGE: u32 = 20;

/// Names and `resourceVersion`s of the Secrets of an inventory; none for the operator's environment.
pub type Versions = Option<Vec<(String, String)>>;

/// The inventories as they were last read, by the name of the pool. An inventory is read again when one of its
/// Secrets has another `resourceVersion`, or when they are other ones.
#[derive(Default)]
pub struct Inventories(Mutex<HashMap<String, CachedListing>>);

struct CachedListing {
    read: Versions,
    entries: Arc<Inventory>,
}

impl Inventories {
    fn get(&self, pool: &str, read: &Versions) -> Option<Arc<Inventory>> {
        let cached = self.0.lock();
        let found = cached.get(pool).filter(|cached| cached.read == *read)?;
        Some(found.entries.clone())
    }

    /// The inventory of a pool as it was read last.
    pub fn latest(&self, pool: &str) -> Option<Arc<Inventory>> {
        Some(self.0.lock().get(pool)?.entries.clone())
    }

    fn put(&self, pool: String, read: Versions, entries: Arc<Inventory>) {
        self.0.lock().insert(pool, CachedListing { read, entries });
    }

    fn retain(&self, exists: impl Fn(&str) -> bool) {
        self.0.lock().retain(|pool, _| exists(pool));
    }
}

/// The selector of a pool's Secrets.
fn selected_by(inventory: &StaticInventory) -> Result<Option<Selector>, Error> {
    let Some(wanted) = &inventory.selector else {
        return Ok(None);
    };
    let wrong = |wrong: String| {
        let message = format!("static.selector of the pool is not valid: {wrong}");
        Error::blocked(Reason::SelectorInvalid, message)
    };
    selector::parse(wanted).map(Some).map_err(wrong)
}

/// Whether a Secret is one that the operator has written itself: no inventory reads it.
fn is_own(secret: &impl ResourceExt) -> bool {
    secret.labels().get(MANAGED_BY.0).map(String::as_str) == Some(MANAGED_BY.1)
}

/// Whether a change of a Secret of the operator's namespace may concern the inventory of a pool. One that has lost its
/// label was selected before.
pub fn concerns(pool: &OrchestraPool, secret: &PartialObjectMeta<Secret>) -> bool {
    if let Some(server) = &pool.spec.server {
        return server.secret_ref.name == secret.name_any() || made::is_labelled(&pool.name_any(), secret.labels());
    }
    let Some(inventory) = &pool.spec.inventory else {
        return false;
    };
    let named = inventory
        .secret_ref
        .as_ref()
        .is_some_and(|named| named.name == secret.name_any());
    named || inventory.selector.is_some() && !is_own(secret)
}

/// The entries of a pool. Secrets are read only when the watch shows other ones, or other versions, than those that
/// were read last.
///
/// # Errors
/// When the Secret is missing, the Secrets are too many or too large, or Kubernetes fails.
pub async fn inventory(ctx: &Context, pool: &OrchestraPool) -> Result<Arc<Inventory>, Error> {
    let name = pool.name_any();
    if let Some(server) = &pool.spec.server {
        return of_server(ctx, name, server).await;
    }
    let Some(inventory) = &pool.spec.inventory else {
        return Ok(Arc::default());
    };
    let selector = selected_by(inventory)?;
    let named = inventory.secret_ref.as_ref().map(|named| named.name.as_str());
    if named.is_none() && selector.is_none() {
        return Ok(ctx.inventories.get(&name, &None).unwrap_or_else(|| {
            let mut entries = Inventory::default();
            entries.add(None, ctx.core.settings.inventory.clone());
            remember(ctx, name, None, entries)
        }));
    }
    let watched = watched(&ctx.core, named, selector.as_ref());
    if let Some(entries) = watched.and_then(|versions| ctx.inventories.get(&name, &Some(versions))) {
        return Ok(entries);
    }
    let secrets = read(&ctx.core, named, selector.as_ref()).await?;
    let mut versions: Vec<_> = secrets.iter().map(version).collect();
    versions.sort_unstable();
    let mut entries = Inventory::default();
    for secret in secrets {
        let other = Some(secret.name_any()).filter(|name| named != Some(name.as_str()));
        entries.add(other.as_deref(), values(secret));
    }
    Ok(remember(ctx, name, Some(versions), entries))
}

/// The entries that a pool has made on a server.
async fn of_server(ctx: &Context, pool: String, server: &DatabaseServer) -> Result<Arc<Inventory>, Error> {
    let core = &ctx.core;
    let watched = watched_of_server(core, &pool, server);
    if let Some(entries) = watched.and_then(|versions| ctx.inventories.get(&pool, &Some(versions))) {
        return Ok(entries);
    }
    let api = core.own::<Secret>();
    let (url, read) = made::server_url(core, server).await?;
    made::check_server_url(&url, core)?;
    let mut secrets = Vec::new();
    let mut parameters = ListParams::default().labels(&made::selector(&pool)).limit(PAGE);
    loop {
        let page = api.list(&parameters).await?;
        let next = page.metadata.continue_.filter(|next| !next.is_empty());
        secrets.extend(page.items);
        let Some(next) = next else { break };
        parameters = parameters.continue_token(&next);
    }
    let mut versions: Vec<_> = secrets.iter().map(version).collect();
    versions.push((server.secret_ref.name.clone(), read));
    versions.sort_unstable();
    let mut entries = Inventory::default();
    for (name, url) in made::urls(&url, secrets) {
        entries.add(Some(&name), [(made::SERVER_KEY.to_owned(), url)]);
    }
    Ok(remember(ctx, pool, Some(versions), entries))
}

/// The Secrets of a server and of its entries as the watch shows them; none when that of the server does not exist.
fn watched_of_server(core: &Core, pool: &str, server: &DatabaseServer) -> Option<Vec<(String, String)>> {
    let secrets = &core.stores.secrets;
    let named = secrets.get(&ObjectRef::new(&server.secret_ref.name).within(&core.settings.namespace))?;
    let entries = secrets.state_filter(|secret| made::is_of(core, pool, secret));
    let all = entries.iter().map(|secret| version(&**secret));
    let mut versions: Vec<_> = all.chain([version(&*named)]).collect();
    versions.sort_unstable();
    Some(versions)
}

fn version(secret: &impl ResourceExt) -> (String, String) {
    (secret.name_any(), secret.resource_version().unwrap_or_default())
}

/// Names and `resourceVersion`s of the Secrets of a pool's inventory as the watch shows them; no names for an inventory from
/// the operator's environment. None when they are not known.
pub fn versions(core: &Core, pool: &OrchestraPool) -> Versions {
    if let Some(server) = &pool.spec.server {
        return watched_of_server(core, &pool.name_any(), server);
    }
    let Some(inventory) = &pool.spec.inventory else {
        return Some(Vec::new());
    };
    let selector = selected_by(inventory).ok()?;
    let named = inventory.secret_ref.as_ref().map(|named| named.name.as_str());
    if named.is_none() && selector.is_none() {
        return Some(Vec::new());
    }
    watched(core, named, selector.as_ref())
}

/// The Secrets as the watch shows them; none when the one with a name does not exist.
fn watched(core: &Core, named: Option<&str>, selector: Option<&Selector>) -> Option<Vec<(String, String)>> {
    let namespace = &core.settings.namespace;
    let secrets = &core.stores.secrets;
    if let Some(name) = named {
        secrets.get(&ObjectRef::new(name).within(namespace))?;
    }
    let is_read = |secret: &PartialObjectMeta<Secret>| {
        named == Some(secret.name_any().as_str())
            || !is_own(secret) && selector.is_some_and(|selector| selector.matches(secret.labels()))
    };
    let read = secrets.state_filter(is_read);
    let mut versions: Vec<_> = read.iter().map(|secret| version(&**secret)).collect();
    versions.sort_unstable();
    Some(versions)
}

/// Reads the Secrets, up to the limit.
async fn read(core: &Core, named: Option<&str>, selector: Option<&Selector>) -> Result<Vec<Secret>, Error> {
    let namespace = &core.settings.namespace;
    let api: Api<Secret> = Api::namespaced(core.client.clone(), namespace);
    let mut all = Vec::new();
    if let Some(name) = named {
        let secret = api.get_opt(name).await?.ok_or_else(|| {
            Error::blocked(
                Reason::InventoryNotFound,
                format!("Secret {name} does not exist in namespace {namespace}: create it with keys {KEY_PREFIX}1, {KEY_PREFIX}2, …"),
            )
        })?;
        all.push(secret);
    }
    let Some(selector) = selector else { return Ok(all) };
    let mut parameters = ListParams::default().labels_from(selector).limit(PAGE);
    let (mut bytes, mut selected) = (all.iter().map(size).sum::<usize>(), 0);
    loop {
        let page = api.list(&parameters).await?;
        let next = page.metadata.continue_.filter(|next| !next.is_empty());
        let others = page.items.into_iter();
        for secret in others.filter(|secret| !is_own(secret) && named != Some(secret.name_any().as_str())) {
            bytes += size(&secret);
            selected += 1;
            if selected > MOST_SECRETS || bytes > MOST_BYTES {
                return Err(too_many());
            }
            all.push(secret);
        }
        let Some(next) = next else { return Ok(all) };
        parameters = parameters.continue_token(&next);
    }
}

fn size(secret: &Secret) -> usize {
    let values = secret.data.iter().flatten();
    values.map(|(key, value)| key.len() + value.0.len()).sum()
}

fn too_many() -> Error {
    Error::blocked(
        Reason::InventoryNotFound,
        format!(
            "static.selector selects more than {MOST_SECRETS} Secrets, or they hold more than {} MiB in all: none of them is \
             read. Select fewer, or make several pools",
            MOST_BYTES / 1024 / 1024
        ),
    )
}

fn values(secret: Secret) -> impl Iterator<Item = (String, SecretString)> {
    let data = secret.data.unwrap_or_default().into_iter();
    data.map(|(key, value)| (key, text(&value.0)))
}

/// Keeps an inventory, and the servers that its entries lead to. Those of pools that are gone are dropped, the servers
/// only when nothing of such a pool is left.
fn remember(ctx: &Context, pool: String, read: Versions, entries: Inventory) -> Arc<Inventory> {
    let logins = entries.iter().filter(|(_, url)| !url.expose_secret().is_empty());
    let logins = logins.filter_map(|(key, url)| Some((key.as_str(), Login::parse(url).ok()?)));
    ctx.servers.learn(&pool, logins);
    let (pools, databases) = (&ctx.core.stores.pools, &ctx.core.stores.databases);
    let exists = |pool: &str| pools.get(&ObjectRef::new(pool)).is_some();
    ctx.inventories.retain(exists);
    // An Orchestra may use a database of a pool that is gone.
    let is_used = |pool: &str| databases.find(|database| database.pool() == Some(pool)).is_some();
    ctx.servers.retain(|pool| exists(pool) || is_used(pool));
    let entries = Arc::new(entries);
    ctx.inventories.put(pool, read, entries.clone());
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inventory_is_read_again_when_its_secrets_are_other_ones() {
        let inventories = Inventories::default();
        let read = |versions: &[(&str, &str)]| -> Versions {
            let versions = versions
                .iter()
                .map(|(name, version)| ((*name).to_owned(), (*version).to_owned()));
            Some(versions.collect())
        };
        inventories.put("house".into(), read(&[("a", "1"), ("b", "1")]), Arc::default());
        assert!(inventories.get("house", &read(&[("a", "1"), ("b", "1")])).is_some());
        for other in [read(&[("a", "1"), ("b", "2")]), read(&[("a", "1")]), None] {
            assert!(inventories.get("house", &other).is_none());
        }
        assert!(inventories.get("cellar", &read(&[("a", "1"), ("b", "1")])).is_none());
        inventories.retain(|pool| pool == "cellar");
        assert!(inventories.latest("house").is_none());
    }
}
