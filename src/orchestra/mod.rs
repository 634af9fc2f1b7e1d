//! Orchestra: the life of a tenant. [`plan`] has it on one page.

mod access;
mod act;
mod adoption;
mod approval;
mod carried_out;
mod claim;
mod counted;
mod describe;
mod deserted;
mod direct;
mod drift;
mod existing;
mod expiry;
mod failure;
mod foreign;
mod former;
mod former_login;
mod found;
mod generations;
mod idle;
mod inside;
mod login;
mod long_pause;
mod migrating;
mod news;
mod object;
mod observe;
mod parts;
mod pass_limit;
mod placed;
pub mod plan;
mod power;
mod reach;
mod reclaim;
mod record;
mod restore;
mod revocation;
mod rotation;
mod serving;
mod status;
mod telling;
mod turn;
mod unavailable;
mod ungrouped;
mod wait;
mod wanted;
mod work;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::ObjectRef;
use tokio::sync::OwnedSemaphorePermit;

use crate::api::{Orchestra, PublishedSecret};
use crate::controller::Core;
use crate::controller::background::Works;
use crate::controller::error::Error;
use crate::controller::reconcile::Next;
use crate::controller::status::current;
use crate::rollout::turns::Turn;
use crate::rollout::{NoTurn, Rolled};
use crate::telemetry::traces;
use crate::{backup, class, content, credentials, database, health, pool, rollout};
use access::{Access, WorkLeft};
use found::InsideLook;

pub use approval::{PLAN_JSON, PLAN_TEXT, digest as plan_text_digest};
pub use foreign::Awaited;
use idle::Looked;
pub use idle::UseLooks;
pub use pass_limit::PassLimit;
pub use status::report;
pub use ungrouped::Ungrouped;

/// Everything that passes over Orchestras need.
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
    /// Backups.
    pub backup: Arc<backup::Context>,
    /// Work inside databases that runs in the background.
    pub works: Works<Orchestra, WorkLeft>,
    /// Whether applications can use their databases.
    pub health: Arc<health::Context>,
    /// Secrets of others that Orchestras wait for.
    pub foreign: Awaited,
    /// When it was last looked whether anybody uses a database.
    pub looks: UseLooks,
    /// Passes that claim databases and work inside them.
    pub pass_limit: PassLimit,
    /// Tenants whose logins are to become members of their groups later.
    pub ungrouped: Ungrouped,
}

impl AsRef<Core> for Context {
    fn as_ref(&self) -> &Core {
        &self.core
    }
}

/// One pass: observe → plan → status → act, step by step until it has to wait, so that one tenant is finished before the
/// next is started.
pub async fn pass(orchestra: Arc<Orchestra>, ctx: Arc<Context>) -> Result<Next, Error> {
    let Some(object) = current(&ctx.core, &*orchestra).await? else {
        let uid = orchestra.metadata.uid.as_deref().unwrap_or_default();
        ctx.core.metrics.provisioning().leave(uid);
        return Ok(Next::Gone);
    };
    let mut pass = Pass::new(object, ctx);
    loop {
        // `observe` needs the session mutably, so it is taken out of the pass; everything else in the pass is changed by
        // `act` only.
        let mut session = pass.access.take_session();
        let observed = observe::observe(&pass, session.as_mut()).await;
        pass.access.give_back(session);
        let observed = observed.inspect_err(|error| look_failed(&mut pass, error))?;
        let step = plan::plan(&observed.facts);
        tracing::debug!(?step, "next");
        let under_way = status::under_way(&pass, step);
        if let Some((reason, took)) = pass.ctx.core.metrics.provisioning().at(pass.uid(), under_way) {
            traces::waited(reason, took);
        }
        Box::pin(status::write(&mut pass, step, &observed)).await?;
        // A pass that waits for something else is repeated in time for the end of a former login.
        let wait = observed
            .life
            .wait
            .into_iter()
            .chain(rotation::ahead(&pass, observed.now))
            .min();
        let act = Box::pin(act::act(&mut pass, step, observed));
        let acted = match step.carries_out() {
            Some(name) => traces::span(name, traces::Side::Internal, act).await,
            None => act.await,
        };
        if let Some(next) = acted? {
            return Ok(expiry::Life::in_time(wait, next, pass.ctx.core.settings.resync));
        }
    }
}

