//! Work inside databases that goes on in the background: a long migration holds up nothing else.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use kube::runtime::reflector::ObjectRef;
use sqlx::postgres::PgConnection;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;

use crate::api::Orchestra;
use crate::api::condition::Reason;
use crate::controller::error::Error;

/// What a piece of work does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Applies migrations.
    Migrate,
    /// Applies the seed.
    Seed,
}

/// Where a piece of work stands.
pub enum Progress {
    /// Nothing was begun.
    None,
    /// It goes on.
    Running(Kind),
    /// It ended; the session is handed back.
    Done(Box<PgConnection>),
}

type Task = JoinHandle<Result<PgConnection, Error>>;

/// Work by the UID of the Orchestra: one piece at a time for each.
pub struct Works {
    running: Mutex<HashMap<String, (Kind, Task)>>,
    ended: UnboundedSender<ObjectRef<Orchestra>>,
}

impl Works {
    /// Nothing under way; the end of each piece of work is told to `ended`.
    pub fn new(ended: UnboundedSender<ObjectRef<Orchestra>>) -> Self {
        Self {
            running: Mutex::default(),
            ended,
        }
    }

    /// Begins a piece of work.
    pub fn start(
        &self,
        (uid, object): (&str, ObjectRef<Orchestra>),
        kind: Kind,
        work: impl Future<Output = Result<PgConnection, Error>> + Send + 'static,
    ) {
        let ended = self.ended.clone();
        let task = tokio::spawn(async move {
            let outcome = work.await;
            // Nobody listens any more only when the operator is shutting down.
            let _ = ended.send(object);
            outcome
        });
        self.lock().insert(uid.into(), (kind, task));
    }

    /// Waits a moment for the work to end, so that what is quick is done in one pass.
    pub async fn progress(&self, uid: &str, patience: Duration) -> Result<Progress, Error> {
        let Some((kind, mut task)) = self.lock().remove(uid) else {
            return Ok(Progress::None);
        };
        match tokio::time::timeout(patience, &mut task).await {
            Err(_) => {
                self.lock().insert(uid.into(), (kind, task));
                Ok(Progress::Running(kind))
            }
            Ok(Ok(outcome)) => outcome.map(|session| Progress::Done(Box::new(session))),
            Ok(Err(_)) => Err(Error::transient(
                Reason::DatabaseUnreachable,
                "the work was cut off; it is begun again",
            )),
        }
    }

    /// Cuts the work off. Its session closes with it, and the server ends the script within
    /// seconds (`client_connection_check_interval`).
    pub fn stop(&self, uid: &str) {
        if let Some((_, task)) = self.lock().remove(uid) {
            task.abort();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, (Kind, Task)>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
