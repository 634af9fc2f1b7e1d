//! Backups by schedule: a pass over an Orchestra makes the OrchestraBackup whose time has come, deletes those that the
//! retention does not keep, and asks for drills; [`plan`] decides. It writes `status.backup` and the condition `BackedUp` of
//! the Orchestra, which the room `orchestra` keeps. It also makes the OrchestraBackup of a manifest that an Orchestra names.

mod act;
mod drills;
mod estimate;
mod observe;
pub mod plan;
mod price;
pub mod retention;
mod sizes;
mod status;
pub mod times;

use std::sync::Arc;

use self::act::NextTimes;
use super::{Context, stored};
use crate::api::Orchestra;
use crate::controller::error::Error;
use crate::controller::reconcile::Next;
use crate::controller::status::current;

pub use observe::orchestra_of;
pub use sizes::SizeReads;
pub use status::report;

/// One pass: observe → plan → status → act, until it has to wait.
///
/// # Errors
/// When the Kubernetes API fails or refuses.
pub async fn pass(orchestra: Arc<Orchestra>, ctx: Arc<Context>) -> Result<Next, Error> {
    let Some(mut object) = current(&ctx.core, &*orchestra).await? else {
        return Ok(Next::Gone);
    };
    let (mut sizes, mut taken) = (None, None);
    loop {
        // Nothing is written before the Orchestra's own pass has written its status, or once the Orchestra is being deleted.
        if object.status.is_none() || object.metadata.deletion_timestamp.is_some() {
            return Ok(Next::Rest);
        }
        stored::make(&ctx, &object).await?;
        if sizes.is_none() && observe::is_scheduled(&ctx, &object) {
            sizes = sizes::look(&ctx, &object).await;
        }
        let observed = observe::observe(&ctx, &object, (sizes, taken));
        let (step, due) = plan::plan(&observed.facts);
        tracing::debug!(?step, ?due, "next");
        if let plan::Step::Reserve(monthly) = step {
            // The status says that the schedule is accepted once its room is taken.
            taken = act::reserve(&ctx, &object, monthly);
            continue;
        }
        object = Box::pin(status::write(&ctx, object, &observed, due)).await?;
        if let Some(ask) = observed.drills.ask(observed.facts.now) {
            act::ask(&ctx, &object, &ask).await?;
            continue;
        }
        let due = NextTimes {
            backup: due,
            drill: observed.drills.due(observed.facts.now),
        };
        if let Some(next) = act::act(&ctx, &object, step, due, &observed).await? {
            return Ok(next);
        }
    }
}
