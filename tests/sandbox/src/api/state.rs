//! What all requests share.

use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use super::behaviour::Behaviour;
use super::faults::Faults;
use super::ledger::Ledger;
use super::limits::Limiter;
use super::organization::Organization;
use super::provision::Databases;
use super::reply::Reply;
use super::rules::Rules;
use super::world::World;
use super::{Options, Violation};
use crate::openapi::Contract;
use crate::router::Tenants;

pub(super) struct Inner {
    pub(super) options: Options,
    pub(super) databases: Databases,
    /// The pooler's name, and its port for transactions: the one that the API names.
    pub(super) pooler_host: String,
    pub(super) pooler_port: u16,
    /// Its session port, which the API names only when it is not the usual one.
    pub(super) session_port: u16,
    pub(super) tenants: Tenants,
    pub(super) faults: Faults,
    pub(super) rules: Rules,
    pub(super) ledger: Ledger,
    pub(super) limiter: Limiter,
    pub(super) contract: Option<Contract>,
    /// The one user that all tokens belong to.
    pub(super) user: String,
    pub(super) tokens: Mutex<Vec<String>>,
    pub(super) violations: Mutex<Vec<Violation>>,
    pub(super) behaviour: Mutex<Behaviour>,
    pub(super) world: Mutex<World>,
}

impl Inner {
    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
    }

    pub(super) fn behaviour(&self) -> Behaviour {
        *lock(&self.behaviour)
    }

    /// Restarts the server of a project whose state says so, and ends that state so much later.
    pub(super) async fn restart(&self, reference: &str, after: Duration) -> Result<(), Reply> {
        self.tenants.usable_from(reference, None);
        let restarted = async {
            self.databases.pause(reference).await?;
            self.databases.resume(reference).await
        };
        let restarted = restarted.await.map_err(|error: anyhow::Error| Reply::internal(&error));
        let until = Instant::now() + after;
        if let Some(project) = self.world().projects.get_mut(reference) {
            project.life.ends(until);
        }
        let usable = until + self.behaviour().pooler_after;
        self.tenants.usable_from(reference, Some(usable));
        restarted
    }

    /// The organization, refused as unknown when there is none of that slug.
    pub(super) fn organization(&self, slug: &str) -> Result<&Organization, Reply> {
        self.options
            .organizations
            .iter()
            .find(|organization| organization.slug == slug)
            .ok_or_else(|| Reply::message(404, "Organization not found"))
    }

    pub(super) fn accepts(&self, token: &str) -> bool {
        lock(&self.tokens).iter().any(|known| known == token)
    }

    /// Replaces the tokens that are accepted.
    pub(super) fn set_tokens(&self, tokens: Vec<String>) {
        for token in &tokens {
            self.ledger.secret(token);
        }
        *lock(&self.tokens) = tokens;
    }

    pub(super) fn violation(&self, operation: &str, found: Vec<String>) {
        lock(&self.violations).extend(found.into_iter().map(|detail| Violation {
            operation: operation.to_owned(),
            detail,
        }));
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock()
}
