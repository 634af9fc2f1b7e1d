//! The inventory of a static pool: its entries, each with the login of a database's owner.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::Api;
use kube::runtime::reflector::ObjectRef;
use parking_lot::Mutex;
use secrecy::SecretString;
use sqlx::PgConnection;

use super::Context;
use crate::api::condition::Reason;
use crate::api::names::IDENTITY_ANNOTATION;
use crate::api::{InventoryEntry, OrchestraDatabase, OrchestraPool};
use crate::controller::error::Error;
use crate::postgres::{self, DatabaseIdentity, Login};
use crate::supabase::settings::is_supabases;

/// Prefix of the keys of an inventory.
pub const KEY_PREFIX: &str = "DATABASE_URL_POOL_";

/// The entries of an inventory: database URLs by key.
pub type Inventory = BTreeMap<String, SecretString>;

/// The inventories as they were last read, by the name of the pool. An inventory is read again when its
/// Secret has another `resourceVersion`.
#[derive(Default)]
pub struct Inventories(Mutex<HashMap<String, Cached>>);

struct Cached {
    /// Name and `resourceVersion` of the Secret; none for the operator's environment.
    secret: Option<(String, String)>,
    entries: Arc<Inventory>,
}

impl Inventories {
    fn get(&self, pool: &str, secret: Option<&(String, String)>) -> Option<Arc<Inventory>> {
        let cached = self.0.lock();
        let found = cached.get(pool).filter(|cached| cached.secret.as_ref() == secret)?;
        Some(found.entries.clone())
    }

    fn put(&self, pool: String, secret: Option<(String, String)>, entries: Arc<Inventory>) {
        self.0.lock().insert(pool, Cached { secret, entries });
    }

    fn retain(&self, exists: impl Fn(&str) -> bool) {
        self.0.lock().retain(|pool, _| exists(pool));
    }
}

/// Reads all inventories once, before any migration begins: migrations on one server share its limit, and
/// the inventories say which databases share a server.
pub async fn survey(ctx: &Context) {
    for pool in ctx.core.stores.pools.state() {
        if let Err(error) = inventory(ctx, &pool).await {
            // The pool's own pass writes the error into its status.
            tracing::debug!(pool = pool.name_any(), %error, "the inventory could not be read");
        }
    }
}

/// Name of the OrchestraDatabase of an entry, whatever URL leads to its database.
pub fn member_name(identity: &DatabaseIdentity) -> String {
    format!("orchdb-{}", identity.digest())
}

/// Checks that the entry of an OrchestraDatabase still leads to the database that the name of the object was made
/// from: the entries of an inventory may be reordered, and a host name may lead elsewhere.
///
/// # Errors
/// When the login has reached another database.
pub async fn check_identity(session: &mut PgConnection, database: &OrchestraDatabase) -> Result<(), Error> {
    let Some(entry) = &database.spec.inventory else {
        return Ok(());
    };
    let found = postgres::identity(session).await?;
    let is_right = match database.annotations().get(IDENTITY_ANNOTATION) {
        // What it was made from is an earlier state, which nobody is to use again by accident.
        Some(confirmed) => *confirmed == found.digest(),
        None => member_name(&found) == database.name_any(),
    };
    if is_right {
        return Ok(());
    }
    let (InventoryEntry { pool, key }, name) = (entry, database.name_any());
    Err(Error::blocked(
        Reason::InvalidEntry,
        format!(
            "entry {key} of pool {pool} leads to another database than {name} was made from, or than its annotation \
             {IDENTITY_ANNOTATION} names: nothing was changed there. Put the entry's URL back. If the database was moved \
             with its data, or its server upgraded: kubectl annotate \
             orchdb {name} {IDENTITY_ANNOTATION}={} --overwrite",
            found.digest()
        ),
    ))
}

/// The login of an entry's owner, as the inventory holds it now.
pub async fn login(ctx: &Context, entry: &InventoryEntry) -> Result<Login, Error> {
    let missing = || {
        let (pool, key) = (&entry.pool, &entry.key);
        Error::blocked(
            Reason::InventoryNotFound,
            format!("entry {key} is not in the inventory of pool {pool}: add the entry again"),
        )
    };
    let pool = ctx
        .core
        .stores
        .pools
        .get(&ObjectRef::new(&entry.pool))
        .ok_or_else(missing)?;
    let inventory = inventory(ctx, &pool).await?;
    read(
        inventory.get(&entry.key).ok_or_else(missing)?,
        &ctx.core.settings.database_roots,
    )
}

/// Supabase's port for sessions that last one transaction, of its shared and its dedicated pooler.
const TRANSACTION_PORT: u16 = 6543;

/// The login of an entry's URL. A pooler in transaction mode is refused: at Supabase's hosts by its port, at others
/// when a session is opened. A verified host of Supabase's domains shows a certificate that is issued by one of
/// `roots`; any other one's are the system's, or those that the entry names.
pub fn read(url: &SecretString, roots: &Arc<str>) -> Result<Login, Error> {
    let mut login = Login::parse(url)?;
    let supabases = is_supabases(&login.host);
    if supabases && login.port == TRANSACTION_PORT {
        return Err(Error::from(postgres::Error::InvalidUrl(
            "port 6543 is Supabase's transaction pooler, where locks and settings do not hold: give the URL of the \
             session pooler (port 5432) or of the direct connection"
                .into(),
        )));
    }
    login.session.may_be_pooled = !supabases;
    if login.tls.verifies() && supabases {
        login.roots.get_or_insert_with(|| roots.clone());
    }
    Ok(login)
}

