//! The order to stop, which every wait of the work hears: a signal, or the end of its time.

use tokio::sync::watch;

use super::error::Error;
use super::outcome::OutcomeReason as Reason;

/// Who stops the work.
#[derive(Debug)]
pub struct Stopper(watch::Sender<Option<Reason>>);

/// What the work hears it by.
#[derive(Clone, Debug)]
pub struct StopSignal(watch::Receiver<Option<Reason>>);

/// An order to stop that was not given yet.
pub fn stop() -> (Stopper, StopSignal) {
    let (sender, receiver) = watch::channel(None);
    (Stopper(sender), StopSignal(receiver))
}

impl Stopper {
    /// Stops the work for this reason. The first reason stands.
    pub fn stop(&self, reason: Reason) {
        self.0.send_if_modified(|now| {
            let first = now.is_none();
            *now = now.or(Some(reason));
            first
        });
    }
}

impl StopSignal {
    /// Waits for the order. It never comes when nobody can give it any more.
    pub async fn raised(&self) -> Error {
        let mut receiver = self.0.clone();
        let reason = receiver.wait_for(Option::is_some).await.ok().and_then(|reason| *reason);
        match reason {
            Some(Reason::DeadlineExceeded) => Error::new(
                Reason::DeadlineExceeded,
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
