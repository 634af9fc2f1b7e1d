//! The bill as charges with the columns of FOCUS 1.2, the open specification of costs and usage (focus.finops.org): those that
//! it demands, and of the others those whose values are known.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{Bill, BillRows, Row};
use crate::money::charged::Month;

/// The columns: those of the specification, and after them our own, both in the order of their names.
pub const COLUMNS: [&str; 39] = [
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargeFrequency",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ContractedCost",
    "EffectiveCost",
    "InvoiceIssuerName",
    "ListCost",
    "PricingCategory",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "RegionId",
    "RegionName",
    "ResourceId",
    "ResourceName",
    "ResourceType",
    "ServiceCategory",
    "ServiceName",
    "ServiceSubcategory",
    "SubAccountId",
    "SubAccountName",
    "Tags",
    "x_ClassName",
    "x_DatabaseName",
    "x_MonthlyBackupCost",
    "x_MonthlyCost",
    "x_State",
];

/// The name of the provider, which publishes the service and issues the invoice as well.
const PROVIDER: &str = "Supabase";

const UNIT: &str = "Hours";

/// One charge for each hosted project of a bill by tenant: its compute hours of the month to date. An unknown value is none, a
/// cost too, which the specification does not allow: of such a project only the month's price is known, or nothing.
pub fn charges(bill: &Bill) -> impl Iterator<Item = Vec<Option<String>>> {
    let rows = match &bill.rows {
        BillRows::Tenants(rows) => rows.as_slice(),
        BillRows::Groups(_) => &[],
    };
    let (month, until) = (bill.month, bill.at.min(bill.month.end()));
    rows.iter()
        .filter(|row| row.is_hosted)
        .map(move |row| charge(row, month, until))
}

/// The values of a charge, in the order of [`COLUMNS`].
fn charge(row: &Row, month: Month, until: Timestamp) -> Vec<Option<String>> {
    let is = |text: &str| Some(text.to_owned());
    let (cost, hours) = (&row.amounts.month_to_date, row.hours.map(|hours| hours.to_string()));
    vec![
        cost.clone(),
        row.account.clone(),
        None,
        row.amounts.currency.clone(),
        Some(time(month.end())),
        Some(time(month.begin())),
        is("Usage"),
        None,
        is("Compute hours of a project"),
        is("Usage-Based"),
        Some(time(until)),
        Some(time(month.begin())),
        hours.clone(),
        is(UNIT),
        cost.clone(),
        cost.clone(),
        is(PROVIDER),
        cost.clone(),
        is("Standard"),
        hours,
        is(UNIT),
        is(PROVIDER),
        is(PROVIDER),
        row.region.clone(),
        row.region.clone(),
        row.project.clone(),
        Some(tenant(row).unwrap_or_else(|| row.database.clone())),
        is("Project"),
        is("Databases"),
        is(PROVIDER),
        is("Relational Databases"),
        row.namespace.clone(),
        row.namespace.clone(),
        tags(row),
        row.class.clone(),
        Some(row.database.clone()),
        row.amounts.backups.clone(),
        row.amounts.monthly.clone(),
        is(&row.state),
    ]
}

fn time(at: Timestamp) -> String {
    at.strftime("%FT%TZ").to_string()
}

fn tenant(row: &Row) -> Option<String> {
    let (namespace, name) = row.namespace.as_ref().zip(row.name.as_ref())?;
    Some(format!("{namespace}/{name}"))
}

/// The tags, which are all ours: the class and the tenant.
fn tags(row: &Row) -> Option<String> {
    let known = [
        ("stagesub.io/class", row.class.clone()),
        ("stagesub.io/orchestra", tenant(row)),
    ];
    let known = known
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), Value::from(value?))));
    let tags: Map<_, _> = known.collect();
    (!tags.is_empty()).then(|| Value::from(tags).to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::HashMap;

    use super::*;
    use crate::views::bill::tests::{backed_up, several};
    use crate::views::bill::{BillSources, By, Query, bill};

    fn of(by: By) -> Vec<HashMap<&'static str, String>> {
        let at = "2026-11-23T08:00:00.5Z".parse().unwrap();
        let query = Query { by, ..Query::default() };
        let orchestras = [
            backed_up("one", "orchdb-one", "2.79"),
            backed_up("pooled", "orchdb-pooled", "0.21"),
        ];
        let sources = BillSources {
            databases: &several(),
            orchestras: &orchestras,
            ledger: None,
        };
        let bill = bill(sources, &query, at);
        let named = |values: Vec<Option<String>>| {
            assert_eq!(values.len(), COLUMNS.len());
            let known = COLUMNS
                .into_iter()
                .zip(values)
                .filter_map(|(name, value)| Some((name, value?)));
            known.collect()
        };
        charges(&bill).map(named).collect()
    }

    #[test]
    fn the_columns_are_in_the_order_of_their_names() {
        let own = |name: &str| name.starts_with("x_");
        assert!(COLUMNS.is_sorted_by_key(|name| (own(name), name)));
    }

    #[test]
    fn a_project_is_a_charge_of_hours() {
        let all = of(By::Tenant);
        assert_eq!(all.len(), 5, "a pool's database is no charge");
        let one = all
            .iter()
            .find(|charge| charge["ResourceName"] == "tenants/one")
            .unwrap();
        for (column, value) in [
            ("BilledCost", "7.20"),
            ("ListCost", "7.20"),
            ("EffectiveCost", "7.20"),
            ("ContractedCost", "7.20"),
            ("BillingAccountId", "acme-org"),
            ("BillingCurrency", "USD"),
            ("BillingPeriodStart", "2026-11-01T00:00:00Z"),
            ("BillingPeriodEnd", "2026-12-01T00:00:00Z"),
            ("ChargePeriodStart", "2026-11-01T00:00:00Z"),
            ("ChargePeriodEnd", "2026-11-23T08:00:00Z"),
            ("ChargeCategory", "Usage"),
            ("PricingQuantity", "536"),
            ("PricingUnit", "Hours"),
            ("RegionId", "eu-west-1"),
            ("ResourceId", "refone"),
            ("ServiceCategory", "Databases"),
            ("ServiceSubcategory", "Relational Databases"),
            ("SubAccountId", "tenants"),
            (
                "Tags",
                r#"{"stagesub.io/class":"standard","stagesub.io/orchestra":"tenants/one"}"#,
            ),
            ("x_MonthlyCost", "9.81"),
            ("x_MonthlyBackupCost", "2.79"),
        ] {
            assert_eq!(one[column], value, "{column}");
        }
        assert_eq!(one.get("ChargeClass"), None, "it corrects nothing");
        let new = all
            .iter()
            .find(|charge| charge["ResourceName"] == "tenants/new")
            .unwrap();
        assert_eq!((new.get("BilledCost"), new.get("PricingQuantity")), (None, None));
    }

    #[test]
    fn sums_are_no_charges() {
        assert!(of(By::Class).is_empty());
    }
}
