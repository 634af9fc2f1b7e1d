//! What goes wrong on purpose.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::Operation;

/// One thing that goes wrong with a request.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Fault {
    /// The request has no effect and is answered with this status.
    Status {
        /// The HTTP status, for instance 429 or 503.
        status: u16,
        /// `Retry-After` in seconds; no such header when absent.
        #[serde(default)]
        retry_after: Option<u64>,
    },
    /// The request has no effect and the API refuses it in these words.
    Refuse {
        /// The HTTP status, for instance 400 or 403.
        status: u16,
        /// The `message` of the body.
        message: String,
    },
    /// The request has no effect and the proxy in front answers 502 with an HTML page.
    HtmlBadGateway,
    /// The answer takes this much longer, in milliseconds.
    Delay {
        /// Milliseconds.
        ms: u64,
    },
    /// Waits for [`Faults::release`] before the effect. The effect comes even if the client has
    /// gone meanwhile, as it may on the real API.
    HoldBefore,
    /// Waits for [`Faults::release`] after the effect, before the answer.
    HoldAfter,
    /// The connection closes without an effect.
    CloseBefore,
    /// The effect takes place and the connection closes without an answer.
    LoseResponse,
    /// The effect takes place and the answer breaks off in the middle of its body.
    Truncate,
}

/// The faults of a stand-in; clones share them. Each request takes one fault of its operation,
/// in the order they were added.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<State>);

#[derive(Debug, Default)]
struct State {
    table: Mutex<Table>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Table {
    queued: HashMap<Operation, Vec<(u32, Fault)>>,
    held: HashMap<Operation, HashSet<u64>>,
    next_hold: u64,
}

impl Faults {
    /// Lets the next `times` requests of the operation meet the fault.
    pub fn add(&self, operation: Operation, times: u32, fault: Fault) {
        if times > 0 {
            self.table().queued.entry(operation).or_default().push((times, fault));
        }
    }

    /// Forgets the faults not met yet and releases every held request.
    pub fn clear(&self) {
        let mut table = self.table();
        table.queued.clear();
        table.held.clear();
        drop(table);
        self.0.changed.notify_waiters();
    }

    /// Waits until a request of the operation is held.
    pub async fn wait_until_held(&self, operation: Operation) {
        self.wait(|table| table.held.get(&operation).is_some_and(|held| !held.is_empty()))
            .await;
    }

    /// How many requests of the operation are held now.
    pub fn held(&self, operation: Operation) -> usize {
        self.table().held.get(&operation).map_or(0, HashSet::len)
    }

    /// Lets every held request of the operation go on.
    pub fn release(&self, operation: Operation) {
        self.table().held.remove(&operation);
        self.0.changed.notify_waiters();
    }

    /// The fault the next request of the operation meets, which is thereby used.
    pub(super) fn take(&self, operation: Operation) -> Option<Fault> {
        let mut table = self.table();
        let queue = table.queued.get_mut(&operation)?;
        let (times, fault) = queue.first_mut()?;
        let fault = fault.clone();
        *times -= 1;
        if *times == 0 {
            queue.remove(0);
        }
        Some(fault)
    }

    /// Holds a request of the operation until it is released.
    pub(super) async fn hold(&self, operation: Operation) {
        let number = {
            let mut table = self.table();
            table.next_hold += 1;
            let number = table.next_hold;
            table.held.entry(operation).or_default().insert(number);
            number
        };
        self.0.changed.notify_waiters();
        self.wait(|table| !table.held.get(&operation).is_some_and(|held| held.contains(&number)))
            .await;
    }

    async fn wait(&self, reached: impl Fn(&Table) -> bool) {
        loop {
            let mut change = std::pin::pin!(self.0.changed.notified());
            change.as_mut().enable();
            if reached(&self.table()) {
                return;
            }
            change.await;
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
