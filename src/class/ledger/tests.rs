#![allow(clippy::unwrap_used)]
use serde_json::Value;

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn month(name: &str) -> Month {
    name.parse().unwrap()
}

/// A database with a project that was requested in the last half hour of October, and more in its status.
fn database(more: &Value) -> OrchestraDatabase {
    let mut status = json!({
        "createIssuedAt": "2026-10-31T23:30:00Z", "organization": "acme-org",
        "project": {"ref": "refone", "region": "eu-west-1"},
        "cost": {"currency": "USD", "monthly": "9.81", "hourly": "0.01344"},
    });
    status
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    serde_json::from_value(json!({
        "apiVersion": "stagesub.io/v1alpha1", "kind": "OrchestraDatabase",
        "metadata": {"name": "orchdb-one", "uid": "uid-one"},
        "spec": {
            "className": "standard", "claimRef": {"namespace": "tenants", "name": "one", "uid": "one"},
            "supabase": {"name": "one", "region": "eu-central-1"},
        },
        "status": status,
    }))
    .unwrap()
}

#[test]
fn a_database_is_recorded_with_what_it_cost_in_the_month() {
    let record = record(&database(&json!({})), month("2026-11"), at("2026-11-03T11:30:00Z")).unwrap();
    assert_eq!(
        serde_json::to_value(&record).unwrap(),
        json!({
            "namespace": "tenants", "name": "one", "class": "standard", "database": "orchdb-one", "project": "refone",
            "account": "acme-org", "region": "eu-west-1", "currency": "USD", "hours": 60, "amount": "0.81",
            "until": "2026-11-03T11:30:00Z",
        })
    );
    let read: LedgerRecord = serde_json::from_str(&json!(record).to_string()).unwrap();
    assert_eq!(read, record);
}

#[test]
fn a_month_that_is_over_is_counted_to_its_end() {
    let of = |name: &str| record(&database(&json!({})), month(name), at("2026-12-03T11:30:00Z"));
    let whole = of("2026-11").unwrap();
    assert_eq!((whole.hours, whole.amount.as_deref()), (Some(720), Some("9.68")));
    assert_eq!(whole.until, at("2026-12-01T00:00:00Z"));
    assert_eq!(of("2026-10").unwrap().hours, Some(1));
    assert_eq!(of("2026-09"), None, "it did not exist");
}

#[test]
fn what_did_not_run_is_not_recorded_and_what_has_no_price_has_no_amount() {
    let now = at("2026-11-03T11:30:00Z");
    let paused = json!({"charges": {}});
    assert_eq!(record(&database(&paused), month("2026-11"), now), None);
    let never = json!({"createIssuedAt": null, "project": null});
    assert_eq!(record(&database(&never), month("2026-11"), now), None);
    let unpriced = record(&database(&json!({"cost": null})), month("2026-11"), now).unwrap();
    assert_eq!((unpriced.currency, unpriced.amount), (None, None));
    let lost = json!({"conditions": [{
        "type": "Stalled", "status": "True", "reason": "DatabaseLost", "message": "", "lastTransitionTime": "2026-11-01T00:00:00Z",
    }]});
    let lost = record(&database(&lost), month("2026-11"), now).unwrap();
    assert_eq!((lost.hours, lost.amount), (None, None));
}

#[test]
fn a_month_is_closed_a_day_after_its_end() {
    for (now, last) in [
        ("2026-11-30T23:59:59Z", "2026-10"),
        ("2026-12-01T12:00:00Z", "2026-10"),
        ("2026-12-02T00:00:00Z", "2026-11"),
        ("2027-01-02T00:00:00Z", "2026-12"),
    ] {
        assert_eq!(due(at(now)), Some(month(last)), "{now}");
    }
}
