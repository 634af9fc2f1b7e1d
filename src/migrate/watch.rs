//! What a run of migrations is doing now, for people who look at it while it goes on.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

use super::run_event::RunEvent;

/// What a run is doing now.
#[derive(Clone, Default)]
pub struct Watch(Arc<Mutex<Option<Now>>>);

struct Now {
    name: String,
    number: usize,
    of: usize,
    since: Instant,
    blocked_by: Option<String>,
}

impl Watch {
    /// One line for a person; `None` before the first migration begins.
    pub fn describe(&self) -> Option<String> {
        let now = self.0.lock();
        let now = now.as_ref()?;
        let mut told = format!(
            "applying migration {} of {}, {}, for {} s",
            now.number,
            now.of,
            now.name,
            now.since.elapsed().as_secs()
        );
        if let Some(by) = &now.blocked_by {
            told.push_str("; it waits for a lock that is held by ");
            told.push_str(by);
        }
        Some(told)
    }

    /// Takes a step of the run.
    pub fn tell(&self, event: &RunEvent<'_>) {
        let mut now = self.0.lock();
        match *event {
            // The same one is begun again, statement by statement.
            RunEvent::Started { number: 0, .. } | RunEvent::Applied { .. } => {}
            RunEvent::Started { name, number, of, .. } => {
                *now = Some(Now {
                    name: name.to_owned(),
                    number,
                    of,
                    since: Instant::now(),
                    blocked_by: None,
                });
            }
            RunEvent::Blocked { by } => {
                if let Some(now) = now.as_mut() {
                    now.blocked_by = by.map(ToOwned::to_owned);
                }
            }
        }
    }
}
