//! The stop signal, which every wait of the work observes: SIGTERM, or the deadline.

use tokio::sync::watch;

use super::error::Error;
use super::outcome::OutcomeReason;

/// The sender of the stop signal.
#[derive(Debug)]
pub struct Stopper(watch::Sender<Option<OutcomeReason>>);

/// The receiver of the stop signal.
#[derive(Clone, Debug)]
pub struct StopSignal(watch::Receiver<Option<OutcomeReason>>);

/// A new stop signal, not raised.
pub fn stop() -> (Stopper, StopSignal) {
    let (sender, receiver) = watch::channel(None);
    (Stopper(sender), StopSignal(receiver))
}

impl Stopper {
    /// Stops the work for this reason. The first reason counts.
    pub fn stop(&self, reason: OutcomeReason) {
        self.0.send_if_modified(|now| {
            let first = now.is_none();
            *now = now.or(Some(reason));
            first
        });
    }
}

impl StopSignal {
    /// Waits for the signal; forever when its sender is gone.
    pub async fn raised(&self) -> Error {
        let mut receiver = self.0.clone();
        let reason = receiver.wait_for(Option::is_some).await.ok().and_then(|reason| *reason);
        match reason {
            Some(OutcomeReason::DeadlineExceeded) => Error::new(
                OutcomeReason::DeadlineExceeded,
                "the Job exceeded its deadline: raise backup.deadline, or find the slow step in its log",
            ),
            Some(reason) => Error::new(
                reason,
                "the Job was interrupted; its partial files were removed, and it can be retried",
            ),
            None => std::future::pending().await,
        }
    }
}
