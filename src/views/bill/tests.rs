#![allow(clippy::unwrap_used)]
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use super::*;
use crate::api::DeletionPolicy;

fn database(name: &str, of: &Value) -> OrchestraDatabase {
    let claim = json!({"namespace": of["namespace"], "name": name, "uid": name});
    let mut spec =
        json!({"className": of["class"], "claimRef": claim, "supabase": {"name": name, "region": "eu-central-1"}});
    if of["released"] == true {
        spec["releasedAt"] = json!("2026-11-20T00:00:00Z");
    }
    let mut status = json!({"phase": "Bound", "createIssuedAt": of["since"], "organization": "acme-org", "project": {"ref": format!("ref{name}"), "region": "eu-west-1"}});
    if of["hourly"].is_string() {
        let currency = of["currency"].as_str().unwrap_or("USD");
        status["cost"] = json!({"currency": currency, "monthly": of["monthly"], "hourly": of["hourly"]});
    }
    let whole = json!({
        "apiVersion": "stagesub.io/v1alpha1", "kind": "OrchestraDatabase",
        "metadata": {"name": format!("orchdb-{name}")}, "spec": spec, "status": status,
    });
    serde_json::from_value(whole).unwrap()
}

/// Databases of two classes, namespaces and currencies, with and without a price.
pub fn several() -> Vec<OrchestraDatabase> {
    let micro = |more: Value| {
        let mut of = json!({"namespace": "tenants", "class": "standard", "since": "2026-10-01T00:00:00Z", "monthly": "9.81", "hourly": "0.01344"});
        of.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        of
    };
    let mut waiting = database("waits", &micro(json!({})));
    waiting.status = None;
    vec![
        database("one", &micro(json!({}))),
        database(
            "kept",
            &micro(json!({"released": true, "since": "2026-11-22T23:30:00Z"})),
        ),
        database(
            "big",
            &micro(json!({"namespace": "others", "class": "large", "monthly": "110.74", "hourly": "0.1517"})),
        ),
        database("euro", &micro(json!({"class": "large", "currency": "EUR"}))),
        database(
            "new",
            &json!({"namespace": "tenants", "class": "standard", "since": "2026-11-23T07:00:00Z"}),
        ),
        waiting,
    ]
}

fn bill_of(databases: &[OrchestraDatabase]) -> Bill {
    with(databases, &[], None)
}

pub(super) fn with(databases: &[OrchestraDatabase], orchestras: &[Orchestra], ledger: Option<&LedgerMonth>) -> Bill {
    let sources = BillSources {
        databases,
        orchestras,
        ledger,
    };
    bill(sources, &Query::default(), "2026-11-23T08:00:00Z".parse().unwrap())
}

