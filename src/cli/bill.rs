//! `orchestra-operator bill`: what everything costs, from the cluster alone.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::{Client, ResourceExt};
use rust_decimal::Decimal;
use serde::Serialize;

use super::output::{self, Cell, Output};
use super::{all, month};
use crate::api::condition::{ConditionType, Reason};
use crate::api::{Cost, OrchestraDatabase};
use crate::class::orphan::is_billed;
use crate::controller::conditions::find;
use crate::money;

/// What the rows of a bill are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// Each database with its tenant.
    #[default]
    Tenant,
    /// All databases of a class.
    Class,
    /// All databases of the tenants of a namespace.
    Namespace,
}

/// Flags of `orchestra-operator bill`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// What the rows are.
    #[arg(long, value_enum, default_value_t)]
    pub by: By,
    /// Only databases of this class.
    #[arg(long)]
    pub class: Option<String>,
    /// Only databases of the tenants of this namespace.
    #[arg(short, long)]
    pub namespace: Option<String>,
    /// How it is printed.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

/// A database that is billed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// Namespace of the tenant.
    namespace: Option<String>,
    /// Name of the tenant.
    name: Option<String>,
    class: Option<String>,
    database: String,
    project: Option<String>,
    region: Option<String>,
    state: String,
    #[serde(flatten)]
    amounts: Amounts,
}

/// All databases of a class or a namespace, in one currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    name: Option<String>,
    databases: usize,
    unpriced: usize,
    #[serde(flatten)]
    amounts: Amounts,
}

/// Amounts as decimal strings; absent while no price is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Amounts {
    currency: Option<String>,
    monthly: Option<String>,
    month_to_date: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Rows {
    Tenants(Vec<Row>),
    Groups(Vec<Group>),
}

/// The JSON document.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Bill {
    at: Timestamp,
    by: By,
    rows: Rows,
    totals: Vec<Group>,
    unpriced: usize,
}

/// Reads the cluster and gives the bill as it is printed.
///
/// # Errors
/// When the cluster cannot be read.
pub async fn run(client: &Client, arguments: &Arguments) -> anyhow::Result<String> {
    let databases: Vec<OrchestraDatabase> = all(client).await?;
    print(&databases, arguments, Timestamp::now())
}

fn print(databases: &[OrchestraDatabase], arguments: &Arguments, now: Timestamp) -> anyhow::Result<String> {
    let mut rows: Vec<Row> = databases.iter().filter_map(|database| row(database, now)).collect();
    rows.retain(|row| {
        let class = arguments.class.is_none() || row.class == arguments.class;
        class && (arguments.namespace.is_none() || row.namespace == arguments.namespace)
    });
    rows.sort_by(|a, b| (&a.namespace, &a.name, &a.database).cmp(&(&b.namespace, &b.name, &b.database)));
    let totals = groups(&rows, |_| None);
    let unpriced = rows.iter().filter(|row| row.amounts.monthly.is_none()).count();
    let groups = match arguments.by {
        By::Tenant => None,
        By::Class => Some(groups(&rows, |row| row.class.clone())),
        By::Namespace => Some(groups(&rows, |row| row.namespace.clone())),
    };
    let (header, cells) = match &groups {
        None => (TENANT.as_slice(), rows.iter().map(cells_of_row).collect()),
        Some(groups) => (GROUP.as_slice(), groups.iter().map(cells_of_group).collect::<Vec<_>>()),
    };
    match arguments.output {
        Output::Csv => output::csv(header, cells),
        Output::Json => Ok(serde_json::to_string_pretty(&Bill {
            at: now,
            by: arguments.by,
            rows: groups.map_or(Rows::Tenants(rows), Rows::Groups),
            totals,
            unpriced,
        })?),
        Output::Table if cells.is_empty() => Ok("none: no project is billed".into()),
        Output::Table => {
            let shown = output::table(header, cells, &["databases", "unpriced", "monthly", "month_to_date"]);
            Ok(format!("{shown}\n\n{}", summary(&totals, unpriced)))
        }
    }
}

const TENANT: [&str; 10] = [
    "namespace",
    "name",
    "class",
    "database",
    "project",
    "region",
    "state",
    "currency",
    "monthly",
    "month_to_date",
];
const GROUP: [&str; 6] = ["name", "databases", "unpriced", "currency", "monthly", "month_to_date"];

fn cells_of_row(row: &Row) -> Vec<Cell> {
    let first = [&row.namespace, &row.name, &row.class].map(Clone::clone);
    let then = [
        Some(row.database.clone()),
        row.project.clone(),
        row.region.clone(),
        Some(row.state.clone()),
    ];
    first.into_iter().chain(then).chain(cells_of(&row.amounts)).collect()
}

fn cells_of_group(group: &Group) -> Vec<Cell> {
    let first = [
        group.name.clone(),
        Some(group.databases.to_string()),
        Some(group.unpriced.to_string()),
    ];
    first.into_iter().chain(cells_of(&group.amounts)).collect()
}

