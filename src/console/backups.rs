//! Backups, and the drills that have restored them.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use kube::Client;
use kube::api::Api;

use super::Console;
use super::answer;
use super::cluster::each;
use super::form::{QueryFields, tenant_path};
use super::format::{self, Moment};
use super::frame::Frame;
use super::pager::Cut;
use super::scope::NamespaceFilter;
use super::text::Lang;
use super::visitor::Visitor;
use crate::api::OrchestraBackup;
use crate::api::slim::Slim;
use crate::views::backups::{Backup, backup, listed};

/// Backups of one page.
const PAGE: usize = 100;

struct BackupRow {
    name: String,
    tenant: String,
    path: String,
    phase: String,
    style: &'static str,
    size: String,
    snapshot: Option<Moment>,
    verified: Option<Moment>,
    message: String,
}

#[derive(Template)]
#[template(path = "console/backups.html")]
struct BackupsPage {
    frame: Frame,
    filter: NamespaceFilter,
    rows: Vec<BackupRow>,
    count: String,
    place: String,
    before: Option<String>,
    after: Option<String>,
}

fn row(lang: Lang, backup: &Backup, now: Timestamp) -> BackupRow {
    let moment = |at: Option<Timestamp>| at.map(|at| Moment::of(lang, at, now));
    BackupRow {
        name: backup.name.clone(),
        tenant: format!("{}/{}", backup.namespace, backup.orchestra),
        path: tenant_path(&backup.namespace, &backup.orchestra),
        phase: lang.word("phase", &backup.phase),
        style: match &*backup.phase {
            "Failed" => "stalled",
            "Completed" => "ready",
            _ => "waiting",
        },
        size: backup
            .bytes
            .map_or_else(String::new, |bytes| format::bytes(lang, bytes)),
        snapshot: moment(backup.snapshot_time),
        verified: moment(backup.verified),
        message: backup.message.clone().unwrap_or_default(),
    }
}

/// The backups of a namespace, or of all.
async fn read(client: Client, namespace: &str) -> Result<Vec<Backup>, kube::Error> {
    let api: Api<Slim<OrchestraBackup>> = match namespace {
        "" => Api::all(client),
        namespace => Api::namespaced(client, namespace),
    };
    let mut all = Vec::new();
    each(&api, |Slim(object)| all.push(backup(&object))).await?;
    Ok(listed(all))
}

/// `GET /backups`.
pub async fn page(State(console): State<Arc<Console>>, visitor: Visitor, QueryFields(query): QueryFields) -> Response {
    let Some(filter) = NamespaceFilter::of("/backups", &query) else {
        return answer::problem(&visitor.frame, StatusCode::NOT_FOUND, "problem-nowhere", "");
    };
    let read = read(visitor.client.clone(), &filter.namespace);
    let all = match console.backups.of(visitor.bearer, &filter.namespace, read).await {
        Ok(all) => all,
        Err(error) => return filter.failed(visitor, &error),
    };
    let (lang, now) = (visitor.lang(), Timestamp::now());
    let cut = Cut::of(all.len(), PAGE, &query);
    answer::page(&BackupsPage {
        rows: cut.items(&all).iter().map(|backup| row(lang, backup, now)).collect(),
        count: lang.count("backups-count", all.len()),
        place: cut.place(lang),
        before: cut.before().map(|number| filter.page(number)),
        after: cut.after().map(|number| filter.page(number)),
        filter,
        frame: visitor.frame,
    })
}
