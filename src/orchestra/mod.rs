//! Orchestra: the life of a tenant. [`plan`] tells it on one page.

mod act;
mod approval;
mod claim;
mod database;
mod mark;
mod observe;
pub mod plan;
mod sources;
mod status;
mod works;

use std::sync::Arc;

use sqlx::postgres::PgConnection;

use crate::api::{MigrationStatus, Orchestra, OrchestraClass, OrchestraDatabase};
use crate::controller::Context;
use crate::controller::error::Error;
use crate::controller::reconcile::Next;
use crate::credentials::connection::Handover;
use crate::migrate::guard::Review;

pub use approval::{PLAN_DIGEST, PLAN_JSON, PLAN_TEXT};
pub use mark::holder as mark_holder;
pub use sources::Sources;
pub use status::report;
pub use works::Works;

/// Finalizer that keeps an Orchestra until its claim is let go.
pub const ORCHESTRA_FINALIZER: &str = "stagesub.io/orchestra";

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
    /// Where the migrations stand, when the database was asked.
    migrations: Option<MigrationStatus>,
    /// Digest of the seed that is applied, when the database was asked.
    seed: Option<String>,
    /// What the guard makes of the pending migrations, when it was asked.
    review: Option<Review>,
    /// Digest of the plan that was written into its ConfigMap, which the store may not know yet.
    told: Option<String>,
    /// The plan's ConfigMap was taken away, which the store may not know yet.
    cleared: bool,
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
            migrations: None,
            seed: None,
            review: None,
            told: None,
            cleared: false,
            handover: None,
            secret_exists: false,
            secret_version: None,
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