fn cells_of(amounts: &Amounts) -> [Cell; 3] {
    [&amounts.currency, &amounts.monthly, &amounts.month_to_date].map(Clone::clone)
}

/// A line for each currency: sums of different currencies mean nothing.
fn summary(totals: &[Group], unpriced: usize) -> String {
    let mut lines: Vec<String> = totals
        .iter()
        .filter_map(|total| {
            let Amounts {
                currency: Some(currency),
                monthly: Some(monthly),
                month_to_date,
            } = &total.amounts
            else {
                return None;
            };
            let to_date = month_to_date.as_deref().unwrap_or("-");
            let priced = total.databases - total.unpriced;
            Some(format!(
                "total: {monthly} {currency} a month projected, {to_date} {currency} this month to date, for {priced} \
                 databases"
            ))
        })
        .collect();
    if unpriced > 0 {
        lines.push(format!("without a known price, and not in the total: {unpriced}"));
    }
    lines.join("\n")
}

/// A database that has, or may have, a project.
fn row(database: &OrchestraDatabase, now: Timestamp) -> Option<Row> {
    let wanted = database.spec.supabase.as_ref().filter(|_| is_billed(database))?;
    let status = database.status.as_ref()?;
    let claim = database.spec.claim_ref.as_ref();
    let since = status
        .create_issued_at
        .as_ref()
        .or(database.metadata.creation_timestamp.as_ref());
    let state = state(database);
    // When a lost project ended, the cluster does not know.
    let cost = status.cost.as_ref().filter(|_| state != LOST);
    Some(Row {
        namespace: claim.map(|claim| claim.namespace.clone()),
        name: claim.map(|claim| claim.name.clone()),
        class: database.spec.class_name.clone(),
        database: database.name_any(),
        project: status.project.as_ref().map(|project| project.reference.clone()),
        region: Some(
            status
                .project
                .as_ref()
                .map_or_else(|| wanted.region.clone(), |project| project.region.clone()),
        ),
        state,
        amounts: amounts(cost, since.map_or(now, |at| at.0), now),
    })
}

const LOST: &str = "Lost";

fn state(database: &OrchestraDatabase) -> String {
    let status = database.status.as_ref();
    let conditions = status.map(|status| status.conditions.as_slice()).unwrap_or_default();
    let lost = find(conditions, ConditionType::Stalled).is_some_and(|is| is.reason == Reason::DatabaseLost.as_str());
    if lost {
        return LOST.into();
    }
    if database.metadata.deletion_timestamp.is_some() {
        return "Deleting".into();
    }
    if database.spec.released_at.is_some() {
        return "Released".into();
    }
    status
        .and_then(|status| status.phase.clone())
        .unwrap_or_else(|| "Pending".into())
}

/// Rounded to cents in each row, so that rows add up to what is shown.
fn amounts(cost: Option<&Cost>, since: Timestamp, now: Timestamp) -> Amounts {
    let read = |cost: &Cost| Some((money::parse(&cost.monthly)?, money::parse(&cost.hourly)?));
    let Some((cost, (monthly, hourly))) = cost.and_then(|cost| Some((cost, read(cost)?))) else {
        return Amounts::default();
    };
    Amounts {
        currency: Some(cost.currency.clone()),
        monthly: Some(money::text(monthly)),
        month_to_date: Some(money::text(month::to_date(hourly, since, now))),
    }
}

#[derive(Default)]
struct Sums {
    count: usize,
    monthly: Decimal,
    to_date: Decimal,
}

/// Sums by a name and by currency. What has no price is counted in a group of its own only where
/// nothing of that name has one.
fn groups(rows: &[Row], name: impl Fn(&Row) -> Option<String>) -> Vec<Group> {
    let mut sums: BTreeMap<(Option<String>, Option<String>), Sums> = BTreeMap::new();
    let amount = |text: &Option<String>| text.as_deref().and_then(money::parse).unwrap_or_default();
    for row in rows {
        let key = (name(row), row.amounts.currency.clone());
        let sum = sums.entry(key).or_default();
        sum.count += 1;
        sum.monthly = sum.monthly.saturating_add(amount(&row.amounts.monthly));
        sum.to_date = sum.to_date.saturating_add(amount(&row.amounts.month_to_date));
    }
    let mut groups: Vec<Group> = Vec::new();
    // Of one name, None sorts before every currency.
    let mut unpriced = BTreeMap::new();
    for (
        (name, currency),
        Sums {
            count,
            monthly,
            to_date,
        },
    ) in sums
    {
        let Some(currency) = currency else {
            unpriced.insert(name, count);
            continue;
        };
        let without = unpriced.remove(&name).unwrap_or_default();
        groups.push(Group {
            name,
            databases: count + without,
            unpriced: without,
            amounts: Amounts {
                currency: Some(currency),
                monthly: Some(money::text(monthly)),
                month_to_date: Some(money::text(to_date)),
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
mod tests;
