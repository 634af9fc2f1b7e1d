//! One tenant: its state, what it waits for, what to do, and what has happened.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use futures::future::join;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;
use kube::api::{Api, ApiResource, ListParams, ObjectList};
use kube::core::DynamicObject;
use kube::{Client, ResourceExt as _};

use super::Console;
use super::actions::{self, Button};
use super::answer;
use super::cluster::each;
use super::fleet::StateMark;
use super::form::{QueryFields, link};
use super::format::{self, Moment};
use super::frame::Frame;
use super::text::Lang;
use super::visitor::Visitor;
use super::yaml;
use crate::api::{Orchestra, OrchestraBackup};
use crate::views::history::history;
use crate::views::owner::git_owner;
use crate::views::tenant::{Tenant, TimelineItem, Waits, tenant};

/// Events that a page reads at most.
const MOST: u32 = 200;

struct Told {
    word: String,
    reason: String,
    message: String,
    since: Option<Moment>,
    advice: Option<String>,
}

struct HistoryEntry {
    at: Moment,
    what: String,
    message: String,
    times: Option<String>,
    warning: bool,
}

struct Fact {
    name: String,
    value: String,
    path: Option<String>,
}

#[derive(Template)]
#[template(path = "console/tenant.html")]
struct TenantPage {
    frame: Frame,
    name: String,
    display: Option<String>,
    state: StateMark,
    settled: bool,
    done: Option<String>,
    owner: Option<String>,
    waits: Option<Told>,
    warnings: Vec<Told>,
    facts: Vec<Fact>,
    secret: Option<String>,
    plan: Option<String>,
    buttons: Vec<Button>,
    path: String,
    /// The name of the object, which is typed before it is deleted, and its identity.
    object: String,
    uid: String,
    history: Vec<HistoryEntry>,
    incomplete: bool,
    yaml: String,
}

/// An Orchestra as the API server has it, and as the operator reads it.
pub struct Read {
    /// The whole object.
    pub object: DynamicObject,
    /// The same object, typed.
    pub orchestra: Orchestra,
}

/// Reads an Orchestra.
///
/// # Errors
/// When the API server refuses, does not answer, or has another kind of object.
pub async fn read(client: &Client, namespace: &str, name: &str) -> Result<Read, kube::Error> {
    let kind = ApiResource::erase::<Orchestra>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &kind);
    let object = api.get(name).await?;
    let value = serde_json::to_value(&object).map_err(kube::Error::SerdeError)?;
    let orchestra = serde_json::from_value(value).map_err(kube::Error::SerdeError)?;
    Ok(Read { object, orchestra })
}

/// The events and backups of an Orchestra, as far as the visitor may read them; and whether that is all of them.
async fn around(client: &Client, namespace: &str, of: &Orchestra) -> (Vec<Event>, Vec<OrchestraBackup>, bool) {
    let (name, uid) = (of.name_any(), of.uid());
    let events: Api<Event> = Api::namespaced(client.clone(), namespace);
    let fields = format!("involvedObject.kind=Orchestra,involvedObject.name={name}");
    let of_events = ListParams::default().fields(&fields).limit(MOST);
    let backups: Api<OrchestraBackup> = Api::namespaced(client.clone(), namespace);
    let mut theirs = Vec::new();
    // A backup of a former Orchestra of the same name does not belong to this one.
    let is_its = |backup: &OrchestraBackup| {
        let whose = backup.status.as_ref().and_then(|status| status.orchestra_uid.as_ref());
        backup.spec.orchestra_ref.name == name && (whose.is_none() || whose == uid.as_ref())
    };
    let of_backups = each(&backups, |backup| {
        if is_its(&backup) {
            theirs.push(backup);
        }
    });
    let (events, of_backups) = join(events.list(&of_events), of_backups).await;
    let events = events.ok();
    let all_events = |list: &ObjectList<Event>| list.metadata.continue_.as_ref().is_none_or(String::is_empty);
    let whole = events.as_ref().is_some_and(all_events) && of_backups.is_ok();
    (events.map_or_else(Vec::new, |list| list.items), theirs, whole)
}

