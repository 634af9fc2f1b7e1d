//! What a run of migrations is doing now, for people who look at it while it goes on.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

use super::apply::Progress;

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
    pub fn tell(&self, progress: &Progress<'_>) {
        let mut now = self.0.lock();
        match *progress {
            // The same one is begun again, statement by statement.
            Progress::Started { number: 0, .. } | Progress::Applied { .. } => {}
            Progress::Started { name, number, of, .. } => {
                *now = Some(Now {
                    name: name.to_owned(),
                    number,
                    of,
                    since: Instant::now(),
                    blocked_by: None,
                });
            }
            Progress::Blocked { by } => {
                if let Some(now) = now.as_mut() {
                    now.blocked_by = by.map(ToOwned::to_owned);
                }
            }
        }
    }
}
