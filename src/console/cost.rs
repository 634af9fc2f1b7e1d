//! What databases cost: the numbers of the bill.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::api::Api;

use super::Console;
use super::answer;
use super::cluster::{each, is_refused};
use super::form::{Fields, QueryFields, link, tenant_path};
use super::format;
use super::frame::Frame;
use super::pager::Cut;
use super::scope::NamespaceFilter;
use super::text::Lang;
use super::visitor::Visitor;
use crate::api::slim::Slim;
use crate::api::{Orchestra, OrchestraDatabase};
use crate::class::ledger;
use crate::money::charged::Month;
use crate::text;
use crate::views::bill::{Amounts, Bill, BillRows, By, Group, Lines, Query, Row, focus, of_rows};

/// Rows of one page.
const PAGE: usize = 200;

struct CostRow {
    name: String,
    path: Option<String>,
    told: String,
    state: String,
    monthly: String,
    to_date: String,
    month_end: String,
    backups: String,
}

struct ByLink {
    name: String,
    path: String,
    here: bool,
}

#[derive(Template)]
#[template(path = "console/cost.html")]
struct CostPage {
    frame: Frame,
    filter: NamespaceFilter,
    /// Whether the visitor may read the databases, and not only their tenants.
    whole: bool,
    /// Whether the visitor may read the ledger.
    recorded: bool,
    groups: Vec<ByLink>,
    /// The label by whose values the tenants are grouped, or nothing.
    label: String,
    class: String,
    csv: String,
    rows: Vec<CostRow>,
    totals: Vec<CostRow>,
    unpriced: Option<String>,
    place: String,
    before: Option<String>,
    after: Option<String>,
}

/// The field of the address that names a label to group by.
const LABEL: &str = "label";

const GROUPS: [(&str, By, &str); 3] = [
    ("tenant", By::Tenant, "cost-by-tenant"),
    ("class", By::Class, "cost-by-class"),
    ("namespace", By::Namespace, "cost-by-namespace"),
];

/// What one row represents, as the address has it.
fn by_of(query: &Fields) -> By {
    if query.some(LABEL).is_some() {
        return By::Label;
    }
    let by = GROUPS.into_iter().find(|(name, ..)| *name == query.get("by"));
    by.map_or(By::Tenant, |(_, by, _)| by)
}

fn of_query(query: &Fields, by: By) -> Query {
    Query {
        by,
        label: query.some(LABEL).map(Into::into),
        class: query.some("class").map(Into::into),
        namespace: query.some("namespace").map(Into::into),
        month: None,
    }
}

/// What a visitor may read of the bill.
pub struct VisitorBill {
    rows: Vec<Row>,
    at: Timestamp,
    /// Whether it is read from the databases. Otherwise it is what the tenants of one namespace say of theirs.
    whole: bool,
    /// Whether it has what has left the bill this month, where it is whole.
    recorded: bool,
}

/// Adds what has left the bill this month; whether the visitor may read that.
async fn add_ledger(lines: &mut Lines, maps: &Api<ConfigMap>, month: Month) -> Result<bool, kube::Error> {
    match ledger::read(maps, month).await {
        Ok(Some(ledger)) => lines.add_ledger(&ledger),
        Ok(None) => {}
        Err(error) if is_refused(&error) => return Ok(false),
        Err(error) => return Err(error),
    }
    Ok(true)
}