/// The entries of a pool, from its Secret or the operator's environment. The Secret is read only when the
/// watch shows another `resourceVersion` than the one that was read last.
pub async fn inventory(ctx: &Context, pool: &OrchestraPool) -> Result<Arc<Inventory>, Error> {
    let name = pool.name_any();
    let Some(inventory) = &pool.spec.inventory else {
        return Ok(Arc::default());
    };
    let Some(reference) = &inventory.secret_ref else {
        let entries = ctx.inventories.get(&name, None);
        return Ok(entries.unwrap_or_else(|| remember(ctx, name, None, ctx.core.settings.inventory.clone())));
    };
    let namespace = &ctx.core.settings.namespace;
    let watched = ctx
        .core
        .stores
        .secrets
        .get(&ObjectRef::new(&reference.name).within(namespace));
    let version = watched.and_then(|secret| Some((reference.name.clone(), secret.resource_version()?)));
    if let Some(entries) = version.as_ref().and_then(|read| ctx.inventories.get(&name, Some(read))) {
        return Ok(entries);
    }
    let api: Api<Secret> = Api::namespaced(ctx.core.client.clone(), namespace);
    let secret = api.get_opt(&reference.name).await?.ok_or_else(|| {
        let name = &reference.name;
        Error::blocked(
            Reason::InventoryNotFound,
            format!("Secret {name} does not exist in namespace {namespace}: create it with keys {KEY_PREFIX}1, {KEY_PREFIX}2, …"),
        )
    })?;
    let read = Some((reference.name.clone(), secret.resource_version().unwrap_or_default()));
    Ok(remember(ctx, name, read, entries(secret)))
}

fn entries(secret: Secret) -> Inventory {
    let data = secret.data.unwrap_or_default();
    data.into_iter()
        .filter(|(key, _)| key.starts_with(KEY_PREFIX))
        .map(|(key, value)| (key, text(&value.0)))
        .collect()
}

/// The text of an entry. Bytes that are not UTF-8 are replaced: [`Login::parse`] says so of the entry, which stays one.
pub fn text(bytes: &[u8]) -> SecretString {
    SecretString::from(String::from_utf8_lossy(bytes).trim())
}

/// Keeps an inventory, and the servers that its entries lead to. Those of pools that are gone are dropped, the servers
/// only when nothing of such a pool is left.
fn remember(ctx: &Context, pool: String, secret: Option<(String, String)>, entries: Inventory) -> Arc<Inventory> {
    let logins = entries.iter();
    let logins = logins.filter_map(|(key, url)| Some((key.as_str(), Login::parse(url).ok()?)));
    ctx.servers.learn(&pool, logins);
    let (pools, databases) = (&ctx.core.stores.pools, &ctx.core.stores.databases);
    let exists = |pool: &str| pools.get(&ObjectRef::new(pool)).is_some();
    ctx.inventories.retain(exists);
    // An Orchestra may use a database of a pool that is gone.
    let is_used = |pool: &str| databases.find(|database| database.pool() == Some(pool)).is_some();
    ctx.servers.retain(|pool| exists(pool) || is_used(pool));
    let entries = Arc::new(entries);
    ctx.inventories.put(pool, secret, entries.clone());
    entries
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_inventory_is_read_again_when_its_secret_has_another_version() {
        let inventories = Inventories::default();
        let read = |name: &str, version: &str| Some((name.to_owned(), version.to_owned()));
        inventories.put("house".into(), read("a", "1"), Arc::default());
        assert!(inventories.get("house", read("a", "1").as_ref()).is_some());
        for other in [read("a", "2"), read("b", "1"), None] {
            assert!(inventories.get("house", other.as_ref()).is_none());
        }
        assert!(inventories.get("cellar", read("a", "1").as_ref()).is_none());
        inventories.retain(|pool| pool == "cellar");
        assert!(inventories.get("house", read("a", "1").as_ref()).is_none());
    }

    #[test]
    fn supabases_root_is_for_supabases_hosts_alone() {
        let roots = |url: &str| read(&url.into(), &"roots".into()).unwrap().published_roots().is_some();
        assert!(roots("postgres://a@db.abc.supabase.co/c?sslmode=verify-full"));
        assert!(roots("postgres://a@aws-0.pooler.supabase.com/c?sslmode=verify-ca"));
        assert!(!roots("postgres://a@aws-0.pooler.supabase.com/c?sslmode=require"));
        assert!(!roots("postgres://a@evilsupabase.com/c?sslmode=verify-full"));
        assert!(!roots("postgres://a@10.0.0.1/c?sslmode=verify-full"));
    }

    #[test]
    fn only_keys_of_databases_are_entries() {
        let data = [("DATABASE_URL_POOL_2", "postgres://b\n"), ("OTHER", "x")];
        let secret = Secret {
            string_data: None,
            data: Some(
                data.into_iter()
                    .map(|(key, value)| (key.into(), k8s_openapi::ByteString(value.into())))
                    .collect(),
            ),
            ..Secret::default()
        };
        let found = entries(secret);
        assert_eq!(found.keys().collect::<Vec<_>>(), ["DATABASE_URL_POOL_2"]);
    }
}
