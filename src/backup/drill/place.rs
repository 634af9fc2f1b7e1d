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

/// What the name of each scratch database begins with.
const PREFIX: &str = "orchestra_drill_";

/// A name for a scratch database and the role that owns it. Nobody on the server knows it before they are made, so that nobody
/// has made a role of that name.
fn name() -> String {
    format!("{PREFIX}{}", uuid::Uuid::new_v4().simple())
}

/// Whether a name is that of a scratch database. It comes from a status, which others may have written.
pub fn is_name(name: &str) -> bool {
    let digits = name.strip_prefix(PREFIX).unwrap_or_default();
    digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
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
        "the Orchestra's database is a hosted project, where no second database is made: {ADVICE}"
    ))
}

/// Where the scratch database of a drill is to be: on the server of the pool that the class names, or else on that of the
/// Orchestra's own database.
///
/// # Errors
/// [`Reason::NoScratchServer`].
pub fn choose(
    ctx: &Context,
    settings: &ClassBackup,
    database: Option<&OrchestraDatabase>,
) -> Result<ScratchDatabase, Error> {
    let none = |why: String| Err(no_drill(&why));
    let at = |pool: &str, key: Option<&String>| {
        Ok(ScratchDatabase {
            name: name(),
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
            "the Orchestra's database is gone or another Orchestra's, so that there is no server of its own: {ADVICE}"
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
                "OrchestraPool {name}, on whose server the scratch database {} is, does not exist",
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
        format!("no scratch database is made: {why}. Or {ADVICE}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_new_each_time_and_is_known_for_one() {
        assert_ne!(name(), name());
        assert!(is_name(&name()));
        for other in [
            "orchestra_drill_",
            "orchestra_drill_x",
            "postgres",
            "orchestra_0123456789abcdef0123456789abcdef",
        ] {
            assert!(!is_name(other), "{other}");
        }
    }
}
