//! Probes an entry in the background: a login, and the checks that make the database fit for tenants.

use std::sync::Arc;
use std::time::Duration;

use kube::runtime::reflector::ObjectRef;
use sha2::{Digest as _, Sha256};
use sqlx::postgres::PgConnection;

use super::Pass;
use super::attempts::Refusal;
use super::users::{self, Anew};
use crate::api::condition::Reason;
use crate::api::{OrchestraDatabase, retry_wish};
use crate::controller::Core;
use crate::controller::background::WorkKind;
use crate::controller::error::{Error, caught};
use crate::credentials::inventory::{self, Inventory, member_name};
use crate::credentials::tenant::is_owners_own_dot;
use crate::error::ErrorClass;
use crate::migrate::Watch;
use crate::postgres::claim_record::RecordHolder;
use crate::postgres::holdings::{self, AcceptedHoldings, Open};
use crate::postgres::{self, APPLICATION, Login};
use crate::text;

/// The longest that one probe may take: a server that stalls affects only its own probe.
pub const LIMIT: Duration = Duration::from_secs(30);

/// What the status says about an entry before its first probe has ended.
pub fn pending() -> Refusal {
    Refusal {
        class: ErrorClass::Transient,
        reason: Reason::Pending,
        message: "waiting for the first login".into(),
        duplicate_of: None,
    }
}

/// Starts the probe of an entry. Its end triggers the pool.
pub fn begin(pass: &Pass, inventory: &Arc<Inventory>, key: &str) {
    let (uid, subject) = (pass.uid().to_owned(), subject(pass, inventory, key));
    let (ctx, memory) = (&pass.ctx, pass.ctx.memory.clone());
    // A probe of the earlier URL of the entry, or one that was interrupted.
    ctx.probes.stop(&id(&uid, key));
    let wish = retry_wish(&*pass.pool);
    memory.probes.begin_for(&uid, key, &subject, &wish);
    let (work, entry, inventory) = (id(&uid, key), key.to_owned(), inventory.clone());
    let (legacy_servers, non_empty) = pass.pool.accepted();
    let (core, credentials, pool) = (ctx.core.clone(), ctx.credentials.clone(), pass.name().to_owned());
    let roots = ctx.core.settings.database_roots.clone();
    let probe = async move {
        let outcome = async {
            let login = login(&inventory, &entry, &roots)?;
            let allowed = AcceptedHoldings {
                legacy_servers,
                non_empty,
                other_entries: credentials.servers.other_users((&pool, &entry), &login),
            };
            let probing = Box::pin(probe(&core, &login, &allowed, (&pool, &entry)));
            let (database, open) = bounded(probing).await??;
            memory.servers.note(&uid, &login, &open);
            Ok(database)
        };
        let outcome = Box::pin(outcome).await;
        memory.probes.end(&uid, &entry, &subject, outcome);
        Ok(())
    };
    let object = ObjectRef::from_obj(&*pass.pool);
    ctx.probes
        .start((&work, object), WorkKind::Probe, Watch::default(), probe);
}

/// The identity of the probe of an entry in the background work.
pub fn id(pool: &str, key: &str) -> String {
    format!("{pool}/{key}")
}

/// Ends a probe that takes too long, or that panics because of a server's answer.
pub async fn bounded<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::time::timeout(LIMIT, caught(work)).await.unwrap_or_else(|_| {
        Err(Error::transient(
            Reason::DatabaseUnreachable,
            format!(
                "the server stopped answering: no result after {} s. Check the server and its network",
                LIMIT.as_secs()
            ),
        ))
    })
}

/// What a probe of an entry is remembered by: a changed URL or a changed setting of the pool is probed at once.
pub fn subject(pass: &Pass, inventory: &Inventory, key: &str) -> String {
    let (legacy_servers, non_empty) = pass.pool.accepted();
    let hash = Sha256::new_with_prefix([legacy_servers, non_empty].map(u8::from))
        .chain_update(inventory.digest(key).unwrap_or_default())
        .finalize();
    hex::encode(hash)
}

