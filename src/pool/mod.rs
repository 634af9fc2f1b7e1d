//! OrchestraPool: the static inventory. Each entry becomes an Available OrchestraDatabase after a
//! real login.
//!
//! The resource's name is made from what the login finds (the server and the database), so two
//! entries that lead to the same database meet in one name, and the API server refuses the second.

mod prepare;
mod status;

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, PostParams, Preconditions};
use kube::runtime::reflector::ObjectRef;
use secrecy::SecretString;
use sqlx::postgres::PgConnection;

use crate::api::condition::Reason;
use crate::api::{InventoryEntry, OrchestraDatabase, OrchestraDatabaseSpec, OrchestraPool};
use crate::controller::Context;
use crate::controller::error::Error;
use crate::controller::reconcile::Next;
use crate::postgres::APPLICATION;
use crate::postgres::{self, Login, claim_record};

pub use status::report;

/// Keys of an inventory begin so.
pub const KEY_PREFIX: &str = "DATABASE_URL_POOL_";

/// Entries that are logged in to at once: a dead host holds up few others, and a server that holds them
/// all is not filled with sessions.
const PROBED_AT_ONCE: usize = 32;

/// How long a pass begins with one entry after the other. What is left is the next pass's.
const WHILE: Duration = Duration::from_mins(1);

/// One pass: every entry that has no resource yet is logged in to.
pub async fn pass(pool: Arc<OrchestraPool>, ctx: Arc<Context>) -> Result<Next, Error> {
    let inventory = inventory(&ctx, &pool).await?;
    learn(&ctx, &pool, &inventory);
    let mut members = members(&ctx, &pool).await?;
    let mut fresh = Vec::new();
    let mut logins = Vec::new();
    for (key, url) in &inventory {
        if find(&members, key).is_none() {
            fresh.push(key);
            logins.push(probe(url));
        }
    }
    let count = fresh.len();
    let logins = stream::iter(logins).take_until(tokio::time::sleep(WHILE));
    let mut entries = pin!(stream::iter(fresh).zip(logins.buffered(PROBED_AT_ONCE)));
    let mut looked_at = 0;
    let mut refused = Vec::new();
    // One after the other, so that of two entries for one database the first is always the one kept.
    while let Some((key, probed)) = entries.next().await {
        looked_at += 1;
        let outcome = match probed {
            Ok((session, name)) => enlist(&ctx, &pool, key, session, &name).await,
            Err(error) => Err(error),
        };
        match outcome {
            Ok(member) => members.push(member),
            Err(error) => refused.push((key.clone(), error)),
        }
    }
    withdraw(&ctx, &inventory, &mut members).await?;
    // A pass has time for one of the two.
    if looked_at == count {
        refused.extend(prepare::prepare(&ctx, &pool, &inventory, &members).await?);
    }
    // What needs a person comes first.
    refused.sort_by_key(|(_, error)| error.is_passing());
    status::write(&ctx, &pool, inventory.len(), &members, &refused).await?;
    let again = looked_at < count || refused.iter().any(|(_, error)| error.is_passing());
    Ok(if again {
        Next::After(ctx.settings.login_spacing)
    } else {
        Next::Rest
    })
}

/// Reads all inventories once: which databases share a server has to be known before any is migrated.
pub async fn survey(ctx: &Context) {
    for pool in ctx.stores.pools.state() {
        match inventory(ctx, &pool).await {
            Ok(inventory) => learn(ctx, &pool, &inventory),
            // The pool's own pass tells of it.
            Err(error) => tracing::debug!(pool = pool.name_any(), %error, "the inventory could not be read"),
        }
    }
}

fn learn(ctx: &Context, pool: &OrchestraPool, inventory: &BTreeMap<String, SecretString>) {
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
    let pool = ctx.stores.pools.get(&ObjectRef::new(&entry.pool)).ok_or_else(missing)?;
    let inventory = inventory(ctx, &pool).await?;
    let login = Login::parse(inventory.get(&entry.key).ok_or_else(missing)?)?;
    ctx.servers.learn(&entry.pool, &entry.key, &login);
    Ok(login)
}

