//! Backups by schedule: a pass over an Orchestra makes the OrchestraBackup whose time has come, deletes those that the
//! retention does not keep, and asks for drills; [`plan`] decides. It writes `status.backup` and the condition `BackedUp` of
//! the Orchestra, which the room `orchestra` keeps. It also makes the OrchestraBackup of a manifest that an Orchestra names.

mod act;
mod drills;
mod estimate;
mod observe;
mod own;
pub mod plan;
mod price;
mod recovery;
pub mod retention;
mod sizes;
mod status;
pub mod times;

use std::sync::Arc;

use rust_decimal::Decimal;

use self::estimate::Sizes;
use super::Context;
use crate::api::Orchestra;
use crate::controller::error::Error;
use crate::controller::reconcile::Next;
use crate::controller::status::current;

pub use observe::orchestra_of;
pub use sizes::SizeReads;
pub use status::report;

/// One pass over the schedule of an Orchestra.
struct Pass {
    ctx: Arc<Context>,
    object: Orchestra,
    /// How large a backup is, once that was read.
    sizes: Option<Sizes>,
    /// The price a month for which this pass has taken room in the budget.
    taken: Option<Decimal>,
}

/// One pass: observe → plan → status → act, until it has to wait.
///
/// # Errors
/// When the Kubernetes API fails or refuses.
pub async fn pass(orchestra: Arc<Orchestra>, ctx: Arc<Context>) -> Result<Next, Error> {
    let Some(object) = current(&ctx.core, &*orchestra).await? else {
        return Ok(Next::Gone);
    };
    let mut pass = Pass {
        ctx,
        object,
        sizes: None,
        taken: None,
    };
    loop {
        // Nothing is written before the Orchestra's own pass has written its status, or once the Orchestra is being deleted.
        if pass.object.status.is_none() || pass.object.metadata.deletion_timestamp.is_some() {
            return Ok(Next::Rest);
        }
        if pass.sizes.is_none() && observe::is_scheduled(&pass.ctx, &pass.object) {
            pass.sizes = sizes::look(&pass.ctx, &pass.object).await;
        }
        let observed = observe::observe(&pass.ctx, &pass.object, (pass.sizes, pass.taken));
        let (step, due) = plan::plan(&observed.facts);
        tracing::debug!(?step, ?due, "next");
        if step.follows_status() {
            pass.object = Box::pin(status::write(&pass.ctx, pass.object, &observed, due)).await?;
        }
        if let Some(next) = act::act(&mut pass, step, due, &observed).await? {
            return Ok(next);
        }
    }
}
