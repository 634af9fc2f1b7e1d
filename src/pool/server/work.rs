//! Makes databases on the server of a pool, and drops them, in the background. Each piece of work may be interrupted at any
//! point, and is repeated from its beginning.

use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt as _;
use kube::runtime::reflector::ObjectRef;
use sqlx::PgConnection;

use super::password::Renewal;
use crate::api::condition::Reason;
use crate::api::{DatabaseServer, OrchestraDatabase};
use crate::controller::Core;
use crate::controller::background::WorkKind;
use crate::controller::error::{Error, caught};
use crate::credentials::inventory::member_name;
use crate::credentials::made::{self, MadeEntry};
use crate::error::ErrorClass;
use crate::migrate::Watch;
use crate::pool::attempts::Refusal;
use crate::pool::users::Anew;
use crate::pool::{Pass, preparation, probe};
use crate::postgres::made::{Maker, OwnedDatabase, RemovalEnd};
use crate::postgres::{self, APPLICATION, DatabaseIdentity, RefusedLogins};

/// The longest that one piece of work may take: a copy of a large template writes many files.
pub const LIMIT: Duration = Duration::from_mins(2);

/// The wait for a database to which somebody is connected.
const BUSY: Duration = Duration::from_secs(5);

/// What is done on the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerTask {
    /// The role and the database are made.
    Make,
    /// They are dropped.
    Remove,
    /// The owner gets a new password, or the stored one again.
    Password,
}

impl ServerTask {
    /// What attempts are remembered by.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Make => "make",
            Self::Remove => "remove",
            Self::Password => "password",
        }
    }
}

/// Whether a refusal only concerns its entry, and not the server.
pub fn is_of_entry(refusal: &Refusal) -> bool {
    matches!(
        refusal.reason,
        Reason::InUse | Reason::ClaimConflict | Reason::SecretConflict | Reason::Deleting
    )
}

/// The identity of the work on an entry in the background work.
pub fn id(pool: &str, name: &str) -> String {
    format!("{pool}/{name}/made")
}

/// What one piece of work needs.
struct RunningWork {
    core: Arc<Core>,
    pool: String,
    server: DatabaseServer,
    entry: MadeEntry,
    member: Option<Arc<OrchestraDatabase>>,
    logins: Arc<RefusedLogins>,
}

/// Starts the work on an entry. Its end triggers the pool.
pub fn begin(pass: &Pass, entry: &MadeEntry, subject: ServerTask) {
    let Some(server) = pass.pool.spec.server.clone() else {
        return;
    };
    let (uid, memory, name) = (pass.uid().to_owned(), pass.ctx.memory.clone(), entry.name.clone());
    let key = id(&uid, &name);
    // Interrupted work.
    pass.ctx.probes.stop(&key);
    memory.made.begin(&uid, &name, subject.as_str());
    let work = RunningWork {
        core: pass.ctx.core.clone(),
        pool: pass.name().to_owned(),
        server,
        entry: entry.clone(),
        member: member_of(&pass.ctx.core, pass.name(), entry),
        logins: pass.ctx.logins.clone(),
    };
    let task = async move {
        let done = async {
            match subject {
                ServerTask::Make => make(&work).await,
                ServerTask::Remove => remove(&work).await,
                ServerTask::Password => {
                    if Box::pin(renewal(&work).run()).await? {
                        // The entry is checked again at once.
                        memory.checks.forget(&uid, &work.entry.key());
                    }
                    Ok(())
                }
            }
        };
        let outcome = tokio::time::timeout(LIMIT, caught(Box::pin(done))).await;
        let outcome = outcome.unwrap_or_else(|_| Err(postgres::Error::Timeout(LIMIT).into()));
        let outcome = outcome.map_err(|error| Refusal::from(&error));
        memory.made.end(&uid, &name, subject.as_str(), outcome);
        Ok(())
    };
    let object = ObjectRef::from_obj(&*pass.pool);
    pass.ctx
        .probes
        .start((&key, object), WorkKind::Probe, Watch::default(), task);
}

