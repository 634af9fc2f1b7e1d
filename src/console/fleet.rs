//! The fleet: all tenants, the problems first.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use jiff::Timestamp;

use super::Console;
use super::answer;
use super::form::{Fields, QueryFields, link, tenant_path};
use super::format::{self, Moment};
use super::frame::Frame;
use super::scope::NamespaceFilter;
use super::snapshot::TenantSnapshot;
use super::text::Lang;
use super::visitor::Visitor;
use crate::money;
use crate::views::listing::{ListFilter, ListPage, ListedTenant, select};
use crate::views::tenant::TenantState;

const STATES: [TenantState; 6] = [
    TenantState::Stalled,
    TenantState::Unavailable,
    TenantState::Deleting,
    TenantState::Waiting,
    TenantState::Paused,
    TenantState::Ready,
];

struct FleetRow {
    path: String,
    name: String,
    namespace: String,
    state: StateMark,
    reason: String,
    class: String,
    age: Option<Moment>,
    migration: String,
    behind: bool,
    cost: String,
}

struct StateLink {
    mark: StateMark,
    count: String,
    path: String,
    here: bool,
}

/// A state as a page shows it.
pub struct StateMark {
    /// Its word.
    pub word: String,
    /// Its class in the style sheet.
    pub style: String,
}

impl StateMark {
    /// The mark of a tenant's state.
    pub fn of(lang: Lang, state: TenantState) -> Self {
        let name = format!("{state:?}");
        Self {
            word: lang.word("state", &name),
            style: name.to_lowercase(),
        }
    }
}

#[derive(Template)]
#[template(path = "console/fleet.html")]
struct FleetPage {
    frame: Frame,
    count: String,
    cost: String,
    states: Vec<StateLink>,
    namespace: String,
    class: String,
    state: String,
    text: String,
    behind: bool,
    rows: Vec<FleetRow>,
    place: String,
    before: Option<String>,
    after: Option<String>,
    read: String,
}

impl FleetPage {
    /// Whether some tenants are left out.
    fn is_filtered(&self) -> bool {
        let texts = [&self.namespace, &self.class, &self.state, &self.text];
        self.behind || texts.iter().any(|text| !text.is_empty())
    }
}

/// The state that a query asks for.
fn state(query: &Fields) -> Option<TenantState> {
    STATES
        .into_iter()
        .find(|state| format!("{state:?}") == query.get("state"))
}

/// `GET /`.
pub async fn page(State(console): State<Arc<Console>>, visitor: Visitor, QueryFields(query): QueryFields) -> Response {
    let filter = ListFilter {
        namespace: query.get("namespace").into(),
        class: query.get("class").into(),
        state: state(&query),
        behind: query.some("behind").is_some(),
        text: query.get("text").into(),
    };
    match console.snapshots.seen(&visitor.client, &filter.namespace).await {
        Ok(snapshot) => answer::page(&drawn(visitor.frame, &snapshot, (&filter, &query))),
        Err(error) => {
            let namespace = filter.namespace;
            NamespaceFilter { path: "/", namespace }.failed(visitor, &error)
        }
    }
}

fn drawn(frame: Frame, snapshot: &TenantSnapshot, (filter, query): (&ListFilter, &Fields)) -> FleetPage {
    let (lang, now) = (frame.t, Timestamp::now());
    let page = select(&snapshot.tenants, filter, query.get("page").parse().unwrap_or(1));
    let to = |state: &str, number: usize| {
        let number = if number > 1 { number.to_string() } else { String::new() };
        let pairs = [
            ("namespace", query.get("namespace")),
            ("class", query.get("class")),
            ("state", state),
            ("behind", query.get("behind")),
            ("text", query.get("text")),
            ("page", &number),
        ];
        link("/", &pairs)
    };
    let state = query.get("state");
    let age = i64::try_from(snapshot.at.elapsed().as_secs()).unwrap_or(i64::MAX);
    let read = Timestamp::from_second(now.as_second().saturating_sub(age)).unwrap_or(now);
    FleetPage {
        count: lang.count("fleet-count", page.total),
        cost: cost(lang, &page),
        states: states(lang, &page, state, to),
        place: lang.with(
            "pager-place",
            &[("page", page.number.into()), ("pages", page.pages.into())],
        ),
        before: (page.number > 1).then(|| to(state, page.number - 1)),
        after: (page.number < page.pages).then(|| to(state, page.number + 1)),
        rows: page.tenants.iter().map(|tenant| row(lang, tenant, now)).collect(),
        namespace: filter.namespace.clone(),
        class: filter.class.clone(),
        state: state.to_owned(),
        text: filter.text.clone(),
        behind: filter.behind,
        read: lang.named("fleet-read", &format::relative(lang, read, now)),
        frame,
    }
}

fn cost(lang: Lang, page: &ListPage) -> String {
    let sums = page
        .cost
        .iter()
        .map(|(currency, sum)| format::money(lang, &money::text(*sum), currency));
    sums.collect::<Vec<_>>().join(" + ")
}

fn states(lang: Lang, page: &ListPage, here: &str, to: impl Fn(&str, usize) -> String) -> Vec<StateLink> {
    let counted = STATES
        .into_iter()
        .filter_map(|state| Some((state, *page.states.get(&state)?)));
    let links = counted.map(|(state, count)| {
        let name = format!("{state:?}");
        let is = name == here;
        StateLink {
            mark: StateMark::of(lang, state),
            count: format::number(lang, i64::try_from(count).unwrap_or(i64::MAX)),
            // The chosen one is taken back.
            path: to(if is { "" } else { &name }, 1),
            here: is,
        }
    });
    links.collect()
}

fn row(lang: Lang, tenant: &ListedTenant, now: Timestamp) -> FleetRow {
    let cost = tenant.cost.as_ref();
    FleetRow {
        path: tenant_path(&tenant.namespace, &tenant.name),
        name: tenant.name.clone(),
        namespace: tenant.namespace.clone(),
        state: StateMark::of(lang, tenant.state),
        reason: tenant
            .reason
            .as_deref()
            .map_or_else(String::new, |reason| lang.word("reason", reason)),
        class: tenant.class.clone().unwrap_or_default(),
        age: tenant.created.map(|at| Moment::of(lang, at, now)),
        migration: tenant.migration.clone().unwrap_or_default(),
        behind: tenant.behind,
        cost: cost.map_or_else(String::new, |(sum, currency)| {
            format::money(lang, &money::text(*sum), currency)
        }),
    }
}
