//! Reports the progress of the work, as lines on standard output.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::json;

use super::stream::Passed;

/// Interval of the lines.
const EVERY: Duration = Duration::from_secs(5);

/// The progress of the work.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Mutex<CurrentWork>>);

#[derive(Debug, Default)]
struct CurrentWork {
    stage: &'static str,
    of: Option<u64>,
    passed: Passed,
}

impl Progress {
    /// Begins a stage, with its number of bytes where that is known. Returns the counter of its bytes.
    pub fn stage(&self, stage: &'static str, of: Option<u64>) -> Passed {
        let passed = Passed::default();
        tracing::info!(stage, of, "stage started");
        *self.0.lock() = CurrentWork {
            stage,
            of,
            passed: passed.clone(),
        };
        passed
    }

    /// One line of JSON.
    pub fn line(&self) -> String {
        let now = self.0.lock();
        json!({"progress": {"stage": now.stage, "bytes": now.passed.bytes(), "of": now.of}}).to_string()
    }

    /// Prints the lines, and never ends.
    pub async fn tell(&self, mut say: impl FnMut(String)) {
        loop {
            tokio::time::sleep(EVERY).await;
            say(self.line());
        }
    }
}
