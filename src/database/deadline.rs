//! How long a database may take to become usable, and which one is replaced when it takes longer.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::Pass;
use super::plan::Claim;
use crate::api::GoDuration;
use crate::class;
use crate::supabase::types::ProjectStatus;

/// How often a project that never became usable is replaced, at most. A provider that fails three
/// times over needs a person.
pub const REPLACEMENTS: usize = 2;

/// Says how late a database is that was never usable, when its class does not allow it more time.
/// The time counts from the last request to create it, and before one from its own creation.
pub fn passed(pass: &Pass) -> Option<String> {
    let status = pass.object.status.as_ref();
    if pass.object.metadata.deletion_timestamp.is_some() || status.is_some_and(|status| status.usable_since.is_some()) {
        return None;
    }
    let class = class::resolve(&pass.ctx.class, pass.object.spec.class_name.as_deref()).ok()?;
    let issued = status.and_then(|status| status.create_issued_at.as_ref());
    let since = issued.or(pass.object.metadata.creation_timestamp.as_ref())?.0;
    // The deadline, not the time taken: a status does not count seconds.
    is_past(class.spec.progress_deadline, since, Timestamp::now())
        .then(|| format!("not usable {} after it was asked for", class.spec.progress_deadline))
}

/// How long ago the project was asked for, while it was never usable.
pub fn age(pass: &Pass) -> Option<Duration> {
    let status = pass
        .object
        .status
        .as_ref()
        .filter(|status| status.usable_since.is_none())?;
    let age = Timestamp::now().duration_since(status.create_issued_at.as_ref()?.0);
    Duration::try_from(age).ok()
}

fn is_past(deadline: GoDuration, since: Timestamp, now: Timestamp) -> bool {
    SignedDuration::try_from(deadline.as_std()).is_ok_and(|deadline| now.duration_since(since) > deadline)
}

/// Whether the recorded project is to be replaced: its class wants it, an Orchestra waits for it, it
/// was asked for by this very resource, and nothing was ever stored of it that only a project in use
/// can have told. A status that was lost with a restored resource counts as one in use.
pub fn is_to_be_replaced(pass: &Pass, project: &ProjectStatus, connected: bool) -> bool {
    let Some(status) = &pass.object.status else {
        return false;
    };
    let wanted = class::resolve(&pass.ctx.class, pass.object.spec.class_name.as_deref())
        .is_ok_and(|class| class.spec.replace_stuck);
    let never_usable = status.usable_since.is_none() && !connected && status.create_issued_at.is_some();
    let failed = *project == ProjectStatus::InitFailed;
    wanted
        && never_usable
        && pass.claim() == Claim::Held
        && pass.object.metadata.deletion_timestamp.is_none()
        && status.replaced.len() < REPLACEMENTS
        && project.is_before_first_use()
        && (failed || passed(pass).is_some())
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
