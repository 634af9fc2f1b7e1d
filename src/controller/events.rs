//! Events: a message that differs from those before is an event of its own, and a repeated one is counted.
//!
//! kube's recorder counts events of one reason together, whatever their notes say, and a note cannot be changed. Here
//! each note has a recorder of its own.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, Recorder, Reporter};
use parking_lot::Mutex;

use crate::recent::Recent;

/// How long a repeated event is counted together with the one before: as long as kube's recorder does.
const COUNTED: Duration = Duration::from_mins(6);

/// The most events with new notes that one object may have of one reason at once.
const BURST: u32 = 10;

/// After this time it may have one more.
const REFILL: Duration = Duration::from_mins(1);

/// The note that replaces those that are not published.
const KEPT_BACK: &str = "further messages of this reason come too often to be published one by one; the conditions of the \
                         object have the last one";

/// Publishes events.
pub struct Events {
    client: Client,
    reporter: Reporter,
    recorders: Mutex<Recent<Recorder>>,
    rates: Mutex<Recent<Rate>>,
}

impl Events {
    /// No event was published.
    pub fn new(client: Client, reporter: Reporter) -> Self {
        Self {
            client,
            reporter,
            recorders: Mutex::new(Recent::new(COUNTED)),
            rates: Mutex::new(Recent::new(REFILL * BURST)),
        }
    }

    /// Publishes an event about the object of a reference, or counts it when it was published within a few minutes.
    /// Where notes of one reason come too often, one event says so instead of the rest.
    ///
    /// # Errors
    /// When the API server refuses the event.
    pub async fn publish(&self, mut event: Event, subject: &ObjectReference) -> Result<(), kube::Error> {
        let of_reason = format!(
            "{}/{:?}/{}",
            subject.uid.as_deref().unwrap_or_default(),
            event.type_,
            event.reason
        );
        let mut key = key(&of_reason, &event);
        let is_known = self.recorders.lock().get(&key).is_some();
        let admitted = is_known
            || self
                .rates
                .lock()
                .get_or(&of_reason, Rate::default)
                .admits(Instant::now());
        if !admitted {
            event.note = Some(KEPT_BACK.into());
            event.secondary = None;
            key = self::key(&of_reason, &event);
        }
        let new = || Recorder::new(self.client.clone(), self.reporter.clone());
        let recorder = self.recorders.lock().get_or(&key, new).clone();
        recorder.publish(&event, subject).await
    }
}

/// What makes an event the same as one before.
fn key(of_reason: &str, event: &Event) -> String {
    let mut hash = DefaultHasher::new();
    event.note.hash(&mut hash);
    let about = event.secondary.as_ref();
    (about.map(|about| (&about.kind, &about.name))).hash(&mut hash);
    format!("{of_reason}/{:x}", hash.finish())
}

/// How many events with new notes an object may still have of a reason.
struct Rate {
    left: u32,
    since: Option<Instant>,
}

impl Default for Rate {
    fn default() -> Self {
        Self {
            left: BURST,
            since: None,
        }
    }
}

impl Rate {
    fn admits(&mut self, now: Instant) -> bool {
        let since = *self.since.get_or_insert(now);
        let periods = now.saturating_duration_since(since).as_secs() / REFILL.as_secs();
        let refilled = u32::try_from(periods).unwrap_or(BURST).min(BURST);
        if refilled > 0 {
            self.left = self.left.saturating_add(refilled).min(BURST);
            self.since = Some(now);
        }
        let admitted = self.left > 0;
        self.left = self.left.saturating_sub(1);
        admitted
    }
}

#[cfg(test)]
mod tests {
    use kube::runtime::events::EventType;

    use super::*;

    fn event(note: &str, about: Option<&str>) -> Event {
        Event {
            type_: EventType::Normal,
            reason: "MigrationFailed".into(),
            note: Some(note.into()),
            action: "Reconcile".into(),
            secondary: about.map(|name| ObjectReference {
                name: Some(name.into()),
                ..ObjectReference::default()
            }),
        }
    }

    #[test]
    fn another_note_or_another_subject_is_another_event() {
        let keys = [
            key("uid/reason", &event("a", None)),
            key("uid/reason", &event("b", None)),
            key("uid/reason", &event("a", Some("one"))),
            key("uid/other", &event("a", None)),
        ];
        for (index, one) in keys.iter().enumerate() {
            assert!(!keys[..index].contains(one), "{one}");
        }
        assert_eq!(keys[0], key("uid/reason", &event("a", None)));
    }

    #[test]
    fn new_notes_of_a_reason_are_bounded() {
        let (mut rate, begin) = (Rate::default(), Instant::now());
        let burst = (0..100).filter(|_| rate.admits(begin)).count();
        assert_eq!(burst, 10);
        assert!(!rate.admits(begin + REFILL / 2));
        assert!(rate.admits(begin + REFILL) && !rate.admits(begin + REFILL));
        let later = begin + REFILL * 1000;
        assert_eq!((0..100).filter(|_| rate.admits(later)).count(), 10);
    }
}
