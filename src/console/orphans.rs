//! Databases that cost money and serve no tenant.

use std::collections::HashSet;
use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use jiff::Timestamp;
use kube::Client;

use super::Console;
use super::answer;
use super::cluster::list;
use super::form::{QueryFields, link};
use super::format::{self, Moment};
use super::frame::Frame;
use super::pager::Cut;
use super::text::Lang;
use super::visitor::Visitor;
use crate::api::{Orchestra, OrchestraDatabase, OrchestraPool};
use crate::views::orphans::{Orphan, databases};

/// Orphans of one page.
const PAGE: usize = 100;

struct OrphanRow {
    name: String,
    class: String,
    region: String,
    status: String,
    since: Option<Moment>,
    monthly: String,
    next: String,
}

#[derive(Template)]
#[template(path = "console/orphans.html")]
struct OrphansPage {
    frame: Frame,
    rows: Vec<OrphanRow>,
    place: String,
    before: Option<String>,
    after: Option<String>,
}

fn row(lang: Lang, orphan: &Orphan, now: Timestamp) -> OrphanRow {
    let cost = orphan.monthly.as_deref().zip(orphan.currency.as_deref());
    OrphanRow {
        name: orphan.name.clone(),
        class: orphan.class.clone().unwrap_or_default(),
        region: orphan.region.clone().unwrap_or_default(),
        status: orphan.status.clone(),
        since: orphan.since.map(|at| Moment::of(lang, at, now)),
        monthly: cost.map_or_else(
            || lang.say("cost-unknown"),
            |(sum, currency)| format::money(lang, sum, currency),
        ),
        next: orphan.next.clone(),
    }
}

/// The orphans of the cluster. Databases are read before Orchestras, so that a new one of both is no orphan.
async fn read(client: Client) -> Result<Vec<Orphan>, kube::Error> {
    let all = list::<OrchestraDatabase>(&client).await?;
    let orchestras = list::<Orchestra>(&client).await?;
    let pools = list::<OrchestraPool>(&client).await?;
    let orchestras: Vec<_> = orchestras.into_iter().map(Arc::new).collect();
    let all: Vec<_> = all.into_iter().map(Arc::new).collect();
    let pools: HashSet<_> = pools.iter().map(kube::ResourceExt::name_any).collect();
    Ok(databases(&all, &orchestras, |name: &str| pools.contains(name)))
}

/// `GET /orphans`.
pub async fn page(State(console): State<Arc<Console>>, visitor: Visitor, QueryFields(query): QueryFields) -> Response {
    let read = read(visitor.client.clone());
    let all = match console.orphans.of(visitor.bearer, "", read).await {
        Ok(all) => all,
        Err(error) => return visitor.failed(&error),
    };
    let (lang, now) = (visitor.lang(), Timestamp::now());
    let cut = Cut::of(all.len(), PAGE, &query);
    let to = |number: usize| link("/orphans", &[("page", &number.to_string())]);
    answer::page(&OrphansPage {
        rows: cut.items(&all).iter().map(|orphan| row(lang, orphan, now)).collect(),
        place: cut.place(lang),
        before: cut.before().map(to),
        after: cut.after().map(to),
        frame: visitor.frame,
    })
}
