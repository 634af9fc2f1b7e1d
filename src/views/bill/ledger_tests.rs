#![allow(clippy::unwrap_used)]
use serde_json::{Value, json};

use super::tests::{several, with};
use super::*;
use crate::class::ledger::LedgerRecord;

/// The record of a database in November, by its UID.
fn record(uid: &str, more: &Value) -> (String, LedgerRecord) {
    let mut record = json!({
        "namespace": "tenants", "name": uid, "class": "standard", "database": format!("orchdb-{uid}"), "project": "refgone",
        "account": "acme-org", "region": "eu-west-1", "hours": 100, "until": "2026-11-05T04:00:00Z",
    });
    record
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    (uid.to_owned(), serde_json::from_value(record).unwrap())
}

#[test]
fn what_has_left_the_bill_this_month_still_costs_what_it_has_cost() {
    let mut leaving = several().remove(0);
    leaving.metadata.uid = Some("leaving".into());
    let priced = json!({"currency": "USD", "amount": "1.34"});
    let ledger = LedgerMonth {
        records: [
            record("leaving", &priced),
            record("gone", &priced),
            record("free", &json!({})),
        ]
        .into(),
        closed: false,
    };
    let whole = serde_json::to_value(with(&[leaving], &[], Some(&ledger))).unwrap();
    assert_eq!(whole["month"], "2026-11");
    let rows: Vec<_> = whole["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            json!([
                row["name"],
                row["state"],
                row["monthly"],
                row["monthToDate"],
                row["monthEnd"]
            ])
        })
        .collect();
    let expected = [
        json!(["free", "Gone", null, null, null]),
        json!(["gone", "Gone", null, "1.34", "1.34"]),
        json!(["one", "Bound", "9.81", "7.20", "9.68"]),
    ];
    assert_eq!(rows, expected, "what is recorded and still there is billed once");
    let total = &whole["totals"][0];
    assert_eq!((&total["databases"], &total["unpriced"]), (&json!(3), &json!(1)));
    assert_eq!(
        (&total["monthly"], &total["monthToDate"]),
        (&json!("9.81"), &json!("8.54"))
    );
}

#[test]
fn a_month_that_is_over_is_billed_from_the_ledger() {
    let ledger = LedgerMonth {
        records: [record("one", &json!({"currency": "USD", "amount": "9.68"}))].into(),
        closed: true,
    };
    let sources = BillSources {
        databases: &[],
        orchestras: &[],
        ledger: Some(&ledger),
    };
    let query = Query {
        month: "2026-11".parse().ok(),
        ..Query::default()
    };
    let bill = bill(sources, &query, "2027-02-03T08:00:00Z".parse().unwrap());
    assert!(bill.is_of_past() && bill.unpriced == 0);
    let charge = focus::charges(&bill).next().unwrap();
    let of = |column: &str| {
        let place = focus::COLUMNS.iter().position(|name| *name == column).unwrap();
        charge[place].clone().unwrap()
    };
    for (column, value) in [
        ("BilledCost", "9.68"),
        ("BillingPeriodStart", "2026-11-01T00:00:00Z"),
        ("BillingPeriodEnd", "2026-12-01T00:00:00Z"),
        ("ChargePeriodEnd", "2026-12-01T00:00:00Z"),
        ("PricingQuantity", "100"),
        ("x_State", "Closed"),
    ] {
        assert_eq!(of(column), value, "{column}");
    }
}
