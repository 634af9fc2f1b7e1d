//! `orchestra-operator bill`: prints what the hosted databases cost.

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use kube::Client;
use kube::api::Api;

use super::cluster;
use super::output::{self, Cell, Output};
use crate::class::ledger::{self, LedgerMonth};
use crate::money::charged::Month;
use crate::views::bill::{self, Amounts, Bill, BillRows, BillSources, Group, Query, Row, focus};

/// What one row of the bill represents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ByFlag {
    /// One database, with its tenant.
    #[default]
    Tenant,
    /// All databases of a class.
    Class,
    /// All databases of the tenants in a namespace.
    Namespace,
}

impl From<ByFlag> for bill::By {
    fn from(by: ByFlag) -> Self {
        match by {
            ByFlag::Tenant => Self::Tenant,
            ByFlag::Class => Self::Class,
            ByFlag::Namespace => Self::Namespace,
        }
    }
}

/// Flags of `orchestra-operator bill`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// What one row represents.
    #[arg(long, value_enum, default_value_t)]
    pub by: ByFlag,
    /// Only databases of this class.
    #[arg(long)]
    pub class: Option<String>,
    /// Only databases of tenants in this namespace.
    #[arg(short, long)]
    pub namespace: Option<String>,
    /// One row for all databases of the Orchestras with the same value of this label, such as a cost centre.
    #[arg(long, value_name = "LABEL", conflicts_with = "by")]
    pub by_label: Option<String>,
    /// A month that is over, as the ledger has closed it: 2026-11. Omitted: the current month.
    #[arg(long, conflicts_with = "by_label")]
    pub month: Option<Month>,
    /// CSV with the columns of FOCUS 1.2: one charge for each hosted project.
    #[arg(long, conflicts_with_all = ["by", "by_label", "output"])]
    pub focus: bool,
    /// Namespace of the operator, which holds the ledger.
    #[arg(long, env = "POD_NAMESPACE", default_value = "orchestra-system")]
    pub operator_namespace: String,
    /// Output format.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

/// Reads each OrchestraDatabase and each Orchestra, or the ledger of a month that is over, and returns the bill in the wanted
/// format.
///
/// # Errors
/// When the cluster cannot be read.
pub async fn run(client: &Client, arguments: &Arguments) -> anyhow::Result<String> {
    let by = match arguments.by_label {
        Some(_) => bill::By::Label,
        None => arguments.by.into(),
    };
    let query = Query {
        by,
        label: arguments.by_label.clone(),
        class: arguments.class.clone(),
        namespace: arguments.namespace.clone(),
        month: arguments.month,
    };
    let (now, namespace) = (Timestamp::now(), arguments.operator_namespace.as_str());
    let bill = match arguments.month {
        Some(month) => of_past(client, namespace, month, &query, now).await?,
        None => of_now(client, namespace, &query, now).await?,
    };
    if arguments.focus {
        return output::csv(&focus::COLUMNS, focus::charges(&bill));
    }
    render(&bill, arguments.output)
}

/// The bill of the current month.
async fn of_now(client: &Client, namespace: &str, query: &Query, now: Timestamp) -> anyhow::Result<Bill> {
    let (databases, orchestras) = (cluster::list(client).await?, cluster::list(client).await?);
    let ledger = ledger_of(client, namespace, Month::of(now)).await?;
    let sources = BillSources {
        databases: &databases,
        orchestras: &orchestras,
        ledger: ledger.as_ref(),
    };
    Ok(bill::bill(sources, query, now))
}

/// The bill of a month that is over.
async fn of_past(
    client: &Client,
    namespace: &str,
    month: Month,
    query: &Query,
    now: Timestamp,
) -> anyhow::Result<Bill> {
    let name = month.name();
    if month >= Month::of(now) {
        bail!("{name} is not over: without --month, the bill is that of the current month, to date");
    }
    let Some(ledger) = ledger_of(client, namespace, month).await? else {
        bail!("the ledger in namespace {namespace} has nothing of {name} (--operator-namespace)");
    };
    if !ledger.closed {
        bail!("the ledger of {name} is not closed: the operator closes a month a day after its end");
    }
    let sources = BillSources {
        databases: &[],
        orchestras: &[],
        ledger: Some(&ledger),
    };
    Ok(bill::bill(sources, query, now))
}

