//! The inventory of a static pool: its entries, each with the login of a database's owner.

use std::sync::Arc;

use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use secrecy::SecretString;
use sqlx::PgConnection;

pub use super::listing::{Inventories, concerns, inventory, versions};
pub use super::project::{Inventory, KEY_PREFIX, ProjectApi, is_meant};
use super::{Context, kept};
use crate::api::condition::Reason;
use crate::api::names::IDENTITY_ANNOTATION;
use crate::api::{InventoryEntry, OrchestraDatabase};
use crate::controller::error::Error;
use crate::postgres::{self, DatabaseIdentity, Login};
use crate::supabase::settings::is_supabases;

/// Reads all inventories once, before any migration starts: migrations on one server share its limit, and
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
    format!("{MEMBER}{}", identity.digest())
}

/// The prefix of the name of an entry's OrchestraDatabase.
const MEMBER: &str = "orchdb-";

/// Checks that the entry of an OrchestraDatabase still leads to the database that the name of the object was made
/// from: the entries of an inventory may be reordered, and a host name may lead elsewhere.
///
/// # Errors
/// When the login has reached another database.
pub async fn check_identity(session: &mut PgConnection, database: &OrchestraDatabase) -> Result<(), Error> {
    if database.spec.inventory.is_none() {
        return Ok(());
    }
    let found = postgres::identity(session).await?;
    moved(&found, database).map_or(Ok(()), Err)
}

/// [`DatabaseIdentity::digest`] of the database that the entry of an OrchestraDatabase must lead to; none when it is not an
/// entry.
pub fn expected(database: &OrchestraDatabase) -> Option<String> {
    database.spec.inventory.as_ref()?;
    // The database from which it was created is an earlier state, which must not be used again by accident.
    let confirmed = database.annotations().get(IDENTITY_ANNOTATION).cloned();
    let name = database.name_any();
    Some(confirmed.unwrap_or_else(|| name.strip_prefix(MEMBER).unwrap_or(&name).to_owned()))
}

/// What is wrong when the entry of an OrchestraDatabase has led to this database; none when it is its own.
pub fn moved(found: &DatabaseIdentity, database: &OrchestraDatabase) -> Option<Error> {
    let entry = database.spec.inventory.as_ref()?;
    if expected(database)? == found.digest() {
        return None;
    }
    let (InventoryEntry { pool, key }, name) = (entry, database.name_any());
    Some(Error::blocked(
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

/// The login of an entry's owner, as the inventory holds it now, and its API when it is a hosted project that brings one.
/// While the API's keys are refused, the tenant keeps those that were published last.
///
/// # Errors
/// When the entry does not exist, its URL is invalid, or its keys are refused and its tenant has no others.
pub async fn login(ctx: &Context, entry: &InventoryEntry) -> Result<(Login, Option<ProjectApi>), Error> {
    let (login, inventory) = look_up(ctx, entry).await?;
    let project = match project(&inventory, &entry.key) {
        Ok(project) => project.cloned(),
        Err(wrong) => kept::api(ctx, entry, inventory.given(&entry.key), wrong).await?,
    };
    Ok((login, project))
}

/// The login of an entry's owner, as the inventory holds it now, whatever its API's keys are.
///
/// # Errors
/// When the entry does not exist, or its URL is invalid.
pub async fn owner_login(ctx: &Context, entry: &InventoryEntry) -> Result<Login, Error> {
    look_up(ctx, entry).await.map(|(login, _)| login)
}

async fn look_up(ctx: &Context, entry: &InventoryEntry) -> Result<(Login, Arc<Inventory>), Error> {
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
    let url = inventory.get(&entry.key).ok_or_else(missing)?;
    let login = read(url, &ctx.core.settings.database_roots)?;
    Ok((login, inventory))
}

/// The API of an entry.
///
/// # Errors
/// What is missing or wrong.
pub fn project<'a>(inventory: &'a Inventory, key: &str) -> Result<Option<&'a ProjectApi>, Error> {
    inventory
        .project(key)
        .map_err(|wrong| Error::blocked(Reason::InvalidEntry, wrong))
}

/// Whether a connection Secret was written with the API that an entry brings now. While the entry does not exist, or is
/// invalid, its tenant keeps its API.
pub fn has_published(ctx: &Context, entry: &InventoryEntry, written: Option<&String>) -> bool {
    let inventory = ctx.inventories.latest(&entry.pool);
    let Some(inventory) = inventory.filter(|inventory| inventory.contains_key(&entry.key)) else {
        return true;
    };
    let project = inventory.project(&entry.key);
    project.is_err() || project.is_ok_and(|project| project.and_then(|project| project.digest.as_ref()) == written)
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
            "port 6543 is Supabase's transaction pooler, where locks and settings do not last between transactions: give \
             the URL of the session pooler (port 5432) or of the direct connection"
                .into(),
        )));
    }
    login.session.may_be_pooled = !supabases;
    if login.tls.verifies() && supabases {
        login.roots.get_or_insert_with(|| roots.clone());
    }
    login.check_authority()?;
    Ok(login)
}

/// The text of an entry. Bytes that are not UTF-8 are replaced: the entry stays one, and [`Login::parse`] reports the error.
pub fn text(bytes: &[u8]) -> SecretString {
    SecretString::from(String::from_utf8_lossy(bytes).trim())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn supabases_root_is_for_supabases_hosts_alone() {
        let roots = |url: &str| read(&url.into(), &"roots".into()).unwrap().published_roots().is_some();
        assert!(roots("postgres://a@db.abc.supabase.co/c?sslmode=verify-full"));
        assert!(roots("postgres://a@aws-0.pooler.supabase.com/c?sslmode=verify-ca"));
        assert!(!roots("postgres://a@aws-0.pooler.supabase.com/c?sslmode=require"));
        assert!(!roots("postgres://a@evilsupabase.com/c?sslmode=verify-full"));
        assert!(!roots("postgres://a@10.0.0.1/c?sslmode=verify-full"));
        let refused = read(&"postgres://a@10.0.0.1/c?sslmode=verify-ca".into(), &"roots".into()).unwrap_err();
        assert!(refused.to_string().contains("sslrootcert"), "{refused}");
    }
}