/// Databases belong to the whole cluster: without the right to list them, the Orchestras of a namespace tell their prices.
/// The ledger is in the operator's namespace.
async fn read(
    client: Client,
    namespace: &str,
    label: Option<&str>,
    operator: &str,
) -> Result<VisitorBill, kube::Error> {
    let at = Timestamp::now();
    let mut lines = Lines::with_label(at, label.map(ToOwned::to_owned));
    let databases: Api<Slim<OrchestraDatabase>> = Api::all(client.clone());
    let whole = match each(&databases, |Slim(database)| lines.add_database(&database)).await {
        Ok(()) => true,
        Err(error) if is_refused(&error) && !namespace.is_empty() => false,
        Err(error) => return Err(error),
    };
    let maps = Api::namespaced(client.clone(), operator);
    let orchestras: Api<Slim<Orchestra>> = match namespace {
        "" => Api::all(client),
        namespace => Api::namespaced(client, namespace),
    };
    each(&orchestras, |Slim(orchestra)| {
        if whole {
            lines.add_orchestra(&orchestra);
        } else {
            lines.add_tenant(&orchestra);
        }
    })
    .await?;
    let recorded = whole && add_ledger(&mut lines, &maps, Month::of(at)).await?;
    Ok(VisitorBill {
        rows: lines.rows(),
        at,
        whole,
        recorded,
    })
}

/// The bill that a query asks for.
struct Billed {
    bill: Bill,
    filter: NamespaceFilter,
    frame: Frame,
    /// As in a [`VisitorBill`].
    whole: bool,
    /// As in a [`VisitorBill`].
    recorded: bool,
}

async fn billed(console: &Console, visitor: Visitor, query: &Fields, by: By) -> Result<Billed, Response> {
    let filter = NamespaceFilter::of("/cost", query)
        .ok_or_else(|| answer::problem(&visitor.frame, StatusCode::NOT_FOUND, "problem-nowhere", ""))?;
    let label = query.some(LABEL);
    let operator = &console.settings.operator_namespace;
    let read = read(visitor.client.clone(), &filter.namespace, label, operator);
    // No namespace has a slash.
    let key = match label {
        Some(label) => format!("{}/{label}", filter.namespace),
        None => filter.namespace.clone(),
    };
    match console.cost.of(visitor.bearer, &key, read).await {
        Ok(reading) => Ok(Billed {
            bill: of_rows(&reading.rows, &of_query(query, by), reading.at),
            filter,
            frame: visitor.frame,
            whole: reading.whole,
            recorded: reading.recorded,
        }),
        Err(error) => Err(filter.failed(visitor, &error)),
    }
}

/// The price a month, the cost of this month so far and as a whole, and what its backups are estimated to cost a month.
fn amounts(lang: Lang, amounts: &Amounts) -> [String; 4] {
    let currency = amounts.currency.as_deref().unwrap_or_default();
    let money = |sum: &Option<String>| sum.as_deref().map(|sum| format::money(lang, sum, currency));
    let known = |sum: &Option<String>| money(sum).unwrap_or_else(|| lang.say("cost-unknown"));
    [
        known(&amounts.monthly),
        known(&amounts.month_to_date),
        known(&amounts.month_end),
        money(&amounts.backups).unwrap_or_default(),
    ]
}

/// A line of the bill.
enum Line<'a> {
    Row(&'a Row),
    /// With what it is called where it has no name.
    Group(&'a Group, &'static str),
}

impl Line<'_> {
    fn drawn(&self, lang: Lang) -> CostRow {
        match self {
            Self::Row(row) => of_row(lang, row),
            Self::Group(group, nameless) => of_group(lang, group, nameless),
        }
    }
}

fn of_row(lang: Lang, row: &Row) -> CostRow {
    let [monthly, to_date, month_end, backups] = amounts(lang, &row.amounts);
    let tenant = row.namespace.as_deref().zip(row.name.as_deref());
    let held = tenant.filter(|_| !["Released", "Reclaiming", "Gone"].contains(&row.state.as_str()));
    let class = row.class.as_deref().unwrap_or_default();
    CostRow {
        name: tenant.map_or_else(
            || row.database.clone(),
            |(namespace, name)| format!("{namespace}/{name}"),
        ),
        path: held.map(|(namespace, name)| tenant_path(namespace, name)),
        told: [class, row.region.as_deref().unwrap_or_default()].join(" "),
        state: lang.word("phase", &row.state),
        // What has left the bill has no price any more, which is not unknown.
        monthly: if row.state == "Gone" { String::new() } else { monthly },
        to_date,
        month_end,
        backups,
    }
}