#[test]
fn json_has_nulls_and_decimal_strings() {
    let bill = serde_json::to_value(bill_of(&several())).unwrap();
    assert_eq!(bill["at"], "2026-11-23T08:00:00Z");
    assert_eq!((&bill["by"], &bill["unpriced"]), (&json!("tenant"), &json!(1)));
    let rows = bill["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 5, "what was never asked for is not billed");
    assert_eq!(
        rows[2],
        json!({
            "namespace": "tenants", "name": "kept", "class": "standard", "database": "orchdb-kept", "project": "refkept",
            "region": "eu-west-1", "state": "Released", "currency": "USD", "monthly": "9.81", "monthToDate": "0.12",
            "monthEnd": "2.59", "backups": null,
        })
    );
    assert_eq!(
        (&rows[3]["monthly"], &rows[3]["currency"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(bill["totals"][1]["monthly"], "130.36");
}

#[test]
fn a_lost_project_is_shown_without_a_cost() {
    let mut lost = several().remove(0);
    let stalled = json!([{"type": "Stalled", "status": "True", "reason": "DatabaseLost", "message": "", "lastTransitionTime": "2026-11-01T00:00:00Z"}]);
    lost.status.as_mut().unwrap().conditions = serde_json::from_value(stalled).unwrap();
    let BillRows::Tenants(rows) = bill_of(&[lost]).rows else {
        panic!("the rows of a bill by tenant are databases");
    };
    let row = &rows[0];
    assert_eq!((row.state.as_str(), &row.amounts), ("Lost", &Amounts::default()));
}

#[test]
fn what_was_paused_or_resized_is_billed_as_it_ran() {
    let to_date = |charges: Value| {
        let mut database = several().remove(0);
        database.status.as_mut().unwrap().charges = serde_json::from_value(charges).unwrap();
        let bill = serde_json::to_value(bill_of(&[database])).unwrap();
        let row = &bill["rows"][0];
        assert_eq!(row["monthly"], "9.81", "a month, if it runs");
        assert_eq!(bill["totals"][0]["monthToDate"], row["monthToDate"]);
        (row["monthToDate"].clone(), row["monthEnd"].clone())
    };
    let micro =
        |begin: &str, end: Value| json!({"begin": begin, "end": end, "instanceSize": "micro", "hourly": "0.01344"});
    for (charges, amount, month_end, why) in [
        (
            json!(null),
            "7.20",
            "9.68",
            "it has run since October: 536 hours of 720",
        ),
        (json!({}), "0.00", "0.00", "it was never found running"),
        (
            json!({"periods": [micro("2026-10-01T00:00:00Z", json!("2026-11-03T12:00:00Z"))]}),
            "0.81",
            "0.81",
            "60 hours, and paused since",
        ),
        (
            json!({"periods": [
                micro("2026-10-01T00:00:00Z", json!("2026-10-30T12:00:00Z")), micro("2026-11-23T00:00:00Z", Value::Null),
            ]}),
            "0.11",
            "2.58",
            "eight hours after a pause over the month's beginning",
        ),
        (
            json!({"periods": [
                {"begin": "2026-10-01T00:00:00Z", "end": "2026-11-01T10:30:00Z", "instanceSize": "large", "hourly": "0.1517"},
                micro("2026-11-01T10:30:00Z", json!("2026-11-01T12:00:00Z")),
            ]}),
            "1.70",
            "1.70",
            "eleven hours of a large and two of a micro",
        ),
        (
            json!({"months": [
                {"month": "2026-10", "hours": 700, "amount": "9.408"}, {"month": "2026-11", "hours": 100, "amount": "1.344"},
            ]}),
            "1.34",
            "1.34",
            "the sum of this month",
        ),
    ] {
        assert_eq!(to_date(charges), (json!(amount), json!(month_end)), "{why}");
    }
}

#[test]
fn what_is_to_be_destroyed_is_not_billed_until_the_months_end() {
    let month_end = |change: &dyn Fn(&mut OrchestraDatabase)| {
        let mut kept = several().remove(1);
        change(&mut kept);
        let bill = serde_json::to_value(bill_of(&[kept])).unwrap();
        (bill["rows"][0]["state"].clone(), bill["rows"][0]["monthEnd"].clone())
    };
    let time = |text: &str| Some(Time(text.parse().unwrap()));
    let reclaimed_at = |text: &'static str| {
        month_end(&|kept| {
            kept.spec.reclaim_policy = DeletionPolicy::Delete;
            kept.spec.reclaim_after = time(text);
        })
    };
    let (reclaiming, deleting) = (json!("Reclaiming"), json!("Deleting"));
    assert_eq!(
        reclaimed_at("2026-11-24T00:00:00Z"),
        (reclaiming.clone(), json!("0.34")),
        "25 hours"
    );
    assert_eq!(
        reclaimed_at("2026-12-24T00:00:00Z"),
        (reclaiming.clone(), json!("2.59"))
    );
    assert_eq!(
        reclaimed_at("2026-11-01T00:00:00Z"),
        (reclaiming, json!("0.12")),
        "it is late"
    );
    let deleted = month_end(&|kept| kept.metadata.deletion_timestamp = time("2026-11-23T07:00:00Z"));
    assert_eq!(deleted, (deleting, json!("0.12")));
}

/// An Orchestra whose schedule of backups is estimated at an amount.
pub fn backed_up(name: &str, database: &str, monthly: &str) -> Orchestra {
    let estimate = json!({
        "madeAMonth": 31, "kept": 7, "sentBytes": 1, "storedBytes": 1, "sentBytesAMonth": 31, "storedBytesInAll": 7,
        "currency": "USD", "monthly": monthly,
    });
    serde_json::from_value(json!({
        "apiVersion": "stagesub.io/v1alpha1", "kind": "Orchestra", "metadata": {"name": name, "namespace": "tenants"},
        "spec": {}, "status": {"className": "standard", "databaseName": database, "phase": "Ready", "backup": {"estimate": estimate}},
    }))
    .unwrap()
}

#[test]
fn backups_by_schedule_are_in_the_bill() {
    let orchestras = [
        backed_up("one", "orchdb-one", "2.79"),
        backed_up("pooled", "orchdb-pooled", "0.21"),
    ];
    let bill = serde_json::to_value(with(&several(), &orchestras, None)).unwrap();
    let of = |name: &str| {
        bill["rows"]
            .as_array()
            .unwrap()
            .iter()
            .find(|row| row["name"] == name)
            .unwrap()
            .clone()
    };
    assert_eq!(
        (&of("one")["monthly"], &of("one")["backups"]),
        (&json!("9.81"), &json!("2.79"))
    );
    let pooled = of("pooled");
    assert_eq!((&pooled["monthly"], &pooled["backups"]), (&Value::Null, &json!("0.21")));
    assert_eq!(
        (&bill["unpriced"], &bill["totals"][1]["databases"]),
        (&json!(1), &json!(3)),
        "a pool's has no price to lack"
    );
    assert_eq!(
        (&bill["totals"][1]["monthly"], &bill["totals"][1]["backups"]),
        (&json!("130.36"), &json!("3.00"))
    );
}

#[test]
fn tenants_are_grouped_by_a_label_of_theirs() {
    let labelled = |name: &str, centre: &str| {
        let mut orchestra = backed_up(name, &format!("orchdb-{name}"), "1.00");
        let labels = [
            ("centre".to_owned(), centre.to_owned()),
            ("other".to_owned(), "x".to_owned()),
        ];
        orchestra.metadata.labels = Some(labels.into());
        orchestra
    };
    // Without an estimate of backups, and with backups alone.
    let mut two = labelled("euro", "north");
    two.status.as_mut().unwrap().backup = None;
    let orchestras = [labelled("one", "south"), two, labelled("pooled", "south")];
    let query = Query {
        by: By::Label,
        label: Some("centre".into()),
        ..Query::default()
    };
    let at = "2026-11-23T08:00:00Z".parse().unwrap();
    let sources = BillSources {
        databases: &several(),
        orchestras: &orchestras,
        ledger: None,
    };
    let bill = serde_json::to_value(bill(sources, &query, at)).unwrap();
    assert_eq!(bill["by"], "label");
    let rows: Vec<_> = bill["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            json!([
                row["name"],
                row["databases"],
                row["currency"],
                row["monthly"],
                row["backups"]
            ])
        })
        .collect();
    let expected = [
        json!([null, 3, "USD", "120.55", null]),
        json!(["north", 1, "EUR", "9.81", null]),
        json!(["south", 1, "USD", "9.81", "2.00"]),
    ];
    assert_eq!(
        rows, expected,
        "a released database, and one whose Orchestra is not there, have no label"
    );
}

