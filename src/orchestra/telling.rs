//! When a step is written to the status. Each status write is a request and triggers other controllers: what will soon be
//! out of date is not written, and what takes long is written from time to time.

use std::time::Duration;

use kube::runtime::reflector::ObjectRef;

use super::describe::{Telling, telling};
use super::observe::Observed;
use super::plan::Step;
use super::wait::{LONG_QUEUE, SHORT_QUEUE, TELLING, Wait};
use super::{Pass, claim, migrating};
use crate::credentials::servers;

/// Whether a step is written to the status now. A new generation is observed at once.
pub fn is_told(pass: &Pass, step: Step) -> bool {
    if pass.is_deleting() && step == Step::Rest {
        return false;
    }
    let observed = pass.object.status.as_ref().map(|status| status.observed_generation);
    let is_new = observed != pass.object.metadata.generation && observed != Some(-1);
    match telling(step) {
        Telling::Never => false,
        Telling::AtOnce => is_new || !can_wait(pass, step),
        Telling::Later => is_new,
    }
}

/// Whether the status may stay unchanged for a while: a wait for a turn may end soon, and running work has already been
/// reported.
fn can_wait(pass: &Pass, step: Step) -> bool {
    match step {
        Step::Wait(Wait::Turn) => untold_queue(pass).is_some(),
        Step::Wait(Wait::Migrations | Wait::Seed) => {
            pass.object.is_worked_on() && !pass.ctx.works.is_to_be_told(pass.uid(), TELLING)
        }
        _ => false,
    }
}

/// How long a wait for a turn is not written to the status; none when it is time to write it. Longer when the status already
/// says that the migrations will wait.
pub fn untold_queue(pass: &Pass) -> Option<Duration> {
    let limit = if pass.object.is_queued_ahead() {
        LONG_QUEUE
    } else {
        SHORT_QUEUE
    };
    let waited = pass.ctx.rollout.turns.waited(pass.uid())?;
    limit.checked_sub(waited).filter(|left| !left.is_zero())
}

/// Whether wanted migrations will have to wait for their turn on the server of the member that is about to be claimed. The
/// status of the intent says so, which saves another status write a few seconds later.
pub fn will_queue(pass: &Pass, observed: &Observed) -> bool {
    let Some(name) = &pass.reserved else { return false };
    let Some(member) = claim::databases(pass).get(&ObjectRef::new(name)) else {
        return false;
    };
    let status = member.status.as_ref();
    let is_prepared = status.is_some_and(|status| status.template.is_some() || status.prepared.is_some());
    !is_prepared
        && migrating::spec(pass, &observed.tenant(&pass.object)).is_some()
        && servers::of_database(&pass.ctx.credentials, &member)
            .is_some_and(|server| pass.ctx.rollout.turns.is_full(&server))
}
