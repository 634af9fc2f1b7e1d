//! The list of all tenants, for people: filtered, the problems first, and in pages.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::ResourceExt as _;
use rust_decimal::Decimal;

use super::plans;
use super::tenant::{TenantState, tenant};
use crate::api::Orchestra;
use crate::money;

/// Tenants of one page.
pub const PAGE: usize = 100;

/// A plan of migrations that waits for approval, in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitingPlan {
    /// Pending migrations.
    pub pending: i32,
    /// Statements that destroy or break something, or cannot be analysed.
    pub destructive: i32,
    /// Statements that expose data or give rights.
    pub exposing: i32,
    /// Statements that block other sessions for long.
    pub locking: i32,
}

/// One tenant of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedTenant {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: TenantState,
    /// Its phase.
    pub phase: Option<String>,
    /// Why it waits, or a person must act.
    pub reason: Option<String>,
    /// Its class.
    pub class: Option<String>,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// Its last applied migration.
    pub migration: Option<String>,
    /// Whether migrations of its source are not applied yet.
    pub behind: bool,
    /// What its database costs a month, and the currency.
    pub cost: Option<(Decimal, String)>,
    /// When its ttl ends.
    pub expires_at: Option<Timestamp>,
    /// The plan that waits for approval.
    pub plan: Option<WaitingPlan>,
}

/// An Orchestra as the list has it.
pub fn listed(orchestra: &Orchestra) -> ListedTenant {
    let shown = tenant(orchestra, &[]);
    let status = orchestra.status.as_ref();
    let migrations = status.and_then(|status| status.migrations.as_ref());
    let cost = status.and_then(|status| status.cost.as_ref());
    ListedTenant {
        behind: shown.pending > 0 || migrations.is_some_and(|it| it.available.is_some()),
        reason: shown.waits.map(|waits| waits.reason),
        created: orchestra.creation_timestamp().map(|at| at.0),
        cost: cost.and_then(|cost| Some((money::parse(&cost.monthly)?, cost.currency.clone()))),
        plan: plans::waiting(orchestra).map(|plan| WaitingPlan {
            pending: plan.pending,
            destructive: plan.destructive,
            exposing: plan.exposing,
            locking: plan.locking,
        }),
        namespace: shown.namespace,
        name: shown.name,
        state: shown.state,
        phase: shown.phase,
        class: shown.class,
        migration: shown.migration,
        expires_at: shown.expires_at,
    }
}

/// These tenants in their order: those first that need a person.
pub fn sorted(mut tenants: Vec<ListedTenant>) -> Vec<ListedTenant> {
    tenants.sort_by(|a, b| (a.state, &a.namespace, &a.name).cmp(&(b.state, &b.namespace, &b.name)));
    tenants
}

/// Which tenants are shown. An empty text means all.
#[derive(Clone, Debug, Default)]
pub struct ListFilter {
    /// Of this namespace.
    pub namespace: String,
    /// Of this class.
    pub class: String,
    /// In this state.
    pub state: Option<TenantState>,
    /// Only those whose migrations are not all applied.
    pub behind: bool,
    /// With this in their name or namespace.
    pub text: String,
}

impl ListFilter {
    /// Whether it shows a tenant, whatever its state.
    fn shows(&self, tenant: &ListedTenant) -> bool {
        let text = self.text.to_lowercase();
        let is = |wanted: &str, has: &str| wanted.is_empty() || wanted == has;
        is(&self.namespace, &tenant.namespace)
            && is(&self.class, tenant.class.as_deref().unwrap_or_default())
            && (!self.behind || tenant.behind)
            && (tenant.name.contains(&text) || tenant.namespace.contains(&text))
    }
}

/// A page of the list.
#[derive(Debug)]
pub struct ListPage<'a> {
    /// Its tenants.
    pub tenants: Vec<&'a ListedTenant>,
    /// Its number, from 1.
    pub number: usize,
    /// The number of pages; at least 1.
    pub pages: usize,
    /// The number of tenants on all pages.
    pub total: usize,
    /// The number of tenants in each state, whatever state is asked for.
    pub states: BTreeMap<TenantState, usize>,
    /// What those on all pages cost a month, by currency.
    pub cost: BTreeMap<String, Decimal>,
}

/// A page of sorted tenants; the last one where there are not so many.
pub fn select<'a>(tenants: &'a [ListedTenant], filter: &ListFilter, page: usize) -> ListPage<'a> {
    let mut states = BTreeMap::new();
    let mut cost: BTreeMap<String, Decimal> = BTreeMap::new();
    let mut shown = Vec::new();
    for tenant in tenants.iter().filter(|tenant| filter.shows(tenant)) {
        *states.entry(tenant.state).or_default() += 1;
        if filter.state.is_some_and(|state| state != tenant.state) {
            continue;
        }
        if let Some((amount, currency)) = &tenant.cost {
            let sum = cost.entry(currency.clone()).or_default();
            *sum = sum.saturating_add(*amount);
        }
        shown.push(tenant);
    }
    let pages = shown.len().div_ceil(PAGE).max(1);
    let number = page.clamp(1, pages);
    ListPage {
        number,
        pages,
        total: shown.len(),
        states,
        cost,
        tenants: shown.into_iter().skip((number - 1) * PAGE).take(PAGE).collect(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn one(index: usize, state: TenantState) -> ListedTenant {
        ListedTenant {
            namespace: format!("n{}", index % 3),
            name: format!("t{index:05}"),
            state,
            phase: None,
            reason: None,
            class: Some(if index.is_multiple_of(2) { "even" } else { "odd" }.into()),
            created: None,
            migration: None,
            behind: index.is_multiple_of(5),
            cost: Some((Decimal::ONE, "USD".into())),
            expires_at: None,
            plan: None,
        }
    }

    #[test]
    fn problems_come_first_and_pages_have_their_bounds() {
        let state = |index: usize| match index {
            7 => TenantState::Stalled,
            9 => TenantState::Unavailable,
            _ => TenantState::Ready,
        };
        let all = sorted((0..10_000).map(|index| one(index, state(index))).collect());
        let first = select(&all, &ListFilter::default(), 1);
        assert_eq!((first.tenants.len(), first.pages, first.total), (PAGE, 100, 10_000));
        assert_eq!([&first.tenants[0].name, &first.tenants[1].name], ["t00007", "t00009"]);
        assert_eq!(first.cost["USD"], Decimal::from(10_000));
        for (page, number) in [(0, 1), (100, 100), (usize::MAX, 100)] {
            assert_eq!(select(&all, &ListFilter::default(), page).number, number);
        }
        let filter = ListFilter {
            class: "odd".into(),
            behind: true,
            state: Some(TenantState::Ready),
            ..ListFilter::default()
        };
        let odd = select(&all, &filter, 1);
        assert_eq!((odd.total, odd.states[&TenantState::Ready]), (1_000, 1_000));
        let text = |text: &str| ListFilter {
            text: text.into(),
            ..ListFilter::default()
        };
        assert_eq!(select(&all, &text("T00007"), 1).total, 1);
        assert_eq!(select(&all, &text("n1"), 1).total, 3_333);
        let stalled = ListFilter {
            state: Some(TenantState::Stalled),
            ..ListFilter::default()
        };
        let stalled = select(&all, &stalled, 1);
        assert_eq!((stalled.total, stalled.states.values().sum::<usize>()), (1, 10_000));
        assert_eq!(select(&[], &ListFilter::default(), 1).pages, 1);
    }
}
