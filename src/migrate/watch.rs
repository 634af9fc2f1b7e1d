//! The progress of a run of migrations, for people: one line while it is running, and records of events.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{Timestamp, Unit};
use parking_lot::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::run_event::RunEvent;
use crate::api::condition::Reason;

/// A migration that takes longer has a note for its beginning and one for its end. The others have none: a new
/// tenant has dozens, and the status counts them.
const QUICK: Duration = Duration::from_secs(1);

/// The current work of a run.
#[derive(Clone, Default)]
pub struct Watch(Arc<Mutex<RunState>>);

#[derive(Default)]
struct RunState {
    now: Option<CurrentScript>,
    /// Where the run's notes go, until it has ended.
    notes: Option<UnboundedSender<Happened>>,
}

struct CurrentScript {
    name: String,
    number: usize,
    of: usize,
    /// When it began, to the second: a time that runs would write the status again and again.
    since: Timestamp,
    began: Instant,
    blocked_by: Option<String>,
    applied: bool,
}

enum Happened {
    Started(String),
    PerStatement(String),
    Blocked(String),
    Applied(String, Duration),
}

/// Something that has happened in a run, in words for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The kind of what has happened.
    pub reason: Reason,
    /// One line.
    pub text: String,
}

/// The notes of one run, in the order in which things happened.
pub struct Notes {
    happened: UnboundedReceiver<Happened>,
    /// The migration that has started and has no record yet.
    begun: Option<String>,
}

impl Watch {
    /// The watch of a run whose notes are collected as well. They end with [`Watch::close`].
    pub fn with_notes() -> (Self, Notes) {
        let (sender, happened) = unbounded_channel();
        let watch = Self::default();
        watch.0.lock().notes = Some(sender);
        (watch, Notes { happened, begun: None })
    }

    /// One line for a person; `None` before the first migration begins.
    pub fn describe(&self) -> Option<String> {
        let state = self.0.lock();
        let now = state.now.as_ref()?;
        let mut told = format!(
            "applying migration {} of {}, {}, since {}",
            now.number, now.of, now.name, now.since
        );
        if let Some(by) = &now.blocked_by {
            told.push_str("; it waits for a lock that is held by ");
            told.push_str(by);
        }
        Some(told)
    }

    /// Whether a migration is running that takes long.
    pub fn is_slow(&self) -> bool {
        let state = self.0.lock();
        let now = state.now.as_ref();
        now.is_some_and(|now| !now.applied && now.began.elapsed() >= QUICK)
    }

    /// The migration that runs or ran last, for the message of an error that does not name it; `None` before the first
    /// one begins.
    pub fn ran(&self) -> Option<String> {
        let state = self.0.lock();
        let now = state.now.as_ref()?;
        let when = if now.applied { "after" } else { "while" };
        Some(format!("{when} migration {} was applied", now.name))
    }

    /// Takes an event of the run.
    pub fn tell(&self, event: &RunEvent<'_>) {
        log(event);
        let mut state = self.0.lock();
        state.take(event);
        if let Some(notes) = &state.notes {
            // The notes have no reader only while the operator is shutting down.
            for next in happened(event) {
                drop(notes.send(next));
            }
        }
    }

    /// The run has ended: no further note comes.
    pub fn close(&self) {
        self.0.lock().notes = None;
    }
}

impl RunState {
    fn take(&mut self, event: &RunEvent<'_>) {
        match *event {
            // The same migration begins again, statement by statement.
            RunEvent::Started { number: 0, .. } => {}
            RunEvent::Applied { .. } => {
                if let Some(now) = self.now.as_mut() {
                    now.applied = true;
                }
            }
            RunEvent::Started { name, number, of, .. } => {
                self.now = Some(CurrentScript {
                    name: name.to_owned(),
                    number,
                    of,
                    began: Instant::now(),
                    since: Timestamp::now().round(Unit::Second).unwrap_or_default(),
                    blocked_by: None,
                    applied: false,
                });
            }
            RunEvent::Blocked { by } => {
                if let Some(now) = self.now.as_mut() {
                    now.blocked_by = by.map(ToOwned::to_owned);
                }
            }
        }
    }
}

