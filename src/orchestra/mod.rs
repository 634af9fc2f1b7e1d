//! Orchestra: the life of a tenant. [`plan`] tells it on one page.

mod act;
mod approval;
mod claim;
mod drift;
mod login;
mod migrating;
mod observe;
mod phase;
pub mod plan;
mod status;

use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::ObjectRef;
use sqlx::postgres::PgConnection;

use crate::api::{MigrationStatus, Orchestra, OrchestraClass, OrchestraDatabase};
use crate::controller::Core;
use crate::controller::background::Works;
use crate::controller::error::Error;
use crate::controller::reconcile::Next;
use crate::credentials::connection::Handover;
use crate::migrate::guard::Review;
use crate::postgres::Login;
use crate::rollout::turns::{Outcome, Turn};
use crate::rollout::{self, Kept, Rolled};
use crate::{class, content, credentials, database, pool};

pub use approval::{PLAN_JSON, PLAN_TEXT};
pub use status::report;

/// What the passes over Orchestras need.
pub struct Context {
    /// What every pass needs.
    pub core: Arc<Core>,
    /// Scripts.
    pub content: Arc<content::Context>,
    /// Inventories and their servers.
    pub credentials: Arc<credentials::Context>,
    /// Turns to migrate.
    pub rollout: Arc<rollout::Context>,
    /// Classes and budgets.
    pub class: Arc<class::Context>,
    /// Refused logins.
    pub database: Arc<database::Context>,
    /// Databases of pools.
    pub pool: Arc<pool::Context>,
    /// Work inside databases that goes on in the background.
    pub works: Works<Orchestra, PgConnection>,
}

impl AsRef<Core> for Context {
    fn as_ref(&self) -> &Core {
        &self.core
    }
}

/// One pass: observe → plan → status → act, step by step until it has to wait, so that one tenant
/// is finished before the next is begun.
pub async fn pass(orchestra: Arc<Orchestra>, ctx: Arc<Context>) -> Result<Next, Error> {
    let mut pass = Pass::new((*orchestra).clone(), ctx);
    loop {
        let observed = observe::observe(&mut pass).await?;
        let step = plan::plan(&observed.seen);
        tracing::debug!(?step, "next");
        status::write(&mut pass, step, &observed).await?;
        if let Some(next) = act::act(&mut pass, step).await? {
            return Ok(next);
        }
    }
}

/// Whether the class has a newer source than the Orchestra is to have now.
#[derive(PartialEq, Eq)]
enum Newer {
    /// It was not looked at.
    Unknown,
    /// It has none.
    Nothing,
    /// Its digest.
    Source(String),
}

/// One pass over an Orchestra, with what it alone knows.
struct Pass {
    ctx: Arc<Context>,
    /// The resource, as the last write of this pass left it.
    object: Orchestra,
    /// The claimed database, as this pass left it.
    database: Option<OrchestraDatabase>,
    /// Name of the database that could be claimed now.
    candidate: Option<String>,
    /// The class that meets the claim.
    class: Option<Arc<OrchestraClass>>,
    /// The owner's session, once the login is prepared.
    session: Option<PgConnection>,
    /// The status tells what the work under way does.
    told: bool,
    /// What a look at a finished database found lost.
    restored: Option<String>,
    /// Where the migrations stand, when the database was asked.
    migrations: Option<MigrationStatus>,
    /// Its turn to migrate, from before the intent is written until the work ends.
    turn: Option<Turn>,
    /// The rollout that it is in.
    rolled: Option<Rolled>,
    /// Why it keeps what it has instead of the class's source.
    kept: Option<Kept>,
    /// Whether the class has a newer source.
    newer: Newer,
    /// Digest of the seed that is applied, when the database was asked.
    seed: Option<String>,
    /// What a refusal of the seed is remembered by.
    attempt: Option<String>,
    /// What the guard makes of the pending migrations, when it was asked.
    review: Option<Review>,
    /// Digest of the plan that was written into its ConfigMap, which the store may not know yet.
    plan_told: Option<String>,
    /// The plan's ConfigMap was taken away, which the store may not know yet.
    plan_cleared: bool,
    /// The owner's login, once it has worked.
    owner: Option<Login>,
    /// What the tenant is given, once the login is prepared.
    handover: Option<Handover>,
    /// Whether there is a connection Secret of ours, when it was looked for.
    secret_exists: bool,
    /// `resourceVersion` of the connection Secret that was found right or written.
    secret_version: Option<String>,
}

impl Pass {
    fn new(object: Orchestra, ctx: Arc<Context>) -> Self {
        Self {
            ctx,
            object,
            database: None,
            candidate: None,
            class: None,
            session: None,
            told: false,
            restored: None,
            migrations: None,
            turn: None,
            rolled: None,
            kept: None,
            newer: Newer::Unknown,
            seed: None,
            attempt: None,
            review: None,
            plan_told: None,
            plan_cleared: false,
            owner: None,
            handover: None,
            secret_exists: false,
            secret_version: None,
        }
    }

    /// Gives the turn back: nothing had to be begun.
    fn end_turn(&mut self, outcome: Outcome) {
        if let Some(turn) = self.turn.take() {
            rollout::end(&self.ctx.rollout, turn, self.rolled.as_ref(), outcome);
        }
    }

    /// The tenant uses its database: its Secret was handed over.
    fn is_serving(&self) -> bool {
        let status = self.object.status.as_ref();
        status.is_some_and(|status| status.secret_ref.is_some())
    }

    /// The connection Secret, as the watch knows it.
    fn known_secret(&self) -> Option<Arc<PartialObjectMeta<Secret>>> {
        let secret = ObjectRef::new(&self.object.secret_name()).within(self.namespace());
        self.ctx.core.stores.connections.get(&secret)
    }

    /// The Orchestra with what its class and its database say.
    fn tenant(&self) -> content::Tenant<'_> {
        content::Tenant {
            object: &self.object,
            class: self.class.as_deref(),
            database: self.database.as_ref(),
        }
    }

    fn uid(&self) -> &str {
        self.object.metadata.uid.as_deref().unwrap_or_default()
    }

    fn name(&self) -> &str {
        self.object.metadata.name.as_deref().unwrap_or_default()
    }

    fn namespace(&self) -> &str {
        self.object.metadata.namespace.as_deref().unwrap_or_default()
    }
}
