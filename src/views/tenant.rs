//! One tenant, for people: its state, what it waits for, what to do, and what has happened.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt as _;
use serde::Serialize;

use super::advice::advice;
use crate::api::condition::{ConditionType as Is, Reason, find, is_true};
use crate::api::{Orchestra, ScheduledBackups, known_reason};

/// The state of a tenant, in the order of importance to a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum TenantState {
    /// A person must act.
    Stalled,
    /// The database is in use and cannot be used now.
    Unavailable,
    /// It is being deleted.
    Deleting,
    /// The operator works on it, or waits.
    Waiting,
    /// It is paused on purpose.
    Paused,
    /// It has what it asks for.
    Ready,
}

/// What it waits for, or why a person must act.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Waits {
    /// The reason.
    pub reason: String,
    /// The message.
    pub message: String,
    /// Since when.
    pub since: Option<Timestamp>,
    /// What a person can do.
    pub advice: Option<String>,
}

/// Something that has happened, or will.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TimelineItem {
    /// When it happened last.
    pub at: Timestamp,
    /// What: the reason of an event, or a condition and its status.
    pub what: String,
    /// The message.
    pub message: String,
    /// How often.
    pub count: i32,
    /// Whether it warns.
    pub warning: bool,
}

/// One tenant.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tenant {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: TenantState,
    /// Its phase.
    pub phase: Option<String>,
    /// Whether applications can use its database now.
    pub available: bool,
    /// Its class.
    pub class: Option<String>,
    /// Its OrchestraDatabase, also while it is being claimed.
    pub database: Option<String>,
    /// The provider's reference of its project.
    pub project: Option<String>,
    /// The region of its project.
    pub region: Option<String>,
    /// Its connection Secret.
    pub secret: Option<String>,
    /// What its database costs a month, with the currency.
    pub cost: Option<String>,
    /// Its backups by schedule and those of the provider; absent where there is nothing to say.
    pub backups: Option<ScheduledBackups>,
    /// Its last applied migration.
    pub migration: Option<String>,
    /// Migrations that are applied, and that are not.
    pub applied: i32,
    /// See `applied`.
    pub pending: i32,
    /// When its ttl ends.
    pub expires_at: Option<Timestamp>,
    /// What it waits for; none when it is settled.
    pub waits: Option<Waits>,
    /// Conditions that are False, without those that its state covers.
    pub warnings: Vec<Waits>,
    /// What has happened, the oldest first.
    pub timeline: Vec<TimelineItem>,
}

/// The tenant of an Orchestra, with its events.
pub fn tenant(orchestra: &Orchestra, events: &[Event]) -> Tenant {
    let conditions = orchestra.conditions();
    let database = orchestra.database_or_claiming();
    // A claim that cannot be met may name another one's database.
    let is_told = orchestra.has_told_of_database() || orchestra.is_queued_ahead();
    let database = database.filter(|_| is_told).map(str::to_owned);
    let status = orchestra.status.clone().unwrap_or_default();
    let project = status.project;
    let migrations = status.migrations.unwrap_or_default();
    Tenant {
        namespace: orchestra.namespace().unwrap_or_default(),
        name: orchestra.name_any(),
        state: state(orchestra),
        phase: status.phase,
        available: is_true(conditions, Is::Available),
        class: status.class_name.or_else(|| orchestra.spec.class_name.clone()),
        database,
        region: project.as_ref().map(|project| project.region.clone()),
        project: project.map(|project| project.reference),
        secret: status.secret_ref.map(|published| published.name),
        cost: status.cost.map(|cost| format!("{} {}", cost.monthly, cost.currency)),
        backups: status.backup,
        migration: migrations.current,
        applied: migrations.applied,
        pending: migrations.pending,
        expires_at: status.expires_at.map(|at| at.0),
        waits: waits(orchestra),
        warnings: warnings(conditions),
        timeline: timeline(orchestra, events),
    }
}

/// Whether the operator has not seen the current spec yet.
fn is_unseen(orchestra: &Orchestra) -> bool {
    let observed = orchestra.status.as_ref().map(|status| status.observed_generation);
    observed != orchestra.metadata.generation
}

