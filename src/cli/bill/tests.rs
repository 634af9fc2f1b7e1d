#![allow(clippy::unwrap_used)]
use super::*;
use crate::api::{Orchestra, OrchestraDatabase};
use crate::views::bill::tests::{backed_up, several};

fn sources<'a>(databases: &'a [OrchestraDatabase], orchestras: &'a [Orchestra]) -> BillSources<'a> {
    BillSources {
        databases,
        orchestras,
        ledger: None,
    }
}

fn bill(by: ByFlag, output: Output) -> String {
    let query = Query {
        by: by.into(),
        ..Query::default()
    };
    let bill = bill::bill(
        sources(&several(), &[]),
        &query,
        "2026-11-23T08:00:00Z".parse().unwrap(),
    );
    render(&bill, output).unwrap()
}

#[test]
fn a_bill_by_tenant_shows_everything_and_sums_each_currency() {
    let shown = bill(ByFlag::Tenant, Output::Table);
    let lines: Vec<String> = shown
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        lines,
        [
            "NAMESPACE NAME CLASS DATABASE PROJECT REGION STATE CURRENCY MONTHLY MONTH TO DATE MONTH END BACKUPS",
            "others big large orchdb-big refbig eu-west-1 Bound USD 110.74 81.31 109.22 -",
            "tenants euro large orchdb-euro refeuro eu-west-1 Bound EUR 9.81 7.20 9.68 -",
            "tenants kept standard orchdb-kept refkept eu-west-1 Released USD 9.81 0.12 2.59 -",
            "tenants new standard orchdb-new refnew eu-west-1 Bound - - - - -",
            "tenants one standard orchdb-one refone eu-west-1 Bound USD 9.81 7.20 9.68 -",
            "",
            "total: 9.81 EUR a month projected, 7.20 EUR this month to date and 9.68 at its end, for 1 databases",
            "total: 130.36 USD a month projected, 88.63 USD this month to date and 121.49 at its end, for 3 databases",
            "without a known price, and not in the total: 1",
        ]
    );
}

#[test]
fn groups_count_what_has_no_price() {
    assert_eq!(
        bill(ByFlag::Class, Output::Csv),
        "name,databases,unpriced,currency,monthly,month_to_date,month_end,backups\n\
         large,1,0,EUR,9.81,7.20,9.68,\n\
         large,1,0,USD,110.74,81.31,109.22,\n\
         standard,3,1,USD,19.62,7.32,12.27,"
    );
    assert_eq!(
        bill(ByFlag::Namespace, Output::Csv),
        "name,databases,unpriced,currency,monthly,month_to_date,month_end,backups\n\
         others,1,0,USD,110.74,81.31,109.22,\n\
         tenants,2,1,EUR,9.81,7.20,9.68,\n\
         tenants,2,0,USD,19.62,7.32,12.27,"
    );
}

#[test]
fn a_total_tells_what_backups_are_estimated_to_cost() {
    let orchestras = [backed_up("one", "orchdb-one", "2.79")];
    let now = "2026-11-23T08:00:00Z".parse().unwrap();
    let bill = bill::bill(sources(&several(), &orchestras), &Query::default(), now);
    let shown = render(&bill, Output::Table).unwrap();
    assert!(
        shown.contains("for 3 databases; backups by schedule: an estimated 2.79 USD a month more"),
        "{shown}"
    );
}

#[test]
fn the_total_of_a_month_that_is_over_is_what_it_has_cost() {
    let record = serde_json::json!({
        "database": "orchdb-one", "hours": 720, "currency": "USD", "amount": "9.68", "until": "2026-12-01T00:00:00Z",
    });
    let ledger = LedgerMonth {
        records: [("one".to_owned(), serde_json::from_value(record).unwrap())].into(),
        closed: true,
    };
    let query = Query {
        month: "2026-11".parse().ok(),
        ..Query::default()
    };
    let sources = BillSources {
        ledger: Some(&ledger),
        ..sources(&[], &[])
    };
    let bill = bill::bill(sources, &query, "2026-12-23T08:00:00Z".parse().unwrap());
    let shown = render(&bill, Output::Table).unwrap();
    assert!(
        shown.ends_with("total of 2026-11: 9.68 USD, for 1 databases"),
        "{shown}"
    );
}
