//! When the project runs, which is when it is charged. A project that was never paused nor resized has run since its creation:
//! nothing is recorded of it.

use jiff::Timestamp;

use super::observe::{Observed, settled_at};
use super::{Pass, power};
use crate::api::condition::Reason;
use crate::api::{Charges, OrchestraDatabase, OrchestraDatabaseStatus};
use crate::class::price::{billed_size, is_priced};
use crate::money::charged;
use crate::supabase::listed::ListedProject;
use crate::supabase::types::{ProjectState, StatusClass};

/// Records in the new status that the project was paused, restored, resized or deleted, as its listing says.
pub fn note(pass: &Pass, observed: &Observed, new: &mut OrchestraDatabaseStatus) {
    let is_it = |listed: &&ListedProject| {
        let recorded = new.project.as_ref();
        recorded.is_some_and(|recorded| recorded.reference == listed.reference)
    };
    let Some(listed) = observed.project.as_ref().filter(is_it) else {
        return;
    };
    let look = Look {
        runs: runs(&listed.status),
        size: size(listed).filter(|size| is_priced(&pass.ctx.class, &pass.object, size)),
        now: observed.now,
    };
    if let Some(charges) = next(&pass.object, new, &look) {
        new.charges = Some(charges);
    }
}

/// What the listing says of a project.
struct Look<'a> {
    /// Whether it is charged; none when the status does not show it.
    runs: Option<bool>,
    /// The compute size that is charged.
    size: Option<&'a str>,
    now: Timestamp,
}

/// Whether a project in this state is charged.
fn runs(state: &ProjectState) -> Option<bool> {
    match (state, state.class()) {
        (_, StatusClass::Paused | StatusClass::Deleting | StatusClass::Gone) => Some(false),
        (ProjectState::Unknown | ProjectState::Other(_), _) => None,
        _ => Some(true),
    }
}

/// The compute size that is charged. Only of a project in use: while it is set up, the listing may show another one.
fn size(listed: &ListedProject) -> Option<&str> {
    let size = listed.instance_size()?;
    (listed.status == ProjectState::ActiveHealthy).then(|| billed_size(Some(size)))
}

/// The charges after a look; none when they are as before. `status` is the last one.
fn next(object: &OrchestraDatabase, status: &OrchestraDatabaseStatus, look: &Look) -> Option<Charges> {
    let hourly = status
        .cost
        .as_ref()
        .map(|cost| cost.hourly.as_str())
        .filter(|hourly| !hourly.is_empty());
    let size = billed_size(object.instance_size());
    let ran = status.charges.as_ref().is_none_or(charged::runs);
    let known = || {
        let since = || charged::since(created(object, look.now), size);
        status.charges.clone().unwrap_or_else(since)
    };
    match (ran, look.runs?) {
        // It was paused when it was adopted.
        (true, false) if status.charges.is_none() && object.adopted().is_some() && !object.was_usable() => {
            Some(Charges::default())
        }
        (true, false) => {
            let mut charges = known();
            charged::end(&mut charges, stopped(object, look.now), hourly);
            Some(charges)
        }
        (false, true) => {
            let mut charges = known();
            let begin = restored(status, &charges).unwrap_or(look.now);
            charged::begin(&mut charges, begin, (look.size.unwrap_or(size), hourly));
            Some(charges)
        }
        (true, true) => {
            let other = look.size.filter(|now| *now != size)?;
            let mut charges = known();
            charged::end(&mut charges, look.now, hourly);
            charged::begin(&mut charges, look.now, (other, hourly));
            Some(charges)
        }
        (false, false) => None,
    }
}

/// Since when the project is charged.
fn created(object: &OrchestraDatabase, now: Timestamp) -> Timestamp {
    object.charged_since().map_or(now, |at| at.0)
}

/// When the restore of the paused project was requested; none where somebody else has restored it.
fn restored(status: &OrchestraDatabaseStatus, charges: &Charges) -> Option<Timestamp> {
    let requested = status.restore_issued_at.as_ref()?.0;
    let ended = charges.periods.last().and_then(|last| last.end.as_ref());
    ended.is_none_or(|end| requested >= end.0).then_some(requested)
}

