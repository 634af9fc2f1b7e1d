//! A pool that makes its members on a PostgreSQL server: each is a database with an owner of its own. [`plan`] has its life
//! on one page.
//!
//! Every entry has a Secret, which is written before any request to the server, and deleted after its database and its
//! owner. Once the database is made, the entry is one of the pool's inventory: it is probed, enlisted, checked, prepared,
//! claimed and reset as an entry of a static pool.

mod act;
mod observe;
mod password;
pub mod plan;
mod status;
mod work;

use std::time::Duration;

use super::{BEHIND, PASS_TIME, Pass};
use crate::controller::error::Error;
use crate::controller::reconcile::Next;

/// One pass: first the requests to the server, and then what the entries need, until it has to wait.
pub(super) async fn pass(mut pass: Pass) -> Result<Next, Error> {
    loop {
        let made = observe::observe(&pass).await?;
        pass.keep(made.template.as_ref());
        let step = plan::plan(&made.facts);
        tracing::debug!(?step, "next on the server");
        let plan::Step::Idle(wait) = step else {
            if let Some(next) = act::act(&mut pass, step, &made).await? {
                return Ok(next);
            }
            if pass.began.elapsed() >= PASS_TIME {
                return Ok(Next::After(BEHIND));
            }
            continue;
        };
        if made.facts.counted.deleting && !made.facts.counted.finalizer {
            return Ok(Next::Rest);
        }
        let observed = super::observe::observe(&pass).await?;
        pass.keep(observed.wanted.as_ref());
        let step = super::plan::plan(&observed.facts);
        tracing::debug!(?step, "next of the entries");
        status::write(&mut pass, &step, &observed, &made).await?;
        if let Some(next) = super::act::act(&pass, step, observed).await? {
            return Ok(sooner(next, wait));
        }
    }
}

/// The pass is repeated for whatever comes first.
fn sooner(next: Next, wait: Option<Duration>) -> Next {
    match (next, wait) {
        (Next::After(one), Some(other)) => Next::After(one.min(other)),
        (Next::Rest, Some(wait)) => Next::After(wait),
        (next, _) => next,
    }
}
