//! The events that go with a status.

use super::Pass;
use super::observe::Observed;
use crate::api::condition::Reason;
use crate::api::{MigrationStatus, OrchestraStatus};
use crate::controller::conditions::Standing;
use crate::controller::status::{News, is_news};
use crate::migrate::guard::Clearance;

/// The event of a status. A step that is only `progress` has none of its own: a claim, a turn, and migrations that begin.
/// Migrations that were applied since the last status are added to the next event.
pub fn news(
    pass: &Pass,
    new: &OrchestraStatus,
    (standing, reason, message): (Standing, Reason, &str),
    progress: bool,
) -> Option<News> {
    let is_news = is_news(pass.object.conditions(), &new.conditions) && !progress;
    match (
        is_news,
        applied_since(pass.object.migrations(), new.migrations.as_ref()),
    ) {
        (true, Some(applied)) => Some(News::of(standing, reason, format!("{message}; {applied}"))),
        (true, None) => Some(News::of(standing, reason, message)),
        (false, applied) => applied.map(|applied| News::normal(Reason::MigrationApplied, applied)),
    }
}

/// The message of migrations that were applied between two statuses; none when there was no status before.
fn applied_since(old: Option<&MigrationStatus>, new: Option<&MigrationStatus>) -> Option<String> {
    let (old, new) = (old?, new?);
    // Others may have written the old status.
    let count = new.applied.saturating_sub(old.applied.max(0));
    let current = new.current.as_deref()?;
    match count {
        ..=0 => None,
        1 => Some(format!("applied the migration {current}")),
        _ => Some(format!("applied {count} migrations, the last is {current}")),
    }
}

/// The event of an approval. The annotation does not say who gave it.
pub fn approved(old: &OrchestraStatus, observed: &Observed) -> Option<News> {
    let waited = old.waiting_plan()?;
    let review = observed.inside.review()?;
    let is_approved = review.clearance == Clearance::Approved && waited.digest == review.plan.digest;
    is_approved.then(|| {
        let next = match review.plan.seed {
            None => "its migrations are applied when their turn comes",
            Some(_) => "the seed is applied next",
        };
        let note = format!("plan {} is approved; {next}", review.plan.digest);
        News::normal(Reason::Approved, note)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(applied: i32, current: &str) -> MigrationStatus {
        let current = Some(current.to_owned());
        MigrationStatus {
            current,
            applied,
            ..MigrationStatus::default()
        }
    }

    #[test]
    fn what_was_applied_is_told_once() {
        let (none, one, three) = (applied(0, ""), applied(1, "1_a"), applied(3, "3_c"));
        let told = |old, new| applied_since(old, Some(new));
        assert_eq!(told(Some(&none), &one).as_deref(), Some("applied the migration 1_a"));
        assert_eq!(
            told(Some(&one), &three).as_deref(),
            Some("applied 2 migrations, the last is 3_c")
        );
        assert_eq!(told(Some(&three), &three), None);
        // A rolled back history, and a database that came with one.
        assert_eq!(told(Some(&three), &one), None);
        assert_eq!(told(None, &three), None);
        // Somebody else's status.
        let (least, most) = (applied(i32::MIN, ""), applied(i32::MAX, ""));
        assert_eq!(
            told(Some(&least), &three).as_deref(),
            Some("applied 3 migrations, the last is 3_c")
        );
        assert_eq!((told(Some(&most), &least), told(Some(&least), &least)), (None, None));
    }
}
