//! The bill: what each hosted database costs, from the status of each OrchestraDatabase, and what its backups by schedule are
//! estimated to cost, from the status of each Orchestra. What has left the bill, and months that are over, are in the ledger.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::Serialize;

use crate::api::{Orchestra, OrchestraDatabase};
use crate::class::ledger::LedgerMonth;
use crate::money;
use crate::money::charged::Month;

pub mod focus;
mod lines;
mod row;

pub use lines::Lines;
pub use row::{Amounts, Row};

/// What one row of a bill represents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// One database, with its tenant.
    #[default]
    Tenant,
    /// All databases of a class.
    Class,
    /// All databases of the tenants in a namespace.
    Namespace,
    /// All databases of the tenants with a value of a label.
    Label,
}

/// Which databases a bill covers, and how it groups them.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// What one row represents.
    pub by: By,
    /// The label of the Orchestras by whose values the databases are grouped, for [`By::Label`].
    pub label: Option<String>,
    /// Only databases of this class.
    pub class: Option<String>,
    /// Only databases of tenants in this namespace.
    pub namespace: Option<String>,
    /// A month that is over; none for the current one.
    pub month: Option<Month>,
}

/// The databases of one class, namespace or value of a label in one currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    /// Name of the class or namespace, or value of the label; absent in a total, and for what has none.
    pub name: Option<String>,
    /// Number of databases, including those without a known price.
    pub databases: usize,
    /// Number of databases without a known price.
    pub unpriced: usize,
    /// Sum of the known prices.
    #[serde(flatten)]
    pub amounts: Amounts,
}

/// The rows of a bill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum BillRows {
    /// One for each database.
    Tenants(Vec<Row>),
    /// One for each class, namespace or value of a label, and currency.
    Groups(Vec<Group>),
}

impl BillRows {
    /// Whether nothing is billed.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Tenants(rows) => rows.is_empty(),
            Self::Groups(groups) => groups.is_empty(),
        }
    }
}

/// What is billed at a point in time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Bill {
    /// When the bill was computed.
    pub at: Timestamp,
    /// The calendar month in UTC that is billed, such as `2026-11`.
    pub month: Month,
    /// What one row represents.
    pub by: By,
    /// The rows, sorted by name.
    pub rows: BillRows,
    /// One sum for each currency, because amounts in different currencies cannot be added.
    pub totals: Vec<Group>,
    /// Number of databases without a known price.
    pub unpriced: usize,
}

impl Bill {
    /// Whether its month is over.
    pub fn is_of_past(&self) -> bool {
        self.month < Month::of(self.at)
    }
}

/// What a bill is computed from.
#[derive(Clone, Copy, Debug)]
pub struct BillSources<'a> {
    /// The databases that exist.
    pub databases: &'a [OrchestraDatabase],
    /// Their tenants, for the backups and the labels.
    pub orchestras: &'a [Orchestra],
    /// The ledger of the month, if there is one.
    pub ledger: Option<&'a LedgerMonth>,
}

/// Computes the bill.
pub fn bill(sources: BillSources<'_>, query: &Query, now: Timestamp) -> Bill {
    let mut lines = Lines::with_label(now, query.label.clone());
    let BillSources {
        databases,
        orchestras,
        ledger,
    } = sources;
    for database in databases {
        lines.add_database(database);
    }
    for orchestra in orchestras {
        lines.add_orchestra(orchestra);
    }
    if let Some(ledger) = ledger {
        lines.add_ledger(ledger);
    }
    of_rows(&lines.rows(), query, now)
}

/// The bill of the rows that a query asks for, as they were at this time.
pub fn of_rows(rows: &[Row], query: &Query, at: Timestamp) -> Bill {
    let is_asked = |row: &&Row| {
        let class = query.class.is_none() || row.class == query.class;
        class && (query.namespace.is_none() || row.namespace == query.namespace)
    };
    let rows: Vec<_> = rows.iter().filter(is_asked).cloned().collect();
    Bill {
        at,
        month: query.month.unwrap_or_else(|| Month::of(at)),
        by: query.by,
        totals: groups(&rows, |_| None),
        unpriced: rows.iter().filter(|row| row.is_unpriced()).count(),
        rows: match query.by {
            By::Class => BillRows::Groups(groups(&rows, |row| row.class.clone())),
            By::Namespace => BillRows::Groups(groups(&rows, |row| row.namespace.clone())),
            By::Label => BillRows::Groups(groups(&rows, |row| row.label.clone())),
            By::Tenant => BillRows::Tenants(rows),
        },
    }
}

#[derive(Default)]
struct Sums {
    databases: usize,
    unpriced: usize,
    monthly: Decimal,
    to_date: Decimal,
    month_end: Decimal,
    /// A database with a price, of which nobody knows since when it costs that.
    is_to_date_unknown: bool,
    backups: Option<Decimal>,
}

impl Sums {
    fn add(&mut self, row: &Row) {
        let amount = |text: &Option<String>| text.as_deref().and_then(money::parse);
        self.databases += usize::from(row.is_hosted);
        self.unpriced += usize::from(row.is_unpriced());
        let (monthly, to_date) = (amount(&row.amounts.monthly), amount(&row.amounts.month_to_date));
        self.is_to_date_unknown |= monthly.is_some() && to_date.is_none();
        self.monthly = self.monthly.saturating_add(monthly.unwrap_or_default());
        self.to_date = self.to_date.saturating_add(to_date.unwrap_or_default());
        let month_end = amount(&row.amounts.month_end);
        self.month_end = self.month_end.saturating_add(month_end.unwrap_or_default());
        if let Some(backups) = amount(&row.amounts.backups) {
            self.backups = Some(self.backups.unwrap_or_default().saturating_add(backups));
        }
    }
}

/// Sums of the rows by name and currency. Databases without a price are counted in the first group of
/// their name, and form a group of their own only when the name has no priced database.
fn groups(rows: &[Row], name: impl Fn(&Row) -> Option<String>) -> Vec<Group> {
    let mut sums: BTreeMap<(Option<String>, Option<String>), Sums> = BTreeMap::new();
    for row in rows {
        let key = (name(row), row.amounts.currency.clone());
        sums.entry(key).or_default().add(row);
    }
    let mut groups: Vec<Group> = Vec::new();
    // A missing currency sorts before every currency, so the unpriced count of a name comes first.
    let mut unpriced = BTreeMap::new();
    for ((name, currency), sum) in sums {
        let Some(currency) = currency else {
            unpriced.insert(name, sum.unpriced);
            continue;
        };
        let without = unpriced.remove(&name).unwrap_or_default();
        groups.push(Group {
            name,
            databases: sum.databases + without,
            unpriced: sum.unpriced + without,
            amounts: Amounts {
                currency: Some(currency),
                monthly: Some(money::text(sum.monthly)),
                month_to_date: (!sum.is_to_date_unknown).then(|| money::text(sum.to_date)),
                month_end: (!sum.is_to_date_unknown).then(|| money::text(sum.month_end)),
                backups: sum.backups.map(money::text),
            },
        });
    }
    groups.extend(unpriced.into_iter().map(|(name, count)| Group {
        name,
        databases: count,
        unpriced: count,
        amounts: Amounts::default(),
    }));
    groups.sort_by(|a, b| (&a.name, &a.amounts.currency).cmp(&(&b.name, &b.amounts.currency)));
    groups
}

#[cfg(test)]
mod ledger_tests;
#[cfg(test)]
pub(crate) mod tests;
