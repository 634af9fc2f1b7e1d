//! Which OrchestraBackups the schedule of an Orchestra has made. Whoever may create or patch OrchestraBackups can give them its
//! labels, so that labels alone decide nothing: the name, which nobody can change, is that of one Orchestra and one time, the
//! status is the operator's, and the time of the creation is the API server's.

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;
use sha2::{Digest as _, Sha256};

use crate::api::names::{HOLDER_LABEL, SCHEDULED_LABEL};
use crate::api::{Orchestra, OrchestraBackup};

/// How far the API server's clock may be behind the operator's.
const BEHIND: SignedDuration = SignedDuration::from_mins(5);

/// How long after its time a backup is created at the latest, where nothing has held it up: the longest delay of an Orchestra,
/// an hour, and half an hour for an operator that starts again.
const PROMPT: SignedDuration = SignedDuration::from_mins(90);

/// When the schedule of an Orchestra fired for a backup; none where that schedule has not made it.
pub fn fired(object: &Orchestra, backup: &OrchestraBackup, now: Timestamp) -> Option<Timestamp> {
    let uid = object.metadata.uid.as_deref()?;
    let seconds: i64 = backup.labels().get(SCHEDULED_LABEL)?.parse().ok()?;
    let fired = Timestamp::from_second(seconds).ok()?;
    let created = backup.metadata.creation_timestamp.as_ref()?.0;
    let of = backup
        .status
        .as_ref()
        .and_then(|status| status.orchestra_uid.as_deref());
    let is_its_own = backup.spec.orchestra_ref.name == object.name_any()
        && backup.metadata.namespace == object.metadata.namespace
        && backup.labels().get(HOLDER_LABEL).is_some_and(|holder| holder == uid)
        && of.is_none_or(|of| of == uid)
        && backup.spec.stored.is_none()
        && seconds % 60 == 0
        && fired <= now
        && created.duration_since(fired) >= -BEHIND
        && backup.name_any() == name(&object.name_any(), uid, fired);
    is_its_own.then_some(fired)
}

/// Whether a backup was created soon after the schedule fired for it. One for an earlier time makes up for it, or is a forgery.
pub fn is_prompt(backup: &OrchestraBackup, fired: Timestamp) -> bool {
    let created = backup.metadata.creation_timestamp.as_ref();
    created.is_some_and(|created| created.0.duration_since(fired) <= PROMPT)
}

/// The name of the backup of a time: the Orchestra's name, the time in UTC, and some digits of the UID's digest, so that it
/// differs from that of an earlier Orchestra of the same name.
pub fn name(orchestra: &str, uid: &str, fired: Timestamp) -> String {
    const LONGEST: usize = 253;
    let digits = hex::encode(Sha256::digest(uid));
    let after = format!("-{}-{}", fired.strftime("%Y%m%d-%H%M"), &digits[..5]);
    let begins = orchestra.get(..LONGEST - after.len()).unwrap_or(orchestra);
    format!("{}{after}", begins.trim_end_matches(['.', '-']))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn acme() -> Orchestra {
        let object = json!({"metadata": {"name": "acme", "namespace": "tenants", "uid": "uid-1"}, "spec": {}});
        serde_json::from_value(object).unwrap()
    }

    /// A backup with the labels of the schedule of `acme`, for two o'clock.
    fn labelled(name: &str, change: impl FnOnce(&mut Value)) -> OrchestraBackup {
        let fired = at("2026-11-29T02:00:00Z").as_second().to_string();
        let mut backup = json!({
            "metadata": {"name": name, "namespace": "tenants", "creationTimestamp": "2026-11-29T02:20:00Z",
                "labels": {SCHEDULED_LABEL: fired, HOLDER_LABEL: "uid-1"}},
            "spec": {"orchestraRef": {"name": "acme"}, "deletionPolicy": "Delete"},
            "status": {"orchestraUid": "uid-1"},
        });
        change(&mut backup);
        serde_json::from_value(backup).unwrap()
    }

    fn is_own(backup: &OrchestraBackup) -> bool {
        fired(&acme(), backup, at("2026-11-29T12:00:00Z")).is_some()
    }

    #[test]
    fn a_backup_is_the_schedules_by_its_name_and_not_by_its_labels() {
        let two = at("2026-11-29T02:00:00Z");
        let own = name("acme", "uid-1", two);
        let made = labelled(&own, |_| {});
        assert_eq!(fired(&acme(), &made, at("2026-11-29T12:00:00Z")), Some(two));
        assert!(is_own(&labelled(&own, |new| new["status"] = Value::Null)));
        for forged in [
            "by-hand".to_owned(),
            "acme-final-0123456789ab".to_owned(),
            name("acme", "uid-2", two),
            name("acme", "uid-1", at("2026-11-29T02:15:00Z")),
            name("acm", "uid-1", two),
        ] {
            assert!(!is_own(&labelled(&forged, |_| {})), "{forged}");
        }
    }

    #[test]
    fn a_forged_name_needs_the_uid_and_a_time_that_had_come() {
        let own = name("acme", "uid-1", at("2026-11-29T02:00:00Z"));
        let changes: [(&str, Value); 7] = [
            ("/status/orchestraUid", json!("uid-2")),
            ("/metadata/labels/stagesub.io~1orchestra-uid", json!("uid-2")),
            ("/metadata/labels/stagesub.io~1scheduled-at", json!("soon")),
            ("/metadata/labels/stagesub.io~1scheduled-at", json!("1795917630")),
            ("/metadata/namespace", json!("others")),
            ("/spec/orchestraRef/name", json!("other")),
            // Made in advance, so that the schedule would make none at that time.
            ("/metadata/creationTimestamp", json!("2026-11-29T01:50:00Z")),
        ];
        for (field, value) in changes {
            let forged = labelled(&own, |new| *new.pointer_mut(field).unwrap() = value);
            assert!(!is_own(&forged), "{field}");
        }
        // The API server's clock may be a little behind.
        let behind = json!("2026-11-29T01:56:00Z");
        assert!(is_own(&labelled(&own, |new| {
            new["metadata"]["creationTimestamp"] = behind;
        })));
        let made = labelled(&own, |_| {});
        assert_eq!(fired(&acme(), &made, at("2026-11-29T01:59:59Z")), None, "in the future");
    }

    #[test]
    fn a_backup_that_is_created_long_after_its_time_is_not_prompt() {
        let made = labelled("any", |_| {});
        for (time, is) in [
            ("2026-11-29T02:00:00Z", true),
            ("2026-11-29T00:50:00Z", true),
            ("2026-11-29T00:49:00Z", false),
            ("2026-11-01T02:00:00Z", false),
        ] {
            assert_eq!(is_prompt(&made, at(time)), is, "{time}");
        }
    }

    #[test]
    fn a_name_is_that_of_one_orchestra_and_one_time() {
        let (one, other) = (at("2026-11-29T02:00:00Z"), at("2026-11-29T02:15:00Z"));
        let is = name("acme", "uid-1", one);
        assert!(is.starts_with("acme-20261129-0200-") && is.len() == 24, "{is}");
        assert_eq!(is, name("acme", "uid-1", one));
        for another in [
            name("acme", "uid-1", other),
            name("acme", "uid-2", one),
            name("acm", "uid-1", one),
        ] {
            assert_ne!(is, another);
        }
        for long in ["a".repeat(253), format!("{}.{}", "a".repeat(232), "b".repeat(20))] {
            let is = name(&long, "uid-1", one);
            assert!(is.len() <= 253 && is.contains("aaa-20261129-0200-"), "{is}");
        }
    }
}
