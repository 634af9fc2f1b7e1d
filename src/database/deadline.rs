//! How long a database may take to become usable, and which project is replaced when it takes longer.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::Pass;
use super::plan::ClaimState;
use crate::api::GoDuration;
use crate::api::names::CONNECTED_LABEL;
use crate::class;
use crate::supabase::types::ProjectState;

/// How often a project that never became usable is replaced, at most. After three failures in a row a person must
/// act.
pub const REPLACEMENTS: usize = 2;

/// The message when a database that was never usable has passed its class's deadline. The time counts from the last
/// create request, and before the first one from the creation of the OrchestraDatabase.
pub fn passed(pass: &Pass, now: Timestamp) -> Option<String> {
    let status = pass.object.status.as_ref();
    if pass.object.metadata.deletion_timestamp.is_some() || status.is_some_and(|status| status.usable_since.is_some()) {
        return None;
    }
    let class = class::resolve(&pass.ctx.class, pass.object.spec.class_name.as_deref()).ok()?;
    let issued = status.and_then(|status| status.create_issued_at.as_ref());
    let since = issued.or(pass.object.metadata.creation_timestamp.as_ref())?.0;
    // The deadline, not the time taken, which would change the status at every pass.
    is_past(class.spec.progress_deadline, since, now).then(|| {
        format!(
            "the database was not usable within {} (progressDeadline)",
            class.spec.progress_deadline
        )
    })
}

/// How long ago a project that was never usable was requested.
pub fn age(pass: &Pass, now: Timestamp) -> Option<Duration> {
    let status = pass
        .object
        .status
        .as_ref()
        .filter(|status| status.usable_since.is_none())?;
    let age = now.duration_since(status.create_issued_at.as_ref()?.0);
    Duration::try_from(age).ok()
}

/// Whether nobody can have used the project: this very resource requested it, and nothing was stored that only a usable
/// project can provide. The status alone may have been lost, as after a restore of the resource.
pub fn is_surely_unused(pass: &Pass) -> bool {
    let status = pass.object.status.as_ref();
    let connected = pass.has_stored(CONNECTED_LABEL);
    !connected && status.is_some_and(|status| status.usable_since.is_none() && status.create_issued_at.is_some())
}

fn is_past(deadline: GoDuration, since: Timestamp, now: Timestamp) -> bool {
    SignedDuration::try_from(deadline.as_std()).is_ok_and(|deadline| now.duration_since(since) > deadline)
}

/// Whether the recorded project is to be replaced: its class says `replaceStuck`, an Orchestra or a pool waits for it, this
/// very resource requested it, and nothing was stored that only a usable project can provide. A project whose status
/// was lost, as after a restore of the resource, counts as one in use.
pub fn is_to_be_replaced(
    pass: &Pass,
    claim: ClaimState,
    project: &ProjectState,
    connected: bool,
    now: Timestamp,
) -> bool {
    let Some(status) = &pass.object.status else {
        return false;
    };
    let wanted = class::resolve(&pass.ctx.class, pass.object.spec.class_name.as_deref())
        .is_ok_and(|class| class.spec.replace_stuck);
    let never_usable = pass.object.adopted().is_none()
        && status.usable_since.is_none()
        && !connected
        && status.create_issued_at.is_some();
    let failed = *project == ProjectState::InitFailed;
    wanted
        && never_usable
        && (claim == ClaimState::Held || pass.object.is_spare())
        && pass.object.metadata.deletion_timestamp.is_none()
        && status.replaced.len() < REPLACEMENTS
        && project.is_before_first_use()
        && (failed || passed(pass, now).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deadline_counts_from_the_request() {
        let since: Timestamp = "2026-11-01T10:00:00Z".parse().unwrap_or_default();
        for (seconds, past) in [(0, false), (600, false), (601, true), (-5, false)] {
            let now = since + SignedDuration::from_secs(seconds);
            assert_eq!(is_past(GoDuration::from_mins(10), since, now), past, "{seconds}");
        }
    }
}