/// The login of a complete entry.
///
/// # Errors
/// What is missing or wrong.
pub fn login(inventory: &Inventory, key: &str, roots: &Arc<str>) -> Result<Login, Error> {
    let gone = || Error::blocked(Reason::InventoryNotFound, "the entry has left the inventory");
    inventory::project(inventory, key)?;
    inventory::read(inventory.get(key).ok_or_else(gone)?, roots)
}

/// Logs in, checks that the database is fit for tenants, closes it to PUBLIC unless it is a hosted project, and
/// returns the name of its OrchestraDatabase, with the server's open databases.
///
/// A database to which another entry leads belongs to that entry, whatever it contains: it may be a tenant's in use, which
/// the advice for unused databases would destroy.
async fn probe(
    core: &Core,
    login: &Login,
    allowed: &AcceptedHoldings,
    (pool, key): (&str, &str),
) -> Result<Result<(String, Vec<Open>), Refusal>, Error> {
    let mut session = postgres::connect(login, APPLICATION).await?;
    let identity = postgres::identity(&mut session).await?;
    let is_other = |other: &OrchestraDatabase| {
        let entry = other.spec.inventory.as_ref();
        !entry.is_some_and(|entry| entry.pool == pool && entry.key == key)
    };
    if let Some(other) = users::of_identity(core, &identity).filter(is_other) {
        return Ok(Err(Refusal::duplicate(&other)));
    }
    check_owner(&mut session, login).await?;
    let found = holdings::observe(&mut session).await?;
    // Nothing that a tenant has made is read as a superuser.
    if !found.login.superuser {
        check_unmarked(core, &mut session, Some(Anew::of(found.is_hosted_project()))).await?;
    }
    let (found, objections) = holdings::close_if_fit(&mut session, found, allowed).await?;
    if let Some(first) = objections.first() {
        let messages: Vec<_> = objections.iter().map(|objection| objection.message.as_str()).collect();
        let left_by = objections.iter().filter_map(|objection| objection.left_by.as_ref());
        let advice = users::advice_for_all(core, left_by, Anew::of(found.is_hosted_project()));
        let said = [Some(messages.join("; also, ")), advice].into_iter().flatten();
        return Err(Error::blocked(first.reason, said.collect::<Vec<_>>().join(". ")));
    }
    let mut open = found.open().to_vec();
    holdings::look_inside(login, &mut open).await;
    Ok(Ok((member_name(&identity), open)))
}

/// Refuses an owner whose own name holds a dot: at a pooler what follows the last dot is the pooler's, and is in the names of
/// the tenants' logins as well.
///
/// # Errors
/// The refusal, and when the server cannot be asked.
pub async fn check_owner(session: &mut PgConnection, login: &Login) -> Result<(), Error> {
    if !login.user.contains('.') || !is_owners_own_dot(login, &holdings::session_role(session).await?) {
        return Ok(());
    }
    Err(Error::blocked(
        Reason::InvalidEntry,
        format!(
            "the name of the owner's role, {}, holds a dot: in the user of an entry, what follows the last dot must be a pooler's \
             (<role>.<tenant of the pooler>). Use an owner without a dot in its name: rename the role (ALTER ROLE … RENAME TO …), \
             and correct the URL",
            text::line(&login.user, NAME)
        ),
    ))
}

/// Bytes of a name in a message.
const NAME: usize = 63;

/// Refuses a database that an Orchestra has used: it is neither claimed nor prepared. `anew`: how the database is recreated;
/// the database is asked for it where it is not known, after the refusal.
pub async fn check_unmarked(core: &Core, session: &mut PgConnection, anew: Option<Anew>) -> Result<(), Error> {
    let Some(RecordHolder { uid, name }) = postgres::claim_record::holder(session).await? else {
        return Ok(());
    };
    let anew = match anew {
        Some(anew) => anew,
        None => Anew::of(holdings::is_hosted_project(session).await?),
    };
    Err(Error::blocked(
        Reason::InUse,
        format!(
            "the database carries the claim record of Orchestra {name} ({uid}) and may hold its data: no other Orchestra gets \
             it. {}",
            users::advice_for_holder(core, &uid, anew)
        ),
    ))
}