/// The OrchestraDatabase of an entry, if it has one.
pub fn member_of(core: &Core, pool: &str, entry: &MadeEntry) -> Option<Arc<OrchestraDatabase>> {
    let key = entry.key();
    let of_entry = |database: &OrchestraDatabase| {
        database.pool() == Some(pool) && preparation::key(database) == Some(key.as_str())
    };
    core.stores.databases.find(of_entry)
}

fn renewal(work: &RunningWork) -> Renewal<'_> {
    Renewal {
        core: &work.core,
        pool: &work.pool,
        server: &work.server,
        entry: &work.entry,
        member: work.member.as_deref(),
        logins: &work.logins,
    }
}

/// A session of the login that creates databases, after a check that it may do so.
async fn session(work: &RunningWork) -> Result<(PgConnection, Maker), Error> {
    let login = made::server_login(&work.core, &work.server).await?;
    let mut session = postgres::connect(&login, APPLICATION).await?;
    let maker = postgres::made::maker(&mut session).await?;
    match maker.objection(work.server.allow_legacy_servers) {
        None => Ok((session, maker)),
        Some(objection) => Err(Error::blocked(
            Reason::InvalidEntry,
            format!("no database is made: {objection}"),
        )),
    }
}

async fn make(work: &RunningWork) -> Result<(), Error> {
    let name = &work.entry.name;
    let password = made::stored_password(&work.core, name).await?;
    let (mut session, maker) = session(work).await?;
    let (database, record) = (made::database(name), made::record(&work.pool, name));
    let entry = OwnedDatabase {
        name: &database,
        password: &password,
        record: &record,
    };
    let known = postgres::made::completed(&mut session, (&database, &record)).await?;
    let identity = postgres::made::make(&mut session, &maker, &entry).await.map_err(told)?;
    if made::note_made(&work.core, name, &identity).await? {
        let stands_for = member_name(&identity);
        tracing::info!(entry = name, database = stands_for, "a database was made");
        return Ok(());
    }
    if known.is_some() {
        let message =
            format!("Secret {name} is gone, and somebody may have used its database {database}: it is not dropped");
        return Err(Error::blocked(Reason::InUse, message));
    }
    // The entry was deleted meanwhile, and nobody has its password.
    let removed = postgres::made::unmake(&mut session, &maker, (&database, &record), Some(&identity)).await;
    removed.map(drop).map_err(told_of_removal)
}

/// Drops the database of an entry that nobody has claimed: it has no OrchestraDatabase and no claim record.
async fn remove(work: &RunningWork) -> Result<(), Error> {
    let MadeEntry { name, made, .. } = &work.entry;
    let (database, record) = (made::database(name), made::record(&work.pool, name));
    if let Some(identity) = made {
        check_unlisted(work, &member_name(identity)).await?;
    }
    let (mut session, maker) = session(work).await?;
    let complete = complete(work, &mut session, (&database, &record)).await?;
    if let Some(identity) = &complete {
        check_unclaimed(work, identity).await?;
    }
    let made = complete.as_ref().or(made.as_ref());
    match postgres::made::unmake(&mut session, &maker, (&database, &record), made)
        .await
        .map_err(told_of_removal)?
    {
        RemovalEnd::Kept(why) => Err(Error::blocked(Reason::InUse, why)),
        RemovalEnd::Done => {
            made::delete(&work.core, name).await?;
            tracing::info!(entry = name, "a database that nobody has claimed was dropped");
            Ok(())
        }
    }
}

/// The identity of the entry's database, if there is one that somebody may have used. The entry's Secret may have lost that, as
/// one that was restored from a backup of the cluster, and then the owner's record on the server decides.
async fn complete(
    work: &RunningWork,
    session: &mut PgConnection,
    (database, record): (&str, &str),
) -> Result<Option<DatabaseIdentity>, Error> {
    if let Some(made) = &work.entry.made {
        let exists = postgres::made::exists(session, database).await?;
        return Ok(exists.then(|| made.clone()));
    }
    let found = postgres::made::completed(session, (database, record)).await?;
    if let Some(identity) = &found {
        check_unlisted(work, &member_name(identity)).await?;
    }
    Ok(found)
}

