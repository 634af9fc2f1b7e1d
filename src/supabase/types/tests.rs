#![allow(clippy::unwrap_used)]
use serde_json::{from_value, json};

use super::super::fields::item;

use super::*;

/// The one table: the API's fifteen values, and one it may add.
#[test]
fn every_status_has_a_class() {
    use StatusClass::{Degraded, Deleting, Failed, Gone, Paused, Usable, Waiting};
    let table = [
        ("INACTIVE", Paused),
        ("ACTIVE_HEALTHY", Usable),
        ("ACTIVE_UNHEALTHY", Degraded),
        ("COMING_UP", Waiting),
        ("UNKNOWN", Waiting),
        ("GOING_DOWN", Deleting),
        ("INIT_FAILED", Failed),
        ("REMOVED", Gone),
        ("RESTORING", Waiting),
        ("UPGRADING", Waiting),
        ("PAUSING", Waiting),
        ("RESTORE_FAILED", Failed),
        ("RESTARTING", Waiting),
        ("PAUSE_FAILED", Failed),
        ("RESIZING", Waiting),
        ("BRAND_NEW", Waiting),
    ];
    for (text, class) in table {
        let status: ProjectState = from_value(json!(text)).unwrap();
        assert_eq!(status.class(), class, "{text}");
        assert_eq!(status.as_ref(), text);
        assert_eq!(matches!(status, ProjectState::Other(_)), text == "BRAND_NEW");
    }
}

#[test]
fn projects_decode_with_fields_and_values_that_are_new() {
    let (project, odd) = item::<Project>(&json!({
        "id": "abcdefghijklmnopqrst", "ref": "abcdefghijklmnopqrst", "organization_slug": "acme",
        "organization_id": "acme", "name": "n", "region": "eu-central-1",
        "created_at": "2026-05-22T10:00:00.123456Z", "status": "HIBERNATING", "novel": {"a": 1},
        "database": {"host": "db.x.supabase.co", "version": "17.6.1.111",
                     "postgres_engine": "17", "release_channel": "ga"},
    }));
    let project = project.unwrap();
    assert_eq!(project.status, ProjectState::Other("HIBERNATING".into()));
    assert!(project.created_at.is_some() && !odd);
}

#[test]
fn a_creation_is_known_by_its_reference_alone() {
    let (created, odd) = item::<CreatedProject>(&json!({"ref": "abcdefghijklmnopqrst", "region": null}));
    assert_eq!(created.unwrap().reference, "abcdefghijklmnopqrst");
    assert!(odd);
    for unknown in [
        json!({"name": "n", "status": "UNKNOWN"}),
        json!(null),
        json!({"ref": ""}),
    ] {
        assert!(item::<CreatedProject>(&unknown).0.is_none(), "{unknown}");
    }
}

#[test]
fn region_selection_is_written_as_the_api_reads_it() {
    let specific = RegionSelection::Specific("eu-central-1".into());
    let written = serde_json::to_value(specific).unwrap();
    assert_eq!(written, json!({"type": "specific", "code": "eu-central-1"}));
    let group = RegionSelection::SmartGroup("emea".into());
    assert_eq!(
        serde_json::to_value(group).unwrap(),
        json!({"type": "smartGroup", "code": "emea"})
    );
}
