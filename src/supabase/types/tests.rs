#![allow(clippy::unwrap_used)]
use serde_json::{from_value, json};

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
        let status: ProjectStatus = from_value(json!(text)).unwrap();
        assert_eq!(status.class(), class, "{text}");
        assert_eq!(status.as_ref(), text);
        assert_eq!(matches!(status, ProjectStatus::Other(_)), text == "BRAND_NEW");
    }
}

#[test]
fn projects_decode_with_fields_and_values_that_are_new() {
    let project: Project = from_value(json!({
        "id": "abcdefghijklmnopqrst", "ref": "abcdefghijklmnopqrst", "organization_slug": "acme",
        "organization_id": "acme", "name": "n", "region": "eu-central-1",
        "created_at": "2026-05-22T10:00:00.123456Z", "status": "HIBERNATING", "novel": {"a": 1},
        "database": {"host": "db.x.supabase.co", "version": "17.6.1.111",
                     "postgres_engine": "17", "release_channel": "ga"},
    }))
    .unwrap();
    assert_eq!(project.status, ProjectStatus::Other("HIBERNATING".into()));
    assert_eq!(project.database.unwrap().host, "db.x.supabase.co");
    assert!(project.created_at.is_some());

    let page: ProjectPage = from_value(json!({
        "projects": [{"ref": "r", "name": "n", "cloud_provider": "AWS", "region": "eu-west-3",
            "is_branch": false, "status": "COMING_UP", "inserted_at": "not a time",
            "databases": [{"region": "eu-west-3", "status": "COMING_UP", "identifier": "r",
                "cloud_provider": "AWS", "type": "PRIMARY", "infra_compute_size": "pico"}]}],
        "pagination": {"count": 1.0, "limit": 100, "offset": 0},
    }))
    .unwrap();
    assert_eq!(page.projects[0].instance_size(), Some("pico"));
    assert_eq!(page.projects[0].inserted_at, None);
    assert_eq!((page.pagination.count, page.pagination.limit), (1, 100));
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
