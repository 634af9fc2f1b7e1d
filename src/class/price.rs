//! What a project of a class costs, and where the price comes from.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::ResourceExt;
use rust_decimal::Decimal;

use crate::api::{Cost, OrchestraClass, OrchestraDatabase, OrchestraDatabaseStatus, PriceSource, PriceTable};
use crate::class::Context;
use crate::error::ErrorClass;
use crate::money::{self, Price};
use crate::recent::Recent;
use crate::supabase::Account;

/// Day of [`DEFAULT_TABLE`]: the traffic from which it was read was recorded before that day.
const DEFAULT_AS_OF: &str = "2026-05-22";

/// US dollars an hour by compute size, in units of 0.00001, as the Management API named them in
/// `v1-list-project-addons` on [`DEFAULT_AS_OF`]; the provider's documentation "Compute and Disk" has the same.
/// Used only when neither the class nor the provider gives a price.
const DEFAULT_TABLE: [(&str, i64); 10] = [
    ("micro", 1_344),
    ("small", 2_060),
    ("medium", 8_220),
    ("large", 15_170),
    ("xlarge", 28_770),
    ("2xlarge", 56_200),
    ("4xlarge", 132_000),
    ("8xlarge", 256_200),
    ("12xlarge", 383_600),
    ("16xlarge", 512_000),
];

/// The smallest size of a paid plan; smaller ones are billed as this one (Supabase, "Compute and Disk": nano is
/// billed as micro).
const SMALLEST_BILLED: &str = "micro";

/// Interval at which the prices are requested: they rarely change.
const ASK_AGAIN: Duration = Duration::from_hours(24);
/// The same after the provider did not answer.
const ASK_AGAIN_AFTER_FAILURE: Duration = Duration::from_hours(1);

/// How long the prices of an organization are kept after no class names it any more.
const KEPT: Duration = Duration::from_hours(72);

/// A price, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quote {
    /// What a project costs.
    pub price: Price,
    /// Where the price comes from.
    pub source: PriceSource,
    /// Day of the table, when it comes from one.
    pub as_of: Option<String>,
}

/// The compute size that a project of this size is charged for.
pub fn billed_size(size: Option<&str>) -> &str {
    match size {
        None | Some("nano" | "pico") => SMALLEST_BILLED,
        Some(size) => size,
    }
}

/// The price of a project of this size; none when it is unknown.
///
/// On the plan `free` a project costs nothing. Otherwise the class's own table takes precedence, so that an admin can
/// correct prices; then the prices of the provider (`live`); then the operator's dated table.
pub fn quote(
    size: Option<&str>,
    plan: Option<&str>,
    own: Option<&PriceTable>,
    live: Option<&BTreeMap<String, Price>>,
) -> Option<Quote> {
    let of_default = |price| Quote {
        price,
        source: PriceSource::Default,
        as_of: Some(DEFAULT_AS_OF.into()),
    };
    if plan == Some("free") {
        return Some(of_default(Price::FREE));
    }
    let size = billed_size(size);
    if let Some((own, price)) = own.and_then(|own| Some((own, own.monthly.get(size)?))) {
        return Some(Quote {
            price: Price::of_month(money::parse(price)?),
            source: PriceSource::Class,
            as_of: Some(own.as_of.clone()),
        });
    }
    if let Some(price) = live.and_then(|live| live.get(size)) {
        return Some(Quote {
            price: *price,
            source: PriceSource::BillingAddons,
            as_of: None,
        });
    }
    let (_, hourly) = DEFAULT_TABLE.into_iter().find(|(known, _)| *known == size)?;
    Some(of_default(Price::of_hour(Decimal::new(hourly, 5))))
}

/// Prices from the provider, by organization.
pub struct ProviderPrices(Mutex<Recent<LivePrices>>);

#[derive(Clone, Default)]
struct LivePrices {
    prices: Option<Arc<BTreeMap<String, Price>>>,
    /// When to request them again; none: now.
    again: Option<Instant>,
}

