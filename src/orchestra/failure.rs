//! The failure of a migration: recorded in the status, and shown until it is resolved, whatever its tenant waits for.

use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::observe::Observed;
use super::plan::{DatabaseState, WorkState};
use super::wait::Description;
use crate::api::condition::Reason;
use crate::api::{MigrationFailure, MigrationStatus, Orchestra, OrchestraStatus, retry_wish};
use crate::controller::conditions::{MESSAGE_LIMIT, Standing};
use crate::controller::error::Error;
use crate::migrate;
use crate::text;

/// The most characters of a failure that are added to another message.
const BESIDE: usize = MESSAGE_LIMIT / 2;

/// Whether an error is about a migration, and not about reaching the database.
fn is_of_migration(reason: Reason) -> bool {
    reason.is_of_migration() || reason == Reason::DatabaseRefused
}

/// The failure that is remembered when a pass ends with `error` after a migration has failed. An error of something else
/// does not replace it. `attempt`: see [`attempt`].
pub fn remembered(old: Option<MigrationFailure>, error: &Error, attempt: String) -> MigrationFailure {
    let message = text::shown(&error.to_string(), MESSAGE_LIMIT);
    match old {
        Some(old) if !is_of_migration(error.reason()) => old,
        // A remembered refusal repeats the message and has no name.
        Some(old) if old.message == message => old,
        _ => MigrationFailure {
            reason: error.reason().as_str().into(),
            message,
            migration: name(error),
            unrecorded: error.keeps_parts().then_some(attempt),
        },
    }
}

/// Identifies an attempt to apply the source of this digest: by what the Orchestra says of its migrations, and by the last
/// attempt that a person has requested.
pub fn attempt(object: &Orchestra, digest: &str) -> String {
    let resolutions = object.spec.migrations.as_ref().and_then(|own| own.resolve.as_ref());
    let parts = (digest, resolutions, retry_wish(object));
    hex::encode(Sha256::digest(json!(parts).to_string()))
}

/// The failure of this attempt, if it must not be repeated.
///
/// # Errors
/// The failure.
pub fn stop_repetition(object: &Orchestra, digest: &str) -> Result<(), Error> {
    let failure = object.migrations().and_then(|is| is.failure.as_ref());
    let Some(failure) = failure.filter(|failure| failure.unrecorded.is_some()) else {
        return Ok(());
    };
    if failure.unrecorded != Some(attempt(object, digest)) {
        return Ok(());
    }
    let reason = failure.known_reason().unwrap_or(Reason::MigrationFailed);
    Err(Error::blocked(reason, failure.message.clone()))
}

fn name(error: &Error) -> Option<String> {
    match error {
        Error::Migrate(migrate::Error::Failed(failure)) => Some(failure.name.clone()),
        Error::Migrate(
            migrate::Error::Unfinished { name, .. }
            | migrate::Error::HistoryGone { name, .. }
            | migrate::Error::PartsKept { name, .. },
        ) => Some(name.clone()),
        Error::Migrate(migrate::Error::RecordSpoiled(spoiled)) => spoiled.migration.clone(),
        _ => None,
    }
}

/// The message of an error. Where the database refused a statement of the operator's own, it names the migration that
/// ran last: a script may have changed what the operator needs.
pub fn named(old: &OrchestraStatus, error: &Error) -> String {
    let message = error.to_string();
    let migrations = old
        .migrations
        .as_ref()
        .filter(|_| error.reason() == Reason::DatabaseRefused);
    let last = migrations.and_then(|is| is.current.as_ref());
    match last {
        Some(last) if !error.names_run() => {
            format!("{message}; the last migration that ran is {last}")
        }
        _ => message,
    }
}

/// The failure that remains after a look into the database that finds these migrations pending: none once the failed
/// migration is applied, or is no longer in the source.
pub fn left(before: Option<&MigrationStatus>, pending: &[String]) -> Option<MigrationFailure> {
    let failure = before?.failure.clone()?;
    let is_pending = |name: &String| pending.contains(name);
    let cured = pending.is_empty() || failure.migration.as_ref().is_some_and(|name| !is_pending(name));
    (!cured).then_some(failure)
}

/// The unresolved failure, with its reason.
pub fn uncured<'a>(object: &'a Orchestra, observed: &'a Observed) -> Option<(Reason, &'a MigrationFailure)> {
    let migrations = match &observed.facts.database {
        DatabaseState::Usable(inside) if inside.migrations == WorkState::Done => return None,
        _ => observed.inside.migrations().or(object.migrations())?,
    };
    let failure = migrations.failure.as_ref()?;
    Some((failure.known_reason()?, failure))
}

