//! Reports the progress of the work, as lines on standard output. The operator reads them in the pod's log.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

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

/// A line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgressLine {
    /// How far the work is.
    pub progress: StageProgress,
}

/// How far the work is in its current stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageProgress {
    /// The stage.
    pub stage: String,
    /// Bytes of its archive so far, before compression.
    pub bytes: u64,
    /// Bytes that are expected, where that is known.
    pub of: Option<u64>,
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
        let line = ProgressLine {
            progress: StageProgress {
                stage: now.stage.to_owned(),
                bytes: now.passed.bytes(),
                of: now.of,
            },
        };
        serde_json::to_string(&line).unwrap_or_default()
    }

    /// Prints the lines, and never ends.
    pub async fn tell(&self, mut say: impl FnMut(String)) {
        loop {
            tokio::time::sleep(EVERY).await;
            say(self.line());
        }
    }
}