/// The entries, from the pool's Secret or the operator's environment.
async fn inventory(ctx: &Context, pool: &OrchestraPool) -> Result<BTreeMap<String, SecretString>, Error> {
    let Some(reference) = &pool.spec.inventory.secret_ref else {
        return Ok(ctx.settings.inventory.clone());
    };
    let namespace = &ctx.settings.namespace;
    let api: Api<Secret> = Api::namespaced(ctx.client.clone(), namespace);
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

/// The pool's databases, from the API server: a watch may lag behind what the last pass created.
async fn members(ctx: &Context, pool: &OrchestraPool) -> Result<Vec<OrchestraDatabase>, Error> {
    let name = pool.name_any();
    let all = api(ctx).list(&kube::api::ListParams::default()).await?;
    Ok(all
        .items
        .into_iter()
        .filter(|database| entry(database).is_some_and(|entry| entry.pool == name))
        .collect())
}

fn entry(database: &OrchestraDatabase) -> Option<&InventoryEntry> {
    database.spec.inventory.as_ref()
}

fn find<'a>(members: &'a [OrchestraDatabase], key: &str) -> Option<&'a OrchestraDatabase> {
    members
        .iter()
        .find(|member| entry(member).is_some_and(|entry| entry.key == key))
}

/// Logs in and says which database it is: the name of its resource.
async fn probe(url: &SecretString) -> Result<(PgConnection, String), Error> {
    let mut session = postgres::connect(&Login::parse(url)?, APPLICATION).await?;
    if is_superuser(&mut session).await.map_err(postgres::Error::from)? {
        return Err(Error::blocked(
            Reason::InvalidEntry,
            "its login is a superuser, and a tenant's scripts would run as it and reach every database of the server: \
             give the entry a login that only owns this database and has CREATEROLE",
        ));
    }
    let identity = postgres::identity(&mut session).await?;
    check_unmarked(&mut session).await?;
    Ok((session, format!("orchdb-{}", identity.digest())))
}

/// What an Orchestra has had is neither handed out nor prepared.
async fn check_unmarked(session: &mut PgConnection) -> Result<(), Error> {
    match claim_record::holder(session).await? {
        None => Ok(()),
        Some(holder) => Err(Error::blocked(
            Reason::InUse,
            format!(
                "the database carries the mark of Orchestra {holder} and may hold its data: it is not handed out. If that \
                 data may go, drop the database's contents and its schema stagesub"
            ),
        )),
    }
}

/// Keeps others out of the database and makes the entry's resource, unless another entry leads to it.
async fn enlist(
    ctx: &Context,
    pool: &OrchestraPool,
    key: &str,
    mut session: PgConnection,
    name: &str,
) -> Result<OrchestraDatabase, Error> {
    postgres::isolate(&mut session).await?;
    let spec = OrchestraDatabaseSpec {
        inventory: Some(InventoryEntry {
            pool: pool.name_any(),
            key: key.into(),
        }),
        ..OrchestraDatabaseSpec::default()
    };
    match api(ctx)
        .create(&PostParams::default(), &OrchestraDatabase::new(name, spec))
        .await
    {
        Err(kube::Error::Api(status)) if status.is_already_exists() => {
            let other = api(ctx).get(name).await?;
            let other = entry(&other)
                .map(|entry| format!("{} of pool {}", entry.key, entry.pool))
                .unwrap_or_default();
            Err(Error::blocked(
                Reason::DuplicateEntry,
                format!("leads to the same server and database as {other}: remove one of the two"),
            ))
        }
        other => Ok(other?),
    }
}

async fn is_superuser(session: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
        .fetch_one(session)
        .await
}

/// An entry that left the inventory and was never claimed is no database that can be claimed.
async fn withdraw(
    ctx: &Context,
    inventory: &BTreeMap<String, SecretString>,
    members: &mut Vec<OrchestraDatabase>,
) -> Result<(), Error> {
    let gone = |member: &OrchestraDatabase| {
        member.is_unclaimed() && entry(member).is_some_and(|entry| !inventory.contains_key(&entry.key))
    };
    for member in members.iter().filter(|member| gone(member)) {
        // A claim that comes in between changes the version, and the deletion is refused.
        let preconditions = Preconditions {
            uid: member.uid(),
            resource_version: member.resource_version(),
        };
        let parameters = DeleteParams {
            preconditions: Some(preconditions),
            ..DeleteParams::default()
        };
        api(ctx).delete(&member.name_any(), &parameters).await?;
    }
    members.retain(|member| !gone(member));
    Ok(())
}

fn api(ctx: &Context) -> Api<OrchestraDatabase> {
    Api::all(ctx.client.clone())
}
