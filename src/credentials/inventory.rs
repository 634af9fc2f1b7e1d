//! The inventory of a static pool: its entries, each the login of a database's owner.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::Api;
use kube::runtime::reflector::ObjectRef;
use secrecy::SecretString;

use super::Context;
use crate::api::condition::Reason;
use crate::api::{InventoryEntry, OrchestraPool};
use crate::controller::error::Error;
use crate::postgres::Login;

/// The prefix of the keys of an inventory.
pub const KEY_PREFIX: &str = "DATABASE_URL_POOL_";

/// Reads all inventories once, because the servers of databases must be known before any is migrated.
pub async fn survey(ctx: &Context) {
    for pool in ctx.core.stores.pools.state() {
        match inventory(ctx, &pool).await {
            Ok(inventory) => learn(ctx, &pool, &inventory),
            // The pass of the pool reports the error.
            Err(error) => tracing::debug!(pool = pool.name_any(), %error, "the inventory could not be read"),
        }
    }
}

/// Remembers where the entries of a pool lead to.
pub fn learn(ctx: &Context, pool: &OrchestraPool, inventory: &BTreeMap<String, SecretString>) {
    for (key, url) in inventory {
        if let Ok(login) = Login::parse(url) {
            ctx.servers.learn(&pool.name_any(), key, &login);
        }
    }
}

/// The login of an entry's owner, as the inventory holds it now.
pub async fn login(ctx: &Context, entry: &InventoryEntry) -> Result<Login, Error> {
    let missing = || {
        let (pool, key) = (&entry.pool, &entry.key);
        Error::blocked(
            Reason::InventoryNotFound,
            format!("entry {key} is not in the inventory of pool {pool}: put it back"),
        )
    };
    let pool = ctx
        .core
        .stores
        .pools
        .get(&ObjectRef::new(&entry.pool))
        .ok_or_else(missing)?;
    let inventory = inventory(ctx, &pool).await?;
    let login = Login::parse(inventory.get(&entry.key).ok_or_else(missing)?)?;
    ctx.servers.learn(&entry.pool, &entry.key, &login);
    Ok(login)
}

/// The entries, from the pool's Secret or the operator's environment.
pub async fn inventory(ctx: &Context, pool: &OrchestraPool) -> Result<BTreeMap<String, SecretString>, Error> {
    let Some(reference) = &pool.spec.inventory.secret_ref else {
        return Ok(ctx.core.settings.inventory.clone());
    };
    let namespace = &ctx.core.settings.namespace;
    let api: Api<Secret> = Api::namespaced(ctx.core.client.clone(), namespace);
    let secret = api.get_opt(&reference.name).await?.ok_or_else(|| {
        let name = &reference.name;
        Error::blocked(
            Reason::InventoryNotFound,
            format!("Secret {name} does not exist in namespace {namespace}: create it with keys {KEY_PREFIX}1, {KEY_PREFIX}2, …"),
        )
    })?;
    let entries = secret
        .data
        .unwrap_or_default()
        .into_iter()
        .filter(|(key, _)| key.starts_with(KEY_PREFIX));
    Ok(entries
        .filter_map(|(key, value)| {
            Some((
                key,
                SecretString::from(String::from_utf8(value.0).ok()?.trim().to_string()),
            ))
        })
        .collect())
}
