//! On which server a drill makes its scratch database, and the login that makes it.

use kube::ResourceExt as _;
use kube::runtime::reflector::ObjectRef;

use crate::api::condition::Reason;
use crate::api::{ClassBackup, InventoryEntry, OrchestraDatabase, ScratchDatabase};
use crate::backup::Context;
use crate::controller::error::Error;
use crate::credentials::{inventory, made, servers};
use crate::postgres::Login;
use crate::supabase::settings::is_supabases;

/// What an admin does where there is no server.
const ADVICE: &str =
    "name an OrchestraPool with server in backup.scratchPoolName of the class, and ask for the drill again";

/// The name of the scratch database of a backup, and of the role that owns it.
pub fn name(uid: &str) -> String {
    format!("orchestra_drill_{}", uid.replace('-', ""))
}

/// What that role carries, so that nothing else is taken for it.
pub fn record(uid: &str) -> String {
    format!("orchestra-operator: drill of OrchestraBackup {uid}")
}

fn no_drill(why: &str) -> Error {
    Error::blocked(Reason::NoScratchServer, format!("no drill can be made: {why}"))
}

fn of_hosted() -> Error {
    no_drill(&format!(
        "the Orchestra's database is a hosted project, which can have no second database: {ADVICE}"
    ))
}

/// Where the scratch database of a drill is to be: on the server of the pool that the class names, or else on that of the
/// Orchestra's own database.
///
/// # Errors
/// [`Reason::NoScratchServer`].
pub fn choose(
    ctx: &Context,
    uid: &str,
    settings: &ClassBackup,
    database: Option<&OrchestraDatabase>,
) -> Result<ScratchDatabase, Error> {
    let none = |why: String| Err(no_drill(&why));
    let at = |pool: &str, key: Option<&String>| {
        Ok(ScratchDatabase {
            name: name(uid),
            pool: pool.to_owned(),
            key: key.cloned(),
        })
    };
    let has_server = |pool: &str| {
        let pool = ctx.core.stores.pools.get(&ObjectRef::new(pool))?;
        Some(pool.spec.server.is_some())
    };
    if let Some(pool) = &settings.scratch_pool_name {
        return match has_server(pool) {
            Some(true) => at(pool, None),
            Some(false) => none(format!(
                "OrchestraPool {pool}, which backup.scratchPoolName of the class names, has no server: {ADVICE}"
            )),
            None => none(format!(
                "OrchestraPool {pool}, which backup.scratchPoolName of the class names, does not exist: create it, and ask \
                 for the drill again"
            )),
        };
    }
    let Some(database) = database else {
        return none(format!(
            "the Orchestra's own database is gone, or another Orchestra claims it, and its server cannot be used: {ADVICE}"
        ));
    };
    match &database.spec.inventory {
        None => Err(of_hosted()),
        Some(InventoryEntry { pool, key }) => match has_server(pool) {
            Some(true) => at(pool, None),
            _ => at(pool, Some(key)),
        },
    }
}

/// A name for the server of a scratch database: Jobs on one server share its limit.
pub fn server(ctx: &Context, scratch: &ScratchDatabase) -> String {
    let entry = scratch.key.as_ref().map(|key| InventoryEntry {
        pool: scratch.pool.clone(),
        key: key.clone(),
    });
    let known = match entry {
        Some(entry) => servers::of_entry(&ctx.credentials, &entry),
        None => servers::of_pool(&ctx.credentials, &scratch.pool),
    };
    known.unwrap_or_else(|| format!("pool/{}", scratch.pool))
}

/// The login that makes and drops a scratch database, and whether a server before PostgreSQL 16 is accepted.
///
/// # Errors
/// When there is none; [`Reason::NoScratchServer`] of a hosted project.
pub async fn maker(ctx: &Context, scratch: &ScratchDatabase) -> Result<(Login, bool), Error> {
    let name = &scratch.pool;
    let pool = ctx.core.stores.pools.get(&ObjectRef::new(name)).ok_or_else(|| {
        Error::blocked(
            Reason::NoScratchServer,
            format!(
                "OrchestraPool {name}, on whose server the scratch database {} is, does not exist: create it again",
                scratch.name
            ),
        )
    })?;
    let Some(key) = &scratch.key else {
        let server = pool.spec.server.as_ref().ok_or_else(|| {
            Error::blocked(
                Reason::NoScratchServer,
                format!("OrchestraPool {} has no server any more: {ADVICE}", pool.name_any()),
            )
        })?;
        let login = made::server_login(&ctx.core, server).await?;
        return Ok((login, server.allow_legacy_servers));
    };
    let entry = InventoryEntry {
        pool: name.clone(),
        key: key.clone(),
    };
    let (login, _) = inventory::login(&ctx.credentials, &entry).await?;
    if is_supabases(&login.host) {
        return Err(of_hosted());
    }
    let legacy = pool.spec.inventory.as_ref().is_some_and(|of| of.allow_legacy_servers);
    Ok((login, legacy))
}

/// What a person is told of a login that may not make databases.
pub fn objection(why: &str) -> Error {
    Error::blocked(
        Reason::NoScratchServer,
        format!("no scratch database can be made: {why}. Or {ADVICE}"),
    )
}
