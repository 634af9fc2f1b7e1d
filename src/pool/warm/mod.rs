//! A pool that makes its members with the provider of a class, and keeps as many waiting for a claim as `replicas` says.
//! [`plan`] has its life on one page.
//!
//! A member is an OrchestraDatabase without a claim, and its project is created as that of any other: the journal of the
//! room `database` ensures that there is exactly one. How many members there are is decided here: their names are written
//! into the pool's status by compare-and-swap before they are made, and they are counted in the API server itself.

mod act;
mod observe;
pub mod plan;
mod status;

use super::Pass;
use crate::controller::error::Error;
use crate::controller::reconcile::Next;

/// One pass: observe → plan → status → act, step by step until it has to wait.
pub(super) async fn pass(mut pass: Pass) -> Result<Next, Error> {
    loop {
        let observed = observe::observe(&pass).await?;
        pass.keep(observed.wanted.as_ref());
        let step = plan::plan(&observed.facts);
        tracing::debug!(?step, "next");
        status::write(&mut pass, &step, &observed).await?;
        if let Some(next) = act::act(&mut pass, step, &observed).await? {
            return Ok(next);
        }
    }
}
