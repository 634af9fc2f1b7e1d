#![allow(clippy::unwrap_used)]
use serde_json::json;

use super::*;
use crate::supabase::types::StatusClass;

/// The entry, and whether a part of it was not understood.
fn entry(value: &Value) -> (ListEntry, bool) {
    ListEntry::read(value)
}

fn listed(value: &Value) -> ListedProject {
    match entry(value).0 {
        ListEntry::Project(project) => project,
        ListEntry::Unclear(unclear) => panic!("{unclear:?}"),
    }
}

#[test]
fn a_page_is_read_with_its_position() {
    let page = ProjectPage::read(&json!({
        "projects": [{"ref": "r", "name": "n", "cloud_provider": "AWS", "region": "eu-west-3",
            "is_branch": false, "status": "COMING_UP", "inserted_at": "not a time",
            "databases": [{"region": "eu-west-3", "status": "COMING_UP", "identifier": "r",
                "cloud_provider": "AWS", "type": "PRIMARY", "infra_compute_size": "pico"}]}],
        "pagination": {"count": 1.0, "limit": 100, "offset": 0},
    }))
    .unwrap();
    let ListEntry::Project(project) = &page.entries[0] else {
        panic!("{:?}", page.entries)
    };
    assert_eq!(project.instance_size(), Some("pico"));
    assert_eq!(project.inserted_at, None);
    assert_eq!((page.count, page.limit, page.odd), (Some(1), Some(100), 1));
}

/// A project with these fields, of which null removes none.
fn foreign(changes: &Value) -> Value {
    let mut project = json!({"ref": "qqqqqqqqqqqqqqqqqqqq", "name": "experiment", "cloud_provider": "FLY",
        "region": "sin", "is_branch": false, "status": "INACTIVE", "inserted_at": "2023-07-14T05:59:16Z",
        "databases": []});
    for (name, value) in changes.as_object().unwrap() {
        project[name] = value.clone();
    }
    project
}

#[test]
fn a_project_is_listed_by_its_reference_and_name_whatever_else_is_odd() {
    for (changes, is_odd) in [
        (json!({}), false),
        (json!({"region": null}), true),
        (json!({"region": {"name": "Singapore"}}), true),
        (json!({"databases": null}), true),
        (json!({"databases": {"a": 1}}), true),
        (json!({"databases": [null, 3, {}]}), true),
        (
            json!({"databases": [{"region": "sin", "status": "UNKNOWN", "identifier": "q"}]}),
            true,
        ),
        (
            json!({"databases": [{"type": "PRIMARY", "infra_compute_size": null}]}),
            false,
        ),
        (json!({"is_branch": null}), true),
        (json!({"is_branch": "false"}), false),
        (json!({"status": null}), true),
        (json!({"status": 7}), false),
        (json!({"status": ["ACTIVE_HEALTHY"]}), true),
        (json!({"inserted_at": null}), true),
        (json!({"inserted_at": 1_689_314_356}), true),
        (
            json!({"status": "PROMOTING", "databases": [{"status": "HIBERNATING", "type": "ANALYTICS_REPLICA",
                "infra_compute_size": "femto"}]}),
            false,
        ),
    ] {
        let value = foreign(&changes);
        let project = listed(&value);
        assert_eq!(project.reference, "qqqqqqqqqqqqqqqqqqqq");
        assert_eq!(entry(&value).1, is_odd, "{changes}");
        let class = project.status.class();
        assert!(matches!(class, StatusClass::Paused | StatusClass::Waiting), "{changes}");
        assert!(!project.status.is_before_first_use(), "never replaced: {changes}");
    }
    assert_eq!(
        listed(&foreign(&json!({"status": null}))).status.to_string(),
        "without a status"
    );
    let alone = json!({"databases": [{"infra_compute_size": "small"}]});
    assert_eq!(listed(&foreign(&alone)).instance_size(), Some("small"));
    let two = json!({"databases": [{"infra_compute_size": "small"}, {"type": "READ_REPLICA"}]});
    assert_eq!(listed(&foreign(&two)).instance_size(), None);
}