impl Notes {
    /// The next note; `None` when the run has ended.
    pub async fn next(&mut self) -> Option<Note> {
        loop {
            let next = match self.begun.take() {
                None => self.happened.recv().await,
                Some(name) => {
                    let Ok(next) = tokio::time::timeout(QUICK, self.happened.recv()).await else {
                        return Some(Note::new(
                            Reason::MigrationStarted,
                            format!("applying migration {name}"),
                        ));
                    };
                    self.begun = Some(name);
                    next
                }
            };
            if let Some(note) = self.note(next?) {
                return Some(note);
            }
        }
    }

    fn note(&mut self, next: Happened) -> Option<Note> {
        let (reason, text) = match next {
            Happened::Started(name) => {
                self.begun = Some(name);
                return None;
            }
            Happened::Applied(..) if self.begun.take().is_some() => return None,
            Happened::Applied(name, took) => (
                Reason::MigrationApplied,
                format!("applied migration {name} in {:.1} s", took.as_secs_f64()),
            ),
            Happened::PerStatement(name) => (
                Reason::MigrationNotAtomic,
                format!(
                    "migration {name} runs statement by statement: after a failure, the statements before it stay applied"
                ),
            ),
            Happened::Blocked(by) => (
                Reason::MigrationBlocked,
                format!("the migration waits for a lock that is held by {by}"),
            ),
        };
        Some(Note::new(reason, text))
    }
}

impl Note {
    fn new(reason: Reason, text: String) -> Self {
        Self { reason, text }
    }
}

fn happened(event: &RunEvent<'_>) -> Vec<Happened> {
    match *event {
        RunEvent::Started {
            name,
            number,
            of,
            per_statement,
        } => {
            let mode = per_statement.then(|| Happened::PerStatement(name.to_owned()));
            let start = (number > 0).then(|| Happened::Started(format!("{name} ({number} of {of})")));
            mode.into_iter().chain(start).collect()
        }
        RunEvent::Blocked { by } => by.map(|by| Happened::Blocked(by.to_owned())).into_iter().collect(),
        RunEvent::Applied { name, took } => vec![Happened::Applied(name.to_owned(), took)],
    }
}

fn log(event: &RunEvent<'_>) {
    match *event {
        RunEvent::Started {
            name,
            number,
            of,
            per_statement,
        } => tracing::info!(migration = name, number, of, per_statement, "applying"),
        RunEvent::Blocked { by: Some(by) } => tracing::info!(by, "the migration waits for a lock"),
        RunEvent::Blocked { by: None } => tracing::info!("the migration goes on"),
        RunEvent::Applied { name, took } => tracing::info!(migration = name, ?took, "applied"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn started(name: &str, number: usize) -> RunEvent<'_> {
        RunEvent::Started {
            name,
            number,
            of: 2,
            per_statement: false,
        }
    }

    fn applied(name: &str) -> RunEvent<'_> {
        let took = QUICK * 3;
        RunEvent::Applied { name, took }
    }

    #[tokio::test]
    async fn slow_migrations_have_two_notes_and_quick_ones_none() {
        let (watch, mut notes) = Watch::with_notes();
        watch.tell(&started("one", 1));
        watch.tell(&applied("one"));
        watch.tell(&started("two", 2));
        let note = notes.next().await.unwrap();
        assert_eq!(note.reason, Reason::MigrationStarted);
        assert_eq!(note.text, "applying migration two (2 of 2)");
        assert!(watch.describe().unwrap().starts_with("applying migration 2 of 2, two"));
        watch.tell(&applied("two"));
        assert_eq!(notes.next().await.unwrap().text, "applied migration two in 3.0 s");
        watch.close();
        assert_eq!(notes.next().await, None);
    }

    #[test]
    fn a_migration_that_has_just_begun_or_is_applied_is_not_slow() {
        let watch = Watch::default();
        assert!(!watch.is_slow());
        watch.tell(&started("one", 1));
        assert!(!watch.is_slow());
        let earlier = Instant::now().checked_sub(QUICK).unwrap();
        watch.0.lock().now.as_mut().unwrap().began = earlier;
        assert!(watch.is_slow());
        watch.tell(&applied("one"));
        assert!(!watch.is_slow());
    }

    #[test]
    fn what_ran_is_known_before_and_after_it_is_applied() {
        let watch = Watch::default();
        assert_eq!(watch.ran(), None);
        watch.tell(&started("one", 1));
        assert_eq!(watch.ran().unwrap(), "while migration one was applied");
        watch.tell(&applied("one"));
        assert_eq!(watch.ran().unwrap(), "after migration one was applied");
    }
}
