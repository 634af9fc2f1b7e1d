//! Which database server an Orchestra's database is on. Databases on one server share its limit of migrations.

use std::collections::HashMap;

use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use parking_lot::Mutex;

use super::Context;
use crate::api::{InventoryEntry, Orchestra, OrchestraDatabase};
use crate::postgres::Login;

/// The servers of the entries of static pools, as `host:port`, from the inventories that were read last.
#[derive(Default)]
pub struct Servers(Mutex<HashMap<(String, String), String>>);

impl Servers {
    /// Remembers the server of an entry.
    pub fn learn(&self, pool: &str, key: &str, login: &Login) {
        let server = format!("{}:{}", login.host, login.port);
        let mut known = self.0.lock();
        known.insert((pool.into(), key.into()), server);
    }

    fn of(&self, entry: &InventoryEntry) -> Option<String> {
        let known = self.0.lock();
        known.get(&(entry.pool.clone(), entry.key.clone())).cloned()
    }
}

/// The server of a database. A hosted project is a server of its own. The server of an entry is known once its
/// inventory was read.
pub fn of_database(ctx: &Context, database: &OrchestraDatabase) -> Option<String> {
    match &database.spec.inventory {
        Some(entry) => ctx.servers.of(entry),
        None => Some(database.name_any()),
    }
}

/// The server of an Orchestra's database.
pub fn of(ctx: &Context, orchestra: &Orchestra) -> Option<String> {
    let name = orchestra.status.as_ref()?.database_name.as_ref()?;
    of_database(ctx, &*ctx.core.stores.databases.get(&ObjectRef::new(name))?)
}
