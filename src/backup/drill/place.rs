//! On which server a drill makes its scratch database, and the login that makes it.

use kube::ResourceExt as _;
use kube::runtime::reflector::ObjectRef;

use crate::api::condition::Reason;
use crate::api::{InventoryEntry, OrchestraClass, OrchestraPool, ScratchDatabase};
use crate::backup::{Context, Pass, needs, order};
use crate::class::admission::admit;
use crate::controller::error::Error;
use crate::credentials::{inventory, made, servers};
use crate::postgres::Login;
use crate::postgres::scratch::keeper;
use crate::supabase::settings::is_supabases;
use crate::text;

/// What an admin can do when there is no server.
const ADVICE: &str =
    "name an OrchestraPool with server in backup.scratchPoolName of the class, and ask for the drill again";

/// What the name of each scratch database begins with.
const PREFIX: &str = "orchestra_drill_";

/// The longest name of a pool, in characters.
const POOL: usize = 253;

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

/// The mark of that role, so that no other role is mistaken for it.
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

/// Whether a class may have scratch databases on the server of a pool: it claims from the pool, or the pool names it.
fn takes_drills(pool: &OrchestraPool, class: &OrchestraClass) -> bool {
    let (pool_name, class_name) = (pool.name_any(), class.name_any());
    let claims = class
        .spec
        .pools
        .as_ref()
        .is_some_and(|pools| pools.names.contains(&pool_name));
    let server = pool.spec.server.as_ref();
    claims || server.is_some_and(|server| server.drill_class_names.contains(&class_name))
}

/// Whether a backup may have drills by a class: that of its Orchestra's database, or one that admits the backup's namespace.
/// The class is named by the status of the backup, which others may have written; `claimed` is the class of the database, which
/// the operator alone writes.
fn may_drill(claimed: Option<&str>, class: &str, admission: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
    match claimed {
        Some(of) if of == class => Ok(()),
        Some(of) => Err(no_drill(&format!(
            "status.className of this OrchestraBackup is {class}, but the Orchestra's database is of OrchestraClass {of}. Find out who \
             may write orchestrabackups/status, and create another OrchestraBackup"
        ))),
        None => {
            admission().map_err(|refusal| no_drill(&format!("{refusal}. Ask for the drill again when that is settled")))
        }
    }
}

/// [`may_drill`] of this backup.
fn check(pass: &Pass, class: &OrchestraClass) -> Result<(), Error> {
    let database = needs::claimed(pass);
    let claimed = database
        .as_ref()
        .and_then(|database| database.spec.class_name.as_deref());
    let namespace = pass.object.namespace().unwrap_or_default();
    may_drill(claimed, &class.name_any(), || {
        // Backups of databases whose namespace was gone are in the operator's own, where only admins create objects.
        if namespace == pass.core().settings.namespace {
            return Ok(());
        }
        admit(&pass.ctx.class, class, &namespace)
    })
}

