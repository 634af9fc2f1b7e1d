//! Classes: their provider, budget, and the rollout of their migrations.

use std::collections::HashMap;
use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use kube::api::{Api, ListParams, Patch};
use kube::{Client, ResourceExt as _};
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
use crate::views::owner::{GitOwner, git_owner};

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
    /// The command of the button, or what the repository has to say instead.
    change: String,
}

struct ClassCard {
    name: String,
    path: String,
    ready: bool,
    message: Option<String>,
    /// Which tool keeps it as a repository has it.
    owner: Option<String>,
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

fn owned(lang: Lang, owner: &GitOwner) -> String {
    match &owner.source {
        Some(source) => lang.with(
            "class-owner-source",
            &[("tool", owner.tool.into()), ("source", source.into())],
        ),
        None => lang.with("class-owner", &[("tool", owner.tool.into())]),
    }
}

/// What pauses the rollout of a class, or resumes it: a command, or the lines of a manifest that a repository keeps.
fn change(name: &str, paused: bool, kept: bool) -> String {
    match (kept, paused) {
        (true, _) => format!("spec:\n  rollout:\n    paused: {}", !paused),
        (false, true) => format!("kubectl orchestra rollout resume {name}"),
        (false, false) => format!("kubectl orchestra rollout pause {name}"),
    }
}

fn card(lang: Lang, class: &OrchestraClass, owner: Option<&GitOwner>, now: Timestamp) -> ClassCard {
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
        change: change(&name, class.spec.rollout.paused, owner.is_some()),
    });
    let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready");
    let cost = status.cost.as_ref();
    ClassCard {
        path: super::form::link("/", &[("class", &name)]),
        ready: ready.is_some_and(|ready| ready.status == "True"),
        message: ready
            .filter(|ready| ready.status != "True")
            .map(|ready| ready.message.clone()),
        owner: owner.map(|owner| owned(lang, owner)),
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

/// All classes, and the tools that keep some of them, by the class. What a list keeps of an object does not show the tool.
async fn read(client: &Client) -> Result<(Vec<OrchestraClass>, HashMap<String, GitOwner>), kube::Error> {
    let classes = list::<OrchestraClass>(client).await?;
    let api: Api<OrchestraClass> = Api::all(client.clone());
    let metadata = api.list_metadata(&ListParams::default()).await?;
    let owners = metadata.items.iter();
    let owners = owners.filter_map(|class| Some((class.name_any(), git_owner(&class.metadata)?)));
    Ok((classes, owners.collect()))
}

/// `GET /classes`.
pub async fn page(State(_): State<Arc<Console>>, visitor: Visitor) -> Response {
    let (mut classes, owners) = match read(&visitor.client).await {
        Ok(read) => read,
        Err(error) => return visitor.failed(&error),
    };
    classes.sort_by_key(kube::ResourceExt::name_any);
    let allowed = may(&visitor.client, Wish::ours("patch", "orchestraclasses", "")).await;
    let now = Timestamp::now();
    let card = |class: &OrchestraClass| card(visitor.lang(), class, owners.get(&class.name_any()), now);
    answer::page(&ClassesPage {
        classes: classes.iter().map(card).collect(),
        allowed,
        frame: visitor.frame,
    })
}

/// `POST /classes/{name}/rollout`: pauses or resumes it. The repository of a class that a tool keeps would undo that.
pub async fn rollout(
    State(_): State<Arc<Console>>,
    visitor: Visitor,
    Path(name): Path<String>,
    form: Fields,
) -> Response {
    let api: Api<OrchestraClass> = Api::all(visitor.client.clone());
    match api.get_metadata(&name).await {
        Ok(class) if git_owner(&class.metadata).is_some() => {
            return answer::problem(&visitor.frame, StatusCode::CONFLICT, "problem-kept", "");
        }
        Ok(_) => {}
        Err(error) => return visitor.failed(&error),
    }
    let change = json!({"spec": {"rollout": {"paused": form.get("paused") == "true"}}});
    let params = patch_parameters(CONSOLE_MANAGER);
    match api.patch(&name, &params, &Patch::Merge(change)).await {
        Ok(_) => answer::see("/classes"),
        Err(error) => visitor.failed(&error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_of_a_repository_is_changed_there() {
        assert_eq!(change("a", false, false), "kubectl orchestra rollout pause a");
        assert_eq!(change("a", true, false), "kubectl orchestra rollout resume a");
        assert_eq!(change("a", true, true), "spec:\n  rollout:\n    paused: false");
    }
}
