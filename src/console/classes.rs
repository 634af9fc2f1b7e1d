//! Classes: their provider, budget, and the rollout of their migrations.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use jiff::Timestamp;
use kube::ResourceExt as _;
use kube::api::{Api, Patch};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;
use serde_json::json;

use super::Console;
use super::answer;
use super::cluster::{Wish, list, may};
use super::form::{Fields, encoded};
use super::format::{self, Moment};
use super::frame::Frame;
use super::text::Lang;
use super::visitor::Visitor;
use crate::api::OrchestraClass;
use crate::api::names::CONSOLE_MANAGER;
use crate::controller::write::patch_parameters;
use crate::money;
use crate::views::fleet::{rollout as rollout_of, stage, total};

struct BudgetBar {
    spent: String,
    limit: String,
    percent: u32,
    over: bool,
}

struct RolloutCard {
    stage: String,
    told: String,
    updated: i32,
    total: i32,
    paused: bool,
    path: String,
    command: String,
}

struct ClassCard {
    name: String,
    path: String,
    ready: bool,
    message: Option<String>,
    provider: String,
    tenants: String,
    price: Option<String>,
    token: Option<Moment>,
    budget: Option<BudgetBar>,
    rollout: Option<RolloutCard>,
}

#[derive(Template)]
#[template(path = "console/classes.html")]
struct ClassesPage {
    frame: Frame,
    classes: Vec<ClassCard>,
    allowed: bool,
}

fn budget(lang: Lang, class: &OrchestraClass) -> Option<BudgetBar> {
    let cost = class.status.as_ref()?.cost.as_ref()?;
    let limit = class.spec.budget.as_ref()?.monthly_limit.as_deref()?;
    let (spent, most) = (money::parse(&cost.projected)?, money::parse(limit)?);
    let part = spent
        .checked_mul(Decimal::ONE_HUNDRED)?
        .checked_div(most)
        .unwrap_or(Decimal::ONE_HUNDRED);
    Some(BudgetBar {
        spent: format::money(lang, &cost.projected, &cost.currency),
        limit: format::money(lang, limit, &cost.currency),
        percent: part.to_u32().unwrap_or(100).min(100),
        over: spent > most,
    })
}

fn card(lang: Lang, class: &OrchestraClass, now: Timestamp) -> ClassCard {
    let status = class.status.clone().unwrap_or_default();
    let name = class.name_any();
    let rollout = rollout_of(class).map(|rollout| RolloutCard {
        stage: lang.word("stage", &format!("{:?}", stage(rollout))),
        told: lang.with(
            "class-rollout",
            &[
                ("updated", rollout.updated.into()),
                ("total", total(rollout).into()),
                ("failed", rollout.failed.into()),
            ],
        ),
        updated: rollout.updated,
        total: total(rollout).max(1),
        paused: class.spec.rollout.paused,
        path: format!("/classes/{}/rollout", encoded(&name)),
        command: format!(
            "kubectl orchestra rollout {} {name}",
            if class.spec.rollout.paused { "resume" } else { "pause" }
        ),
    });
    let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready");
    let cost = status.cost.as_ref();
    ClassCard {
        path: super::form::link("/", &[("class", &name)]),
        ready: ready.is_some_and(|ready| ready.status == "True"),
        message: ready
            .filter(|ready| ready.status != "True")
            .map(|ready| ready.message.clone()),
        provider: status.provider.clone().unwrap_or_default(),
        tenants: format::number(lang, status.tenants.into()),
        price: cost.map(|cost| format::money(lang, &cost.price_per_project, &cost.currency)),
        token: status
            .account
            .as_ref()
            .and_then(|account| account.token_expires_at.as_ref())
            .map(|at| Moment::of(lang, at.0, now)),
        budget: budget(lang, class),
        rollout,
        name,
    }
}

/// `GET /classes`.
pub async fn page(State(_): State<Arc<Console>>, visitor: Visitor) -> Response {
    let mut classes = match list::<OrchestraClass>(&visitor.client).await {
        Ok(classes) => classes,
        Err(error) => return visitor.failed(&error),
    };
    classes.sort_by_key(kube::ResourceExt::name_any);
    let allowed = may(&visitor.client, Wish::ours("patch", "orchestraclasses", "")).await;
    let now = Timestamp::now();
    answer::page(&ClassesPage {
        classes: classes.iter().map(|class| card(visitor.lang(), class, now)).collect(),
        allowed,
        frame: visitor.frame,
    })
}

/// `POST /classes/{name}/rollout`: pauses or resumes it.
pub async fn rollout(
    State(_): State<Arc<Console>>,
    visitor: Visitor,
    Path(name): Path<String>,
    form: Fields,
) -> Response {
    let api: Api<OrchestraClass> = Api::all(visitor.client.clone());
    let change = json!({"spec": {"rollout": {"paused": form.get("paused") == "true"}}});
    let params = patch_parameters(CONSOLE_MANAGER);
    match api.patch(&name, &params, &Patch::Merge(change)).await {
        Ok(_) => answer::see("/classes"),
        Err(error) => visitor.failed(&error),
    }
}