/// The state of an Orchestra.
pub fn state(orchestra: &Orchestra) -> TenantState {
    let conditions = orchestra.conditions();
    let in_use = orchestra.is_published() && !is_true(conditions, Is::Available);
    match () {
        () if orchestra.metadata.deletion_timestamp.is_some() => TenantState::Deleting,
        () if orchestra.is_stalled() => TenantState::Stalled,
        () if is_unseen(orchestra) || is_true(conditions, Is::Reconciling) => TenantState::Waiting,
        () if orchestra.is_asleep() => TenantState::Paused,
        () if in_use => TenantState::Unavailable,
        () if is_true(conditions, Is::Ready) => TenantState::Ready,
        () => TenantState::Waiting,
    }
}

fn told(condition: &Condition) -> Waits {
    Waits {
        reason: condition.reason.clone(),
        message: condition.message.clone(),
        since: Some(condition.last_transition_time.0),
        advice: known_reason(condition).and_then(advice),
    }
}

fn waits(orchestra: &Orchestra) -> Option<Waits> {
    let conditions = orchestra.conditions();
    if is_unseen(orchestra) {
        let message = "the operator has not seen the current spec yet: if that stays so, see whether it runs";
        return Some(Waits {
            reason: "Pending".into(),
            message: message.into(),
            since: None,
            advice: None,
        });
    }
    let stands = [Is::Stalled, Is::Reconciling];
    let stands = stands.into_iter().find_map(|type_| find(conditions, type_));
    let unusable = || find(conditions, Is::Available).filter(|is| is.status == "False" && orchestra.is_published());
    let paused = orchestra.is_asleep();
    stands.or_else(|| unusable().filter(|_| !paused)).map(told)
}

/// Parts that are False although nobody waits for them: a table that cannot be read, a history that differs.
fn warnings(conditions: &[Condition]) -> Vec<Waits> {
    let warning = [
        Is::HistoryAgrees,
        Is::TablesReadable,
        Is::KeysUsable,
        Is::SourceAvailable,
        Is::BackedUp,
    ];
    let shown = warning.into_iter().filter_map(|type_| find(conditions, type_));
    shown
        .filter(|condition| condition.status == "False")
        .map(told)
        .collect()
}

/// When an event came last.
pub fn at(event: &Event) -> Option<Timestamp> {
    let series = event
        .series
        .as_ref()
        .and_then(|series| series.last_observed_time.as_ref());
    let last = series.or(event.event_time.as_ref()).map(|at| at.0);
    last.or_else(|| event.last_timestamp.as_ref().map(|at| at.0))
        .or_else(|| event.metadata.creation_timestamp.as_ref().map(|at| at.0))
}

/// How often an event came.
pub fn count(event: &Event) -> i32 {
    let series = event.series.as_ref().and_then(|series| series.count);
    series.or(event.count).unwrap_or(1)
}

