//! The ledger: what each hosted database has cost in a month, which stays known when the OrchestraDatabase is gone.
//!
//! A database that leaves the bill is recorded before its finalizer goes. A month is closed a day after its end: everything that
//! exists is recorded, and the pages are made immutable. `pages` has the ConfigMaps.

mod pages;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use kube::api::Api;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::Mutex;

use super::Context;
use super::orphan::is_billed;
use crate::api::{Charges, OrchestraDatabase};
use crate::controller::error::Error;
use crate::money;
use crate::money::charged::{self, Month};

/// How long after its end a month is closed: what happened in its last hours is seen at the next resync.
const SETTLING: SignedDuration = SignedDuration::from_hours(24);

/// How often the operator looks whether a month is to be closed.
const PACE: Duration = Duration::from_hours(1);

/// How often, while it cannot be closed.
const AGAIN: Duration = Duration::from_mins(1);

/// What a database has cost in a month.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LedgerRecord {
    /// Namespace of the tenant that held it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name of that tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Class of the database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// Name of the OrchestraDatabase.
    pub database: String,
    /// The provider's reference of the project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// The provider's organization, which pays for the project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Region of the project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Currency of the amount; absent when no price was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    /// Started hours; absent for a project that was lost, of which nobody knows when it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours: Option<i32>,
    /// What they cost, as a decimal string with cents; absent when no price was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<String>,
    /// Until when it was counted.
    pub until: Timestamp,
}

/// What the ledger has of a month.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LedgerMonth {
    /// The records, by the UID of the OrchestraDatabase.
    pub records: BTreeMap<String, LedgerRecord>,
    /// Whether the month is closed: it has all databases, and does not change any more.
    pub closed: bool,
}

/// The newest month that is closed, or that was over before the ledger began, once that has been looked up.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<Option<Month>>);

/// When the project of a database ran. One of which nothing is recorded was never paused, or not since an operator records it.
pub fn charges(database: &OrchestraDatabase, now: Timestamp) -> Charges {
    let recorded = database.status.as_ref().and_then(|status| status.charges.clone());
    recorded.unwrap_or_else(|| {
        let since = database.charged_since().map_or(now, |at| at.0);
        charged::since(since, database.instance_size().unwrap_or_default())
    })
}

/// What a database has cost in a month until `now`; none when it has no project, or did not run in that month.
pub fn record(database: &OrchestraDatabase, month: Month, now: Timestamp) -> Option<LedgerRecord> {
    let wanted = database.spec.supabase.as_ref().filter(|_| is_billed(database))?;
    let status = database.status.as_ref()?;
    let (claim, project) = (database.spec.claim_ref.as_ref(), status.project.as_ref());
    let cost = status.cost.as_ref().filter(|_| !database.is_lost());
    let hourly = cost.and_then(|cost| money::parse(&cost.hourly));
    let until = now.min(month.end());
    let ran = charged::in_month(&charges(database, now), month, hourly.unwrap_or_default(), until);
    if ran.hours == 0 {
        return None;
    }
    Some(LedgerRecord {
        namespace: claim.map(|claim| claim.namespace.clone()),
        name: claim.map(|claim| claim.name.clone()),
        class: database.spec.class_name.clone(),
        database: database.name_any(),
        project: project.map(|project| project.reference.clone()),
        account: status.organization.clone(),
        region: Some(project.map_or(&wanted.region, |project| &project.region).clone()),
        currency: cost.filter(|_| hourly.is_some()).map(|cost| cost.currency.clone()),
        hours: (!database.is_lost()).then_some(ran.hours),
        amount: hourly.map(|_| money::text(ran.amount)),
        until,
    })
}

/// Reads what the ledger has of a month; none where it has nothing.
///
/// # Errors
/// When the API server does not answer, or refuses.
pub async fn read(api: &Api<ConfigMap>, month: Month) -> Result<Option<LedgerMonth>, kube::Error> {
    pages::read(api, month).await
}

/// Records what a database that leaves the bill has cost in the months that are not closed. It may be repeated.
///
/// # Errors
/// When the Kubernetes API fails.
pub async fn leave(ctx: &Context, database: &OrchestraDatabase, now: Timestamp) -> Result<(), Error> {
    if !is_billed(database) {
        return Ok(());
    }
    let closed = {
        let mut closed = ctx.ledger.0.lock().await;
        Box::pin(close_due(ctx, &mut closed, now)).await?;
        // A write that takes long holds up no other one.
        *closed
    };
    let this = Month::of(now);
    for month in this.previous().into_iter().chain([this]) {
        let is_open = closed.is_none_or(|closed| month > closed);
        if let Some(record) = record(database, month, now).filter(|_| is_open) {
            let uid = database.uid().unwrap_or_else(|| database.name_any());
            let texts = BTreeMap::from([(uid, json!(record).to_string())]);
            pages::put(&ctx.core.own(), month, texts).await?;
        }
    }
    Ok(())
}

/// Closes each month in its time. Only the leader does so.
pub async fn run(ctx: Arc<Context>) {
    loop {
        let mut closed = ctx.ledger.0.lock().await;
        let done = Box::pin(close_due(&ctx, &mut closed, Timestamp::now())).await;
        drop(closed);
        let wait = match done {
            Ok(()) => PACE,
            Err(error) => {
                tracing::warn!(%error, "the ledger cannot be written; it is tried again");
                AGAIN
            }
        };
        tokio::time::sleep(wait).await;
    }
}

/// The newest month that is to be closed at this time.
fn due(now: Timestamp) -> Option<Month> {
    Month::of(now.saturating_sub(SETTLING).unwrap_or(now)).previous()
}

/// Closes the months that are over and not closed yet, the oldest first: of a month that is closed, all before it are. The
/// ledger begins with the month in which an operator first writes one.
async fn close_due(ctx: &Context, closed: &mut Option<Month>, now: Timestamp) -> Result<(), Error> {
    let Some(last) = due(now).filter(|last| closed.is_none_or(|closed| closed < *last)) else {
        return Ok(());
    };
    let api: Api<ConfigMap> = ctx.core.own();
    let Some(first) = first(ctx) else {
        pages::begin(&api, Month::of(now)).await?;
        *closed = Some(last);
        return Ok(());
    };
    let mut open = Vec::new();
    let mut month = Some(last).filter(|last| *last >= first);
    while let Some(of) = month {
        if pages::is_closed(&api, of).await? {
            break;
        }
        open.push(of);
        month = of.previous().filter(|before| *before >= first);
    }
    for month in open.into_iter().rev() {
        let texts = texts(ctx, month, now);
        let databases = texts.len();
        pages::close(&api, month, texts).await?;
        tracing::info!(month = month.name(), databases, "the ledger of the month is closed");
    }
    *closed = Some(last);
    Ok(())
}

/// The first month of the ledger; none while there is no ledger.
fn first(ctx: &Context) -> Option<Month> {
    let own = Some(ctx.core.settings.namespace.as_str());
    let maps = &ctx.core.stores.config_maps;
    let maps = maps.state_filter(|map| map.metadata.namespace.as_deref() == own);
    maps.iter().filter_map(|map| pages::month_of(&map.name_any())).min()
}

/// The records of all databases that exist, by their UIDs.
fn texts(ctx: &Context, month: Month, now: Timestamp) -> BTreeMap<String, String> {
    let databases = ctx.core.stores.databases.state();
    let records = databases.iter().filter_map(|database| {
        let record = record(database, month, now)?;
        Some((database.uid()?, json!(record).to_string()))
    });
    records.collect()
}

#[cfg(test)]
mod tests;
