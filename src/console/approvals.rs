//! Plans of migrations that wait for a person: what they destroy, expose or lock.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use fluent_bundle::FluentValue;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::api::Api;
use serde_json::json;

use super::Console;
use super::actions::patch;
use super::answer;
use super::cluster::{Wish, may};
use super::form::{Fields, QueryFields, link, tenant_path};
use super::frame::Frame;
use super::pager::Cut;
use super::scope::NamespaceFilter;
use super::tenant::read;
use super::text::Lang;
use super::visitor::Visitor;
use crate::api::{APPROVE_MIGRATIONS, MigrationPlan, Orchestra};
use crate::views::listing::ListedTenant;
use crate::views::plans::{PlanFinding, PlanView, waiting};

/// Plans of one page.
const PAGE: usize = 100;

struct PlanRow {
    path: String,
    name: String,
    told: String,
    risky: bool,
}

#[derive(Template)]
#[template(path = "console/approvals.html")]
struct ApprovalsPage {
    frame: Frame,
    filter: NamespaceFilter,
    rows: Vec<PlanRow>,
    place: String,
    before: Option<String>,
    after: Option<String>,
}

#[derive(Template)]
#[template(path = "console/approval.html")]
struct ApprovalPage {
    frame: Frame,
    name: String,
    path: String,
    tenant: String,
    told: String,
    digest: String,
    findings: Vec<PlanFinding>,
    text: String,
    /// Why the plan cannot be shown, and so not be approved.
    wrong: Option<String>,
    allowed: bool,
    command: String,
}

fn path(namespace: &str, name: &str) -> String {
    tenant_path(namespace, name).replacen("/tenants/", "/approvals/", 1)
}

/// How many migrations wait, and how many of their statements destroy, expose or lock.
fn told(lang: Lang, [pending, destructive, exposing, locking]: [FluentValue<'_>; 4]) -> String {
    let counts = [
        ("pending", pending),
        ("destructive", destructive),
        ("exposing", exposing),
        ("locking", locking),
    ];
    lang.with("approval-told", &counts)
}

/// `GET /approvals`.
pub async fn list(State(console): State<Arc<Console>>, visitor: Visitor, QueryFields(query): QueryFields) -> Response {
    let Some(filter) = NamespaceFilter::of("/approvals", &query) else {
        return answer::problem(&visitor.frame, StatusCode::NOT_FOUND, "problem-nowhere", "");
    };
    let snapshot = match console.snapshots.seen(&visitor.client, &filter.namespace).await {
        Ok(snapshot) => snapshot,
        Err(error) => return filter.failed(visitor, &error),
    };
    let lang = visitor.lang();
    let is_asked = |tenant: &&ListedTenant| filter.namespace.is_empty() || tenant.namespace == filter.namespace;
    let waiting = snapshot.tenants.iter().filter(is_asked);
    let waiting: Vec<_> = waiting.filter_map(|tenant| Some((tenant, tenant.plan?))).collect();
    let cut = Cut::of(waiting.len(), PAGE, &query);
    let rows = cut.items(&waiting).iter().map(|(tenant, plan)| PlanRow {
        path: path(&tenant.namespace, &tenant.name),
        name: format!("{}/{}", tenant.namespace, tenant.name),
        told: told(
            lang,
            [
                plan.pending.into(),
                plan.destructive.into(),
                plan.exposing.into(),
                plan.locking.into(),
            ],
        ),
        risky: plan.destructive > 0 || plan.exposing > 0,
    });
    answer::page(&ApprovalsPage {
        rows: rows.collect(),
        place: cut.place(lang),
        before: cut.before().map(|number| filter.page(number)),
        after: cut.after().map(|number| filter.page(number)),
        filter,
        frame: visitor.frame,
    })
}

/// The plan as the operator wrote it, or why it cannot be shown.
async fn written(
    client: &Client,
    namespace: &str,
    plan: &MigrationPlan,
) -> Result<(PlanView, Vec<PlanFinding>), String> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let map = maps.get(&plan.config_map).await.map_err(|error| match error {
        kube::Error::Api(status) => status.message,
        other => other.to_string(),
    })?;
    let view = PlanView::of(plan, &map).map_err(|error| error.to_string())?;
    let findings = view.findings().map_err(|error| error.to_string())?;
    Ok((view, findings))
}

/// `GET /approvals/{namespace}/{name}`.
pub async fn page(
    State(_): State<Arc<Console>>,
    visitor: Visitor,
    Path((namespace, name)): Path<(String, String)>,
) -> Response {
    let read = match read(&visitor.client, &namespace, &name).await {
        Ok(read) => read,
        Err(error) => return visitor.failed(&error),
    };
    let Some(plan) = waiting(&read.orchestra) else {
        return answer::see(&tenant_path(&namespace, &name));
    };
    let written = written(&visitor.client, &namespace, plan).await;
    let allowed = may(&visitor.client, Wish::ours("patch", "orchestras", &namespace)).await;
    let (view, wrong) = written.map_or_else(|wrong| (None, Some(wrong)), |view| (Some(view), None));
    let (text, findings) = view.map_or_else(Default::default, |(view, findings)| (view.text, findings));
    answer::page(&ApprovalPage {
        told: told(
            visitor.lang(),
            [
                plan.pending.into(),
                plan.destructive.into(),
                plan.exposing.into(),
                plan.locking.into(),
            ],
        ),
        allowed: allowed && wrong.is_none(),
        command: format!(
            "kubectl orchestra approve {name} -n {namespace} --digest {}",
            plan.digest
        ),
        digest: plan.digest.clone(),
        path: path(&namespace, &name),
        tenant: tenant_path(&namespace, &name),
        name: format!("{namespace}/{name}"),
        findings,
        text,
        wrong,
        frame: visitor.frame,
    })
}

/// `POST /approvals/{namespace}/{name}`: approves the plan that the visitor has read, and no other.
pub async fn approve(
    State(_): State<Arc<Console>>,
    visitor: Visitor,
    Path((namespace, name)): Path<(String, String)>,
    form: Fields,
) -> Response {
    let read = match read(&visitor.client, &namespace, &name).await {
        Ok(read) => read,
        Err(error) => return visitor.failed(&error),
    };
    let plan = waiting(&read.orchestra).filter(|plan| plan.digest == form.get("digest"));
    let Some(plan) = plan else {
        return answer::problem(&visitor.frame, StatusCode::CONFLICT, "problem-plan", "");
    };
    // Nobody has read a text that the operator did not write.
    if let Err(wrong) = written(&visitor.client, &namespace, plan).await {
        return answer::problem(&visitor.frame, StatusCode::CONFLICT, "problem-plan", &wrong);
    }
    let api: Api<Orchestra> = Api::namespaced(visitor.client.clone(), &namespace);
    let change = json!({"metadata": {"annotations": {APPROVE_MIGRATIONS: plan.digest}}});
    match patch(&api, &read.orchestra, change).await {
        Ok(()) => answer::see(&link(&tenant_path(&namespace, &name), &[("done", "approve")])),
        Err(error) => visitor.failed(&error),
    }
}