/// An Orchestra with a hosted project, as its tenant may read it.
fn hosted(name: &str, monthly: Option<&str>) -> Orchestra {
    let cost = monthly.map(|monthly| json!({"currency": "USD", "monthly": monthly, "hourly": "0.01"}));
    serde_json::from_value(json!({
        "apiVersion": "stagesub.io/v1alpha1", "kind": "Orchestra", "metadata": {"name": name, "namespace": "tenants"},
        "spec": {}, "status": {
            "className": "standard", "databaseName": format!("orchdb-{name}"), "phase": "Ready", "cost": cost,
            "project": {"ref": "abcdefghijklmnopqrst", "region": "eu-north-1"},
        },
    }))
    .unwrap()
}

#[test]
fn without_the_databases_a_tenant_has_its_price_and_no_cost_so_far() {
    let at = "2026-11-23T08:00:00Z".parse().unwrap();
    let mut lines = Lines::with_label(at, None);
    let orchestras = [
        hosted("one", Some("9.81")),
        hosted("new", None),
        backed_up("pooled", "orchdb-pooled", "0.21"),
    ];
    for orchestra in &orchestras {
        lines.add_tenant(orchestra);
    }
    let rows = lines.rows();
    let of = |by: By| serde_json::to_value(of_rows(&rows, &Query { by, ..Query::default() }, at)).unwrap();
    let bill = of(By::Tenant);
    assert_eq!(bill["unpriced"], 1);
    let names: Vec<_> = bill["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| &row["name"])
        .collect();
    assert_eq!(names, ["new", "one", "pooled"]);
    let one = &bill["rows"][1];
    assert_eq!((&one["monthly"], &one["monthToDate"]), (&json!("9.81"), &Value::Null));
    assert_eq!(one["monthEnd"], Value::Null);
    assert_eq!(one["region"], "eu-north-1");
    for sum in [&bill["totals"][0], &of(By::Class)["rows"][0]] {
        assert_eq!((&sum["monthly"], &sum["backups"]), (&json!("9.81"), &json!("0.21")));
        assert_eq!((&sum["monthToDate"], &sum["databases"]), (&Value::Null, &json!(2)));
    }
}
