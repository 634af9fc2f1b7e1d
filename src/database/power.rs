//! Pausing a project and restoring it. The intent is written before each request, and a request whose outcome is unknown
//! is looked up: it is sent again only when the project is still as it was after the outcome should have shown.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::observe::settled_at;
use super::plan::{Project, Step};
use super::{Pass, status};
use crate::api::PowerState;
use crate::api::condition::Reason;
use crate::api::names::CONNECTED_LABEL;
use crate::controller::error::Error;
use crate::controller::reconcile::Next;
use crate::supabase::types::{ProjectStatus, StatusClass};
use crate::supabase::{self, Account};

/// How long a pause may take before a person is told. Projects were seen that hang in it for weeks
/// (github.com/supabase/supabase/issues/35136 and others).
const PAUSE_LIMIT: Duration = Duration::from_hours(1);

/// Whether the Orchestra wants the project to be paused. A project that was never usable is not paused: it may still be
/// created.
pub fn is_to_be_paused(pass: &Pass) -> bool {
    let status = pass.object.status.as_ref();
    // The status may have been lost: an address is stored after the project was usable at the provider.
    let used = status.is_some_and(|status| status.usable_since.is_some()) || pass.has_stored(CONNECTED_LABEL);
    used && pass.object.spec.power_state == Some(PowerState::Paused)
}

/// Whether the project is to be paused, or was and has not run since.
pub fn concerns(pass: &Pass) -> bool {
    is_to_be_paused(pass) || was_paused(pass)
}

/// Whether the operator paused the project, which has not run since.
pub fn was_paused(pass: &Pass) -> bool {
    issued(pass).is_some()
}

/// Whether a request to pause was sent whose effect may not show yet.
pub fn may_still_pause(pass: &Pass) -> bool {
    issued(pass).is_some_and(|at| Timestamp::now() < settled_at(at, pass.ctx.core.settings.create_settle))
}

fn issued(pass: &Pass) -> Option<Timestamp> {
    let issued = pass.object.status.as_ref()?.pause_issued_at.as_ref()?;
    Some(issued.0)
}

/// What the status of a project means that is to be paused; none of one that is to run, and where the status means the
/// same for both.
pub fn to_be_paused(pass: &Pass, said: &ProjectStatus) -> Option<Project> {
    if !is_to_be_paused(pass) {
        return None;
    }
    let asked = issued(pass);
    match (said, said.class()) {
        (ProjectStatus::Pausing, _) if asked.is_none_or(|at| Timestamp::now() < settled_at(at, PAUSE_LIMIT)) => {
            Some(Project::Pausing)
        }
        (ProjectStatus::Pausing, _) => Some(Project::Stopped(Reason::DeadlineExceeded)),
        (_, StatusClass::Paused) => Some(Project::Asleep),
        (_, StatusClass::Usable) => Some(Project::ToPause {
            asked: may_still_pause(pass),
        }),
        _ => None,
    }
}

/// Asks the provider to pause the project, or to restore it.
pub async fn change(pass: &mut Pass, step: Step, account: &Account, reference: &str) -> Result<Option<Next>, Error> {
    let pauses = step == Step::Pause;
    let what = if pauses { "pause" } else { "restore" };
    let attempt = attempt(account, what);
    if let Some(refusal) = pass.ctx.core.refusals.refusal(pass.name(), &attempt) {
        return Err(refusal);
    }
    status::change(pass, step, |status| {
        let now = Some(Time(Timestamp::now()));
        if pauses {
            (status.pause_issued_at, status.restore_issued_at) = (now, None);
        } else {
            status.restore_issued_at = now;
        }
    })
    .await?;
    let answer = if pauses {
        account.client().pause_project(reference).await
    } else {
        account.client().restore_project(reference).await
    };
    let poll = Some(Next::After(pass.ctx.core.settings.poll_interval));
    let error = match answer {
        Ok(()) => {
            tracing::info!(project = reference, "the provider was asked to {what} the project");
            pass.ctx.core.refusals.forget(pass.name());
            return Ok(poll);
        }
        Err(error) if error.outcome_unknown() || matches!(error, supabase::Error::Refused { outside: true, .. }) => {
            tracing::warn!(%error, "the outcome of the request to {what} the project is unknown; looking it up");
            return Ok(poll);
        }
        Err(error) => Error::from(error),
    };
    // After a clear refusal nothing has changed: the intent is taken back, and the request is sent again after a while.
    // A project that is not paused runs as before.
    let as_before = if pauses { Step::Rest } else { Step::Restore };
    status::change(pass, as_before, |status| {
        if pauses {
            status.pause_issued_at = None;
        } else {
            status.restore_issued_at = None;
        }
    })
    .await?;
    pass.ctx.core.refusals.refuse(pass.name(), &attempt, &error);
    Err(error)
}

/// The digest under which a refusal is remembered; a new token makes it another one.
fn attempt(account: &Account, what: &str) -> String {
    format!("{what} with token {}", account.token_digest())
}
