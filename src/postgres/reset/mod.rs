//! Makes a tenant's former database as a new one is: everything that its scripts may have left goes, the catalogue is
//! compared with that of a fresh database, and only then the claim record goes.
//!
//! Each step may be cut off and repeated. The claim record is dropped in the transaction that finds nothing else left: until
//! then it keeps the database from every other tenant.

mod compare;
mod observe;
mod remove;

use sqlx::PgConnection;

use super::claim_record;
use super::error::Result;
use super::holdings::{self, AcceptedHoldings, LeftBy};
use super::session_end::end_owners_sessions;
use super::sql::{begin, end, run};

pub use compare::{Catalogue, left};

/// Why a database was not made as a new one is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stay {
    /// It is not one that can be, or it is not known to be the tenant's: nothing was dropped.
    Unfit(String),
    /// Somebody else uses it: nothing was dropped.
    InUse(String),
    /// What is left that the owner may not drop.
    Left(Vec<String>),
}

/// A script may have left other ones for the sessions of its role.
const OWN_SETTINGS: &str = "SET default_transaction_read_only = off; SET statement_timeout = 0; \
    SET idle_in_transaction_session_timeout = 0";

/// The first version that tells which roles a role has made.
const CONFINED: u32 = 16;

/// Drops everything of the tenant from the current database, whose owner the connection's user is. `uids` are those of the
/// Orchestras that had it: the record in the database must name one of them.
///
/// # Errors
/// See [`super::Error`].
pub async fn reset(conn: &mut PgConnection, uids: &[&str]) -> Result<std::result::Result<(), Stay>> {
    run(conn, OWN_SETTINGS.into()).await?;
    if let Some(stay) = refuse(conn, uids).await? {
        return Ok(Err(stay));
    }
    end_owners_sessions(conn).await?;
    remove::everything(conn).await?;
    let mut found = Vec::new();
    begin(conn).await?;
    let done = finish(conn, &mut found).await;
    match end(conn, done).await {
        Ok(()) => Ok(Ok(())),
        Err(_) if !found.is_empty() => Ok(Err(Stay::Left(found))),
        Err(error) => Err(error),
    }
}

/// Drops the rest, the claim record with it, and compares. An error is rolled back, and so is what leaves something.
async fn finish(conn: &mut PgConnection, found: &mut Vec<String>) -> Result<()> {
    end_owners_sessions(conn).await?;
    remove::rest(conn).await?;
    *found = left(&observe::catalogue(conn).await?);
    if found.is_empty() {
        return Ok(());
    }
    Err(super::error::Error::Untrusted("something is left".into()))
}

/// What speaks against it. It only reads.
async fn refuse(conn: &mut PgConnection, uids: &[&str]) -> Result<Option<Stay>> {
    let found = holdings::observe(conn).await?;
    if let Some(unfit) = unfit(&found) {
        return Ok(Some(Stay::Unfit(unfit)));
    }
    let whose = claim_record::holder(conn).await?;
    begin(conn).await?;
    let seen = async {
        Ok((
            observe::made(conn).await?,
            observe::sessions(conn).await?,
            left(&observe::catalogue(conn).await?),
        ))
    };
    let seen = seen.await;
    let (made, sessions, left) = end(conn, seen).await?;
    match whose {
        Some(holder) if !uids.contains(&holder.uid.as_str()) => {
            let message = format!(
                "the database carries the claim record of Orchestra {} ({})",
                holder.name, holder.uid
            );
            return Ok(Some(Stay::InUse(message)));
        }
        None if !left.is_empty() => {
            let message = "the database does not carry the claim record of the Orchestra that had it: it may be somebody \
                           else's";
            return Ok(Some(Stay::Unfit(message.into())));
        }
        _ => {}
    }
    let allowed = AcceptedHoldings {
        non_empty: true,
        ..AcceptedHoldings::default()
    };
    let foreign = holdings::judge(&found, &allowed)
        .into_iter()
        .find_map(|objection| match objection.left_by {
            Some(LeftBy::Tenants(roles)) => roles.into_iter().find(|role| !made.contains(role)),
            _ => None,
        });
    if let Some(role) = foreign {
        let message = format!(
            "login {role} of an Orchestra, created by another login of this server, has rights in this database"
        );
        return Ok(Some(Stay::InUse(message)));
    }
    let session = sessions.into_iter().find(|role| !made.contains(role));
    Ok(session.map(|role| Stay::InUse(format!("somebody is connected to the database as {role}"))))
}

fn unfit(found: &holdings::Holdings) -> Option<String> {
    let version = found.server.version;
    if found.server.supabase {
        return Some(
            "the database is a hosted project's, whose services keep data of their own in it: make the project anew at its \
             provider"
                .into(),
        );
    }
    if version < CONFINED {
        return Some(format!(
            "its server runs PostgreSQL {version}, which does not tell what roles a script has made: {CONFINED} or later does"
        ));
    }
    let login = &found.login;
    let confined = !login.superuser && login.owns_database && login.other_databases.is_empty();
    (!confined).then(|| "its login is a superuser, does not own the database, or owns others as well".into())
}
