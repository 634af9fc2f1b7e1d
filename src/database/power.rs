//! Pausing a project and restoring it. The intent is written before each request, and a request whose outcome is unknown
//! is looked up: it is sent again only when the project is still as it was after the outcome should have shown.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::observe::{Observed, settled_at};
use super::plan::{DatabaseStop, ProjectLook, Step};
use super::{Pass, refused, status};
use crate::api::names::CONNECTED_LABEL;
use crate::api::{OrchestraDatabaseStatus, PowerState};
use crate::controller::error::Error;
use crate::controller::reconcile::Next;
use crate::supabase::types::{ProjectState, StatusClass};
use crate::supabase::{self, Account};

/// How long a pause may take before it is reported. Projects were seen to hang in it for weeks
/// (github.com/supabase/supabase/issues/35136 and others).
pub const PAUSE_LIMIT: Duration = Duration::from_hours(1);

/// Whether the Orchestra wants the project to be paused. A project that was never usable is not paused: it may still be
/// created.
pub fn is_to_be_paused(pass: &Pass) -> bool {
    // The status may have been lost: an address is stored after the project was usable at the provider.
    let used = pass.object.was_usable() || pass.has_stored(CONNECTED_LABEL);
    used && pass.object.spec.power_state == Some(PowerState::Paused)
}

/// Whether the project is to be paused, or was and has not run since.
pub fn concerns(pass: &Pass) -> bool {
    is_to_be_paused(pass) || pass.object.was_paused()
}

/// Whether a request to pause was sent whose effect may not show yet.
pub fn may_still_pause(pass: &Pass, now: Timestamp) -> bool {
    issued(pass).is_some_and(|at| now < settled_at(at, pass.ctx.core.settings.create_settle))
}

fn issued(pass: &Pass) -> Option<Timestamp> {
    let issued = pass.object.status.as_ref()?.pause_issued_at.as_ref()?;
    Some(issued.0)
}

/// The meaning of the provider's status for a project that is to be paused; none for one that is to run, and where the
/// status means the same for both.
pub fn to_be_paused(pass: &Pass, said: &ProjectState, now: Timestamp) -> Option<ProjectLook> {
    if !is_to_be_paused(pass) {
        return None;
    }
    let asked = issued(pass);
    match (said, said.class()) {
        (ProjectState::Pausing, _) if asked.is_none_or(|at| now < settled_at(at, PAUSE_LIMIT)) => {
            Some(ProjectLook::Pausing)
        }
        (ProjectState::Pausing, _) => Some(ProjectLook::Stopped(DatabaseStop::PauseHangs)),
        (_, StatusClass::Paused) => Some(ProjectLook::Asleep),
        (_, StatusClass::Usable) => Some(requested(pass.object.status.as_ref(), may_still_pause(pass, now))),
        _ => None,
    }
}

/// The state of the requests to pause a project that still runs.
fn requested(status: Option<&OrchestraDatabaseStatus>, asked: bool) -> ProjectLook {
    let times =
        status.and_then(|status| Some((status.pause_first_issued_at.as_ref()?, status.pause_issued_at.as_ref()?)));
    match times {
        Some((first, last)) if !asked && last.0 >= settled_at(first.0, PAUSE_LIMIT) => ProjectLook::NotPaused,
        _ => ProjectLook::ToPause { asked },
    }
}

/// When the first request of this pause was sent; its latest one is sent now. A request from long ago belonged to another
/// pause.
fn first_of(status: &OrchestraDatabaseStatus, now: Timestamp) -> Timestamp {
    let last = status.pause_issued_at.as_ref();
    let goes_on = last.is_some_and(|last| now < settled_at(last.0, PAUSE_LIMIT));
    let first = status.pause_first_issued_at.as_ref().filter(|_| goes_on);
    first.map_or(now, |first| first.0)
}

/// Asks the provider to pause the project, or to restore it.
pub async fn change(
    pass: &mut Pass,
    step: Step,
    observed: &Observed,
    (account, reference): (&Account, &str),
) -> Result<Option<Next>, Error> {
    let pauses = step == Step::Pause;
    let what = if pauses { "pause" } else { "restore" };
    let attempt = attempt(account, what);
    if let Some(refusal) = refused::remembered(pass, &attempt) {
        return Err(refusal);
    }
    // Until the provider says that it pauses the project, it runs as before.
    let runs = pauses && pass.object.is_ready();
    status::change(pass, if runs { Step::Rest } else { step }, observed, |status| {
        let now = observed.now;
        if pauses {
            status.pause_first_issued_at = Some(Time(first_of(status, now)));
            (status.pause_issued_at, status.restore_issued_at) = (Some(Time(now)), None);
        } else {
            (status.restore_issued_at, status.pause_first_issued_at) = (Some(Time(now)), None);
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
    // After a clear refusal nothing has changed: the intent is removed, and the request is sent again after a while.
    // A project that is not paused runs as before.
    let as_before = if pauses { Step::Rest } else { Step::Restore };
    status::change(pass, as_before, observed, |status| {
        if pauses {
            (status.pause_issued_at, status.pause_first_issued_at) = (None, None);
        } else {
            status.restore_issued_at = None;
        }
    })
    .await?;
    refused::remember(pass, &attempt, &error);
    Err(error)
}

/// The digest under which a refusal is remembered; a new token makes it another one.
fn attempt(account: &Account, what: &str) -> String {
    format!("{what} with token {}", account.token_digest())
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minutes)
    }

    fn asked(first: i64, last: i64) -> OrchestraDatabaseStatus {
        OrchestraDatabaseStatus {
            pause_first_issued_at: Some(Time(at(first))),
            pause_issued_at: Some(Time(at(last))),
            ..OrchestraDatabaseStatus::default()
        }
    }

    #[test]
    fn requests_without_effect_end_after_an_hour() {
        for (first, last, pending, project) in [
            (0, 0, true, ProjectLook::ToPause { asked: true }),
            (0, 0, false, ProjectLook::ToPause { asked: false }),
            (0, 59, false, ProjectLook::ToPause { asked: false }),
            (0, 60, true, ProjectLook::ToPause { asked: true }),
            (0, 60, false, ProjectLook::NotPaused),
        ] {
            let is = requested(Some(&asked(first, last)), pending);
            assert_eq!(is, project, "{first} {last} {pending}");
        }
        assert_eq!(requested(None, false), ProjectLook::ToPause { asked: false });
    }

    #[test]
    fn the_hour_counts_from_the_first_request_of_this_pause() {
        assert_eq!(first_of(&OrchestraDatabaseStatus::default(), at(7)), at(7));
        assert_eq!(first_of(&asked(0, 50), at(55)), at(0));
        assert_eq!(first_of(&asked(0, 0), at(60)), at(60), "the one before is long over");
    }
}
