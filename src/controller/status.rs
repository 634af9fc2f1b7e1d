//! The one writer of statuses: re-read when stale, replace when changed, publish an event when there is news.

use std::fmt::Debug;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::Patch;
use kube::runtime::events::{Event, EventType};
use kube::runtime::reflector::ObjectRef;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::Core;
use super::conditions::{Standing, find};
use super::error::Error;
use super::latest::{self, Remembered};
use super::unreadable;
use super::write::{clean, patch_parameters};
use crate::api::condition::{ConditionType, Reason};
use crate::api::names::FIELD_MANAGER;
use crate::api::{
    Orchestra, OrchestraBackup, OrchestraBackupStatus, OrchestraClass, OrchestraClassStatus, OrchestraDatabase,
    OrchestraDatabaseStatus, OrchestraPool, OrchestraPoolStatus, OrchestraStatus,
};
use crate::text;

/// Reasons under which an object may stay for long: a changed message is published again.
const RETOLD: [Reason; 2] = [Reason::Queued, Reason::ApprovalPending];

/// Longest note of an event, in bytes (events.k8s.io/v1).
const NOTE: usize = 1024;

/// A kind whose status the operator writes.
pub trait Reported: Remembered + DeserializeOwned + Debug {
    /// Its status.
    type Status: Serialize + PartialEq + Clone + Default;

    /// The status as it is.
    fn status(&self) -> Option<&Self::Status>;

    /// The conditions of a status.
    fn conditions(status: &Self::Status) -> &[Condition];

    /// Namespace and name of the Orchestra that it is for; none when it is for none, or is one itself.
    fn tenant(&self) -> Option<(&str, &str)> {
        None
    }
}

/// The content of an event about an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// Normal, or a warning.
    pub kind: EventType,
    /// Why.
    pub reason: Reason,
    /// The message for a person.
    pub note: String,
    /// What it is about beside the object.
    pub secondary: Option<Secondary>,
}

/// What an event is about beside the object that it is published for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secondary {
    /// Its kind.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
}

impl News {
    /// A warning.
    pub fn warning(reason: Reason, note: impl Into<String>) -> Self {
        Self::new(EventType::Warning, reason, note.into())
    }

    /// A normal event.
    pub fn normal(reason: Reason, note: impl Into<String>) -> Self {
        Self::new(EventType::Normal, reason, note.into())
    }

    fn new(kind: EventType, reason: Reason, note: String) -> Self {
        Self {
            kind,
            reason,
            note,
            secondary: None,
        }
    }

    /// The same, about this object as well. Events that differ in it are not aggregated into one.
    #[must_use]
    pub fn about(self, kind: &'static str, name: impl Into<String>) -> Self {
        let name = name.into();
        Self {
            secondary: Some(Secondary { kind, name }),
            ..self
        }
    }

    /// The news of an object with this standing: a warning when a person must act.
    pub fn of(standing: Standing, reason: Reason, note: impl Into<String>) -> Self {
        match standing {
            Standing::Stalled => Self::warning(reason, note),
            Standing::Settled | Standing::Reconciling => Self::normal(reason, note),
        }
    }
}

/// Writes a status when it has changed, remembers what the write returned, publishes the news if there are
/// any, and returns the object as it is then. The write is a compare-and-swap: an object that has changed
/// meanwhile is a conflict, and nothing is published.
///
/// # Errors
/// When the object has changed, or the Kubernetes API fails.
pub async fn write<K: Reported>(core: &Core, object: &K, new: K::Status, news: Option<News>) -> Result<K, Error> {
    let written = write_status(core, object, &new).await?;
    let object = written.unwrap_or_else(|| object.clone());
    if let Some(news) = news {
        tell(core, &object, &news).await;
    }
    Ok(object)
}

/// Replaces a status when it differs from the old one, and returns the object as it is then. Control characters in its texts
/// become spaces, and what is longer than any schema allows is cut off: the API server would refuse the status.
async fn write_status<K: Reported>(core: &Core, object: &K, new: &K::Status) -> Result<Option<K>, Error> {
    let old = object.status();
    if old == Some(new) {
        return Ok(None);
    }
    let value = |status: &K::Status| serde_json::to_value(status).map_err(kube::Error::SerdeError);
    let mut status = value(new)?;
    clean(&mut status);
    if old.map(value).transpose()?.as_ref() == Some(&status) {
        return Ok(None);
    }
    let meta = object.meta();
    let parameters = patch_parameters(FIELD_MANAGER);
    let patch = replacement(meta.resource_version.as_deref(), &status)?;
    let (api, name) = (object.api(&core.client), meta.name.as_deref().unwrap_or_default());
    let written = api.patch_status(name, &parameters, &patch).await?;
    K::latest(&core.stores).wrote(&written);
    Ok(Some(written))
}