async fn ledger_of(client: &Client, namespace: &str, month: Month) -> anyhow::Result<Option<LedgerMonth>> {
    let api = Api::namespaced(client.clone(), namespace);
    let ledger = ledger::read(&api, month).await;
    ledger.with_context(|| {
        format!(
            "cannot read the ledger, the ConfigMaps orchestra-ledger-{} of namespace {namespace} (ClusterRole orchestra-viewer grants it)",
            month.name()
        )
    })
}

fn render(bill: &Bill, output: Output) -> anyhow::Result<String> {
    let (header, cells) = match &bill.rows {
        BillRows::Tenants(rows) => (TENANT.as_slice(), rows.iter().map(cells_of_row).collect()),
        BillRows::Groups(groups) => (GROUP.as_slice(), groups.iter().map(cells_of_group).collect::<Vec<_>>()),
    };
    match output {
        Output::Csv => output::csv(header, cells),
        Output::Json => output::json(bill),
        Output::Yaml => output::yaml(bill),
        Output::Table if bill.rows.is_empty() => Ok("none: no project is billed".into()),
        Output::Table => {
            let shown = output::table(
                header,
                cells,
                &[
                    "databases",
                    "unpriced",
                    "monthly",
                    "month_to_date",
                    "month_end",
                    "backups",
                ],
            );
            Ok(format!("{shown}\n\n{}", summary(bill)))
        }
    }
}

const TENANT: [&str; 12] = [
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
    "month_end",
    "backups",
];
const GROUP: [&str; 8] = [
    "name",
    "databases",
    "unpriced",
    "currency",
    "monthly",
    "month_to_date",
    "month_end",
    "backups",
];

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

fn cells_of(amounts: &Amounts) -> [Cell; 5] {
    [
        &amounts.currency,
        &amounts.monthly,
        &amounts.month_to_date,
        &amounts.month_end,
        &amounts.backups,
    ]
    .map(Clone::clone)
}

/// One line for each currency, and one for the databases without a price.
fn summary(bill: &Bill) -> String {
    let totals = bill.totals.iter();
    let mut lines: Vec<String> = if bill.is_of_past() {
        totals.filter_map(|group| total_of_past(group, bill.month)).collect()
    } else {
        totals.filter_map(total).collect()
    };
    if bill.unpriced > 0 {
        lines.push(format!(
            "without a known price, and not in the total: {}",
            bill.unpriced
        ));
    }
    lines.join("\n")
}

fn total_of_past(total: &Group, month: Month) -> Option<String> {
    let amounts = &total.amounts;
    let (currency, cost) = amounts.currency.as_ref().zip(amounts.month_to_date.as_ref())?;
    let priced = total.databases - total.unpriced;
    let month = month.name();
    Some(format!("total of {month}: {cost} {currency}, for {priced} databases"))
}

fn total(total: &Group) -> Option<String> {
    let Amounts {
        currency: Some(currency),
        monthly: Some(monthly),
        month_to_date,
        month_end,
        backups,
    } = &total.amounts
    else {
        return None;
    };
    let to_date = month_to_date.as_deref().unwrap_or("-");
    let month_end = month_end.as_deref().unwrap_or("-");
    let priced = total.databases - total.unpriced;
    let backups = backups.as_ref().map_or_else(String::new, |backups| {
        format!("; backups by schedule: an estimated {backups} {currency} a month more")
    });
    Some(format!(
        "total: {monthly} {currency} a month projected, {to_date} {currency} this month to date and {month_end} at its end, \
         for {priced} databases{backups}"
    ))
}

#[cfg(test)]
mod tests;
