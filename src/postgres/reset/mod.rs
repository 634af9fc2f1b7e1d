//! Resets a tenant's former database: everything that its scripts may have left is dropped, the catalogue is compared with
//! that of a fresh database, and only then the claim record is dropped.
//!
//! Each step may be interrupted and repeated. The claim record is dropped in the transaction that finds nothing else left:
//! until then it protects the database from every other tenant.

mod compare;
mod observe;
mod remove;

use sqlx::PgConnection;

use super::claim_record;
use super::error::Result;
use super::holdings::{self, AcceptedHoldings, LeftBy};
pub use super::objections::CONFINED;
use super::session_end::end_owners_sessions;
use super::sql::{begin, end};

pub use compare::{Catalogue, left};

/// Why a database was not reset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stay {
    /// It is a hosted project: nothing was dropped.
    Hosted,
    /// Its login reaches more than this database, or does not own it: nothing was dropped.
    Login,
    /// It is the tenant's, on a server of a version that does not tell what the tenant's scripts have made: nothing was
    /// dropped.
    Version(u32),
    /// It is not known to be the tenant's: nothing was dropped.
    Unclear,
    /// Somebody else uses it: nothing was dropped.
    InUse(String),
    /// The remaining objects, which the owner may not drop.
    Left(Vec<String>),
}

/// Drops everything of the tenant from the current database, whose owner the connection's user is. `uids` are those of the
/// Orchestras that had it: the record in the database must name one of them.
///
/// # Errors
/// See [`super::Error`].
pub async fn reset(conn: &mut PgConnection, uids: &[&str]) -> Result<std::result::Result<(), Stay>> {
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

/// Drops the rest, including the claim record, and compares. The transaction is rolled back after an error, and when
/// something is left.
async fn finish(conn: &mut PgConnection, found: &mut Vec<String>) -> Result<()> {
    end_owners_sessions(conn).await?;
    remove::rest(conn).await?;
    *found = left(&observe::catalogue(conn).await?);
    if found.is_empty() {
        return Ok(());
    }
    Err(super::error::Error::Untrusted("something is left".into()))
}

/// The objections to a reset. It only reads.
async fn refuse(conn: &mut PgConnection, uids: &[&str]) -> Result<Option<Stay>> {
    let found = holdings::observe(conn).await?;
    let whose = claim_record::holder(conn).await?;
    if let Some(holder) = whose.as_ref().filter(|holder| !uids.contains(&holder.uid.as_str())) {
        let message = format!(
            "the database carries the claim record of Orchestra {} ({})",
            holder.name, holder.uid
        );
        return Ok(Some(Stay::InUse(message)));
    }
    if let Some(unfit) = unfit(&found, whose.is_some()) {
        return Ok(Some(unfit));
    }
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
    if whose.is_none() && !left.is_empty() {
        return Ok(Some(Stay::Unclear));
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

/// What speaks against it whatever the database holds. `recorded` says whether it carries the tenant's claim record.
fn unfit(found: &holdings::Holdings, recorded: bool) -> Option<Stay> {
    let (server, login) = (&found.server, &found.login);
    if server.supabase {
        return Some(Stay::Hosted);
    }
    if login.superuser || !login.owns_database || !login.other_databases.is_empty() {
        return Some(Stay::Login);
    }
    (server.version < CONFINED).then_some(if recorded {
        Stay::Version(server.version)
    } else {
        Stay::Unclear
    })
}