/// The request that exchanges the whole status of an object of this version.
///
/// A status is the operator's memory: values that somebody else has written into it would be trusted as the operator's own,
/// so each write replaces all of it. A server-side apply removes only fields that no other field manager has set, and a
/// merge patch only fields that it names. An update needs the whole object, which the stores do not hold, and another right.
/// A JSON patch exchanges all of `/status`, whoever has set its fields, and needs the right to patch alone. The API server
/// compares a `resourceVersion` that a patch sets with that of the stored object, and answers with a conflict where they
/// differ.
///
/// Statuses that were applied before have an `Apply` entry of the same manager in `managedFields`. It owns what has not changed
/// since, and shrinks with each write.
///
/// # Errors
/// When the patch cannot be encoded.
pub fn replacement(version: Option<&str>, status: &Value) -> Result<Patch<()>, Error> {
    // `add` also replaces what is there, and a new object has no status.
    let patch = json!([
        {"op": "add", "path": "/metadata/resourceVersion", "value": version},
        {"op": "add", "path": "/status", "value": status},
    ]);
    let patch = serde_json::from_value(patch).map_err(kube::Error::SerdeError)?;
    Ok(Patch::Json(patch))
}

/// Publishes an event about the object of a reference; one that cannot be published is logged and changes nothing.
pub async fn tell_of(core: &Core, subject: &ObjectReference, news: &News) {
    let event = Event {
        type_: news.kind,
        reason: news.reason.as_str().into(),
        note: Some(text::whole_words(&news.note, NOTE)),
        action: "Reconcile".into(),
        secondary: news.secondary.as_ref().map(|about| ObjectReference {
            kind: Some(about.kind.into()),
            name: Some(about.name.clone()),
            ..ObjectReference::default()
        }),
    };
    // Boxed: every pass can publish an event, and few do.
    if let Err(error) = Box::pin(core.events.publish(event, subject)).await {
        tracing::warn!(
            error = crate::error::kubernetes(&error),
            "an event could not be published"
        );
    }
}

/// Publishes an event about an object.
pub async fn tell<K: Reported>(core: &Core, object: &K, news: &News) {
    tell_of(core, &object.object_ref(&()), news).await;
}

/// The object as our own last write or the watch has it, when the given one may be older; an object that no store shows is
/// read from the API server. None when it is gone, or another one has its name.
///
/// A write of somebody else that no watch shows yet is not waited for: it makes the next write a conflict.
///
/// # Errors
/// When the Kubernetes API fails, or the object has a value that this version does not know: then it is left unchanged.
pub async fn current<K: Reported>(core: &Core, object: &K) -> Result<Option<K>, Error> {
    let is_same = |other: &K| other.meta().uid == object.meta().uid;
    let known = K::latest(&core.stores).get(&ObjectRef::from_obj(object));
    if let Some(known) = known.filter(|known| is_same(known)) {
        unreadable::check(&*known)?;
        return Ok(Some(if latest::is_newer(object, &*known) {
            object.clone()
        } else {
            (*known).clone()
        }));
    }
    let name = object.meta().name.as_deref().unwrap_or_default();
    Ok(object.api(&core.client).get_opt(name).await?.filter(is_same))
}

/// The condition with the standing of an object: Stalled or Reconciling, and Ready when it is settled.
pub fn summary(conditions: &[Condition]) -> Option<&Condition> {
    [ConditionType::Stalled, ConditionType::Reconciling, ConditionType::Ready]
        .into_iter()
        .find_map(|type_| find(conditions, type_))
}

/// Whether new conditions are worth an event: they give another reason than the old ones, or the object has
/// become Stalled, or an object that a person must act for, or that may wait for long, has another message.
pub fn is_news(old: &[Condition], new: &[Condition]) -> bool {
    let (Some(new), old) = (summary(new), summary(old)) else {
        return false;
    };
    let Some(old) = old else { return true };
    let is_stalled = |condition: &Condition| condition.type_ == ConditionType::Stalled.as_str();
    let retold = is_stalled(new) || RETOLD.iter().any(|reason| reason.as_str() == new.reason);
    old.reason != new.reason || (is_stalled(new) && !is_stalled(old)) || (retold && old.message != new.message)
}

