//! Which projects the pooler knows, and what was tried on them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Mutex, MutexGuard};

use super::wall::Wall;

/// One project as the pooler knows it.
#[derive(Clone, Debug)]
pub struct Tenant {
    /// The server of the project's database.
    pub server: SocketAddr,
    /// Its transaction pooler; without one, both ports give whole sessions of the server.
    pub pooler: Option<SocketAddr>,
    /// The project's database on the server.
    pub database: String,
    /// The role that stands behind `postgres`.
    pub owner: String,
    /// From when on the pooler knows the project; never, when absent.
    pub usable_from: Option<Instant>,
}

/// Logins that the server answered.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Logins {
    /// Logins the server accepted.
    pub accepted: u64,
    /// Logins that the server or the pooler refused.
    pub refused: u64,
}

/// The projects of a pooler, by reference; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Tenants(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    tenants: HashMap<String, Tenant>,
    logins: HashMap<String, Logins>,
    walls: HashMap<String, Wall>,
    /// The servers of running sessions, by the process and the key that a request to cancel names.
    sessions: HashMap<Vec<u8>, SocketAddr>,
}

impl Tenants {
    /// Adds or replaces a project.
    pub fn set(&self, project: &str, tenant: Tenant) {
        self.table().tenants.insert(project.to_owned(), tenant);
    }

    /// Says from when on the pooler knows the project; `None` makes it unknown.
    pub fn usable_from(&self, project: &str, when: Option<Instant>) {
        if let Some(tenant) = self.table().tenants.get_mut(project) {
            tenant.usable_from = when;
        }
    }

    /// Forgets a project; the count of its logins stays.
    pub fn remove(&self, project: &str) {
        let mut table = self.table();
        table.tenants.remove(project);
        table.walls.remove(project);
    }

    /// Lets in clients of these networks alone, given as CIDR.
    pub fn allow(&self, project: &str, networks: Vec<String>) {
        self.table().walls.entry(project.to_owned()).or_default().networks = Some(networks);
    }

    /// Refuses logins without TLS, or no longer.
    pub fn enforce_tls(&self, project: &str, enforced: bool) {
        self.table().walls.entry(project.to_owned()).or_default().tls = enforced;
    }

    pub(super) fn wall(&self, project: &str) -> Wall {
        self.table().walls.get(project).cloned().unwrap_or_default()
    }

    /// The project, whether logins to it are let through or not.
    pub fn get(&self, project: &str) -> Option<Tenant> {
        self.table().tenants.get(project).cloned()
    }

    /// How often the project was logged in to.
    pub fn logins(&self, project: &str) -> Logins {
        self.table().logins.get(project).copied().unwrap_or_default()
    }

    /// The project, if logins to it are let through now.
    pub(super) fn usable(&self, project: &str) -> Option<Tenant> {
        let table = self.table();
        let tenant = table.tenants.get(project)?;
        (tenant.usable_from? <= Instant::now()).then(|| tenant.clone())
    }

    pub(super) fn count(&self, project: &str, accepted: bool) {
        let mut table = self.table();
        let logins = table.logins.entry(project.to_owned()).or_default();
        if accepted {
            logins.accepted += 1;
        } else {
            logins.refused += 1;
        }
    }

    pub(super) fn began(&self, key: &[u8], server: SocketAddr) {
        self.table().sessions.insert(key.to_owned(), server);
    }

    pub(super) fn ended(&self, key: &[u8]) {
        self.table().sessions.remove(key);
    }

    pub(super) fn server_of(&self, key: &[u8]) -> Option<SocketAddr> {
        self.table().sessions.get(key).copied()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock()
    }
}