/// `GET /tenants/{namespace}/{name}`.
pub async fn page(
    State(_): State<Arc<Console>>,
    visitor: Visitor,
    Path((namespace, name)): Path<(String, String)>,
    QueryFields(query): QueryFields,
) -> Response {
    let found = read(&visitor.client, &namespace, &name).await;
    let read = match found {
        Ok(read) => read,
        Err(error) => return visitor.failed(&error),
    };
    let (events, backups, whole) = around(&visitor.client, &namespace, &read.orchestra).await;
    let shown = tenant(&read.orchestra, &events);
    let told = history(&read.orchestra, &shown, &backups);
    let owner = git_owner(&read.object.metadata);
    let buttons = actions::buttons(&visitor, &read.orchestra, owner.is_some()).await;
    let (lang, now) = (visitor.lang(), Timestamp::now());
    let owner = owner.map(|owner| match &owner.source {
        Some(source) => lang.with(
            "tenant-owner-source",
            &[("tool", owner.tool.into()), ("source", source.into())],
        ),
        None => lang.with("tenant-owner", &[("tool", owner.tool.into())]),
    });
    let done = query
        .some("done")
        .and_then(|done| lang.find(&format!("done-{done}"), &[]));
    answer::page(&TenantPage {
        display: read.orchestra.spec.display_name.clone(),
        state: StateMark::of(lang, shown.state),
        settled: shown.waits.is_none(),
        done,
        owner,
        waits: shown.waits.as_ref().map(|waits| of_waits(lang, waits, now)),
        warnings: shown.warnings.iter().map(|waits| of_waits(lang, waits, now)).collect(),
        facts: facts(lang, &shown, now),
        secret: shown
            .secret
            .as_ref()
            .map(|_| format!("kubectl orchestra url {name} -n {namespace}")),
        plan: crate::views::plans::waiting(&read.orchestra).map(|_| format!("/approvals/{namespace}/{name}")),
        buttons,
        path: super::form::tenant_path(&namespace, &name),
        history: told.iter().map(|item| happened(lang, item, now)).collect(),
        incomplete: !whole,
        yaml: yaml::of_object(&read.object),
        uid: read.object.metadata.uid.clone().unwrap_or_default(),
        name: format!("{namespace}/{name}"),
        object: name,
        frame: visitor.frame,
    })
}

fn of_waits(lang: Lang, waits: &Waits, now: Timestamp) -> Told {
    Told {
        word: lang.word("reason", &waits.reason),
        reason: waits.reason.clone(),
        message: waits.message.clone(),
        since: waits.since.map(|at| Moment::of(lang, at, now)),
        advice: waits.advice.clone(),
    }
}

fn happened(lang: Lang, item: &TimelineItem, now: Timestamp) -> HistoryEntry {
    let count = usize::try_from(item.count).unwrap_or_default();
    HistoryEntry {
        at: Moment::of(lang, item.at, now),
        what: item.what.clone(),
        message: item.message.clone(),
        times: (count > 1).then(|| lang.count("tenant-times", count)),
        warning: item.warning,
    }
}

fn facts(lang: Lang, shown: &Tenant, now: Timestamp) -> Vec<Fact> {
    let yes = |is: bool| lang.say(if is { "word-yes" } else { "word-no" });
    let migrations = lang.with(
        "tenant-migrations",
        &[("applied", shown.applied.into()), ("pending", shown.pending.into())],
    );
    let phase = shown.phase.as_ref().map(|phase| lang.word("phase", phase));
    let cost = shown.cost.as_deref().and_then(|cost| cost.split_once(' '));
    let all = [
        ("fact-phase", phase),
        ("fact-available", Some(yes(shown.available))),
        ("fact-class", shown.class.clone()),
        ("fact-region", shown.region.clone()),
        (
            "fact-cost",
            cost.map(|(sum, currency)| format::money(lang, sum, currency)),
        ),
        ("fact-migration", shown.migration.clone()),
        ("fact-migrations", Some(migrations)),
        ("fact-database", shown.database.clone()),
        ("fact-project", shown.project.clone()),
        ("fact-secret", shown.secret.clone()),
        (
            "fact-expires",
            shown
                .expires_at
                .map(|at| format!("{} ({})", format::date(lang, at), format::relative(lang, at, now))),
        ),
    ];
    let fact = |(key, value): (&str, Option<String>)| {
        let value = value?;
        let path = (key == "fact-class").then(|| link("/", &[("class", &value)]));
        Some(Fact {
            name: lang.say(key),
            value,
            path,
        })
    };
    all.into_iter().filter_map(fact).collect()
}
