//! `kubectl orchestra events`: what has happened to Orchestras, and what happens now.

use std::collections::HashMap;

use clap_complete::engine::ArgValueCandidates;
use futures::{StreamExt as _, pin_mut};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Event;
use kube::api::{Api, ListParams};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, watcher};
use serde::Serialize;

use super::complete;
use super::scope::Scope;
use crate::cli::output::{self, Cell, say};
use crate::views::tenant::{at, count};

/// Arguments of `events`.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Name of one Orchestra. Omitted: all of the namespace.
    #[arg(add = ArgValueCandidates::new(complete::orchestras), conflicts_with = "all_namespaces")]
    pub name: Option<String>,
    /// Of all namespaces.
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// Continue until Ctrl-C. An interrupted watch is started again.
    #[arg(short, long)]
    pub follow: bool,
    /// Output format.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: EventsFormat,
}

/// Output format of `events`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum EventsFormat {
    /// Aligned columns.
    #[default]
    Table,
    /// One JSON document; with `--follow` one line for each event.
    Json,
    /// One YAML document; with `--follow` one for each event.
    Yaml,
}

/// An event, as a program reads it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListedEvent {
    last_seen: Option<Timestamp>,
    #[serde(rename = "type")]
    type_: String,
    reason: String,
    namespace: String,
    orchestra: String,
    message: String,
    count: i32,
}

impl From<&Event> for ListedEvent {
    fn from(event: &Event) -> Self {
        let about = &event.involved_object;
        Self {
            last_seen: at(event),
            type_: event.type_.clone().unwrap_or_default(),
            reason: event.reason.clone().unwrap_or_default(),
            namespace: about.namespace.clone().unwrap_or_default(),
            orchestra: about.name.clone().unwrap_or_default(),
            message: event.message.clone().unwrap_or_default(),
            count: count(event),
        }
    }
}

const HEADER: [&str; 5] = ["last_seen", "type", "reason", "orchestra", "message"];

