//! The backups that the provider makes of a project.

use jiff::Timestamp;

use super::fields::{AnswerFields, Item};

/// The status of a backup that can be restored.
const COMPLETED: &str = "COMPLETED";

/// `V1BackupsResponse`: a fresh project has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProjectBackups {
    /// Number of complete ones.
    pub complete: usize,
    /// When the first of them was made, or the beginning of the recovery to a point in time.
    pub earliest: Option<Timestamp>,
    /// When the last of them was made, or the end of the recovery to a point in time.
    pub latest: Option<Timestamp>,
    /// Whether the project has recovery to a point in time.
    pub point_in_time: bool,
}

/// One of them: its status, and when it was made.
struct ListedBackup(String, Option<Timestamp>);

impl Item for ListedBackup {
    fn read(fields: &mut AnswerFields<'_>) -> Option<Self> {
        Some(Self(fields.text("status")?, fields.time("inserted_at")))
    }
}

impl Item for ProjectBackups {
    fn read(fields: &mut AnswerFields<'_>) -> Option<Self> {
        let point_in_time = fields.flag("pitr_enabled").unwrap_or_default();
        let mut complete: Vec<ListedBackup> = fields.items("backups");
        complete.retain(|backup| backup.0 == COMPLETED);
        let mut span = fields.optional_object("physical_backup_data");
        let mut end = |name: &str| {
            let seconds = span.as_mut()?.optional_number(name)?.as_i64()?;
            Timestamp::from_second(seconds).ok()
        };
        let ends = ["earliest_physical_backup_date_unix", "latest_physical_backup_date_unix"].map(&mut end);
        let times: Vec<_> = complete
            .iter()
            .filter_map(|backup| backup.1)
            .chain(ends.into_iter().flatten())
            .collect();
        Some(Self {
            complete: complete.len(),
            earliest: times.iter().min().copied(),
            latest: times.iter().max().copied(),
            point_in_time,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::super::fields::item;
    use super::*;

    fn read(answer: &serde_json::Value) -> ProjectBackups {
        item(answer).0.unwrap()
    }

    #[test]
    fn only_what_can_be_restored_counts() {
        let fresh = json!({"region": "eu-west-1", "walg_enabled": true, "pitr_enabled": false, "backups": [],
            "physical_backup_data": {}});
        assert_eq!(read(&fresh), ProjectBackups::default());
        let one =
            |status: &str, at: &str| json!({"id": 1, "is_physical_backup": true, "status": status, "inserted_at": at});
        let days = json!({"region": "eu-west-1", "walg_enabled": true, "pitr_enabled": false, "backups": [
            one("COMPLETED", "2026-11-28T01:00:00Z"), one("FAILED", "2026-11-29T01:00:00Z"),
            one("COMPLETED", "2026-11-27T01:00:00.5"), one("NEW", "2026-11-30T01:00:00Z"), one("COMPLETED", "soon"),
        ], "physical_backup_data": {}});
        let found = read(&days);
        let text = |at: Option<Timestamp>| at.unwrap().to_string();
        assert_eq!((found.complete, found.point_in_time), (3, false));
        assert_eq!(text(found.earliest), "2026-11-27T01:00:00.5Z");
        assert_eq!(text(found.latest), "2026-11-28T01:00:00Z");
        let span = json!({"pitr_enabled": true, "backups": [], "physical_backup_data": {
            "earliest_physical_backup_date_unix": 1_795_000_000_i64, "latest_physical_backup_date_unix": i64::MAX}});
        let found = read(&span);
        assert!(found.point_in_time && found.complete == 0);
        assert_eq!(found.earliest, found.latest, "a time that cannot be one is none");
        assert_eq!(read(&json!({})), ProjectBackups::default());
    }
}