/// Where the scratch database of a drill is to be: on the server of the pool that the class names, or else on that of the
/// Orchestra's own database.
///
/// # Errors
/// [`Reason::NoScratchServer`].
pub fn choose(pass: &Pass, class: &OrchestraClass) -> Result<ScratchDatabase, Error> {
    let (ctx, settings) = (&pass.ctx, order::of_class(class)?);
    check(pass, class)?;
    let none = |why: String| Err(no_drill(&why));
    let at = |pool: &str, key: Option<&String>| {
        Ok(ScratchDatabase {
            name: name(),
            pool: pool.to_owned(),
            key: key.cloned(),
        })
    };
    let found = |pool: &str| ctx.core.stores.pools.get(&ObjectRef::new(pool));
    if let Some(pool) = &settings.scratch_pool_name {
        let class_name = class.name_any();
        return match found(pool) {
            Some(found) if found.spec.server.is_none() => none(format!(
                "OrchestraPool {pool}, which backup.scratchPoolName of the class names, has no server: {ADVICE}"
            )),
            Some(found) if !takes_drills(&found, class) => none(format!(
                "OrchestraPool {pool}, which backup.scratchPoolName of OrchestraClass {class_name} names, takes no drills of that \
                 class: ask the cluster's admin to add {class_name} to server.drillClassNames of the pool, and ask for the drill \
                 again"
            )),
            Some(_) => at(pool, None),
            None => none(format!(
                "OrchestraPool {pool}, which backup.scratchPoolName of the class names, does not exist: create it, and ask \
                 for the drill again"
            )),
        };
    }
    let Some(database) = needs::database(pass) else {
        return none(format!(
            "the Orchestra's own database is gone, or another Orchestra claims it, and its server cannot be used: {ADVICE}"
        ));
    };
    match &database.spec.inventory {
        None => Err(of_hosted()),
        Some(InventoryEntry { pool, key }) => {
            let makes = found(pool).is_some_and(|pool| pool.spec.server.is_some());
            at(pool, (!makes).then_some(key))
        }
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

/// Of a name that no scratch database has.
pub const FORGED: &str = "status.verification.scratch.name was not the name of a scratch database, because somebody other than the operator \
     wrote it: nothing is dropped, and the field is removed. Find out who may write orchestrabackups/status";

/// Why a scratch database that a status names is given up; none where it may be there. Others may have written the status: the
/// operator makes no scratch database with another kind of name. Without its pool, no login can drop it.
pub fn given_up(at: &ScratchDatabase, has_pool: bool) -> Option<String> {
    if !is_name(&at.name) {
        return Some(FORGED.into());
    }
    let pool = text::line(&at.pool, POOL);
    (!has_pool).then(|| {
        format!(
            "OrchestraPool {pool} does not exist, so the scratch database {}, its owner of that name and the role {} are left behind \
             where they are on its server: an admin drops them there",
            at.name,
            keeper(&at.name)
        )
    })
}

/// Whether the pool exists on whose server a scratch database is.
pub fn has_pool(ctx: &Context, at: &ScratchDatabase) -> bool {
    ctx.core.stores.pools.get(&ObjectRef::new(&at.pool)).is_some()
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
    let login = inventory::owner_login(&ctx.credentials, &entry).await?;
    if is_supabases(&login.host) {
        return Err(of_hosted());
    }
    let legacy = pool.spec.inventory.as_ref().is_some_and(|of| of.allow_legacy_servers);
    Ok((login, legacy))
}

/// The message about a login that may not create databases.
pub fn objection(why: &str) -> Error {
    Error::blocked(
        Reason::NoScratchServer,
        format!("no scratch database can be made: {why}. Or {ADVICE}"),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_pool_takes_drills_of_classes_that_claim_from_it_or_that_it_names() {
        let class: OrchestraClass = serde_json::from_value(json!({
            "metadata": {"name": "standard"}, "spec": {"pools": {"names": ["house"]}},
        }))
        .unwrap();
        let pool = |name: &str, named: Value| -> OrchestraPool {
            let server = json!({"secretRef": {"name": "server"}, "drillClassNames": named});
            serde_json::from_value(json!({"metadata": {"name": name}, "spec": {"server": server}})).unwrap()
        };
        for (name, named, takes) in [
            ("house", json!([]), true),
            ("trial", json!([]), false),
            ("trial", json!(["other", "standar"]), false),
            ("trial", json!(["other", "standard"]), true),
        ] {
            assert_eq!(
                takes_drills(&pool(name, named.clone()), &class),
                takes,
                "{name} {named}"
            );
        }
    }

    #[test]
    fn a_class_that_a_status_names_takes_drills_of_its_own_databases_and_of_namespaces_that_it_admits() {
        let refusal = || {
            Err(Error::blocked(
                Reason::NamespaceNotAllowed,
                "class big does not admit it",
            ))
        };
        assert!(may_drill(Some("big"), "big", refusal).is_ok());
        assert!(may_drill(None, "big", || Ok(())).is_ok());
        for (claimed, told) in [
            (Some("small"), "database is of OrchestraClass small"),
            (None, "class big does not admit it. Ask for the drill again"),
        ] {
            let error = may_drill(claimed, "big", refusal).unwrap_err();
            assert_eq!(error.reason(), Reason::NoScratchServer);
            assert!(error.to_string().contains(told), "{error}");
            // The error is not transient, so the drill is not tried again.
            assert!(!error.is_passing());
        }
    }

    #[test]
    fn a_scratch_database_is_given_up_only_where_nothing_was_made_or_nothing_can_drop_it() {
        let at = |name: String, pool: &str| ScratchDatabase {
            name,
            pool: pool.into(),
            key: None,
        };
        for (at, has_pool, told) in [
            (at(name(), "trial"), true, None),
            (at(name(), "trial"), false, Some("OrchestraPool trial does not exist")),
            (
                at("postgres".into(), "trial"),
                true,
                Some("somebody other than the operator"),
            ),
            (at(String::new(), ""), false, Some("somebody other than the operator")),
        ] {
            let said = given_up(&at, has_pool);
            assert_eq!(said.is_some(), told.is_some(), "{at:?}");
            assert!(said.unwrap_or_default().contains(told.unwrap_or_default()), "{at:?}");
        }
        let long = given_up(&at(name(), &"p\u{1b}".repeat(1 << 20)), false).unwrap();
        assert!(long.len() < 1024 && !long.contains('\u{1b}'), "{long}");
    }

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
