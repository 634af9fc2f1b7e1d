//! Logins of owners and tenants, and the Secrets that carry them.

pub mod api_keys;
pub mod connection;
pub mod entries;
pub mod followed;
pub mod given;
pub mod inventory;
mod kept;
mod listing;
mod login_state;
pub mod made;
pub mod made_password;
pub mod owner;
pub mod password;
mod project;
mod project_keys;
pub mod published;
pub mod rights;
pub mod schedule;
pub mod secrets;
pub mod servers;
pub mod spare;
pub mod template;
pub mod tenant;
mod tenant_login;

use std::sync::Arc;

use crate::controller::Core;
pub use secrets::Secrets;
use servers::EntryServers;

/// The context of a room that logs in to databases.
pub struct Context {
    /// What every pass needs.
    pub core: Arc<Core>,
    /// The servers of the entries of static pools.
    pub servers: EntryServers,
    /// What is known of the entries of members.
    pub entries: entries::Entries,
    /// Inventories of pools as they were last read.
    pub inventories: inventory::Inventories,
}

impl AsRef<Core> for Context {
    fn as_ref(&self) -> &Core {
        &self.core
    }
}
