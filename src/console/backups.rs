//! Backups, and the drills that have restored them.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use jiff::Timestamp;

use super::Console;
use super::answer;
use super::cluster::list;
use super::form::{QueryFields, link, tenant_path};
use super::format::{self, Moment};
use super::frame::Frame;
use super::text::Lang;
use super::visitor::Visitor;
use crate::api::OrchestraBackup;
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

/// `GET /backups`.
pub async fn page(State(_): State<Arc<Console>>, visitor: Visitor, QueryFields(query): QueryFields) -> Response {
    let all = match list::<OrchestraBackup>(&visitor.client).await {
        Ok(all) => listed(all.iter().map(backup)),
        Err(error) => return visitor.failed(&error),
    };
    let (lang, now) = (visitor.lang(), Timestamp::now());
    let pages = all.len().div_ceil(PAGE).max(1);
    let number = query.get("page").parse().unwrap_or(1).clamp(1, pages);
    let to = |number: usize| link("/backups", &[("page", &number.to_string())]);
    answer::page(&BackupsPage {
        rows: all
            .iter()
            .skip((number - 1) * PAGE)
            .take(PAGE)
            .map(|backup| row(lang, backup, now))
            .collect(),
        count: lang.count("backups-count", all.len()),
        place: lang.with("pager-place", &[("page", number.into()), ("pages", pages.into())]),
        before: (number > 1).then(|| to(number - 1)),
        after: (number < pages).then(|| to(number + 1)),
        frame: visitor.frame,
    })
}
