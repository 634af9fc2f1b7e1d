//! Probes an entry in the background: a login, and what makes the database fit for tenants.

use std::sync::Arc;
use std::time::Duration;

use kube::runtime::reflector::ObjectRef;
use secrecy::SecretString;
use sqlx::postgres::PgConnection;

use super::Pass;
use super::attempts::Refusal;
use super::observe::digest;
use crate::api::condition::Reason;
use crate::controller::background::WorkKind;
use crate::controller::error::Error;
use crate::credentials::inventory;
use crate::error::ErrorClass;
use crate::migrate::Watch;
use crate::postgres::{self, APPLICATION};

/// The longest that one probe may take: a server that stalls ends its own probe and nothing else.
pub const LIMIT: Duration = Duration::from_secs(30);

/// What the status tells of an entry before its first probe has ended.
pub fn pending() -> Refusal {
    Refusal {
        class: ErrorClass::Transient,
        reason: Reason::Pending,
        message: "waiting for the first login".into(),
        duplicate_of: None,
    }
}

/// Begins to probe an entry. The end of the probe brings the pool back.
pub fn begin(pass: &Pass, key: &str, url: &SecretString) {
    let (uid, subject) = (pass.uid().to_owned(), digest(url));
    let (ctx, memory) = (&pass.ctx, pass.ctx.memory.clone());
    // A probe of the URL that the entry had before, or one that was cut off.
    ctx.probes.stop(&id(&uid, key));
    memory.probes.begin(&uid, key, &subject);
    let (work, entry, url) = (id(&uid, key), key.to_owned(), url.clone());
    let roots = ctx.core.settings.database_roots.clone();
    let probe = async move {
        let outcome = bounded(probe(&url, &roots)).await;
        memory
            .probes
            .end(&uid, &entry, &subject, outcome.map_err(|error| Refusal::from(&error)));
        Ok(())
    };
    let object = ObjectRef::from_obj(&*pass.pool);
    ctx.probes
        .start((&work, object), WorkKind::Probe, Watch::default(), probe);
}

/// By what the background work knows the probe of an entry.
pub fn id(pool: &str, key: &str) -> String {
    format!("{pool}/{key}")
}

/// Ends what takes too long.
pub async fn bounded<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::time::timeout(LIMIT, work).await.unwrap_or_else(|_| {
        Err(Error::transient(
            Reason::DatabaseUnreachable,
            format!(
                "the server stopped answering: no result after {} s. Check the server and its network",
                LIMIT.as_secs()
            ),
        ))
    })
}

/// Logs in, checks that the database is fit for tenants, closes it to PUBLIC, and returns the name of its
/// OrchestraDatabase.
async fn probe(url: &SecretString, roots: &Arc<str>) -> Result<String, Error> {
    let mut session = postgres::connect(&inventory::read(url, roots)?, APPLICATION).await?;
    if is_superuser(&mut session).await.map_err(postgres::Error::from)? {
        return Err(Error::blocked(
            Reason::InvalidEntry,
            "its login is a superuser: a tenant's scripts would run as this login and reach every database of the \
             server. Give the entry a login that owns only this database and has CREATEROLE",
        ));
    }
    let identity = postgres::identity(&mut session).await?;
    check_unmarked(&mut session).await?;
    postgres::isolate(&mut session).await?;
    Ok(format!("orchdb-{}", identity.digest()))
}

/// Refuses a database that an Orchestra has had: it is neither handed out nor prepared.
pub async fn check_unmarked(session: &mut PgConnection) -> Result<(), Error> {
    match postgres::claim_record::holder(session).await? {
        None => Ok(()),
        Some(holder) => Err(Error::blocked(
            Reason::InUse,
            format!(
                "the database carries the claim record of Orchestra {holder} and may hold its data: no other Orchestra \
                 gets it. If the data may be lost, drop the database's contents and its schema stagesub"
            ),
        )),
    }
}

async fn is_superuser(session: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
        .fetch_one(session)
        .await
}