impl Default for ProviderPrices {
    fn default() -> Self {
        Self(Mutex::new(Recent::new(KEPT)))
    }
}

impl ProviderPrices {
    fn of(&self, organization: &str) -> LivePrices {
        let told = self.0.lock();
        told.get(organization).cloned().unwrap_or_default()
    }

    fn is_due(&self, organization: &str, now: Instant) -> bool {
        self.of(organization).again.is_none_or(|again| again <= now)
    }

    /// Remembers an answer; after a failed request the last prices stay valid.
    fn learn(&self, organization: &str, prices: Option<BTreeMap<String, Price>>, now: Instant) {
        let mut told = self.0.lock();
        let told = told.get_or(organization, LivePrices::default);
        told.again = Some(
            now + if prices.is_some() {
                ASK_AGAIN
            } else {
                ASK_AGAIN_AFTER_FAILURE
            },
        );
        if let Some(prices) = prices {
            told.prices = Some(Arc::new(prices));
        }
    }
}

/// Requests the prices of the provider, which lists them for a project: once a day, for all classes of the
/// organization together. Without an answer the tables are used, and the class is not stopped. Returns when to come
/// back if the request has to wait for the request limit.
pub(super) async fn ask(
    ctx: &Context,
    class: &OrchestraClass,
    plan: Option<&str>,
    account: &Account,
) -> Option<Duration> {
    let organization = account.organization();
    let size = size_of(class);
    let own = table_of(class).is_some_and(|own| own.monthly.contains_key(size.unwrap_or(SMALLEST_BILLED)));
    if own || plan == Some("free") || !ctx.budgets.prices.is_due(organization, Instant::now()) {
        return None;
    }
    let name = class.name_any();
    let asked = ctx.core.stores.databases.find(|database| {
        let status = database.status.as_ref();
        let usable = status.is_some_and(|status| {
            status.usable_since.is_some() && status.organization.as_deref().is_none_or(|its| its == organization)
        });
        usable && database.spec.class_name.as_ref() == Some(&name) && reference(database).is_some()
    });
    let reference = asked.as_deref().and_then(reference)?;
    let prices = match account.client().addons(reference).await {
        Ok(addons) => Some(addons.compute_prices()).filter(|prices| !prices.is_empty()),
        Err(error) => {
            if let ErrorClass::After(wait) = error.class() {
                return Some(wait);
            }
            tracing::warn!(%error, "the provider's prices cannot be read; using the tables");
            None
        }
    };
    ctx.budgets.prices.learn(organization, prices, Instant::now());
    None
}

fn reference(database: &OrchestraDatabase) -> Option<&str> {
    let project = database.status.as_ref()?.project.as_ref()?;
    Some(&project.reference)
}

/// What one more project of a class costs.
pub(super) fn of_class(ctx: &Context, class: &OrchestraClass) -> Option<Quote> {
    of_size(ctx, class, size_of(class))
}

/// What a project of this size costs in a class.
pub fn of_size(ctx: &Context, class: &OrchestraClass, size: Option<&str>) -> Option<Quote> {
    let account = class.status.as_ref().and_then(|status| status.account.as_ref());
    let live = account.and_then(|account| ctx.budgets.prices.of(&account.organization).prices);
    let plan = account.and_then(|account| account.plan.as_deref());
    quote(size, plan, table_of(class), live.as_deref())
}

/// Whether a price of this size is known for a database.
pub fn is_priced(ctx: &Context, database: &OrchestraDatabase, size: &str) -> bool {
    let class = super::resolve(ctx, database.spec.class_name.as_deref());
    class.is_ok_and(|class| of_size(ctx, &class, Some(size)).is_some())
}