/// The warnings of the conditions that have just changed to one of these reasons, which a person should know.
pub fn warnings(old: &[Condition], new: &[Condition], warned: &[(ConditionType, Reason)]) -> Vec<News> {
    let just = warned
        .iter()
        .filter(|(type_, reason)| has_come_to(old, new, *type_, *reason));
    just.filter_map(|(type_, reason)| Some(News::warning(*reason, &*find(new, *type_)?.message)))
        .collect()
}

/// Whether a condition has just changed to this reason.
pub fn has_come_to(old: &[Condition], new: &[Condition], type_: ConditionType, reason: Reason) -> bool {
    let is = |conditions| find(conditions, type_).is_some_and(|condition| condition.reason == reason.as_str());
    is(new) && !is(old)
}

macro_rules! reported {
    ($kind:ty, $status:ty $(, $($more:tt)*)?) => {
        impl Reported for $kind {
            type Status = $status;

            fn status(&self) -> Option<&Self::Status> {
                self.status.as_ref()
            }

            fn conditions(status: &Self::Status) -> &[Condition] {
                &status.conditions
            }

            $($($more)*)?
        }
    };
}

reported!(Orchestra, OrchestraStatus);
reported!(OrchestraClass, OrchestraClassStatus);
reported!(
    OrchestraDatabase,
    OrchestraDatabaseStatus,
    fn tenant(&self) -> Option<(&str, &str)> {
        let claim = self.spec.claim_ref.as_ref()?;
        Some((&claim.namespace, &claim.name))
    }
);
reported!(OrchestraPool, OrchestraPoolStatus);
reported!(
    OrchestraBackup,
    OrchestraBackupStatus,
    fn tenant(&self) -> Option<(&str, &str)> {
        let namespace = self.metadata.namespace.as_deref()?;
        Some((namespace, &self.spec.orchestra_ref.name))
    }
);

#[cfg(test)]
mod tests {
    use super::super::conditions::Conditions;
    use super::*;

    fn conditions(standing: Standing, reason: Reason, message: &str) -> Vec<Condition> {
        let mut conditions = Conditions::new(&[], Some(1));
        conditions.set(ConditionType::Ready, standing == Standing::Settled, reason, message);
        conditions.stand(standing, reason, message);
        conditions.finish()
    }

    #[test]
    fn another_reason_is_news_and_another_message_only_of_what_waits() {
        use Standing::{Reconciling, Settled, Stalled};
        let migrating = conditions(Reconciling, Reason::Migrating, "1 of 3");
        for (new, news) in [
            (conditions(Reconciling, Reason::Migrating, "1 of 3"), false),
            (conditions(Reconciling, Reason::Migrating, "2 of 3"), false),
            (conditions(Stalled, Reason::Migrating, "1 of 3"), true),
            (conditions(Reconciling, Reason::Seeding, "1 of 3"), true),
            (conditions(Settled, Reason::Ready, ""), true),
            (Vec::new(), false),
        ] {
            assert_eq!(is_news(&migrating, &new), news, "{new:?}");
        }
        assert!(is_news(&[], &migrating));
        for reason in RETOLD {
            let waits = conditions(Reconciling, reason, "third in the queue");
            assert!(!is_news(&waits, &waits));
            assert!(is_news(&waits, &conditions(Reconciling, reason, "second in the queue")));
        }
        let stalled = conditions(Stalled, Reason::QuotaExceeded, "");
        assert!(!is_news(&stalled, &conditions(Reconciling, Reason::QuotaExceeded, "")));
        // A second, different failure of the same kind.
        let failed = conditions(Stalled, Reason::MigrationFailed, "migration a failed");
        assert!(!is_news(&failed, &failed));
        assert!(is_news(
            &failed,
            &conditions(Stalled, Reason::MigrationFailed, "migration b failed")
        ));
    }

    #[test]
    fn a_condition_comes_to_a_reason_once() {
        let ready = ConditionType::Ready;
        let (old, new) = (
            conditions(Standing::Settled, Reason::Ready, ""),
            conditions(Standing::Stalled, Reason::TokenRejected, ""),
        );
        assert!(has_come_to(&old, &new, ready, Reason::TokenRejected));
        assert!(!has_come_to(&new, &new, ready, Reason::TokenRejected));
        assert!(!has_come_to(&old, &new, ready, Reason::TokenMissing));
        assert!(has_come_to(&[], &new, ready, Reason::TokenRejected));
    }

    #[test]
    fn only_what_is_stalled_warns() {
        let kind = |standing| News::of(standing, Reason::Pending, "").kind;
        assert_eq!(kind(Standing::Stalled), EventType::Warning);
        assert_eq!(kind(Standing::Reconciling), EventType::Normal);
        assert_eq!(kind(Standing::Settled), EventType::Normal);
    }
}