#[test]
fn an_entry_without_a_reference_or_name_is_kept_as_unclear() {
    for (value, reference, name) in [
        (foreign(&json!({"name": null})), Some("qqqqqqqqqqqqqqqqqqqq"), None),
        (foreign(&json!({"name": ""})), Some("qqqqqqqqqqqqqqqqqqqq"), None),
        (foreign(&json!({"name": ["x"]})), Some("qqqqqqqqqqqqqqqqqqqq"), None),
        (foreign(&json!({"ref": null})), None, Some("experiment")),
        (
            foreign(&json!({"ref": "../../organizations"})),
            None,
            Some("experiment"),
        ),
        (foreign(&json!({"ref": null, "id": 4711})), None, Some("experiment")),
        (json!({}), None, None),
        (json!(null), None, None),
        (json!("qqqqqqqqqqqqqqqqqqqq"), None, None),
        (json!([foreign(&json!({}))]), None, None),
    ] {
        let (ListEntry::Unclear(unclear), true) = entry(&value) else {
            panic!("{value}")
        };
        assert_eq!(unclear.reference.as_deref(), reference, "{value}");
        assert_eq!(unclear.name.as_deref(), name, "{value}");
        assert_eq!(entry(&value).0.key(), unclear.key, "the same each time");
    }
    let older = listed(&foreign(&json!({"ref": null, "id": "abcdefghijklmnopqrst"})));
    assert_eq!(older.reference, "abcdefghijklmnopqrst");
}

#[test]
fn a_page_without_a_list_is_none_and_one_without_its_position_is() {
    for none in [
        json!(null),
        json!({}),
        json!({"projects": null, "pagination": {"count": 1}}),
        json!({"projects": null, "pagination": null}),
        json!({"projects": {}, "pagination": {"count": 0}}),
        json!([]),
        json!("[]"),
        json!({"message": "fine"}),
    ] {
        assert!(ProjectPage::read(&none).is_none(), "{none}");
    }
    for (page, count, limit) in [
        (json!({"projects": []}), None, None),
        (json!({"projects": [], "pagination": null}), None, None),
        (json!({"projects": null, "pagination": {"count": 0}}), Some(0), None),
        (
            json!({"projects": [], "pagination": {"count": "3", "limit": "50"}}),
            Some(3),
            Some(50),
        ),
        (
            json!({"projects": [], "pagination": {"count": null, "limit": -1}}),
            None,
            None,
        ),
    ] {
        let page = ProjectPage::read(&page).unwrap();
        assert_eq!((page.count, page.limit), (count, limit));
    }
}

#[test]
fn the_identity_of_an_entry_lasts_whatever_becomes_of_the_project() {
    let unclear = |changes: Value| match entry(&foreign(&changes)).0 {
        ListEntry::Unclear(unclear) => unclear,
        ListEntry::Project(project) => panic!("{project:?}"),
    };
    let fresh = json!({"ref": null, "name": null, "inserted_at": null, "status": "COMING_UP"});
    let mut later = fresh.clone();
    for (name, value) in [
        ("status", json!("ACTIVE_HEALTHY")),
        ("name", json!("renamed")),
        ("databases", json!([{"identifier": "q"}])),
        ("updated_at", json!("2026-11-28T00:00:00Z")),
    ] {
        later[name] = value;
    }
    let (fresh, later) = (unclear(fresh), unclear(later));
    assert_eq!(fresh.identity, later.identity);
    assert_ne!(fresh.key, later.key);
    assert_eq!(fresh.identity.len(), 12);
    for other in [
        json!({"ref": null, "name": null, "inserted_at": null, "region": "eu-west-3"}),
        json!({"ref": null, "name": null}),
    ] {
        assert_ne!(unclear(other).identity, fresh.identity);
    }
    let named = unclear(json!({"name": null}));
    assert_eq!(
        (named.identity, named.key),
        (named.reference.clone().unwrap(), named.reference.unwrap())
    );
}

#[test]
fn entries_without_a_reference_are_counted_and_branches_are_none() {
    let entries = [
        json!({}),
        json!({}),
        json!({"ref": null, "name": null, "is_branch": true}),
        foreign(&json!({})),
        foreign(&json!({})),
        foreign(&json!({"ref": "qqqqqqqqqqqqqqqqqqqa", "name": null})),
        foreign(&json!({"ref": "qqqqqqqqqqqqqqqqqqqa", "name": null})),
    ];
    let mut listed = ProjectListing::default();
    listed.extend(entries.iter().map(|value| entry(value).0), &mut HashSet::new());
    assert_eq!((listed.projects.len(), listed.unclear.len()), (1, 3), "{listed:?}");
}