/// What a database costs, for its `new` status: nothing for an entry of a static pool.
pub fn of_database(ctx: &Context, database: &OrchestraDatabase, new: &OrchestraDatabaseStatus) -> Option<Cost> {
    let project = database.spec.supabase.as_ref()?;
    let size = new.charged_size().or(project.instance_size.as_deref());
    // The price of another size is no price of this one.
    let known = database.status.as_ref().and_then(|status| status.cost.clone());
    let known = known.filter(|_| billed_size(size) == billed_size(database.instance_size()));
    let Ok(class) = super::resolve(ctx, database.spec.class_name.as_deref()) else {
        return known;
    };
    let Some(quote) = of_size(ctx, &class, size) else {
        return known;
    };
    // After a restart, before the provider's prices are requested again, the last ones stay valid.
    let was_live = class.status.as_ref().and_then(|status| status.cost.as_ref());
    let was_live = was_live.is_some_and(|cost| cost.price_source == PriceSource::BillingAddons);
    if quote.source == PriceSource::Default && was_live && known.is_some() {
        return known;
    }
    Some(quote.price.cost(super::budget::currency(&class)))
}

fn size_of(class: &OrchestraClass) -> Option<&str> {
    class.spec.provider.as_ref()?.supabase.instance_size.as_deref()
}

fn table_of(class: &OrchestraClass) -> Option<&PriceTable> {
    class.spec.budget.as_ref()?.prices.as_ref()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn monthly(quote: Option<Quote>) -> (String, PriceSource) {
        let quote = quote.unwrap();
        (money::text(quote.price.monthly), quote.source)
    }

    fn own(sizes: &[(&str, &str)]) -> PriceTable {
        PriceTable {
            as_of: "2026-10-01".into(),
            monthly: sizes
                .iter()
                .map(|(size, price)| ((*size).into(), (*price).into()))
                .collect(),
        }
    }

    #[test]
    fn the_class_goes_before_the_provider_and_that_before_the_operators_table() {
        let live = BTreeMap::from([("micro".to_owned(), Price::of_month(Decimal::from(11)))]);
        let table = own(&[("micro", "12.50")]);
        let of = |table, live| monthly(quote(Some("micro"), Some("pro"), table, live));
        assert_eq!(of(None, None), ("9.81".into(), PriceSource::Default));
        assert_eq!(of(None, Some(&live)), ("11.00".into(), PriceSource::BillingAddons));
        assert_eq!(of(Some(&table), Some(&live)), ("12.50".into(), PriceSource::Class));
        // A table that lacks the size gives no price.
        let table = own(&[("large", "100")]);
        assert_eq!(of(Some(&table), None), ("9.81".into(), PriceSource::Default));
        let dated = quote(Some("large"), None, Some(&table), None).unwrap();
        assert_eq!(dated.as_of.as_deref(), Some("2026-10-01"));
    }

    #[test]
    fn a_free_project_costs_nothing_and_the_smallest_paid_one_is_a_micro() {
        let table = own(&[("micro", "12.50")]);
        assert_eq!(monthly(quote(None, Some("free"), Some(&table), None)).0, "0.00");
        for size in [None, Some("nano"), Some("pico"), Some("micro")] {
            assert_eq!(monthly(quote(size, Some("pro"), None, None)).0, "9.81", "{size:?}");
            // A plan that is not known yet counts as a paid one.
            assert_eq!(monthly(quote(size, None, None, None)).0, "9.81", "{size:?}");
        }
        assert_eq!(monthly(quote(Some("16xlarge"), None, None, None)).0, "3737.60");
        assert_eq!(quote(Some("48xlarge"), None, None, None), None);
    }

    #[test]
    fn the_provider_is_asked_once_a_day_and_sooner_after_a_failure() {
        let (prices, now) = (ProviderPrices::default(), Instant::now());
        assert!(prices.is_due("acme", now));
        let told = BTreeMap::from([("micro".to_owned(), Price::FREE)]);
        prices.learn("acme", Some(told), now);
        assert!(!prices.is_due("acme", now + Duration::from_hours(23)));
        assert!(prices.is_due("acme", now + Duration::from_hours(24)));
        assert!(prices.is_due("other", now));
        prices.learn("acme", None, now);
        assert!(!prices.is_due("acme", now + Duration::from_mins(59)));
        assert!(prices.is_due("acme", now + Duration::from_hours(1)));
        assert!(prices.of("acme").prices.is_some(), "a failure forgets nothing");
    }
}