/// When a project that is found paused ceased to run: now, or when its pause was requested, if that is long ago. The operator
/// may not have been there. A pause that hung, which is told, was seen to run until now.
fn stopped(object: &OrchestraDatabase, now: Timestamp) -> Timestamp {
    if object.stalled_reason() == Some(Reason::DeadlineExceeded) {
        return now;
    }
    let requested = object
        .status
        .as_ref()
        .and_then(|status| status.pause_issued_at.as_ref());
    let requested = requested.map(|at| at.0);
    let long_ago = requested.filter(|at| now >= settled_at(*at, power::PAUSE_LIMIT));
    long_ago.unwrap_or(now)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::*;

    const NOW: &str = "2026-11-20T12:00:00Z";

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// A database with a project that was created on the first, and more in its status.
    fn database(more: &Value) -> OrchestraDatabase {
        let mut status = json!({
            "createIssuedAt": "2026-11-01T00:00:00Z", "usableSince": "2026-11-01T00:02:00Z",
            "cost": {"currency": "USD", "monthly": "9.81", "hourly": "0.01344"},
        });
        let status = status.as_object_mut().unwrap();
        status.extend(more.as_object().unwrap().clone());
        serde_json::from_value(json!({
            "apiVersion": "stagesub.io/v1alpha1", "kind": "OrchestraDatabase", "metadata": {"name": "one"},
            "spec": {"supabase": {"name": "one", "region": "eu-central-1"}}, "status": status,
        }))
        .unwrap()
    }

    fn after(database: &OrchestraDatabase, runs: Option<bool>, size: Option<&str>) -> Option<Value> {
        let now = at(NOW);
        let charges = next(database, database.status.as_ref().unwrap(), &Look { runs, size, now })?;
        Some(serde_json::to_value(charges).unwrap())
    }

    /// The first period of a project that was paused at this time.
    fn paused(end: &str) -> Value {
        json!({"begin": "2026-11-01T00:00:00Z", "end": end, "instanceSize": "micro", "hourly": "0.01344"})
    }

    #[test]
    fn nothing_is_recorded_of_a_project_that_was_never_paused() {
        let database = database(&json!({}));
        for size in [None, Some("micro")] {
            assert_eq!(after(&database, Some(true), size), None, "{size:?}");
        }
        assert_eq!(after(&database, None, Some("large")), None, "its state is not known");
    }

    #[test]
    fn a_pause_ends_the_charges_and_a_restore_begins_them() {
        let is = after(&database(&json!({})), Some(false), None);
        assert_eq!(
            is,
            Some(json!({"periods": [paused(NOW)]})),
            "the provider has paused it"
        );
        let asked = database(&json!({"pauseIssuedAt": "2026-11-20T11:58:00Z"}));
        let is = after(&asked, Some(false), None);
        assert_eq!(is, Some(json!({"periods": [paused(NOW)]})));
        let before = database(&json!({"pauseIssuedAt": "2026-11-10T11:58:00Z"}));
        let is = after(&before, Some(false), None);
        let long_ago = paused("2026-11-10T11:58:00Z");
        assert_eq!(
            is,
            Some(json!({"periods": [long_ago]})),
            "an earlier version has paused it"
        );

        let mut more = json!({"charges": {"periods": [long_ago]}});
        assert_eq!(after(&database(&more), Some(false), None), None);
        assert_eq!(after(&database(&more), None, None), None);
        more["restoreIssuedAt"] = json!("2026-11-20T11:57:00Z");
        let restored = json!({"begin": "2026-11-20T11:57:00Z", "instanceSize": "micro"});
        let is = after(&database(&more), Some(true), Some("micro"));
        assert_eq!(is, Some(json!({"periods": [long_ago, restored]})));
        let mut running = more.clone();
        running["charges"]["periods"] = json!([long_ago, restored]);
        assert_eq!(after(&database(&running), Some(true), Some("micro")), None);
        // That request was for an earlier pause, so somebody else has restored it.
        more["restoreIssuedAt"] = json!("2026-11-09T00:00:00Z");
        let elsewhere = json!({"begin": NOW, "instanceSize": "micro"});
        let is = after(&database(&more), Some(true), Some("micro"));
        assert_eq!(is, Some(json!({"periods": [long_ago, elsewhere]})));
    }

    #[test]
    fn another_size_is_another_period() {
        let small = json!({"begin": NOW, "instanceSize": "small"});
        let is = after(&database(&json!({})), Some(true), Some("small"));
        assert_eq!(is, Some(json!({"periods": [paused(NOW), small]})));
        let resized = database(&json!({"charges": {"periods": [paused(NOW), small]}}));
        assert_eq!(resized.instance_size(), Some("small"));
        assert_eq!(after(&resized, Some(true), Some("small")), None);
        assert_eq!(after(&resized, Some(true), None), None);
    }

    #[test]
    fn a_project_that_was_paused_before_its_adoption_is_not_charged_until_it_runs() {
        let mut adopted = database(&json!({"usableSince": null}));
        let project = json!({"ref": "abcdefghijklmnopqrst", "adopt": {}});
        adopted.spec.supabase.as_mut().unwrap().adopted = Some(serde_json::from_value(project).unwrap());
        assert_eq!(after(&adopted, Some(false), None), Some(json!({})));
        adopted.status.as_mut().unwrap().charges = Some(Charges::default());
        assert_eq!(after(&adopted, Some(false), None), None);
        let is = after(&adopted, Some(true), None);
        assert_eq!(is, Some(json!({"periods": [{"begin": NOW, "instanceSize": "micro"}]})));
    }

    #[test]
    fn what_is_charged_follows_from_the_state() {
        for (state, is) in [
            (ProjectState::Inactive, Some(false)),
            (ProjectState::GoingDown, Some(false)),
            (ProjectState::Removed, Some(false)),
            (ProjectState::Pausing, Some(true)),
            (ProjectState::Restoring, Some(true)),
            (ProjectState::ActiveUnhealthy, Some(true)),
            (ProjectState::Unknown, None),
            (ProjectState::Other("HIBERNATING".into()), None),
        ] {
            assert_eq!(runs(&state), is, "{state}");
        }
    }
}
