//! Which database server an Orchestra's database is on. Databases on one server share its limit of migrations.

use std::collections::HashMap;

use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use parking_lot::Mutex;

use super::Context;
use crate::api::{InventoryEntry, Orchestra, OrchestraDatabase};
use crate::postgres::Login;

/// The servers of the entries of static pools, from the inventories that were read last.
#[derive(Default)]
pub struct EntryServers(Mutex<HashMap<(String, String), EntryServer>>);

/// Where an entry leads.
struct EntryServer {
    /// `host:port`.
    server: String,
    /// User of its login.
    user: String,
    /// The last read inventory contains it.
    listed: bool,
}

impl EntryServers {
    /// Remembers where the entries of a pool lead. The server of a removed entry stays known: an Orchestra
    /// may use its database.
    pub fn learn<'a>(&self, pool: &str, entries: impl Iterator<Item = (&'a str, Login)>) {
        let mut known = self.0.lock();
        for ((of, _), entry) in known.iter_mut() {
            entry.listed &= of != pool;
        }
        for (key, login) in entries {
            let entry = EntryServer {
                server: address(&login),
                user: login.user,
                listed: true,
            };
            known.insert((pool.into(), key.into()), entry);
        }
    }

    /// Users of the other entries, of any pool, that lead to the server of this login, each with the name of its
    /// entry.
    pub fn other_users(&self, (pool, key): (&str, &str), login: &Login) -> Vec<(String, String)> {
        let (server, known) = (address(login), self.0.lock());
        let others = known.iter().filter(|((of, other), entry)| {
            entry.listed && entry.server == server && entry.user != login.user && (of != pool || other != key)
        });
        let named = others.map(|((of, other), entry)| (entry.user.clone(), format!("{other} of pool {of}")));
        named.collect()
    }

    /// Drops the entries of pools that are gone.
    pub(super) fn retain(&self, exists: impl Fn(&str) -> bool) {
        self.0.lock().retain(|(pool, _), _| exists(pool));
    }

    fn of_pool(&self, pool: &str) -> Option<String> {
        let known = self.0.lock();
        let mut of_pool = known.iter().filter(|((of, _), _)| of == pool);
        of_pool.next().map(|(_, entry)| entry.server.clone())
    }

    fn of(&self, entry: &InventoryEntry) -> Option<String> {
        let known = self.0.lock();
        let entry = known.get(&(entry.pool.clone(), entry.key.clone()))?;
        Some(entry.server.clone())
    }
}

fn address(login: &Login) -> String {
    format!("{}:{}", login.host, login.port)
}

/// The server of an entry, once its inventory was read.
pub fn of_entry(ctx: &Context, entry: &InventoryEntry) -> Option<String> {
    ctx.servers.of(entry)
}

/// The server of a pool that makes its databases on one, once it has one.
pub fn of_pool(ctx: &Context, pool: &str) -> Option<String> {
    ctx.servers.of_pool(pool)
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_entry_that_left_is_nobodys_neighbour_but_its_server_stays_known() {
        let login = |user: &str, host: &str| Login::parse(&format!("postgres://{user}:x@{host}/a").into()).unwrap();
        let servers = EntryServers::default();
        servers.learn(
            "house",
            [("1", login("a", "one")), ("2", login("b", "one"))].into_iter(),
        );
        servers.learn("hall", [("1", login("c", "one")), ("2", login("d", "two"))].into_iter());
        let others = |servers: &EntryServers| {
            let mut others = servers.other_users(("house", "1"), &login("a", "one"));
            others.sort();
            others.into_iter().map(|(user, _)| user).collect::<Vec<_>>()
        };
        assert_eq!(others(&servers), ["b", "c"]);
        servers.learn("house", [("1", login("a", "one"))].into_iter());
        assert_eq!(others(&servers), ["c"]);
        let left = InventoryEntry {
            pool: "house".into(),
            key: "2".into(),
        };
        assert_eq!(servers.of(&left).as_deref(), Some("one:5432"));
    }
}