/// The message of pending migrations that wait for approval after one has failed. The failure comes first when it is of the
/// same source; another source may resolve it.
pub fn beside_approval(
    description: &mut Description,
    words: &str,
    (reason, failure): (Reason, &MigrationFailure),
    same_source: bool,
) -> String {
    let failed = text::shown(&failure.message, BESIDE);
    if !same_source {
        return format!("{words}; before that, {failed}");
    }
    description.phase = "Failed";
    description.standing = Standing::Stalled;
    description.reason = reason;
    format!("{failed}; the remaining migrations wait for approval; fix the cause before you approve: {words}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::orchestra::describe::describe;
    use crate::orchestra::wait::Wait;

    fn failure(migration: Option<&str>) -> MigrationFailure {
        MigrationFailure {
            reason: "MigrationFailed".into(),
            message: "migration b failed".into(),
            migration: migration.map(Into::into),
            unrecorded: None,
        }
    }

    #[test]
    fn a_failure_lasts_until_its_migration_is_no_longer_pending() {
        let before = |failure| MigrationStatus {
            failure,
            ..MigrationStatus::default()
        };
        let pending = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        for (migration, names, lasts) in [
            (Some("b"), &["b", "c"][..], true),
            (Some("b"), &["c"], false),
            (Some("b"), &[], false),
            (None, &["c"], true),
            (None, &[], false),
        ] {
            let was = before(Some(failure(migration)));
            let left = left(Some(&was), &pending(names));
            assert_eq!(left.is_some(), lasts, "{migration:?} {names:?}");
        }
        assert_eq!(left(Some(&before(None)), &pending(&["b"])), None);
    }

    #[test]
    fn an_error_on_the_way_does_not_hide_a_failure() {
        let old = Some(failure(Some("b")));
        let away = Error::transient(Reason::DatabaseUnreachable, "no answer");
        assert_eq!(remembered(old.clone(), &away, String::new()), failure(Some("b")));
        let again = Error::blocked(Reason::MigrationFailed, "migration b failed");
        assert_eq!(remembered(old.clone(), &again, String::new()), failure(Some("b")));
        let other = Error::blocked(Reason::MigrationUnfinished, "migration b did not finish");
        assert_eq!(
            remembered(old, &other, String::new()).message,
            "migration b did not finish"
        );
        assert_eq!(remembered(None, &away, String::new()).reason, "DatabaseUnreachable");
    }

    #[test]
    fn what_is_committed_and_not_recorded_is_not_applied_again_by_itself() {
        let mut object = Orchestra::new("one", serde_json::from_value(json!({})).unwrap());
        let locked = || Box::new(migrate::Error::Locked { holder: "x".into() });
        let kept = Error::Migrate(migrate::Error::PartsKept {
            name: "b".into(),
            error: locked(),
        });
        let failed = |object: &Orchestra| remembered(None, &kept, attempt(object, "digest"));
        let status = object.status.get_or_insert_default();
        status.migrations.get_or_insert_default().failure = None;
        assert!(stop_repetition(&object, "digest").is_ok());
        let failure = failed(&object);
        assert_eq!(failure.migration.as_deref(), Some("b"));
        object.status.as_mut().unwrap().migrations.as_mut().unwrap().failure = Some(failure);
        let stopped = stop_repetition(&object, "digest").unwrap_err();
        assert_eq!(stopped.reason(), Reason::MigrationFailed);
        assert!(!stopped.is_passing());
        assert!(stop_repetition(&object, "other").is_ok(), "another source");
        let mut resolved = object.clone();
        resolved.spec.migrations =
            serde_json::from_value(json!({"resolve": [{"name": "b", "as": "Applied"}]})).unwrap();
        assert!(stop_repetition(&resolved, "digest").is_ok());
        let asked = [("stagesub.io/retry-requested-at".to_owned(), "now".to_owned())];
        object.metadata.annotations = Some(asked.into());
        assert!(stop_repetition(&object, "digest").is_ok(), "a person asks for it");
        let plain = Error::Migrate(migrate::Error::Locked { holder: "x".into() });
        assert_eq!(remembered(None, &plain, "attempt".into()).unrecorded, None);
    }

    #[test]
    fn a_refusal_of_the_database_names_the_migration_that_ran_once() {
        let mut old = OrchestraStatus::default();
        let refused = |message: &str| Error::blocked(Reason::DatabaseRefused, message);
        assert_eq!(named(&old, &refused("no")), "no", "none ran");
        old.migrations.get_or_insert_default().current = Some("b".into());
        // The database's own message does not say which one ran.
        for message in ["no", "relation \"the migration table\" is missing"] {
            let told = named(&old, &refused(message));
            assert_eq!(told, format!("{message}; the last migration that ran is b"));
        }
        let of_run = Error::OfRun {
            class: crate::error::ErrorClass::Blocked,
            reason: Reason::DatabaseRefused,
            message: "after migration b was applied: no".into(),
        };
        assert_eq!(named(&old, &of_run), of_run.to_string());
        let away = Error::transient(Reason::DatabaseUnreachable, "no answer");
        assert_eq!(named(&old, &away), "no answer");
    }

    #[test]
    fn what_waits_for_approval_after_a_failure_tells_of_both() {
        let step = super::super::plan::Step::Wait(Wait::Approval);
        for (same, reason, standing) in [
            (true, Reason::MigrationFailed, Standing::Stalled),
            (false, Reason::ApprovalPending, Standing::Reconciling),
        ] {
            let mut description = describe(step);
            let failure = failure(None);
            let told = beside_approval(
                &mut description,
                "approve with: x",
                (Reason::MigrationFailed, &failure),
                same,
            );
            assert!(
                told.contains("approve with: x") && told.contains("migration b failed"),
                "{told}"
            );
            assert_eq!((description.reason, description.standing), (reason, standing));
        }
    }
}