/// Prints the events, and with `--follow` those that come.
///
/// # Errors
/// When the events cannot be read.
pub async fn run(scope: &Scope, arguments: &Arguments) -> anyhow::Result<()> {
    let all = arguments.all_namespaces;
    let api: Api<Event> = if all {
        Api::all(scope.client.clone())
    } else {
        Api::namespaced(scope.client.clone(), &scope.namespace)
    };
    let fields = selector(arguments.name.as_deref());
    let mut known = api.list(&ListParams::default().fields(&fields)).await?.items;
    known.sort_by_key(at);
    let mut told = EventCounts::default();
    for event in &known {
        told.is_news(event);
    }
    if !arguments.follow {
        return say(&listed(&known, all, arguments.output)?);
    }
    if arguments.output == EventsFormat::Table {
        say(&output::table(
            &HEADER,
            known.iter().map(|event| cells(event, all)),
            &[],
        ))?;
    } else {
        known
            .iter()
            .try_for_each(|event| say(&one(event, all, arguments.output)?))?;
    }
    tokio::select! {
        followed = follow(api, fields, told, (all, arguments.output)) => followed,
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

/// All events at once.
fn listed(events: &[Event], all: bool, format: EventsFormat) -> anyhow::Result<String> {
    let listed = || events.iter().map(ListedEvent::from).collect::<Vec<_>>();
    match format {
        EventsFormat::Json => output::json(&listed()),
        EventsFormat::Yaml => output::yaml(&listed()),
        EventsFormat::Table if events.is_empty() => {
            Ok("none: no events of Orchestras are kept (the API server keeps them for an hour)".into())
        }
        EventsFormat::Table => Ok(output::table(
            &HEADER,
            events.iter().map(|event| cells(event, all)),
            &[],
        )),
    }
}

/// One event among those that follow one another.
fn one(event: &Event, all: bool, format: EventsFormat) -> anyhow::Result<String> {
    let listed = ListedEvent::from(event);
    match format {
        EventsFormat::Json => Ok(serde_json::to_string(&listed)?),
        EventsFormat::Yaml => Ok(format!("---\n{}", output::yaml(&listed)?)),
        EventsFormat::Table => Ok(cells(event, all).into_iter().flatten().collect::<Vec<_>>().join("  ")),
    }
}

/// Events about Orchestras, or about one of them.
pub fn selector(name: Option<&str>) -> String {
    let kind = "involvedObject.kind=Orchestra";
    name.map_or_else(|| kind.to_owned(), |name| format!("{kind},involvedObject.name={name}"))
}

/// Events that are older than the newest one by more than this are not printed: they were printed before.
const LATE: SignedDuration = SignedDuration::from_mins(10);

/// How often each event was printed, with its time.
#[derive(Default)]
struct EventCounts(HashMap<String, (Timestamp, i32)>);

impl EventCounts {
    /// Whether the event is new, or has occurred again.
    fn is_news(&mut self, event: &Event) -> bool {
        let (Some(uid), Some(when)) = (event.metadata.uid.clone(), at(event)) else {
            return false;
        };
        let newest = self.0.values().map(|(at, _)| *at).max().unwrap_or(when).max(when);
        let floor = newest.saturating_sub(LATE).unwrap_or(when);
        if when < floor {
            return false;
        }
        self.0.retain(|_, (at, _)| *at >= floor);
        let times = count(event);
        self.0
            .insert(uid, (when, times))
            .is_none_or(|(_, before)| before < times)
    }
}

/// Prints each event that was not printed yet.
async fn follow(
    api: Api<Event>,
    fields: String,
    mut told: EventCounts,
    (all, format): (bool, EventsFormat),
) -> anyhow::Result<()> {
    let config = watcher::Config::default().fields(&fields);
    let events = watcher(api, config).default_backoff().applied_objects();
    pin_mut!(events);
    while let Some(event) = events.next().await {
        let event = match event {
            Ok(event) => event,
            // A missing right is an error at once: waiting does not help.
            Err(watcher::Error::InitialListFailed(kube::Error::Api(status))) if status.code == 403 => {
                return Err(kube::Error::Api(status).into());
            }
            Err(_) => continue,
        };
        if told.is_news(&event) {
            say(&one(&event, all, format)?)?;
        }
    }
    Ok(())
}

fn cells(event: &Event, all: bool) -> Vec<Cell> {
    let about = &event.involved_object;
    let name = about.name.clone().unwrap_or_default();
    let named = match &about.namespace {
        Some(namespace) if all => format!("{namespace}/{name}"),
        _ => name,
    };
    let times = count(event);
    let message = event.message.clone().unwrap_or_default();
    let message = if times > 1 {
        format!("{message} (x{times})")
    } else {
        message
    };
    vec![
        at(event).map(|at| at.strftime("%FT%TZ").to_string()),
        event.type_.clone(),
        event.reason.clone(),
        Some(named),
        Some(message),
    ]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn event(uid: &str, at: &str, times: i32) -> Event {
        let series = json!({"count": times, "lastObservedTime": at});
        serde_json::from_value(json!({
            "metadata": {"uid": uid}, "involvedObject": {"kind": "Orchestra", "name": "one"}, "eventTime": at,
            "series": if times > 1 { series } else { json!(null) },
        }))
        .unwrap()
    }

    #[test]
    fn an_event_is_told_once_and_again_when_it_comes_again() {
        let mut told = EventCounts::default();
        assert!(told.is_news(&event("a", "2026-11-29T01:00:00.000000Z", 1)));
        assert!(!told.is_news(&event("a", "2026-11-29T01:00:00.000000Z", 1)));
        // An event of another machine, whose clock is behind.
        assert!(told.is_news(&event("b", "2026-11-29T00:59:58.000000Z", 1)));
        assert!(told.is_news(&event("a", "2026-11-29T01:20:00.000000Z", 2)));
        // A restarted watch sends all events again.
        assert!(!told.is_news(&event("b", "2026-11-29T00:59:58.000000Z", 1)));
        assert!(!told.is_news(&event("a", "2026-11-29T01:20:00.000000Z", 2)));
        assert_eq!(told.0.len(), 1);
    }

    #[test]
    fn programs_read_events_as_one_document_and_followed_ones_one_by_one() {
        let events = [event("a", "2026-11-29T01:00:00.000000Z", 2)];
        let document: serde_json::Value =
            serde_json::from_str(&listed(&events, false, EventsFormat::Json).unwrap()).unwrap();
        assert_eq!(
            document,
            json!([{"lastSeen": "2026-11-29T01:00:00Z", "type": "", "reason": "", "namespace": "", "orchestra": "one",
                    "message": "", "count": 2}])
        );
        assert_eq!(listed(&[], false, EventsFormat::Json).unwrap(), "[]");
        assert!(!one(&events[0], false, EventsFormat::Json).unwrap().contains('\n'));
        assert!(
            one(&events[0], false, EventsFormat::Yaml)
                .unwrap()
                .starts_with("---\nlastSeen: ")
        );
    }
}
