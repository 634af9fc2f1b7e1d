//! A pause of a hosted project that lasts: the provider restores a paused project only for a limited time.

use std::time::Duration;

use jiff::Timestamp;

use super::Pass;
use super::observe::Observed;
use crate::api::condition::Reason;
use crate::api::{OrchestraDatabase, PowerStatus};
use crate::controller::clock;
use crate::controller::status::News;

/// How long a project may be paused without a warning, and the longest grace period in which one is paused. The provider
/// restores projects that were paused for up to 90 days, lately for a year
/// (supabase.com/docs/guides/platform/free-project-pausing).
pub const RESTORABLE: Duration = Duration::from_hours(60 * 24);

/// When a pause becomes a long one; none for an entry of a pool, whose pause has no limit.
fn begins(power: &PowerStatus, database: &OrchestraDatabase) -> Option<Timestamp> {
    let since = power
        .paused_since
        .as_ref()
        .filter(|_| database.spec.supabase.is_some())?;
    Some(clock::after(since.0, RESTORABLE))
}

fn is_long(power: &PowerStatus, database: &OrchestraDatabase, now: Timestamp) -> bool {
    begins(power, database).is_some_and(|begins| begins <= now)
}

/// Whether a pause is a long one that no event has reported. An earlier warning was that of an idle pause.
fn is_untold(power: &PowerStatus, database: &OrchestraDatabase, now: Timestamp) -> bool {
    let warned = power.warned_at.as_ref();
    is_long(power, database, now)
        && begins(power, database).is_some_and(|begins| warned.is_none_or(|warned| warned.0 < begins))
}

fn facts<'a>(pass: &'a Pass, observed: &'a Observed) -> Option<(&'a PowerStatus, &'a OrchestraDatabase)> {
    let power = pass.object.status.as_ref()?.power.as_ref()?;
    Some((power, observed.database.as_ref()?))
}

/// The warning of a long pause, for the message of the condition.
pub fn warning(pass: &Pass, observed: &Observed) -> Option<String> {
    let (power, _) = facts(pass, observed).filter(|(power, database)| is_long(power, database, observed.now))?;
    let since = power.paused_since.as_ref()?;
    Some(format!(
        "The project has been paused since {}. The provider restores a paused project only for a limited time (Supabase: a \
         year, formerly 90 days); after that its data is lost. Resume it before then; a new pause starts a new period",
        since.0
    ))
}

/// Whether the event of a long pause is due.
pub fn is_news(pass: &Pass, observed: &Observed) -> bool {
    facts(pass, observed).is_some_and(|(power, database)| is_untold(power, database, observed.now))
}

/// The event of a long pause, once in each pause.
pub fn news(pass: &Pass, observed: &Observed) -> Option<News> {
    let warning = warning(pass, observed).filter(|_| is_news(pass, observed))?;
    Some(News::warning(Reason::Paused, warning))
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;
    use crate::api::{OrchestraDatabaseSpec, SupabaseProject};

    #[test]
    fn a_pause_of_sixty_days_is_told_once() {
        let day = |day: i64| Timestamp::UNIX_EPOCH + SignedDuration::from_hours(24 * day);
        let mut project = OrchestraDatabase::new("one", OrchestraDatabaseSpec::default());
        project.spec.supabase = Some(SupabaseProject::default());
        let entry = OrchestraDatabase::new("two", OrchestraDatabaseSpec::default());
        for (since, warned, now, long, untold) in [
            (Some(10), None, 69, false, false),
            (Some(10), None, 70, true, true),
            // The warning of the idle pause.
            (Some(10), Some(9), 70, true, true),
            (Some(10), Some(70), 71, true, false),
            (Some(10), Some(300), 400, true, false),
            (None, None, 400, false, false),
            // The clock was set back.
            (Some(10), None, 5, false, false),
        ] {
            let time = |at: i64| Time(day(at));
            let power = PowerStatus {
                paused_since: since.map(time),
                warned_at: warned.map(time),
                ..PowerStatus::default()
            };
            let is = |database| {
                (
                    is_long(&power, database, day(now)),
                    is_untold(&power, database, day(now)),
                )
            };
            assert_eq!(is(&project), (long, untold), "{since:?} {warned:?} {now}");
            assert_eq!(is(&entry), (false, false), "nobody restores an entry of a pool");
        }
    }
}
