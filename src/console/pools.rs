//! Pools: databases that wait for claims.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use kube::ResourceExt as _;

use super::Console;
use super::answer;
use super::cluster::list;
use super::format::number;
use super::frame::Frame;
use super::text::Lang;
use super::visitor::Visitor;
use crate::api::OrchestraPool;

struct PoolRow {
    name: String,
    class: String,
    available: String,
    desired: String,
    creating: String,
    bound: String,
    ready: bool,
    message: String,
}

#[derive(Template)]
#[template(path = "console/pools.html")]
struct PoolsPage {
    frame: Frame,
    rows: Vec<PoolRow>,
}

fn row(lang: Lang, pool: &OrchestraPool) -> PoolRow {
    let status = pool.status.clone().unwrap_or_default();
    let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready");
    PoolRow {
        name: pool.name_any(),
        class: pool.spec.class_name.clone().unwrap_or_default(),
        available: number(lang, status.available.into()),
        desired: number(lang, status.desired.into()),
        creating: number(lang, status.creating.unwrap_or_default().into()),
        bound: number(lang, status.bound.into()),
        ready: ready.is_some_and(|ready| ready.status == "True"),
        message: ready.map(|ready| ready.message.clone()).unwrap_or_default(),
    }
}

/// `GET /pools`.
pub async fn page(State(_): State<Arc<Console>>, visitor: Visitor) -> Response {
    let mut pools = match list::<OrchestraPool>(&visitor.client).await {
        Ok(pools) => pools,
        Err(error) => return visitor.failed(&error),
    };
    pools.sort_by_key(kube::ResourceExt::name_any);
    answer::page(&PoolsPage {
        rows: pools.iter().map(|pool| row(visitor.lang(), pool)).collect(),
        frame: visitor.frame,
    })
}
