//! The bill: what each hosted database costs, from the status of each OrchestraDatabase, and what its backups by schedule are
//! estimated to cost, from the status of each Orchestra.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::ResourceExt;
use rust_decimal::Decimal;
use serde::Serialize;

use crate::api::{BackupEstimate, Cost, DeletionPolicy, Orchestra, OrchestraDatabase};
use crate::class::orphan::is_billed;
use crate::money;

mod month;

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
}

/// Which databases a bill covers, and how it groups them.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// What one row represents.
    pub by: By,
    /// Only databases of this class.
    pub class: Option<String>,
    /// Only databases of tenants in this namespace.
    pub namespace: Option<String>,
}

/// One billed database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// Namespace of the tenant.
    pub namespace: Option<String>,
    /// Name of the tenant.
    pub name: Option<String>,
    /// Class of the database.
    pub class: Option<String>,
    /// Name of the OrchestraDatabase.
    pub database: String,
    /// Whether it is a hosted project: of any other, only the backups have a price.
    #[serde(skip)]
    pub is_hosted: bool,
    /// The provider's reference of the project.
    pub project: Option<String>,
    /// Region of the project.
    pub region: Option<String>,
    /// Phase of the database, or `Lost`, `Deleting` or `Released`.
    pub state: String,
    /// What it costs.
    #[serde(flatten)]
    pub amounts: Amounts,
}

/// The databases of one class or namespace in one currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    /// Name of the class or namespace; absent in a total.
    pub name: Option<String>,
    /// Number of databases, including those without a known price.
    pub databases: usize,
    /// Number of databases without a known price.
    pub unpriced: usize,
    /// Sum of the known prices.
    #[serde(flatten)]
    pub amounts: Amounts,
}

/// Amounts as decimal strings, absent when no price is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Amounts {
    /// Currency of the amounts.
    pub currency: Option<String>,
    /// Cost of a month of 730 hours.
    pub monthly: Option<String>,
    /// Cost of the hours started in the current calendar month.
    pub month_to_date: Option<String>,
    /// Estimated cost of a month of the backups by schedule, which is not in the other amounts.
    pub backups: Option<String>,
}

/// The rows of a bill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum BillRows {
    /// One for each database.
    Tenants(Vec<Row>),
    /// One for each class or namespace and currency.
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
    /// What one row represents.
    pub by: By,
    /// The rows, sorted by name.
    pub rows: BillRows,
    /// One sum for each currency, because amounts in different currencies cannot be added.
    pub totals: Vec<Group>,
    /// Number of databases without a known price.
    pub unpriced: usize,
}

/// Computes the bill of these databases, and of the backups of these Orchestras.
pub fn bill(databases: &[OrchestraDatabase], orchestras: &[Orchestra], query: &Query, now: Timestamp) -> Bill {
    let mut rows: Vec<Row> = databases.iter().filter_map(|database| row(database, now)).collect();
    for orchestra in orchestras {
        add_backups(&mut rows, orchestra);
    }
    rows.retain(|row| {
        let class = query.class.is_none() || row.class == query.class;
        class && (query.namespace.is_none() || row.namespace == query.namespace)
    });
    rows.sort_by(|a, b| (&a.namespace, &a.name, &a.database).cmp(&(&b.namespace, &b.name, &b.database)));
    Bill {
        at: now,
        by: query.by,
        totals: groups(&rows, |_| None),
        unpriced: rows.iter().filter(|row| row.is_unpriced()).count(),
        rows: match query.by {
            By::Class => BillRows::Groups(groups(&rows, |row| row.class.clone())),
            By::Namespace => BillRows::Groups(groups(&rows, |row| row.namespace.clone())),
            By::Tenant => BillRows::Tenants(rows),
        },
    }
}

impl Row {
    fn is_unpriced(&self) -> bool {
        self.is_hosted && self.amounts.monthly.is_none()
    }
}

