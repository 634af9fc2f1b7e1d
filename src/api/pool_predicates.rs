//! Questions about stored pools that have one answer for every room.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::condition::{ConditionType, Reason, find, reason_of};
use super::{OrchestraPool, Recycle};

impl OrchestraPool {
    /// The conditions of the status; none when there is no status.
    pub fn conditions(&self) -> &[Condition] {
        self.status.as_ref().map_or(&[][..], |status| &status.conditions[..])
    }

    /// Why a person must act; none when nobody must, or when another version of the operator wrote a reason that this one
    /// does not know.
    pub fn stalled_reason(&self) -> Option<Reason> {
        reason_of(self.conditions(), ConditionType::Stalled)
    }

    /// Whether its inventory is missing.
    pub fn is_without_inventory(&self) -> bool {
        reason_of(self.conditions(), ConditionType::Ready) == Some(Reason::InventoryNotFound)
    }

    /// Whether the status reports databases of its servers to which tenants' logins can connect.
    pub fn tells_of_servers(&self) -> bool {
        find(self.conditions(), ConditionType::ServersClosed).is_some()
    }

    /// What happens to released databases of a pool whose members are entries; none where it is not set, and for any other
    /// pool.
    pub fn recycle(&self) -> Option<Recycle> {
        match &self.spec.server {
            Some(_) => Some(Recycle::Reset),
            None => self.spec.inventory.as_ref()?.recycle,
        }
    }

    /// Whether it accepts servers before PostgreSQL 16, and databases that hold rows.
    pub fn accepted(&self) -> (bool, bool) {
        match (&self.spec.server, &self.spec.inventory) {
            (Some(server), _) => (server.allow_legacy_servers, false),
            (None, Some(inventory)) => (inventory.allow_legacy_servers, inventory.accept_non_empty),
            (None, None) => (false, false),
        }
    }
}