/// Checks in the API server that the entry has no OrchestraDatabase: from then on none is created, since the entry is not in
/// the inventory.
async fn check_unlisted(work: &RunningWork, member: &str) -> Result<(), Error> {
    let api: kube::Api<OrchestraDatabase> = kube::Api::all(work.core.client.clone());
    let live = api.get_opt(member).await?;
    let shown = member_of(&work.core, &work.pool, &work.entry).map(|found| (*found).clone());
    match live.or(shown) {
        None => Ok(()),
        Some(found) => Err(Error::Stop {
            class: ErrorClass::After(Duration::from_secs(1)),
            reason: Reason::Deleting,
            message: format!("OrchestraDatabase {} still refers to the entry", found.name_any()),
        }),
    }
}

/// Checks the database's claim record: nobody has claimed it. It is read as the owner, the only role that may connect.
async fn check_unclaimed(work: &RunningWork, made: &DatabaseIdentity) -> Result<(), Error> {
    let login = made::entry_login(&work.core, &work.server, &work.entry.name).await?;
    let looked = probe::bounded(async {
        let mut session = postgres::connect(&login, APPLICATION).await?;
        let found = postgres::identity(&mut session).await?;
        if made.digest() != found.digest() {
            let message = "the entry's URL leads to another database than the one that was made: nothing is dropped";
            return Err(Error::blocked(Reason::InUse, message));
        }
        probe::check_unmarked(&work.core, &mut session, Some(Anew::Made)).await
    });
    looked.await
}

/// The message about a refusal to create a database.
fn told(error: postgres::Error) -> Error {
    let postgres::Error::Refused { sqlstate, message } = &error else {
        return error.into();
    };
    match sqlstate.as_str() {
        "53100" => Error::transient(
            Reason::DatabaseRefused,
            format!(
                "the disk of the server is full ({message}): enlarge it, or lower spec.replicas; the operator then continues"
            ),
        ),
        "42710" | "42P04" => Error::blocked(
            Reason::InUse,
            format!(
                "{message}. An admin of the server finds out whose it is and renames it, or deletes the entry's Secret"
            ),
        ),
        "42501" => Error::blocked(
            Reason::InvalidEntry,
            format!(
                "the server does not let the pool's login make a database ({message}): the login needs CREATEDB and \
                 CREATEROLE, and ADMIN OPTION on the roles that are made with it"
            ),
        ),
        _ => error.into(),
    }
}

/// The message about a refusal to drop a database. It says nothing about the creation of others.
fn told_of_removal(error: postgres::Error) -> Error {
    let postgres::Error::Refused { sqlstate, message } = &error else {
        return error.into();
    };
    match sqlstate.as_str() {
        "55006" => Error::Stop {
            class: ErrorClass::After(BUSY),
            reason: Reason::InUse,
            message: format!(
                "somebody is connected to the database ({message}): it is dropped when the session has ended"
            ),
        },
        "42501" => Error::blocked(
            Reason::InUse,
            format!(
                "the database is not dropped, because the pool's login may not ({message}): give it ADMIN OPTION on the \
                 database's owner, as the login that has made it had"
            ),
        ),
        _ if error.class() == ErrorClass::Transient => error.into(),
        _ => Error::blocked(
            Reason::InUse,
            format!("the database or its owner is not dropped: {error}"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_refuses_is_told_with_what_to_do() {
        type ToError = fn(postgres::Error) -> Error;
        let (make, remove): (ToError, ToError) = (told, told_of_removal);
        for (told, sqlstate, passing, of_entry, says) in [
            (make, "53100", true, false, "enlarge it"),
            (make, "42P04", false, true, "finds out whose it is and renames it"),
            (make, "42501", false, false, "CREATEDB and CREATEROLE"),
            (make, "0A000", false, false, "SQLSTATE 0A000"),
            (remove, "55006", true, true, "when the session has ended"),
            (remove, "42501", false, true, "ADMIN OPTION on the database's owner"),
            (remove, "2BP01", false, true, "is not dropped"),
            (remove, "57P03", true, false, "SQLSTATE 57P03"),
        ] {
            let error = told(postgres::Error::Refused {
                sqlstate: sqlstate.into(),
                message: "no".into(),
            });
            let refusal = Refusal::from(&error);
            let is = (refusal.is_passing(), is_of_entry(&refusal));
            assert_eq!(is, (passing, of_entry), "{sqlstate}");
            assert!(refusal.message.contains(says), "{}", refusal.message);
        }
    }
}
