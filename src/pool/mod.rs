//! OrchestraPool: the static inventory. Each entry becomes an Available OrchestraDatabase after a
//! real login.
//!
//! The resource's name is made from what the login finds (the server and the database), so two
//! entries that lead to the same database meet in one name, and the API server refuses the second.

pub mod candidates;
mod preparation;
mod status;

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, PostParams, Preconditions};
use secrecy::SecretString;
use sqlx::postgres::PgConnection;

use crate::api::condition::Reason;
use crate::api::{InventoryEntry, OrchestraDatabase, OrchestraDatabaseSpec, OrchestraPool};
use crate::controller::Core;
use crate::controller::background::Works;
use crate::controller::error::Error;
use crate::controller::reconcile::Next;
use crate::credentials::{self, inventory};
use crate::postgres::APPLICATION;
use crate::postgres::{self, Login, claim_record};
use crate::{class, content, rollout};
use candidates::Choices;

pub use status::report;

/// What a room needs that takes databases from pools, or keeps them ready.
pub struct Context {
    /// What every pass needs.
    pub core: Arc<Core>,
    /// Classes.
    pub class: Arc<class::Context>,
    /// Scripts.
    pub content: Arc<content::Context>,
    /// Inventories and their servers.
    pub credentials: Arc<credentials::Context>,
    /// Turns to migrate.
    pub rollout: Arc<rollout::Context>,
    /// Databases that are about to be claimed, or being prepared.
    pub choices: Arc<Choices>,
    /// Databases that are being prepared.
    pub preparations: Works<OrchestraPool, ()>,
}

impl AsRef<Core> for Context {
    fn as_ref(&self) -> &Core {
        &self.core
    }
}

/// Entries that are logged in to at once: a dead host holds up few others, and a server that holds them
/// all is not filled with sessions.
const PROBED_AT_ONCE: usize = 32;

/// How long a pass begins with one entry after the other. What is left is the next pass's.
const WHILE: Duration = Duration::from_mins(1);

/// One pass: every entry that has no resource yet is logged in to.
pub async fn pass(pool: Arc<OrchestraPool>, ctx: Arc<Context>) -> Result<Next, Error> {
    let inventory = inventory::inventory(&ctx.credentials, &pool).await?;
    inventory::learn(&ctx.credentials, &pool, &inventory);
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
        refused.extend(preparation::prepare(&ctx, &pool, &inventory, &members).await?);
    }
    // What needs a person comes first.
    refused.sort_by_key(|(_, error)| error.is_passing());
    status::write(&ctx, &pool, inventory.len(), &members, &refused).await?;
    let again = looked_at < count || refused.iter().any(|(_, error)| error.is_passing());
    Ok(if again {
        Next::After(ctx.core.settings.login_spacing)
    } else {
        Next::Rest
    })
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
    Api::all(ctx.core.client.clone())
}