fn of_group(lang: Lang, group: &Group, nameless: &str) -> CostRow {
    let [monthly, to_date, month_end, backups] = amounts(lang, &group.amounts);
    CostRow {
        name: group.name.clone().unwrap_or_else(|| lang.say(nameless)),
        path: None,
        told: lang.count("cost-databases", group.databases),
        state: String::new(),
        monthly,
        to_date,
        month_end,
        backups,
    }
}

/// `GET /cost`.
pub async fn page(State(console): State<Arc<Console>>, visitor: Visitor, QueryFields(query): QueryFields) -> Response {
    let Billed {
        bill,
        filter,
        frame,
        whole,
        recorded,
    } = match billed(&console, visitor, &query, by_of(&query)).await {
        Ok(billed) => billed,
        Err(answer) => return answer,
    };
    let lang = frame.t;
    let nameless = if bill.by == By::Label {
        "cost-unlabelled"
    } else {
        "cost-nobody"
    };
    // Only those of the page are written out.
    let rows: Vec<Line> = match &bill.rows {
        BillRows::Tenants(rows) => rows.iter().map(Line::Row).collect(),
        BillRows::Groups(groups) => groups.iter().map(|group| Line::Group(group, nameless)).collect(),
    };
    let cut = Cut::of(rows.len(), PAGE, &query);
    let kept = [("class", query.get("class")), ("namespace", query.get("namespace"))];
    let to = |by: (&str, &str), number: usize| {
        let number = if number > 1 { number.to_string() } else { String::new() };
        link("/cost", &[kept[0], kept[1], by, ("page", &number)])
    };
    let by = match query.get(LABEL) {
        "" => ("by", query.get("by")),
        label => (LABEL, label),
    };
    let totals = bill.totals.iter().map(|group| CostRow {
        name: lang.say("cost-total"),
        ..of_group(lang, group, nameless)
    });
    answer::page(&CostPage {
        groups: GROUPS
            .into_iter()
            .map(|(name, is, key)| ByLink {
                name: lang.say(key),
                path: to(("by", name), 1),
                here: is == bill.by,
            })
            .collect(),
        csv: link("/cost.csv", &kept),
        label: query.get(LABEL).to_owned(),
        class: query.get("class").to_owned(),
        totals: totals.collect(),
        unpriced: (bill.unpriced > 0).then(|| lang.count("cost-unpriced", bill.unpriced)),
        place: cut.place(lang),
        before: cut.before().map(|number| to(by, number)),
        after: cut.after().map(|number| to(by, number)),
        rows: cut.items(&rows).iter().map(|row| row.drawn(lang)).collect(),
        filter,
        whole,
        recorded,
        frame,
    })
}

/// `GET /cost.csv`: one charge for each hosted project, with the columns of FOCUS 1.2.
pub async fn csv(State(console): State<Arc<Console>>, visitor: Visitor, QueryFields(query): QueryFields) -> Response {
    let bill = match billed(&console, visitor, &query, By::Tenant).await {
        Ok(billed) => billed.bill,
        Err(answer) => return answer,
    };
    match table(&bill) {
        Ok(table) => {
            let name = format!("attachment; filename=\"cost-{}.csv\"", bill.at.strftime("%Y-%m"));
            let headers = [
                (CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
                (CONTENT_DISPOSITION, name),
            ];
            (headers, table).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "the bill could not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn table(bill: &Bill) -> anyhow::Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(focus::COLUMNS)?;
    for charge in focus::charges(bill) {
        writer.write_record(
            charge
                .iter()
                .map(|value| text::cell(value.as_deref().unwrap_or_default()).into_owned()),
        )?;
    }
    Ok(writer.into_inner()?)
}