/// Adds what the backups of an Orchestra are estimated to cost: to the row of its project, or as a row of its own.
fn add_backups(rows: &mut Vec<Row>, orchestra: &Orchestra) {
    let Some(status) = &orchestra.status else { return };
    let estimate = status.backup.as_ref().and_then(|backup| backup.estimate.as_ref());
    let Some(BackupEstimate {
        currency: Some(currency),
        monthly: Some(monthly),
        ..
    }) = estimate
    else {
        return;
    };
    let database = status.database_name.clone().unwrap_or_default();
    let is_its_own = |row: &&mut Row| {
        let of = (row.namespace.as_ref(), row.name.as_ref());
        let is_currency = row.amounts.currency.as_ref().is_none_or(|its| its == currency);
        row.database == database
            && of == (orchestra.metadata.namespace.as_ref(), orchestra.metadata.name.as_ref())
            && is_currency
    };
    let backups = Some(monthly.clone());
    if let Some(row) = rows.iter_mut().find(is_its_own) {
        row.amounts.currency.get_or_insert_with(|| currency.clone());
        row.amounts.backups = backups;
        return;
    }
    rows.push(Row {
        namespace: orchestra.namespace(),
        name: Some(orchestra.name_any()),
        class: orchestra.decided_class().map(str::to_owned),
        database,
        is_hosted: false,
        project: None,
        region: None,
        state: status.phase.clone().unwrap_or_else(|| "Pending".into()),
        amounts: Amounts {
            currency: Some(currency.clone()),
            backups,
            ..Amounts::default()
        },
    });
}

/// The row of a database; none when it certainly has no project.
fn row(database: &OrchestraDatabase, now: Timestamp) -> Option<Row> {
    let wanted = database.spec.supabase.as_ref().filter(|_| is_billed(database))?;
    let status = database.status.as_ref()?;
    let claim = database.spec.claim_ref.as_ref();
    let since = status
        .create_issued_at
        .as_ref()
        .or(database.metadata.creation_timestamp.as_ref());
    let state = state(database);
    // The cluster does not know when a lost project ended, so no cost is computed for it.
    let cost = status.cost.as_ref().filter(|_| state != LOST);
    let project = status.project.as_ref();
    let region = project.map_or(&wanted.region, |project| &project.region);
    Some(Row {
        namespace: claim.map(|claim| claim.namespace.clone()),
        name: claim.map(|claim| claim.name.clone()),
        class: database.spec.class_name.clone(),
        database: database.name_any(),
        is_hosted: true,
        project: project.map(|project| project.reference.clone()),
        region: Some(region.clone()),
        state,
        amounts: amounts(cost, since.map_or(now, |at| at.0), now),
    })
}

const LOST: &str = "Lost";

fn state(database: &OrchestraDatabase) -> String {
    let status = database.status.as_ref();
    if database.is_lost() {
        return LOST.into();
    }
    if database.metadata.deletion_timestamp.is_some() {
        return "Deleting".into();
    }
    if database.spec.released_at.is_some() {
        let is_reclaimed =
            database.spec.reclaim_after.is_some() && database.spec.reclaim_policy == DeletionPolicy::Delete;
        return if is_reclaimed { "Reclaiming" } else { "Released" }.into();
    }
    status
        .and_then(|status| status.phase.clone())
        .unwrap_or_else(|| "Pending".into())
}

/// Amounts of one row. They are rounded to cents here, so that the rows add up to the printed totals.
fn amounts(cost: Option<&Cost>, since: Timestamp, now: Timestamp) -> Amounts {
    let read = |cost: &Cost| Some((money::parse(&cost.monthly)?, money::parse(&cost.hourly)?));
    let Some((cost, (monthly, hourly))) = cost.and_then(|cost| Some((cost, read(cost)?))) else {
        return Amounts::default();
    };
    Amounts {
        currency: Some(cost.currency.clone()),
        monthly: Some(money::text(monthly)),
        month_to_date: Some(money::text(month::to_date(hourly, since, now))),
        backups: None,
    }
}

#[derive(Default)]
struct Sums {
    databases: usize,
    unpriced: usize,
    monthly: Decimal,
    to_date: Decimal,
    backups: Option<Decimal>,
}

impl Sums {
    fn add(&mut self, row: &Row) {
        let amount = |text: &Option<String>| text.as_deref().and_then(money::parse);
        self.databases += usize::from(row.is_hosted);
        self.unpriced += usize::from(row.is_unpriced());
        let (monthly, to_date) = (amount(&row.amounts.monthly), amount(&row.amounts.month_to_date));
        self.monthly = self.monthly.saturating_add(monthly.unwrap_or_default());
        self.to_date = self.to_date.saturating_add(to_date.unwrap_or_default());
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
                month_to_date: Some(money::text(sum.to_date)),
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
pub(crate) mod tests;
