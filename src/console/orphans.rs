//! Databases that cost money and serve no tenant.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use jiff::Timestamp;

use super::Console;
use super::answer;
use super::cluster::list;
use super::format::{self, Moment};
use super::frame::Frame;
use super::text::Lang;
use super::visitor::Visitor;
use crate::api::{Orchestra, OrchestraDatabase, OrchestraPool};
use crate::views::orphans::{Orphan, databases};

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

/// `GET /orphans`. Databases are read before Orchestras, so that a new one of both is no orphan.
pub async fn page(State(_): State<Arc<Console>>, visitor: Visitor) -> Response {
    let found = async {
        let all = list::<OrchestraDatabase>(&visitor.client).await?;
        let orchestras = list::<Orchestra>(&visitor.client).await?;
        let pools = list::<OrchestraPool>(&visitor.client).await?;
        Ok::<_, kube::Error>((all, orchestras, pools))
    };
    let (all, orchestras, pools) = match found.await {
        Ok(found) => found,
        Err(error) => return visitor.failed(&error),
    };
    let orchestras: Vec<_> = orchestras.into_iter().map(Arc::new).collect();
    let all: Vec<_> = all.into_iter().map(Arc::new).collect();
    let has_pool = |name: &str| pools.iter().any(|pool| pool.metadata.name.as_deref() == Some(name));
    let (lang, now) = (visitor.lang(), Timestamp::now());
    answer::page(&OrphansPage {
        rows: databases(&all, &orchestras, has_pool)
            .iter()
            .map(|orphan| row(lang, orphan, now))
            .collect(),
        frame: visitor.frame,
    })
}