/// What follows from a look that has failed, since no step does: the turn is given back, and a wrong password of the owner is
/// reported.
fn look_failed(pass: &mut Pass, error: &Error) {
    turn::give_back(pass, error);
    if let Some(database) = claim::known(pass) {
        login::report(pass, &database, error);
    }
}

/// One pass over an Orchestra, with what it alone knows. `act` and the status writer change it, and each field has one writer.
/// Besides, [`pass`] lends the open session to `observe`, and gives the turn back when `observe` fails inside the database
/// ([`look_failed`]).
#[allow(clippy::struct_excessive_bools, reason = "independent facts")]
struct Pass {
    ctx: Arc<Context>,
    /// The resource, as the last write of this pass left it.
    object: Orchestra,
    /// Name of the database whose claim is reserved.
    reserved: Option<String>,
    /// The open access to the database, and the tenant's logins.
    access: Access,
    /// Its turn to migrate, from before the intent is written until the work ends, and the turn's rollout.
    turn: Option<(Turn, Option<Rolled>)>,
    /// Why the rollout, or the server, gave it no turn.
    denied: Option<NoTurn>,
    /// The result of the look into the database; none after each change of the database.
    found: Option<Arc<InsideLook>>,
    /// The connection Secret that was written.
    published: Option<PublishedSecret>,
    /// The connection Secret was written for the first time: events about the pool's preparation are still to be published.
    untold: bool,
    /// The result of the look for use.
    looked: Looked,
    /// The reason why the connection of the spec is invalid.
    invalid: Option<String>,
    /// The role of a former login could not be dropped in this pass: the time until the next attempt.
    kept_role: Option<Duration>,
    /// A former login could not be ended in this pass: the time until the next attempt.
    kept_login: Option<Duration>,
    /// The tenant's login is revoked, or cannot be revoked now.
    revoked: bool,
    /// None of the tenant's logins works any more.
    logins_end: bool,
    /// The database was seen to have this Orchestra's claim record when its login was revoked.
    recorded: bool,
    /// The logins of a pool's database were disabled.
    shut: bool,
    /// The Job of a restore has ended, or does not end in time, of an Orchestra that is being deleted.
    restore_ended: bool,
    /// Its permit among those that claim and work inside databases.
    permit: Option<OwnedSemaphorePermit>,
    /// The API server refused to delete it when its ttl had ended: its answer.
    outlives: Option<String>,
}

impl Pass {
    fn new(object: Orchestra, ctx: Arc<Context>) -> Self {
        Self {
            ctx,
            invalid: carried_out::wrong(&object),
            object,
            reserved: None,
            access: Access::default(),
            turn: None,
            denied: None,
            found: None,
            published: None,
            untold: false,
            looked: Looked::NotYet,
            kept_role: None,
            kept_login: None,
            revoked: false,
            logins_end: false,
            recorded: false,
            shut: false,
            restore_ended: false,
            permit: None,
            outlives: None,
        }
    }

    /// Keeps the result of a look into the database. None: the database changes, so that the last look no longer holds.
    fn see(&mut self, found: Option<Arc<InsideLook>>) {
        self.found = found;
    }

    /// Keeps the connection Secret that was written. None: a new login is to be published.
    fn set_published(&mut self, published: Option<PublishedSecret>) {
        self.published = published;
    }

    /// The tenant uses its database: its Secret was published.
    fn is_serving(&self) -> bool {
        self.object.is_published()
    }

    /// Name of the connection Secret: while the connection of the spec is wrong, the one that was published.
    fn secret_name(&self) -> String {
        let status = self.object.status.as_ref().filter(|_| self.invalid.is_some());
        let published = status.and_then(|status| status.secret_ref.as_ref());
        published.map_or_else(|| self.object.secret_name(), |published| published.name.clone())
    }

    /// The connection Secret, as the watch knows it.
    fn known_secret(&self) -> Option<Arc<PartialObjectMeta<Secret>>> {
        let secret = ObjectRef::new(&self.secret_name()).within(self.namespace());
        self.ctx.core.stores.connections.get(&secret)
    }

    fn is_deleting(&self) -> bool {
        self.object.metadata.deletion_timestamp.is_some()
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

    /// The namespace, where the operator may read it.
    fn here(&self) -> Option<Arc<PartialObjectMeta<Namespace>>> {
        let namespaces = &self.ctx.core.stores.namespaces;
        namespaces.get(&ObjectRef::new(self.namespace()))
    }
}