fn timeline(orchestra: &Orchestra, events: &[Event]) -> Vec<TimelineItem> {
    let created = orchestra.creation_timestamp().map(|at| TimelineItem {
        at: at.0,
        what: "Created".into(),
        message: String::new(),
        count: 1,
        warning: false,
    });
    let conditions = orchestra.conditions().iter().map(|condition| TimelineItem {
        at: condition.last_transition_time.0,
        what: format!("{}={}", condition.type_, condition.status),
        message: if condition.status == "True" && known_reason(condition) == Some(Reason::Ready) {
            condition.message.clone()
        } else {
            format!("{}: {}", condition.reason, condition.message)
        },
        count: 1,
        warning: false,
    });
    // Of an earlier Orchestra of the same name are other events.
    let theirs = |event: &&Event| event.involved_object.uid == orchestra.metadata.uid;
    let events = events.iter().filter(theirs).filter_map(|event| {
        Some(TimelineItem {
            at: at(event)?,
            what: event.reason.clone().unwrap_or_default(),
            message: event.message.clone().unwrap_or_default(),
            count: count(event),
            warning: event.type_.as_deref() == Some("Warning"),
        })
    });
    let mut all: Vec<_> = created.into_iter().chain(conditions).chain(events).collect();
    all.sort_by_key(|moment| moment.at);
    all
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn orchestra(observed: i64, conditions: &[(&str, &str, &str)]) -> Orchestra {
        let conditions: Vec<_> = conditions
            .iter()
            .map(|(type_, status, reason)| {
                json!({
                    "type": type_, "status": status, "reason": reason, "message": format!("about {reason}"),
                    "lastTransitionTime": "2026-11-29T01:00:00Z", "observedGeneration": 2,
                })
            })
            .collect();
        serde_json::from_value(json!({
            "apiVersion": "stagesub.io/v1alpha1", "kind": "Orchestra",
            "metadata": {
                "name": "one", "namespace": "tenants", "generation": 2, "uid": "u",
                "creationTimestamp": "2026-11-29T00:00:00Z",
            },
            "spec": {},
            "status": {"observedGeneration": observed, "conditions": conditions, "secretRef": {"name": "one-connection"}},
        }))
        .unwrap()
    }

    #[test]
    fn what_it_waits_for_is_told_with_what_to_do() {
        let ready = [("Ready", "True", "Ready"), ("Available", "True", "Ready")];
        let told = |observed, conditions: &[_]| tenant(&orchestra(observed, conditions), &[]);
        assert_eq!(
            (told(2, &ready).state, told(2, &ready).waits),
            (TenantState::Ready, None)
        );
        assert_eq!(told(1, &ready).waits.unwrap().reason, "Pending");
        let stalled = [("Available", "True", "Ready"), ("Stalled", "True", "MigrationFailed")];
        let stalled = told(2, &stalled);
        assert_eq!((stalled.state, stalled.available), (TenantState::Stalled, true));
        let waits = stalled.waits.unwrap();
        assert!(waits.advice.unwrap().starts_with("correct the script"));
        let down = told(2, &[("Ready", "True", "Ready"), ("Available", "False", "DatabaseGone")]);
        assert_eq!(
            (down.state, down.waits.unwrap().reason.as_str()),
            (TenantState::Unavailable, "DatabaseGone")
        );
        let warned = told(
            2,
            &[
                ("Ready", "True", "Ready"),
                ("Available", "True", "Ready"),
                ("TablesReadable", "False", "NoPolicy"),
            ],
        );
        assert_eq!((warned.state, warned.warnings.len()), (TenantState::Ready, 1));
    }

    #[test]
    fn a_database_is_shown_while_its_claim_is_made() {
        let shown = |reason: &str, database: Option<&str>| {
            let mut object = orchestra(2, &[("Reconciling", "True", reason)]);
            let status = object.status.as_mut().unwrap();
            status.claiming = Some("orchdb-1".into());
            status.database_name = database.map(Into::into);
            tenant(&object, &[]).database
        };
        assert_eq!(shown("Queued", None).as_deref(), Some("orchdb-1"));
        assert_eq!(shown("Queued", Some("orchdb-2")).as_deref(), Some("orchdb-2"));
        assert_eq!(shown("PoolExhausted", None), None, "another one may have it");
    }

    #[test]
    fn the_timeline_has_the_events_of_this_orchestra_in_their_order() {
        let event = |uid: &str, at: &str| -> Event {
            serde_json::from_value(json!({
                "metadata": {}, "involvedObject": {"kind": "Orchestra", "name": "one", "uid": uid}, "eventTime": at,
                "reason": "Claiming", "message": "m", "type": "Normal",
            }))
            .unwrap()
        };
        let events = [
            event("u", "2026-11-29T00:30:00.000000Z"),
            event("other", "2026-11-28T00:30:00.000000Z"),
        ];
        let told = tenant(&orchestra(2, &[("Ready", "True", "Ready")]), &events).timeline;
        let what: Vec<_> = told.iter().map(|moment| moment.what.as_str()).collect();
        assert_eq!(what, ["Created", "Claiming", "Ready=True"]);
    }
}
