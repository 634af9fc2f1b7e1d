//! OrchestraPool: databases that wait for a claim. Each is a member, an OrchestraDatabase that Orchestras can claim.
//!
//! A pool with `replicas` makes its members, as [`warm::plan`] describes. The members of a static pool are the entries of an
//! inventory, after a real login, as [`plan`] describes. A pool with `server` makes such entries, as [`server::plan`]
//! describes.
//!
//! The member's name is made from what the login finds (the server and the database), so two entries that
//! lead to the same database have one name, and the API server refuses the second.

mod act;
mod attempts;
mod broken;
pub mod candidates;
mod checks;
mod made;
mod object;
mod observe;
pub mod plan;
mod preparation;
mod probe;
mod server;
mod servers;
mod status;
pub mod users;
mod wanted;
pub mod warm;

use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::api::Api;
use kube::runtime::reflector::ObjectRef;
use tokio::sync::mpsc::UnboundedSender;

use crate::api::unreadable::unreadable;
use crate::api::{Orchestra, OrchestraDatabase, OrchestraPool};
use crate::controller::Core;
use crate::controller::background::{PATIENCE, Works};
use crate::controller::error::Error;
use crate::controller::reconcile::Next;
use crate::controller::status::current;
use crate::controller::unreadable::check;
use crate::postgres::RefusedLogins;
use crate::telemetry::pools::PoolFacts;
use crate::{class, content, credentials, rollout};
use attempts::Attempts;
use candidates::Choices;
use wanted::MemberContents;

pub use status::report;

/// What the passes over pools need, and those that claim members.
pub struct Context {
    /// What every pass needs.
    pub core: Arc<Core>,
    /// Classes.
    pub class: Arc<class::Context>,
    /// Scripts.
    pub content: Arc<content::Context>,
    /// Inventories and their servers.
    pub credentials: Arc<credentials::Context>,
    /// Turns to migrate.
    pub rollout: Arc<rollout::Context>,
    /// Refused logins, and when the next one may be tried.
    pub logins: Arc<RefusedLogins>,
    /// Databases whose owner's login was refused for its password: their controller sets a new one.
    pub refused: UnboundedSender<ObjectRef<OrchestraDatabase>>,
    /// Members that are about to be claimed, or are being prepared.
    pub choices: Arc<Choices>,
    /// Members that are being prepared.
    pub preparations: Works<OrchestraPool, ()>,
    /// Entries that are being probed.
    pub probes: Works<OrchestraPool, ()>,
    /// Orchestras that are to be reconciled.
    pub wake: UnboundedSender<ObjectRef<Orchestra>>,
    /// What was tried, and how it ended.
    pub memory: Arc<Memory>,
}

/// What the passes over pools remember. A restarted operator looks it up again.
#[derive(Default)]
pub struct Memory {
    /// Probes of entries by key; a successful one has the name of the entry's OrchestraDatabase.
    probes: Attempts<String>,
    /// Checks of members, by the key of their entry.
    checks: Attempts<checks::CheckResult>,
    /// Preparations of members by UID.
    preparations: Attempts<()>,
    /// Databases being made or dropped on servers, by the names of their entries.
    made: Attempts<()>,
    /// What is known of the servers of entries.
    servers: servers::ServerLooks,
}

/// The metrics of a pool, read from its status.
pub fn facts(pool: &OrchestraPool) -> PoolFacts {
    let status = pool.status.clone().unwrap_or_default();
    PoolFacts {
        pool: pool.metadata.name.clone().unwrap_or_default(),
        databases: vec![
            ("desired", status.desired),
            ("available", status.available),
            ("creating", status.creating.unwrap_or_default()),
            ("bound", status.bound),
        ],
    }
}

impl AsRef<Core> for Context {
    fn as_ref(&self) -> &Core {
        &self.core
    }
}

/// How long one pass starts new work. What is left is done in the next pass, so that no pool occupies a worker.
const PASS_TIME: Duration = Duration::from_secs(10);

/// When a pass comes back that has found the watch behind the API server, or has taken too long.
const BEHIND: Duration = Duration::from_millis(500);

/// One pass: observe → plan → status → act, step by step until it has to wait.
pub async fn pass(pool: Arc<OrchestraPool>, ctx: Arc<Context>) -> Result<Next, Error> {
    let Some(pool) = current(&ctx.core, &*pool).await? else {
        return Ok(Next::Gone);
    };
    let mut pass = Pass {
        ctx,
        pool: Arc::new(pool),
        began: Instant::now(),
        wanted: None,
    };
    are_known(&pass)?;
    if pass.pool.spec.server.is_some() {
        return Box::pin(server::pass(pass)).await;
    }
    if pass.pool.spec.inventory.is_none() {
        return warm::pass(pass).await;
    }
    loop {
        let observed = observe::observe(&pass).await?;
        pass.keep(observed.wanted.as_ref());
        let step = plan::plan(&observed.facts);
        tracing::debug!(?step, "next");
        status::write(&mut pass, &step, &observed).await?;
        if let Some(next) = act::act(&pass, step, observed).await? {
            return Ok(next);
        }
    }
}

/// Whether all values of the unclaimed members are understood. A value of another version is not, so that member is neither
/// replaced nor destroyed.
fn are_known(pass: &Pass) -> Result<(), Error> {
    let databases = &pass.ctx.core.stores.databases;
    let member = databases.find(|database| {
        database.pool() == Some(pass.name()) && database.spec.claim_ref.is_none() && unreadable(database).is_some()
    });
    member.as_deref().map_or(Ok(()), check)
}

/// One pass over an OrchestraPool, with what it alone knows.
struct Pass {
    ctx: Arc<Context>,
    /// The resource, as the last write of this pass left it.
    pool: Arc<OrchestraPool>,
    began: Instant,
    /// What the members are to be prepared with, as the first look of this pass that found it has returned it: all steps of the
    /// pass prepare with the same contents.
    wanted: Option<Arc<MemberContents>>,
}

impl Pass {
    fn api(&self) -> Api<OrchestraDatabase> {
        Api::all(self.ctx.core.client.clone())
    }

    /// What the members are to be prepared with: what the pass keeps, or else what is looked up.
    async fn wanted(
        &self,
        look: impl Future<Output = Result<Option<Arc<MemberContents>>, Error>>,
    ) -> Result<Option<Arc<MemberContents>>, Error> {
        match &self.wanted {
            Some(known) => Ok(Some(known.clone())),
            None => look.await,
        }
    }

    /// Keeps for the rest of the pass what a look has found. A lookup that failed, or found nothing, is repeated.
    fn keep(&mut self, wanted: Option<&Arc<MemberContents>>) {
        if self.wanted.is_none() {
            self.wanted = wanted.cloned();
        }
    }

    fn uid(&self) -> &str {
        self.pool.metadata.uid.as_deref().unwrap_or_default()
    }

    fn name(&self) -> &str {
        self.pool.metadata.name.as_deref().unwrap_or_default()
    }
}
